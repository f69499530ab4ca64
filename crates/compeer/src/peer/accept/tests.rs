use super::*;

fn task() -> AbortHandle {
    tokio::spawn(std::future::pending::<()>()).abort_handle()
}

/// As `admit` does it.
fn enter(pending: &mut Pending, from: &str) -> Option<u64> {
    let prefix = prefix(from.parse().unwrap());
    let number = pending.take(prefix)?;
    pending.by_prefix.entry(prefix).or_default().push_back((number, task()));
    Some(number)
}

#[tokio::test]
async fn a_prefix_has_its_places_and_no_more() {
    let mut pending = Pending::default();
    for n in 0..limits::MAX_PENDING_PER_PREFIX {
        // One household: the same IPv4 address, or any address of an IPv6 /56.
        assert!(enter(&mut pending, "203.0.113.7").is_some());
        assert!(enter(&mut pending, &format!("2001:db8:0:{n:x}::1")).is_some());
    }
    assert_eq!(enter(&mut pending, "203.0.113.7"), None);
    assert_eq!(enter(&mut pending, "::ffff:203.0.113.7"), None);
    assert_eq!(enter(&mut pending, "2001:db8:0:ff::9"), None);
    assert!(enter(&mut pending, "203.0.113.8").is_some());
    assert!(enter(&mut pending, "2001:db8:0:100::1").is_some());
    pending.give_back(prefix("203.0.113.7".parse().unwrap()), 1);
    assert!(enter(&mut pending, "203.0.113.7").is_some());
}

#[tokio::test]
async fn loopback_has_no_cap_of_its_own() {
    let mut pending = Pending::default();
    for _ in 0..=limits::MAX_PENDING_PER_PREFIX {
        assert!(enter(&mut pending, "127.0.0.1").is_some());
        assert!(enter(&mut pending, "::1").is_some());
    }
}

#[tokio::test]
async fn when_all_places_are_taken_the_oldest_of_the_fullest_prefix_goes() {
    let mut pending = Pending::default();
    let crowd = prefix("127.0.0.1".parse().unwrap());
    assert!(enter(&mut pending, "203.0.113.7").is_some());
    let oldest = enter(&mut pending, "127.0.0.1").unwrap();
    while pending.count < limits::MAX_PENDING {
        enter(&mut pending, "127.0.0.1").unwrap();
    }
    assert!(enter(&mut pending, "203.0.113.9").is_some());
    assert!(pending.by_prefix[&crowd].iter().all(|(number, _)| *number != oldest));
    assert_eq!(pending.by_prefix[&prefix("203.0.113.7".parse().unwrap())].len(), 1);
}

#[tokio::test]
async fn places_given_back_leave_nothing_behind() {
    let mut pending = Pending::default();
    let number = enter(&mut pending, "203.0.113.7").unwrap();
    pending.give_back(prefix("203.0.113.7".parse().unwrap()), number);
    assert_eq!(pending.count, 0);
    assert!(pending.by_prefix.is_empty());
}
