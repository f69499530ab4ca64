//! Thousands of callers in virtual time: who gets in, and who goes for it.

#![allow(clippy::disallowed_methods, reason = "the virtual time of a paused runtime")]

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use compeer::transport::memory::{MemoryNetwork, MemoryTransport};
use compeer::{Builder, Event, Events, Failure, Identity, Peer, PeerId, Request, limits};
use compeer_proto::frame::{self, Frame};
use raw::Raw;

#[path = "support/raw.rs"]
#[allow(dead_code, reason = "others use the rest")]
mod raw;

async fn echo(request: Request) -> Result<bytes::Bytes, Failure> {
    Ok(request.body().clone())
}

/// Everybody has a number, and from it a key.
fn identity(n: u32) -> Identity {
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&n.to_be_bytes());
    Identity::from_seed(&seed)
}

/// An address of one's own for each number.
fn ip(n: u32) -> IpAddr {
    IpAddr::from((0x0a00_0000 + n).to_be_bytes())
}

const HUB: u32 = 1;

fn hub_addr() -> SocketAddr {
    SocketAddr::new(ip(HUB), 1)
}

/// A network without latency, so that time passes only when it is let.
fn network() -> MemoryNetwork {
    MemoryNetwork::new(1).latency(Duration::ZERO, Duration::ZERO)
}

fn builder(network: &MemoryNetwork, n: u32) -> Builder {
    let identity = identity(n);
    Peer::builder()
        .transport(network.transport(identity.peer_id(), ip(n)))
        .identity(identity)
        .listen(SocketAddr::new(ip(n), 1))
        .seed(n.into())
        .handle("ECHO", echo)
}

fn door(network: &MemoryNetwork, n: u32, at: IpAddr) -> MemoryTransport {
    network.transport(identity(n).peer_id(), at)
}

/// A caller that answers what it is asked and else says nothing; it tells when it
/// is hung up on by ending.
async fn stranger(network: &MemoryNetwork, n: u32, at: IpAddr) -> tokio::task::JoinHandle<()> {
    let mut raw = Raw::introduced(&door(network, n, at), hub_addr()).await;
    tokio::spawn(async move {
        while let Some(heard) = raw.heard().await {
            if let Ok(Some(Frame::Ping { nonce })) = frame::decode(&heard) {
                raw.say(&Frame::Pong { nonce }).await;
            }
        }
    })
}

