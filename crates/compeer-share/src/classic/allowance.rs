//! What strangers may have a bridge do at the cost of others: search among native peers, and fetch.
//!
//! Pure. It is counted by household, so that nobody has more of it by more ports or addresses; searches also over all
//! strangers together, as our neighbours count them as ours: what is left is for the user. Bytes for this machine are not
//! counted, as connections from it are not elsewhere: the user has programs of his own there.

use std::net::IpAddr;

use compeer::Time;

use super::words::household;
use crate::limits::{
    CLASSIC_BYTES_A_SECOND, CLASSIC_BYTES_BURST, CLASSIC_COUNTED, CLASSIC_FINDS_A_SECOND,
    CLASSIC_FINDS_BURST, CLASSIC_HOUSE_FINDS_A_SECOND, CLASSIC_HOUSE_FINDS_BURST,
};
use crate::rates::Rates;

/// See the module.
pub(super) struct Allowance {
    finds: Rates<IpAddr>,
    all_finds: Rates<()>,
    bytes: Rates<IpAddr>,
}

impl Default for Allowance {
    fn default() -> Self {
        let house_finds = (CLASSIC_HOUSE_FINDS_BURST, CLASSIC_HOUSE_FINDS_A_SECOND);
        Allowance {
            finds: Rates::new(house_finds.0, house_finds.1, CLASSIC_COUNTED),
            all_finds: Rates::new(CLASSIC_FINDS_BURST, CLASSIC_FINDS_A_SECOND, 1),
            bytes: Rates::new(CLASSIC_BYTES_BURST, CLASSIC_BYTES_A_SECOND, CLASSIC_COUNTED),
        }
    }
}

impl Allowance {
    /// Whether somebody may have us search among native peers, which then counts.
    pub(super) fn may_find(&mut self, from: IpAddr, now: Time) -> bool {
        self.finds.may(household(from), now) && self.all_finds.may((), now)
    }

    /// Whether somebody may have us fetch something: he has not yet had more than he may.
    pub(super) fn may_fetch(&mut self, from: IpAddr, now: Time) -> bool {
        is_here(from) || self.bytes.take(household(from), 0.0, 0.0, now)
    }

    /// Counts what is fetched for somebody, how much was not known before.
    pub(super) fn fetched(&mut self, from: IpAddr, bytes: usize, now: Time) {
        if !is_here(from) {
            self.bytes.take(household(from), f64::NEG_INFINITY, bytes as f64, now);
        }
    }
}

fn is_here(from: IpAddr) -> bool {
    from.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limits::{CLASSIC_FILE, FIND_BURST, FINDS_A_SECOND};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn at(seconds: f64) -> Time {
        Time::ZERO + Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_household_has_so_many_searches_and_all_together_have_fewer_than_we() {
        let mut allowance = Allowance::default();
        let count = |allowance: &mut Allowance, from: &str| {
            (0..100).filter(|_| allowance.may_find(ip(from), at(0.0))).count()
        };
        assert_eq!(count(&mut allowance, "2001:db8::1"), CLASSIC_HOUSE_FINDS_BURST as usize);
        assert_eq!(count(&mut allowance, "2001:db8:0:99::2"), 0, "the same household");
        let mut all = CLASSIC_HOUSE_FINDS_BURST as usize;
        for n in 0..100 {
            all += count(&mut allowance, &format!("203.0.113.{n}"));
        }
        assert_eq!(all, CLASSIC_FINDS_BURST as usize);
        assert!(allowance.may_find(ip("198.51.100.1"), at(1.0 / CLASSIC_FINDS_A_SECOND)));
        // Our neighbours bear this many of us: there is enough left.
        const { assert!(CLASSIC_FINDS_BURST < FIND_BURST && CLASSIC_FINDS_A_SECOND < FINDS_A_SECOND) };
    }

    #[test]
    fn a_household_has_so_many_bytes() {
        let mut allowance = Allowance::default();
        let (house, file) = (ip("203.0.113.7"), CLASSIC_FILE as usize);
        let mut files = 0;
        while allowance.may_fetch(house, at(0.0)) {
            allowance.fetched(house, file, at(0.0));
            files += 1;
        }
        // The last one is let through with nothing left.
        assert_eq!(files, CLASSIC_BYTES_BURST as usize / file + 1);
        assert!(allowance.may_fetch(ip("203.0.113.8"), at(0.0)), "others have theirs");
        let owed = file as f64 / CLASSIC_BYTES_A_SECOND;
        assert!(!allowance.may_fetch(ip("::ffff:203.0.113.7"), at(owed * 0.9)), "asking costs nothing");
        assert!(allowance.may_fetch(house, at(owed * 1.1)));
    }

    #[test]
    fn programs_on_this_machine_have_as_many_bytes_as_they_like() {
        let mut allowance = Allowance::default();
        for here in ["127.0.0.1", "::ffff:127.0.0.1", "::1"].map(ip) {
            allowance.fetched(here, 2 * CLASSIC_BYTES_BURST as usize, at(0.0));
            assert!(allowance.may_fetch(here, at(0.0)));
        }
        assert_eq!(allowance.bytes.len(), 0);
    }
}
