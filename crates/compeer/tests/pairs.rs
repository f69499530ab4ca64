//! One connection per pair, keys that run twice, blocked peers, lost and found.
//!
//! Most of it runs over the memory transport in virtual time, where fifteen
//! seconds cost nothing and every run is the same.

#![allow(clippy::disallowed_methods, reason = "the virtual time of a paused runtime")]

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use compeer::transport::memory::MemoryNetwork;
use compeer::{ConnectError, Event, Events, Failure, Identity, Peer, PeerAddr, Request, RequestError};

async fn echo(request: Request) -> Result<bytes::Bytes, Failure> {
    Ok(request.body().clone())
}

fn ip(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

/// A peer of the network at 10.0.0.n, its key made from n.
async fn member(network: &MemoryNetwork, n: u8) -> Peer {
    start(network, &Identity::from_seed(&[n; 32]), n, u64::from(n)).await
}

async fn start(network: &MemoryNetwork, identity: &Identity, n: u8, seed: u64) -> Peer {
    Peer::builder()
        .identity(identity.clone())
        .transport(network.transport(identity.peer_id(), ip(n)))
        .listen(SocketAddr::new(ip(n), 1))
        .seed(seed)
        .handle("ECHO", echo)
        .spawn()
        .await
        .unwrap()
}

async fn until(events: &mut Events, what: impl Fn(&Event) -> bool) -> Event {
    let found = async {
        loop {
            match events.recv().await {
                Some(event) if what(&event) => return event,
                Some(_) => {}
                None => panic!("the peer shut down before it happened"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), found).await.expect("it did not happen within 120 s")
}

/// Waits until both agree on one connection and nothing else is left.
async fn settled(a: &Peer, b: &Peer) {
    let agreed = async {
        loop {
            let (of_a, of_b) = (a.connections(), b.connections());
            let one_each = of_a.len() == 1 && of_b.len() == 1 && of_a[0].dialled != of_b[0].dialled;
            if one_each && a.link_count() == 1 && b.link_count() == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let patience = Duration::from_secs(20);
    if tokio::time::timeout(patience, agreed).await.is_err() {
        panic!("never one connection: {:?} and {:?}", a.connections(), b.connections());
    }
}

#[tokio::test(start_paused = true)]
async fn peers_that_call_each_other_at_once_end_with_one_connection() {
    let network = MemoryNetwork::new(1);
    for round in 0..1000u64 {
        let keys = [round * 2, round * 2 + 1].map(|n| {
            let mut seed = [9; 32];
            seed[..8].copy_from_slice(&n.to_le_bytes());
            Identity::from_seed(&seed)
        });
        let a = start(&network, &keys[0], 1, round).await;
        let b = start(&network, &keys[1], 2, round + 1).await;
        let (to_a, to_b) = (a.request(b.addr(), "ECHO", "a").one(), b.request(a.addr(), "ECHO", "b").one());
        let (x, y) = tokio::join!(to_a, to_b);
        assert_eq!((&x.unwrap().body[..], &y.unwrap().body[..]), (&b"a"[..], &b"b"[..]), "round {round}");
        settled(&a, &b).await;
        a.shutdown().await;
        b.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_over_tls() {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    for _ in 0..1000 {
        let a = Peer::builder().listen(any).handle("ECHO", echo).spawn().await.unwrap();
        let b = Peer::builder().listen(any).handle("ECHO", echo).spawn().await.unwrap();
        let (to_a, to_b) = (a.request(b.addr(), "ECHO", "a").one(), b.request(a.addr(), "ECHO", "b").one());
        let (x, y) = tokio::join!(to_a, to_b);
        assert_eq!((&x.unwrap().body[..], &y.unwrap().body[..]), (&b"a"[..], &b"b"[..]));
        settled(&a, &b).await;
        a.shutdown().await;
        b.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_link_is_noticed_within_15_s_and_mended() {
    let network = MemoryNetwork::new(2);
    let (a, b) = (member(&network, 1).await, member(&network, 2).await);
    let (mut of_a, mut of_b) = (a.events(), b.events());
    a.keep(b.addr());
    until(&mut of_a, |e| matches!(e, Event::Connected { .. })).await;
    until(&mut of_b, |e| matches!(e, Event::Connected { .. })).await;
    network.cut(ip(1), ip(2));
    let cut = tokio::time::Instant::now();
    until(&mut of_a, |e| matches!(e, Event::Disconnected { .. })).await;
    until(&mut of_b, |e| matches!(e, Event::Disconnected { .. })).await;
    assert!(cut.elapsed() <= Duration::from_secs(15), "noticed after {:?}", cut.elapsed());
    until(&mut of_a, |e| matches!(e, Event::Retrying { .. })).await;
    network.heal(ip(1), ip(2));
    until(&mut of_a, |e| matches!(e, Event::Connected { .. })).await;
    assert_eq!(&a.request(b.id(), "ECHO", "x").one().await.unwrap().body[..], b"x");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_runs_twice_is_told_to_both() {
    let network = MemoryNetwork::new(3);
    let hub = member(&network, 1).await;
    let key = Identity::from_seed(&[77; 32]);
    let one = start(&network, &key, 2, 20).await;
    let two = start(&network, &key, 3, 30).await;
    let (mut of_hub, mut of_one, mut of_two) = (hub.events(), one.events(), two.events());
    one.keep(hub.addr());
    until(&mut of_hub, |e| matches!(e, Event::Connected { .. })).await;
    two.keep(hub.addr());
    let twice = |e: &Event| matches!(e, Event::KeyRunsTwice { peer, .. } if *peer == key.peer_id());
    until(&mut of_one, twice).await;
    until(&mut of_two, twice).await;
    until(&mut of_hub, twice).await;
}

#[tokio::test(start_paused = true)]
async fn calling_ones_own_key_elsewhere_is_told() {
    let network = MemoryNetwork::new(4);
    let key = Identity::from_seed(&[77; 32]);
    let one = start(&network, &key, 2, 20).await;
    let two = start(&network, &key, 3, 30).await;
    let elsewhere = compeer::Addr::from(two.local_addrs()[0]);
    let error = one.connect(elsewhere.clone()).await.map(drop).unwrap_err();
    assert_eq!(error, ConnectError::KeyRunsTwice(elsewhere));
    let here = one.local_addrs()[0];
    assert_eq!(one.connect(here).await.map(drop).unwrap_err(), ConnectError::Oneself);
}

#[tokio::test(start_paused = true)]
async fn a_restart_takes_over_at_once() {
    let network = MemoryNetwork::new(5);
    let a = member(&network, 1).await;
    let key = Identity::from_seed(&[2; 32]);
    let old = start(&network, &key, 2, 1).await;
    old.request(a.addr(), "ECHO", "").one().await.unwrap();
    // The old one is gone without a word, as after a power cut.
    network.cut(ip(1), ip(2));
    let new = start(&network, &key, 3, 2).await;
    new.request(a.addr(), "ECHO", "").one().await.unwrap();
    let reply = a.request(key.peer_id(), "ECHO", "x").one().await.unwrap();
    assert_eq!(&reply.body[..], b"x");
    assert_eq!(a.connections().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn blocking_closes_and_keeps_out() {
    let network = MemoryNetwork::new(6);
    let (a, b) = (member(&network, 1).await, member(&network, 2).await);
    let mut of_b = b.events();
    b.request(a.addr(), "ECHO", "").one().await.unwrap();
    a.block(b.id());
    until(&mut of_b, |e| matches!(e, Event::Disconnected { .. })).await;
    let error = b.connect(a.addr()).await.map(drop).unwrap_err();
    assert_eq!(error, ConnectError::Refused("the peer closed: not wanted".into()));
    let error = a.request(b.addr(), "ECHO", "").one().await.unwrap_err();
    assert_eq!(error, RequestError::Unreachable(ConnectError::Blocked(b.id())));
    a.unblock(b.id());
    b.connect(a.addr()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn unused_connections_are_closed_and_kept_ones_stay() {
    let network = MemoryNetwork::new(7);
    let (a, b, c) = (member(&network, 1).await, member(&network, 2).await, member(&network, 3).await);
    let mut of_a = a.events();
    a.connect(b.addr()).await.unwrap();
    a.keep(c.addr());
    let gone = until(&mut of_a, |e| matches!(e, Event::Disconnected { .. })).await;
    assert!(matches!(gone, Event::Disconnected { peer, .. } if peer == b.id()), "{gone:?}");
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(a.connections().len(), 1);
    assert_eq!(a.connections()[0].peer_id, c.id());
}

#[tokio::test(start_paused = true)]
async fn a_full_peer_gives_up_the_stranger_idle_longest() {
    let network = MemoryNetwork::new(8);
    let key = Identity::from_seed(&[1; 32]);
    let full = Peer::builder()
        .identity(key.clone())
        .transport(network.transport(key.peer_id(), ip(1)))
        .listen(SocketAddr::new(ip(1), 1))
        .max_connections(3)
        .spawn()
        .await
        .unwrap();
    let mut guests = Vec::new();
    for n in 2..=5 {
        let guest = member(&network, n).await;
        full.know(if n == 2 { guest.id() } else { key.peer_id() });
        guest.keep(full.addr());
        guest.connect(full.addr()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        guests.push(guest);
    }
    let there: Vec<_> = full.connections().iter().map(|c| c.peer_id).collect();
    assert!(there.contains(&guests[0].id()), "the known one stays");
    assert!(there.len() <= 3, "{}", there.len());
}

#[tokio::test]
async fn a_wrong_key_is_refused_also_when_a_session_could_be_resumed() {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let old = Peer::builder().listen(any).handle("ECHO", echo).spawn().await.unwrap();
    let at = old.local_addrs()[0];
    let bob = Peer::builder().spawn().await.unwrap();
    // Acquainted twice, so that there is a ticket and it was used.
    for _ in 0..2 {
        bob.request(old.addr(), "ECHO", "x").one().await.unwrap();
        let mut gone = bob.events();
        bob.connect(old.id()).await.unwrap().close("again");
        until(&mut gone, |e| matches!(e, Event::Disconnected { .. })).await;
    }
    let expected = PeerAddr::new(old.id(), [at.into()]);
    old.shutdown().await;
    let new = Peer::builder().listen(at).handle("ECHO", echo).spawn().await.unwrap();
    let error = bob.request(expected.clone(), "ECHO", "x").one().await.unwrap_err();
    let RequestError::Unreachable(ConnectError::WrongKey { expected: e, proven, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!((e, proven), (expected.id, new.id()));
}
