//! What a peer carries for others, and how much of it: bookkeeping without side effects.
//!
//! A circuit that is asked for is *taken* or refused with a reason; while it is carried, its bytes
//! are counted against what one may have. Circuits that end here are in the book too, for their
//! ids, but count against none of the quotas for carrying: whoever lends no bandwidth can still
//! be reached. Whether there is a way on is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{CircuitId, Open, Why};
use crate::{PeerId, Time};

/// How much is carried for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Circuits at a time. Unit: circuits.
    pub circuits: usize,
    /// Of those, as many for one neighbour who asks. Unit: circuits.
    pub per_peer: usize,
    /// What the ends of one may say to each other, both directions together. Unit: bytes.
    pub bytes: u64,
    /// How long one may last.
    pub time: Duration,
}

/// A circuit in the book: who asked for it, and its name.
pub type Key = (PeerId, CircuitId);

/// A circuit that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It ends here.
    Ends,
    /// It is to go on, until this time.
    Carried(Time),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    carried: bool,
    /// What may still be said.
    left: u64,
}

/// The book.
#[derive(Clone, Debug)]
pub struct Carrier {
    me: PeerId,
    /// `None`: carries nothing.
    quota: Option<Quota>,
    open: BTreeMap<Key, Entry>,
    /// Circuits carried, by who asked.
    by_peer: BTreeMap<PeerId, usize>,
    carried: usize,
}

impl Carrier {
    /// An empty book of this peer.
    pub fn new(me: PeerId, quota: Option<Quota>) -> Self {
        Carrier { me, quota, open: BTreeMap::new(), by_peer: BTreeMap::new(), carried: 0 }
    }

    /// Takes what the neighbour `from` asks for, until [`end`](Self::end).
    ///
    /// # Errors
    /// Why not.
    pub fn take(
        &mut self,
        from: PeerId,
        open: &Open,
        blocked: &BTreeSet<PeerId>,
        now: Time,
    ) -> Result<Taken, Why> {
        let key = (from, open.circuit);
        if open.path.last() != Some(&from) || self.open.contains_key(&key) {
            return Err(Why::Protocol);
        }
        if open.path.contains(&self.me) || open.path.contains(&open.target) {
            return Err(Why::Loop);
        }
        if open.path.iter().chain([&open.target]).any(|peer| blocked.contains(peer)) {
            return Err(Why::Blocked);
        }
        if open.target == self.me {
            self.open.insert(key, Entry { carried: false, left: u64::MAX });
            return Ok(Taken::Ends);
        }
        let quota = self.quota.ok_or(Why::NotCarrying)?;
        if open.hops == 0 {
            return Err(Why::HopLimit);
        }
        let of_peer = self.by_peer.get(&from).copied().unwrap_or(0);
        if self.carried >= quota.circuits || of_peer >= quota.per_peer {
            return Err(Why::Full);
        }
        self.open.insert(key, Entry { carried: true, left: quota.bytes });
        self.carried += 1;
        self.by_peer.insert(from, of_peer + 1);
        Ok(Taken::Carried(now + quota.time))
    }

    /// The ends of a circuit have said so much more.
    ///
    /// # Errors
    /// [`Why::Spent`] when it is more than one may.
    pub fn spend(&mut self, key: &Key, bytes: u64) -> Result<(), Why> {
        let entry = self.open.get_mut(key).ok_or(Why::Protocol)?;
        entry.left = entry.left.checked_sub(bytes).ok_or(Why::Spent)?;
        Ok(())
    }

    /// A circuit is over; gives whether it was in the book.
    pub fn end(&mut self, key: &Key) -> bool {
        let Some(entry) = self.open.remove(key) else { return false };
        if entry.carried {
            self.carried -= 1;
            if let Some(n) = self.by_peer.get_mut(&key.0) {
                *n -= 1;
                if *n == 0 {
                    self.by_peer.remove(&key.0);
                }
            }
        }
        true
    }

    /// How many are carried now.
    pub fn carried(&self) -> usize {
        self.carried
    }

    /// How many are in the book, those that end here included.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}
