//! Time and chance, both given from outside.
//!
//! A peer reads its clock and draws its dice here and nowhere else, so that a
//! test or the simulator can own both (DESIGN §4.9). Monotonic time is tokio's,
//! which a paused runtime turns into virtual time; wall time is only for
//! display and expiry and never orders anything. Chance is a seeded ChaCha
//! stream: jitter, backoff and instance numbers come from it. Keys do not: an
//! [`Identity`](crate::Identity) is made from the system's randomness.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use compeer_proto::Time;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::lock;

/// Where a peer gets the time from. Default: the system's.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use compeer::Clock;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let clock = Clock::starting_at(UNIX_EPOCH + Duration::from_secs(1_000_000_000));
/// assert!(clock.wall() >= UNIX_EPOCH + Duration::from_secs(1_000_000_000));
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Clock {
    started: tokio::time::Instant,
    wall: SystemTime,
}

impl Clock {
    /// The system's clocks.
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the system's clocks")]
    pub fn system() -> Self {
        Self::starting_at(SystemTime::now())
    }

    /// A clock whose wall time is `wall` now and goes on with tokio's time:
    /// virtual when the runtime is paused.
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the system's clocks")]
    pub fn starting_at(wall: SystemTime) -> Self {
        Clock { started: tokio::time::Instant::now(), wall }
    }

    /// Monotonic time since the clock was made.
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the system's clocks")]
    pub fn now(&self) -> Time {
        let micros = tokio::time::Instant::now().duration_since(self.started).as_micros();
        Time::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// Wall time: for display and expiry.
    pub fn wall(&self) -> SystemTime {
        self.wall + self.now().since(Time::ZERO)
    }

    pub(crate) fn instant(&self, time: Time) -> tokio::time::Instant {
        self.started + time.since(Time::ZERO)
    }
}

/// A seeded source of chance, shared by the tasks of a peer.
#[derive(Debug)]
pub(crate) struct Dice(Mutex<ChaCha8Rng>);

impl Dice {
    /// From a seed, or from the system.
    ///
    /// # Errors
    /// The system gives no randomness.
    #[allow(clippy::disallowed_methods, reason = "the seed of a peer that was given none")]
    pub(crate) fn new(seed: Option<u64>) -> Result<Self, getrandom::Error> {
        let rng = match seed {
            Some(seed) => ChaCha8Rng::seed_from_u64(seed),
            None => {
                let mut bytes = [0; 32];
                getrandom::fill(&mut bytes)?;
                ChaCha8Rng::from_seed(bytes)
            }
        };
        Ok(Dice(Mutex::new(rng)))
    }

    pub(crate) fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        lock(&self.0).fill_bytes(&mut bytes);
        bytes
    }

    /// A number below `end`; 0 when `end` is 0.
    pub(crate) fn below(&self, end: u64) -> u64 {
        // The bias of a modulus does not matter for jitter.
        lock(&self.0).next_u64().checked_rem(end).unwrap_or(0)
    }

    /// `around`, give or take a quarter.
    pub(crate) fn jitter(&self, around: Duration) -> Duration {
        let micros = u64::try_from(around.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(micros - micros / 4 + self.below(micros / 2))
    }
}
