//! One peer that answers: how many lines it is given at a time.
//!
//! It says how many it has room for, but that is a claim: a new peer gets [`FIRST_WINDOW`] lines and one more with each answer,
//! so who takes lines and never answers holds two of them. One that was overtaken by another peer with a line that was
//! overdue begins anew with one, after a rest that grows each time. One that holds lines for long and then says that it did not
//! begin them, [`SPREAD_REFUSALS`] times without an answer in between, gets no more.

use crate::limits::{SPREAD_REFUSALS, SPREAD_WINDOW};
use std::time::Duration;

/// Lines a new peer is given at a time. Unit: lines. One to work on, and one that is on its way meanwhile.
pub(super) const FIRST_WINDOW: usize = 2;

/// How often the rest doubles at most. A guess: with lines that are overdue after two seconds it is two minutes then.
const MAX_DOUBLED: u32 = 6;

/// See the file.
#[derive(Debug)]
pub(super) struct Seat {
    /// Lines at a time, as the peer says; 0: it does not answer.
    says: usize,
    /// Lines at a time that it has earned.
    earned: usize,
    /// Lines it is asked now.
    pub(super) running: usize,
    /// It gave a line back, and gets nothing more until it says again that it answers.
    paused: bool,
    /// It gave a line back and has answered none since.
    gave_back: bool,
    /// How often it was overtaken since it last answered.
    overtaken: u32,
    rests_until: Duration,
    /// How often it refused late since it last answered, and when it did so last.
    refused: u32,
    refused_at: Duration,
}

impl Default for Seat {
    fn default() -> Seat {
        Seat {
            says: 0,
            earned: FIRST_WINDOW,
            running: 0,
            paused: false,
            gave_back: false,
            overtaken: 0,
            rests_until: Duration::ZERO,
            refused: 0,
            refused_at: Duration::ZERO,
        }
    }
}

impl Seat {
    /// It says how many lines it takes at a time, and how many more it would take now.
    pub(super) fn says(&mut self, jobs: u64, free: u64) {
        let number = |number: u64| usize::try_from(number).unwrap_or(SPREAD_WINDOW).min(SPREAD_WINDOW);
        // One at least: who has nothing free now lets it wait, or says that it is busy.
        self.says = (self.running + number(free)).max(1).min(number(jobs));
        self.paused = false;
    }

    /// Lines it would be given now.
    pub(super) fn room(&self) -> usize {
        match self.paused || self.is_left_out() {
            true => 0,
            false => self.says.min(self.earned).saturating_sub(self.running),
        }
    }

    /// Whether it answers, as far as one knows.
    pub(super) fn answers(&self) -> bool {
        self.running > 0 || (self.says > 0 && !self.gave_back && !self.is_left_out())
    }

    /// Whether it neither answers nor is asked.
    pub(super) fn is_gone(&self) -> bool {
        self.says == 0 && self.running == 0
    }

    /// Whether there is nothing against it since it last answered: no other peer was faster, and no line was held and refused.
    pub(super) fn is_blameless(&self) -> bool {
        self.overtaken == 0 && self.refused == 0
    }

    fn is_left_out(&self) -> bool {
        self.refused >= SPREAD_REFUSALS
    }

    /// Whether it answers and does not rest, so that lines may wait for it.
    pub(super) fn is_awake(&self, now: Duration) -> bool {
        self.answers() && !self.paused && !self.is_left_out() && self.rests_until <= now
    }

    /// When it may be given lines again.
    pub(super) fn rests_until(&self) -> Duration {
        self.rests_until
    }

    /// It answered a line.
    pub(super) fn answered(&mut self) {
        self.earned = (self.earned + 1).min(SPREAD_WINDOW);
        (self.gave_back, self.overtaken, self.rests_until) = (false, 0, Duration::ZERO);
        self.refused = 0;
    }

    /// It did not begin a line, or was lost with one.
    pub(super) fn gave_back(&mut self) {
        (self.paused, self.gave_back) = (true, true);
    }

    /// It did not begin a line that it was asked at `since`, and took long to say so. Whether it is left out from now on.
    /// Lines that it had at the same time count as one: they come back together when what answers them there ends.
    pub(super) fn refused(&mut self, since: Duration, now: Duration) -> bool {
        if self.refused > 0 && since < self.refused_at {
            return false;
        }
        (self.refused, self.refused_at) = (self.refused + 1, now);
        self.refused == SPREAD_REFUSALS
    }

    /// It was lost with a line: what it said before it was lost counts no more.
    pub(super) fn lost(&mut self) {
        self.paused = true;
    }

    /// Another peer, which was asked later, answered a line that was overdue here.
    pub(super) fn overtaken(&mut self, overdue: Duration, now: Duration) {
        self.earned = 1;
        self.rests_until = now + overdue * (1 << self.overtaken.min(MAX_DOUBLED));
        self.overtaken += 1;
    }
}
