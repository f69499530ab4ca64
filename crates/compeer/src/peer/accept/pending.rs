//! Handshakes under way, and who goes when there are too many.
//!
//! A table and its decisions; tasks and sockets are its owner's. There are two
//! budgets: one for addresses from which nobody is connected, and one for those
//! with a live connection, so that a flood from everywhere leaves room for who is
//! here already and opens a stream or comes back. In each, when all places are
//! taken, the oldest caller of the prefix with the most goes; of prefixes with
//! equally many, the one whose oldest caller came first. A prefix has its turns:
//! so many are served at a time, and the others wait.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;

/// Whose places a caller takes one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Budget {
    /// Nobody is connected from that prefix.
    Strangers,
    /// Somebody is.
    Connected,
}

/// One place of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    budget: Budget,
    prefix: IpAddr,
    number: u64,
}

/// Handshakes under way; `T` ends one.
pub(crate) struct Pending<T> {
    strangers: Pool<T>,
    connected: Pool<T>,
    next: u64,
}

struct Pool<T> {
    most: usize,
    /// Places taken, with those of callers who were pushed out and are not gone yet.
    count: usize,
    prefixes: BTreeMap<IpAddr, Prefix<T>>,
    /// The prefixes by how many they have and how long ago their oldest came: the
    /// last one is next to lose a place.
    ranks: BTreeSet<Rank>,
}

type Rank = (usize, Reverse<u64>, IpAddr);

struct Prefix<T> {
    /// By number, so the oldest is first. Without a task yet in the moment in
    /// which it is begun.
    callers: BTreeMap<u64, Option<T>>,
    /// How many are served at a time.
    turns: Arc<Semaphore>,
}

impl<T> Pending<T> {
    /// With so many places for strangers, and for those from where somebody is
    /// connected.
    pub(crate) fn new(strangers: usize, connected: usize) -> Self {
        let pool = |most| Pool { most, count: 0, prefixes: BTreeMap::new(), ranks: BTreeSet::new() };
        Pending { strangers: pool(strangers), connected: pool(connected), next: 0 }
    }

    /// A place for one more, the turns of its prefix (of which there are `turns`),
    /// and who has to go for it.
    pub(crate) fn take(
        &mut self,
        budget: Budget,
        prefix: IpAddr,
        turns: usize,
    ) -> (Place, Arc<Semaphore>, Option<T>) {
        self.next += 1;
        let number = self.next;
        let pool = self.pool(budget);
        let pushed_out = if pool.count >= pool.most { pool.push_out().flatten() } else { None };
        pool.count += 1;
        let new = || Prefix {
            callers: BTreeMap::new(),
            turns: Arc::new(Semaphore::new(turns.min(Semaphore::MAX_PERMITS))),
        };
        let turns = pool.prefixes.entry(prefix).or_insert_with(new).turns.clone();
        pool.change(prefix, |entry| entry.callers.insert(number, None));
        (Place { budget, prefix, number }, turns, pushed_out)
    }

    /// What ends the caller of a place; given back when the caller has no place
    /// any more.
    pub(crate) fn set_task(&mut self, place: Place, task: T) -> Option<T> {
        let prefix = self.pool(place.budget).prefixes.get_mut(&place.prefix);
        match prefix.and_then(|prefix| prefix.callers.get_mut(&place.number)) {
            Some(caller) => caller.replace(task),
            None => Some(task),
        }
    }

    /// The caller of a place is gone. Once for each place.
    pub(crate) fn give_back(&mut self, place: Place) {
        let pool = self.pool(place.budget);
        pool.count -= 1;
        pool.change(place.prefix, |entry| entry.callers.remove(&place.number));
    }

    /// Who goes when there is need of something else than a place: of those from
    /// where nobody is connected while there are any. `Some(None)`: one whose task is
    /// not known yet; it ends when it is.
    pub(crate) fn push_out(&mut self) -> Option<Option<T>> {
        self.strangers.push_out().or_else(|| self.connected.push_out())
    }

    fn pool(&mut self, budget: Budget) -> &mut Pool<T> {
        match budget {
            Budget::Strangers => &mut self.strangers,
            Budget::Connected => &mut self.connected,
        }
    }
}

impl<T> Pool<T> {
    fn push_out(&mut self) -> Option<Option<T>> {
        let &(_, Reverse(oldest), prefix) = self.ranks.last()?;
        // Its place is given back when it is gone.
        self.change(prefix, |entry| entry.callers.remove(&oldest)).flatten()
    }

    /// Changes the callers of a prefix that has any, and its rank with them.
    fn change<R>(&mut self, prefix: IpAddr, change: impl FnOnce(&mut Prefix<T>) -> R) -> Option<R> {
        let entry = self.prefixes.get_mut(&prefix)?;
        let before = entry.rank(prefix);
        let changed = change(entry);
        let after = entry.rank(prefix);
        if let Some(before) = before {
            self.ranks.remove(&before);
        }
        match after {
            Some(after) => drop(self.ranks.insert(after)),
            None => drop(self.prefixes.remove(&prefix)),
        }
        Some(changed)
    }
}

impl<T> Prefix<T> {
    fn rank(&self, prefix: IpAddr) -> Option<Rank> {
        let (&oldest, _) = self.callers.first_key_value()?;
        Some((self.callers.len(), Reverse(oldest), prefix))
    }
}
