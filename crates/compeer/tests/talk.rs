//! Two peers over TLS on loopback: requests, replies, streams, errors.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use compeer::{ConnectError, Failure, Identity, Peer, PeerAddr, Request, RequestError, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn echo(request: Request) -> Result<Bytes, Failure> {
    Ok(request.body().clone())
}

async fn count(request: Request) -> Result<(), Failure> {
    let n: usize = request.text().parse()?;
    for i in 0..n {
        request.reply(i.to_string()).await?;
    }
    Ok(())
}

/// Answers every further message with its length.
async fn lengths(mut request: Request) -> Result<(), Failure> {
    while let Some(message) = request.next().await {
        request.reply_kind("LEN", message.body.len().to_string()).await?;
    }
    Ok(())
}

async fn boom(_: Request) -> Result<(), Failure> {
    panic!("boom")
}

async fn forever(_: Request) -> Result<(), Failure> {
    std::future::pending().await
}

async fn echo_stream(mut stream: Stream) {
    let (mut read, mut write) = tokio::io::split(&mut stream);
    let _ = tokio::io::copy(&mut read, &mut write).await;
    let _ = write.shutdown().await;
}

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

async fn server() -> Peer {
    Peer::builder()
        .listen(any_port())
        .name("alice")
        .handle("ECHO", echo)
        .handle("COUNT", count)
        .handle("LENGTHS", lengths)
        .handle("BOOM", boom)
        .handle("FOREVER", forever)
        .handle_known("SECRET", echo)
        .handle_stream("ECHO", echo_stream)
        .spawn()
        .await
        .unwrap()
}

async fn client() -> Peer {
    Peer::builder().name("bob").spawn().await.unwrap()
}

#[tokio::test]
async fn a_request_gets_its_replies() {
    let (alice, bob) = (server().await, client().await);
    let reply = bob.request(alice.addr(), "ECHO", "hi").one().await.unwrap();
    assert_eq!(&reply.body[..], b"hi");
    assert_eq!(reply.kind.as_bytes(), b"REPL");
    let all = bob.request(alice.id(), "COUNT", "2000").all().await.unwrap();
    assert_eq!(all.len(), 2000);
    assert_eq!(&all[1999].body[..], b"1999");
}

#[tokio::test]
async fn a_body_of_a_mebibyte_goes_both_ways() {
    let (alice, bob) = (server().await, client().await);
    let body = Bytes::from((0..1 << 20).map(|i: u32| i.to_le_bytes()[1]).collect::<Vec<_>>());
    let reply = bob.request(alice.addr(), "ECHO", body.clone()).one().await.unwrap();
    assert_eq!(reply.body, body);
    let over = bob.request(alice.addr(), "ECHO", vec![0; (1 << 20) + 1]).one().await;
    assert_eq!(over.unwrap_err(), RequestError::TooLarge);
}

#[tokio::test]
async fn further_messages_and_replies_interleave() {
    let (alice, bob) = (server().await, client().await);
    let mut replies = bob.request(alice.addr(), "LENGTHS", "").open().await.unwrap();
    for n in [0usize, 10, 100_000, 3] {
        replies.send("MORE", vec![7; n]).await.unwrap();
        let reply = replies.next().await.unwrap().unwrap();
        assert_eq!(reply.body, n.to_string());
        assert_eq!(reply.kind.as_bytes(), b"LEN");
    }
    replies.finish();
    assert!(replies.next().await.is_none());
}

#[tokio::test]
async fn errors_are_told_apart() {
    let (alice, bob) = (server().await, client().await);
    let ask =
        |kind: &'static str| bob.request(alice.addr(), kind, "x").timeout(Duration::from_millis(300)).one();
    assert_eq!(ask("NOPE").await.unwrap_err(), RequestError::NoHandler);
    assert!(matches!(ask("COUNT").await.unwrap_err(), RequestError::HandlerFailed(_)));
    assert!(matches!(ask("BOOM").await.unwrap_err(), RequestError::HandlerFailed(_)));
    assert_eq!(ask("SECRET").await.unwrap_err(), RequestError::Denied);
    assert_eq!(ask("FOREVER").await.unwrap_err(), RequestError::TimedOut);
    assert_eq!(ask("").await.unwrap_err(), RequestError::Kind);
    let stranger = Identity::generate().peer_id();
    let nowhere = bob.request(stranger, "ECHO", "").one().await.unwrap_err();
    assert_eq!(nowhere, RequestError::Unreachable(ConnectError::NoAddress(stranger)));
    alice.know(bob.id());
    assert!(ask("SECRET").await.is_ok());
}

#[tokio::test]
async fn a_connection_lost_half_way_says_so() {
    let (alice, bob) = (server().await, client().await);
    let mut replies = bob.request(alice.addr(), "FOREVER", "").await.unwrap();
    alice.shutdown().await;
    assert_eq!(replies.next().await.unwrap().unwrap_err(), RequestError::Disconnected);
    let after = bob.request(alice.addr(), "ECHO", "").one().await.unwrap_err();
    assert!(matches!(after, RequestError::Unreachable(_)), "{after:?}");
}

