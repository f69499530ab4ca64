//! Keeps connections: with paired peers, and with those named by `--join`.
//!
//! The library redials a kept peer whose id is known. An address given to `--join` for the first time has no known id
//! yet; it is tried here until somebody answers, and kept from then on.

use super::event::NodeEvent;
use super::{Node, Role};
use crate::exit::{Exit, Outcome};
use crate::target;
use compeer::PeerAddr;
use std::time::Duration;

/// First and longest pause between two tries of an address whose peer is not known yet.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

impl Node {
    /// Keeps connections with all paired peers.
    pub(crate) fn keep_paired(&self) -> Outcome {
        for known in self.state.store.peers()? {
            if known.petname.is_some() && !known.blocked {
                let addrs = known.addrs.iter().filter_map(|addr| addr.parse().ok()).collect();
                self.peer.keep(PeerAddr { id: known.id, addrs });
            }
        }
        Ok(())
    }

    /// Keeps a connection, if this node keeps any.
    pub(crate) fn keep(&self, peer: PeerAddr) {
        if self.state.role == Role::Up {
            self.peer.keep(peer);
        }
    }

    /// Connects with a peer and stays connected.
    ///
    /// # Errors
    ///
    /// PEER stands for nobody.
    pub(crate) fn join(&self, typed: &str) -> Outcome {
        let target = target::resolve(typed, &self.state.store)?;
        match target.id {
            Some(id) => self.peer.keep(PeerAddr { id, addrs: target.addrs }),
            None => drop(tokio::spawn(self.clone().find(typed.to_string()))),
        }
        Ok(())
    }

    async fn find(self, typed: String) {
        let mut pause = PAUSES.0;
        let mut told = String::new();
        loop {
            match self.reach(&typed).await {
                Ok(reached) => {
                    let target = target::resolve(&typed, &self.state.store);
                    let addrs = target.map(|target| target.addrs).unwrap_or_default();
                    self.peer.keep(PeerAddr { id: reached.id, addrs });
                    return;
                }
                Err(error) if error.exit == Exit::Unreachable => {
                    // It is tried for as long as it takes; one line says why, until the reason changes.
                    if told != error.message {
                        told = error.message.clone();
                        let (name, after_ms) = (typed.clone(), pause.as_millis() as u64);
                        let reason = error.message;
                        self.state.feed.tell(NodeEvent::Retrying { peer: None, name, after_ms, reason });
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                Err(error) => {
                    self.state.feed.tell(NodeEvent::Trouble { message: error.message });
                    return;
                }
            }
        }
    }
}
