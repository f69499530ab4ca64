//! The routing table: whom a peer knows, many nearby and a few of each distance.
//!
//! One bucket for each number of bits shared with our own key, [`BUCKET`] peers in each (Kademlia,
//! §2.2). Only who was reached where it says it is stands in it. A full bucket keeps who has
//! been there longest: a newcomer waits beside it, whoever was silent longest is tested, and only
//! if that fails the newcomer takes the place (§2.4: those who stayed long stay on). So a flood of
//! new keys displaces nobody who is there. Of one network at most [`PER_NETWORK`] stand in a bucket.
//!
//! Who fails is kept until somebody else wants the place, but is not told to others: when our own
//! line is cut everybody fails, and a table that emptied itself then could not come back.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Contact, Key};
use crate::limits::{BUCKET, BUCKET_WAITING, PER_NETWORK};
use crate::{PeerId, Time};

/// The peers known, by how close they are to us.
#[derive(Clone, Debug)]
pub struct Table {
    me: Key,
    /// Indexed by shared bits; as long as needed.
    buckets: Vec<Bucket>,
}

/// Peers that share so many bits with us.
#[derive(Clone, Debug, Default)]
struct Bucket {
    /// Who was heard of longest ago comes first.
    entries: Vec<Entry>,
    /// Reached, and without a place; the newest last.
    waiting: VecDeque<Arc<Contact>>,
    /// When it was last looked into from outside: a look-up for a key in it.
    looked: Option<Time>,
}

/// One peer of the table.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Who and where.
    pub contact: Arc<Contact>,
    /// When it last answered.
    pub seen: Time,
    /// How often it failed since.
    pub failures: u8,
}

/// What became of a peer that was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It stands in the table already, or it is ourselves.
    Known,
    /// It has a place now.
    Entered,
    /// It waits for one; this peer, the longest silent, is to be tested.
    Waits(Arc<Contact>),
    /// Too many of its network are there.
    Crowded,
}

impl Table {
    /// An empty one, of the peer at `me`.
    pub fn new(me: Key) -> Self {
        Table { me, buckets: Vec::new() }
    }

    fn bucket_mut(&mut self, key: &Key) -> Option<&mut Bucket> {
        let bits = self.me.shared_bits(key);
        if bits == 256 {
            return None;
        }
        if self.buckets.len() <= bits {
            self.buckets.resize_with(bits + 1, Bucket::default);
        }
        self.buckets.get_mut(bits)
    }

    /// A peer was reached at the first of its addresses, just now.
    pub fn reached(&mut self, contact: Arc<Contact>, now: Time) -> Placed {
        match self.bucket_mut(&contact.key()) {
            Some(bucket) => bucket.reached(contact, now),
            None => Placed::Known,
        }
    }

    /// A peer could not be reached, or did not answer. Gives whether it lost its place.
    pub fn failed(&mut self, key: &Key, now: Time) -> bool {
        self.bucket_mut(key).is_some_and(|bucket| bucket.failed(key, now))
    }

    /// Whether it would be of use to reach this peer: it is new and a place is free, or will be when somebody fails; or
    /// it failed and may be back.
    pub fn wants(&self, contact: &Contact) -> bool {
        let bits = self.me.shared_bits(&contact.key());
        match self.buckets.get(bits) {
            None => bits < 256,
            Some(bucket) => match bucket.place_of(&contact.key()) {
                Some(place) => bucket.entries[place].failures > 0,
                None => {
                    !bucket.crowded(contact, None)
                        && (bucket.entries.len() < BUCKET
                            || bucket.waiting.len() < BUCKET_WAITING
                            || bucket.entries.iter().any(|entry| entry.failures > 0))
                }
            },
        }
    }

    /// The `n` closest to `to` of those that do not fail, closest first.
    pub fn closest(&self, to: &Key, n: usize) -> Vec<Arc<Contact>> {
        self.nearest(to, n, |entry| entry.failures == 0)
    }

    /// The `n` closest to `to`, those that fail too.
    pub fn closest_of_all(&self, to: &Key, n: usize) -> Vec<Arc<Contact>> {
        self.nearest(to, n, |_| true)
    }

    fn nearest(&self, to: &Key, n: usize, take: impl Fn(&Entry) -> bool) -> Vec<Arc<Contact>> {
        let mut found: Vec<&Arc<Contact>> = Vec::new();
        let bits = self.me.shared_bits(to).min(self.buckets.len());
        let (far, near) = self.buckets.split_at(bits);
        // The bucket that `to` would be in is closest to it, all nearer to us are equally far from
        // it, and the others are farther the fewer bits they share with us.
        let (same, nearer) = near.split_at(near.len().min(1));
        let groups = [same, nearer].into_iter().chain(far.chunks(1).rev());
        for group in groups {
            if found.len() >= n {
                break;
            }
            let from = found.len();
            found.extend(
                group.iter().flat_map(|bucket| &bucket.entries).filter(|e| take(e)).map(|e| &e.contact),
            );
            found[from..].sort_by_cached_key(|contact| contact.key().distance(to));
        }
        found.into_iter().take(n).cloned().collect()
    }

