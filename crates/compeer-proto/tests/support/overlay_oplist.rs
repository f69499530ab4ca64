//! A few machines of the overlay, driven by bytes: what proptest and the fuzzer both run.
//!
//! The bytes choose who looks up what, which effect is carried out next, which answers are lost, late, empty or made
//! up, who is dead, and how time goes. After each step the promises are checked: only who was reached stands in a
//! table, of one network two in a bucket, each query is asked once and each look-up ends once,
//! what is kept was made by who had it kept. Only the public API is used.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use compeer_proto::overlay::{Answer, Contact, Effect, Find, Goal, Key, Overlay, Record, Subject};
use compeer_proto::peer_id::signing_input;
use compeer_proto::{PeerAddr, PeerId, Time, limits};
use ed25519_dalek::{Signer, SigningKey};

/// Machines that run.
const PEERS: usize = 6;
/// Ids that exist: the others are told of and never answer.
const IDS: usize = 24;
const DAWN: u64 = 1_700_000_000;

struct World {
    keys: Vec<SigningKey>,
    ids: Vec<PeerId>,
    machines: Vec<Overlay>,
    now: Time,
    waiting: Vec<(usize, Effect)>,
    /// Whom a machine was shown to have reached.
    reached: Vec<BTreeSet<PeerId>>,
    queries: Vec<BTreeSet<u64>>,
    look_ups: Vec<BTreeMap<u64, bool>>,
}

/// Runs the list, then lets time go until all is at rest.
pub(crate) fn run(data: &[u8]) {
    let mut world = World::new();
    let mut bytes = data.iter().copied();
    while let Some(op) = bytes.next() {
        let (a, b) = (bytes.next().unwrap_or(0), bytes.next().unwrap_or(0));
        world.step(op, usize::from(a), usize::from(b));
        world.check();
    }
    world.end();
}

impl World {
    fn new() -> World {
        let keys: Vec<_> = (0..IDS as u8).map(|n| SigningKey::from_bytes(&[n + 1; 32])).collect();
        let ids: Vec<_> =
            keys.iter().map(|key| PeerId::from_bytes(key.verifying_key().as_bytes()).unwrap()).collect();
        let machines = ids.iter().take(PEERS).map(|id| Overlay::new(*id, 7, Time::ZERO)).collect();
        World {
            keys,
            ids,
            machines,
            now: Time::ZERO,
            waiting: Vec::new(),
            reached: vec![BTreeSet::new(); PEERS],
            queries: vec![BTreeSet::new(); PEERS],
            look_ups: vec![BTreeMap::new(); PEERS],
        }
    }

    /// Many share a network, so that its bound is met.
    fn contact(&self, n: usize) -> Contact {
        let n = n % IDS;
        let addr = format!("203.0.{}.{}:7", n % 3, n + 1).parse().unwrap();
        Contact::new(PeerAddr::new(self.ids[n], [addr]))
    }

    fn record(&self, n: usize, subject: Subject) -> Record {
        let key = &self.keys[n];
        let wall = DAWN + self.now.since(Time::ZERO).as_secs();
        let sign = |domain: &str, bytes: &[u8]| key.sign(&signing_input(domain, bytes)).to_bytes();
        Record::sign(subject, self.contact(n).to_peer_addr(), vec![], wall, sign)
    }

    fn subject(&self, n: usize) -> Subject {
        if n.is_multiple_of(2) { Subject::Peer(self.ids[n % IDS]) } else { Subject::Content([n as u8; 32]) }
    }

    fn step(&mut self, op: u8, a: usize, b: usize) {
        let (me, now) = (a % PEERS, self.now);
        match op % 12 {
            0 => {
                let contact = self.contact(b);
                self.reached[me].insert(contact.id());
                self.machines[me].reached(contact, now);
            }
            1 => {
                let contact = self.contact(b);
                self.machines[me].called(contact, now);
            }
            2 => {
                let over = [self.contact(b), self.contact(b / 7)];
                self.machines[me].join(over, now);
            }
            3 => {
                let goal = [Goal::Peers, Goal::Quick, Goal::Thorough][b % 3];
                let key = self.subject(b / 3).key();
                if let Ok(number) = self.machines[me].look_up(key, goal, now) {
                    assert!(self.look_ups[me].insert(number, false).is_none(), "a number given twice");
                }
            }
            4 => {
                let subject = if b.is_multiple_of(4) {
                    Subject::Content([b as u8; 32])
                } else {
                    Subject::Peer(self.ids[me])
                };
                let _ = self.machines[me].announce(subject, now);
            }
            5 => self.machines[me].withdraw(&Subject::Content([b as u8; 32])),
            6 => {
                let number = self.look_ups[me].keys().nth(b % 8).copied();
                if let Some(number) = number {
                    self.machines[me].cancel(number);
                    self.look_ups[me].remove(&number);
                }
            }
            7 => {
                let known = [self.contact(b), self.contact(b / 5)];
                self.machines[me].remember(known);
            }
            // What waits is carried out in any order, well, badly or not at all.
            8..=10 if !self.waiting.is_empty() => {
                let (me, effect) = self.waiting.swap_remove(b % self.waiting.len());
                self.act(me, effect, a);
            }
            _ => {
                self.now = now + Duration::from_millis([1, 50, 700, 6_000, 60_000, 3_600_000][b % 6]);
                let now = self.now;
                self.machines[me].tick(now);
            }
        }
        self.drain();
    }

