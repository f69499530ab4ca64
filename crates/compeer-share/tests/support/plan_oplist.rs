//! Arbitrary calls of a plan against a model that keeps every group by itself.
//!
//! Bytes are a list of operations; what the model knows must be what the plan says after each. In the end a
//! new source that has everything must bring it to its end, whatever happened before.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use compeer::Time;
use compeer_share::RangeSet;
use compeer_share::limits::MAX_WANT;
use compeer_share::plan::{Plan, Source};

/// Sources that come and go.
const SOURCES: u8 = 5;
/// Most groups of a plan; every one is looked at after each operation.
const MOST: u64 = 700;

/// What the model knows of a source, per group.
struct Seen {
    have: Vec<bool>,
    lacks: Vec<bool>,
    flying: Vec<bool>,
    owing_since: Option<Time>,
}

struct Model {
    plan: Plan,
    missing: Vec<bool>,
    window: Option<u64>,
    sources: BTreeMap<Source, Seen>,
    now: Time,
}

/// Runs a list of operations and checks the plan after each.
pub(crate) fn run(bytes: &[u8]) {
    let mut bytes = bytes.iter().copied();
    let mut byte = || bytes.next();
    let (Some(size), Some(mode)) = (byte(), byte()) else { return };
    let groups = u64::from(size) * MOST / 255;
    let missing = RangeSet::from_range(0..groups);
    let window = (mode.is_multiple_of(4)).then_some(1 + u64::from(mode));
    let mut plan = match window {
        Some(window) => Plan::in_order(missing, window),
        None => Plan::new(missing),
    };
    plan.begin_at(u64::from(mode / 4) * groups / 64);
    let missing = vec![true; groups as usize];
    let mut model = Model { plan, missing, window, sources: BTreeMap::new(), now: Time::ZERO };
    while let (Some(op), Some(arg), Some(more)) = (byte(), byte(), byte()) {
        let source = Source::from(arg % SOURCES);
        let start = u64::from(more) * groups / 255;
        let range = start..(start + u64::from(arg)).min(groups);
        match op % 9 {
            0..=2 => drop(model.next(source)),
            3 => model.arrive_asked(source, more),
            4 => model.arrive(source, range),
            5 => model.refuse(source, range),
            6 => model.gone(source),
            7 => model.offer(source, arg, more),
            _ => model.now = model.now + Duration::from_millis(u64::from(arg) * u64::from(more)),
        }
        model.check();
    }
    model.finish();
}

fn count(flags: &[bool]) -> u64 {
    flags.iter().filter(|flag| **flag).count() as u64
}

fn indices(range: &Range<u64>) -> Range<usize> {
    range.start as usize..range.end as usize
}

impl Model {
    fn groups(&self) -> usize {
        self.missing.len()
    }

    fn offer(&mut self, source: Source, arg: u8, more: u8) {
        let none = vec![false; self.groups()];
        // All, or a part, or every few groups.
        let stride = usize::from(arg / SOURCES % 7) + 1;
        let from = usize::from(more) * self.groups() / 512 * usize::from(more % 2);
        let offered = |n: usize| n >= from && (n / 16).is_multiple_of(stride);
        let have: RangeSet =
            (0..self.groups()).filter(|n| offered(*n)).map(|n| n as u64..n as u64 + 1).collect();
        self.plan.offer(source, &have);
        let seen = self.sources.entry(source).or_insert_with(|| Seen {
            have: none.clone(),
            lacks: none.clone(),
            flying: none,
            owing_since: None,
        });
        for n in 0..seen.have.len() {
            seen.have[n] = offered(n) && !seen.lacks[n];
        }
    }

