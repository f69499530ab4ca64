//! How far something is, for a line on the terminal and for programs: percent, bytes, rate, time left, sources.
//!
//! The node tells how far it is a few times a second; rate and time left are worked out here, from what arrived in
//! the last seconds, so that they follow a line that slows down and do not jump with every packet. The line leaves
//! out what has no room, the least needed first, so that it fits a narrow window.

use crate::size;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How often a node tells how far it is.
pub(crate) const EVERY: Duration = Duration::from_millis(250);

/// What the rate is taken over. A guess: long enough to be calm, short enough to be true.
const WINDOW: Duration = Duration::from_secs(4);

/// Columns of the bar, at most and at least.
const BAR: (usize, usize) = (24, 8);

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// Files are read to learn their hashes.
    Hashing,
    /// Files come in.
    Fetching,
}

/// How far a node is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) phase: Phase,
    pub(crate) done_bytes: u64,
    /// 0 until it is known.
    pub(crate) total_bytes: u64,
    /// Peers it comes from.
    pub(crate) sources: u32,
    /// Asked for and not here yet: what a crash may cost.
    pub(crate) window_bytes: u64,
    /// Seconds for which a source is still waited for, while there is none.
    pub(crate) wait_s: Option<u64>,
}

/// The same with what follows from the steps before it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Progress {
    pub(crate) event: &'static str,
    #[serde(flatten)]
    pub(crate) step: Step,
    /// Bytes per second.
    pub(crate) rate: u64,
    /// Seconds; `None` while nothing moves.
    pub(crate) left_s: Option<u64>,
}

/// Works out rates.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    steps: VecDeque<(Instant, u64)>,
    phase: Option<Phase>,
}

impl Meter {
    /// Takes a step.
    pub(crate) fn at(&mut self, now: Instant, step: Step) -> Progress {
        if self.phase.replace(step.phase) != Some(step.phase) {
            self.steps.clear();
        }
        self.steps.push_back((now, step.done_bytes));
        while self.steps.len() > 2 && now - self.steps[1].0 > WINDOW {
            self.steps.pop_front();
        }
        let (since, before) = self.steps[0];
        let seconds = (now - since).as_secs_f64();
        let moved = step.done_bytes.saturating_sub(before) as f64;
        let rate = if seconds > 0.0 { (moved / seconds) as u64 } else { 0 };
        let left = step.total_bytes.saturating_sub(step.done_bytes);
        Progress { event: "progress", step, rate, left_s: (rate > 0).then(|| left.div_ceil(rate)) }
    }
}

impl Progress {
    /// One line of at most `width` columns.
    pub(crate) fn line(&self, width: usize) -> String {
        let Step { phase, done_bytes: done, total_bytes: total, sources, .. } = self.step;
        let percent = percent(done, total);
        let doing = match phase {
            Phase::Hashing => "hashing",
            Phase::Fetching => "fetching",
        };
        let bytes = format!("{} of {}", size::short(done), size::short(total));
        let left = match (phase, self.left_s) {
            (Phase::Fetching, _) if sources == 0 => match self.step.wait_s {
                Some(wait) => format!("waiting for a source, {} left", clock(wait)),
                None => "waiting for a source".to_string(),
            },
            (_, Some(left)) => format!("{} left", clock(left)),
            (_, None) => "waiting".to_string(),
        };
        let from = match (phase, sources) {
            (Phase::Hashing, _) | (_, 0) => String::new(),
            (_, 1) => "1 source".to_string(),
            (_, sources) => format!("{sources} sources"),
        };
        // In the order in which they stand, with the order in which they are left out: the highest goes first.
        let mut parts = [
            (5, doing.to_string()),
            (0, format!("{percent:>3} %")),
            (3, bytes),
            (2, size::rate(self.rate)),
            (1, left),
            (4, from),
        ];
        let mut line = joined(&parts);
        for gone in (1..=5).rev() {
            if line.len() <= width {
                break;
            }
            parts.iter_mut().filter(|(rank, _)| *rank == gone).for_each(|(_, part)| part.clear());
            line = joined(&parts);
        }
        let room = width.saturating_sub(line.len() + 4).min(BAR.0);
        if parts[0].1.is_empty() || room < BAR.1 {
            line.truncate(width);
            return line;
        }
        let full = (room as u64 * percent / 100) as usize;
        let bar = format!("[{}{}]", "#".repeat(full), "-".repeat(room - full));
        parts[1].1 = format!("{bar} {}", parts[1].1);
        joined(&parts)
    }
}

