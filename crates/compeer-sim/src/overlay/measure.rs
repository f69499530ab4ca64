//! What a run is measured by: its look-ups, and what they cost.
//!
//! A look-up has found when the peer that was looked for was reached, or when a record signed by it came back.
//! Those whose asker or target left meanwhile are not counted: nobody could have found, or nobody is there to
//! tell.

use std::collections::BTreeMap;
use std::time::Duration;

use compeer_proto::Time;
use compeer_proto::overlay::{Outcome, Subject};
use serde::Serialize;

use super::queue::Number;
use crate::Expect;

/// How many parts the time of look-ups is cut into, for the course of a run.
const PARTS: u64 = 60;

/// What came out of a run. The same for the same scenario, on every machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Peers at the beginning.
    pub peers: u32,
    /// Peers at the end.
    pub live: u32,
    /// What chance came from.
    pub seed: u64,
    /// Virtual time that went by. Unit: seconds.
    pub seconds: f64,
    /// Look-ups that were counted.
    pub lookups: u32,
    /// Of these, those that found.
    pub found: u32,
    /// Look-ups that were not counted: asker or target left meanwhile, or no two could be drawn.
    pub left_out: u32,
    /// Peers in a row that led to what was found, of look-ups that found.
    pub hops: Spread,
    /// Queries of a look-up.
    pub queries: Spread,
    /// Time of a look-up. Unit: seconds.
    pub time: Spread,
    /// Look-ups that found after so many hops: none, one, two ….
    pub hop_counts: Vec<u32>,
    /// The course of it.
    pub parts: Vec<Part>,
    /// Messages that were sent, queries and answers each counted.
    pub messages: u64,
    /// Messages that did not arrive: lost, cut off, or to somebody who had left.
    pub undelivered: u64,
    /// Peers in a table, on average at the end.
    pub table: f64,
    /// Records that a peer keeps for others, on average at the end.
    pub records: f64,
    /// BLAKE3 over every event in order.
    pub trace_hash: String,
}

/// The mean, the median, the 99th of 100, and the greatest of some numbers; all 0 of none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Their sum divided by how many there are.
    pub mean: f64,
    /// Half of them are no greater.
    pub p50: f64,
    /// All but one in a hundred are no greater.
    pub p99: f64,
    /// The greatest.
    pub max: f64,
}

/// Look-ups begun in a part of the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Part {
    /// When the part begins, after the first look-up. Unit: seconds.
    pub from: u32,
    /// How many were counted.
    pub lookups: u32,
    /// Of these, those that found.
    pub found: u32,
}

impl Summary {
    /// The share of look-ups that found; 1 when there were none.
    pub fn share(&self) -> f64 {
        if self.lookups == 0 { 1.0 } else { f64::from(self.found) / f64::from(self.lookups) }
    }

    /// What was expected and did not come out, in words.
    pub fn misses(&self, expect: &Expect) -> Vec<String> {
        let mut misses = Vec::new();
        if expect.found.is_some_and(|least| self.share() < least) {
            misses.push(format!("found {} of {} look-ups", self.found, self.lookups));
        }
        if expect.hops.is_some_and(|most| self.hops.mean > most) {
            misses.push(format!("{:.2} hops on average", self.hops.mean));
        }
        if expect.queries.is_some_and(|most| self.queries.mean > most) {
            misses.push(format!("{:.1} queries on average", self.queries.mean));
        }
        misses
    }
}

/// What is measured while it runs.
#[derive(Debug, Default)]
pub(super) struct Measure {
    /// By asker and number of the look-up.
    running: BTreeMap<(Number, u64), Running>,
    done: Vec<Sample>,
    pub(super) left_out: u32,
    pub(super) messages: u64,
    pub(super) undelivered: u64,
}

#[derive(Debug)]
struct Running {
    target: Number,
    began: Time,
}

#[derive(Debug)]
struct Sample {
    began: Time,
    found: bool,
    hops: u32,
    queries: usize,
    took: Duration,
}

