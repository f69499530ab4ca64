//! How an exchange of the classic protocol ends that does not come to its own end: the caller hangs up or takes nothing,
//! the handler or the one we call never answers. Over real sockets, in virtual time where there is something to wait for.

#![allow(clippy::disallowed_methods, reason = "real sockets, read beside the runtime")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use compeer::{Failure, Peer, ReplyError, classic, limits};

const PATIENCE: Duration = Duration::from_secs(40);

/// A client that has sent a request and has not read yet; everything is in the sockets before time begins to fly.
fn asked(at: SocketAddr, kind: &[u8; 4]) -> TcpStream {
    let mut tcp = TcpStream::connect(at).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    tcp.write_all(&compeer_proto::classic::encode(kind, b"").unwrap()).unwrap();
    tcp
}

/// What comes until the connection ends, read beside the runtime, so that its time goes on.
async fn read_to_its_end(mut tcp: TcpStream) -> usize {
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let (mut all, mut space) = (0, [0; 65_536]);
        while let Ok(n @ 1..) = tcp.read(&mut space) {
            all += n;
        }
        tell.send(all)
    });
    told.await.unwrap()
}

#[tokio::test]
async fn a_handler_hears_when_its_caller_hangs_up() {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let waits = move |request: classic::Request| {
        let tell = tell.clone();
        async move {
            request.hung_up().await;
            tell.send(request.remote_addr()).await?;
            Ok::<_, Failure>(())
        }
    };
    let peer = Peer::builder().classic("127.0.0.1:0").handle_classic("WAIT", waits).spawn().await.unwrap();
    let mut stays = asked(peer.classic_addrs()[0], b"WAIT");
    // More than was asked for does not look like it.
    stays.write_all(b"and more").unwrap();
    let leaves = asked(peer.classic_addrs()[0], b"WAIT");
    let who = leaves.local_addr().unwrap();
    drop(leaves);
    assert_eq!(told.recv().await, Some(who));
    peer.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_end_is_ended() {
    let for_ever = |_: classic::Request| std::future::pending::<Result<(), Failure>>();
    let peer = Peer::builder().classic("127.0.0.1:0").handle_classic("EVER", for_ever).spawn().await.unwrap();
    let began = peer.clock().now();
    let tcp = asked(peer.classic_addrs()[0], b"EVER");
    assert_eq!(read_to_its_end(tcp).await, 0);
    assert!(peer.clock().now().since(began) >= limits::CLASSIC_TIME);
    peer.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_of_a_reply_is_left() {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let huge = move |request: classic::Request| {
        let tell = tell.clone();
        async move {
            let most = limits::CLASSIC_MAX_REPLY as usize;
            assert!(request.reply(vec![0; most + 1]).await.is_err(), "more is not even begun");
            let sent = request.reply(vec![0; most]).await;
            // What was torn is the last one.
            let more = request.reply("more").await;
            tell.send((sent, more)).await?;
            Ok::<_, Failure>(())
        }
    };
    let peer = Peer::builder().classic("127.0.0.1:0").handle_classic("HUGE", huge).spawn().await.unwrap();
    let began = peer.clock().now();
    let tcp = asked(peer.classic_addrs()[0], b"HUGE");
    let (sent, more) = told.recv().await.unwrap();
    assert_eq!((sent, more), (Err(ReplyError::Gone), Err(ReplyError::Gone)));
    assert!(peer.clock().now().since(began) >= limits::CLASSIC_WRITE_TIMEOUT);
    let came = read_to_its_end(tcp).await;
    assert!(came > 0 && came < limits::CLASSIC_MAX_REPLY as usize, "{came}");
    peer.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_waits_as_long_as_it_says() {
    // Somebody who takes calls and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap();
    let peer = Peer::builder().spawn().await.unwrap();
    let began = peer.clock().now();
    let error = peer.classic_request(at, "ECHO", "").timeout(Duration::from_secs(7)).one().await.unwrap_err();
    assert!(matches!(error, classic::Error::TimedOut), "{error}");
    let waited = peer.clock().now().since(began);
    assert!(waited >= Duration::from_secs(7) && waited < Duration::from_secs(8), "{waited:?}");
    peer.shutdown().await;
}
