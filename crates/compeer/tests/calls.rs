//! Calls: both directions at once, and errors that say whether a request can
//! have run.

#![allow(clippy::disallowed_methods, reason = "the virtual time of a paused runtime")]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use compeer::local::{Client, Handlers};
use compeer::transport::memory::{MemoryNetwork, MemoryTransport};
use compeer::transport::{Listener, Purpose, Transport, Wire};
use compeer::{
    Addr, BoxFuture, Builder, ConnectError, Failure, Identity, Peer, PeerId, Request, RequestError,
};
use tokio::time::{Instant, timeout};

const SOON: Duration = Duration::from_secs(1);

fn ip(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

/// A peer to be of the network at 10.0.0.n.
fn member(network: &MemoryNetwork, n: u8) -> Builder {
    let identity = Identity::from_seed(&[n; 32]);
    let transport = network.transport(identity.peer_id(), ip(n));
    Peer::builder().identity(identity).transport(transport).listen(SocketAddr::new(ip(n), 1)).seed(n.into())
}

async fn echo(request: Request) -> Result<Bytes, Failure> {
    Ok(request.body().clone())
}

/// Replies to each message with its length.
async fn measure(mut request: Request) -> Result<(), Failure> {
    while let Some(message) = request.next().await {
        request.reply(message.body.len().to_string()).await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn several_send_while_one_reads() {
    let network = MemoryNetwork::new(1);
    let a = member(&network, 1).handle("MEASURE", measure).spawn().await.unwrap();
    let b = member(&network, 2).spawn().await.unwrap();
    let mut replies = b.request(a.addr(), "MEASURE", "").open().await.unwrap();
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let sender = replies.sender();
        senders.spawn(async move {
            for _ in 0..5 {
                sender.send("M", vec![0; 100_000]).await.unwrap();
            }
        });
    }
    let last = replies.sender();
    tokio::spawn(async move {
        senders.join_all().await;
        last.finish();
    });
    let all = async {
        let mut count = 0;
        while let Some(reply) = replies.next().await {
            assert_eq!(reply.unwrap().text(), "100000");
            count += 1;
        }
        count
    };
    assert_eq!(timeout(Duration::from_secs(20), all).await.expect("all are sent and read"), 15);
    assert_eq!(replies.send("M", "").await.unwrap_err(), RequestError::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn what_never_left_is_told_apart_from_what_was_not_answered() {
    let never_left = RequestError::Unreachable(ConnectError::TimedOut);
    let network = MemoryNetwork::new(1);
    let a = member(&network, 1).handle("MEASURE", measure).handle("ECHO", echo).spawn().await.unwrap();
    let b = member(&network, 2).spawn().await.unwrap();
    network.cut(ip(1), ip(2));
    let error = b.request(a.addr(), "ECHO", "").timeout(SOON).one().await.unwrap_err();
    assert_eq!(error, never_left);
    network.heal(ip(1), ip(2));
    b.connect(a.addr()).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..compeer::limits::MAX_REQUESTS {
        held.push(b.request(a.id(), "MEASURE", "").open().await.unwrap());
    }
    let error = b.request(a.id(), "ECHO", "").timeout(SOON).one().await.unwrap_err();
    assert_eq!(error, never_left);
    held.truncate(1);
    let error = b.request(a.id(), "MEASURE", "").open().timeout(SOON).one().await.unwrap_err();
    assert_eq!(error, RequestError::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn sending_on_a_connection_that_broke_says_so() {
    let network = MemoryNetwork::new(1);
    let a = member(&network, 1).handle("MEASURE", measure).spawn().await.unwrap();
    let b = member(&network, 2).spawn().await.unwrap();
    let replies = b.request(a.addr(), "MEASURE", "").open().await.unwrap();
    let connection = b.connect(a.id()).await.unwrap();
    connection.close("");
    assert_eq!(replies.send("M", "").await.unwrap_err(), RequestError::Disconnected);
    connection.closed().await;
    assert_eq!(replies.send("M", "").await.unwrap_err(), RequestError::Disconnected);
}

#[tokio::test(start_paused = true)]
async fn a_local_call_keeps_its_link_and_has_no_other() {
    let peer = Peer::builder().spawn().await.unwrap();
    let (near, far) = tokio::io::duplex(4096);
    let handlers = Handlers::new().handle("ECHO", echo).handle("MEASURE", measure);
    let served = tokio::spawn({
        let peer = peer.clone();
        async move { peer.serve_local(far, &handlers).await }
    });
    let client = Client::connect(near).await.unwrap();
    let (call, other) = (client.request("MEASURE", "").open(), client.clone());
    client.notify("ECHO", "").await.unwrap();
    drop(client);
    let late = other.request("ECHO", "late");
    drop(other);
    let mut replies = call.await.unwrap();
    assert_eq!(&late.one().await.unwrap().body[..], b"late");
    replies.send("M", "12345").await.unwrap();
    assert_eq!(replies.next().await.unwrap().unwrap().text(), "5");
    drop(replies);
    timeout(SOON, served).await.expect("the last has gone").unwrap();

    let (near, far) = tokio::io::duplex(4096);
    tokio::spawn({
        let peer = peer.clone();
        async move { peer.serve_local(far, &Handlers::new()).await }
    });
    let client = Client::connect(near).await.unwrap();
    peer.shutdown().await;
    client.closed().await;
    assert_eq!(client.request("ECHO", "").one().await.unwrap_err(), RequestError::Disconnected);
    assert_eq!(client.notify("ECHO", "").await.unwrap_err(), RequestError::Disconnected);
}

#[tokio::test(start_paused = true)]
async fn pings_closer_together_than_a_round_trip_are_answered() {
    let way = Duration::from_millis(200);
    let network = MemoryNetwork::new(1).latency(way, way);
    let a = member(&network, 1).spawn().await.unwrap();
    let b = member(&network, 2).spawn().await.unwrap();
    b.connect(a.addr()).await.unwrap();
    let began = Instant::now();
    let many = async {
        loop {
            tokio::spawn({
                let (b, id) = (b.clone(), a.id());
                async move { b.ping(id).await }
            });
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        biased;
        rtt = b.ping(a.id()) => assert!(rtt.unwrap() >= 2 * way),
        () = many => {}
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

/// Panics the first time it is to call.
struct PanicsOnce(MemoryTransport, AtomicBool);

impl Transport for PanicsOnce {
    fn dial(
        &self,
        to: Addr,
        key: Option<PeerId>,
        why: Purpose,
    ) -> BoxFuture<'static, Result<Wire, ConnectError>> {
        let first = !self.1.swap(true, Ordering::Relaxed);
        let dial = self.0.dial(to, key, why);
        Box::pin(async move {
            assert!(!first, "a test wants a panic here");
            dial.await
        })
    }

    fn listen(&self, addr: SocketAddr) -> io::Result<Box<dyn Listener>> {
        self.0.listen(addr)
    }
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_panicked_is_asked_again() {
    let network = MemoryNetwork::new(1);
    let a = member(&network, 1).handle("ECHO", echo).spawn().await.unwrap();
    let key = Identity::from_seed(&[2; 32]);
    let transport = PanicsOnce(network.transport(key.peer_id(), ip(2)), AtomicBool::new(false));
    let b = Peer::builder().identity(key).transport(transport).spawn().await.unwrap();
    let error = b.request(a.addr(), "ECHO", "x").one().await.unwrap_err();
    let why = ConnectError::Refused("the transport panicked".into());
    assert_eq!(error, RequestError::Unreachable(why));
    assert_eq!(&b.request(a.addr(), "ECHO", "x").one().await.unwrap().body[..], b"x");
}

#[tokio::test]
async fn who_still_sends_when_the_replies_are_dropped_is_told() {
    async fn deaf(_: Request) -> Result<(), Failure> {
        std::future::pending().await
    }
    let alice = Peer::builder().handle("DEAF", deaf).spawn().await.unwrap();
    let replies = alice.request(alice.id(), "DEAF", "").open().no_timeout().await.unwrap();
    let sender = replies.sender();
    let (began, begins) = tokio::sync::oneshot::channel();
    let sending = tokio::spawn(async move {
        let mut began = Some(began);
        // More than the window: it has to wait, and then for ever.
        while sender.send("MORE", vec![0; 200_000]).await.is_ok() {
            let _ = began.take().map(|began| began.send(()));
        }
    });
    begins.await.unwrap();
    drop(replies);
    tokio::time::timeout(Duration::from_secs(30), sending).await.expect("it is woken").unwrap();
}
