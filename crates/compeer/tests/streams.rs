//! Streams beside the messages: that they outlast what happens to the messages'
//! connection, and why they do not come about.

#![allow(clippy::disallowed_methods, reason = "the virtual time of a paused runtime")]

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use compeer::transport::memory::MemoryNetwork;
use compeer::{Builder, Event, Identity, Peer, RequestError, Stream, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn ip(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

/// A peer to be of the network at 10.0.0.n.
fn member(network: &MemoryNetwork, key: u8, n: u8) -> Builder {
    let identity = Identity::from_seed(&[key; 32]);
    let transport = network.transport(identity.peer_id(), ip(n));
    let listen = SocketAddr::new(ip(n), 1);
    Peer::builder().identity(identity).transport(transport).listen(listen).seed(key.into())
}

/// Ten seconds of one byte every tenth of a second.
async fn drip(mut stream: Stream) {
    for _ in 0..100 {
        if stream.write_all(b"x").await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let _ = stream.shutdown().await;
}

async fn hold(stream: Stream) {
    let _stream = stream;
    std::future::pending::<()>().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_outlasts_the_connection_that_gives_way_to_its_twin() {
    for round in 0..50u8 {
        let network = MemoryNetwork::new(round.into());
        let a = member(&network, round, 1).handle_stream("DRIP", drip).spawn().await.unwrap();
        let b = member(&network, round + 100, 2).spawn().await.unwrap();
        a.keep(b.addr());
        let mut stream =
            b.open_stream(a.addr(), "DRIP").await.unwrap_or_else(|e| panic!("round {round}: {e}"));
        let mut all = Vec::new();
        let read = stream.read_to_end(&mut all).await;
        assert!(read.is_ok() && all.len() == 100, "round {round}: {read:?} after {} bytes", all.len());
        drop(stream);
        // What was drained for the stream is closed then.
        let alone = async {
            while a.link_count() > 1 || b.link_count() > 1 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), alone).await.expect("one connection is left");
        a.shutdown().await;
        b.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_reason_of_a_refusal_is_told_whoever_dialled() {
    for asked in [false, true] {
        let network = MemoryNetwork::new(1);
        let a = member(&network, 1, 1).handle_stream("HOLD", hold).spawn().await.unwrap();
        let b = member(&network, 2, 2).handle_stream("HOLD", hold).spawn().await.unwrap();
        a.connect(b.addr()).await.unwrap();
        let (from, to) = if asked { (&b, &a) } else { (&a, &b) };
        let open = async |kind: &'static str| {
            // In a task of its own: that it can be is part of what is tested.
            let (from, to) = (from.clone(), to.addr());
            tokio::spawn(async move { from.open_stream(to, kind).await }).await.unwrap()
        };
        assert_eq!(open("NONE").await.map(drop).unwrap_err(), RequestError::NoHandler);
        let mut held = Vec::new();
        for _ in 0..limits::MAX_STREAMS_PER_PEER {
            held.push(open("HOLD").await.unwrap());
        }
        assert_eq!(open("HOLD").await.map(drop).unwrap_err(), RequestError::Busy);
        // Here they are given back, and there they are held on to.
        drop(held);
        assert_eq!(open("HOLD").await.map(drop).unwrap_err(), RequestError::Busy);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_has_streams_with_itself() {
    let network = MemoryNetwork::new(1);
    let a = member(&network, 1, 1).handle_stream("DRIP", drip).spawn().await.unwrap();
    let mut stream = a.open_stream(a.id(), "DRIP").await.unwrap();
    assert_eq!(stream.peer_id(), a.id());
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    assert_eq!(all.len(), 100);
    assert_eq!(a.open_stream(a.id(), "NONE").await.map(drop).unwrap_err(), RequestError::NoHandler);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_handler_of_streams_is_told() {
    async fn boom(_: Stream) {
        panic!("boom");
    }
    let network = MemoryNetwork::new(1);
    let a = member(&network, 1, 1).handle_stream("BOOM", boom).spawn().await.unwrap();
    let b = member(&network, 2, 2).spawn().await.unwrap();
    let mut events = a.events();
    let mut stream = b.open_stream(a.addr(), "BOOM").await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    let told = async {
        loop {
            if let Some(Event::HandlerPanicked { kind, text }) = events.recv().await {
                return (kind.to_string(), text);
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(10), told).await.unwrap();
    assert_eq!(told, ("BOOM".to_owned(), "boom".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn streams_for_known_peers_are_denied_to_others() {
    for asked in [false, true] {
        let network = MemoryNetwork::new(1);
        let a = member(&network, 1, 1).handle_stream_known("HOLD", hold).spawn().await.unwrap();
        let b = member(&network, 2, 2).spawn().await.unwrap();
        // Whoever dialled the messages dials the streams.
        if asked {
            a.connect(b.addr()).await.unwrap()
        } else {
            b.connect(a.addr()).await.unwrap()
        };
        let open = async || b.open_stream(a.addr(), "HOLD").await.map(drop);
        assert_eq!(open().await.unwrap_err(), RequestError::Denied);
        a.know(b.id());
        open().await.unwrap();
        assert!(a.remove_stream_handler("HOLD") && !a.remove_stream_handler("HOLD"));
        assert_eq!(open().await.unwrap_err(), RequestError::NoHandler);
        a.forget(b.id());
        a.handle_stream_known("HOLD", hold).unwrap();
        assert_eq!(open().await.unwrap_err(), RequestError::Denied);
    }
}

#[tokio::test]
async fn both_ends_of_a_stream_have_the_binding_of_their_connection() {
    async fn tell(mut stream: Stream) {
        let binding = stream.channel_binding();
        let _ = stream.write_all(&binding).await;
        let _ = stream.shutdown().await;
    }
    // Over TLS: that is where the binding comes from. Whoever dialled the messages dials the streams.
    let mut seen = Vec::new();
    for asked in [false, true] {
        let a = Peer::builder().listen("127.0.0.1:0").handle_stream("TELL", tell).spawn().await.unwrap();
        let b = Peer::builder().listen("127.0.0.1:0").spawn().await.unwrap();
        let connection =
            if asked { a.connect(b.addr()).await.unwrap() } else { b.connect(a.addr()).await.unwrap() };
        for _ in 0..2 {
            let mut stream = b.open_stream(a.addr(), "TELL").await.unwrap();
            let mut told = Vec::new();
            stream.read_to_end(&mut told).await.unwrap();
            assert_eq!(told, stream.channel_binding());
            assert_eq!(told, connection.channel_binding());
            assert_eq!(stream.path(), b.connect(a.id()).await.unwrap().path());
        }
        seen.push(connection.channel_binding());
        a.shutdown().await;
        b.shutdown().await;
    }
    assert_ne!(seen[0], seen[1]);
}
