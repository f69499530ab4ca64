//! A look-up: asking those who are closer and closer to a key.
//!
//! It goes along [`PATHS`] disjoint paths (Baumgart and Mies, "S/Kademlia", 2007, §4.3): nobody is asked on two of
//! them, so one path of honest peers is enough. Each path begins with its part of the closest peers that we know,
//! asks the closest it has not asked, and is at its end when the [`PATH_WIDTH`] closest have answered. One query of a
//! path is under way at a time, and up to [`ALPHA`] when some are slow, so a dead peer costs less than its time-out.
//!
//! What is not here: time-outs, and sending. The overlay says what was answered, slow or failed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::key::Distance;
use super::{Contact, Find, Key, Record};
use crate::limits::{ALPHA, BUCKET, MAX_PATH_KNOWN, MAX_PATH_QUERIES, MAX_RECORDS_OF_KEY, PATH_WIDTH, PATHS};
use crate::{PeerId, Time};

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The peers closest to a key.
    Peers,
    /// The records of a key, until two peers gave some.
    Quick,
    /// All records of a key that can be found.
    Thorough,
}

/// How a look-up ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The peers closest to the key that answered, at most [`BUCKET`], the closest first.
    pub closest: Vec<Arc<Contact>>,
    /// The records found, the newest of each publisher.
    pub records: Vec<Arc<Record>>,
    /// The peer whose key was looked up, if it was reached itself.
    pub met: Option<Arc<Contact>>,
    /// After how many peers in a row the first record, or the peer itself, was found; for [`Goal::Peers`] how many in a row led
    /// to the closest one.
    pub hops: u32,
    /// What was asked, in order.
    pub steps: Vec<Step>,
}

/// One query of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Who was asked.
    pub peer: PeerId,
    /// Who told of it; `None` when it was in our table.
    pub by: Option<PeerId>,
    /// On which path. From 0 to [`PATHS`] − 1.
    pub path: usize,
    /// How many peers in a row led to it, itself counted.
    pub hops: u32,
    /// Bits that it shares with the key looked up.
    pub bits: usize,
    /// When it was asked.
    pub asked: Time,
    /// What came of it.
    pub end: Option<StepEnd>,
}

/// What came of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepEnd {
    /// It answered.
    Answered {
        /// After how long.
        after: Duration,
        /// With how many peers that were new on the path.
        peers: usize,
        /// And how many records.
        records: usize,
    },
    /// It could not be reached, or said nothing in time.
    Failed {
        /// After how long that was clear.
        after: Duration,
    },
}

/// A look-up under way.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    target: Key,
    goal: Goal,
    paths: [Path; PATHS],
    /// Who was asked on any path.
    claimed: BTreeSet<PeerId>,
    answered: BTreeMap<Distance, (Arc<Contact>, u32)>,
    /// How many gave records.
    gave: usize,
    outcome: Outcome,
}

#[derive(Clone, Debug, Default)]
struct Path {
    known: BTreeMap<Distance, Known>,
    asked: usize,
    /// Under way, and how many of them are slow.
    waiting: usize,
    slow: usize,
}

#[derive(Clone, Debug)]
struct Known {
    contact: Arc<Contact>,
    by: Option<PeerId>,
    hops: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Asked,
    Answered,
    Failed,
}

/// A query to be sent.
pub(super) struct Ask {
    pub(super) path: usize,
    pub(super) step: usize,
    pub(super) to: Arc<Contact>,
    pub(super) by: Option<PeerId>,
}

impl Lookup {
    /// Begins with these peers, the closest first.
    pub(super) fn new(target: Key, goal: Goal, from: Vec<Arc<Contact>>) -> Self {
        let mut lookup = Lookup {
            target,
            goal,
            paths: Default::default(),
            claimed: BTreeSet::new(),
            answered: BTreeMap::new(),
            gave: 0,
            outcome: Outcome::default(),
        };
        for (n, contact) in from.into_iter().enumerate() {
            lookup.paths[n % PATHS].learn(&target, contact, None, 1);
        }
        lookup
    }

    pub(super) fn target(&self) -> Key {
        self.target
    }

    pub(super) fn find(&self) -> Find {
        Find { key: self.target, records: self.goal != Goal::Peers }
    }

    /// Whom to ask now, if anybody.
    pub(super) fn next(&mut self, now: Time) -> Option<Ask> {
        if self.is_found() {
            return None;
        }
        for path in 0..PATHS {
            let Some(known) = self.paths[path].next(&self.claimed) else { continue };
            let (to, by, hops) = (known.contact.clone(), known.by, known.hops);
            self.claimed.insert(to.id());
            let bits = to.key().shared_bits(&self.target);
            let step = Step { peer: to.id(), by, path, hops, bits, asked: now, end: None };
            self.outcome.steps.push(step);
            return Some(Ask { path, step: self.outcome.steps.len() - 1, to, by });
        }
        None
    }

    /// A query is slow: another may go beside it.
    pub(super) fn slow(&mut self, path: usize) {
        self.paths[path].slow += 1;
    }

