//! All links of a peer, and which one of a pair is used.
//!
//! One connection per pair (DESIGN §4.6). When a second one shows up after its
//! HELLO:
//!
//! - from another start of the program (another `instance`): the newer wins at
//!   once; three such changes in a minute, each while the other was alive, mean
//!   that the key runs in two places, and both are told;
//! - same start, same direction: the side that dialled both says which one
//!   drains (the older); the other side uses the newer and waits for the word;
//! - same start, opposite directions, both young: both called at once, and the
//!   one dialled by the smaller PeerId stays, the other drains. When the older
//!   one is not young, the caller has lost it, and the newer stays;
//! - one that others carry gives way to one that nobody does, unless that is the
//!   older one and not young.
//!
//! A peer may have [`MAX_LINKS_PER_PEER`](limits::MAX_LINKS_PER_PEER) links at a
//! time, those in introduction and those that drain included. *Connected* is
//! told with the first that is introduced, *Disconnected* with the last that
//! ends. Those of callers whom nobody here chose stand in an order of their own
//! ([`strangers`](crate::strangers)). This is a table and its decisions; it sends
//! nothing itself.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use compeer_proto::{PeerId, Time};
use tokio::sync::Notify;

use crate::link::{Decided, Link};
use crate::strangers::{Look, Strangers};
use crate::{limits, lock};

/// All links of a peer.
pub(crate) struct Links {
    own: PeerId,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    slots: BTreeMap<PeerId, Slot>,
    next_number: u64,
    /// Links that are not over, and those of them that are introduced.
    all: usize,
    introduced: usize,
    /// How many introduced ones there are from where.
    prefixes: BTreeMap<IpAddr, usize>,
    strangers: Strangers<Arc<Link>>,
}

#[derive(Default)]
struct Slot {
    /// All links with this peer that are not over, oldest first.
    links: Vec<Arc<Link>>,
    /// The number of the one that is used.
    live: Option<u64>,
    /// *Connected* was told, and *Disconnected* not since.
    told: bool,
    /// When the instance changed while the older one was alive.
    changes: VecDeque<Time>,
    changed: Arc<Notify>,
}

