//! The plan by hand: what is dealt out, taken back and taken over. Whole fetches are in `sim`, arbitrary
//! calls against a model in `tests/plan_oplist.rs`.

use std::time::Duration;

use super::*;
use crate::layout::SEGMENT;

mod sim;

fn at(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}

fn all(groups: u64) -> RangeSet {
    RangeSet::from_range(0..groups)
}

fn plan(groups: u64, sources: &[Source]) -> Plan {
    let mut plan = Plan::new(all(groups));
    sources.iter().for_each(|source| plan.offer(*source, &all(groups)));
    plan
}

/// Lets a source bring this much in a second, so that its speed is known.
fn known(plan: &mut Plan, source: Source, groups_a_second: u64) {
    let seat = plan.seats.get_mut(&source).unwrap();
    seat.ask(u64::MAX - 2..u64::MAX - 1, at(0));
    seat.arrived(u64::MAX - 1 - groups_a_second..u64::MAX - 1, at(1000));
}

#[test]
fn nothing_missing_is_done_at_once() {
    let mut plan = plan(0, &[1]);
    assert!(plan.is_done());
    assert_eq!(plan.next(1, at(0)), None);
    assert_eq!(plan.next(7, at(0)), None, "a source that nobody offered");
}

#[test]
fn ranges_end_at_segments_and_grow_with_speed() {
    let mut one = plan(100_000, &[1]);
    assert_eq!(one.next(1, at(0)), Some(0..64));
    one.arrived(1, 0..64, at(32)); // 2000 a second
    assert_eq!(one.next(1, at(32)), Some(64..576));
    one.arrived(1, 64..576, at(33));
    assert_eq!(one.next(1, at(33)), Some(576..1600), "never more than may be wanted at once");
    let mut odd = Plan::new(RangeSet::from_range(100..300));
    odd.offer(1, &all(300));
    assert_eq!(odd.next(1, at(0)), Some(100..192));
    assert_eq!(odd.next(1, at(0)), Some(192..256));
    assert_eq!(odd.next(1, at(0)), Some(256..300));
    assert_eq!(odd.next(1, at(0)), None);
    assert_eq!((odd.in_flight(), odd.remaining()), (200, 200));
}

#[test]
fn what_few_have_goes_to_them_first() {
    let mut plan = plan(1000, &[1]);
    plan.offer(2, &all(512));
    plan.offer(3, &all(128));
    assert_eq!(plan.next(1, at(0)), Some(512..576), "nobody else has that");
    assert_eq!(plan.next(3, at(0)), Some(0..64));
    assert_eq!(plan.next(2, at(0)), Some(128..192), "source 3 has not got that");
    plan.refused(2, 128..512);
    assert_eq!(plan.next(2, at(0)), Some(64..128));
    plan.offer(2, &all(1000));
    assert_eq!(plan.next(2, at(0)), Some(576..640), "what it refused stays refused");
}

#[test]
fn an_origin_is_begun_at_and_the_start_comes_last() {
    let mut plan = plan(256, &[1]);
    plan.begin_at(150);
    let order: Vec<_> = std::iter::from_fn(|| plan.next(1, at(0))).collect();
    assert_eq!(order, [150..256, 0..64, 64..128, 128..150]);
}

#[test]
fn what_the_gone_and_the_refusing_leave_is_dealt_out_again() {
    let mut plan = plan(256, &[1, 2]);
    assert_eq!(plan.next(1, at(0)), Some(0..64));
    assert_eq!(plan.next(1, at(0)), Some(64..128));
    assert_eq!(plan.next(2, at(0)), Some(128..192));
    plan.arrived(1, 0..10, at(5));
    plan.refused(1, 64..100);
    assert_eq!(plan.in_flight(), 54 + 28 + 64);
    plan.gone(1);
    assert_eq!((plan.in_flight(), plan.remaining()), (64, 246));
    let rest: RangeSet = std::iter::from_fn(|| plan.next(2, at(5))).collect();
    assert_eq!(rest, RangeSet::from_iter([10..128, 192..256]));
    plan.gone(2);
    assert_eq!(plan.unavailable(), RangeSet::from_range(10..256));
    assert_eq!(plan.in_flight(), 0);
}

