//! The tables that strangers can fill: driven by any list of operations, each against a simple
//! model, which is what the fuzz targets `pending` and `links` run, by chance and quickly; and what
//! it costs to say who has to go.
//!
//! The tables are no part of the public interface, so their files are taken in here by path, with a
//! connection that has no wire for the real one. A list that once failed is kept beside this file.

#![allow(dead_code, reason = "the framework uses the rest")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use compeer::limits;
use compeer_proto::Time;
use link::lock;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use strangers::{LOOKS, Look, Strangers};

#[path = "support/link.rs"]
mod link;
#[path = "../src/links.rs"]
mod links;
#[path = "support/links_oplist.rs"]
mod links_oplist;
#[path = "../src/peer/accept/pending.rs"]
mod pending;
#[path = "support/pending_oplist.rs"]
mod pending_oplist;
#[path = "../src/strangers.rs"]
mod strangers;

fn config() -> ProptestConfig {
    let kept = FileFailurePersistence::Direct("tests/tables.regressions");
    ProptestConfig { cases: 300, failure_persistence: Some(Box::new(kept)), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn handshakes_under_way_are_what_their_model_is(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        pending_oplist::run(&bytes);
    }

    #[test]
    fn connections_are_what_their_model_is(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        links_oplist::run(&bytes);
    }
}

fn at(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}

/// What a look at each finds, by number.
struct Crowd {
    strangers: Strangers<u64>,
    found: RefCell<BTreeMap<u64, Look>>,
    looks: Cell<u64>,
}

impl Crowd {
    /// So many, each idle since the millisecond of its number.
    fn new(n: u64) -> Self {
        let mut strangers = Strangers::default();
        let mut found = BTreeMap::new();
        for n in 0..n {
            strangers.insert(n, None, at(n), n);
            found.insert(n, Look::Idle(at(n)));
        }
        Crowd { strangers, found: RefCell::new(found), looks: Cell::new(0) }
    }

    fn set(&self, n: u64, look: Look) {
        self.found.borrow_mut().insert(n, look);
    }

    fn take_least(&mut self, now: Time) -> Option<u64> {
        let (found, looks) = (&self.found, &self.looks);
        self.strangers.take_least(None, now, |n| {
            looks.set(looks.get() + 1);
            found.borrow()[n]
        })
    }
}

/// However many there are, making room costs a step, and each use since then one more.
#[test]
fn a_look_each_and_one_for_each_use() {
    const MANY: u64 = 20_000;
    let mut crowd = Crowd::new(MANY);
    let mut used = 0;
    // Each of the first half was used since, once or often: that is the same.
    for n in 0..MANY / 2 {
        crowd.set(n, Look::Idle(at(MANY + n)));
        used += 1;
    }
    for n in 0..MANY / 2 {
        assert_eq!(crowd.take_least(at(3 * MANY)), Some(MANY / 2 + n));
    }
    for n in 0..MANY / 2 {
        assert_eq!(crowd.take_least(at(3 * MANY)), Some(n));
    }
    assert_eq!(crowd.take_least(at(3 * MANY)), None);
    assert_eq!(crowd.looks.get(), MANY + used);
}

#[test]
fn one_in_use_is_passed_over_and_looked_at_again_behind_the_others() {
    let mut crowd = Crowd::new(100);
    for n in 0..50 {
        crowd.set(n, Look::Busy(at(n)));
    }
    for n in 50..100 {
        assert_eq!(crowd.take_least(at(200)), Some(n));
    }
    assert_eq!(crowd.looks.get(), 100, "each that is in use was looked at once");
    // Idle again, and not idle for longer than since it was last seen in use.
    crowd.set(7, Look::Idle(at(7)));
    assert_eq!(crowd.take_least(at(300)), Some(7));
    assert_eq!(crowd.take_least(at(300)), Some(0), "the one that was used longest ago");
}

#[test]
fn a_crowd_in_use_cannot_make_it_look_at_all_of_them() {
    let mut crowd = Crowd::new(10_000);
    for n in 0..10_000 {
        crowd.set(n, Look::Busy(at(n)));
    }
    for gone in 1..100 {
        assert!(crowd.take_least(at(20_000)).is_some());
        assert!(crowd.looks.get() <= gone * LOOKS as u64);
    }
}

#[test]
fn one_that_drains_goes_first_and_one_that_was_chosen_stays() {
    let mut crowd = Crowd::new(10);
    crowd.set(9, Look::Drains);
    crowd.strangers.drains(9);
    crowd.set(0, Look::Passed);
    assert_eq!(crowd.take_least(at(20)), Some(9));
    assert_eq!(crowd.take_least(at(20)), Some(1));
    assert_eq!(crowd.strangers.remove(0), None, "it is no stranger any more");
}

#[test]
fn one_that_ends_already_is_room_for_another() {
    let mut crowd = Crowd::new(3);
    crowd.set(0, Look::Ends);
    assert_eq!(crowd.take_least(at(20)), Some(0), "nobody else goes");
    crowd.set(1, Look::Ends);
    crowd.set(2, Look::Ends);
    assert_eq!(crowd.take_least(at(20)), Some(1), "each is room for one");
    assert_eq!(crowd.take_least(at(20)), Some(2));
    assert_eq!(crowd.take_least(at(20)), None);
}

#[test]
fn prefixes_are_counted_and_asked_by_themselves() {
    let mut strangers = Strangers::default();
    let [a, b] = [1, 2].map(|n| IpAddr::from([10, 0, 0, n]));
    for n in 0..10 {
        strangers.insert(n, Some(if n < 6 { a } else { b }), at(n), n);
    }
    assert_eq!((strangers.count(a), strangers.count(b)), (6, 4));
    assert_eq!(strangers.take_least(Some(b), at(20), |n| Look::Idle(at(*n))), Some(6));
    assert_eq!(strangers.take_least(None, at(20), |n| Look::Idle(at(*n))), Some(0));
    assert_eq!((strangers.count(a), strangers.count(b)), (5, 3));
    for n in 0..10 {
        strangers.remove(n);
    }
    assert_eq!((strangers.count(a), strangers.count(b)), (0, 0));
    assert!(strangers.is_empty() && strangers.take_least(None, at(20), |_| Look::Drains).is_none());
}

/// Changes of instance while the older one is alive: so many in so short a time are too many.
#[test]
fn a_key_runs_twice_at_the_last_change_that_fits_the_window() {
    use std::sync::{Arc, Mutex};

    let [own, peer] = [1, 2].map(|n| compeer::Identity::from_seed(&[n; 32]).peer_id());
    for (apart, twice) in [(limits::INSTANCE_WINDOW / 2, true), (limits::INSTANCE_WINDOW, false)] {
        let links = links::Links::new(own);
        let mut verdicts = Vec::new();
        for n in 0..=limits::INSTANCE_CHANGES {
            let now = at(1_000) + apart * u32::try_from(n).unwrap();
            let make = |number| {
                Arc::new(link::Link {
                    number,
                    peer,
                    session_id: [0; 16],
                    dialled: false,
                    carried: false,
                    since: now,
                    decided: tokio::sync::watch::Sender::new(None),
                    instance: [u8::try_from(n).unwrap(); 16],
                    prefix: None,
                    state: Mutex::default(),
                })
            };
            let (link, _) = links.enter(peer, make);
            verdicts.push(matches!(links.register(&link, false, now), links::Verdict::Twice(_)));
        }
        assert_eq!(verdicts.pop(), Some(twice), "the last of them, {apart:?} apart");
        assert!(!verdicts.contains(&true));
    }
}
