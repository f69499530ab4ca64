//! Medians and percentiles of what was measured.

use std::time::Duration;

/// The middle one; of an even number, the upper middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Round-trip times of one round.
#[derive(Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn extend(&mut self, other: Times) {
        self.0.extend(other.0);
    }

    /// In µs; `percent` of all took at most this long.
    pub(crate) fn percentile(&mut self, percent: f64) -> f64 {
        self.0.sort();
        let last = self.0.len().saturating_sub(1);
        let index = (percent / 100.0 * last as f64).round() as usize;
        self.0.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
    }
}
