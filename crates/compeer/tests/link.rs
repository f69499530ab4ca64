//! One connection, in virtual time: what has to happen at once is not left to
//! the next PING, five seconds later.

#![allow(clippy::disallowed_methods, reason = "the virtual time of a paused runtime")]

use std::time::Duration;

use bytes::Bytes;
use compeer::local::Client;
use compeer::{Failure, Peer, Request, RequestError};
use compeer_proto::frame::Hello;
use compeer_proto::session::{Config, Role, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

/// Introduces itself, and then only reads.
async fn say_hello_and_no_more(mut io: DuplexStream) {
    let mut session = Session::new(Config::new(Role::Acceptor, Hello::default()), Default::default());
    io.write_all(session.transmit()).await.unwrap();
    let mut space = [0; 1024];
    while io.read(&mut space).await.is_ok_and(|n| n > 0) {}
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_kept_beside_a_peer_that_is_silent() {
    let (near, far) = tokio::io::duplex(4096);
    let silent = tokio::spawn(say_hello_and_no_more(far));
    let client = Client::connect(near).await.unwrap();
    let started = Instant::now();
    let error = client.request("ECHO", "").timeout(Duration::from_secs(1)).one().await.unwrap_err();
    assert_eq!(error, RequestError::TimedOut);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    silent.abort();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_in_the_buffers_of_tls() {
    async fn echo(request: Request) -> Result<Bytes, Failure> {
        Ok(request.body().clone())
    }
    let alice = Peer::builder().handle("ECHO", echo).spawn().await.unwrap();
    let bob = Peer::builder().spawn().await.unwrap();
    // Less than a record, so that each is passed on in pieces.
    let (near, far) = tokio::io::duplex(1000);
    let (a, b) = tokio::join!(alice.adopt(near, false), bob.adopt(far, true));
    a.unwrap();
    b.unwrap();
    let started = Instant::now();
    for len in [1 << 20, 100_000, 20_000, 5_000, 1_001, 999] {
        let reply = bob.request(alice.id(), "ECHO", vec![7; len]).one().await.unwrap();
        assert_eq!(reply.body.len(), len);
    }
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}
