//! What time brings: queries that are slow or have failed, records to be signed anew, and keeping the table true.
//!
//! Somebody is tested who called us and could be of use, and whoever was silent longest when another wants its
//! place or when nothing was heard of it for a while. One peer is tested and one bucket refreshed at a time, more often
//! when something just failed or the table was just begun.

use std::sync::Arc;

use super::table::Placed;
use super::{Contact, Effect, Goal, Overlay, Purpose, Query, Test};
use crate::limits::{
    BUCKET, BUCKET_STALE, MAX_PUBLISHING, MAX_TESTS, QUERY_FAILS, REPUBLISH, SILENT, UPKEEP,
};
use crate::{PeerId, Time};

impl Overlay {
    /// When to call [`tick`](Self::tick).
    pub fn wake(&self) -> Time {
        let queries = self.queries.values().map(Query::due);
        let tests = self.tests.values().filter(|test| test.pending).map(|test| test.until);
        let published = self.published.values().map(|published| published.due);
        queries.chain(tests).chain(published).fold(self.upkeep, Time::min)
    }

    /// Time has come by.
    pub fn tick(&mut self, now: Time) {
        let due: Vec<u64> =
            self.queries.iter().filter(|(_, query)| query.due() <= now).map(|(n, _)| *n).collect();
        for number in due {
            let Some(query) = self.queries.get_mut(&number) else { continue };
            if now.since(query.asked) >= QUERY_FAILS {
                self.failed(number, now);
                continue;
            }
            query.slow = true;
            let (lookup, path) = (query.lookup, query.path);
            if let Some(running) = self.lookups.get_mut(&lookup) {
                running.lookup.slow(path);
            }
            self.advance(lookup, now);
        }
        let silent: Vec<PeerId> = self
            .tests
            .iter()
            .filter(|(_, test)| test.pending && test.until <= now)
            .map(|(id, _)| *id)
            .collect();
        silent.into_iter().for_each(|id| self.tested(id, false, now));
        // A few at a time: each asks dozens.
        let mut room =
            MAX_PUBLISHING.saturating_sub(self.running(|purpose| matches!(purpose, Purpose::Publish(_))));
        for (subject, published) in self.published.iter_mut().filter(|(_, published)| published.due <= now) {
            if room == 0 {
                published.due = now + UPKEEP / 16;
                continue;
            }
            room -= 1;
            published.due = now + REPUBLISH;
            self.effects.push_back(Effect::Sign { subject: *subject });
        }
        if self.upkeep <= now {
            self.look_after_table(now);
        }
    }

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
    fn look_after_table(&mut self, now: Time) {
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
