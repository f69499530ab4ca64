//! Each bound filled to the brim and one over: records of a publisher, of a key, and all. What gives
//! way then is what has ended, and what is farthest from us; a record is kept for its
//! publisher only, and the newest of them.

use super::*;
use crate::overlay::Subject;
use crate::overlay::testing::{DAWN, id, record};

fn root(n: usize) -> [u8; 32] {
    let mut root = [0; 32];
    root[..8].copy_from_slice(&n.to_le_bytes());
    root
}

fn at(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(seconds)
}

fn keep(store: &mut Store, from: u64, subject: Subject, lasts: u64, now: Time) -> Result<(), Refused> {
    store.keep(id(from), Arc::new(record(from, subject, DAWN)), lasts, now)
}

#[test]
fn a_publisher_and_a_key_have_their_bounds() {
    let mut store = Store::new(Key::of_name("me"));
    for n in 0..=MAX_RECORDS_OF_PUBLISHER {
        let kept = keep(&mut store, 1, Subject::Content(root(n)), 60, at(0));
        assert_eq!(kept, if n < MAX_RECORDS_OF_PUBLISHER { Ok(()) } else { Err(Refused::Publisher) });
    }
    for n in 0..=MAX_RECORDS_OF_KEY as u64 {
        let kept = keep(&mut store, 10 + n, Subject::Content(root(5000)), 60, at(0));
        assert_eq!(kept, if n < MAX_RECORDS_OF_KEY as u64 { Ok(()) } else { Err(Refused::Full) });
    }
    assert_eq!(store.len(), MAX_RECORDS_OF_PUBLISHER + MAX_RECORDS_OF_KEY);
    // What has ended makes room.
    assert_eq!(keep(&mut store, 1, Subject::Content(root(9000)), 60, at(61)), Ok(()));
    assert_eq!(store.len(), 1);
}

#[test]
fn when_all_is_full_the_farthest_gives_way_to_the_nearer() {
    let me = Key::of_name("me");
    let mut store = Store::new(me);
    let publishers = (MAX_RECORDS_KEPT / MAX_RECORDS_OF_PUBLISHER) as u64;
    let mut roots: Vec<[u8; 32]> = (0..=MAX_RECORDS_KEPT + 1).map(root).collect();
    roots.sort_by_key(|root| Key::of_content(root).distance(&me));
    let (nearest, farthest) = (roots.remove(0), roots.pop().unwrap());
    for (n, root) in roots.iter().enumerate() {
        keep(&mut store, n as u64 % publishers, Subject::Content(*root), 60, at(0)).unwrap();
    }
    assert_eq!(store.len(), MAX_RECORDS_KEPT);
    assert_eq!(keep(&mut store, 900, Subject::Content(farthest), 60, at(1)), Err(Refused::Full));
    assert_eq!(keep(&mut store, 900, Subject::Content(nearest), 60, at(1)), Ok(()));
    assert_eq!(store.len(), MAX_RECORDS_KEPT);
    assert!(store.get(&Key::of_content(roots.last().unwrap()), 9, at(1)).is_empty());
}

#[test]
fn only_the_publisher_has_its_records_kept_and_only_newer_ones() {
    let mut store = Store::new(Key::of_name("me"));
    let subject = Subject::Peer(id(1));
    let [old, new] = [DAWN, DAWN + 1].map(|wall| Arc::new(record(1, subject, wall)));
    assert_eq!(store.keep(id(2), new.clone(), 60, at(0)), Err(Refused::Foreign));
    assert_eq!(store.keep(id(1), new.clone(), 60, at(0)), Ok(()));
    assert_eq!(store.keep(id(1), old, 60, at(0)), Err(Refused::Older));
    // The same again does not make it last.
    assert_eq!(store.keep(id(1), new.clone(), 60, at(50)), Ok(()));
    assert_eq!(store.get(&subject.key(), 9, at(59)), [new]);
    assert!(store.get(&subject.key(), 9, at(60)).is_empty());
}
