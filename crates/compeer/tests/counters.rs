//! What a peer counts: each number by the thing it counts.

use std::net::IpAddr;
use std::time::Duration;

use compeer::transport::memory::MemoryNetwork;
use compeer::{Failure, Identity, Peer, PeerAddr, Request, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn echo(request: Request) -> Result<bytes::Bytes, Failure> {
    Ok(request.body().clone())
}

async fn wait(_: Request) -> Result<(), Failure> {
    std::future::pending().await
}

async fn fail(_: Request) -> Result<(), Failure> {
    Err(Failure::new("no"))
}

async fn back(mut stream: Stream) {
    let mut bytes = vec![0; 100_000];
    stream.read_exact(&mut bytes).await.unwrap();
    stream.write_all(&bytes[..10]).await.unwrap();
    stream.shutdown().await.unwrap();
}

async fn member(network: &MemoryNetwork, n: u8, most: usize) -> Peer {
    let identity = Identity::from_seed(&[n; 32]);
    let ip = IpAddr::from([10, 0, 0, n]);
    Peer::builder()
        .transport(network.transport(identity.peer_id(), ip))
        .identity(identity)
        .listen(std::net::SocketAddr::new(ip, 1))
        .seed(n.into())
        .max_connections(most)
        .handle("ECHO", echo)
        .handle("FAIL", fail)
        .handle("WAIT", wait)
        .handle_known("KNOWN", echo)
        .handle_stream("BACK", back)
        .spawn()
        .await
        .unwrap()
}

/// Waits until the other side has counted it too.
async fn until(what: impl Fn() -> bool) {
    let counted = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), counted).await.expect("it is not counted");
}

#[tokio::test(start_paused = true)]
async fn requests_streams_and_bytes() {
    let network = MemoryNetwork::new(1);
    let (alice, bob) = (member(&network, 1, 8).await, member(&network, 2, 8).await);
    let to = PeerAddr::new(alice.id(), alice.addr().addrs);
    assert_eq!(alice.counters(), Default::default());
    for _ in 0..3 {
        bob.request(to.clone(), "ECHO", vec![7; 1000]).one().await.unwrap();
    }
    bob.notify(to.clone(), "ECHO", "x").await.unwrap();
    bob.request(to.clone(), "FAIL", "").one().await.err().unwrap();
    bob.request(to.clone(), "NOTHING", "").one().await.err().unwrap();
    bob.request(to.clone(), "KNOWN", "").one().await.err().unwrap();
    let mut stream = bob.open_stream(to.clone(), "BACK").await.unwrap();
    stream.write_all(&vec![1; 100_000]).await.unwrap();
    stream.flush().await.unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).await.unwrap();
    until(|| alice.counters().requests_served == 4).await;

    let (of_alice, of_bob) = (alice.counters(), bob.counters());
    assert_eq!((of_alice.accepted, of_alice.dialled, of_bob.accepted, of_bob.dialled), (1, 0, 0, 1));
    assert_eq!((of_bob.requests_sent, of_alice.requests_sent), (7, 0));
    assert_eq!((of_alice.requests_served, of_alice.requests_failed, of_alice.requests_refused), (4, 1, 2));
    assert_eq!((of_bob.streams_opened, of_alice.streams_served), (1, 1));
    assert_eq!((of_bob.stream_bytes_sent, of_bob.stream_bytes_received), (100_000, 10));
    assert_eq!((of_alice.stream_bytes_sent, of_alice.stream_bytes_received), (10, 100_000));
    assert!((3000..6000).contains(&of_alice.bytes_received), "{of_alice:?}");
    assert!((3000..6000).contains(&of_alice.bytes_sent), "{of_alice:?}");
    alice.request(alice.id(), "ECHO", "me").one().await.unwrap();
    assert_eq!(alice.counters().requests_served, 4, "what it asks of itself is not counted");
    alice.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_over_before_their_handler_is() {
    let network = MemoryNetwork::new(3);
    let (alice, bob) = (member(&network, 1, 8).await, member(&network, 2, 8).await);
    let to = PeerAddr::new(alice.id(), alice.addr().addrs);
    let begin = || bob.request(to.clone(), "WAIT", "").replies();
    let cancelled = async |n| until(|| alice.counters().requests_cancelled == n).await;
    drop(begin().await.unwrap());
    cancelled(1).await;
    bob.request(to.clone(), "WAIT", "").timeout(Duration::from_secs(1)).one().await.err().unwrap();
    cancelled(2).await;
    bob.notify(to.clone(), "WAIT", "").await.unwrap();
    let _cut_off = begin().await.unwrap();
    // An answer to what came last says that all of it is here.
    bob.request(to.clone(), "ECHO", "").one().await.unwrap();
    alice.block(bob.id());
    cancelled(4).await;
    let of_alice = alice.counters();
    assert_eq!((of_alice.requests_served, of_alice.requests_failed, of_alice.requests_refused), (1, 0, 0));
    for peer in [alice, bob] {
        peer.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn limits_that_were_hit_and_peers_that_are_blocked() {
    let network = MemoryNetwork::new(2);
    let (alice, bob, carol) =
        (member(&network, 1, 1).await, member(&network, 2, 8).await, member(&network, 3, 8).await);
    let to = PeerAddr::new(alice.id(), alice.addr().addrs);
    bob.connect(to.clone()).await.unwrap();
    assert_eq!(alice.counters().limit_connections, 0);
    carol.connect(to.clone()).await.unwrap();
    // Bob gives way to her.
    until(|| alice.counters().limit_connections == 1 && bob.connections().is_empty()).await;
    alice.block(bob.id());
    // He may have heard HELLO before the refusal.
    let _ = bob.connect(to.clone()).await;
    until(|| alice.counters().blocked >= 1).await;
    let mut streams = Vec::new();
    for _ in 0..compeer::limits::MAX_STREAMS_PER_PEER {
        streams.push(carol.open_stream(to.clone(), "BACK").await.unwrap());
    }
    carol.open_stream(to.clone(), "BACK").await.err().unwrap();
    assert!(carol.counters().limit_streams + alice.counters().limit_streams == 1);
    for peer in [alice, bob, carol] {
        peer.shutdown().await;
    }
}
