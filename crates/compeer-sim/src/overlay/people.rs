//! Who is in a world: the start, who joins, who leaves, who was made to stand next to somebody.
//!
//! Whoever joins does so over an honest peer that is in, and over another if that one does not answer; what
//! becomes of somebody who knows only enemies is another question. A start that is warm fills each bucket with peers drawn at random among those
//! that belong there: as after a long calm, and without the hours it takes.

use std::collections::BTreeSet;
use std::time::Duration;

use compeer_proto::limits::BUCKET;
use compeer_proto::overlay::{Contact, Overlay};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::member::{self, Member};
use super::net::{below, chance};
use super::places::Places;
use super::queue::{Number, What};
use super::{DRAWS, World};
use crate::Act;

/// Time after which somebody who joined over a peer that did not answer tries another.
const JOIN_AGAIN: Duration = Duration::from_secs(10);

impl World {
    /// Everybody is there from the beginning and knows others.
    pub(super) fn warm(&mut self) {
        for _ in 0..self.scenario.peers {
            let number = self.draw_member();
            self.enter(number);
        }
        let all = Places::new(self.members.iter().zip(0..).map(|(member, n)| (member.contact.key(), n)));
        // Of one network not all find a place.
        let draws = if self.scenario.per_network == 1 { BUCKET } else { 4 * BUCKET };
        for n in 0..self.scenario.peers {
            let key = self.members[n as usize].contact.key();
            for bits in 0..256 {
                let sharing = all.sharing(&key, bits);
                for place in sample(sharing.len(), draws, &mut self.rng) {
                    let contact = self.members[sharing[place].1 as usize].contact.clone();
                    if let Some(overlay) = &mut self.members[n as usize].overlay {
                        overlay.reached(contact, self.now);
                    }
                }
                if all.sharing(&key, bits + 1).is_empty() && all.closest(&key, 1) == [n] && sharing.len() <= 1
                {
                    break;
                }
            }
            let first =
                Duration::from_millis(below(&mut self.rng, u64::from(self.scenario.settle) * 500 + 1));
            self.queue.push(self.now + first, What::Announce(n));
            self.drain(n);
        }
    }

    /// Ground ids come in, next to one of those who are in.
    pub(super) fn grind(&mut self) {
        let Some(ground) = self.scenario.ground else { return };
        let all = Places::new(self.live.iter().map(|n| (self.members[*n as usize].contact.key(), *n)));
        let honest = self.live.iter().find(|n| self.members[**n as usize].act.is_none());
        let Some(victim) = honest.copied() else { return };
        let key = self.members[victim as usize].contact.key();
        // The closest is the peer itself.
        let Some(next) = all.closest(&key, 2).last().copied() else { return };
        let than = self.members[next as usize].contact.key().distance(&key);
        self.victim = Some(victim);
        for contact in member::grind(&ground, &key, than, &mut self.rng) {
            let number = self.add(contact, Some(ground.act));
            self.enter(number);
            self.join(number);
        }
    }

    /// One more peer of the scenario, not in yet.
    pub(super) fn draw_member(&mut self) -> Number {
        let contact = member::contact(&self.scenario, self.members.len() as Number);
        let hostile = self.scenario.hostile;
        let act = hostile.filter(|hostile| chance(&mut self.rng, hostile.share)).map(|hostile| hostile.act);
        self.add(contact, act)
    }

    fn add(&mut self, contact: Contact, act: Option<Act>) -> Number {
        let number = self.members.len() as Number;
        let aside = self.scenario.partition.is_some_and(|partition| chance(&mut self.rng, partition.share));
        self.ids.insert(contact.id(), number);
        self.members.push(Member::new(contact, act, &mut self.rng, aside));
        number
    }

    /// A peer begins to live.
    pub(super) fn enter(&mut self, number: Number) {
        let (seed, place) = (self.rng.next_u64(), self.live.len());
        let member = &mut self.members[number as usize];
        member.overlay = Some(Overlay::new(member.id(), seed, self.now));
        member.place = place;
        self.live.push(number);
        if member.act.is_some() {
            self.hostile.insert(member.contact.key(), number);
        }
    }

    /// A peer leaves without a word.
    pub(super) fn leave(&mut self, number: Number) {
        let member = &mut self.members[number as usize];
        if member.overlay.take().is_none() {
            return;
        }
        let place = member.place;
        if member.act.is_some() {
            self.hostile.remove(member.contact.key());
        }
        self.live.swap_remove(place);
        if let Some(moved) = self.live.get(place) {
            self.members[*moved as usize].place = place;
        }
        self.measure.left(number);
        self.trace.note(self.now.as_micros(), number, number, 20, [0; 2]);
    }

    /// A peer that knows nobody asks one that is in.
    pub(super) fn join(&mut self, number: Number) {
        let (now, over) = (self.now, self.draw_over(number));
        if let Some(overlay) = &mut self.members[number as usize].overlay {
            overlay.join(over, now);
            self.queue.push(now + JOIN_AGAIN, What::CheckJoined(number));
            self.drain(number);
        }
    }

    /// An honest peer to join over.
    fn draw_over(&mut self, number: Number) -> Option<Contact> {
        for _ in 0..DRAWS {
            let drawn = self.draw_live();
            let other = &self.members[drawn as usize];
            if drawn != number && other.act.is_none() && !self.are_apart(drawn, number) {
                return Some(other.contact.clone());
            }
        }
        None
    }

    /// Somebody joins.
    pub(super) fn come(&mut self, number: Number) {
        self.members[number as usize].since = Some(self.now);
        self.enter(number);
        if self.live.len() > 1 {
            self.join(number);
        }
        let after = Duration::from_millis(2000 + below(&mut self.rng, 2000));
        self.queue.push(self.now + after, What::Announce(number));
        self.trace.note(self.now.as_micros(), number, number, 21, [0; 2]);
    }

    /// One leaves, one comes, and the next are planned.
    pub(super) fn churn(&mut self) {
        if self.live.len() > 1 {
            let gone = self.draw_live();
            self.leave(gone);
            let number = self.draw_member();
            self.come(number);
        }
        let micros = 60e6 / (self.scenario.churn_per_minute * self.live.len() as f64);
        // Between none and twice the mean, so that leaving is not in step with anything.
        let after = below(&mut self.rng, (2.0 * micros) as u64 + 1).max(1);
        self.queue.push(self.now + Duration::from_micros(after), What::Churn);
    }
}

/// At most `n` different numbers below `of`.
fn sample(of: usize, n: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    if of <= n {
        return (0..of).collect();
    }
    let mut drawn = BTreeSet::new();
    while drawn.len() < n {
        drawn.insert(below(rng, of as u64) as usize);
    }
    drawn.into_iter().collect()
}
