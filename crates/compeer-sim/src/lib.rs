//! Networks of peers in virtual time: what ten thousand peers do, seen on one machine in a minute.
//!
//! [`overlay`] runs the machines of the overlay by the hundred thousand: no sockets, no tasks, messages as
//! values in a queue, with latency, loss, churn, partitions and hostile peers as a [`Scenario`] says. [`peers`] runs
//! whole peers by the thousand, with the handlers, routers and stabilizers that a program gives them.
//!
//! The same seed gives the same run: everything is hashed in its order, and two runs can be compared by that
//! hash alone. No clock, no threads, no randomness of the system.
//!
//! # Test your own handler and router with a thousand peers
//!
//! Here all ids are a ring. Each peer knows those one, two, four, eight … places on, and a peer is found by asking one that
//! is nearer, which knows one that is nearer still (Stoica and others, "Chord", 2001).
//!
//! ```
//! # #[cfg(feature = "peers")] {
//! use compeer::{Failure, Hop, Peer, PeerAddr, PeerId, Request, Ticket};
//! use compeer_sim::peers::{Network, Sim};
//!
//! /// Of those in the table, the last one before `to` or at it, round the ring.
//! fn nearest(peer: &Peer, to: PeerId) -> Option<PeerAddr> {
//!     let ids = peer.table().ids();
//!     let before = ids.iter().filter(|id| **id <= to).max();
//!     peer.table().get(*before.or(ids.iter().max())?)
//! }
//!
//! /// The handler: tells whom this peer would ask.
//! async fn next(request: Request) -> Result<String, Failure> {
//!     let to = request.text().parse()?;
//!     let nearest = nearest(request.peer(), to).ok_or_else(|| Failure::new("I know nobody"))?;
//!     Ok(Ticket::from(nearest).to_string())
//! }
//!
//! /// The router: goes from one to the next.
//! async fn round_the_ring(peer: Peer, to: PeerAddr) -> Option<Hop> {
//!     if !to.addrs.is_empty() {
//!         return Some(to.into()); // one of those asked below
//!     }
//!     let mut nearer = nearest(&peer, to.id)?;
//!     while nearer.id != to.id {
//!         let told = peer.request(nearer, "NEXT", to.id.to_string()).one().await.ok()?;
//!         let Ticket::Peer(told) = told.text().parse().ok()? else { return None };
//!         nearer = told;
//!     }
//!     Some(nearer.into())
//! }
//!
//! async fn everybody_is_found(network: &Network) -> usize {
//!     let mut ring: Vec<&Peer> = network.peers().iter().collect();
//!     ring.sort_by_key(|peer| peer.id());
//!     for (place, peer) in ring.iter().enumerate() {
//!         for power in 0..10 {
//!             peer.table().insert(ring[(place + (1 << power)) % ring.len()].addr());
//!         }
//!     }
//!     let mut found = 0;
//!     for (from, to) in ring.iter().zip(ring.iter().rev()).step_by(20) {
//!         let reply = from.request(to.id(), "NEXT", from.id().to_string()).one().await;
//!         found += usize::from(reply.is_ok());
//!     }
//!     found
//! }
//!
//! let run = || {
//!     let sim = Sim::new(7).peers(1000, |_, builder| builder.router(round_the_ring).handle("NEXT", next));
//!     sim.run(everybody_is_found)
//! };
//! let (first, second) = (run()?, run()?);
//! assert_eq!(first.value, 50);
//! assert_eq!(first.trace_hash, second.trace_hash);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # See what an overlay does
//!
//! ```
//! use compeer_sim::Scenario;
//! use compeer_sim::overlay::World;
//!
//! let scenario: Scenario = "peers = 50\nlookups = 20\nsettle = 10\nduration = 10".parse()?;
//! let summary = World::new(&scenario)?.run();
//! assert_eq!(summary.found, 20);
//! assert_eq!(summary.trace_hash, World::new(&scenario)?.run().trace_hash);
//! # Ok::<(), compeer_sim::ScenarioError>(())
//! ```

pub mod overlay;
#[cfg(feature = "peers")]
pub mod peers;
pub mod plot;
mod scenario;
mod trace;

pub use scenario::{Act, Expect, Ground, Hostile, Partition, Scenario, ScenarioError, Start};

/// The key of a simulated peer: everybody may know it.
fn identity(seed: u64, number: u64) -> compeer::Identity {
    let mut hasher = blake3::Hasher::new_derive_key("compeer-sim: key of a simulated peer");
    hasher.update(&seed.to_le_bytes()).update(&number.to_le_bytes());
    compeer::Identity::from_seed(hasher.finalize().as_bytes())
}
