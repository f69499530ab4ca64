//! Bounds of what is remembered, each filled, and who may change what.

use std::time::Duration;

use super::*;
use crate::limits::CLASSIC_NAMES;

fn member(n: usize) -> Member {
    Member { id: format!("10.0.0.1:{n}"), host: "10.0.0.1".into(), port: 5 }
}

fn ip(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

fn at(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}

#[test]
fn full_is_said_before_known_and_nothing_is_changed() {
    let mut roster = Roster::new("me:1".into(), 2);
    assert_eq!(roster.add(member(1), Some(ip(9)), &[]), Ok(()));
    assert_eq!(roster.add(Member { port: 6, ..member(1) }, Some(ip(9)), &[]), Err(Refused::Known));
    let me = Member { id: "me:1".into(), ..member(1) };
    assert_eq!(roster.add(me, Some(ip(9)), &[]), Err(Refused::Known));
    assert_eq!(roster.add(member(2), Some(ip(9)), &[]), Ok(()));
    assert_eq!(roster.add(member(1), Some(ip(9)), &[]), Err(Refused::Full));
    assert_eq!(roster.list(), [member(1), member(2)]);
}

#[test]
fn without_a_number_the_roster_has_the_limit() {
    let mut roster = Roster::new("me:1".into(), 0);
    for n in 0..MAX_CLASSIC {
        assert_eq!(roster.add(member(n), None, &[]), Ok(()));
    }
    assert_eq!(roster.add(member(MAX_CLASSIC), None, &[]), Err(Refused::Full));
    assert_eq!(Roster::new("me:1".into(), usize::MAX).most, MAX_CLASSIC);
}

#[test]
fn who_took_somebody_in_removes_him_and_nobody_else_does() {
    let mut roster = Roster::new("me:1".into(), 0);
    roster.add(member(1), Some(ip(9)), &[]).unwrap();
    roster.add(member(2), None, &[]).unwrap();
    assert!(!roster.quit("10.0.0.1:1", ip(8)) && !roster.quit("nope", ip(9)));
    assert!(roster.quit("10.0.0.1:1", "::ffff:10.0.0.9".parse().unwrap()));
    assert!(!roster.quit("10.0.0.1:2", ip(9)) && roster.quit("10.0.0.1:2", ip(1)));
    assert!(roster.list().is_empty());
}

#[test]
fn who_joined_is_called_where_it_may_be_called_or_where_it_came_from() {
    let from: IpAddr = "203.0.113.7".parse().unwrap();
    for (host, port, called) in [
        ("203.0.113.8", 4444, "203.0.113.8:4444"),
        ("203.0.113.7", 80, "203.0.113.7:80"),
        ("localhost", 631, "203.0.113.7:631"),
        ("10.0.0.1", 4444, "203.0.113.7:4444"),
        ("127.0.0.1", 4444, "203.0.113.7:4444"),
        ("victim.example", 4444, "203.0.113.7:4444"),
    ] {
        let mut roster = Roster::new("me:1".into(), 0);
        let member = Member { id: "x".into(), host: host.into(), port };
        roster.add(member.clone(), Some(from), &[]).unwrap();
        assert_eq!(roster.callable(), [(member, called.parse().unwrap(), false)], "{host}");
    }
}

#[test]
fn who_joined_is_searched_once_he_answers_and_goes_when_missed_too_often() {
    let mut roster = Roster::new("me:1".into(), 0);
    roster.add(member(1), Some(ip(9)), &[]).unwrap();
    roster.add(member(2), None, &[]).unwrap();
    assert_eq!(roster.searchable(), [(member(2), member(2).addr().unwrap())]);
    let there = Addr::from("10.0.0.9:5".parse::<SocketAddr>().unwrap());
    let elsewhere = Member { host: "10.0.0.3".into(), ..member(1) };
    roster.met(&elsewhere, &there);
    roster.met(&member(1), &"10.0.0.3:5".parse().unwrap());
    assert_eq!(roster.searchable().len(), 1, "somebody else answered");
    roster.met(&member(1), &there);
    assert_eq!(roster.searchable().len(), 2);
    for _ in 1..CLASSIC_MISSES {
        roster.missed(&member(1).id);
    }
    assert_eq!(roster.list().len(), 2);
    roster.there(&member(1).id);
    for _ in 0..CLASSIC_MISSES {
        roster.missed(&member(1).id);
    }
    assert_eq!(roster.list(), [member(2)]);
}

#[test]
fn one_household_has_its_share_of_the_roster_and_loopback_has_all() {
    let mut roster = Roster::new("me:1".into(), 0);
    let from = |n: usize| -> IpAddr { format!("2001:db8:0:{n:x}::{n:x}").parse().unwrap() };
    for n in 0..CLASSIC_HOUSEHOLD {
        assert_eq!(roster.add(member(n), Some(from(n)), &[]), Ok(()));
    }
    assert_eq!(roster.add(member(999), Some(from(255)), &[]), Err(Refused::Full));
    assert_eq!(roster.add(member(999), Some(from(256)), &[]), Ok(()), "the neighbours");
    assert_eq!(roster.add(member(1000), Some(ip(9)), &[]), Ok(()));
    // Who leaves makes room; whom we chose does not count.
    assert!(roster.quit(&member(0).id, from(0)));
    for n in [1001, 1002] {
        assert_eq!(roster.add(member(n), None, &[]), Ok(()));
    }
    assert_eq!(roster.add(member(0), Some(from(7)), &[]), Ok(()));
    for n in 2000..2000 + MAX_CLASSIC - roster.list().len() {
        assert_eq!(roster.add(member(n), Some([127, 0, 0, 1].into()), &[]), Ok(()));
    }
    assert!(roster.is_full());
}

#[test]
fn a_search_is_new_once_in_a_while_and_their_number_is_bounded() {
    let query = |key: String, ttl| Query { back: "10.0.0.1:5".into(), key, ttl };
    let mut seen = Seen::default();
    assert_eq!(seen.note(&query("song".into(), 4), at(0)), Sight::New);
    assert_eq!(seen.note(&query("song".into(), 3), at(1)), Sight::Old);
    assert_eq!(seen.note(&query("song".into(), 4), at(1)), Sight::Old);
    assert_eq!(seen.note(&query("tiger".into(), 4), at(1)), Sight::New);
    let later = CLASSIC_SEEN_FOR.as_millis() as u64;
    assert_eq!(seen.note(&query("song".into(), 4), at(later)), Sight::New);
    for n in 0..2 * CLASSIC_SEEN {
        assert_eq!(seen.note(&query(n.to_string(), 4), at(later)), Sight::New);
    }
    assert_eq!((seen.order.len(), seen.all.len()), (CLASSIC_SEEN, CLASSIC_SEEN));
}

#[test]
fn a_copy_of_a_search_that_may_go_further_goes_further_each_time_once() {
    let query = |ttl| Query { back: "10.0.0.1:5".into(), key: "song".into(), ttl };
    let mut seen = Seen::default();
    let sights = [0, 0, 3, 2, 3, 5].map(|ttl| seen.note(&query(ttl), at(1)));
    assert_eq!(sights, [Sight::New, Sight::Old, Sight::Further, Sight::Old, Sight::Old, Sight::Further]);
    assert_eq!((seen.order.len(), seen.all.len()), (1, 1));
}

#[test]
fn the_first_to_name_a_file_keeps_it_and_the_oldest_name_goes() {
    let mut names = Names::new(CLASSIC_NAMES);
    names.add("song".into(), 1);
    names.add("song".into(), 2);
    assert_eq!(names.get("song"), Some(&1));
    names.remove("song");
    assert_eq!((names.get("song"), names.order.len()), (None, 0));
    names.add("song".into(), 1);
    for n in 0..CLASSIC_NAMES {
        names.add(n.to_string(), 0);
    }
    assert_eq!((names.get("song"), names.iter().count()), (None, CLASSIC_NAMES));
}

/// Who, and what he has.
impl Provider for (u8, u8) {
    fn same(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

#[test]
fn of_those_who_have_a_file_a_few_stay_the_newest_first() {
    let mut names = Names::new(2);
    for n in 0..CLASSIC_PROVIDERS as u8 + 1 {
        names.put("song", (n, 0));
    }
    assert_eq!(names.providers("song"), [(4, 0), (3, 0), (2, 0), (1, 0)]);
    // Heard of again: one place each, what he said last.
    names.put("song", (2, 1));
    assert_eq!(names.providers("song"), [(2, 1), (4, 0), (3, 0), (1, 0)]);
    names.failed("song", &(2, 1));
    assert_eq!(names.providers("song"), [(4, 0), (3, 0), (1, 0), (2, 1)]);
    names.forget("song", &(2, 1));
    for neither in [Names::failed, Names::forget] {
        neither(&mut names, "song", &(9, 9));
    }
    assert_eq!(names.providers("song"), [(4, 0), (3, 0), (1, 0)]);
    for n in [4, 3, 1] {
        names.forget("song", &(n, 0));
    }
    assert_eq!((names.providers("song").len(), names.order.len(), names.all.len()), (0, 0, 0));
    for n in 0..5 {
        names.put(&n.to_string(), (0, 0));
    }
    assert_eq!((names.order.len(), names.all.len()), (2, 2));
}
