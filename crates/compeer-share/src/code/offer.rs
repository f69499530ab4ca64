//! The side that made the code: one offer, and all who try it.
//!
//! A pure machine: attempts begin, confirm or go away at a time, and messages and events come out. Each attempt takes
//! one of the guesses that the code bears the moment it begins, and gives it back only when it was right: so no more
//! can be under way at a time than may be wrong, and who begins and goes away has guessed. For an hour the code is
//! good; with one guess (the default) the first who is right has it for himself, so that he can come again when what
//! he was told got lost on the way.

use std::collections::BTreeMap;

use bytes::Bytes;
use compeer::{PeerId, Time};

use super::Code;
use super::guess::MeetFailure;
use super::message::{Mac, Message};
use super::proof::{self, Proofs, Role};
use crate::limits;

/// What has happened to an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OfferEvent {
    /// Somebody knew the code and was given what is offered.
    Met {
        /// Who, proven.
        peer: PeerId,
    },
    /// Somebody got it wrong, or began and went away.
    Wrong {
        /// Who, proven.
        peer: PeerId,
        /// Guesses that it still bears; with 0 it is dead.
        left: u8,
    },
    /// An hour is over; it can be used no more.
    Expired,
}

/// A code that is offered.
pub struct Offer {
    code: Code,
    me: PeerId,
    payload: Bytes,
    many: bool,
    left: u8,
    until: Time,
    used_by: Option<PeerId>,
    expired: bool,
    attempts: BTreeMap<u64, (PeerId, Proofs)>,
}

/// What to send, and what to tell the user.
pub type Answer = (Message, Option<OfferEvent>);

impl Offer {
    /// Offers `payload` to the first who knows the code, or with `many` to all who do.
    pub fn new(code: Code, me: PeerId, payload: Bytes, many: bool, now: Time) -> Offer {
        let left = if many { limits::MANY_GUESSES } else { 1 };
        let until = Time::from_micros(now.as_micros() + limits::CODE_LASTS.as_micros() as u64);
        let (used_by, expired, attempts) = (None, false, BTreeMap::new());
        Offer { code, me, payload, many, left, until, used_by, expired, attempts }
    }

    /// The code.
    pub fn code(&self) -> &Code {
        &self.code
    }

    /// When it expires.
    pub fn until(&self) -> Time {
        self.until
    }

    /// Whether nobody new can come with it: it is dead, used or expired.
    pub fn is_over(&self) -> bool {
        self.left == 0 || self.expired || (!self.many && self.used_by.is_some())
    }

    /// An attempt with a new number begins. The other side's share is that of a BEGIN for this offer's number; the
    /// randomness is the system's.
    pub fn begin(
        &mut self,
        attempt: u64,
        from: PeerId,
        binding: [u8; 32],
        share: &[u8],
        now: Time,
    ) -> Answer {
        let expired = self.expire(now);
        let refuse = |failure: MeetFailure| (Message::no(&failure), expired.clone());
        if self.expired || now >= self.until {
            return refuse(MeetFailure::Expired);
        }
        if self.left == 0 {
            return refuse(MeetFailure::Dead);
        }
        if !self.many && self.used_by.is_some_and(|peer| peer != from) {
            return refuse(MeetFailure::Used);
        }
        if self.attempts.len() >= usize::from(self.left) {
            return refuse(MeetFailure::Busy);
        }
        let (spake, ours) = proof::begin(Role::Offerer, &self.code, from, self.me);
        let Some(proofs) = Proofs::from(spake, share, binding) else {
            // He has learnt nothing, so it is no guess.
            return refuse(MeetFailure::Malformed);
        };
        self.attempts.insert(attempt, (from, proofs));
        (Message::Share(ours), None)
    }

    /// An attempt that was begun proves itself.
    pub fn confirm(&mut self, attempt: u64, mac: &Mac) -> Answer {
        let Some((from, proofs)) = self.attempts.remove(&attempt) else {
            return (Message::no(&MeetFailure::Malformed), None);
        };
        if !proofs.is_right(Role::Guesser, mac) {
            let event = self.wrong(from);
            return (Message::no(&MeetFailure::Wrong { left: self.left }), Some(event));
        }
        self.used_by = Some(from);
        let right = Message::Right(proofs.of(Role::Offerer), self.payload.clone());
        (right, Some(OfferEvent::Met { peer: from }))
    }

    /// An attempt is over before it has proven itself: that was a guess. `None` for one that was through.
    pub fn gone(&mut self, attempt: u64) -> Option<OfferEvent> {
        let (from, _) = self.attempts.remove(&attempt)?;
        Some(self.wrong(from))
    }

    /// Time passes; tells once that it is expired. Attempts under way may finish.
    pub fn expire(&mut self, now: Time) -> Option<OfferEvent> {
        if self.is_over() || now < self.until {
            return None;
        }
        self.expired = true;
        Some(OfferEvent::Expired)
    }

    fn wrong(&mut self, peer: PeerId) -> OfferEvent {
        self.left = self.left.saturating_sub(1);
        OfferEvent::Wrong { peer, left: self.left }
    }
}
