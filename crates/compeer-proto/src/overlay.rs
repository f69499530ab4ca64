//! The overlay: finding any peer, and who has a content, by asking few.
//!
//! [`Overlay`] is the machine of one peer: Kademlia (Maymounkov and Mazières, 2002) with the disjoint paths of
//! S/Kademlia (Baumgart and Mies, 2007). It has a [`table`] of peers, few of each distance, runs look-ups,
//! keeps records of others, and has its own kept by the [`BUCKET`] peers closest to their key.
//!
//! It sends nothing and reads no clock. The contract, as in `session`: call a verb (`look_up`,
//! `answered`, …) with the time, then take all of [`Overlay::poll`]; call [`Overlay::tick`] when
//! [`Overlay::wake`] has come. Each [`Effect::Ask`] and [`Effect::Test`] is answered by one
//! `answered` or `failed`; those that are not fail by themselves after a while.
//!
//! Who calls is not thereby in the table. Somebody is who was reached where it says it is: a caller is
//! tested by calling it back, and whoever cannot be called is served as a client of the overlay.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::limits::{
    BUCKET, MAX_LOOKUPS, MAX_PUBLISHED, MAX_RECORDS_TOLD, MAX_REMEMBERED, QUERY_FAILS, QUERY_SLOW, REPUBLISH,
    UPKEEP,
};
use crate::{Addr, PeerAddr, PeerId, Time};

mod chance;
mod contact;
mod key;
mod lookup;
mod record;
mod store;
pub mod table;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod upkeep;
mod wire;

use chance::Chance;
pub use contact::Contact;
pub use key::{Distance, Key};
use lookup::Lookup;
pub use lookup::{Goal, Outcome, Step, StepEnd};
pub use record::{Record, RecordError, Subject};
pub use store::{Refused, Store};
use table::Table;
pub use wire::{Answer, Find, Malformed};

/// The overlay as one peer sees it.
#[derive(Clone, Debug)]
pub struct Overlay {
    me: PeerId,
    key: Key,
    table: Table,
    store: Store,
    chance: Chance,
    lookups: BTreeMap<u64, Running>,
    queries: BTreeMap<u64, Query>,
    /// Peers to be called back; those that failed stay a while, so that they are not called again at once.
    tests: BTreeMap<PeerId, Test>,
    published: BTreeMap<Subject, Published>,
    /// Peers that may be there: asked when few are known.
    remembered: Vec<Arc<Contact>>,
    effects: VecDeque<Effect>,
    next_number: u64,
    upkeep: Time,
    /// Something failed since the last look at the table: look again soon.
    shaken: bool,
}

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask a peer. Ends with [`Overlay::answered`] or [`Overlay::failed`].
    Ask {
        /// The number of the query.
        query: u64,
        /// Whom.
        to: Arc<Contact>,
        /// Who told of it: the way to it may lead over that peer.
        by: Option<PeerId>,
        /// What.
        find: Find,
    },
    /// Have a peer keep a record. Nothing is awaited.
    Keep {
        /// Whom.
        to: Arc<Contact>,
        /// What.
        record: Arc<Record>,
    },
    /// Call a peer at its first address and see whether it is there. Ends with [`Overlay::tested`].
    Test {
        /// Whom.
        contact: Arc<Contact>,
    },
    /// Sign a new record about this, and [`Overlay::publish`] it: it was announced.
    Sign {
        /// About what.
        subject: Subject,
    },
    /// A look-up is over.
    Done {
        /// Its number, as [`Overlay::look_up`] gave it.
        lookup: u64,
        /// What it found.
        outcome: Outcome,
    },
}

#[derive(Clone, Debug)]
struct Running {
    lookup: Lookup,
    purpose: Purpose,
}

/// Why a look-up was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Purpose {
    /// Somebody asked for it.
    Wanted,
    /// To know the neighbourhood of a key better.
    Upkeep,
    /// To find who shall keep a record.
    Publish(Arc<Record>),
}

#[derive(Clone, Debug)]
struct Query {
    lookup: u64,
    path: usize,
    step: usize,
    to: Arc<Contact>,
    asked: Time,
    slow: bool,
}

