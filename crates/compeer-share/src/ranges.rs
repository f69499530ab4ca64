//! Sets of numbers as ranges: which groups somebody has, wants, or has noted as received.
//!
//! Kept sorted, disjoint and never touching, so that equal sets are equal values, and a whole file is one
//! range however large. Nothing in here knows what is counted. The wire form is a list of gaps and lengths
//! ([`RangeSet::encode`]); there is one encoding for each set, and any other is refused.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of `u64`, as ranges that do not touch each other.
///
/// An empty range adds and removes nothing. The largest `u64` cannot be in a set.
///
/// ```
/// use compeer_share::RangeSet;
///
/// let mut have = RangeSet::from_range(0..10);
/// have.insert(20..30);
/// have.remove(4..6);
/// assert_eq!(have.iter().collect::<Vec<_>>(), [0..4, 6..10, 20..30]);
/// assert_eq!(RangeSet::decode(&have.encode(), 30, 3)?, have);
/// # Ok::<(), compeer_share::RangesError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// Start to end.
    runs: BTreeMap<u64, u64>,
}

/// Why bytes are no [`RangeSet`] that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RangesError {
    /// The bytes end too early, go on after the set, or are not its one encoding.
    #[error("these bytes are not a set of ranges")]
    Malformed,
    /// More ranges than the caller takes.
    #[error("the set has {0} ranges, more than are taken")]
    TooMany(u64),
    /// A number at or beyond the end that the caller gave.
    #[error("the set goes beyond the end of what it is about")]
    BeyondEnd,
}

impl RangeSet {
    /// The empty set.
    pub const fn new() -> Self {
        RangeSet { runs: BTreeMap::new() }
    }

    /// The numbers of one range.
    pub fn from_range(range: Range<u64>) -> Self {
        range_set(std::iter::once(range))
    }

    /// Adds the numbers of a range.
    pub fn insert(&mut self, range: Range<u64>) {
        let Range { mut start, mut end } = range;
        if start >= end {
            return;
        }
        // Swallow every range that overlaps or touches, the last one first.
        while let Some((&s, &e)) = self.runs.range(..=end).next_back() {
            if e < start {
                break;
            }
            self.runs.remove(&s);
            start = start.min(s);
            end = end.max(e);
        }
        self.runs.insert(start, end);
    }

