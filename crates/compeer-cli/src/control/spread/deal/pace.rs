//! How long a line takes, and from when on it is overdue.
//!
//! A line is overdue when it takes [`TIMES`] as long as half of the last lines did, and no less than [`LEAST`]; as long as there
//! were too few to tell, when it takes as long as the user waits for anybody at all. He may also set it himself.

use std::collections::VecDeque;
use std::time::Duration;

/// Of the median. A guess: lines differ, and one that is only long is not to be worked on twice.
const TIMES: u32 = 4;
/// A guess: what a busy machine may take for a short line.
const LEAST: Duration = Duration::from_secs(2);
/// Lines that are enough to tell. A guess.
const ENOUGH: usize = 5;
/// Lines that are remembered. A guess: more than most windows.
const REMEMBERED: usize = 64;

/// See the file.
#[derive(Debug)]
pub(crate) struct Pace {
    set: Option<Duration>,
    at_first: Duration,
    took: VecDeque<Duration>,
    overdue: Duration,
}

impl Pace {
    /// Overdue as the user set it; else by what lines take, and before that is known after `at_first`.
    pub(crate) fn new(set: Option<Duration>, at_first: Duration) -> Pace {
        Pace { set, at_first, took: VecDeque::new(), overdue: set.unwrap_or(at_first) }
    }

    /// After how long a line is overdue.
    pub(super) fn overdue(&self) -> Duration {
        self.overdue
    }

    /// What lines may wait for an answer at most.
    pub(super) fn patience(&self) -> Duration {
        self.at_first
    }

    /// A line was answered after this time.
    pub(super) fn took(&mut self, time: Duration) {
        if self.set.is_some() {
            return;
        }
        self.took.push_back(time);
        if self.took.len() > REMEMBERED {
            self.took.pop_front();
        }
        if self.took.len() >= ENOUGH {
            let mut sorted: Vec<_> = self.took.iter().copied().collect();
            sorted.sort_unstable();
            self.overdue = (sorted[sorted.len() / 2] * TIMES).max(LEAST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_overdue_by_what_lines_take() {
        let seconds = Duration::from_secs;
        let mut pace = Pace::new(None, seconds(30));
        (1..ENOUGH).for_each(|_| pace.took(seconds(3)));
        assert_eq!(pace.overdue(), seconds(30), "too few to tell");
        pace.took(seconds(100));
        assert_eq!(pace.overdue(), seconds(12));
        (0..REMEMBERED).for_each(|_| pace.took(Duration::from_millis(5)));
        assert_eq!(pace.overdue(), LEAST);
        let mut set = Pace::new(Some(seconds(7)), seconds(30));
        (0..REMEMBERED).for_each(|_| set.took(seconds(3)));
        assert_eq!(set.overdue(), seconds(7));
    }
}
