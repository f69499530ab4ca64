//! The peer table: a bounded list of peers this program knows, with numbered
//! slots.
//!
//! It is the `peers` of the BTPeer framework: the application's own list, which
//! routers and stabilizers use. It is not the list of connections
//! ([`Peer::connections`](crate::Peer::connections)), and being in it keeps no
//! connection open. Like the original, [`insert`](Table::insert) never changes
//! an entry that is there, and says `false` when full; unlike it, slots and ids
//! can be used side by side. Iteration is in slot order, the same in every run.

use std::collections::BTreeMap;
use std::sync::Mutex;

use compeer_proto::{PeerAddr, PeerId};

use crate::lock;

/// A bounded table of peers.
///
/// ```
/// use compeer::{Identity, PeerAddr, Table};
///
/// let table = Table::new(1);
/// let alice = PeerAddr::new(Identity::generate().peer_id(), []);
/// let bob = PeerAddr::new(Identity::generate().peer_id(), []);
/// assert!(table.insert(alice.clone()));
/// assert!(!table.insert(bob.clone()), "full");
/// assert_eq!(table.get(alice.id), Some(alice.clone()));
/// assert_eq!(table.remove(alice.id), Some(alice));
/// assert!(table.insert_at(0, bob));
/// ```
#[derive(Debug)]
pub struct Table {
    capacity: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    slots: BTreeMap<usize, PeerAddr>,
    by_id: BTreeMap<PeerId, usize>,
}

impl Table {
    /// An empty table for `capacity` peers; 0 is the limit of
    /// [`limits`](crate::limits::MAX_TABLE).
    pub fn new(capacity: usize) -> Self {
        let capacity =
            if capacity == 0 { crate::limits::MAX_TABLE } else { capacity.min(crate::limits::MAX_TABLE) };
        Table { capacity, inner: Mutex::default() }
    }

    /// How many peers it can hold.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many peers it holds.
    pub fn len(&self) -> usize {
        lock(&self.inner).by_id.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it can hold no more.
    pub fn is_full(&self) -> bool {
        self.len() >= self.capacity
    }

    /// Adds a peer in the lowest free slot. `false`, and no change, when it is
    /// there already or the table is full.
    pub fn insert(&self, peer: PeerAddr) -> bool {
        let mut inner = lock(&self.inner);
        let free = (0..self.capacity).find(|slot| !inner.slots.contains_key(slot));
        let Some(slot) = free else { return false };
        inner.put(slot, peer)
    }

    /// Adds a peer in slot `slot`. `false`, and no change, when the slot is
    /// taken or beyond the capacity, or the peer is there already.
    pub fn insert_at(&self, slot: usize, peer: PeerAddr) -> bool {
        let mut inner = lock(&self.inner);
        slot < self.capacity && !inner.slots.contains_key(&slot) && inner.put(slot, peer)
    }

    /// The entry of a peer.
    pub fn get(&self, id: PeerId) -> Option<PeerAddr> {
        let inner = lock(&self.inner);
        inner.slots.get(inner.by_id.get(&id)?).cloned()
    }

    /// The entry in a slot.
    pub fn get_at(&self, slot: usize) -> Option<PeerAddr> {
        lock(&self.inner).slots.get(&slot).cloned()
    }

    /// Removes a peer, giving its entry.
    pub fn remove(&self, id: PeerId) -> Option<PeerAddr> {
        let mut inner = lock(&self.inner);
        let slot = inner.by_id.remove(&id)?;
        inner.slots.remove(&slot)
    }

    /// Removes the entry in a slot, giving it. Other slots stay as they are.
    pub fn remove_at(&self, slot: usize) -> Option<PeerAddr> {
        let mut inner = lock(&self.inner);
        let peer = inner.slots.remove(&slot)?;
        inner.by_id.remove(&peer.id);
        Some(peer)
    }

    /// Replaces the addresses of a peer that is there; `false` when it is not.
    pub fn update(&self, peer: PeerAddr) -> bool {
        let mut inner = lock(&self.inner);
        let Some(slot) = inner.by_id.get(&peer.id).copied() else { return false };
        inner.slots.insert(slot, peer);
        true
    }

    /// All entries, in slot order.
    pub fn list(&self) -> Vec<PeerAddr> {
        lock(&self.inner).slots.values().cloned().collect()
    }

    /// All ids, in slot order.
    pub fn ids(&self) -> Vec<PeerId> {
        lock(&self.inner).slots.values().map(|peer| peer.id).collect()
    }
}

impl Inner {
    fn put(&mut self, slot: usize, peer: PeerAddr) -> bool {
        if self.by_id.contains_key(&peer.id) {
            return false;
        }
        self.by_id.insert(peer.id, slot);
        self.slots.insert(slot, peer);
        true
    }
}
