//! All links of a peer, and which one of a pair stays.
//!
//! One connection per pair (DESIGN §4.6). When a second one shows up after its
//! HELLO:
//!
//! - from another start of the program (another `instance`): the newer wins at
//!   once; three such changes in a minute, each while the other was alive, mean
//!   that the key runs in two places, and both are told;
//! - same start, same direction: the caller has lost the old one, or it would
//!   not have called again; the newer stays and the old one drains;
//! - same start, opposite directions (both called at once): the one dialled by
//!   the smaller PeerId stays, the other drains.
//!
//! This is a table and a decision; it sends nothing itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use compeer_proto::{PeerId, Time};
use tokio::sync::Notify;

use crate::link::Link;
use crate::{limits, lock};

/// All links of a peer.
pub(crate) struct Links {
    own: PeerId,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    slots: BTreeMap<PeerId, Slot>,
    /// All that are not over, by number: in handshake, live, or draining.
    all: BTreeMap<u64, Arc<Link>>,
    next_number: u64,
}

#[derive(Default)]
struct Slot {
    live: Option<Arc<Link>>,
    /// When the instance changed while the older one was alive.
    changes: VecDeque<Time>,
    changed: Arc<Notify>,
}

impl Slot {
    /// No connection, and nobody waits for one.
    fn is_idle(&self) -> bool {
        self.live.is_none() && Arc::strong_count(&self.changed) == 1
    }
}

/// What is to be done about a link that has introduced itself.
pub(crate) enum Verdict {
    /// It is the pair's connection; `first` when there was none.
    Stays {
        first: bool,
        /// The one it takes the place of, and how that is to end.
        instead_of: Option<(Arc<Link>, Ending)>,
    },
    /// The older one stays; this one drains.
    Drains,
    /// The key runs twice: both close.
    Twice(Arc<Link>),
}

/// How a link that lost ends.
pub(crate) enum Ending {
    /// Another start of the same peer has taken over.
    Replaced,
    /// It may finish what is in flight.
    Drains,
}

impl Links {
    pub(crate) fn new(own: PeerId) -> Self {
        Links { own, inner: Mutex::default() }
    }

    /// A number for a new link; it counts from now on.
    pub(crate) fn enter(&self, make: impl FnOnce(u64) -> Arc<Link>) -> Arc<Link> {
        let mut inner = lock(&self.inner);
        inner.next_number += 1;
        let number = inner.next_number;
        let link = make(number);
        inner.all.insert(number, link.clone());
        link
    }

    /// How many are not over.
    pub(crate) fn count(&self) -> usize {
        lock(&self.inner).all.len()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Link>> {
        lock(&self.inner).all.values().cloned().collect()
    }

    /// The pairs' connections, by peer.
    pub(crate) fn live(&self) -> Vec<Arc<Link>> {
        lock(&self.inner).slots.values().filter_map(|slot| slot.live.clone()).collect()
    }

    /// The connection with a peer. It may be about to close.
    pub(crate) fn latest(&self, peer: PeerId) -> Option<Arc<Link>> {
        lock(&self.inner).slots.get(&peer)?.live.clone()
    }

    /// The connection with a peer, if it takes requests.
    pub(crate) fn get(&self, peer: PeerId) -> Option<Arc<Link>> {
        let live = self.latest(peer)?;
        live.is_usable().then_some(live)
    }

    pub(crate) fn by_session(&self, peer: PeerId, session: [u8; 16]) -> Option<Arc<Link>> {
        let inner = lock(&self.inner);
        inner.all.values().find(|link| link.peer == peer && link.session_id == session).cloned()
    }

    /// Told when the connection with this peer comes or goes.
    pub(crate) fn changed(&self, peer: PeerId) -> Arc<Notify> {
        lock(&self.inner).slots.entry(peer).or_default().changed.clone()
    }

    /// Decides about a link whose HELLO has come.
    pub(crate) fn register(&self, link: &Arc<Link>, now: Time) -> Verdict {
        let mut inner = lock(&self.inner);
        let slot = inner.slots.entry(link.peer).or_default();
        let old = slot.live.take().filter(|old| old.over().is_none());
        let verdict = match old {
            None => Verdict::Stays { first: true, instead_of: None },
            Some(old) if old.instance() != link.instance() => {
                while slot.changes.front().is_some_and(|at| now.since(*at) > limits::INSTANCE_WINDOW) {
                    slot.changes.pop_front();
                }
                slot.changes.push_back(now);
                if slot.changes.len() >= limits::INSTANCE_CHANGES {
                    slot.changes.clear();
                    slot.changed.notify_waiters();
                    return Verdict::Twice(old);
                }
                Verdict::Stays { first: false, instead_of: Some((old, Ending::Replaced)) }
            }
            // Of two directions, the one dialled by the smaller id: by us when
            // we are smaller.
            Some(old) if old.dialled == link.dialled || link.dialled == (self.own < link.peer) => {
                Verdict::Stays { first: false, instead_of: Some((old, Ending::Drains)) }
            }
            Some(old) => {
                slot.live = Some(old);
                return Verdict::Drains;
            }
        };
        slot.live = Some(link.clone());
        slot.changed.notify_waiters();
        verdict
    }

    /// The other side starts nothing more on this link: stop using it.
    /// Whether it was the pair's.
    pub(crate) fn retire(&self, link: &Arc<Link>) -> bool {
        let mut inner = lock(&self.inner);
        let Some(slot) = inner.slots.get_mut(&link.peer) else { return false };
        let was = slot.live.as_ref().is_some_and(|live| live.number == link.number);
        if was {
            slot.live = None;
            slot.changed.notify_waiters();
        }
        was
    }

    /// A link is over. Whether it was the pair's.
    pub(crate) fn leave(&self, link: &Arc<Link>) -> bool {
        let was = self.retire(link);
        let mut inner = lock(&self.inner);
        inner.all.remove(&link.number);
        if inner.slots.get(&link.peer).is_some_and(|slot| slot.is_idle() && slot.changes.is_empty()) {
            inner.slots.remove(&link.peer);
        }
        was
    }

    /// Forgets peers that have no connection and no recent changes.
    pub(crate) fn sweep(&self, now: Time) {
        lock(&self.inner).slots.retain(|_, slot| {
            let recent = slot.changes.back().is_some_and(|at| now.since(*at) <= limits::INSTANCE_WINDOW);
            recent || !slot.is_idle()
        });
    }
}