    fn next(&mut self, source: Source) -> Option<Range<u64>> {
        let next = self.plan.next(source, self.now);
        let first = self.missing.iter().position(|missing| *missing).unwrap_or(0) as u64;
        let end = self.window.map_or(u64::MAX, |window| first + window);
        let asked_of_nobody = |n: usize| {
            self.missing[n] && self.sources.values().all(|seen| !seen.flying[n]) && (n as u64) < end
        };
        let Some(range) = next else {
            if let Some(seen) = self.sources.get(&source).filter(|seen| seen.owing_since.is_none()) {
                let idle = (0..self.groups()).find(|n| seen.have[*n] && asked_of_nobody(*n));
                assert_eq!(idle, None, "an idle source was given nothing, and there was something");
            }
            return None;
        };
        assert!(range.start < range.end && range.end - range.start <= MAX_WANT, "{range:?}");
        assert!(range.end <= end, "{range:?} is beyond the window, {end}");
        let seen = &self.sources[&source];
        for n in indices(&range) {
            assert!(self.missing[n], "{n} is there already");
            assert!(seen.have[n], "{n} is not had by {source}");
            assert!(!seen.flying[n], "{n} was asked of {source} twice");
        }
        let seen = self.sources.get_mut(&source).unwrap();
        seen.flying[indices(&range)].fill(true);
        seen.owing_since.get_or_insert(self.now);
        Some(range)
    }

    /// Something that was asked, or the beginning of it.
    fn arrive_asked(&mut self, source: Source, more: u8) {
        let Some(seen) = self.sources.get(&source) else { return };
        let Some(start) = seen.flying.iter().position(|flying| *flying) else { return };
        let len = seen.flying[start..].iter().take_while(|flying| **flying).count();
        let len = len.min(1 + usize::from(more));
        self.arrive(source, start as u64..(start + len) as u64);
    }

    fn arrive(&mut self, source: Source, range: Range<u64>) {
        let new: RangeSet = range.clone().filter(|n| self.missing[*n as usize]).map(|n| n..n + 1).collect();
        assert_eq!(self.plan.is_wanted(&range), !new.is_empty());
        assert_eq!(self.plan.arrived(source, range.clone(), self.now), new);
        self.missing[indices(&range)].fill(false);
        if let Some(seen) = self.sources.get_mut(&source) {
            seen.flying[indices(&range)].fill(false);
            seen.settle();
        }
    }

    fn refuse(&mut self, source: Source, range: Range<u64>) {
        self.plan.refused(source, range.clone());
        if let Some(seen) = self.sources.get_mut(&source) {
            seen.flying[indices(&range)].fill(false);
            seen.have[indices(&range)].fill(false);
            seen.lacks[indices(&range)].fill(true);
            seen.settle();
        }
    }

    fn gone(&mut self, source: Source) {
        self.plan.gone(source);
        self.sources.remove(&source);
    }

    fn check(&self) {
        assert_eq!(self.plan.remaining(), count(&self.missing));
        assert_eq!(self.plan.is_done(), self.plan.missing().is_empty());
        let flying: u64 = self.sources.values().map(|seen| count(&seen.flying)).sum();
        assert_eq!(self.plan.in_flight(), flying);
        let had = |n: usize| self.sources.values().any(|seen| seen.have[n]);
        let unavailable: RangeSet = (0..self.groups())
            .filter(|n| self.missing[*n] && !had(*n))
            .map(|n| n as u64..n as u64 + 1)
            .collect();
        assert_eq!(self.plan.unavailable(), unavailable);
    }

    /// All sources but a new one fall silent, and it ends well.
    fn finish(&mut self) {
        let last = Source::from(SOURCES);
        self.offer(last, 0, 0);
        for _ in 0..2 * self.groups() + 64 {
            if self.plan.is_done() {
                return;
            }
            if let Some(range) = self.next(last) {
                self.now = self.now + Duration::from_millis(10);
                self.arrive(last, range);
                self.check();
            } else {
                self.now = self.now + Duration::from_secs(1);
            }
        }
        panic!("it does not end; {:?} is missing", self.plan.missing());
    }
}

impl Seen {
    fn settle(&mut self) {
        if !self.flying.contains(&true) {
            self.owing_since = None;
        }
    }
}
