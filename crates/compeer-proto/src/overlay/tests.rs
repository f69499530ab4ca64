//! Machines among themselves, without a network: everybody is found, records outlive their keepers,
//! and whoever lies, dies or squats changes little. The same at size, with latency, loss and churn, is the
//! simulator's.

use std::time::Duration;

use super::testing::{DAWN, World, contact, id, record};
use super::*;
use crate::limits::{MAX_PATH_QUERIES, MAX_TESTS, PATHS};

const HOUR: Duration = Duration::from_secs(3600);

fn published(n: u64) -> World {
    let mut world = World::chain(n);
    for n in 0..n {
        let now = world.now;
        world.of(n).announce(Subject::Peer(id(n)), now).unwrap();
        world.of(n).tick(now);
    }
    world.settle();
    world
}

#[test]
fn everybody_finds_everybody_after_joining_in_a_chain() {
    let mut world = World::chain(60);
    world.pass(Duration::from_secs(120));
    for from in 0..60 {
        let to = (from * 7 + 3) % 60;
        if from != to {
            let outcome = world.find(from, Subject::Peer(id(to)), Goal::Quick);
            assert_eq!(outcome.met.map(|met| met.id()), Some(id(to)), "{from} finds {to}");
        }
    }
}

#[test]
fn the_closest_that_are_found_are_the_closest_there_are() {
    let mut world = World::chain(120);
    world.pass(Duration::from_secs(120));
    let mut missed = 0;
    for n in 0..20 {
        let key = Key::of_name(&n.to_string());
        let mut all: Vec<PeerId> = (0..120).filter(|peer| *peer != n).map(id).collect();
        all.sort_by_key(|id| Key::of_peer(id).distance(&key));
        let now = world.now;
        let lookup = world.of(n).look_up(key, Goal::Peers, now).unwrap();
        world.settle();
        let place = world.done.iter().position(|(_, number, _)| *number == lookup).unwrap();
        let found: Vec<PeerId> = world.done.remove(place).2.closest.iter().map(|c| c.id()).collect();
        missed += all[..BUCKET].iter().filter(|id| !found.contains(id)).count();
    }
    assert!(missed <= 20 * BUCKET / 50, "{missed} of {} of the closest were not found", 20 * BUCKET);
}

#[test]
fn a_record_outlives_its_keepers_and_ends_after_its_publisher() {
    let mut world = published(50);
    let content = Subject::Content([7; 32]);
    let now = world.now;
    world.of(5).announce(content, now).unwrap();
    world.pass(Duration::from_millis(1));
    // Half of them die at once, the publisher lives on.
    for n in (0..50).filter(|n| n % 2 == 0) {
        world.dead.insert(id(n));
    }
    let found = world.find(11, content, Goal::Thorough);
    assert_eq!(found.records.len(), 1);
    assert_eq!(found.records[0].publisher().id, id(5));
    // It is published again and again, longer than a record lasts.
    world.pass(3 * HOUR);
    let found = world.find(13, content, Goal::Thorough);
    assert_eq!(found.records.len(), 1);
    assert!(found.records[0].seq() > DAWN + 2 * 3600);
    // Then nobody publishes it: it ends.
    world.of(5).withdraw(&content);
    world.pass(3 * HOUR);
    assert!(world.find(15, content, Goal::Thorough).records.is_empty());
}

#[test]
fn of_two_records_the_newer_is_found() {
    let mut world = published(40);
    let now = world.now;
    world.of(3).publish(record(3, Subject::Peer(id(3)), DAWN + 60), now);
    world.settle();
    world.dead.insert(id(3));
    let found = world.find(9, Subject::Peer(id(3)), Goal::Thorough);
    assert_eq!(found.records.iter().map(|record| record.seq()).collect::<Vec<_>>(), [DAWN + 60]);
}

#[test]
fn who_cannot_be_called_back_enters_no_table_and_still_looks_up() {
    let mut world = World::chain(30);
    world.dead.insert(id(99));
    let now = world.now;
    for n in 0..30 {
        world.of(n).called(contact(99), now);
    }
    world.pass(Duration::from_secs(60));
    assert!((0..30).all(|n| world.of(n).table().get(&id(99)).is_none()));
    let answer = world.of(0).answer(id(99), &Find { key: Key::of_name("x"), records: true }, now);
    assert_eq!(answer.closer.len(), BUCKET);
}

#[test]
fn callers_make_a_peer_call_back_only_so_often() {
    let mut overlay = Overlay::new(id(0), 0, Time::ZERO);
    for n in 1..1000 {
        overlay.called(contact(n), Time::ZERO);
    }
    let tests = std::iter::from_fn(|| overlay.poll()).filter(|e| matches!(e, Effect::Test { .. })).count();
    assert_eq!(tests, MAX_TESTS);
}

