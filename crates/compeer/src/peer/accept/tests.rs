use super::*;

fn enter(pending: &mut Pending, from: &str) -> (u64, Arc<Semaphore>, Option<AbortHandle>) {
    let prefix = prefix(from.parse().unwrap());
    let taken = pending.take(prefix);
    pending.set_task(prefix, taken.0, tokio::spawn(std::future::pending::<()>()).abort_handle());
    taken
}

#[tokio::test]
async fn a_prefix_has_its_turns_and_the_rest_waits() {
    let mut pending = Pending::default();
    let mut turns = Vec::new();
    for n in 0..limits::MAX_PENDING_PER_PREFIX {
        // One household: the same IPv4 address, or any address of an IPv6 /56.
        turns.push(enter(&mut pending, "203.0.113.7").1.try_acquire_owned().unwrap());
        turns.push(enter(&mut pending, &format!("2001:db8:0:{n:x}::1")).1.try_acquire_owned().unwrap());
    }
    let ninth = enter(&mut pending, "203.0.113.7").1;
    assert!(ninth.clone().try_acquire_owned().is_err());
    assert!(enter(&mut pending, "::ffff:203.0.113.7").1.try_acquire_owned().is_err());
    assert!(enter(&mut pending, "2001:db8:0:ff::9").1.try_acquire_owned().is_err());
    assert!(enter(&mut pending, "203.0.113.8").1.try_acquire_owned().is_ok());
    assert!(enter(&mut pending, "2001:db8:0:100::1").1.try_acquire_owned().is_ok());
    drop(turns.remove(0));
    assert!(ninth.try_acquire_owned().is_ok());
}

#[tokio::test]
async fn loopback_has_no_cap_of_its_own() {
    let mut pending = Pending::default();
    let mut turns = Vec::new();
    for _ in 0..=limits::MAX_PENDING_PER_PREFIX {
        turns.push(enter(&mut pending, "127.0.0.1").1.try_acquire_owned().unwrap());
        turns.push(enter(&mut pending, "::1").1.try_acquire_owned().unwrap());
    }
}

#[tokio::test]
async fn when_all_places_are_taken_the_oldest_of_the_fullest_prefix_goes() {
    let mut pending = Pending::default();
    enter(&mut pending, "203.0.113.7");
    let oldest = enter(&mut pending, "127.0.0.1").0;
    while pending.count < limits::MAX_PENDING {
        assert!(enter(&mut pending, "127.0.0.1").2.is_none());
    }
    assert!(enter(&mut pending, "203.0.113.9").2.is_some());
    let crowd = prefix("127.0.0.1".parse().unwrap());
    assert!(pending.by_prefix[&crowd].places.iter().all(|(number, _)| *number != oldest));
    assert_eq!(pending.by_prefix[&prefix("203.0.113.7".parse().unwrap())].places.len(), 1);
}

#[tokio::test]
async fn places_given_back_leave_nothing_behind() {
    let mut pending = Pending::default();
    let number = enter(&mut pending, "203.0.113.7").0;
    pending.give_back(prefix("203.0.113.7".parse().unwrap()), number);
    assert_eq!(pending.count, 0);
    assert!(pending.by_prefix.is_empty());
}

#[tokio::test]
async fn classic_callers_have_turns_and_places_of_their_own() {
    let mut pending = Pending::new(limits::CLASSIC_CONNECTIONS, limits::CLASSIC_PER_PREFIX);
    let mut turns = Vec::new();
    for _ in 0..limits::CLASSIC_PER_PREFIX {
        turns.push(enter(&mut pending, "203.0.113.7").1.try_acquire_owned().unwrap());
    }
    assert!(enter(&mut pending, "203.0.113.7").1.try_acquire_owned().is_err());
    while pending.count < limits::CLASSIC_CONNECTIONS {
        assert!(enter(&mut pending, "203.0.113.7").2.is_none());
    }
    assert!(enter(&mut pending, "203.0.113.9").2.is_some(), "the oldest of the crowd goes");
}