#[derive(Clone, Debug)]
struct Test {
    contact: Arc<Contact>,
    /// Until when it is awaited, or not to be tested again.
    until: Time,
    pending: bool,
}

#[derive(Clone, Debug)]
struct Published {
    record: Option<Arc<Record>>,
    due: Time,
    holders: usize,
}

/// No look-up can be begun now: [`MAX_LOOKUPS`] are under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many look-ups are under way: try again in a moment")]
#[non_exhaustive]
pub struct Busy;

impl Overlay {
    /// The machine of a peer. `seed` decides where it looks when it refreshes, and when.
    pub fn new(me: PeerId, seed: u64, now: Time) -> Self {
        let key = Key::of_peer(&me);
        let mut chance = Chance::new(seed);
        let upkeep = now + chance.jitter(UPKEEP);
        Overlay {
            me,
            key,
            table: Table::new(key),
            store: Store::new(key),
            chance,
            lookups: BTreeMap::new(),
            queries: BTreeMap::new(),
            tests: BTreeMap::new(),
            published: BTreeMap::new(),
            remembered: Vec::new(),
            effects: VecDeque::new(),
            next_number: 0,
            upkeep,
            shaken: false,
        }
    }

    /// Whom it knows.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// What it keeps for others.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Where it stands.
    pub fn key(&self) -> Key {
        self.key
    }

    /// What is to be done next, in order; `None` when that is all for now.
    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Names peers that may take part, as those of an earlier run; the last [`MAX_REMEMBERED`] are kept. They are asked when something is
    /// looked up and few are known.
    pub fn remember(&mut self, peers: impl IntoIterator<Item = Contact>) {
        for peer in peers {
            let known = peer.id() == self.me || self.remembered.iter().any(|other| other.id() == peer.id());
            if known || peer.addrs().is_empty() {
                continue;
            }
            if self.remembered.len() == MAX_REMEMBERED {
                self.remembered.remove(0);
            }
            self.remembered.push(Arc::new(peer));
        }
    }

    /// Enters the overlay over these peers: looks for its own neighbours, and fills the table on the way.
    /// Called again whenever there is reason to doubt the table, such as a new network.
    pub fn join(&mut self, over: impl IntoIterator<Item = Contact>, now: Time) {
        let over = over.into_iter().filter(|contact| contact.id() != self.me).map(Arc::new).collect();
        self.begin(self.key, Goal::Peers, Purpose::Upkeep, over, now);
    }

    /// A peer was reached at the first of its addresses.
    pub fn reached(&mut self, contact: Contact, now: Time) {
        self.place(Arc::new(contact), now);
    }

    /// A peer called and says it is reached there: it is tested if there is use for it. The addresses are to be
    /// those from which it calls, with the port it names; nobody is called where a stranger points.
    pub fn called(&mut self, contact: Contact, now: Time) {
        if contact.id() != self.me && !contact.addrs().is_empty() && self.table.wants(&contact) {
            self.test(Arc::new(contact), now);
        }
    }

    /// Answers a question.
    pub fn answer(&self, from: PeerId, find: &Find, now: Time) -> Answer {
        let closest = self.table.closest(&find.key, BUCKET + 1);
        let others = closest.iter().filter(|contact| contact.id() != from).take(BUCKET);
        let closer = others.map(|contact| contact.to_peer_addr()).collect();
        Answer { closer, records: if find.records { self.records(&find.key, now) } else { Vec::new() } }
    }

    /// Records of a key: those kept, and one's own.
    fn records(&self, key: &Key, now: Time) -> Vec<Arc<Record>> {
        let own = self.published.iter().filter(|(subject, _)| subject.key() == *key);
        let own = own.filter_map(|(_, published)| published.record.clone());
        own.chain(self.store.get(key, MAX_RECORDS_TOLD, now)).take(MAX_RECORDS_TOLD).collect()
    }

