//! Who may call: listening sockets, and bounds on those who have not yet proven
//! a key.
//!
//! Every caller gets a task for its handshake, bounded in time by the transport
//! and here, in number by [`MAX_PENDING`](limits::MAX_PENDING), and per IPv4
//! address or IPv6 /56 by [`MAX_PENDING_PER_PREFIX`](limits::MAX_PENDING_PER_PREFIX),
//! loopback apart. When all places are taken, the oldest caller of the prefix
//! with the most goes. When the system has no descriptors left, accepting
//! pauses for a moment and says so.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use compeer_proto::Addr;
use tokio::task::AbortHandle;

use super::{Inner, connect, spawn_until_down};
use crate::transport::{Incoming, Listener};
use crate::{Event, limits, lock};

#[cfg(test)]
mod tests;

/// Handshakes under way, by prefix, oldest first.
#[derive(Default)]
struct Pending {
    by_prefix: BTreeMap<IpAddr, VecDeque<(u64, AbortHandle)>>,
    count: usize,
    next: u64,
}

/// Listens until the peer shuts down.
pub(crate) fn listen(inner: &Arc<Inner>, listeners: Vec<Box<dyn Listener>>) {
    let pending = Arc::new(Mutex::new(Pending::default()));
    for mut listener in listeners {
        let (of_task, pending) = (inner.clone(), pending.clone());
        inner.listening.send_modify(|n| *n += 1);
        let accepting = spawn_until_down(inner, async move {
            loop {
                match listener.accept().await {
                    Ok(incoming) => admit(&of_task, &pending, incoming),
                    Err(error) => {
                        of_task.tell(Event::AcceptPaused { reason: error.to_string() });
                        tokio::time::sleep(limits::ACCEPT_PAUSE).await;
                    }
                }
            }
        });
        let inner = inner.clone();
        tokio::spawn(async move {
            // The socket went with the task.
            let _ = accepting.await;
            inner.listening.send_modify(|n| *n -= 1);
        });
    }
}

fn admit(inner: &Arc<Inner>, pending: &Arc<Mutex<Pending>>, incoming: Incoming) {
    let prefix = prefix(incoming.from.ip());
    let mut places = lock(pending);
    let Some(number) = places.take(prefix) else {
        let (addr, reason) = (Some(Addr::from(incoming.from)), "too many unproven callers from there".into());
        return inner.tell(Event::Refused { peer: None, addr, reason });
    };
    let place = Place(pending.clone(), prefix, number);
    let of_task = inner.clone();
    let task = spawn_until_down(inner, async move {
        let _place = place;
        match tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, incoming.handshake).await {
            Ok(Ok(wire)) => connect::take_in(&of_task, wire),
            // Port scans and web browsers call everywhere: no event, only a log.
            Ok(Err(error)) => tracing::debug!(from = %incoming.from, %error, "handshake failed"),
            Err(_) => tracing::debug!(from = %incoming.from, "handshake too slow"),
        }
    });
    places.by_prefix.entry(prefix).or_default().push_back((number, task.abort_handle()));
}

/// The whole address for IPv4 and for loopback, the /56 for IPv6: what one
/// household gets.
fn prefix(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => Ipv6Addr::from_bits(v6.to_bits() & !(u128::MAX >> 56)).into(),
        whole => whole,
    }
}

impl Pending {
    /// A place for one more handshake; its number.
    fn take(&mut self, prefix: IpAddr) -> Option<u64> {
        let here = self.by_prefix.get(&prefix).map_or(0, VecDeque::len);
        if here >= limits::MAX_PENDING_PER_PREFIX && !prefix.is_loopback() {
            return None;
        }
        if self.count >= limits::MAX_PENDING {
            let fullest = self.by_prefix.values_mut().max_by_key(|places| places.len());
            // The place is given back when the task is gone.
            if let Some((_, oldest)) = fullest.and_then(VecDeque::pop_front) {
                oldest.abort();
            }
        }
        self.count += 1;
        self.next += 1;
        Some(self.next)
    }

    fn give_back(&mut self, prefix: IpAddr, number: u64) {
        self.count -= 1;
        let Some(places) = self.by_prefix.get_mut(&prefix) else { return };
        places.retain(|(n, _)| *n != number);
        if places.is_empty() {
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
