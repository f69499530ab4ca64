//! What the tests of this module share: peers with keys of their own, and a world in which many
//! machines talk with each other, in virtual time and with no network. Whoever is dead there answers
//! nothing and does nothing, until it is alive again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ed25519_dalek::{Signer, SigningKey};

use super::{Contact, Effect, Outcome, Overlay, Record, Subject};
use crate::peer_id::signing_input;
use crate::{PeerAddr, PeerId, Time};

/// Somebody's key, a different one for each number.
pub(crate) fn key(n: u64) -> SigningKey {
    SigningKey::from_bytes(blake3::hash(&n.to_le_bytes()).as_bytes())
}

/// Somebody's id.
pub(crate) fn id(n: u64) -> PeerId {
    PeerId::from_bytes(key(n).verifying_key().as_bytes()).expect("a key")
}

/// Somebody at an address.
pub(crate) fn contact_at(n: u64, addr: &str) -> Contact {
    Contact::new(PeerAddr::new(id(n), [addr.parse().expect("an address")]))
}

/// Somebody on a private network.
pub(crate) fn contact(n: u64) -> Contact {
    contact_at(n, "10.0.0.1:7")
}

/// A record that somebody made at a wall time.
pub(crate) fn record(n: u64, subject: Subject, wall: u64) -> Record {
    let key = key(n);
    let here = contact(n).to_peer_addr();
    Record::sign(subject, here, vec![], wall, |domain, bytes| {
        key.sign(&signing_input(domain, bytes)).to_bytes()
    })
}

/// Wall time when the worlds begin. Unit: seconds since 1970.
pub(crate) const DAWN: u64 = 1_700_000_000;

/// Machines that reach each other at once, but for those that are dead.
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) peers: BTreeMap<PeerId, (u64, Overlay)>,
    pub(crate) dead: BTreeSet<PeerId>,
    pub(crate) done: Vec<(PeerId, u64, Outcome)>,
}

impl World {
    /// So many peers, each joined over the one before it.
    pub(crate) fn chain(n: u64) -> World {
        let mut world =
            World { now: Time::ZERO, peers: BTreeMap::new(), dead: BTreeSet::new(), done: Vec::new() };
        for n in 0..n {
            let mut overlay = Overlay::new(id(n), n, world.now);
            overlay.join(n.checked_sub(1).map(contact), world.now);
            world.peers.insert(id(n), (n, overlay));
            world.settle();
        }
        world
    }

    pub(crate) fn of(&mut self, n: u64) -> &mut Overlay {
        &mut self.peers.get_mut(&id(n)).expect("it was made").1
    }

    pub(crate) fn wall(&self) -> u64 {
        DAWN + self.now.since(Time::ZERO).as_secs()
    }

    /// Does what the machines ask for until none asks for more.
    pub(crate) fn settle(&mut self) {
        loop {
            let of = |(id, (n, overlay)): (&PeerId, &mut (u64, Overlay))| Some((*id, *n, overlay.poll()?));
            let effects: Vec<_> = self.peers.iter_mut().filter_map(of).collect();
            if effects.is_empty() {
                return;
            }
            for (from, n, effect) in effects {
                self.act(from, n, effect);
            }
        }
    }

    fn act(&mut self, from: PeerId, n: u64, effect: Effect) {
        let (now, wall) = (self.now, self.wall());
        let alive = |peer: &PeerId, dead: &BTreeSet<PeerId>| !dead.contains(peer) && !dead.contains(&from);
        match effect {
            Effect::Ask { query, to, find, .. } => {
                let answer = match self.peers.get_mut(&to.id()).filter(|_| alive(&to.id(), &self.dead)) {
                    Some((_, other)) => {
                        other.called(contact(n), now);
                        Some(other.answer(from, &find, now))
                    }
                    None => None,
                };
                match answer {
                    Some(answer) => self.of(n).answered(query, answer, now),
                    None => self.of(n).failed(query, now),
                }
            }
            Effect::Keep { to, record } => {
                if let Some((_, other)) = self.peers.get_mut(&to.id()).filter(|_| alive(&to.id(), &self.dead))
                {
                    let _ = other.keep(from, (*record).clone(), wall, now);
                }
            }
            Effect::Test { contact } => {
                let there = alive(&contact.id(), &self.dead) && self.peers.contains_key(&contact.id());
                self.of(n).tested(contact.id(), there, now);
            }
            Effect::Sign { subject } => {
                let record = record(n, subject, wall);
                self.of(n).publish(record, now);
            }
            Effect::Done { lookup, outcome } => self.done.push((from, lookup, outcome)),
        }
    }

    /// Lets time go by.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.settle();
            let alive = self.peers.iter().filter(|(id, _)| !self.dead.contains(id));
            let Some(next) = alive.map(|(_, (_, overlay))| overlay.wake()).min().filter(|next| *next <= end)
            else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            let (now, dead) = (self.now, &self.dead);
            let due = self
                .peers
                .iter_mut()
                .filter(|(id, (_, overlay))| !dead.contains(id) && overlay.wake() <= now);
            due.for_each(|(_, (_, overlay))| overlay.tick(now));
        }
    }

    /// Looks something up from a peer, to the end.
    pub(crate) fn find(&mut self, from: u64, subject: Subject, goal: super::Goal) -> Outcome {
        let now = self.now;
        let lookup = self.of(from).look_up(subject.key(), goal, now).expect("few are under way");
        for _ in 0..100 {
            self.settle();
            if let Some(place) = self.done.iter().position(|(peer, n, _)| (*peer, *n) == (id(from), lookup)) {
                return self.done.remove(place).2;
            }
            self.pass(Duration::from_millis(100));
        }
        panic!("the look-up does not end");
    }
}