    /// Everybody in it, the farthest first.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.buckets.iter().flat_map(|bucket| &bucket.entries)
    }

    /// The entry of a peer.
    pub fn get(&self, id: &PeerId) -> Option<&Entry> {
        self.at(&Key::of_peer(id))
    }

    /// The entry of the peer at a key.
    pub(super) fn at(&self, key: &Key) -> Option<&Entry> {
        let bucket = self.buckets.get(self.me.shared_bits(key))?;
        bucket.place_of(key).map(|place| &bucket.entries[place])
    }

    /// How many are in it.
    pub fn len(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.entries.len()).sum()
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many are in each bucket, by the bits shared with us.
    pub fn sizes(&self) -> Vec<usize> {
        self.buckets.iter().map(|bucket| bucket.entries.len()).collect()
    }

    /// A key is looked up: its part of the table is fresh.
    pub(super) fn looked_at(&mut self, key: &Key, now: Time) {
        let bits = self.me.shared_bits(key);
        if let Some(bucket) = self.buckets.get_mut(bits) {
            bucket.looked = Some(now);
        }
    }

    /// The bucket that was not looked into for longest, and since when. Those nearer to us than
    /// the nearest peer have nobody in them, and a look-up of our own key sees to them.
    pub(super) fn stalest(&self) -> Option<(usize, Option<Time>)> {
        let buckets = self.buckets.iter().enumerate();
        buckets.map(|(bits, bucket)| (bits, bucket.looked)).min_by_key(|(_, looked)| *looked)
    }

    /// Of whom was nothing heard for longest, failing ones left out.
    pub(super) fn longest_silent(&self) -> Option<&Entry> {
        let first = self.buckets.iter().filter_map(|b| b.entries.iter().find(|entry| entry.failures == 0));
        first.min_by_key(|entry| entry.seen)
    }
}

impl Bucket {
    fn place_of(&self, key: &Key) -> Option<usize> {
        self.entries.iter().position(|entry| entry.contact.key() == *key)
    }

    /// Whether there are enough of its network, leaving out the entry at a place.
    fn crowded(&self, contact: &Contact, but: Option<usize>) -> bool {
        let Some(network) = contact.network() else { return false };
        let same = |(place, entry): &(usize, &Entry)| {
            Some(*place) != but && entry.contact.network() == Some(network)
        };
        self.entries.iter().enumerate().filter(same).count() >= PER_NETWORK
    }

    fn reached(&mut self, contact: Arc<Contact>, now: Time) -> Placed {
        if let Some(place) = self.place_of(&contact.key()) {
            let mut entry = self.entries.remove(place);
            // Moved to a network that has enough here: it stays what it was until it fails.
            if entry.contact != contact && !self.crowded(&contact, None) {
                entry.contact = contact;
            }
            self.entries.push(Entry { seen: now, failures: 0, ..entry });
            return Placed::Known;
        }
        // Of those that failed as often, who was silent longest.
        let failing = (0..self.entries.len()).rev().max_by_key(|&place| self.entries[place].failures);
        let failing = failing.filter(|&place| self.entries[place].failures > 0);
        if self.entries.len() < BUCKET && !self.crowded(&contact, None) {
            self.enter(contact, now);
            return Placed::Entered;
        }
        if let Some(place) = failing.filter(|&place| !self.crowded(&contact, Some(place))) {
            self.entries.remove(place);
            self.enter(contact, now);
            return Placed::Entered;
        }
        if self.crowded(&contact, None) {
            return Placed::Crowded;
        }
        self.waiting.retain(|other| other.id() != contact.id());
        if self.waiting.len() == BUCKET_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(contact);
        Placed::Waits(self.entries[0].contact.clone())
    }

    fn enter(&mut self, contact: Arc<Contact>, now: Time) {
        self.waiting.retain(|other| other.id() != contact.id());
        self.entries.push(Entry { contact, seen: now, failures: 0 });
        if self.entries.len() >= BUCKET / 2 {
            // Well known without a look-up: a newcomer need not ask for it.
            self.looked.get_or_insert(now);
        }
    }

    fn failed(&mut self, key: &Key, now: Time) -> bool {
        self.waiting.retain(|contact| contact.key() != *key);
        let Some(place) = self.place_of(key) else { return false };
        self.entries[place].failures = self.entries[place].failures.saturating_add(1);
        let next = self.waiting.iter().rposition(|contact| !self.crowded(contact, Some(place)));
        let Some(contact) = next.and_then(|next| self.waiting.remove(next)) else { return false };
        self.entries.remove(place);
        self.enter(contact, now);
        true
    }
}

#[cfg(test)]
mod tests;
