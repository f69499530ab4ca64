//! One connection, in virtual time: what has to happen at once is not left to
//! the next PING, five seconds later.

#![allow(clippy::disallowed_methods, reason = "the virtual time of a paused runtime")]

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use compeer::local::{Client, Handlers};
use compeer::{Failure, Peer, Request, RequestError};
use compeer_proto::frame::Hello;
use compeer_proto::session::{Config, Role, Session};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
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

/// Passes on so many reads and then panics.
struct Panics(DuplexStream, usize);

impl AsyncRead for Panics {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(Pin::new(&mut self.0).poll_read(cx, buf))?;
        self.1 = self.1.checked_sub(1).expect("a test wants a panic here");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Panics {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_task_that_panicked() {
    let alice = Peer::builder().spawn().await.unwrap();
    let (near, far) = tokio::io::duplex(4096);
    let handlers = Handlers::new().handle("ECHO", |_: Request| async { Ok::<_, Failure>("never read") });
    tokio::spawn({
        let alice = alice.clone();
        async move { alice.serve_local(far, &handlers).await }
    });
    let client = Client::connect(Panics(near, 1)).await.unwrap();
    let ask = client.request("ECHO", "").one();
    let error =
        tokio::time::timeout(Duration::from_secs(5), ask).await.expect("it waits for ever").unwrap_err();
    assert_eq!(error, RequestError::Disconnected);
    tokio::time::timeout(Duration::from_secs(5), client.closed()).await.expect("it is never over");
    alice.shutdown().await;
}