    /// Keeps a record for who made it. `wall`: seconds since 1970.
    ///
    /// # Errors
    /// Why not.
    pub fn keep(&mut self, from: PeerId, record: Record, wall: u64, now: Time) -> Result<(), Refused> {
        let lasts = record.lasts(wall).ok_or(Refused::Ended)?;
        // Whoever stores there looked for the closest; views differ a little.
        let key = record.subject().key();
        let mine = key.distance(&self.key);
        let nearer = self.table.closest(&key, 2 * BUCKET);
        if nearer.len() == 2 * BUCKET && nearer.iter().all(|contact| contact.key().distance(&key) < mine) {
            return Err(Refused::Far);
        }
        self.store.keep(from, Arc::new(record), lasts, now)
    }

    /// Begins a look-up; [`Effect::Done`] ends it.
    ///
    /// # Errors
    /// [`Busy`].
    pub fn look_up(&mut self, key: Key, goal: Goal, now: Time) -> Result<u64, Busy> {
        if self.running(|purpose| *purpose == Purpose::Wanted) >= MAX_LOOKUPS {
            return Err(Busy);
        }
        Ok(self.begin(key, goal, Purpose::Wanted, Vec::new(), now))
    }

    /// Ends a look-up before its time. Nothing comes of it any more.
    pub fn cancel(&mut self, lookup: u64) {
        self.lookups.remove(&lookup);
    }

    /// Has records about this kept by others, from now on and every [`REPUBLISH`] anew: each time
    /// [`Effect::Sign`] asks for one.
    ///
    /// # Errors
    /// [`Busy`] when [`MAX_PUBLISHED`] are.
    pub fn announce(&mut self, subject: Subject, now: Time) -> Result<(), Busy> {
        if !self.published.contains_key(&subject) && self.published.len() >= MAX_PUBLISHED {
            return Err(Busy);
        }
        let published =
            self.published.entry(subject).or_insert(Published { record: None, due: now, holders: 0 });
        published.due = now;
        Ok(())
    }

    /// A record that was asked for, signed. Nothing happens when it is not announced any more.
    pub fn publish(&mut self, record: Record, now: Time) {
        let (subject, record) = (record.subject(), Arc::new(record));
        let due = now + self.chance.jitter(REPUBLISH);
        let Some(published) = self.published.get_mut(&subject) else { return };
        (published.record, published.due) = (Some(record.clone()), due);
        self.begin(subject.key(), Goal::Peers, Purpose::Publish(record), Vec::new(), now);
    }

    /// Publishes no longer. What others keep ends by itself.
    pub fn withdraw(&mut self, subject: &Subject) {
        self.published.remove(subject);
    }

    /// What is published, and how many peers were asked to keep it.
    pub fn published(&self) -> impl Iterator<Item = (Subject, usize)> {
        self.published.iter().map(|(subject, published)| (*subject, published.holders))
    }

    /// How many look-ups of a kind are under way.
    fn running(&self, kind: impl Fn(&Purpose) -> bool) -> usize {
        self.lookups.values().filter(|running| kind(&running.purpose)).count()
    }

