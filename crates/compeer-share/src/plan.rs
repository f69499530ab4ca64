//! Who fetches what: ranges of groups dealt out to providers by their speed, and taken back.
//!
//! A pure machine: it is told what each provider (a [`Source`]) has, what came from whom and who is gone, and
//! gives the next range to ask of one. Nothing in here reads, verifies or waits; `now` is a parameter. Three
//! things make many sources as fast as their sum: a range is about a quarter of a second of its source's work,
//! and smaller near the end; what the others will be slowest to bring comes first (`deal`); and when nothing is left to
//! deal out, who is idle asks for the tail of what the slowest still has to send (`steal`). No source
//! is told to stop: what comes twice counts once, and how much that can be is bounded.
//!
//! What a source refused it is never asked again. A source that says nothing for long gets nothing more,
//! and what it was asked may be asked of others.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use compeer::Time;

use crate::ranges::RangeSet;

mod deal;
mod seat;
mod steal;

use seat::Seat;

/// A provider, as the caller numbers it.
pub type Source = u32;

/// After so long it may be worth to ask [`Plan::next`] again for a source that it gave nothing.
pub const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What is missing, and who has been asked for which part of it.
///
/// ```
/// use compeer::Time;
/// use compeer_share::RangeSet;
/// use compeer_share::plan::Plan;
///
/// let mut plan = Plan::new(RangeSet::from_range(0..100));
/// plan.offer(1, &RangeSet::from_range(0..100));
/// let want = plan.next(1, Time::ZERO).unwrap();
/// assert_eq!(want, 0..64);
/// let new = plan.arrived(1, want.clone(), Time::from_micros(5_000));
/// assert_eq!(new, RangeSet::from_range(want));
/// assert_eq!((plan.remaining(), plan.in_flight()), (36, 0));
/// ```
#[derive(Clone, Debug)]
pub struct Plan {
    /// What has not arrived.
    missing: RangeSet,
    /// What of it is asked of nobody.
    free: RangeSet,
    seats: BTreeMap<Source, Seat>,
    /// Where dealing out begins.
    origin: u64,
    /// How far beyond the first missing group anything is asked for.
    window: Option<u64>,
}

impl Plan {
    /// A plan to fetch these groups, in no particular order.
    pub fn new(missing: RangeSet) -> Self {
        Plan { free: missing.clone(), missing, seats: BTreeMap::new(), origin: 0, window: None }
    }

    /// A plan to fetch them in order: nothing is asked for that lies `window` groups or more behind the first one
    /// missing. For a reader that cannot go back.
    pub fn in_order(missing: RangeSet, window: u64) -> Self {
        Plan { window: Some(window.max(1)), ..Plan::new(missing) }
    }

    /// Begins at this group and comes to those before it last; nothing in a plan that is in order. When
    /// many fetch the same at once, each with another origin, they soon have something for each other.
    pub fn begin_at(&mut self, origin: u64) {
        self.origin = origin;
    }

    /// A source and what it has; or what it has by now, in place of what it had. What it refused stays refused.
    pub fn offer(&mut self, source: Source, have: &RangeSet) {
        self.seats.entry(source).or_default().offer(have);
    }

    /// The next range to ask of a source, of at most [`MAX_WANT`](crate::limits::MAX_WANT) groups. How many
    /// are asked of one at a time is the caller's affair.
    ///
    /// `None`: nothing for it now. That may change with every arrival, refusal, offer and loss, and with time:
    /// look again after [`LOOK_AGAIN`].
    pub fn next(&mut self, source: Source, now: Time) -> Option<Range<u64>> {
        let seat = self.seats.get(&source)?;
        if seat.is_stalled(now) {
            return None;
        }
        let want = self.fresh(source, seat, now).or_else(|| self.steal(source, seat, now))?;
        self.free.remove(want.clone());
        self.seats.get_mut(&source)?.ask(want.clone(), now);
        Some(want)
    }

    /// A range has come from a source and was found right. Gives the part of it that is new.
    pub fn arrived(&mut self, source: Source, range: Range<u64>, now: Time) -> RangeSet {
        let new = self.missing.clip(&range);
        self.missing.remove(range.clone());
        self.free.remove(range.clone());
        if let Some(seat) = self.seats.get_mut(&source) {
            seat.arrived(range, now);
        }
        new
    }

    /// A source has not got this range after all. It is not asked for it again.
    pub fn refused(&mut self, source: Source, range: Range<u64>) {
        let Some(seat) = self.seats.get_mut(&source) else { return };
        let back = seat.refused(&range);
        self.release(back);
    }

    /// A source is gone, or not to be asked any more. What it was asked is dealt out again; offered anew, it
    /// begins afresh.
    pub fn gone(&mut self, source: Source) {
        let Some(seat) = self.seats.remove(&source) else { return };
        self.release(seat.flying());
    }

    /// Whether any of this range has not arrived yet.
    pub fn is_wanted(&self, range: &Range<u64>) -> bool {
        self.missing.within(range.clone()).next().is_some()
    }

    /// Whether everything has arrived.
    pub fn is_done(&self) -> bool {
        self.missing.is_empty()
    }

    /// What has not arrived.
    pub fn missing(&self) -> &RangeSet {
        &self.missing
    }

    /// How much has not arrived. Unit: groups.
    pub fn remaining(&self) -> u64 {
        self.missing.len()
    }

    /// How much is still to be sent to us by all sources; what is asked of two counts twice. Unit: groups.
    pub fn in_flight(&self) -> u64 {
        self.seats.values().map(Seat::flying_len).sum()
    }

    /// The same for one source.
    pub fn in_flight_of(&self, source: Source) -> u64 {
        self.seats.get(&source).map_or(0, Seat::flying_len)
    }

    /// How fast a source is, once something came from it. Unit: groups per second.
    pub fn speed(&self, source: Source) -> Option<f64> {
        self.seats.get(&source)?.speed()
    }

    /// What is missing and had by no source.
    pub fn unavailable(&self) -> RangeSet {
        let mut rest = self.missing.clone();
        for seat in self.seats.values() {
            rest = rest.difference(seat.have());
        }
        rest
    }

    /// Deals out again what one source will not send, unless it is there or asked of another.
    fn release(&mut self, back: RangeSet) {
        let mut back = back.intersection(&self.missing);
        for seat in self.seats.values() {
            back = back.difference(&seat.flying());
        }
        self.free = self.free.union(&back);
    }
}

#[cfg(test)]
mod tests;
