//! Who may call: listening sockets, and bounds on those who have not yet proven
//! a key and introduced themselves.
//!
//! Every caller gets a task for its handshake and HELLO, bounded in time, and in
//! number by [`MAX_PENDING`](limits::MAX_PENDING); when all places are taken, the
//! oldest caller of the prefix with the most goes. Of one IPv4 address or IPv6
//! /56, [`MAX_PENDING_PER_PREFIX`](limits::MAX_PENDING_PER_PREFIX) are served at a
//! time and the others wait their turn, loopback apart: fifty peers behind one
//! router all get in, and a flood from there only holds up its neighbours. When
//! the system has no descriptors left, accepting pauses for a moment and says so.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::{Inner, connect, spawn_until_down};
use crate::transport::{Incoming, Listener};
use crate::{Event, limits, lock};

#[cfg(test)]
mod tests;

/// Callers being served: handshakes under way, or classic connections.
pub(crate) struct Pending {
    /// How many there may be, and how many of one prefix are served at a time.
    most: usize,
    most_per_prefix: usize,
    by_prefix: BTreeMap<IpAddr, Prefix>,
    count: usize,
    next: u64,
}

/// Those of one prefix, oldest first.
struct Prefix {
    places: VecDeque<(u64, Option<AbortHandle>)>,
    /// How many are served at a time.
    turns: Arc<Semaphore>,
}

/// Listens until the peer shuts down.
pub(crate) fn listen(inner: &Arc<Inner>, listeners: Vec<Box<dyn Listener>>) {
    lock(&inner.local_addrs).extend(listeners.iter().map(|listener| listener.local_addr()));
    // What a HELLO says from now on.
    lock(&inner.recent_addrs).take();
    for mut listener in listeners {
        let (of_task, pending) = (inner.clone(), inner.pending.clone());
        accepting(inner, async move {
            loop {
                match listener.accept().await {
                    Ok(incoming) => admit(&of_task, &pending, incoming),
                    Err(error) => pause(&of_task, &error).await,
                }
            }
        });
    }
}

/// Runs what accepts on a socket until the peer shuts down, which waits for it to be gone.
pub(crate) fn accepting(inner: &Arc<Inner>, accept: impl Future<Output = ()> + Send + 'static) {
    inner.listening.send_modify(|n| *n += 1);
    let accepting = spawn_until_down(inner, accept);
    let counted = Listening(inner.clone());
    inner.runtime.spawn(async move {
        let _counted = counted;
        // The socket goes with the task.
        let _ = accepting.await;
    });
}

/// Says that nobody can be let in, and waits a moment.
pub(crate) async fn pause(inner: &Inner, error: &std::io::Error) {
    inner.tally.limit_descriptors.one();
    inner.tell(Event::AcceptPaused { reason: error.to_string() });
    tokio::time::sleep(limits::ACCEPT_PAUSE).await;
}

/// One listening socket; shutdown waits until there is none, however its task
/// has ended.
struct Listening(Arc<Inner>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.listening.send_modify(|n| *n -= 1);
    }
}

fn admit(inner: &Arc<Inner>, pending: &Arc<Mutex<Pending>>, incoming: Incoming) {
    let of_task = inner.clone();
    place(inner, pending, incoming.from.ip(), async move {
        match tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, incoming.handshake).await {
            Ok(Ok(wire)) => connect::take_in(&of_task, wire).await,
            // Port scans and web browsers call everywhere: no event, only a log.
            Ok(Err(error)) => {
                of_task.tally.handshakes_failed.one();
                tracing::debug!(from = %incoming.from, %error, "handshake failed");
            }
            Err(_) => {
                of_task.tally.handshakes_failed.one();
                tracing::debug!(from = %incoming.from, "handshake too slow");
            }
        }
    });
}

/// Gives a caller a place among those who are pending, and serves it when it is its turn.
pub(crate) fn place(
    inner: &Arc<Inner>,
    pending: &Arc<Mutex<Pending>>,
    from: IpAddr,
    served: impl Future<Output = ()> + Send + 'static,
) {
    let prefix = prefix(from);
    let (number, turns, pushed_out) = lock(pending).take(prefix);
    // Not under the lock: a task that is dropped here gives its place back.
    if let Some(oldest) = pushed_out {
        oldest.abort();
        inner.tally.limit_handshakes.one();
    }
    let place = Place(pending.clone(), prefix, number);
    let task = spawn_until_down(inner, async move {
        let _place = place;
        let Ok(_turn) = turns.acquire().await else { return };
        served.await;
    });
    lock(pending).set_task(prefix, number, task.abort_handle());
}

/// The whole address for IPv4 and for loopback, the /56 for IPv6: what one
/// household gets.
fn prefix(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => Ipv6Addr::from_bits(v6.to_bits() & !(u128::MAX >> 56)).into(),
        whole => whole,
    }
}

impl Default for Pending {
    fn default() -> Self {
        Pending::new(limits::MAX_PENDING, limits::MAX_PENDING_PER_PREFIX)
    }
}

impl Pending {
    pub(crate) fn new(most: usize, most_per_prefix: usize) -> Self {
        Pending { most, most_per_prefix, by_prefix: BTreeMap::new(), count: 0, next: 0 }
    }

    /// A place for one more handshake: its number, whose turn it waits for, and
    /// who has to go for it.
    fn take(&mut self, prefix: IpAddr) -> (u64, Arc<Semaphore>, Option<AbortHandle>) {
        let full = self.count >= self.most;
        let fullest = self.by_prefix.values_mut().max_by_key(|prefix| prefix.places.len());
        // The place itself is given back when the task is gone.
        let oldest = fullest.filter(|_| full).and_then(|prefix| prefix.places.pop_front());
        self.count += 1;
        self.next += 1;
        let most = if prefix.is_loopback() { Semaphore::MAX_PERMITS } else { self.most_per_prefix };
        let new = || Prefix { places: VecDeque::new(), turns: Arc::new(Semaphore::new(most)) };
        let entry = self.by_prefix.entry(prefix).or_insert_with(new);
        entry.places.push_back((self.next, None));
        (self.next, entry.turns.clone(), oldest.and_then(|(_, task)| task))
    }

    fn set_task(&mut self, prefix: IpAddr, number: u64, task: AbortHandle) {
        let Some(prefix) = self.by_prefix.get_mut(&prefix) else { return };
        // It may be through already.
        if let Some(place) = prefix.places.iter_mut().find(|(n, _)| *n == number) {
            place.1 = Some(task);
        }
    }

    fn give_back(&mut self, prefix: IpAddr, number: u64) {
        self.count -= 1;
        let Some(entry) = self.by_prefix.get_mut(&prefix) else { return };
        entry.places.retain(|(n, _)| *n != number);
        if entry.places.is_empty() {
            self.by_prefix.remove(&prefix);
        }
    }
}

struct Place(Arc<Mutex<Pending>>, IpAddr, u64);

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.0).give_back(self.1, self.2);
    }
}
