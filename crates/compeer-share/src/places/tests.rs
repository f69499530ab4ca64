use compeer::Identity;

use super::*;

fn who(n: u8) -> PeerId {
    Identity::from_seed(&[n; 32]).peer_id()
}

fn house(n: u8) -> Option<IpAddr> {
    Some(IpAddr::from([203, 0, 113, n]))
}

type Taken = (Place, oneshot::Receiver<()>);

fn fill(places: &Arc<Places>, from: impl Fn(u8) -> (PeerId, Option<IpAddr>)) -> Vec<Taken> {
    let all = (0..limits::MAX_SERVED).map(|n| from(n as u8));
    all.map(|(who, house)| places.take(who, house).unwrap()).collect()
}

fn lost(taken: &mut Taken) -> bool {
    taken.1.try_recv() == Err(oneshot::error::TryRecvError::Closed)
}

#[test]
fn a_household_shares_what_it_has_with_others_who_come() {
    let places = Arc::new(Places::default());
    // One household with a fresh key for each place.
    let mut crowd = fill(&places, |n| (who(n), house(1)));
    assert!(places.take(who(200), house(1)).is_none(), "each key has one: none is to give way");
    let mut guests = Vec::new();
    for oldest in crowd.iter_mut().take(limits::MAX_SERVED / 2) {
        guests.push(places.take(who(200), house(2)).unwrap());
        assert!(lost(oldest), "the oldest gives way");
    }
    assert!(places.take(who(200), house(2)).is_none(), "half each");
    let _another = places.take(who(201), house(3)).unwrap();
    let all = crowd.iter_mut().chain(&mut guests);
    assert_eq!(all.map(lost).filter(|lost| *lost).count(), limits::MAX_SERVED / 2 + 1);
    assert_eq!(places.table().held.len(), limits::MAX_SERVED);
}

#[test]
fn within_a_household_who_has_most_gives_way() {
    let places = Arc::new(Places::default());
    let mut taken = fill(&places, |n| (who(n % 4), house(1)));
    let _mine = places.take(who(200), house(1)).unwrap();
    assert_eq!(taken.iter_mut().map(lost).filter(|lost| *lost).count(), 1);
}

#[test]
fn a_place_given_back_is_free() {
    let places = Arc::new(Places::default());
    let mut taken = fill(&places, |n| (who(n), house(n)));
    assert!(places.take(who(200), house(200)).is_none(), "all have one");
    taken.pop();
    assert!(places.take(who(200), house(200)).is_some());
    drop(taken);
    assert!(places.table().held.is_empty());
}
