//! Who has been heard of: a table of at most [`MAX_NEARBY`](limits::MAX_NEARBY)
//! announcements, one per id.
//!
//! When it is full, those who came first stay: a flood of announcements does not
//! push out who was there before it. Who comes during one is not heard of, and has
//! to be named by his address.

use std::collections::BTreeMap;

use compeer_proto::PeerId;

use super::Nearby;
use crate::limits;

/// The table. Each change tells whether anything is different now.
#[derive(Debug, Default)]
pub(super) struct Near {
    all: BTreeMap<PeerId, Nearby>,
    own: Option<PeerId>,
}

impl Near {
    pub(super) fn all(&self) -> &BTreeMap<PeerId, Nearby> {
        &self.all
    }

    /// Our own announcement comes back to us, and is none.
    pub(super) fn set_own(&mut self, id: PeerId) -> bool {
        self.own = Some(id);
        self.lost(id)
    }

    pub(super) fn found(&mut self, nearby: Nearby) -> bool {
        let id = nearby.peer.id;
        let full = self.all.len() >= limits::MAX_NEARBY && !self.all.contains_key(&id);
        if full || self.own == Some(id) || self.all.get(&id) == Some(&nearby) {
            return false;
        }
        self.all.insert(id, nearby);
        true
    }

    pub(super) fn lost(&mut self, id: PeerId) -> bool {
        self.all.remove(&id).is_some()
    }

    pub(super) fn clear(&mut self) -> bool {
        let any = !self.all.is_empty();
        self.all.clear();
        any
    }
}
