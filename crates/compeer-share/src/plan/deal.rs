//! Dealing out: which range a source is asked for while there are some that nobody was asked for.
//!
//! Each place that a source could serve is rated by how soon the others would have brought it: the sum, over the
//! others who have it, of their speed over what they could bring in all. Nobody else has it: nothing is more
//! pressing. All have everything: all places are alike and the first is taken. Some have parts: who has
//! everything takes what the others are slowest to come to, so that none of them is idle before the end.
//! How much is asked for at once follows the speed of the source, and near the end its part of what is left.

use std::ops::Range;
use std::time::Duration;

use compeer::Time;

use super::seat::Seat;
use super::{Plan, Source};
use crate::layout::SEGMENT;
use crate::limits::MAX_WANT;

/// How much work one range is meant to be: two of them in flight cover a round trip of this length.
const WORK: Duration = Duration::from_millis(250);

/// Least range dealt out, but for what is left over. Unit: groups. A segment, since that is what arrives at once.
const MIN_WANT: u64 = SEGMENT;

/// Places that are rated. Unit: places. A guess: it bounds the work of [`Plan::next`] when sources have many small
/// parts.
const PLACES: usize = 256;

/// Least that is expected of a source that has sent nothing yet. Unit: groups per second; 10 MB/s.
const GUESS: f64 = 640.0;

/// Another source, and how much of all that it could bring it brings in a second.
type Other<'a> = (&'a Seat, f64);

impl Plan {
    /// A range that is asked of nobody yet: the one that the others would be slowest to bring, else the first.
    pub(super) fn fresh(&self, source: Source, seat: &Seat, now: Time) -> Option<Range<u64>> {
        let reach = self.reach();
        let origin = if self.window.is_some() { reach.start } else { self.origin };
        let others = self.others(source, now);
        let mut best: Option<(f64, Range<u64>)> = None;
        let mut places = PLACES;
        for mut line in [origin..reach.end, reach.start..origin] {
            while places > 0
                && let Some(place) = self.common(seat, &line)
            {
                places -= 1;
                let (soon, place) = rate(&others, place);
                line.start = place.end;
                if best.as_ref().is_none_or(|best| soon < best.0) {
                    best = Some((soon, place));
                }
                // Nothing is more pressing, or there is an order to keep.
                if soon == 0.0 || self.window.is_some() {
                    places = 0;
                }
            }
        }
        best.map(|(_, place)| cut(place, self.share(seat).min(by_speed(seat)).max(MIN_WANT)))
    }

    /// What may be asked for: all, or the window behind the first one missing.
    fn reach(&self) -> Range<u64> {
        match (self.window, self.missing.first()) {
            (Some(window), Some(first)) => first.start..first.start.saturating_add(window),
            _ => 0..u64::MAX,
        }
    }

    /// The first range in `line` that is free and had.
    fn common(&self, seat: &Seat, line: &Range<u64>) -> Option<Range<u64>> {
        self.free.within(line.clone()).find_map(|run| seat.have().within(run).next())
    }

    fn others(&self, source: Source, now: Time) -> Vec<Other<'_>> {
        let guess = self.guess();
        let others = self.seats.iter().filter(|(other, _)| **other != source);
        let rated = others.map(|(_, seat)| {
            let could_bring = self.free.common_len(seat.have());
            (seat, seat.pace(now, guess) / could_bring.max(1) as f64)
        });
        rated.collect()
    }

    /// What a source without a speed of its own is taken to do: the mean of the others, and not little, so that it
    /// is tried.
    pub(super) fn guess(&self) -> f64 {
        let speeds: Vec<f64> = self.seats.values().filter_map(Seat::speed).collect();
        let mean = speeds.iter().sum::<f64>() / speeds.len().max(1) as f64;
        mean.max(GUESS)
    }

    /// Half of a source's part of what is left, so that all come to the end together. Unit: groups.
    fn share(&self, seat: &Seat) -> u64 {
        if let Some(window) = self.window {
            return window / (2 * self.seats.len().max(1) as u64);
        }
        let guess = self.guess();
        let speed = |seat: &Seat| seat.speed().unwrap_or(guess);
        let all: f64 = self.seats.values().map(speed).sum();
        match self.seats.len() {
            1 => u64::MAX,
            _ => (self.free.len() as f64 * speed(seat) / all / 2.0) as u64,
        }
    }
}

/// The work of [`WORK`]. Unit: groups.
pub(super) fn by_speed(seat: &Seat) -> u64 {
    let groups = seat.speed().map_or(0, |speed| (speed * WORK.as_secs_f64()) as u64);
    groups.clamp(MIN_WANT, MAX_WANT)
}

/// How soon the others would have brought the beginning of a range, and as much of it as that is true for.
fn rate(others: &[Other<'_>], mut range: Range<u64>) -> (f64, Range<u64>) {
    let mut soon = 0.0;
    for (seat, rate) in others {
        match seat.have().iter_from(range.start).next() {
            Some(run) if run.start <= range.start => {
                soon += rate;
                range.end = range.end.min(run.end);
            }
            Some(run) => range.end = range.end.min(run.start),
            None => {}
        }
    }
    (soon, range)
}

/// At most about `size` groups from the beginning of a range, up to the border of a segment.
fn cut(range: Range<u64>, size: u64) -> Range<u64> {
    let border = range.start.saturating_add(size).checked_next_multiple_of(SEGMENT).unwrap_or(u64::MAX);
    let end = if border - range.start > MAX_WANT { border - SEGMENT } else { border };
    range.start..end.min(range.end)
}
