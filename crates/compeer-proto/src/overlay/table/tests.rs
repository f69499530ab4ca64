//! Who gets a place, who keeps it, and who loses it; that a network gets two places in a bucket; and
//! that those who are found closest are those of a list that is simply
//! sorted.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::overlay::testing::{contact, contact_at, id};

fn at(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(seconds)
}

/// Peers of the farthest bucket of `me`.
fn far_ones(me: &Key, make: impl Fn(u64) -> Contact) -> impl Iterator<Item = Arc<Contact>> {
    (0..).map(make).filter(move |contact| contact.key().shared_bits(me) == 0).map(Arc::new)
}

#[test]
fn the_closest_are_those_of_a_sorted_list() {
    let me = Key::of_name("me");
    let mut table = Table::new(me);
    let mut all: Vec<Arc<Contact>> = (0..400).map(contact).map(Arc::new).collect();
    all.retain(|contact| table.reached(contact.clone(), at(1)) == Placed::Entered);
    assert!(all.len() > 80 && all.len() == table.len());
    let names = (0..50).map(|n| Key::of_name(&n.to_string()));
    let targets: Vec<Key> = names.chain(all.iter().map(|c| c.key())).chain([me]).collect();
    for target in targets {
        all.sort_by_key(|contact| contact.key().distance(&target));
        for n in [1, 7, 20, 1000] {
            let found: Vec<PeerId> = table.closest(&target, n).iter().map(|c| c.id()).collect();
            let sorted: Vec<PeerId> = all.iter().take(n).map(|c| c.id()).collect();
            assert_eq!(found, sorted);
        }
    }
}

#[test]
fn who_was_there_first_keeps_the_place_unless_it_fails() {
    let me = Key::of_name("me");
    let mut table = Table::new(me);
    let peers: Vec<_> = far_ones(&me, contact).take(BUCKET + 3 + BUCKET_WAITING).collect();
    for (n, peer) in peers[..BUCKET].iter().enumerate() {
        assert_eq!(table.reached(peer.clone(), at(n as u64)), Placed::Entered);
    }
    for newcomer in &peers[BUCKET..] {
        assert_eq!(table.reached(newcomer.clone(), at(99)), Placed::Waits(peers[0].clone()));
    }
    assert_eq!(table.len(), BUCKET);
    // The longest silent answers: it goes to the end, and the next would be tested.
    assert_eq!(table.reached(peers[0].clone(), at(100)), Placed::Known);
    let newcomer = peers[BUCKET].clone();
    assert_eq!(table.reached(newcomer, at(101)), Placed::Waits(peers[1].clone()));
    // It does not: who came last takes the place.
    assert!(table.failed(&peers[1].key(), at(102)));
    assert!(table.get(&peers[1].id()).is_none());
    assert!(table.get(&peers[BUCKET].id()).is_some());
    assert_eq!(table.len(), BUCKET);
}

#[test]
fn who_fails_is_not_told_but_kept_until_somebody_comes() {
    let me = Key::of_name("me");
    let mut table = Table::new(me);
    let peers: Vec<_> = far_ones(&me, contact).take(BUCKET + 1).collect();
    for peer in &peers[..BUCKET] {
        table.reached(peer.clone(), at(0));
    }
    for peer in &peers[..BUCKET] {
        assert!(!table.failed(&peer.key(), at(1)), "nobody waits for the place");
    }
    assert_eq!(table.closest(&me, 100), []);
    assert_eq!(table.closest_of_all(&me, 100).len(), BUCKET);
    assert_eq!(table.reached(peers[BUCKET].clone(), at(2)), Placed::Entered);
    assert_eq!(table.len(), BUCKET);
    assert_eq!(table.reached(peers[BUCKET - 1].clone(), at(3)), Placed::Known);
    assert_eq!(table.closest(&me, 100).len(), 2);
}

#[test]
fn a_network_gets_two_places_in_a_bucket() {
    let me = Key::of_name("me");
    let mut table = Table::new(me);
    let mut ones: Vec<_> = far_ones(&me, |n| contact_at(n, "203.0.113.7:1")).take(5).collect();
    let other = far_ones(&me, |n| contact_at(n, "203.0.112.7:1")).nth(6).unwrap();
    let last = ones.split_off(PER_NETWORK);
    for peer in &ones {
        assert_eq!(table.reached(peer.clone(), at(0)), Placed::Entered);
    }
    for peer in &last {
        assert!(!table.wants(peer));
        assert_eq!(table.reached(peer.clone(), at(0)), Placed::Crowded);
    }
    assert_eq!(table.reached(other, at(0)), Placed::Entered);
    // One of them fails: another of the network may have its place, not one more.
    table.failed(&ones[0].key(), at(1));
    assert_eq!(table.reached(last[0].clone(), at(1)), Placed::Entered);
    assert_eq!(table.reached(last[1].clone(), at(1)), Placed::Crowded);
    assert_eq!(table.len(), PER_NETWORK + 1);
}

#[test]
fn it_never_holds_itself() {
    let me = contact(1);
    let mut table = Table::new(me.key());
    assert_eq!(table.reached(Arc::new(me.clone()), at(0)), Placed::Known);
    assert!(!table.wants(&me) && table.is_empty() && table.get(&id(1)).is_none());
}