fn joined(parts: &[(u8, String)]) -> String {
    let parts: Vec<_> = parts.iter().map(|(_, part)| part.as_str()).filter(|part| !part.is_empty()).collect();
    parts.join("  ")
}

/// 100 only when all of it is there.
fn percent(done: u64, total: u64) -> u64 {
    match total {
        0 => 0,
        total => (u128::from(done.min(total)) * 100 / u128::from(total)) as u64,
    }
}

/// Seconds as a clock shows them: `0:07`, `12:34`, `3:25:00`; beyond two days in days.
pub(crate) fn clock(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{rest:02}"),
        1..48 => format!("{hours}:{minutes:02}:{rest:02}"),
        _ => format!("{} days", hours / 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(done: u64, sources: u32) -> Step {
        Step {
            phase: Phase::Fetching,
            done_bytes: done,
            total_bytes: 4_000_000_000,
            sources,
            window_bytes: 0,
            wait_s: None,
        }
    }

    fn moving() -> Progress {
        let mut meter = Meter::default();
        let began = Instant::now();
        meter.at(began, step(0, 1));
        meter.at(began + Duration::from_secs(10), step(1_200_000_000, 3))
    }

    #[test]
    fn fits_every_width() {
        let progress = moving();
        let shown: Vec<_> = [100, 79, 60, 50, 40, 20, 5].map(|width| progress.line(width)).into();
        let wanted = [
            "fetching  [#######-----------------]  30 %  1.20 GB of 4.00 GB  120 MB/s  0:24 left  3 sources",
            "fetching  [##------]  30 %  1.20 GB of 4.00 GB  120 MB/s  0:24 left  3 sources",
            " 30 %  1.20 GB of 4.00 GB  120 MB/s  0:24 left  3 sources",
            " 30 %  1.20 GB of 4.00 GB  120 MB/s  0:24 left",
            " 30 %  120 MB/s  0:24 left",
            " 30 %  0:24 left",
            " 30 %",
        ];
        assert_eq!(shown, wanted);
        for width in 0..200 {
            assert!(progress.line(width).len() <= width, "{width}");
        }
    }

    #[test]
    fn the_rate_follows_the_last_seconds() {
        let mut meter = Meter::default();
        let began = Instant::now();
        let mut at = |seconds: u64, done| meter.at(began + Duration::from_secs(seconds), step(done, 1));
        assert_eq!(at(0, 0).left_s, None);
        assert_eq!(at(1, 100_000_000).rate, 100_000_000);
        for seconds in 2..20 {
            at(seconds, 100_000_000);
        }
        let still = at(20, 100_000_000);
        assert_eq!((still.rate, still.left_s), (0, None));
        assert!(still.line(99).contains("waiting"));
        assert!(at(21, 100_000_400).left_s.is_some());
    }

    #[test]
    fn another_phase_begins_anew() {
        let mut meter = Meter::default();
        let began = Instant::now();
        let hashing = Step { phase: Phase::Hashing, ..step(4_000_000_000, 0) };
        meter.at(began, hashing);
        let first = meter.at(began + Duration::from_secs(1), step(0, 1));
        assert_eq!((first.rate, first.left_s), (0, None));
    }

    #[test]
    fn all_of_it_and_not_before() {
        assert_eq!(percent(3_999_999_999, 4_000_000_000), 99);
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
        assert_eq!(percent(0, 0), 0);
        assert_eq!(
            [clock(7), clock(754), clock(12_300), clock(200_000)],
            ["0:07", "12:34", "3:25:00", "2 days"]
        );
    }
}
