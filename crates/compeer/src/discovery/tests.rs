//! Two that hear each other, over multicast on the loopback interface, and a
//! table that does not grow.

use super::*;
use crate::Identity;

/// Each test has a port of its own, so that they do not hear each other.
fn settings(test: u16) -> Settings {
    // Below the ports that the system hands out.
    Settings { port: 20_000 + (std::process::id() % 1000) as u16 * 10 + test, loopback: true }
}

fn announcement(seed: u8, port: u16) -> Announcement {
    Announcement {
        id: Identity::from_seed(&[seed; 32]).peer_id(),
        name: Some(format!("peer\t{seed}")),
        listen: vec![SocketAddr::from(([127, 0, 0, 1], port))],
        numbers: Vec::new(),
    }
}

async fn next(changes: &mut Changes) -> Change {
    let next = tokio::time::timeout(Duration::from_secs(10), changes.next()).await;
    next.expect("a change in time").expect("a change")
}

#[tokio::test]
async fn what_is_announced_is_heard_corrected_and_taken_back() {
    let alice = Discovery::start(settings(0)).unwrap();
    alice.announce(announcement(1, 4001).with_numbers([7, 12])).unwrap();
    let bob = Discovery::start(settings(0)).unwrap();
    let mut changes = bob.changes();
    let Change::Found(found) = next(&mut changes).await else { panic!("found first") };
    let expected = announcement(1, 4001);
    assert_eq!(found.peer, PeerAddr::new(expected.id, ["127.0.0.1:4001".parse().unwrap()]));
    assert_eq!((found.name.as_deref(), &found.numbers[..]), (Some("peer\t1"), &[7, 12][..]));
    assert_eq!(bob.nearby(), [found]);

    alice.announce(announcement(1, 4001).with_numbers([8])).unwrap();
    let Change::Found(found) = next(&mut changes).await else { panic!("found again") };
    assert_eq!(found.numbers, [8]);
    // A second reader hears of everybody who is there.
    assert_eq!(next(&mut bob.changes()).await, Change::Found(found));

    // Both announce; nobody hears himself.
    bob.announce(announcement(2, 4002)).unwrap();
    let Change::Found(found) = next(&mut alice.changes()).await else { panic!("found") };
    assert_eq!(found.peer.id, announcement(2, 1).id);

    alice.leave().await;
    assert_eq!(next(&mut changes).await, Change::Lost(expected.id));
    assert!(bob.nearby().is_empty());
    drop(bob);
    assert_eq!(tokio::time::timeout(Duration::from_secs(10), changes.next()).await.unwrap(), None);
}

#[tokio::test]
async fn dropped_it_says_goodbye() {
    let bob = Discovery::start(settings(1)).unwrap();
    let mut changes = bob.changes();
    let alice = Discovery::start(settings(1)).unwrap();
    alice.announce(announcement(1, 4001)).unwrap();
    assert!(matches!(next(&mut changes).await, Change::Found(_)));
    drop(alice);
    assert!(matches!(next(&mut changes).await, Change::Lost(_)));

    let alice = Discovery::start(settings(1)).unwrap();
    alice.announce(announcement(1, 4001)).unwrap();
    assert!(matches!(next(&mut changes).await, Change::Found(_)));
    alice.withdraw();
    assert!(matches!(next(&mut changes).await, Change::Lost(_)));
}

#[tokio::test]
async fn begun_anew_it_announces_the_same() {
    let alice = Discovery::start(settings(2)).unwrap();
    alice.announce(announcement(1, 4001)).unwrap();
    alice.shared.near.send_if_modified(|near| near.found(found(9)));
    // As if the library had given up: what listens to it notices and begins anew.
    let mut changes = alice.changes();
    assert!(matches!(next(&mut changes).await, Change::Found(_)));
    let _ = lock(&alice.shared.daemon).shutdown();
    assert!(matches!(next(&mut changes).await, Change::Lost(_)), "forgotten");
    let bob = Discovery::start(settings(2)).unwrap();
    assert!(matches!(next(&mut bob.changes()).await, Change::Found(_)));
}