    /// Takes the numbers of a range out.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.start >= range.end {
            return;
        }
        while let Some((&s, &e)) = self.runs.range(..range.end).next_back() {
            if e <= range.start {
                break;
            }
            self.runs.remove(&s);
            if e > range.end {
                self.runs.insert(range.end, e);
            }
            if s < range.start {
                self.runs.insert(s, range.start);
            }
        }
    }

    /// Whether a number is in the set.
    pub fn contains(&self, number: u64) -> bool {
        self.runs.range(..=number).next_back().is_some_and(|(_, &end)| number < end)
    }

    /// Whether all numbers of a range are in the set; true for an empty range.
    pub fn contains_range(&self, range: &Range<u64>) -> bool {
        range.start >= range.end
            || self.runs.range(..=range.start).next_back().is_some_and(|(_, &end)| range.end <= end)
    }

    /// How many numbers are in the set.
    pub fn len(&self) -> u64 {
        self.runs.iter().map(|(start, end)| end - start).sum()
    }

    /// How many ranges it takes to say what is in the set.
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The ranges, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + '_ {
        self.runs.iter().map(|(&start, &end)| start..end)
    }

    /// The ranges that have numbers at or after `from`, in order, cut off before it.
    pub fn iter_from(&self, from: u64) -> impl Iterator<Item = Range<u64>> + '_ {
        let before = self.runs.range(..from).next_back().filter(|(_, end)| **end > from);
        let after = self.runs.range(from..);
        before.into_iter().chain(after).map(move |(&start, &end)| start.max(from)..end)
    }

    /// The first range.
    pub fn first(&self) -> Option<Range<u64>> {
        self.iter().next()
    }

    /// One past the largest number; 0 when there is none.
    pub fn end(&self) -> u64 {
        self.runs.last_key_value().map_or(0, |(_, &end)| end)
    }

    /// What is in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        // Look up the ranges of the set that has fewer in the other one.
        let (few, many) = if self.runs() <= other.runs() { (self, other) } else { (other, self) };
        range_set(few.iter().flat_map(|range| many.within(range)))
    }

    /// How many numbers are in both sets.
    pub fn common_len(&self, other: &Self) -> u64 {
        let (few, many) = if self.runs() <= other.runs() { (self, other) } else { (other, self) };
        let parts = few.iter().flat_map(|range| many.within(range));
        parts.map(|part| part.end - part.start).sum()
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        if other.runs() <= self.runs() {
            other.iter().for_each(|range| rest.remove(range));
        } else {
            self.intersection(other).iter().for_each(|range| rest.remove(range));
        }
        rest
    }

    /// What is in one of the two sets or in both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let (few, many) = if self.runs() <= other.runs() { (self, other) } else { (other, self) };
        let mut all = many.clone();
        few.iter().for_each(|range| all.insert(range));
        all
    }

    /// What is in this set and in a range.
    #[must_use]
    pub fn clip(&self, range: &Range<u64>) -> Self {
        range_set(self.within(range.clone()))
    }

    /// The parts of our ranges that lie in `range`, in order.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let end = range.end;
        let parts = self.iter_from(range.start).take_while(move |part| part.start < end);
        parts.map(move |part| part.start..part.end.min(end))
    }

    /// The set as bytes: how many ranges; for each, the numbers left out before it and how many are in it.
    /// All are varints (LEB128: 7 bits to a byte, the lowest first).
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, self.runs.len() as u64);
        let mut last = 0;
        for range in self.iter() {
            put(&mut bytes, range.start - last);
            put(&mut bytes, range.end - range.start);
            last = range.end;
        }
        bytes
    }

    /// Reads a set that is all of `bytes`, of numbers below `end` in at most `max_runs` ranges.
    ///
    /// # Errors
    /// [`RangesError`]. Memory is taken only for ranges that are there.
    pub fn decode(mut bytes: &[u8], end: u64, max_runs: usize) -> Result<Self, RangesError> {
        let count = take(&mut bytes)?;
        if count > max_runs as u64 {
            return Err(RangesError::TooMany(count));
        }
        let mut set = RangeSet::new();
        let mut last = 0u64;
        for nth in 0..count {
            let (gap, len) = (take(&mut bytes)?, take(&mut bytes)?);
            if len == 0 || (gap == 0 && nth > 0) {
                return Err(RangesError::Malformed);
            }
            let start = last.checked_add(gap).ok_or(RangesError::BeyondEnd)?;
            last = start.checked_add(len).filter(|last| *last <= end).ok_or(RangesError::BeyondEnd)?;
            set.runs.insert(start, last);
        }
        if bytes.is_empty() { Ok(set) } else { Err(RangesError::Malformed) }
    }
}

/// The numbers of all these ranges.
impl FromIterator<Range<u64>> for RangeSet {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        range_set(ranges)
    }
}

fn range_set(ranges: impl IntoIterator<Item = Range<u64>>) -> RangeSet {
    let mut set = RangeSet::new();
    ranges.into_iter().for_each(|range| set.insert(range));
    set
}

/// Writes a number as a varint: seven bits a byte, the low ones first.
pub(crate) fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Reads a varint; each number has one way to be written.
pub(crate) fn take(bytes: &mut &[u8]) -> Result<u64, RangesError> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(RangesError::Malformed)?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        let overflows = shift == 63 && bits > 1;
        let padded = byte == 0 && shift > 0;
        if overflows || padded {
            return Err(RangesError::Malformed);
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(RangesError::Malformed)
}

#[cfg(test)]
mod tests;
