//! The network between the machines: how long a message takes, and whether it arrives.
//!
//! Each peer stands somewhere on a square; the latency between two grows with the way along its streets, the
//! same in both directions, and each message takes a little longer by chance. All in whole numbers, so that
//! every machine computes the same. Nothing is sent again: a message that is lost is gone.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use crate::Scenario;

/// Where a peer stands.
pub(super) type Spot = [u16; 2];

#[derive(Debug)]
pub(super) struct Net {
    least: u64,
    span: u64,
    /// Of a thousand.
    jitter: u64,
    loss: f64,
}

impl Net {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let [least, most] = scenario.latency_ms.map(|ms| u64::from(ms) * 1000);
        Net { least, span: most - least, jitter: (scenario.jitter * 1000.0) as u64, loss: scenario.loss }
    }

    /// How long a message is under way; `None` when it is lost.
    pub(super) fn latency(&self, from: Spot, to: Spot, rng: &mut ChaCha8Rng) -> Option<Duration> {
        if self.loss > 0.0 && chance(rng, self.loss) {
            return None;
        }
        let way: u64 = (0..2).map(|axis| u64::from(from[axis].abs_diff(to[axis]))).sum();
        let base = self.least + self.span * way / (2 * u64::from(u16::MAX));
        let late = base * self.jitter / 1000;
        Some(Duration::from_micros(base + below(rng, late + 1)))
    }
}

/// Something with this probability.
pub(super) fn chance(rng: &mut ChaCha8Rng, probability: f64) -> bool {
    // 53 bits are what a float holds.
    ((rng.next_u64() >> 11) as f64) < probability * (1_u64 << 53) as f64
}

/// A number from 0 to less than `n`, which is not 0.
pub(super) fn below(rng: &mut ChaCha8Rng, n: u64) -> u64 {
    // For n far below 2^64 no number is noticeably more likely than another.
    rng.next_u64() % n
}
