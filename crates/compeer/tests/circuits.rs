//! Circuits: connections that others carry, over real TLS and in virtual time.
//!
//! Most tests stand five peers in a line, A–B–C–D–E, with the cables between those who are not
//! neighbours cut, and have A ask E.

#![allow(clippy::disallowed_methods, reason = "the virtual time of a paused runtime")]

use std::net::SocketAddr;
use std::time::Duration;

use compeer::{Carry, Event, Hop, Peer, PeerId, RequestError, Why};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

#[path = "support/world.rs"]
mod world;

use world::{World, echo, id, ids, mirror, refused};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_and_a_stream_go_over_another_peer() {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let bob = Peer::builder().listen(any).carry(Carry::default()).spawn().await.unwrap();
    let carol = Peer::builder().handle("ECHO", echo).handle_stream("MIRROR", mirror).spawn().await.unwrap();
    // Carol listens nowhere: only who is connected with her can reach her.
    carol.connect(bob.addr()).await.unwrap();
    let over = bob.addr();
    let alice = Peer::builder().router(move |_, _| std::future::ready(Some(Hop::from(over.clone()))));
    let alice = alice.spawn().await.unwrap();

    let reply = alice.request(carol.id(), "ECHO", "hi").one().await.unwrap();
    assert_eq!(&reply.body[..], b"hi");
    let connection = alice.connect(carol.id()).await.unwrap();
    assert_eq!((connection.path(), connection.over()), (None, &[bob.id()][..]));
    let large: Vec<u8> = (0..1 << 20).map(|n: u32| (n.wrapping_mul(n) >> 7) as u8).collect();
    let reply = alice.request(carol.id(), "ECHO", large.clone()).one().await.unwrap();
    assert_eq!(reply.body, large);
    let mut stream = alice.open_stream(carol.id(), "MIRROR").await.unwrap();
    assert_eq!(stream.over(), &[bob.id()]);
    stream.write_all(&large).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut mirrored = Vec::new();
    stream.read_to_end(&mut mirrored).await.unwrap();
    assert!(mirrored == large);
    let counted = bob.counters();
    assert_eq!((counted.circuits_carried, counted.circuits_refused), (2, 0));
    assert!(counted.circuit_bytes_carried > 4 << 20);
    assert_eq!((alice.counters().circuits_opened, carol.counters().circuits_accepted), (2, 2));
    for peer in [alice, bob, carol] {
        peer.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn all_works_over_a_line_of_five() {
    let world = World::line(5);
    let all = world.all(5).await;
    let (a, e) = (&all[0], &all[4]);
    let mut of_e = e.events();
    let reply = a.request(e.id(), "ECHO", "hi").one().await.unwrap();
    assert_eq!(&reply.body[..], b"hi");
    assert_eq!(a.connect(e.id()).await.unwrap().over(), ids([2, 3, 4]));
    assert_eq!(e.connect(a.id()).await.unwrap().over(), ids([4, 3, 2]));
    let connected = loop {
        match of_e.recv().await.unwrap() {
            Event::Connected { peer, over, .. } if peer == a.id() => break over,
            _ => {}
        }
    };
    assert_eq!(connected, ids([4, 3, 2]));
    // Both ways, whoever has dialled.
    assert_eq!(&e.request(a.id(), "ECHO", "ho").one().await.unwrap().body[..], b"ho");
    let large = vec![7; 1 << 20];
    assert!(a.request(e.id(), "ECHO", large.clone()).one().await.unwrap().body == large);
    for (from, to) in [(a, e), (e, a)] {
        let mut stream = from.open_stream(to.id(), "MIRROR").await.unwrap();
        let much: Vec<u8> = (0..10 << 20).map(|n: u32| (n.wrapping_mul(n) >> 9) as u8).collect();
        stream.write_all(&much).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut mirrored = Vec::new();
        stream.read_to_end(&mut mirrored).await.unwrap();
        assert!(mirrored == much);
    }
    // A cancelled request is cancelled there too.
    let asked = a.request(e.id(), "SLEEP", "").await.unwrap();
    drop(asked);
    a.ping(e.id()).await.unwrap();
    assert_eq!(e.counters().requests_cancelled, 1);
}

#[tokio::test(start_paused = true)]
async fn who_of_the_carriers_died_is_told_to_both_ends() {
    for (silent, why) in [(true, Why::Silent), (false, Why::Gone)] {
        let world = World::line(5);
        let all = world.all(5).await;
        let (a, e) = (&all[0], &all[4]);
        a.connect(e.id()).await.unwrap();
        let (of_a, of_e) = (a.clone(), e.clone());
        let to_e = tokio::spawn(async move { of_a.request(id(5), "SLEEP", "").no_timeout().one().await });
        let to_a = tokio::spawn(async move { of_e.request(id(1), "SLEEP", "").no_timeout().one().await });
        a.ping(e.id()).await.unwrap();
        let died = Instant::now();
        match silent {
            true => world.lose(3),
            false => all[2].shutdown().await,
        }
        let mut told = Vec::new();
        for (asked, over) in [(to_e, ids([2, 3, 4])), (to_a, ids([4, 3, 2]))] {
            let error = asked.await.unwrap().unwrap_err();
            let RequestError::CircuitBroke(broke) = &error else { panic!("{error:?}") };
            assert_eq!((&broke.over, broke.at, broke.why), (&over, Some(id(3)), why), "{error}");
            told.push(error.to_string());
        }
        assert!(died.elapsed() <= Duration::from_secs(15), "{:?}", died.elapsed());
        let words = if silent { "no sign of life" } else { "its connection is lost" };
        assert!(
            told.iter().all(|told| told.contains(&format!("broke at {}: {words}", id(3).short()))),
            "{told:?}"
        );
        // There is no other way, and that is said.
        let (who, why) = refused(a.request(e.id(), "ECHO", "").one().await.unwrap_err());
        assert!(who.is_some() && matches!(why, Why::NoWay | Why::Unreachable | Why::Slow), "{who:?} {why:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_there_is_another_way_it_is_taken() {
    // 1–2–3–4 and 2–5–6–4: two is told by its router of the longer way once three is left out.
    let world = World::new(6, &[(1, 2), (2, 3), (3, 4), (2, 5), (5, 6), (6, 4)]);
    let all = world.all(6).await;
    let a = &all[0];
    assert_eq!(a.connect(id(4)).await.unwrap().over(), ids([2, 3]));
    let asked = a.request(id(4), "SLEEP", "").await.unwrap();
    world.lose(3);
    let mut asked = asked;
    let error = asked.next().await.unwrap().unwrap_err();
    assert!(matches!(&error, RequestError::CircuitBroke(broke) if broke.at == Some(id(3))), "{error:?}");
    assert_eq!(&a.request(id(4), "ECHO", "x").one().await.unwrap().body[..], b"x");
    assert_eq!(a.connect(id(4)).await.unwrap().over(), ids([2, 5, 6]));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_carried_is_said() {
    let world = World::line(4);
    let a = world.member(1).spawn().await.unwrap();
    let b = world.member(2).spawn().await.unwrap();
    let _c = world.member(3).carry(None).spawn().await.unwrap();
    let d = world.member(4).spawn().await.unwrap();
    let ask = async |to: PeerId| a.request(to, "ECHO", "").one().await;
    assert_eq!(refused(ask(d.id()).await.unwrap_err()), (Some(id(3)), Why::NotCarrying));
    assert_eq!(ask(id(9)).await.unwrap_err(), RequestError::Unroutable(id(9)));
    // Who carries nothing can still be reached.
    ask(id(3)).await.unwrap();
    assert_eq!(b.counters().circuits_refused, 1);
    // Nor is who is blocked by somebody on the way, at either end of it.
    for blocked in [1, 4] {
        b.block(id(blocked));
        let error = a.request(d.id(), "ECHO", "").one().await.unwrap_err();
        assert!(matches!(error, RequestError::Unreachable(_)), "{error:?}");
        if blocked == 4 {
            assert_eq!(refused(error), (Some(id(2)), Why::Blocked));
        }
        b.unblock(id(blocked));
    }
}
