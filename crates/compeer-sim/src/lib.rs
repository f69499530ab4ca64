//! Networks of peers in virtual time: what ten thousand peers do, seen on one machine in a minute.
//!
//! [`overlay`] runs the machines of the overlay by the hundred thousand: no sockets, no tasks, messages as
//! values in a queue, with latency, loss, churn, partitions and hostile peers as a [`Scenario`] says.
//!
//! The same scenario and seed give the same run: every event is hashed in its order, and two runs can be
//! compared by that hash alone. No clock, no threads, no randomness of the system.
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
mod scenario;
mod trace;

pub use scenario::{Act, Expect, Ground, Hostile, Partition, Scenario, ScenarioError, Start};
