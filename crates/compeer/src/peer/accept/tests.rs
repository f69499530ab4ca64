use std::num::NonZeroU64;

use tokio::sync::Semaphore;

use super::*;

/// Callers by a number instead of a task.
type Numbered = Pending<NonZeroU64>;

fn full_size() -> Numbered {
    Pending::new(limits::MAX_PENDING, limits::MAX_PENDING_CONNECTED)
}

fn enter(
    pending: &mut Numbered,
    budget: Budget,
    from: &str,
    number: u64,
) -> (Place, Arc<Semaphore>, Option<NonZeroU64>) {
    let prefix = prefix(from.parse().unwrap());
    let turns = PerPrefix::default().turns(prefix, limits::MAX_PENDING_PER_PREFIX);
    let taken = pending.take(budget, prefix, turns);
    assert_eq!(pending.set_task(taken.0, NonZeroU64::new(number).unwrap()), None);
    taken
}

fn turns(pending: &mut Numbered, from: &str) -> Arc<Semaphore> {
    enter(pending, Budget::Strangers, from, 1).1
}

#[test]
fn a_prefix_has_its_turns_and_the_rest_waits() {
    let mut pending = full_size();
    let mut taken = Vec::new();
    for n in 0..limits::MAX_PENDING_PER_PREFIX {
        // One household: the same IPv4 address, or any address of an IPv6 /56.
        taken.push(turns(&mut pending, "203.0.113.7").try_acquire_owned().unwrap());
        taken.push(turns(&mut pending, &format!("2001:db8:0:{n:x}::1")).try_acquire_owned().unwrap());
    }
    let ninth = turns(&mut pending, "203.0.113.7");
    assert!(ninth.clone().try_acquire_owned().is_err());
    assert!(turns(&mut pending, "::ffff:203.0.113.7").try_acquire_owned().is_err());
    assert!(turns(&mut pending, "2001:db8:0:ff::9").try_acquire_owned().is_err());
    assert!(turns(&mut pending, "203.0.113.8").try_acquire_owned().is_ok());
    assert!(turns(&mut pending, "2001:db8:0:100::1").try_acquire_owned().is_ok());
    drop(taken.remove(0));
    assert!(ninth.try_acquire_owned().is_ok());
}

#[test]
fn loopback_has_no_cap_of_its_own_unless_it_is_wanted() {
    let mut pending = full_size();
    let mut taken = Vec::new();
    for _ in 0..=limits::MAX_PENDING_PER_PREFIX {
        taken.push(turns(&mut pending, "127.0.0.1").try_acquire_owned().unwrap());
        taken.push(turns(&mut pending, "::1").try_acquire_owned().unwrap());
    }
    let bound = PerPrefix { loopback: true, ..PerPrefix::default() };
    assert_eq!(bound.turns("127.0.0.1".parse().unwrap(), 8), 8);
    assert_eq!(bound.strangers("::1".parse().unwrap()), limits::MAX_STRANGERS_PER_PREFIX);
}

#[test]
fn when_all_places_are_taken_the_oldest_of_the_fullest_prefix_goes() {
    let mut pending = full_size();
    enter(&mut pending, Budget::Strangers, "203.0.113.7", 1);
    for n in 2..=limits::MAX_PENDING as u64 {
        assert_eq!(enter(&mut pending, Budget::Strangers, "127.0.0.1", n).2, None);
    }
    for n in 2..10 {
        let pushed_out = enter(&mut pending, Budget::Strangers, "203.0.113.9", 5_000).2;
        assert_eq!(pushed_out, NonZeroU64::new(n));
    }
    assert_eq!(pending.push_out(), Some(NonZeroU64::new(10)));
}

#[test]
fn of_equally_full_prefixes_the_one_that_came_first_loses() {
    let mut pending = full_size();
    for n in 1..=limits::MAX_PENDING as u64 {
        // The first has the highest address, the last the lowest.
        let from = IpAddr::from((0x0b00_0000 - n as u32).to_be_bytes()).to_string();
        enter(&mut pending, Budget::Strangers, &from, n);
    }
    for n in 1..10 {
        let from = format!("9.0.0.{n}");
        assert_eq!(enter(&mut pending, Budget::Strangers, &from, 5_000).2, NonZeroU64::new(n));
    }
}

#[test]
fn who_is_connected_has_places_of_his_own() {
    let mut pending = full_size();
    for n in 1..=limits::MAX_PENDING_CONNECTED as u64 {
        assert_eq!(enter(&mut pending, Budget::Connected, "203.0.113.7", n).2, None);
    }
    for n in 0..2 * limits::MAX_PENDING as u64 {
        let from = IpAddr::from((0x0b00_0000 + n as u32).to_be_bytes()).to_string();
        let pushed_out = enter(&mut pending, Budget::Strangers, &from, 10_000 + n).2;
        assert!(pushed_out.is_none_or(|caller| caller.get() >= 10_000));
    }
    // One over the brim: its own oldest, none of the others.
    assert_eq!(enter(&mut pending, Budget::Connected, "203.0.113.8", 9_999).2, NonZeroU64::new(1));
}

#[test]
fn for_descriptors_strangers_go_before_callers_from_where_somebody_is_connected() {
    let mut pending = full_size();
    enter(&mut pending, Budget::Connected, "203.0.113.7", 1);
    enter(&mut pending, Budget::Strangers, "203.0.113.8", 2);
    let gone: Vec<_> = (0..3).map(|_| pending.push_out()).collect();
    assert_eq!(gone, [Some(NonZeroU64::new(2)), Some(NonZeroU64::new(1)), None]);
}

#[test]
fn who_was_pushed_out_before_its_task_was_known_is_told() {
    let mut pending = full_size();
    let prefix = prefix("203.0.113.7".parse().unwrap());
    let (place, ..) = pending.take(Budget::Strangers, prefix, 8);
    enter(&mut pending, Budget::Connected, "203.0.113.7", 7);
    assert_eq!(pending.push_out(), Some(None), "it has no task yet, and nobody goes beside it");
    assert_eq!(pending.set_task(place, NonZeroU64::MIN), Some(NonZeroU64::MIN));
    pending.give_back(place);
}

#[test]
fn classic_callers_have_turns_and_places_of_their_own() {
    let mut pending: Numbered = Pending::new(limits::CLASSIC_CONNECTIONS, 0);
    let mut taken = Vec::new();
    let mut enter = |from: &str, n: usize| {
        let (place, turns, pushed_out) =
            pending.take(Budget::Strangers, prefix(from.parse().unwrap()), limits::CLASSIC_PER_PREFIX);
        pending.set_task(place, NonZeroU64::new(n as u64).unwrap());
        taken.extend(turns.try_acquire_owned());
        (taken.len(), pushed_out)
    };
    for n in 1..=limits::CLASSIC_CONNECTIONS {
        let served = n.min(limits::CLASSIC_PER_PREFIX);
        assert_eq!(enter("203.0.113.7", n), (served, None));
    }
    let oldest = enter("203.0.113.9", limits::CLASSIC_CONNECTIONS + 1).1;
    assert_eq!(oldest, NonZeroU64::new(1), "the oldest of the crowd goes");
}