#[test]
fn only_what_is_new_counts_as_arrived() {
    let mut plan = plan(64, &[1, 2]);
    plan.next(1, at(0));
    assert_eq!(plan.arrived(1, 0..20, at(1)), all(20));
    assert_eq!(plan.arrived(2, 10..30, at(1)), RangeSet::from_range(20..30));
    assert!(!plan.is_wanted(&(0..30)) && plan.is_wanted(&(0..31)));
    assert_eq!(plan.in_flight(), 44, "source 1 will send 20..30 too");
    assert_eq!(plan.arrived(1, 20..64, at(2)).len(), 34);
    assert!(plan.is_done());
}

#[test]
fn the_idle_take_the_tail_of_what_the_slowest_owes() {
    let mut plan = plan(1024, &[1, 2, 3]);
    known(&mut plan, 1, 100);
    known(&mut plan, 2, 1000);
    known(&mut plan, 3, 200);
    plan.free = RangeSet::new();
    plan.seats.get_mut(&1).unwrap().ask(0..512, at(1000));
    plan.seats.get_mut(&3).unwrap().ask(512..1024, at(1000));
    // Source 1 needs 5.1 s. Both end together when 2 takes ten parts of eleven, of which it takes a segment at a time.
    for end in [512, 448, 384, 320] {
        assert_eq!(plan.next(2, at(1000)), Some(end - SEGMENT..end));
    }
    assert_eq!(plan.in_flight(), 1024 + 256);
    // By now source 1 needs 2.6 s for the rest and source 3 the same.
    let next = plan.next(2, at(1000)).unwrap();
    assert!(next.end == 256 || next.end == 1024, "{next:?}");
    // Whoever is no faster takes nothing.
    plan.offer(4, &all(1024));
    known(&mut plan, 4, 1);
    assert_eq!(plan.next(4, at(1000)), None);
}

#[test]
fn a_group_is_asked_of_two_at_most_unless_they_stall() {
    let mut plan = plan(64, &[1, 2, 3]);
    [1, 2, 3].into_iter().for_each(|source| known(&mut plan, source, 1000));
    assert_eq!(plan.next(1, at(1000)), Some(0..64));
    assert_eq!(plan.next(2, at(1000)), None, "source 1 will be as fast");
    assert_eq!(plan.next(2, at(1300)), Some(0..64), "it is not");
    assert_eq!(plan.next(3, at(1600)), None, "two are at it");
    let mut without = plan.clone();
    without.gone(2);
    without.refused(1, 0..10);
    assert_eq!(without.free, all(10), "source 1 still owes the rest");
    assert_eq!(plan.next(1, at(4300)), None, "stalled, it gets nothing");
    assert_eq!(plan.next(3, at(4300)), Some(0..64), "both have stalled");
    assert_eq!(plan.in_flight(), 3 * 64);
    plan.arrived(3, 0..64, at(4364));
    assert!(plan.is_done());
    assert_eq!(plan.in_flight(), 2 * 64, "they owe it still");
}

#[test]
fn in_order_nothing_is_asked_beyond_the_window() {
    let mut plan = Plan::in_order(all(1000), 256);
    plan.offer(1, &all(1000));
    plan.offer(2, &RangeSet::from_range(64..1000));
    assert_eq!(plan.next(1, at(0)), Some(0..64), "the first, though another range is rarer");
    assert_eq!(plan.next(2, at(0)), Some(64..128));
    assert_eq!(plan.next(2, at(0)), Some(128..192));
    assert_eq!(plan.next(2, at(0)), Some(192..256));
    assert_eq!(plan.next(2, at(0)), None);
    plan.arrived(2, 64..128, at(10));
    assert_eq!(plan.next(2, at(10)), None, "the first is missing still");
    plan.arrived(1, 0..64, at(20));
    assert_eq!(plan.next(2, at(20)), Some(256..320));
}
