//! Each bound of the framework, filled to the brim and one over.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use compeer::transport::{Listener, Purpose, Transport, Wire};
use compeer::{
    Addr, BoxFuture, ConnectError, Event, Events, Failure, Identity, Peer, PeerAddr, PeerId, Request,
    RequestError, Stabilizer, Stream, Table, check_live_peers, limits,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(30);

async fn echo(request: Request) -> Result<bytes::Bytes, Failure> {
    Ok(request.body().clone())
}

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

async fn until(events: &mut Events, what: impl Fn(&Event) -> bool) -> Event {
    let found = async {
        loop {
            let event = events.recv().await.expect("the peer runs");
            if what(&event) {
                return event;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("it happens in time")
}

/// Reads until the other side hangs up.
async fn hung_up(mut tcp: TcpStream) {
    let mut rest = Vec::new();
    // A reset is a hang-up too.
    let _ = tokio::time::timeout(PATIENCE, tcp.read_to_end(&mut rest)).await.expect("hung up in time");
}

#[tokio::test]
async fn silence_and_garbage_are_hung_up_on_and_guests_get_in() {
    let alice = Peer::builder().listen(any_port()).handle("ECHO", echo).spawn().await.unwrap();
    let at = alice.local_addrs()[0];
    let silent = TcpStream::connect(at).await.unwrap();
    let mut web = TcpStream::connect(at).await.unwrap();
    web.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut half = TcpStream::connect(at).await.unwrap();
    // A TLS record that never ends: hung up on after the handshake's time.
    half.write_all(&[0x16, 3, 1, 0x40, 0]).await.unwrap();
    let bob = Peer::builder().spawn().await.unwrap();
    assert!(bob.request(alice.addr(), "ECHO", "x").one().await.is_ok());
    hung_up(silent).await;
    hung_up(web).await;
    hung_up(half).await;
    assert_eq!(alice.connections().len(), 1);
}

#[tokio::test]
async fn more_handshakes_than_places_push_out_the_oldest() {
    let alice = Peer::builder().listen(any_port()).handle("ECHO", echo).spawn().await.unwrap();
    let at = alice.local_addrs()[0];
    // Each says something, so that only the handshake's own time would end it.
    let mut callers = Vec::new();
    for _ in 0..limits::MAX_PENDING + 1 {
        let mut caller = TcpStream::connect(at).await.unwrap();
        caller.write_all(&[0x16]).await.unwrap();
        callers.push(caller);
    }
    hung_up(callers.swap_remove(0)).await;
    let bob = Peer::builder().spawn().await.unwrap();
    assert!(bob.request(alice.addr(), "ECHO", "x").one().await.is_ok());
}

#[tokio::test]
async fn a_ninth_stream_is_busy_and_a_dropped_one_makes_room() {
    async fn hold(mut stream: Stream) {
        let _ = stream.read(&mut [0]).await;
    }
    let alice = Peer::builder().listen(any_port()).handle_stream("HOLD", hold).spawn().await.unwrap();
    let bob = Peer::builder().spawn().await.unwrap();
    let mut held = Vec::new();
    for _ in 0..limits::MAX_STREAMS_PER_PEER {
        held.push(bob.open_stream(alice.addr(), "HOLD").await.unwrap());
    }
    assert_eq!(bob.open_stream(alice.id(), "HOLD").await.map(drop).unwrap_err(), RequestError::Busy);
    held.pop();
    // The other side gives its place back when it has seen the end.
    let again = async {
        while bob.open_stream(alice.id(), "HOLD").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
}

#[tokio::test]
async fn a_stream_dies_with_its_session() {
    async fn hold(mut stream: Stream) {
        let _ = stream.read(&mut [0]).await;
    }
    let alice = Peer::builder().listen(any_port()).handle_stream("HOLD", hold).spawn().await.unwrap();
    let bob = Peer::builder().spawn().await.unwrap();
    let mut stream = bob.open_stream(alice.addr(), "HOLD").await.unwrap();
    bob.connect(alice.id()).await.unwrap().close("enough");
    let ended = tokio::time::timeout(PATIENCE, stream.read(&mut [0])).await.unwrap();
    assert!(matches!(ended, Err(_) | Ok(0)), "{ended:?}");
}

#[tokio::test]
async fn requests_beyond_the_agreed_number_wait_for_a_place() {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let wait = {
        let gate = gate.clone();
        move |_: Request| {
            let gate = gate.clone();
            async move {
                gate.acquire().await?.forget();
                Ok::<_, Failure>("through")
            }
        }
    };
    let alice = Peer::builder().listen(any_port()).handle("WAIT", wait).spawn().await.unwrap();
    let bob = Peer::builder().spawn().await.unwrap();
    let n = limits::MAX_REQUESTS as usize + 10;
    let asked: Vec<_> = (0..n)
        .map(|_| {
            let (bob, to) = (bob.clone(), alice.addr());
            tokio::spawn(async move { bob.request(to, "WAIT", "").timeout(PATIENCE).one().await })
        })
        .collect();
    gate.add_permits(n);
    for asked in asked {
        assert_eq!(&asked.await.unwrap().unwrap().body[..], b"through");
    }
}

#[tokio::test]
async fn a_listener_that_does_not_listen_is_told_how_many_it_missed() {
    let alice = Peer::builder().spawn().await.unwrap();
    let mut events = alice.events();
    alice.handle("BOOM", |_: Request| async { panic!("boom") as Result<(), Failure> }).unwrap();
    for _ in 0..limits::EVENT_QUEUE + 5 {
        let _ = alice.request(alice.id(), "BOOM", "").one().await;
    }
    let missed = until(&mut events, |e| matches!(e, Event::Missed { .. })).await;
    assert_eq!(missed, Event::Missed { count: 5 });
}

#[test]
fn a_table_takes_its_capacity_and_no_more() {
    for (asked, capacity) in [(3, 3), (0, limits::MAX_TABLE), (usize::MAX, limits::MAX_TABLE)] {
        assert_eq!(Table::new(asked).capacity(), capacity);
    }
    let table = Table::new(100);
    for n in 0..100 {
        assert!(table.insert(PeerAddr::from(Identity::from_seed(&[n; 32]).peer_id())));
    }
    assert!(table.is_full());
    assert!(!table.insert(PeerAddr::from(Identity::from_seed(&[200; 32]).peer_id())));
    assert!(!table.insert_at(100, PeerAddr::from(Identity::from_seed(&[200; 32]).peer_id())));
}

/// Nobody answers, and it counts how many are called at a time.
#[derive(Clone, Default)]
struct Nobody {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Transport for Nobody {
    fn dial(&self, _: Addr, _: Option<PeerId>, _: Purpose) -> BoxFuture<'static, Result<Wire, ConnectError>> {
        let nobody = self.clone();
        Box::pin(async move {
            nobody.most.fetch_max(nobody.now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
            nobody.now.fetch_sub(1, Ordering::Relaxed);
            Err(ConnectError::TimedOut)
        })
    }

    fn listen(&self, _: SocketAddr) -> io::Result<Box<dyn Listener>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_table_is_checked_a_few_at_a_time() {
    let nobody = Nobody::default();
    let peer = Peer::builder().transport(nobody.clone()).spawn().await.unwrap();
    let there = Addr::from(SocketAddr::from(([10, 0, 0, 1], 1)));
    for n in 0..=255 {
        let id = Identity::from_seed(&[n; 32]).peer_id();
        assert!(peer.table().insert(PeerAddr::new(id, [there.clone()])));
    }
    check_live_peers(1).run(peer.clone()).await.unwrap();
    assert!(peer.table().is_empty());
    assert_eq!(nobody.most.load(Ordering::Relaxed), limits::LIVE_CHECKS);
}
