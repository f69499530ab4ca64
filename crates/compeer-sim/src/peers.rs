//! Whole peers by the thousand, on a network in memory and in virtual time.
//!
//! [`Sim`] makes a paused runtime, a [`MemoryNetwork`] and as many peers as asked for, each with an address and
//! a network of its own, and runs a function among them: what takes an hour there takes seconds here. Everything
//! that is sent is hashed with its time; the same program and seed give the same hash.
//!
//! The same holds for as long as what is tested keeps to it too: no clock but the peer's, no randomness but from a
//! seed, no threads, no map whose order differs with each run. TLS is not in this: a circuit, which has its
//! own from end to end, works, and its bytes differ with each run.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use compeer::transport::memory::MemoryNetwork;
use compeer::{Builder, Clock, Peer, SpawnError};
use compeer_proto::Time;

use crate::identity;

type Build = Box<dyn FnMut(usize, Builder) -> Builder>;

/// Peers to be run in virtual time.
///
/// Defaults: no peers, latency from 1 to 20 ms each way. The example of the [crate] shows one.
#[must_use]
pub struct Sim {
    seed: u64,
    latency: (Duration, Duration),
    groups: Vec<(usize, Build)>,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Ran<T> {
    /// What the function gave back.
    pub value: T,
    /// BLAKE3 over everything that was sent, in order, with its time, from whom and to whom. 64 hexadecimal digits.
    pub trace_hash: String,
    /// Bytes that were sent.
    pub bytes: u64,
    /// Virtual time that went by.
    pub took: Duration,
}

/// Why peers could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// The system gives no runtime.
    #[error("no runtime can be made: {0}")]
    Runtime(#[from] std::io::Error),
    /// A peer does not begin, such as for a kind that is none.
    #[error("peer {number} does not begin: {error}")]
    Spawn {
        /// Which, from 0.
        number: usize,
        /// Why.
        error: SpawnError,
    },
}

/// The peers while they run, and the cables between them.
pub struct Network {
    peers: Vec<Peer>,
    memory: MemoryNetwork,
}

#[derive(Default)]
struct Seen {
    trace: blake3::Hasher,
    bytes: u64,
}

impl Sim {
    /// No peers yet. All chance comes from the seed: keys, latencies, the dice of each peer.
    pub fn new(seed: u64) -> Self {
        Sim { seed, latency: (Duration::from_millis(1), Duration::from_millis(20)), groups: Vec::new() }
    }

    /// Draws the latency of each new connection from `least..=most`, each way.
    pub fn latency(mut self, least: Duration, most: Duration) -> Self {
        self.latency = (least, most);
        self
    }

    /// So many peers more, each built by `build` from its number and a builder that has key, address, transport,
    /// clock and seed. Numbers go on from those who are there already.
    pub fn peers(mut self, n: usize, build: impl FnMut(usize, Builder) -> Builder + 'static) -> Self {
        self.groups.push((n, Box::new(build)));
        self
    }

    /// Begins all peers, runs `what` among them, and ends them.
    ///
    /// # Errors
    /// [`SimError`].
    ///
    /// # Panics
    /// When called within an async runtime: it makes one of its own.
    pub fn run<T>(self, what: impl AsyncFnOnce(&Network) -> T) -> Result<Ran<T>, SimError> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
        runtime.block_on(async {
            let clock = Clock::starting_at(UNIX_EPOCH);
            let seen = Arc::new(Mutex::new(Seen::default()));
            let (hashed, now) = (seen.clone(), clock.clone());
            let memory =
                MemoryNetwork::new(self.seed).latency(self.latency.0, self.latency.1).observe(move |sent| {
                    let mut seen = hashed.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.bytes += sent.bytes.len() as u64;
                    let head =
                        format!("{} {} {} {}\n", now.now().as_micros(), sent.from, sent.to, sent.bytes.len());
                    seen.trace.update(head.as_bytes()).update(sent.bytes);
                });
            let mut network = Network { peers: Vec::new(), memory };
            for (n, mut build) in self.groups {
                for _ in 0..n {
                    network.add(self.seed, &clock, &mut build).await?;
                }
            }
            let value = what(&network).await;
            for peer in &network.peers {
                peer.shutdown().await;
            }
            let took = clock.now().since(Time::ZERO);
            let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(Ran { value, trace_hash: seen.trace.finalize().to_hex().to_string(), bytes: seen.bytes, took })
        })
    }
}

impl Network {
    /// All of them, by their numbers.
    pub fn peers(&self) -> &[Peer] {
        &self.peers
    }

    /// Cuts the cable between two peers, by their numbers: nothing arrives and nothing is closed.
    pub fn cut(&self, a: usize, b: usize) {
        self.memory.cut(ip(a), ip(b));
    }

    /// Mends it: what was sent meanwhile arrives late.
    pub fn heal(&self, a: usize, b: usize) {
        self.memory.heal(ip(a), ip(b));
    }

    async fn add(&mut self, seed: u64, clock: &Clock, build: &mut Build) -> Result<(), SimError> {
        let number = self.peers.len();
        let identity = identity(seed, number as u64);
        let builder = Peer::builder()
            .transport(self.memory.transport(identity.peer_id(), ip(number)))
            .identity(identity)
            .listen(SocketAddr::new(ip(number), 1))
            .clock(clock.clone())
            .seed(seed.wrapping_add(number as u64));
        let peer = build(number, builder).spawn().await;
        self.peers.push(peer.map_err(|error| SimError::Spawn { number, error })?);
        Ok(())
    }
}

/// An address in a /24 of its own, since peers bound what those of one network may do to them.
fn ip(number: usize) -> IpAddr {
    Ipv4Addr::from_bits(u32::from_be_bytes([11, 0, 0, 1]) + ((number as u32) << 8)).into()
}
