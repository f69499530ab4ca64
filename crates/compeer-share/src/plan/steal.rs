//! The end of a fetch: who is idle takes over from who is slow.
//!
//! When nothing is left to deal out, somebody still has to send what he was asked. An idle source is then asked
//! for the tail of it, as much as makes both end at the same time. The first to bring a group wins; the other brings
//! it in vain, so a theft must be worth it: it has to be done clearly before the victim would be, and who only paused may go
//! on in the next moment, so little is taken at a time. A group is asked of at most two sources at a time that are not
//! stalled. Thefts are of whole segments where possible, since half a segment of the victim's counts for nothing until
//! it is whole.

use std::ops::Range;
use std::time::Duration;

use compeer::Time;

use super::deal::by_speed;
use super::seat::Seat;
use super::{Plan, Source};
use crate::layout::SEGMENT;
use crate::limits::MAX_WANT;
use crate::ranges::RangeSet;

/// A thief must need less than this part of the time that the victim needs. A guess.
const WORTH: f64 = 0.8;

/// What a theft must save. Unit: seconds. A guess: nobody feels less, and fast sources on a busy machine pause for as long.
const LEAST_GAIN: f64 = 0.1;

/// The part of what the thief would be asked for otherwise that it takes at a time, if that is a segment. Measured in
/// `plan/tests/sim.rs`: with the whole of it, fast sources that pause bring more twice, and are through 3 % sooner at most.
const BITE: u64 = 8;

/// How long a source that has sent nothing yet is left alone.
const PATIENCE: Duration = Duration::from_millis(250);

/// A part of what a victim has to send that a thief could take.
struct Loot {
    range: Range<u64>,
    /// When the victim will have sent it, and how fast it is. Unit: seconds from now, groups per second.
    due: f64,
    pace: f64,
}

impl Plan {
    /// A range that is asked of another source already and better asked of this one too.
    pub(super) fn steal(&self, thief: Source, seat: &Seat, now: Time) -> Option<Range<u64>> {
        let guess = self.guess();
        let pace = seat.pace(now, guess);
        let begins = seat.flying_len() as f64 / pace;
        let mut loot = self.loot(thief, seat, now, guess);
        match self.window {
            // The first is what the reader waits for.
            Some(_) => loot.sort_by_key(|loot| loot.range.start),
            None => loot.sort_by(|a, b| b.due.total_cmp(&a.due)),
        }
        let most = (by_speed(seat) / BITE).max(SEGMENT);
        loot.into_iter().find_map(|loot| {
            // Both end at the same time: begins + x / pace = due - x / loot.pace.
            let share = ((loot.due - begins) / (1.0 / pace + 1.0 / loot.pace)).max(0.0).round() as u64;
            let range = tail(&loot.range, share.min(most));
            let ends = begins + (range.end - range.start) as f64 / pace;
            let worth = ends < WORTH * loot.due && ends + LEAST_GAIN < loot.due;
            (!range.is_empty() && worth).then_some(range)
        })
    }

    fn loot(&self, thief: Source, seat: &Seat, now: Time, guess: f64) -> Vec<Loot> {
        let mine = seat.flying();
        let mut all = Vec::new();
        for (victim, other) in self.seats.iter().filter(|(victim, _)| **victim != thief) {
            if other.speed().is_none() && other.silence(now) < PATIENCE {
                continue;
            }
            let taken = self.taken(&[thief, *victim], now);
            let pace = other.pace(now, guess);
            let mut before = 0;
            for flight in other.flights() {
                let free = flight.intersection(&self.missing).intersection(seat.have());
                let free = free.difference(&mine).difference(&taken);
                if let Some(range) = free.iter().next_back() {
                    let ahead = before + flight.clip(&(0..range.end)).len();
                    all.push(Loot { range, due: ahead as f64 / pace, pace });
                }
                before += flight.len();
            }
        }
        all
    }

    /// What is asked of sources that are at work, leaving these two out.
    fn taken(&self, but: &[Source; 2], now: Time) -> RangeSet {
        let at_work = |(source, seat): &(&Source, &Seat)| !but.contains(source) && !seat.is_stalled(now);
        self.seats
            .iter()
            .filter(at_work)
            .flat_map(|(_, seat)| seat.flights().iter().flat_map(RangeSet::iter))
            .collect()
    }
}

/// About `share` groups from the end of a range, from the border of a segment on.
fn tail(range: &Range<u64>, share: u64) -> Range<u64> {
    let exact = range.end.saturating_sub(share.min(MAX_WANT)).max(range.start);
    let below = exact - exact % SEGMENT;
    let (lower, upper) = (below.max(range.start), below.saturating_add(SEGMENT).min(range.end));
    let fits = range.end - lower <= MAX_WANT;
    let start = if fits && exact - lower <= upper - exact { lower } else { upper };
    start..range.end
}
