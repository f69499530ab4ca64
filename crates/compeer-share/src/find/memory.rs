//! What a peer remembers of searches: which came by lately, and who asked for how many.
//!
//! A search that comes a second time was answered on its first way. It may come with more hops left than the
//! first time, when the longer way was the quicker: then it is handed on again, or what is only in reach of the shorter
//! way would be missed. Both memories are bounded, and what is pushed out of them costs
//! repeated work, no wrong answers.

use std::collections::{BTreeMap, VecDeque};

use compeer::{PeerId, Time};

use crate::limits::{FIND_BURST, FINDS_A_SECOND, MAX_SEEN, SEEN_FOR};
use crate::rates::Rates;

/// Whether a search has come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Never,
    /// With fewer hops left.
    Nearer,
    /// With as many hops left, or more.
    Again,
}

#[derive(Debug)]
pub(super) struct Memory {
    /// With how many hops left it came, at most.
    searches: BTreeMap<[u8; 16], u8>,
    /// The same in the order in which they came first.
    order: VecDeque<(Time, [u8; 16])>,
    askers: Rates<PeerId>,
}

impl Memory {
    /// Whether this search has come by lately.
    pub(super) fn seen(&mut self, id: &[u8; 16], hops: u8, now: Time) -> Seen {
        while let Some((when, old)) = self.order.front()
            && now.since(*when) >= SEEN_FOR
        {
            self.searches.remove(old);
            self.order.pop_front();
        }
        match self.searches.get(id) {
            None => Seen::Never,
            Some(best) if *best < hops => Seen::Nearer,
            Some(_) => Seen::Again,
        }
    }

    /// Notes that it has; gives what was true until now.
    pub(super) fn note(&mut self, id: [u8; 16], hops: u8, now: Time) -> Seen {
        let seen = self.seen(&id, hops, now);
        if seen == Seen::Never {
            if self.order.len() >= MAX_SEEN
                && let Some((_, oldest)) = self.order.pop_front()
            {
                self.searches.remove(&oldest);
            }
            self.order.push_back((now, id));
        }
        if seen != Seen::Again {
            self.searches.insert(id, hops);
        }
        seen
    }

    /// Whether a peer may ask for one more thing, which then counts.
    pub(super) fn may_ask(&mut self, peer: PeerId, now: Time) -> bool {
        self.askers.may(peer, now)
    }
}

impl Default for Memory {
    fn default() -> Self {
        let askers = Rates::new(FIND_BURST, FINDS_A_SECOND, MAX_SEEN);
        Memory { searches: BTreeMap::new(), order: VecDeque::new(), askers }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn id(n: usize) -> [u8; 16] {
        (n as u128).to_le_bytes()
    }

    fn peer(n: u8) -> PeerId {
        compeer::Identity::from_seed(&[n; 32]).peer_id()
    }

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn a_search_is_new_once_and_again_when_it_comes_from_nearer() {
        let mut memory = Memory::default();
        assert_eq!(memory.note(id(1), 1, at(0)), Seen::Never);
        assert_eq!(memory.note(id(1), 1, at(1)), Seen::Again);
        assert_eq!(memory.note(id(1), 0, at(1)), Seen::Again);
        assert_eq!(memory.note(id(1), 3, at(2)), Seen::Nearer);
        assert_eq!(memory.note(id(1), 2, at(2)), Seen::Again);
        assert_eq!(memory.note(id(2), 0, at(2)), Seen::Never);
        let later = SEEN_FOR.as_millis() as u64;
        assert_eq!(memory.seen(&id(1), 3, at(later)), Seen::Never);
        assert_eq!(memory.seen(&id(2), 0, at(later)), Seen::Again);
    }

    #[test]
    fn the_oldest_search_goes_when_there_are_too_many() {
        let mut memory = Memory::default();
        for n in 0..=MAX_SEEN {
            assert_eq!(memory.note(id(n), 0, at(0)), Seen::Never);
        }
        assert_eq!((memory.searches.len(), memory.order.len()), (MAX_SEEN, MAX_SEEN));
        assert_eq!(memory.seen(&id(0), 0, at(0)), Seen::Never);
        assert_eq!(memory.seen(&id(1), 0, at(0)), Seen::Again);
    }

    #[test]
    fn who_asks_much_has_to_wait_and_nobody_else() {
        let mut memory = Memory::default();
        let mut asked = 0;
        while memory.may_ask(peer(1), at(0)) {
            asked += 1;
        }
        assert_eq!(asked, FIND_BURST as usize);
        assert!(memory.may_ask(peer(2), at(0)));
        let one = (1000.0 / FINDS_A_SECOND).ceil() as u64;
        assert!(!memory.may_ask(peer(1), at(one / 2)), "refused, which costs nothing");
        assert!(memory.may_ask(peer(1), at(one)));
        assert!(!memory.may_ask(peer(1), at(one)));
    }
    #[test]
    fn peers_that_are_counted_are_bounded() {
        let mut memory = Memory::default();
        let peer = |n: usize| {
            let mut seed = [9; 32];
            seed[..8].copy_from_slice(&n.to_le_bytes());
            compeer::Identity::from_seed(&seed).peer_id()
        };
        for n in 0..MAX_SEEN {
            assert!(memory.may_ask(peer(n), at(0)));
        }
        assert!(!memory.may_ask(peer(MAX_SEEN), at(0)), "all others have just asked");
        assert!(memory.may_ask(peer(0), at(0)));
        assert_eq!(memory.askers.len(), MAX_SEEN);
        let quiet = (1000.0 * FIND_BURST / FINDS_A_SECOND) as u64;
        assert!(memory.may_ask(peer(MAX_SEEN), at(quiet)));
        assert_eq!(memory.askers.len(), 1);
    }
}
