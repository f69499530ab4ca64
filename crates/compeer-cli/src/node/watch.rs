//! Watches the library's events: notes in the database who was seen, and tells the feed.
//!
//! The library's events carry ids and claims; the screen wants names. The translation is here, in the order in which things
//! happened. Of a stranger nothing is written down; of a paired peer, its nickname, addresses and when it was seen.

use super::Node;
use super::event::NodeEvent;
use super::state::wall_seconds;
use crate::store::StoreError;
use compeer::{Event, Events, PeerAddr, PeerId};

/// Runs until the peer is shut down.
pub(super) async fn run(node: Node, mut events: Events) {
    while let Some(event) = events.recv().await {
        if let Some(event) = translate(&node, event) {
            node.state.feed.tell(event);
        }
    }
}

fn translate(node: &Node, event: Event) -> Option<NodeEvent> {
    let state = &node.state;
    Some(match event {
        // Somebody looks something up, or we do: that is not worth a line.
        Event::Connected { peer, in_passing: true, .. } if !node.peer.is_known(peer) => return None,
        Event::Connected { peer, name: nickname, addr, dialled, .. } => {
            if let Err(error) = note(node, peer, nickname.as_deref()) {
                tracing::warn!(%error, "cannot note who was seen");
            }
            state.connected(peer, nickname.as_deref(), addr.map(|addr| addr.to_string()), dialled);
            return None;
        }
        Event::Disconnected { peer, reason } => {
            // It was there until now.
            if let Err(error) = state.store.seen(peer, None, &[], wall_seconds()) {
                tracing::warn!(%error, "cannot note who was seen");
            }
            if !node.peer.is_known(peer) {
                node.peer.table().remove(peer);
            }
            let name = state.disconnected(peer)?;
            let again = node.peer.kept(peer).is_some();
            if again {
                // Said with this; that it is not back at once is no news.
                state.missed(peer);
            }
            NodeEvent::Left { peer, name, reason, again }
        }
        Event::Retrying { peer, reason, .. } if !state.retrying(peer, &reason) => return None,
        Event::Retrying { peer, after, reason } => {
            let after_ms = after.as_millis() as u64;
            NodeEvent::Retrying { peer: Some(peer), name: state.shown_name(peer, None), after_ms, reason }
        }
        Event::WrongKey { expected, proven, .. } if !state.another_key(expected, proven) => {
            return None;
        }
        Event::WrongKey { addr, expected, proven } => {
            NodeEvent::WrongKey { expected, found: proven, addr: addr.to_string() }
        }
        Event::KeyRunsTwice { peer, .. } => {
            NodeEvent::KeyRunsTwice { peer, name: state.shown_name(peer, None), own: peer == state.id }
        }
        Event::AcceptPaused { reason } => {
            NodeEvent::Trouble { message: format!("nobody new can connect for a moment: {reason}") }
        }
        Event::Missed { count } => NodeEvent::Trouble { message: format!("{count} events were lost") },
        other => {
            tracing::info!(?other, "event");
            return None;
        }
    })
}

/// Puts a connected peer in the table, and remembers of one that is paired what it is called and where it was.
fn note(node: &Node, id: PeerId, nickname: Option<&str>) -> Result<(), StoreError> {
    let addrs = node.known_addrs(id);
    let entry = PeerAddr { id, addrs };
    if !node.peer.table().update(entry.clone()) {
        node.peer.table().insert(entry.clone());
    }
    let texts: Vec<_> = entry.addrs.iter().map(ToString::to_string).collect();
    node.state.store.seen(id, nickname, &texts, wall_seconds())
}
