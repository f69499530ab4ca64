//! `block`: close a peer's connections and refuse it from now on, or no longer.
//!
//! The block is in the database before a connection is closed, so that it holds whatever happens next. A paired peer that
//! is unblocked is kept again.

use crate::console::Report;
use crate::exit::{CommandError, Outcome};
use crate::node::Node;
use crate::target;
use compeer::{PeerAddr, PeerId};
use serde::{Deserialize, Serialize};

pub(crate) const KIND: &str = "block";

/// Block that peer, or unblock it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Block {
    pub(crate) peer: String,
    pub(crate) off: bool,
}

/// It is blocked, or no longer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Blocked {
    pub(crate) event: String,
    pub(crate) peer: PeerId,
    pub(crate) name: String,
}

impl Report for Blocked {
    fn human(&self) -> String {
        format!("{} is {}", self.name, self.event)
    }
}

pub(super) async fn answer(node: Node, block: Block) -> Outcome<Blocked> {
    let target = target::resolve(&block.peer, &node.state.store)?;
    // An address stands for the peer whose key was learnt there; a name on the screen may be a nickname.
    let id = target.id.or_else(|| node.connected_as(&block.peer)).ok_or_else(|| {
        CommandError::failed(format!("whose key is at {} is not known", block.peer))
            .hint("name the peer by its id; `compeer peers` shows who is connected")
    })?;
    if id == node.state.id {
        return Err(CommandError::usage("that is this peer itself"));
    }
    node.state.store.block(id, !block.off)?;
    let known = node.state.store.peer(id)?;
    if block.off {
        node.peer.unblock(id);
        if let Some(known) = known.filter(|known| known.petname.is_some()) {
            let addrs = known.addrs.iter().filter_map(|addr| addr.parse().ok()).collect();
            node.keep(PeerAddr { id, addrs });
        }
    } else {
        node.state.answered(id);
        node.peer.release(id);
        node.peer.block(id);
    }
    let event = if block.off { "unblocked" } else { "blocked" };
    Ok(Blocked { event: event.into(), peer: id, name: node.state.shown_name(id, None) })
}
