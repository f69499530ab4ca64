//! Keeping the table true: who is tested, and what is looked at again.
//!
//! Somebody is tested who called us and could be of use, and whoever was silent longest when another wants its
//! place or when nothing was heard of it for a while. One peer is tested and one bucket refreshed at a time, more often
//! when something just failed or the table was just begun.

use std::sync::Arc;

use super::table::Placed;
use super::{Contact, Effect, Goal, Overlay, Purpose, Test};
use crate::limits::{BUCKET, BUCKET_STALE, MAX_TESTS, QUERY_FAILS, SILENT, UPKEEP};
use crate::{PeerId, Time};

impl Overlay {
    /// A peer that was to be tested is there, or is not.
    pub fn tested(&mut self, peer: PeerId, there: bool, now: Time) {
        let Some(test) = self.tests.get_mut(&peer).filter(|test| test.pending) else { return };
        let contact = test.contact.clone();
        if there {
            self.tests.remove(&peer);
            self.place(contact, now);
        } else {
            (test.pending, test.until) = (false, now + UPKEEP);
            self.shaken |= self.table.at(&contact.key()).is_some();
            self.table.failed(&contact.key(), now);
        }
    }

    pub(super) fn place(&mut self, contact: Arc<Contact>, now: Time) {
        if let Placed::Waits(silent) = self.table.reached(contact, now)
            && self.table.at(&silent.key()).is_some_and(|entry| now.since(entry.seen) >= UPKEEP)
        {
            self.test(silent, now);
        }
    }

    pub(super) fn test(&mut self, contact: Arc<Contact>, now: Time) {
        self.tests.retain(|_, test| test.pending || test.until > now);
        let pending = self.tests.values().filter(|test| test.pending).count();
        let known = self.tests.contains_key(&contact.id());
        if known || pending >= MAX_TESTS || self.tests.len() >= 16 * MAX_TESTS {
            return;
        }
        let test = Test { contact: contact.clone(), until: now + QUERY_FAILS, pending: true };
        self.tests.insert(contact.id(), test);
        self.effects.push_back(Effect::Test { contact });
    }

    /// Tests who was silent for long, refreshes what nobody looked into for long, and forgets what has ended.
    pub(super) fn look_after_table(&mut self, now: Time) {
        let mut soon = std::mem::take(&mut self.shaken);
        self.store.drop_ended(now);
        // What was published among few is published again when there are more.
        let more = self.table.closest(&self.key, BUCKET).len();
        for published in self.published.values_mut().filter(|published| published.holders < more - more / 4) {
            published.due = published.due.min(now);
        }
        let patience = if soon { UPKEEP } else { SILENT };
        let silent = self.table.longest_silent().filter(|entry| now.since(entry.seen) >= patience);
        if let Some(contact) = silent.map(|entry| entry.contact.clone()) {
            self.test(contact, now);
        }
        if let Some((bits, looked)) = self.table.stalest()
            && looked.is_none_or(|looked| now.since(looked) >= BUCKET_STALE)
        {
            let key = self.key.at(bits, self.chance.bytes());
            self.begin(key, Goal::Peers, Purpose::Upkeep, Vec::new(), now);
            // A table that was just begun is filled at once, not in half an hour.
            soon |= looked.is_none();
        }
        let after = if soon { UPKEEP / 16 } else { UPKEEP };
        self.upkeep = now + self.chance.jitter(after);
    }
}
