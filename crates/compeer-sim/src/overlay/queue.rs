//! What is to happen, by virtual time.
//!
//! Of two things at the same time the one that was planned first comes first, so that the order never depends
//! on the inside of a heap.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use compeer_proto::Time;
use compeer_proto::overlay::{Answer, Find, Record};

/// A member of the world, by its number.
pub(super) type Number = u32;

/// What happens at some time.
#[derive(Debug)]
pub(super) enum What {
    /// A message arrives.
    Message { from: Number, to: Number, message: Message },
    /// A machine wants to know how late it is.
    Tick(Number),
    /// One more joins.
    Join,
    /// Somebody who joined should know others by now.
    CheckJoined(Number),
    /// Somebody has its record kept for the first time.
    Announce(Number),
    /// Somebody leaves, somebody joins.
    Churn,
    /// Ground ids come in.
    Grind,
    /// What the scenario has for the time of look-ups begins.
    Begin,
    /// The parts of the network come together again.
    Heal,
    /// Somebody looks for somebody.
    LookUp,
}

/// What travels between machines. The signature of a record was checked when it was made.
#[derive(Debug)]
pub(super) enum Message {
    Find { query: u64, find: Find },
    Answer { query: u64, answer: Answer },
    Keep(Arc<Record>),
    Ping,
    Pong,
}

/// All that is planned.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Planned>,
    planned: u64,
}

#[derive(Debug)]
struct Planned {
    at: Time,
    number: u64,
    what: What,
}

impl Queue {
    pub(super) fn push(&mut self, at: Time, what: What) {
        self.planned += 1;
        self.heap.push(Planned { at, number: self.planned, what });
    }

    /// The next, if it comes before `end` or right then.
    pub(super) fn pop(&mut self, end: Time) -> Option<(Time, What)> {
        self.heap.peek().filter(|next| next.at <= end)?;
        self.heap.pop().map(|next| (next.at, next.what))
    }
}

// The heap gives the greatest first: the earliest is the greatest.
impl Ord for Planned {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Planned {}
