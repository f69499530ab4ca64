//! The overlay of a node: enters it again where the last run left it, and writes down now and then whom it knows.
//!
//! Who is remembered is not called for it, but asked when something is looked up and few are known; only `up` looks
//! around by itself. So a command alone costs nobody anything, and still finds a peer by its id. A peer that was off for a
//! week tries all it remembers, and those it is paired with are called anyway.

use super::state::wall_seconds;
use super::{Node, Role};
use crate::exit::Outcome;
use compeer::PeerAddr;
use std::time::Duration;

/// How often it is written down. A guess: what is lost with a crash is a few minutes of acquaintances.
const SAVED_EVERY: Duration = Duration::from_secs(300);

/// Most peers that are written down.
const SAVED: usize = compeer::limits::MAX_REMEMBERED;

impl Node {
    /// Remembers whom the last run knew; `up` looks around among them.
    pub(super) fn remember_overlay(&self) -> Outcome {
        let Some(overlay) = self.peer.overlay() else { return Ok(()) };
        let mut remembered = self.state.store.overlay()?;
        // The library keeps the last of them.
        remembered.reverse();
        overlay.remember(remembered);
        if self.state.role == Role::Up {
            overlay.join([]);
            let node = self.clone();
            tokio::spawn(async move {
                loop {
                    tokio::select! {
                        biased;
                        () = node.ends() => return,
                        () = tokio::time::sleep(SAVED_EVERY) => node.save_overlay(),
                    }
                }
            });
        }
        Ok(())
    }

    /// Writes down whom this node knows. What was written before stays when it knows nobody: the network may be gone
    /// for a while.
    pub(super) fn save_overlay(&self) {
        let Some(overlay) = self.peer.overlay().filter(|_| self.state.role == Role::Up) else { return };
        let mut peers = overlay.peers();
        peers.retain(|peer| peer.failures == 0);
        if peers.is_empty() {
            return;
        }
        peers.sort_by_key(|peer| peer.silent);
        let now = wall_seconds();
        let seen = |silent: Duration| now - i64::try_from(silent.as_secs()).unwrap_or(0);
        let known: Vec<(PeerAddr, i64)> =
            peers.into_iter().take(SAVED).map(|peer| (peer.addr, seen(peer.silent))).collect();
        if let Err(error) = self.state.store.set_overlay(&known) {
            tracing::warn!(%error, "cannot write down who is in the overlay");
        }
    }
}
