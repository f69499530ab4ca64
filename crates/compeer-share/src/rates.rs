//! How often somebody may ask for something: a burst, and so many a second after it.
//!
//! What each may still ask for is counted, bounded in number: who has been quiet is as good as new and need not be
//! remembered. When all who are counted have just asked, somebody new has to wait.

use std::collections::BTreeMap;

use compeer::Time;

/// Counts what each `K` asks for.
#[derive(Debug)]
pub(crate) struct Rates<K> {
    burst: f64,
    a_second: f64,
    /// How many are counted.
    most: usize,
    /// What each may still ask for, and when that was true.
    left: BTreeMap<K, (f64, Time)>,
}

impl<K: Ord> Rates<K> {
    pub(crate) fn new(burst: f64, a_second: f64, most: usize) -> Self {
        Rates { burst, a_second, most, left: BTreeMap::new() }
    }

    /// Whether this one may ask for one more thing, which then counts.
    pub(crate) fn may(&mut self, who: K, now: Time) -> bool {
        self.take(who, 1.0, 1.0, now)
    }

    /// Whether this one has `least` left; then `much` counts, if it is more than he has too: he waits the longer.
    pub(crate) fn take(&mut self, who: K, least: f64, much: f64, now: Time) -> bool {
        let (burst, a_second) = (self.burst, self.a_second);
        let grown = |(left, when): (f64, Time)| (left + now.since(when).as_secs_f64() * a_second).min(burst);
        if self.left.len() >= self.most {
            // Who has been quiet is as good as new.
            self.left.retain(|_, left| grown(*left) < burst);
            if self.left.len() >= self.most && !self.left.contains_key(&who) {
                return false;
            }
        }
        let left = self.left.get(&who).map_or(burst, |left| grown(*left));
        let may = left >= least;
        self.left.insert(who, (if may { left - much } else { left }, now));
        may
    }

    /// How many are counted now.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.left.len()
    }
}
