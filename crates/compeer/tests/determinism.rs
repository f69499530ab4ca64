//! Twenty peers, twice, one seed: the same trace (DESIGN §4.9).
//!
//! The trace holds, with its virtual time, every event of every peer and every
//! message that a handler got. Peers call each other from stabilizers, keep
//! each other, and one cable is cut and mended on the way, so that timers,
//! backoff, jitter and the choice between two connections all leave their mark.

use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use compeer::transport::memory::MemoryNetwork;
use compeer::{Clock, Failure, Identity, Peer, PeerAddr, Request, check_live_peers};

const PEERS: u8 = 20;

type Trace = Arc<Mutex<String>>;

fn ip(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

fn identity(n: u8) -> Identity {
    Identity::from_seed(&[n; 32])
}

fn note(trace: &Trace, clock: &Clock, text: std::fmt::Arguments<'_>) {
    let mut trace = trace.lock().unwrap();
    writeln!(trace, "{} {text}", clock.now().as_micros()).unwrap();
}

async fn member(network: &MemoryNetwork, clock: &Clock, seed: u64, n: u8, trace: &Trace) -> Peer {
    let (of_handler, clock_of_handler) = (trace.clone(), clock.clone());
    let hear = move |request: Request| {
        note(
            &of_handler,
            &clock_of_handler,
            format_args!("{n} hears {} from {}", request.text(), request.sender()),
        );
        async move {
            // Some answer at once, some later.
            tokio::time::sleep(Duration::from_millis(u64::from(n % 3))).await;
            Ok::<_, Failure>(format!("{n}"))
        }
    };
    let gossip = move |peer: Peer| async move {
        for to in peer.table().ids() {
            peer.request(to, "HEAR", format!("news of {n}")).timeout(Duration::from_secs(3)).one().await?;
        }
        Ok(())
    };
    let peer = Peer::builder()
        .identity(identity(n))
        .transport(network.transport(identity(n).peer_id(), ip(n)))
        .listen(SocketAddr::new(ip(n), 1))
        .clock(clock.clone())
        .seed(seed ^ u64::from(n))
        .handle("HEAR", hear)
        .stabilize(Duration::from_secs(5), gossip)
        .stabilize(Duration::from_secs(7), check_live_peers(2))
        .spawn()
        .await
        .unwrap();
    for step in [1, 3, 7] {
        let other = (n + step - 1) % PEERS + 1;
        peer.table().insert(PeerAddr::new(identity(other).peer_id(), [SocketAddr::new(ip(other), 1).into()]));
    }
    let (mut events, trace, clock) = (peer.events(), trace.clone(), clock.clone());
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            note(&trace, &clock, format_args!("{n}: {event:?}"));
        }
    });
    peer
}

fn run(seed: u64) -> String {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let network = MemoryNetwork::new(seed);
        let clock = Clock::starting_at(UNIX_EPOCH);
        let trace = Trace::default();
        let mut peers = Vec::new();
        for n in 1..=PEERS {
            peers.push(member(&network, &clock, seed, n, &trace).await);
        }
        for pair in peers.windows(2) {
            pair[0].keep(pair[1].addr());
            pair[1].keep(pair[0].addr());
        }
        tokio::time::sleep(Duration::from_secs(20)).await;
        network.cut(ip(3), ip(4));
        tokio::time::sleep(Duration::from_secs(40)).await;
        network.heal(ip(3), ip(4));
        tokio::time::sleep(Duration::from_secs(30)).await;
        for peer in peers {
            peer.shutdown().await;
        }
        let trace = trace.lock().unwrap();
        trace.clone()
    })
}

fn hash(trace: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    trace.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn twenty_peers_twice_leave_the_same_trace() {
    let (first, second) = (run(1), run(1));
    let differs = first.lines().zip(second.lines()).position(|(a, b)| a != b);
    if let Some(at) = differs {
        let (a, b) = (first.lines().nth(at).unwrap(), second.lines().nth(at).unwrap());
        panic!("line {at} differs:\n{a}\n{b}");
    }
    assert_eq!(hash(&first), hash(&second));
    assert!(first.lines().count() > 1000, "a trace that says something");
    assert!(first.contains("Disconnected") && first.contains("Retrying"));
    assert_ne!(hash(&first), hash(&run(2)), "another seed, another trace");
}
