//! What this peer keeps for others: their records, by key, bounded in every direction.
//!
//! A peer may have its own records kept and nobody else's: the caller has proven its key, and the
//! record names it as publisher. So what one peer makes others hold is counted against it, and a record that
//! ended cannot be brought back by a third. Only keys near to us are taken: the table knows
//! few who are nearer. When all is full, what is farthest from us gives way to what is nearer.
//!
//! Time is monotonic here: a record is dropped when it was kept for as long as it was to last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Key, Record};
use crate::limits::{MAX_RECORDS_KEPT, MAX_RECORDS_OF_KEY, MAX_RECORDS_OF_PUBLISHER};
use crate::{PeerId, Time};

/// Records kept for others.
#[derive(Clone, Debug)]
pub struct Store {
    me: Key,
    keys: BTreeMap<Key, BTreeMap<PeerId, Kept>>,
    /// How many records of each.
    publishers: BTreeMap<PeerId, usize>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Kept {
    record: Arc<Record>,
    until: Time,
}

/// Why a record is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// It names another publisher than who asks.
    #[error("only the publisher itself has its records kept")]
    Foreign,
    /// It has ended, or begins in the future.
    #[error("the record has ended, or the clocks differ by too much")]
    Ended,
    /// A newer one is here.
    #[error("a newer record is kept already")]
    Older,
    /// Others are nearer to its key.
    #[error("many others are nearer to its key")]
    Far,
    /// Too many of this publisher.
    #[error("too many records of this peer are kept already")]
    Publisher,
    /// No room.
    #[error("no room for more records")]
    Full,
}

impl Store {
    /// An empty one, of the peer at `me`.
    pub fn new(me: Key) -> Self {
        Store { me, keys: BTreeMap::new(), publishers: BTreeMap::new(), len: 0 }
    }

    /// Keeps a record for `from`, which has `lasts` seconds to go.
    ///
    /// # Errors
    /// Why not. What was there stays then.
    pub fn keep(&mut self, from: PeerId, record: Arc<Record>, lasts: u64, now: Time) -> Result<(), Refused> {
        if record.publisher().id != from {
            return Err(Refused::Foreign);
        }
        let key = record.subject().key();
        let until = now + Duration::from_secs(lasts);
        let of_key = self.keys.get_mut(&key);
        if let Some(kept) = of_key.and_then(|records| records.get_mut(&from)).filter(|kept| kept.until > now)
        {
            if kept.record.seq() > record.seq() {
                return Err(Refused::Older);
            }
            // The same once more does not last longer for it.
            if kept.record.seq() < record.seq() {
                *kept = Kept { record, until };
            }
            return Ok(());
        }
        if self.is_full(&key, &from) {
            self.drop_ended(now);
        }
        if self.publishers.get(&from).is_some_and(|count| *count >= MAX_RECORDS_OF_PUBLISHER) {
            return Err(Refused::Publisher);
        }
        if self.keys.get(&key).is_some_and(|records| records.len() >= MAX_RECORDS_OF_KEY) {
            return Err(Refused::Full);
        }
        if self.len >= MAX_RECORDS_KEPT {
            self.make_room(&key)?;
        }
        self.remove(&key, &from);
        *self.publishers.entry(from).or_default() += 1;
        self.keys.entry(key).or_default().insert(from, Kept { record, until });
        self.len += 1;
        Ok(())
    }

    /// Whether one more of this key and publisher meets a bound.
    fn is_full(&self, key: &Key, from: &PeerId) -> bool {
        self.len >= MAX_RECORDS_KEPT
            || self.keys.get(key).is_some_and(|records| records.len() >= MAX_RECORDS_OF_KEY)
            || self.publishers.get(from).is_some_and(|count| *count >= MAX_RECORDS_OF_PUBLISHER)
    }

    /// Lets a record of the farthest key go, if that is farther than `key`.
    fn make_room(&mut self, key: &Key) -> Result<(), Refused> {
        let farthest = self.keys.iter().max_by_key(|(key, _)| key.distance(&self.me));
        let farthest = farthest.filter(|(far, _)| far.distance(&self.me) > key.distance(&self.me));
        let Some((far, records)) = farthest else { return Err(Refused::Full) };
        if let (far, Some(from)) = (*far, records.keys().next().copied()) {
            self.remove(&far, &from);
        }
        Ok(())
    }

    fn remove(&mut self, key: &Key, from: &PeerId) {
        let Some(records) = self.keys.get_mut(key) else { return };
        if records.remove(from).is_none() {
            return;
        }
        if records.is_empty() {
            self.keys.remove(key);
        }
        self.len -= 1;
        if let Some(count) = self.publishers.get_mut(from) {
            *count -= 1;
            if *count == 0 {
                self.publishers.remove(from);
            }
        }
    }

    /// The records of a key that have not ended, at most `most`.
    pub fn get(&self, key: &Key, most: usize, now: Time) -> Vec<Arc<Record>> {
        let records = self.keys.get(key).into_iter().flat_map(BTreeMap::values);
        records.filter(|kept| kept.until > now).take(most).map(|kept| kept.record.clone()).collect()
    }

    /// Drops what has ended.
    pub fn drop_ended(&mut self, now: Time) {
        let all = self
            .keys
            .iter()
            .flat_map(|(key, records)| records.iter().map(move |(from, kept)| (key, from, kept)));
        let ended: Vec<_> =
            all.filter(|(_, _, kept)| kept.until <= now).map(|(key, from, _)| (*key, *from)).collect();
        ended.into_iter().for_each(|(key, from)| self.remove(&key, &from));
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests;