    /// Whether the answer of a query is still waited for.
    pub fn waits_for(&self, query: u64) -> bool {
        self.queries.contains_key(&query)
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn begin(&mut self, key: Key, goal: Goal, purpose: Purpose, over: Vec<Arc<Contact>>, now: Time) -> u64 {
        let number = self.number();
        let mut from = self.table.closest(&key, BUCKET);
        if from.len() < BUCKET / 2 {
            // Few are known to be well: those who failed may be back.
            from = self.table.closest_of_all(&key, BUCKET);
        }
        let mut others = over;
        if from.len() < BUCKET {
            others.extend(self.remembered.iter().cloned());
            others.sort_by_key(|contact| contact.key().distance(&key));
        }
        for contact in others {
            if from.iter().all(|other| other.id() != contact.id()) {
                from.push(contact);
            }
        }
        self.table.looked_at(&key, now);
        self.lookups.insert(number, Running { lookup: Lookup::new(key, goal, from), purpose });
        self.advance(number, now);
        number
    }

    /// Sends what a look-up wants to ask, or ends it.
    fn advance(&mut self, number: u64, now: Time) {
        let Some(running) = self.lookups.get_mut(&number) else { return };
        while let Some(ask) = running.lookup.next(now) {
            self.next_number += 1;
            let (query, find) = (self.next_number, running.lookup.find());
            self.effects.push_back(Effect::Ask { query, to: ask.to.clone(), by: ask.by, find });
            let (path, step, to) = (ask.path, ask.step, ask.to);
            self.queries.insert(query, Query { lookup: number, path, step, to, asked: now, slow: false });
        }
        if running.lookup.is_over()
            && let Some(Running { lookup, purpose }) = self.lookups.remove(&number)
        {
            self.over(number, lookup, purpose, now);
        }
    }

    fn over(&mut self, number: u64, lookup: Lookup, purpose: Purpose, now: Time) {
        let outcome = lookup.outcome();
        match purpose {
            Purpose::Wanted => self.effects.push_back(Effect::Done { lookup: number, outcome }),
            Purpose::Upkeep => {}
            Purpose::Publish(record) => {
                if let Some(published) = self.published.get_mut(&record.subject()) {
                    published.holders = outcome.closest.len();
                    if outcome.closest.is_empty() {
                        // Nobody there yet.
                        published.due = published.due.min(now + self.chance.jitter(UPKEEP));
                    }
                }
                for to in outcome.closest {
                    self.effects.push_back(Effect::Keep { to, record: record.clone() });
                }
            }
        }
    }

    /// The peer of a query was reached at this address: it counts as being there, and nowhere else.
    pub fn reached_at(&mut self, query: u64, addr: &Addr) {
        if let Some(query) = self.queries.get_mut(&query)
            && query.to.addrs() != std::slice::from_ref(addr)
        {
            query.to = Arc::new(Contact::new(PeerAddr::new(query.to.id(), [addr.clone()])));
        }
    }

    /// A peer answered a query over a connection that it made itself: so it was not shown to be where it
    /// is said to be.
    pub fn answered_on_its_call(&mut self, query: u64, answer: Answer, now: Time) {
        if let Some(to) = self.queries.get(&query).map(|query| query.to.clone()) {
            self.called((*to).clone(), now);
        }
        self.take_answer(query, answer, now);
    }

    /// A peer answered a query, having been called.
    pub fn answered(&mut self, query: u64, answer: Answer, now: Time) {
        if let Some(to) = self.queries.get(&query).map(|query| query.to.clone()) {
            self.place(to, now);
        }
        self.take_answer(query, answer, now);
    }

    fn take_answer(&mut self, query: u64, answer: Answer, now: Time) {
        let Some(Query { lookup, path, step, to, slow, .. }) = self.queries.remove(&query) else { return };
        let Some(running) = self.lookups.get_mut(&lookup) else { return };
        let target = running.lookup.target();
        let told = answer.closer.into_iter().take(BUCKET).filter(|peer| peer.id != self.me);
        let told = told.map(|peer| self.as_known(Contact::new(peer).told_by(&to))).collect();
        let records = answer.records.into_iter().filter(|record| record.subject().key() == target);
        let records = records.take(MAX_RECORDS_TOLD).collect();
        if let Some(running) = self.lookups.get_mut(&lookup) {
            running.lookup.answered((path, step, slow), told, records, now);
        }
        self.advance(lookup, now);
    }

    /// Somebody of the table is called where we reached it, whatever others say.
    fn as_known(&self, contact: Contact) -> Arc<Contact> {
        match self.table.at(&contact.key()) {
            Some(entry) if entry.failures == 0 => entry.contact.clone(),
            _ => Arc::new(contact),
        }
    }

    /// A query failed: the peer could not be reached, or gave no answer that can be read.
    pub fn failed(&mut self, query: u64, now: Time) {
        let Some(Query { lookup, path, step, to, slow, .. }) = self.queries.remove(&query) else { return };
        self.shaken |= self.table.at(&to.key()).is_some();
        self.table.failed(&to.key(), now);
        if let Some(running) = self.lookups.get_mut(&lookup) {
            running.lookup.failed((path, step, slow), now);
        }
        self.advance(lookup, now);
    }
}

impl Query {
    /// When it is slow, then when it has failed.
    fn due(&self) -> Time {
        self.asked + if self.slow { QUERY_FAILS } else { QUERY_SLOW }
    }
}
