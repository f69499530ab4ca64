//! One source: what it has, what it was asked and has still to send, and how fast it is.
//!
//! A source answers in the order it was asked, and everything it was asked, also what has come from elsewhere
//! meanwhile: nothing is taken back. So what it still has to send is kept by itself, apart from what is missing.

use std::ops::Range;
use std::time::Duration;

use compeer::Time;

use crate::layout::SEGMENT;
use crate::ranges::RangeSet;

/// What happened so long ago counts half in the speed of a source. A guess.
const MEMORY: f64 = 1.0;

/// Silence of so many times what a segment takes means that a source has stalled. A guess.
const STALLED_TIMES: f64 = 4.0;

/// But no less and no more than this. The stream itself is given up after `STREAM_SILENCE`.
const STALLED: Range<Duration> = Duration::from_secs(3)..Duration::from_secs(30);

/// What to expect of a stalled source: not nothing, or sums would break. Unit: groups per second.
const DEAD: f64 = 0.001;

/// Least time that is measured; a burst in no time is no infinite speed. Unit: seconds.
const TICK: f64 = 0.001;

/// One source.
#[derive(Clone, Debug, Default)]
pub(super) struct Seat {
    have: RangeSet,
    lacks: RangeSet,
    /// What is still to come of each range asked, in the order they were asked; none is empty.
    flights: Vec<RangeSet>,
    /// What has come lately, and in how many seconds of being asked.
    came: f64,
    took: f64,
    /// When something last came, or it was asked while it had nothing to send.
    mark: Time,
}

impl Seat {
    pub(super) fn offer(&mut self, have: &RangeSet) {
        self.have = have.difference(&self.lacks);
    }

    pub(super) fn have(&self) -> &RangeSet {
        &self.have
    }

    pub(super) fn flights(&self) -> &[RangeSet] {
        &self.flights
    }

    /// All that is still to come.
    pub(super) fn flying(&self) -> RangeSet {
        self.flights.iter().flat_map(RangeSet::iter).collect()
    }

    pub(super) fn flying_len(&self) -> u64 {
        self.flights.iter().map(RangeSet::len).sum()
    }

    pub(super) fn ask(&mut self, range: Range<u64>, now: Time) {
        if self.flights.is_empty() {
            self.mark = now;
        }
        self.flights.push(RangeSet::from_range(range));
    }

    pub(super) fn arrived(&mut self, range: Range<u64>, now: Time) {
        if self.flights.is_empty() {
            return; // It was not asked, so how long it took is not known.
        }
        let took = now.since(self.mark).as_secs_f64();
        let keep = MEMORY / (MEMORY + took);
        self.came = self.came * keep + range.end.saturating_sub(range.start) as f64;
        self.took = self.took * keep + took;
        self.mark = now;
        self.no_more(&range);
    }

    /// Gives what was still to come of it.
    pub(super) fn refused(&mut self, range: &Range<u64>) -> RangeSet {
        let back = self.flying().clip(range);
        self.no_more(range);
        self.have.remove(range.clone());
        self.lacks.insert(range.clone());
        back
    }

    fn no_more(&mut self, range: &Range<u64>) {
        self.flights.iter_mut().for_each(|flight| flight.remove(range.clone()));
        self.flights.retain(|flight| !flight.is_empty());
    }

    /// Measured. Unit: groups per second.
    pub(super) fn speed(&self) -> Option<f64> {
        (self.came > 0.0).then(|| self.came / self.took.max(TICK))
    }

    /// How long it has owed something without sending any.
    pub(super) fn silence(&self, now: Time) -> Duration {
        if self.flights.is_empty() { Duration::ZERO } else { now.since(self.mark) }
    }

    /// What to expect of it now: its speed, or less when it is overdue, or as good as nothing. Unit: groups per second.
    pub(super) fn pace(&self, now: Time, guess: f64) -> f64 {
        let speed = self.speed().unwrap_or(guess);
        match self.silence(now) {
            Duration::ZERO => speed,
            _ if self.is_stalled(now) => DEAD,
            silence => speed.min(SEGMENT as f64 / silence.as_secs_f64()),
        }
    }

    /// Whether it has been silent for so long that nothing more should be asked of it.
    pub(super) fn is_stalled(&self, now: Time) -> bool {
        let segment = self.speed().map_or(0.0, |speed| SEGMENT as f64 / speed);
        let patience =
            (STALLED_TIMES * segment).clamp(STALLED.start.as_secs_f64(), STALLED.end.as_secs_f64());
        self.silence(now).as_secs_f64() >= patience
    }
}