    /// A query was answered. `slow`: it had been told to be.
    pub(super) fn answered(
        &mut self,
        (path, step, slow): (usize, usize, bool),
        closer: Vec<Arc<Contact>>,
        records: Vec<Arc<Record>>,
        now: Time,
    ) {
        let Some((contact, hops)) = self.ended(path, step, slow, State::Answered) else { return };
        let by = contact.id();
        let mut peers = 0;
        for contact in closer {
            // Who was asked on another path is kept in mind all the same: it may have been asked in the wrong place.
            let known = self.claimed.contains(&contact.id());
            // A path that began with nobody gets somebody: a newcomer knows one peer at first.
            let empty = self.paths.iter().position(|path| path.known.is_empty()).filter(|_| !known);
            let learnt = self.paths[empty.unwrap_or(path)].learn(&self.target, contact, Some(by), hops + 1);
            peers += usize::from(learnt && !known);
        }
        let after = now.since(self.outcome.steps[step].asked);
        self.outcome.steps[step].end = Some(StepEnd::Answered { after, peers, records: records.len() });
        if self.goal != Goal::Peers && contact.key() == self.target {
            self.outcome.met = Some(contact.clone());
            self.found_after(hops);
        }
        self.answered.insert(contact.key().distance(&self.target), (contact, hops));
        if !records.is_empty() {
            self.gave += 1;
            self.found_after(hops);
        }
        for record in records {
            self.take(record);
        }
    }

    /// A query failed.
    pub(super) fn failed(&mut self, (path, step, slow): (usize, usize, bool), now: Time) {
        if let Some((contact, _)) = self.ended(path, step, slow, State::Failed) {
            // Who named it may have lied about where it is: another path that heard of another place asks there.
            let distance = contact.key().distance(&self.target);
            let elsewhere = |path: &Path| {
                path.known
                    .get(&distance)
                    .is_some_and(|known| known.state == State::New && known.contact != contact)
            };
            if self.paths.iter().any(elsewhere) {
                self.claimed.remove(&contact.id());
            }
            let after = now.since(self.outcome.steps[step].asked);
            self.outcome.steps[step].end = Some(StepEnd::Failed { after });
        }
    }

    /// Who was asked, and after how many hops.
    fn ended(&mut self, path: usize, step: usize, slow: bool, end: State) -> Option<(Arc<Contact>, u32)> {
        let distance = Key::of_peer(&self.outcome.steps[step].peer).distance(&self.target);
        let path = &mut self.paths[path];
        path.waiting -= 1;
        path.slow -= usize::from(slow);
        let known = path.known.get_mut(&distance)?;
        known.state = end;
        Some((known.contact.clone(), known.hops))
    }

    fn found_after(&mut self, hops: u32) {
        if self.outcome.hops == 0 {
            self.outcome.hops = hops;
        }
    }

    /// The newest of each publisher.
    fn take(&mut self, record: Arc<Record>) {
        let records = &mut self.outcome.records;
        let known = records.iter().position(|old| old.publisher().id == record.publisher().id);
        match known {
            Some(place) if records[place].seq() < record.seq() => records[place] = record,
            Some(_) => {}
            None if records.len() < MAX_RECORDS_OF_KEY => records.push(record),
            None => {}
        }
    }

    /// Nothing is left to ask, or enough was found.
    pub(super) fn is_over(&self) -> bool {
        self.is_found()
            || self.paths.iter().all(|path| path.waiting == 0 && path.peek(&self.claimed).is_none())
    }

    fn is_found(&self) -> bool {
        self.outcome.met.is_some() || (self.goal == Goal::Quick && self.gave >= 2)
    }

    /// What was found up to now.
    pub(super) fn outcome(mut self) -> Outcome {
        if let (0, Some((_, (_, hops)))) = (self.outcome.hops, self.answered.iter().next()) {
            self.outcome.hops = *hops;
        }
        self.outcome.closest = self.answered.into_values().map(|(contact, _)| contact).take(BUCKET).collect();
        self.outcome
    }
}

impl Path {
    /// Somebody was told of. Gives whether that was new.
    fn learn(&mut self, target: &Key, contact: Arc<Contact>, by: Option<PeerId>, hops: u32) -> bool {
        let distance = contact.key().distance(target);
        if contact.addrs().is_empty() || self.known.contains_key(&distance) {
            return false;
        }
        self.known.insert(distance, Known { contact, by, hops, state: State::New });
        if self.known.len() - self.asked > MAX_PATH_KNOWN {
            let farthest = self.known.iter().rev().find(|(_, known)| known.state == State::New);
            if let Some(farthest) = farthest.map(|(distance, _)| *distance) {
                self.known.remove(&farthest);
                return farthest != distance;
            }
        }
        true
    }

    /// Whom to ask next, however many queries are under way.
    fn peek(&self, claimed: &BTreeSet<PeerId>) -> Option<Distance> {
        if self.asked >= MAX_PATH_QUERIES {
            return None;
        }
        let elsewhere = |known: &Known| known.state == State::New && claimed.contains(&known.contact.id());
        let closest =
            self.known.iter().filter(|(_, known)| known.state != State::Failed && !elsewhere(known));
        closest.take(PATH_WIDTH).find(|(_, known)| known.state == State::New).map(|(distance, _)| *distance)
    }

    fn next(&mut self, claimed: &BTreeSet<PeerId>) -> Option<&Known> {
        if self.waiting >= ALPHA || self.waiting > self.slow {
            return None;
        }
        let distance = self.peek(claimed)?;
        let known = self.known.get_mut(&distance)?;
        known.state = State::Asked;
        self.asked += 1;
        self.waiting += 1;
        Some(known)
    }
}