    /// Takes what the machines want done.
    fn drain(&mut self) {
        for (me, machine) in self.machines.iter_mut().enumerate() {
            while let Some(effect) = machine.poll() {
                match &effect {
                    Effect::Ask { query, to, .. } => {
                        assert!(self.queries[me].insert(*query), "a query asked twice");
                        assert_ne!(to.id(), self.ids[me], "it asks itself");
                    }
                    Effect::Done { lookup, outcome } => {
                        assert!(outcome.closest.len() <= limits::BUCKET);
                        if let Some(done) = self.look_ups[me].get_mut(lookup) {
                            assert!(!std::mem::replace(done, true), "a look-up ended twice");
                        }
                        continue;
                    }
                    _ => {}
                }
                self.waiting.push((me, effect));
            }
        }
    }

    fn act(&mut self, me: usize, effect: Effect, how: usize) {
        let (now, wall) = (self.now, DAWN + self.now.since(Time::ZERO).as_secs());
        let place = |ids: &[PeerId], id: PeerId| ids.iter().position(|other| *other == id);
        match effect {
            Effect::Ask { query, to, find, .. } => {
                let machine = place(&self.ids[..PEERS], to.id());
                let answer = match (how % 8, machine) {
                    (0, _) => return,
                    (1, _) | (2.., None) => return self.machines[me].failed(query, now),
                    (2, Some(_)) => self.made_up(how),
                    (_, Some(other)) => self.machines[other].answer(self.ids[me], &find, now),
                };
                if how.is_multiple_of(5) {
                    self.machines[me].answered_on_its_call(query, answer, now);
                } else {
                    self.reached[me].insert(to.id());
                    self.machines[me].answered(query, answer, now);
                }
            }
            Effect::Keep { to, record } => {
                if let Some(other) = place(&self.ids[..PEERS], to.id()) {
                    // Another one brings it, sometimes: it is refused.
                    let from = if how.is_multiple_of(9) { self.ids[(me + 1) % PEERS] } else { self.ids[me] };
                    let kept = self.machines[other].keep(from, (*record).clone(), wall, now);
                    assert!(kept.is_err() || from == record.publisher().id, "kept for another");
                }
            }
            Effect::Test { contact } => {
                let there = !how.is_multiple_of(3);
                if there {
                    self.reached[me].insert(contact.id());
                }
                self.machines[me].tested(contact.id(), there, now);
            }
            Effect::Sign { subject } => {
                let record = self.record(me, subject);
                self.machines[me].publish(record, now);
            }
            Effect::Done { .. } => unreachable!("taken when it came"),
        }
    }

    /// Peers that are everywhere and nowhere, and a record of somebody else.
    fn made_up(&self, how: usize) -> Answer {
        let closer = (0..how % 40).map(|n| self.contact(how * 7 + n).to_peer_addr()).collect();
        let records = (0..how % 5).map(|n| Arc::new(self.record((how + n) % IDS, self.subject(n)))).collect();
        Answer { closer, records }
    }

    fn check(&self) {
        for (me, machine) in self.machines.iter().enumerate() {
            let mut networks: BTreeMap<_, usize> = BTreeMap::new();
            for entry in machine.table().iter() {
                let contact = &entry.contact;
                assert_ne!(contact.id(), self.ids[me], "it knows itself");
                assert!(self.reached[me].contains(&contact.id()), "it was never reached");
                let bits = contact.key().shared_bits(&machine.key());
                *networks.entry((bits, contact.network())).or_default() += 1;
            }
            assert!(networks.values().all(|count| *count <= limits::PER_NETWORK), "too many of a network");
            assert!(machine.table().sizes().iter().all(|size| *size <= limits::BUCKET));
            assert!(machine.published().count() <= limits::MAX_PUBLISHED);
            let find = Find { key: Key::of_peer(&self.ids[me]), records: true };
            let answer = machine.answer(self.ids[(me + 1) % PEERS], &find, self.now);
            assert_eq!(Answer::decode(&answer.encode()), Ok(answer), "an answer is what it says");
        }
    }

    /// Nobody answers any more: every look-up ends.
    fn end(&mut self) {
        self.waiting.clear();
        for _ in 0..2_000 {
            if self.look_ups.iter().all(|look_ups| look_ups.values().all(|done| *done)) {
                return;
            }
            self.now = self.now + limits::QUERY_FAILS;
            let now = self.now;
            self.machines.iter_mut().for_each(|machine| machine.tick(now));
            self.drain();
            self.waiting.clear();
        }
        panic!("a look-up does not end");
    }
}
