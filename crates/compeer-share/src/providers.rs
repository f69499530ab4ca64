//! Who provides what: the records a peer has heard, kept within bounds, and the stabilizer that hears of more.
//!
//! [`Providers`] is a book without side effects; `now` is wall time in seconds. Of each content it keeps a
//! bounded number of records, of each provider the newest. When there is no room, a provider that came itself takes
//! the place of one that is only told of, and nobody else's: who is known and renews his record stays, however
//! many others a stranger makes up. `exchange` asks some of the known providers for theirs, now
//! and then.
//!
//! Whether a peer may be told is for the caller to say: of a private share, whoever proved its secret.

use std::collections::BTreeMap;

use compeer::{PeerAddr, PeerId};

use crate::ContentId;
use crate::limits::{MAX_BOOK, MAX_PROVIDERS, MAX_RECORDS};
use crate::record::{ProviderRecord, RecordError};

mod exchange;

pub use exchange::{EXCHANGE, Held, Holdings, exchange, own_record, register};

/// How a record came: what its provider itself brought counts for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Heard {
    /// Some peer passed it on.
    Told,
    /// The provider gave it, over a connection with its key.
    Itself,
}

/// The records a peer knows of.
#[derive(Debug)]
pub struct Providers {
    own: PeerId,
    book: BTreeMap<ContentId, BTreeMap<PeerId, (Heard, ProviderRecord)>>,
}

impl Providers {
    /// An empty book of this peer, of which itself no record is kept.
    pub fn new(own: PeerId) -> Self {
        Providers { own, book: BTreeMap::new() }
    }

    /// Takes a record as the bytes that `from` brought, if it is about `content` and good now. `true` when it is new
    /// or newer than the one that was known.
    ///
    /// # Errors
    /// The bytes are no record.
    pub fn hear(
        &mut self,
        content: ContentId,
        bytes: &[u8],
        from: PeerId,
        now: u64,
    ) -> Result<bool, RecordError> {
        let record = ProviderRecord::read(bytes)?;
        if record.content() != content || record.peer() == self.own || !record.is_current(now) {
            return Ok(false);
        }
        let heard = if record.peer() == from { Heard::Itself } else { Heard::Told };
        if self.is_full(content) {
            self.expire(now);
        }
        if !self.book.contains_key(&content) && self.book.len() >= MAX_BOOK {
            return Ok(false);
        }
        let known = self.book.entry(content).or_default();
        if let Some((how, old)) = known.get_mut(&record.peer()) {
            *how = heard.max(*how);
            let newer = record.issued() > old.issued();
            if newer {
                *old = record;
            }
            return Ok(newer);
        }
        if known.len() >= MAX_PROVIDERS {
            // The one told of that ends first, if this one counts for more.
            let told = known.iter().filter(|(_, (how, _))| *how < heard);
            let Some(least) = told.min_by_key(|(_, (_, old))| old.expires()).map(|(peer, _)| *peer) else {
                return Ok(false);
            };
            known.remove(&least);
        }
        known.insert(record.peer(), (heard, record));
        Ok(true)
    }

    /// The records to tell one peer, who may know of this content: the newest first, its own left out, at most
    /// [`MAX_RECORDS`].
    pub fn tell(&self, content: ContentId, to: PeerId, now: u64) -> Vec<Vec<u8>> {
        let known = self.current(content, now).filter(|record| record.peer() != to);
        let mut known: Vec<_> = known.collect();
        known.sort_by_key(|record| std::cmp::Reverse(record.issued()));
        known.into_iter().take(MAX_RECORDS).map(|record| record.bytes().to_vec()).collect()
    }

    /// Where this content may be had: those who have everything first.
    pub fn providers(&self, content: ContentId, now: u64) -> Vec<PeerAddr> {
        let mut known: Vec<_> = self.current(content, now).collect();
        known.sort_by_key(|record| !record.is_complete());
        known.into_iter().map(|record| record.provider().clone()).collect()
    }

    /// How many providers of it are known.
    pub fn count(&self, content: ContentId, now: u64) -> usize {
        self.current(content, now).count()
    }

    /// Forgets that this peer provides this: it lied, or did not know of it.
    pub fn forget(&mut self, content: ContentId, peer: PeerId) {
        if let Some(known) = self.book.get_mut(&content) {
            known.remove(&peer);
        }
        self.tidy();
    }

    /// Forgets all of a content.
    pub fn forget_content(&mut self, content: ContentId) {
        self.book.remove(&content);
    }

    /// Forgets what has ended.
    pub fn expire(&mut self, now: u64) {
        for known in self.book.values_mut() {
            known.retain(|_, (_, record)| record.is_current(now));
        }
        self.tidy();
    }

    fn current(&self, content: ContentId, now: u64) -> impl Iterator<Item = &ProviderRecord> {
        let known = self.book.get(&content).into_iter().flat_map(BTreeMap::values);
        known.map(|(_, record)| record).filter(move |record| record.is_current(now))
    }

    fn is_full(&self, content: ContentId) -> bool {
        let known = self.book.get(&content);
        known.map_or(self.book.len() >= MAX_BOOK, |known| known.len() >= MAX_PROVIDERS)
    }

    fn tidy(&mut self) {
        self.book.retain(|_, known| !known.is_empty());
    }
}

#[cfg(test)]
mod tests;