#[tokio::test]
async fn another_key_at_the_address_is_refused_with_both_named() {
    let (alice, bob) = (server().await, client().await);
    let expected = Identity::generate().peer_id();
    let addr = PeerAddr::new(expected, alice.addr().addrs);
    let error = bob.request(addr, "ECHO", "").one().await.unwrap_err();
    let RequestError::Unreachable(ConnectError::WrongKey { expected: e, proven, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!((e, proven), (expected, alice.id()));
}

#[tokio::test]
async fn streams_open_from_either_side() {
    let (alice, bob) = (server().await, client().await);
    bob.handle_stream("ECHO", echo_stream).unwrap();
    bob.connect(alice.addr()).await.unwrap();
    for (from, to) in [(&bob, &alice), (&alice, &bob)] {
        let mut stream = from.open_stream(to.id(), "ECHO").await.unwrap();
        assert_eq!(stream.peer_id(), to.id());
        stream.write_all(b"over and back").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).await.unwrap();
        assert_eq!(back, b"over and back");
    }
    let refused = bob.open_stream(alice.id(), "NOPE").await.map(drop).unwrap_err();
    assert!(refused.to_string().contains("no handler"), "{refused}");
}

#[tokio::test]
async fn one_way_requests_arrive() {
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    let tell = move |request: Request| {
        let tx = tx.clone();
        async move { Ok::<_, Failure>(tx.send((request.sender(), request.text()))?) }
    };
    let alice = Peer::builder().listen(any_port()).handle("TELL", tell).spawn().await.unwrap();
    let bob = client().await;
    bob.notify(alice.addr(), "TELL", "psst").await.unwrap();
    // Goodbye is said right behind it, and still it arrives.
    bob.shutdown().await;
    assert_eq!(rx.recv().await.unwrap(), (bob.id(), "psst".to_owned()));
}

#[tokio::test]
async fn a_peer_may_call_itself() {
    let alice = server().await;
    let reply = alice.request(alice.id(), "ECHO", "me").one().await.unwrap();
    assert_eq!(&reply.body[..], b"me");
    assert!(alice.connections().is_empty());
}

#[tokio::test]
async fn a_handed_in_byte_stream_is_a_connection() {
    let (alice, bob) = (server().await, client().await);
    let (near, far) = tokio::io::duplex(4096);
    let (a, b) = tokio::join!(alice.adopt(near, false), bob.adopt(far, true));
    assert_eq!(a.unwrap().channel_binding(), b.as_ref().unwrap().channel_binding());
    assert_eq!(b.unwrap().peer_id(), alice.id());
    let reply = bob.request(alice.id(), "ECHO", "hi").one().await.unwrap();
    assert_eq!(&reply.body[..], b"hi");
}

#[tokio::test]
async fn whatever_is_awaited_may_move_between_threads() {
    fn may_move<F: IntoFuture<IntoFuture: Send>>(_: F) {}
    let peer = client().await;
    let to = peer.id();
    may_move(peer.request(to, "ECHO", ""));
    may_move(peer.request(to, "ECHO", "").one());
    may_move(peer.request(to, "ECHO", "").all());
    may_move(peer.notify(to, "ECHO", ""));
    may_move(peer.open_stream(to, "ECHO"));
    may_move(peer.connect(to));
    may_move(peer.ping(to));
    may_move(peer.run());
    may_move(peer.shutdown());
    may_move(peer.adopt(tokio::io::duplex(1).0, true));
}

#[tokio::test]
async fn a_peer_that_only_dials_can_begin_to_listen() {
    let a = Peer::builder().handle("ECHO", echo).spawn().await.unwrap();
    assert!(a.addr().addrs.is_empty() && a.local_addrs().is_empty());
    let b = Peer::builder().listen("127.0.0.1:0").spawn().await.unwrap();

    let at = a.listen("127.0.0.1:0").unwrap();
    assert_eq!(a.local_addrs(), at);
    // What it tells others of itself is up to date, too.
    a.connect(b.addr()).await.unwrap();
    let listens = || b.connections().first().map(|connection| connection.listens.clone());
    assert_eq!(listens(), Some(a.addr().addrs));
    let c = Peer::builder().spawn().await.unwrap();
    assert_eq!(&c.request(a.addr(), "ECHO", "hi").one().await.unwrap().body[..], b"hi");

    // None of several, when one is not to be had.
    let taken = a.listen(vec!["127.0.0.1:0".parse().unwrap(), b.local_addrs()[0]]);
    assert!(matches!(taken, Err(compeer::SpawnError::Listen { .. })), "{taken:?}");
    assert_eq!(a.local_addrs(), at);
    assert!(matches!(a.listen("nowhere"), Err(compeer::SpawnError::Address(_))));

    a.shutdown().await;
    assert!(std::net::TcpListener::bind(at[0]).is_ok(), "free when shutdown returns");
}
