//! Who may call: listening sockets, and bounds on those who have not yet proven
//! a key and introduced themselves.
//!
//! Every caller gets a task for its handshake and HELLO, bounded in time, and in
//! number by [`MAX_PENDING`](limits::MAX_PENDING); when all places are taken, the
//! oldest caller of the prefix with the most goes ([`pending`]). Of one IPv4
//! address or IPv6 /56, [`MAX_PENDING_PER_PREFIX`](limits::MAX_PENDING_PER_PREFIX)
//! are served at a time and the others wait their turn, loopback apart: fifty peers
//! behind one router all get in, and a flood from there only holds up its
//! neighbours. Addresses from which somebody is connected have places of their own.
//! When the system has no descriptors left, accepting pauses for a moment and says
//! so, and a few of those who wait are hung up on.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use compeer_proto::{Addr, Time};
use tokio::task::AbortHandle;

use super::{Inner, connect, spawn_until_down};
use crate::transport::{Incoming, Listener};
use crate::{Event, limits, lock};

mod pending;
#[cfg(test)]
mod tests;

pub(crate) use pending::Budget;
use pending::{Pending, Place};

/// Callers being served: handshakes under way, or classic connections.
pub(crate) struct Callers {
    pending: Mutex<Pending<AbortHandle>>,
    /// How many of one prefix are served at a time.
    per_prefix: usize,
}

impl Callers {
    /// With so many places for strangers, and for those from where somebody is
    /// connected.
    pub(crate) fn new(strangers: usize, connected: usize, per_prefix: usize) -> Self {
        Callers { pending: Mutex::new(Pending::new(strangers, connected)), per_prefix }
    }

    /// Hangs up on the one who goes next; `false` when there is none.
    fn push_out(&self) -> bool {
        let pushed_out = lock(&self.pending).push_out();
        // Not under the lock: a task that is dropped here gives its place back.
        pushed_out.map(|task| task.map(|task| task.abort())).is_some()
    }
}

/// How much of one prefix is let in.
#[derive(Clone, Copy, Debug)]
pub(super) struct PerPrefix {
    /// Handshakes served at a time.
    pub(super) pending: usize,
    /// Connections of callers whom nobody here chose.
    pub(super) strangers: usize,
    /// Whether that holds for loopback addresses too.
    pub(super) loopback: bool,
}

impl Default for PerPrefix {
    fn default() -> Self {
        PerPrefix {
            pending: limits::MAX_PENDING_PER_PREFIX,
            strangers: limits::MAX_STRANGERS_PER_PREFIX,
            loopback: false,
        }
    }
}

impl PerPrefix {
    fn turns(&self, prefix: IpAddr, most: usize) -> usize {
        if self.binds(prefix) { most } else { usize::MAX }
    }

    pub(super) fn strangers(&self, prefix: IpAddr) -> usize {
        if self.binds(prefix) { self.strangers } else { usize::MAX }
    }

    fn binds(&self, prefix: IpAddr) -> bool {
        self.loopback || !prefix.is_loopback()
    }
}

/// Listens until the peer shuts down.
pub(crate) fn listen(inner: &Arc<Inner>, listeners: Vec<Box<dyn Listener>>) {
    lock(&inner.local_addrs).extend(listeners.iter().map(|listener| listener.local_addr()));
    // What a HELLO says from now on.
    inner.recent_addrs.forget();
    for mut listener in listeners {
        let of_task = inner.clone();
        accepting(inner, async move {
            let mut pauses = Pauses::default();
            loop {
                match listener.accept().await {
                    Ok(incoming) => admit(&of_task, incoming),
                    Err(error) => pauses.pause(&of_task, &error).await,
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

/// What one socket does when nobody can be let in.
#[derive(Default)]
pub(crate) struct Pauses {
    told: Option<Time>,
}

impl Pauses {
    /// Says so, makes a little room, and waits a moment.
    pub(crate) async fn pause(&mut self, inner: &Inner, error: &std::io::Error) {
        inner.tally.limit_descriptors.one();
        let now = inner.clock.now();
        if self.told.is_none_or(|at| now.since(at) >= limits::ACCEPT_PAUSE_TOLD) {
            self.told = Some(now);
            inner.tell(Event::AcceptPaused { reason: error.to_string() });
        }
        free_descriptors(inner);
        tokio::time::sleep(limits::ACCEPT_PAUSE).await;
    }
}

/// Hangs up on a few who have proven nothing, or else on one stranger: the program
/// needs descriptors for more than callers.
fn free_descriptors(inner: &Inner) {
    let freed = |_: &usize| inner.callers.push_out() || inner.classic.callers().push_out();
    if (0..limits::FREED_AT_PAUSE).take_while(freed).count() == 0 {
        inner.give_up_one(None);
    }
}

/// One listening socket; shutdown waits until there is none, however its task
/// has ended.
struct Listening(Arc<Inner>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.listening.send_modify(|n| *n -= 1);
    }
}

fn admit(inner: &Arc<Inner>, incoming: Incoming) {
    let from = incoming.from.ip();
    let budget = match inner.links.is_connected_from(prefix(from)) {
        true => Budget::Connected,
        false => Budget::Strangers,
    };
    let of_task = inner.clone();
    place(inner, &inner.callers, budget, from, async move {
        match tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, incoming.handshake).await {
            // In a box, so that who has said nothing yet does not take the memory for it.
            Ok(Ok(wire)) => Box::pin(connect::take_in(&of_task, wire, None)).await,
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

/// Gives a caller a place, and serves it when it is its turn.
pub(crate) fn place(
    inner: &Arc<Inner>,
    callers: &Arc<Callers>,
    budget: Budget,
    from: IpAddr,
    served: impl Future<Output = ()> + Send + 'static,
) {
    let prefix = prefix(from);
    let turns = inner.per_prefix.turns(prefix, callers.per_prefix);
    let (place, turns, pushed_out) = lock(&callers.pending).take(budget, prefix, turns);
    // Not under the lock: a task that is dropped here gives its place back.
    if let Some(oldest) = pushed_out {
        oldest.abort();
        inner.tally.limit_handshakes.one();
    }
    let taken = Taken(callers.clone(), place);
    let task = spawn_until_down(inner, async move {
        let _taken = taken;
        let Ok(_turn) = turns.acquire().await else { return };
        served.await;
    });
    let refused = lock(&callers.pending).set_task(place, task.abort_handle());
    if let Some(refused) = refused {
        refused.abort();
    }
}

fn prefix(from: IpAddr) -> IpAddr {
    Addr::from(SocketAddr::new(from, 0)).prefix().unwrap_or(from)
}

/// A place that is given back however its task ends.
struct Taken(Arc<Callers>, Place);

impl Drop for Taken {
    fn drop(&mut self) {
        lock(&self.0.pending).give_back(self.1);
    }
}