impl Measure {
    pub(super) fn begin(&mut self, from: Number, lookup: u64, target: Number, began: Time) {
        self.running.insert((from, lookup), Running { target, began });
    }

    /// Which peer a look-up is for.
    pub(super) fn target(&self, from: Number, lookup: u64) -> Option<Number> {
        self.running.get(&(from, lookup)).map(|running| running.target)
    }

    /// A look-up ended; gives whether it found.
    pub(super) fn end(
        &mut self,
        (from, lookup): (Number, u64),
        outcome: &Outcome,
        sought: Subject,
        now: Time,
    ) -> bool {
        let found = outcome.met.is_some() || outcome.records.iter().any(|record| record.subject() == sought);
        if let Some(Running { began, .. }) = self.running.remove(&(from, lookup)) {
            let (hops, queries) = (outcome.hops, outcome.steps.len());
            self.done.push(Sample { began, found, hops, queries, took: now.since(began) });
        }
        found
    }

    /// Somebody left: what it looked for, and who looked for it, is not counted.
    pub(super) fn left(&mut self, who: Number) {
        let before = self.running.len();
        self.running.retain(|(from, _), running| *from != who && running.target != who);
        self.left_out += (before - self.running.len()) as u32;
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// How many have ended, and how many of these found.
    pub(super) fn so_far(&self) -> (u32, u32) {
        (self.done.len() as u32, self.done.iter().filter(|sample| sample.found).count() as u32)
    }

    pub(super) fn hops(&self) -> Spread {
        Spread::of(self.found().map(|sample| f64::from(sample.hops)))
    }

    pub(super) fn queries(&self) -> Spread {
        Spread::of(self.done.iter().map(|sample| sample.queries as f64))
    }

    pub(super) fn time(&self) -> Spread {
        Spread::of(self.done.iter().map(|sample| sample.took.as_secs_f64()))
    }

    pub(super) fn hop_counts(&self) -> Vec<u32> {
        let mut counts = Vec::new();
        for hops in self.found().map(|sample| sample.hops as usize) {
            if counts.len() <= hops {
                counts.resize(hops + 1, 0);
            }
            counts[hops] += 1;
        }
        counts
    }

    /// The course of the `duration` seconds from `begin` on.
    pub(super) fn parts(&self, begin: Time, duration: u32) -> Vec<Part> {
        let length = u64::from(duration).div_ceil(PARTS).max(1);
        let mut parts: Vec<Part> = (0..u64::from(duration).max(1).div_ceil(length))
            .map(|part| Part { from: (part * length) as u32, ..Part::default() })
            .collect();
        for sample in &self.done {
            let part = sample.began.since(begin).as_secs() / length;
            if let Some(part) = parts.get_mut(part as usize) {
                part.lookups += 1;
                part.found += u32::from(sample.found);
            }
        }
        parts
    }

    fn found(&self) -> impl Iterator<Item = &Sample> {
        self.done.iter().filter(|sample| sample.found)
    }
}

impl Spread {
    fn of(numbers: impl Iterator<Item = f64>) -> Self {
        let mut numbers: Vec<f64> = numbers.collect();
        numbers.sort_by(f64::total_cmp);
        let Some(max) = numbers.last().copied() else { return Spread::default() };
        // The smallest number that so many of a hundred do not exceed.
        let at = |percent: usize| numbers[(numbers.len() * percent).div_ceil(100).max(1) - 1];
        Spread { mean: numbers.iter().sum::<f64>() / numbers.len() as f64, p50: at(50), p99: at(99), max }
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn a_spread_is_of_the_numbers_given() {
        let spread = Spread::of((1..=200).rev().map(f64::from));
        assert_eq!(spread, Spread { mean: 100.5, p50: 100.0, p99: 198.0, max: 200.0 });
        assert_eq!(Spread::of([3.0].into_iter()), Spread { mean: 3.0, p50: 3.0, p99: 3.0, max: 3.0 });
        assert_eq!(Spread::of(std::iter::empty()), Spread::default());
    }
}
