//! `down`: the running peer is to stop. It answers first and stops then; the lock tells when it is gone.
//!
//! The answer carries the process id alone. Leaving in order is the business of the command that runs the node
//! (`commands/up.rs`), which waits for this wish beside ctrl-c.

use crate::exit::Outcome;
use crate::node::Node;
use serde::{Deserialize, Serialize};

pub(crate) const KIND: &str = "down";

/// Stop.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Down {}

/// Stopping.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stopping {
    pub(crate) pid: u32,
}

pub(super) async fn answer(node: Node, _: Down) -> Outcome<Stopping> {
    node.state.stop.send_replace(true);
    Ok(Stopping { pid: std::process::id() })
}
