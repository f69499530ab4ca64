//! Monotonic time, as the pure machines know it.
//!
//! A [`Time`] is a count of microseconds since a start that only the driver
//! knows. The machines never read a clock: they are handed `now` with every
//! input, so that a simulator can own time (DESIGN §4.9). It is not wall time
//! and says nothing about dates; it never goes backwards, and two processes
//! cannot compare theirs.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment on the driver's monotonic clock, in microseconds since its start.
///
/// ```
/// use std::time::Duration;
/// use compeer_proto::Time;
///
/// let t = Time::from_micros(1_000_000) + Duration::from_millis(500);
/// assert_eq!(t - Time::from_micros(1_000_000), Duration::from_millis(500));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The start of the clock.
    pub const ZERO: Time = Time(0);

    /// The moment `micros` microseconds after the start.
    pub const fn from_micros(micros: u64) -> Self {
        Time(micros)
    }

    /// Microseconds since the start.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero when it is in the future.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, rhs: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(rhs.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Time {
    type Output = Duration;

    fn sub(self, rhs: Time) -> Duration {
        self.since(rhs)
    }
}
