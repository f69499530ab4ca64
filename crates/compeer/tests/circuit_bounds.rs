//! What a carrier allows, what it refuses, and that a direct way is taken when there is one.

#![allow(clippy::disallowed_methods, reason = "the virtual time of a paused runtime")]

use std::time::Duration;

use compeer::{
    Carry, CircuitError, ConnectError, Failure, Hop, Peer, PeerAddr, Request, RequestError, Stream, Why,
};
use compeer_proto::circuit::{Answer, Head, KIND, Open};
use compeer_proto::ext::Ext;
use futures_util::future::{join_all, ready};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[path = "support/world.rs"]
mod world;

use world::{World, at, id, ids, ip, refused};

/// A stream that nobody reads.
async fn hold(stream: Stream) {
    let _stream = stream;
    std::future::pending::<()>().await;
}

/// Reads until the end, whatever it is.
async fn end(stream: &mut Stream) -> std::io::Error {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.expect_err("it breaks")
}

/// Where a stream broke, and why.
fn broke(error: &std::io::Error) -> &CircuitError {
    error.get_ref().and_then(|inner| inner.downcast_ref()).unwrap_or_else(|| panic!("{error:?}"))
}

async fn within(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let patience = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(300), patience).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test(start_paused = true)]
async fn a_carrier_carries_so_many_for_one_and_for_all() {
    // 1 and 2 reach 4 over 3, and 4 has streams that stay open.
    let world = World::new(4, &[(1, 3), (2, 3), (3, 4)]);
    let (a, f) = (world.member(1).spawn().await.unwrap(), world.member(2).spawn().await.unwrap());
    let b = world.member(3).carry(Carry { circuits: 3, per_peer: 2, ..Carry::default() });
    let b = b.spawn().await.unwrap();
    let _e = world.member(4).handle_stream("HOLD", hold).spawn().await.unwrap();
    let stream = a.open_stream(id(4), "HOLD").await.unwrap();
    let full = (Some(id(3)), Why::Full);
    assert_eq!(refused(a.open_stream(id(4), "HOLD").await.map(drop).unwrap_err()), full, "for one");
    f.connect(id(4)).await.unwrap();
    assert_eq!(refused(f.open_stream(id(4), "HOLD").await.map(drop).unwrap_err()), full, "for all");
    // Requests go on, and what is given back is free again.
    a.request(id(4), "ECHO", "x").one().await.unwrap();
    drop(stream);
    within("a place is given back", async || f.open_stream(id(4), "HOLD").await.is_ok()).await;
    assert!(b.counters().circuits_refused >= 2);
}