/// What is to be done about a link that has introduced itself.
pub(crate) enum Verdict {
    /// It is the pair's connection; `first` when *Connected* is to be told.
    Stays {
        first: bool,
        /// The one it takes the place of, if that is to end, and how.
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

    /// A new link; it counts from now on. Beside it, those that have to go
    /// because that peer has too many.
    pub(crate) fn enter(
        &self,
        peer: PeerId,
        make: impl FnOnce(u64) -> Arc<Link>,
    ) -> (Arc<Link>, Vec<Arc<Link>>) {
        let mut inner = lock(&self.inner);
        inner.next_number += 1;
        inner.all += 1;
        let number = inner.next_number;
        let link = make(number);
        let slot = inner.slots.entry(peer).or_default();
        slot.links.push(link.clone());
        let open = slot.links.iter().filter(|link| !link.is_closing());
        let surplus = open.clone().count().saturating_sub(limits::MAX_LINKS_PER_PEER);
        let spare = open.filter(|other| Some(other.number) != slot.live && other.number != number);
        let crowded_out = spare.take(surplus).cloned().collect();
        (link, crowded_out)
    }

    /// How many are not over.
    pub(crate) fn count(&self) -> usize {
        lock(&self.inner).all
    }

    /// How many of them are introduced.
    pub(crate) fn introduced(&self) -> usize {
        lock(&self.inner).introduced
    }

    pub(crate) fn all(&self) -> Vec<Arc<Link>> {
        lock(&self.inner).slots.values().flat_map(|slot| slot.links.iter().cloned()).collect()
    }

    /// The pairs' connections, by peer.
    pub(crate) fn live(&self) -> Vec<Arc<Link>> {
        lock(&self.inner).slots.values().filter_map(Slot::live).collect()
    }

    /// The connection with a peer. It may be about to close.
    pub(crate) fn latest(&self, peer: PeerId) -> Option<Arc<Link>> {
        lock(&self.inner).slots.get(&peer)?.live()
    }

    /// The connection with a peer, if it takes requests.
    pub(crate) fn get(&self, peer: PeerId) -> Option<Arc<Link>> {
        let live = self.latest(peer)?;
        live.is_usable().then_some(live)
    }

    pub(crate) fn by_session(&self, peer: PeerId, session: [u8; 16]) -> Option<Arc<Link>> {
        let inner = lock(&self.inner);
        inner.slots.get(&peer)?.links.iter().find(|link| link.session_id == session).cloned()
    }

    /// Told when the connection with this peer comes or goes.
    pub(crate) fn changed(&self, peer: PeerId) -> Arc<Notify> {
        lock(&self.inner).slots.entry(peer).or_default().changed.clone()
    }

    /// Decides about a link whose HELLO has come; `chosen`: by somebody here.
    pub(crate) fn register(&self, link: &Arc<Link>, chosen: bool, now: Time) -> Verdict {
        let mut inner = lock(&self.inner);
        let inner = &mut *inner;
        inner.introduced += 1;
        if let Some(prefix) = link.prefix() {
            *inner.prefixes.entry(prefix).or_default() += 1;
        }
        if !link.dialled && !chosen {
            inner.strangers.insert(link.number, link.prefix(), link.since, link.clone());
        }
        let slot = inner.slots.entry(link.peer).or_default();
        let old = slot.live().filter(|old| old.over().is_none());
        let instead_of = match old {
            None => None,
            Some(old) if old.instance() != link.instance() => {
                if slot.runs_twice(now) {
                    slot.live = None;
                    slot.changed.notify_waiters();
                    link.decided.send_replace(Some(Decided::Drains));
                    return Verdict::Twice(old);
                }
                Some((old, Ending::Replaced))
            }
            Some(old) if old.is_carried() && !link.is_carried() => Some((old, Ending::Drains)),
            Some(old) if link.is_carried() && !old.is_carried() => {
                if now.since(old.since) < limits::HANDSHAKE_TIMEOUT {
                    inner.strangers.drains(link.number);
                    link.decided.send_replace(Some(Decided::Drains));
                    return Verdict::Drains;
                }
                Some((old, Ending::Drains))
            }
            Some(old) if old.dialled == link.dialled => link.dialled.then_some((old, Ending::Drains)),
            Some(old) => {
                let at_once = now.since(old.since) < limits::HANDSHAKE_TIMEOUT;
                let ours_stay = self.own < link.peer;
                if at_once && link.dialled != ours_stay {
                    inner.strangers.drains(link.number);
                    link.decided.send_replace(Some(Decided::Drains));
                    return Verdict::Drains;
                }
                Some((old, Ending::Drains))
            }
        };
        if let Some((old, _)) = &instead_of {
            inner.strangers.drains(old.number);
        }
        link.decided.send_replace(Some(Decided::Stays));
        slot.live = Some(link.number);
        slot.changed.notify_waiters();
        Verdict::Stays { first: !std::mem::replace(&mut slot.told, true), instead_of }
    }

    /// The other side starts nothing more on this link: use another one if
    /// there is one.
    pub(crate) fn retire(&self, link: &Arc<Link>) {
        let mut inner = lock(&self.inner);
        inner.strangers.drains(link.number);
        if let Some(slot) = inner.slots.get_mut(&link.peer) {
            slot.retire(link);
        }
    }

    /// Somebody here has chosen this peer, or has no more.
    pub(crate) fn choose(&self, peer: PeerId, chosen: bool) {
        let mut inner = lock(&self.inner);
        let inner = &mut *inner;
        let Some(slot) = inner.slots.get(&peer) else { return };
        for link in slot.links.iter().filter(|link| !link.dialled && link.decided.borrow().is_some()) {
            match chosen {
                true => drop(inner.strangers.remove(link.number)),
                false => {
                    let since = if link.is_usable() { link.since } else { Time::ZERO };
                    inner.strangers.insert(link.number, link.prefix(), since, link.clone());
                }
            }
        }
    }

    /// Whether somebody is connected from there.
    pub(crate) fn is_connected_from(&self, prefix: IpAddr) -> bool {
        lock(&self.inner).prefixes.contains_key(&prefix)
    }

    /// How many strangers there are from there.
    pub(crate) fn strangers_from(&self, prefix: IpAddr) -> usize {
        lock(&self.inner).strangers.count(prefix)
    }

    /// Whether there is any stranger.
    pub(crate) fn has_strangers(&self) -> bool {
        !lock(&self.inner).strangers.is_empty()
    }

    /// The stranger, of a prefix or of all, that is missed least, which may be one that
    /// ends already; it counts as one no more. Not one of those that turn out to be `chosen`.
    pub(crate) fn take_least(
        &self,
        prefix: Option<IpAddr>,
        now: Time,
        chosen: impl Fn(&Link) -> bool,
    ) -> Option<Arc<Link>> {
        let look = |link: &Arc<Link>| if chosen(link) { Look::Passed } else { link.look() };
        let mut inner = lock(&self.inner);
        let least = inner.strangers.take_least(prefix, now, look)?;
        if let Some(slot) = inner.slots.get_mut(&least.peer) {
            slot.retire(&least);
        }
        Some(least)
    }

    /// Whether a stranger has a connection already, from that household if one is
    /// named.
    pub(crate) fn has_stranger(&self, peer: PeerId, of: Option<IpAddr>) -> bool {
        let inner = lock(&self.inner);
        let from = |link: &Arc<Link>| of.is_none() || link.prefix() == of;
        inner.slots.get(&peer).is_some_and(|slot| slot.strangers().any(from))
    }

    /// The connections a stranger had before this one; they count as such no more.
    pub(crate) fn take_older(&self, link: &Link) -> Vec<Arc<Link>> {
        let mut inner = lock(&self.inner);
        let inner = &mut *inner;
        let Some(slot) = inner.slots.get_mut(&link.peer) else { return Vec::new() };
        let older: Vec<_> = slot.strangers().filter(|other| other.number < link.number).cloned().collect();
        for other in &older {
            inner.strangers.remove(other.number);
            slot.retire(other);
        }
        older
    }

    /// A link is over. Whether *Disconnected* is to be told.
    pub(crate) fn leave(&self, link: &Arc<Link>) -> bool {
        let mut inner = lock(&self.inner);
        let inner = &mut *inner;
        inner.all -= 1;
        inner.strangers.remove(link.number);
        if link.decided.borrow().is_some() {
            inner.introduced -= 1;
            inner.left_prefix(link.prefix());
        }
        let Some(slot) = inner.slots.get_mut(&link.peer) else { return false };
        slot.links.retain(|other| other.number != link.number);
        slot.retire(link);
        let gone = !slot.links.iter().any(|other| other.decided.borrow().is_some());
        let tell = gone && std::mem::take(&mut slot.told);
        if slot.is_idle() && slot.changes.is_empty() {
            inner.slots.remove(&link.peer);
        }
        tell
    }

    /// Forgets peers that have no connection and no recent changes.
    pub(crate) fn sweep(&self, now: Time) {
        lock(&self.inner).slots.retain(|_, slot| {
            let recent = slot.changes.back().is_some_and(|at| now.since(*at) <= limits::INSTANCE_WINDOW);
            recent || !slot.is_idle()
        });
    }
}

impl Inner {
    fn left_prefix(&mut self, prefix: Option<IpAddr>) {
        let Some(prefix) = prefix else { return };
        if let Some(n) = self.prefixes.get_mut(&prefix) {
            *n -= 1;
            if *n == 0 {
                self.prefixes.remove(&prefix);
            }
        }
    }
}

impl Slot {
    fn live(&self) -> Option<Arc<Link>> {
        let number = self.live?;
        self.links.iter().find(|link| link.number == number).cloned()
    }