#[test]
fn look_ups_and_own_records_are_bounded() {
    let mut overlay = Overlay::new(id(0), 0, Time::ZERO);
    overlay.reached(contact(1), Time::ZERO);
    let key = |n: usize| Key::of_name(&n.to_string());
    for n in 0..MAX_LOOKUPS {
        overlay.look_up(key(n), Goal::Peers, Time::ZERO).unwrap();
    }
    assert_eq!(overlay.look_up(key(0), Goal::Peers, Time::ZERO), Err(Busy));
    for n in 0..=MAX_PUBLISHED {
        let mut root = [0; 32];
        root[..8].copy_from_slice(&n.to_le_bytes());
        let announced = overlay.announce(Subject::Content(root), Time::ZERO);
        assert_eq!(announced, if n < MAX_PUBLISHED { Ok(()) } else { Err(Busy) });
    }
}

#[test]
fn a_liar_without_end_is_left_after_so_many_queries() {
    let mut overlay = Overlay::new(id(0), 0, Time::ZERO);
    overlay.reached(contact(1), Time::ZERO);
    let target = Key::of_name("target");
    let lookup = overlay.look_up(target, Goal::Peers, Time::ZERO).unwrap();
    // Whoever is asked names twenty that are closer than all before.
    let mut liars: Vec<u64> = (2..5000).collect();
    liars.sort_by_cached_key(|n| Key::of_peer(&id(*n)).distance(&target));
    let mut asked = 0;
    let mut now = Time::ZERO;
    let over = loop {
        match overlay.poll() {
            Some(Effect::Ask { query, .. }) => {
                asked += 1;
                let closer =
                    (0..BUCKET).filter_map(|_| liars.pop()).map(|n| contact(n).to_peer_addr()).collect();
                overlay.answered(query, Answer { closer, records: vec![] }, now);
            }
            Some(Effect::Done { lookup, .. }) => break lookup,
            Some(_) => {}
            None => {
                now = overlay.wake();
                overlay.tick(now);
            }
        }
    };
    assert_eq!(over, lookup);
    assert!(asked <= PATHS * MAX_PATH_QUERIES + 40, "{asked}");
}

#[test]
fn a_query_without_an_answer_is_slow_and_then_fails() {
    let mut overlay = Overlay::new(id(0), 0, Time::ZERO);
    for n in 1..=12 {
        overlay.reached(contact(n), Time::ZERO);
    }
    let asked = |overlay: &mut Overlay| {
        std::iter::from_fn(|| overlay.poll()).filter(|e| matches!(e, Effect::Ask { .. })).count()
    };
    overlay.look_up(Key::of_name("x"), Goal::Peers, Time::ZERO).unwrap();
    assert_eq!(asked(&mut overlay), PATHS);
    overlay.tick(Time::ZERO + QUERY_SLOW);
    assert_eq!(asked(&mut overlay), PATHS);
    overlay.tick(Time::ZERO + QUERY_SLOW * 2);
    assert_eq!(asked(&mut overlay), PATHS);
    overlay.tick(Time::ZERO + QUERY_SLOW * 3);
    assert_eq!(asked(&mut overlay), 0, "three at a time on a path");
    let outcome = loop {
        match overlay.poll() {
            Some(Effect::Done { outcome, .. }) => break outcome,
            Some(_) => {}
            None => overlay.tick(overlay.wake()),
        }
    };
    assert_eq!(outcome.closest, []);
    assert_eq!(outcome.steps.len(), 12);
    assert!(outcome.steps.iter().all(|step| matches!(step.end, Some(StepEnd::Failed { .. }))));
}

#[test]
fn a_lost_line_does_not_empty_the_table() {
    let mut world = World::chain(40);
    world.pass(Duration::from_secs(60));
    let known = world.of(7).table().len();
    let others: Vec<PeerId> = (0..40).filter(|n| *n != 7).map(id).collect();
    world.dead.extend(others);
    world.pass(24 * HOUR);
    assert_eq!(world.of(7).table().len(), known);
    world.dead.clear();
    let outcome = world.find(7, Subject::Peer(id(30)), Goal::Quick);
    assert!(outcome.met.is_some());
}

#[test]
fn after_a_week_the_few_that_are_left_suffice() {
    let mut world = World::chain(60);
    world.pass(Duration::from_secs(60));
    let known: Vec<Contact> = world.of(7).table().iter().map(|entry| (*entry.contact).clone()).collect();
    let left = known[known.len() / 2].id();
    // All it knew are gone but one; it starts anew with its memory alone.
    let gone = known.iter().map(Contact::id).filter(|id| *id != left);
    world.dead.extend(gone);
    let now = world.now;
    *world.of(7) = Overlay::new(id(7), 7, now);
    world.of(7).remember(known);
    world.of(7).join([], now);
    world.pass(Duration::from_secs(60));
    let alive = (0..60).filter(|n| !world.dead.contains(&id(*n))).count();
    assert!(world.of(7).table().len() >= alive.min(BUCKET) / 2, "{} of {alive}", world.of(7).table().len());
}

#[test]
fn memory_is_bounded() {
    let mut overlay = Overlay::new(id(0), 0, Time::ZERO);
    overlay.remember((0..2 * MAX_REMEMBERED as u64).map(contact));
    assert_eq!(overlay.remembered.len(), MAX_REMEMBERED);
}