async fn next(events: &mut Events, what: impl Fn(Event) -> Option<PeerId>) -> PeerId {
    let found = async {
        loop {
            let event = events.recv().await.expect("the hub runs");
            assert!(!matches!(event, Event::Missed { .. }), "{event:?}");
            if let Some(peer) = what(event) {
                return peer;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(1), found).await.expect("it happens at once")
}

async fn gone(events: &mut Events) -> PeerId {
    next(events, |event| match event {
        Event::Disconnected { peer, .. } => Some(peer),
        _ => None,
    })
    .await
}

async fn come(events: &mut Events) -> PeerId {
    next(events, |event| match event {
        Event::Connected { peer, .. } => Some(peer),
        _ => None,
    })
    .await
}

async fn echoes(from: &Peer, to: &Peer) -> bool {
    from.request(to.addr(), "ECHO", "x").one().await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn of_thousands_the_one_idle_longest_makes_room_for_the_next() {
    const MOST: u32 = 3_000;
    const MORE: u32 = 1_000;
    let network = network();
    let hub = builder(&network, HUB).max_connections(MOST as usize + 2).spawn().await.unwrap();
    let mut events = hub.events();
    // Connected for longest, and stay: one that is known and one that was called.
    let known = builder(&network, 2).spawn().await.unwrap();
    hub.know(known.id());
    known.connect(hub.addr()).await.unwrap();
    let called = builder(&network, 3).spawn().await.unwrap();
    hub.connect(called.addr()).await.unwrap();
    for _ in 0..2 {
        come(&mut events).await;
    }
    for n in 0..MOST {
        stranger(&network, 100 + n, ip(100 + n)).await;
        assert_eq!(come(&mut events).await, identity(100 + n).peer_id());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Asks of us are use too: every second one of the first hundred.
    for n in (0..100).step_by(2) {
        // Nobody there has a handler, which is an answer.
        assert!(
            hub.request(identity(100 + n).peer_id(), "WHAT", "").timeout(Duration::ZERO).one().await.is_err()
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let unused = (1..100).step_by(2).chain(100..MOST);
    for (n, unused) in (0..MORE).zip(unused) {
        stranger(&network, 10_000 + n, ip(10_000 + n)).await;
        assert_eq!(gone(&mut events).await, identity(100 + unused).peer_id());
        assert!(hub.link_count() <= MOST as usize + 3, "{}", hub.link_count());
    }
    assert!(hub.connections().iter().any(|info| info.peer_id == known.id()));
    assert!(hub.connections().iter().any(|info| info.peer_id == called.id()));
}

#[tokio::test(start_paused = true)]
async fn a_household_has_its_share_and_no_more() {
    let network = network();
    let hub = builder(&network, HUB).spawn().await.unwrap();
    let neighbour = builder(&network, 2).spawn().await.unwrap();
    assert!(echoes(&neighbour, &hub).await);
    let house = ip(500);
    let mut events = hub.events();
    // Of a household too, and known: it counts for nothing and stays.
    let friend = identity(3);
    hub.know(friend.peer_id());
    stranger(&network, 3, house).await;
    let most = limits::MAX_STRANGERS_PER_PREFIX as u32;
    for n in 0..most {
        stranger(&network, 1_000 + n, house).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for n in 0..50 {
        stranger(&network, 2_000 + n, house).await;
        assert_eq!(gone(&mut events).await, identity(1_000 + n).peer_id(), "their own oldest goes");
    }
    assert_eq!(hub.connections().len(), most as usize + 2);
    for there in [neighbour.id(), friend.peer_id()] {
        assert!(hub.connections().iter().any(|info| info.peer_id == there));
    }
    // Known no more, it is the one that has been idle longest.
    hub.forget(friend.peer_id());
    stranger(&network, 3_000, house).await;
    assert_eq!(gone(&mut events).await, friend.peer_id());
}

#[tokio::test(start_paused = true)]
async fn the_share_of_a_household_can_be_set() {
    let network = network();
    let hub = builder(&network, HUB).max_strangers_per_prefix(3).spawn().await.unwrap();
    for n in 0..10 {
        stranger(&network, 100 + n, ip(500)).await;
        stranger(&network, 200 + n, ip(600 + n)).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(hub.connections().len(), 3 + 10);
}

#[tokio::test(start_paused = true)]
async fn a_flood_from_everywhere_leaves_places_for_addresses_that_are_connected() {
    let network = MemoryNetwork::new(1).latency(Duration::from_millis(1), Duration::from_millis(1));
    let hub = builder(&network, HUB).spawn().await.unwrap();
    let guest = builder(&network, 2).spawn().await.unwrap();
    assert!(echoes(&guest, &hub).await);
    // Two who are slow to introduce themselves: one where somebody is connected, one not.
    let familiar = Raw::dial(&door(&network, 5, ip(2)), hub_addr()).await;
    let strange = Raw::dial(&door(&network, 6, ip(6)), hub_addr()).await;
    let mut silent = Vec::new();
    let flood = limits::MAX_PENDING as u32 + 100;
    for n in 0..flood {
        silent.push(Raw::dial(&door(&network, 1_000 + n, ip(1_000 + n)), hub_addr()).await);
        assert!(hub.link_count() <= limits::MAX_PENDING + limits::MAX_PENDING_CONNECTED + 3);
    }
    // The first of all that nobody here is connected with was the first to go.
    assert!(strange.hung_up().await.is_some());
    let mut familiar = familiar;
    familiar.say(&Frame::Hello(Default::default())).await;
    let mut events = hub.events();
    assert_eq!(come(&mut events).await, identity(5).peer_id());
    // And a newcomer gets in too, being the newest of all.
    assert!(echoes(&builder(&network, 7).spawn().await.unwrap(), &hub).await);
}