#[tokio::test]
async fn what_the_library_keeps_is_measured() {
    let alice = Discovery::start(settings(3)).unwrap();
    alice.announce(announcement(1, 4001)).unwrap();
    let bob = Discovery::start(settings(3)).unwrap();
    assert!(matches!(next(&mut bob.changes()).await, Change::Found(_)));
    assert!(!too_much(&bob.shared).await);
    // Of one announcement: its name, place, text and address.
    let (daemon, settings) = (lock(&bob.shared.daemon).clone(), bob.shared.settings);
    let little = |most| Shared {
        settings,
        daemon: Mutex::new(daemon.clone()),
        announced: Mutex::default(),
        near: watch::Sender::default(),
        most,
    };
    assert!(too_much(&little(3)).await && !too_much(&little(16)).await);
}

/// Texts of so many instances that nobody has announced: RFC 1035 §4.1, RFC 6763 §6. They are kept, and no event tells
/// of them.
fn flood(from: u16, to: u16) -> Vec<u8> {
    let mut packet = [0, 0x8400, 0, to - from, 0, 0].map(u16::to_be_bytes).concat();
    for n in from..to {
        packet.push(8);
        packet.extend(format!("{n:08}").as_bytes());
        match n == from {
            true => packet.extend(b"\x08_compeer\x04_tcp\x05local\0"),
            // The same service as in the first one.
            false => packet.extend([0xc0, 12 + 9]),
        }
        // TXT, in the Internet, for two minutes: nothing.
        packet.extend([0, 16, 0, 1, 0, 0, 0, 120, 0, 1, 0]);
    }
    packet
}

#[tokio::test]
async fn more_records_than_may_be_kept_are_thrown_away() {
    let bob = Discovery::start(settings(4)).unwrap();
    bob.shared.near.send_if_modified(|near| near.found(found(9)));
    let mut changes = bob.changes();
    assert!(matches!(next(&mut changes).await, Change::Found(_)));
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    socket.set_multicast_if_v4(&std::net::Ipv4Addr::LOCALHOST).unwrap();
    let to = SocketAddr::from(([224, 0, 0, 251], settings(4).port)).into();
    let most = limits::MAX_NEARBY_RECORDS as u16;
    let full = async {
        for from in (0..most).step_by(128) {
            // Again when it was lost.
            while kept(&bob.shared).await.unwrap() < i64::from(from + 128) {
                socket.send_to(&flood(from, from + 128), &to).unwrap();
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), full).await.expect("they are kept");
    assert!(!too_much(&bob.shared).await && bob.nearby().len() == 1, "so many may be");
    let over = async {
        while !bob.nearby().is_empty() {
            socket.send_to(&flood(most, most + 1), &to).unwrap();
            tokio::task::yield_now().await;
            let _ = kept(&bob.shared).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), over).await.expect("begun anew");
    assert!(matches!(next(&mut changes).await, Change::Lost(_)));
}

fn found(n: u16) -> Nearby {
    let seed = [(n % 256) as u8, (n / 256) as u8].repeat(16).try_into().unwrap();
    Nearby { peer: PeerAddr::from(Identity::from_seed(&seed).peer_id()), name: None, numbers: vec![n] }
}

#[test]
fn the_table_is_bounded_and_keeps_the_first() {
    let mut near = Near::default();
    for n in 0..limits::MAX_NEARBY as u16 + 20 {
        assert_eq!(near.found(found(n)), n < limits::MAX_NEARBY as u16);
    }
    assert_eq!(near.all().len(), limits::MAX_NEARBY);
    let first = found(0);
    assert!(!near.found(first.clone()) && near.found(Nearby { numbers: vec![5], ..first.clone() }));
    assert!(near.lost(first.peer.id) && !near.lost(first.peer.id));
    assert!(near.set_own(found(1).peer.id) && !near.found(found(1)));
    assert!(near.found(found(limits::MAX_NEARBY as u16)));
    assert!(near.clear() && !near.clear());
}