#[tokio::test(start_paused = true)]
async fn bytes_and_time_run_out_and_that_is_said_to_both_ends() {
    let world = World::line(3);
    let few = Carry { bytes_per_circuit: 100_000, time: Duration::from_secs(40), ..Carry::default() };
    let all = [world.member(1), world.member(2).carry(few), world.member(3)]
        .map(|member| member.handle_stream("HOLD", hold));
    let [a, b, c] = all.map(|member| async { member.spawn().await.unwrap() });
    let (a, _b, c) = (a.await, b.await, c.await);
    let mut stream = a.open_stream(id(3), "MIRROR").await.unwrap();
    let wrote = async {
        let bytes = [7; 10_000];
        while stream.write_all(&bytes).await.is_ok() {}
    };
    wrote.await;
    let error = end(&mut stream).await;
    assert_eq!((broke(&error).at, broke(&error).why), (Some(id(2)), Why::Spent));
    // The connection is another circuit, and ends in its time.
    let connections = [a.connect(id(3)).await.unwrap(), c.connect(id(1)).await.unwrap()];
    for connection in connections {
        let words = connection.closed().await;
        assert!(words.contains(&format!("broke at {}: all that it allows", id(2).short())), "{words}");
    }
    a.request(id(3), "ECHO", "the next one").one().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn eight_hops_are_enough_and_nine_too_many() {
    let world = World::line(10);
    let all = world.all(10).await;
    let a = &all[0];
    assert_eq!(&a.request(id(9), "ECHO", "x").one().await.unwrap().body[..], b"x");
    assert_eq!(a.connect(id(9)).await.unwrap().over(), ids([2, 3, 4, 5, 6, 7, 8]));
    assert_eq!(
        refused(a.request(id(10), "ECHO", "x").one().await.unwrap_err()),
        (Some(id(9)), Why::HopLimit)
    );
}

#[tokio::test(start_paused = true)]
async fn routers_that_send_in_a_circle_are_found_out() {
    let world = World::line(3);
    let to = |n: u8| move |_: Peer, _: PeerAddr| ready(Some(Hop::from(at(n))));
    let a = world.member(1).router(to(2)).spawn().await.unwrap();
    let b = world.member(2).router(to(3)).spawn().await.unwrap();
    let c = world.member(3).router(to(2)).spawn().await.unwrap();
    assert_eq!(refused(a.request(id(9), "ECHO", "").one().await.unwrap_err()), (Some(id(3)), Why::NoWay));
    assert_eq!((b.counters().circuits_refused, c.counters().circuits_refused), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn who_is_blocked_is_carried_no_more() {
    let world = World::line(3);
    let all = world.all(3).await;
    for blocked in [3, 1] {
        let connection = all[0].connect(id(3)).await.unwrap();
        assert_eq!(connection.over(), ids([2]));
        all[1].block(id(blocked));
        let words = connection.closed().await;
        let hears = if blocked == 3 { "blocked" } else { "" };
        assert!(words.contains(hears), "{words}");
        all[1].unblock(id(blocked));
    }
}

/// What a stranger says on a stream of that kind, and what comes back.
async fn says(to: &Peer, from: &Peer, bytes: &[u8]) -> Vec<u8> {
    let mut stream = from.open_stream(to.addr(), KIND).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all).await;
    all
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_nothing_or_nonsense_is_let_go() {
    let world = World::line(3);
    let all = world.all(3).await;
    let (a, b) = (&all[0], &all[1]);
    for bytes in [
        &b""[..],
        b"\x09",
        b"\x09\0\0",
        b"\0\0\x04\x01\x02\x03\x04",
        b"\x03\0\x01x",
        &[0, 0x20, 0x01],
        &[200, 0, 0],
    ] {
        assert_eq!(says(b, a, bytes).await, b"", "{bytes:?}");
    }
    let open = Open {
        circuit: [1; 16],
        target: id(3),
        stream: false,
        hops: 3,
        tries: 0,
        within: 5_000,
        path: vec![id(1)],
        ext: Ext::new(),
    };
    let why = |said: &[u8]| {
        let (head, body) = said.split_first_chunk().expect("an answer");
        match Answer::decode(Head::decode(*head).unwrap().what, body).unwrap() {
            Answer::Refused(broken) => (broken.who, broken.why),
            Answer::Opened(_) => panic!("opened"),
        }
    };
    // In somebody else's name, with oneself, and with who is on the way.
    let forged = Open { path: vec![id(3)], ..open.clone() };
    assert_eq!(why(&says(b, a, &forged.encode()).await), (id(2), Why::Protocol));
    let own = Open { target: id(1), ..open.clone() };
    assert_eq!(why(&says(b, a, &own.encode()).await), (id(2), Why::Loop));
    let round = Open { path: vec![id(2), id(1)], ..open.clone() };
    assert_eq!(why(&says(b, a, &round.encode()).await), (id(2), Why::Loop));
    // The same name twice at a time; and who speaks before the answer has come is let go.
    let twice = open.encode();
    let (x, y) = tokio::join!(says(b, a, &twice), says(b, a, &twice));
    let refusals = [x, y].into_iter().filter(|said| said.first() == Some(&2));
    assert_eq!(refusals.map(|said| why(&said)).collect::<Vec<_>>(), [(id(2), Why::Protocol)]);
    let early = [open.encode(), b"\x03\0\x01x".to_vec()].concat();
    assert_eq!(says(b, a, &early).await, b"");
    // All that is over, and nothing is left of it.
    within("nothing is left", async || a.request(id(3), "ECHO", "x").one().await.is_ok()).await;
}

#[tokio::test(start_paused = true)]
async fn circuits_have_places_of_their_own_and_those_are_bounded() {
    let world = World::line(2);
    let all = world.all(2).await;
    let (a, b) = (&all[0], &all[1]);
    let open = || a.open_stream(b.addr(), KIND);
    a.connect(b.addr()).await.unwrap();
    let mut opened = Vec::new();
    // As many at a time as the network lets call.
    while opened.len() < compeer::limits::MAX_CIRCUITS_PER_PEER + 10 {
        opened.extend(join_all((0..38).map(|_| open())).await);
    }
    let busy = opened.iter().filter(|opened| matches!(opened, Err(RequestError::Busy))).count();
    let there = opened.iter().filter(|opened| opened.is_ok()).count();
    assert_eq!((there, busy), (compeer::limits::MAX_CIRCUITS_PER_PEER, opened.len() - there));
    a.open_stream(b.id(), "MIRROR").await.unwrap();
    drop(opened);
    within("they are let go", async || open().await.is_ok()).await;
}

#[tokio::test(start_paused = true)]
async fn a_direct_way_is_taken_when_it_appears() {
    async fn slow(request: Request) -> Result<(), Failure> {
        tokio::time::sleep(Duration::from_secs(100)).await;
        Ok(request.reply("done").await?)
    }
    let world = World::line(3);
    let a = world.member(1).spawn().await.unwrap();
    let _b = world.member(2).spawn().await.unwrap();
    let c = world.member(3).handle("SLOW", slow).spawn().await.unwrap();
    assert_eq!(a.connect(id(3)).await.unwrap().over(), ids([2]));
    let mut begun = a.request(id(3), "SLOW", "").no_timeout().await.unwrap();
    world.network.heal(ip(1), ip(3));
    let direct =
        |peer: &Peer| peer.connections().iter().any(|there| there.peer_id != id(2) && there.over.is_empty());
    within("both are connected directly", async || direct(&a) && direct(&c)).await;
    a.request(id(3), "ECHO", "x").one().await.unwrap();
    assert_eq!(&begun.next().await.unwrap().unwrap().body[..], b"done", "what was in flight finishes");
    drop(begun);
    within("one connection is left", async || c.link_count() == 2).await;
    assert!(a.connect(id(3)).await.unwrap().path().is_some());
    // It is lost again: over the other, as before.
    world.network.cut(ip(1), ip(3));
    within("the loss is noticed", async || !direct(&a)).await;
    a.request(id(3), "ECHO", "x").one().await.unwrap();
    assert_eq!(a.connect(id(3)).await.unwrap().over(), ids([2]));
}

#[tokio::test(start_paused = true)]
async fn a_carrier_that_goes_silent_before_it_is_noticed_costs_no_more_than_time() {
    // 1–2–3–5 and 2–4–5.
    let world = World::new(5, &[(1, 2), (2, 3), (3, 5), (2, 4), (4, 5)]);
    let all = world.all(5).await;
    all[1].connect(at(3)).await.unwrap();
    world.lose(3);
    assert_eq!(&all[0].request(id(5), "ECHO", "x").one().await.unwrap().body[..], b"x");
    assert_eq!(all[0].connect(id(5)).await.unwrap().over(), ids([2, 4]));
    let error = all[0].connect(id(3)).await.map(drop).unwrap_err();
    assert!(matches!(error, ConnectError::Circuit(CircuitError { at: Some(_), .. })), "{error:?}");
}
