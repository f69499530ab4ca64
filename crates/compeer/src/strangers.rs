//! The connections of callers whom nobody here chose, in the order in which they
//! go when there is no room.
//!
//! One that drains goes first, then the one idle longest. Use is not reported
//! here (that would cost each request a lock): an entry stands where it was when it
//! was last looked at, which is too early if it was used since, and is put in its
//! right place when it comes to the front. So making room costs a few steps, however
//! many connections there are, and the order is exact all the same. One that is in
//! use counts as used when it is looked at; after a number of those in a row there
//! may be none that is idle, and the one of them goes that was used longest ago.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use compeer_proto::Time;

/// How many connections in use are looked at before one of them goes. A guess:
/// who wants to hold all places has to keep them all in use.
pub(crate) const LOOKS: usize = 64;

/// What is found when a connection is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Somebody here has chosen it meanwhile.
    Passed,
    /// It is ending already, and its place is room for another.
    Ends,
    /// It starts nothing more.
    Drains,
    /// Something is under way; when something was last begun.
    Busy(Time),
    /// Since when nothing is under way.
    Idle(Time),
}

/// Connections of unnamed callers; `T` is one of them.
pub(crate) struct Strangers<T> {
    all: BTreeMap<u64, Entry<T>>,
    order: BTreeSet<(Time, u64)>,
    by_prefix: BTreeMap<IpAddr, BTreeSet<(Time, u64)>>,
}

struct Entry<T> {
    /// It has not been idle for longer than since then.
    since: Time,
    prefix: Option<IpAddr>,
    what: T,
}

impl<T> Default for Strangers<T> {
    fn default() -> Self {
        Strangers { all: BTreeMap::new(), order: BTreeSet::new(), by_prefix: BTreeMap::new() }
    }
}

impl<T> Strangers<T> {
    /// Enters one, by a number of its own.
    pub(crate) fn insert(&mut self, number: u64, prefix: Option<IpAddr>, since: Time, what: T) {
        self.remove(number);
        self.all.insert(number, Entry { since, prefix, what });
        self.place(number, since);
    }

    /// It is over, or somebody here has chosen it.
    pub(crate) fn remove(&mut self, number: u64) -> Option<T> {
        self.unplace(number);
        Some(self.all.remove(&number)?.what)
    }

    /// It starts nothing more: it is looked at first.
    pub(crate) fn drains(&mut self, number: u64) {
        self.put(number, Time::ZERO);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many there are of a prefix.
    pub(crate) fn count(&self, prefix: IpAddr) -> usize {
        self.by_prefix.get(&prefix).map_or(0, BTreeSet::len)
    }

    /// Removes and gives the one that is to go, of a prefix or of all.
    pub(crate) fn take_least(
        &mut self,
        prefix: Option<IpAddr>,
        now: Time,
        look: impl Fn(&T) -> Look,
    ) -> Option<T> {
        let mut busy: Option<(Time, u64)> = None;
        let mut looked = Vec::new();
        while looked.len() < LOOKS {
            let order = prefix.map_or(Some(&self.order), |prefix| self.by_prefix.get(&prefix));
            let Some(&(since, number)) = order.and_then(BTreeSet::first) else { break };
            if looked.contains(&number) {
                break;
            }
            match look(&self.all.get(&number)?.what) {
                Look::Passed => drop(self.remove(number)),
                Look::Ends | Look::Drains => return self.remove(number),
                Look::Idle(used) if used <= since => return self.remove(number),
                Look::Idle(used) => self.put(number, used),
                Look::Busy(used) => {
                    busy = Some(busy.map_or((used, number), |least| least.min((used, number))));
                    looked.push(number);
                    // Behind all that may have been idle until now.
                    self.put(number, now.max(since) + Duration::from_micros(1));
                }
            }
        }
        self.remove(busy?.1)
    }

    fn put(&mut self, number: u64, since: Time) {
        self.unplace(number);
        if let Some(entry) = self.all.get_mut(&number) {
            entry.since = since;
            self.place(number, since);
        }
    }

    fn place(&mut self, number: u64, since: Time) {
        self.order.insert((since, number));
        if let Some(prefix) = self.all.get(&number).and_then(|entry| entry.prefix) {
            self.by_prefix.entry(prefix).or_default().insert((since, number));
        }
    }

    fn unplace(&mut self, number: u64) {
        let Some(entry) = self.all.get(&number) else { return };
        let key = (entry.since, number);
        self.order.remove(&key);
        if let Some(prefix) = entry.prefix
            && let Some(order) = self.by_prefix.get_mut(&prefix)
        {
            order.remove(&key);
            if order.is_empty() {
                self.by_prefix.remove(&prefix);
            }
        }
    }
}