    /// Connections that this peer made, leaving out those that end.
    fn strangers(&self) -> impl Iterator<Item = &Arc<Link>> {
        let calls =
            |link: &&Arc<Link>| !link.dialled && link.decided.borrow().is_some() && !link.is_closing();
        self.links.iter().filter(calls)
    }

    /// Notes a change of instance; whether there were too many of late.
    fn runs_twice(&mut self, now: Time) -> bool {
        while self.changes.front().is_some_and(|at| now.since(*at) > limits::INSTANCE_WINDOW) {
            self.changes.pop_front();
        }
        self.changes.push_back(now);
        let twice = self.changes.len() >= limits::INSTANCE_CHANGES;
        if twice {
            self.changes.clear();
        }
        twice
    }

    /// Stops using a link; the youngest other one that is fit takes its place.
    fn retire(&mut self, link: &Arc<Link>) {
        if self.live == Some(link.number) {
            let fit = |other: &&Arc<Link>| {
                other.number != link.number && other.decided.borrow().is_some() && other.is_usable()
            };
            self.live = self.links.iter().rev().find(fit).map(|other| other.number);
            self.changed.notify_waiters();
        }
    }

    /// No link, and nobody waits for one.
    fn is_idle(&self) -> bool {
        self.links.is_empty() && Arc::strong_count(&self.changed) == 1
    }
}
