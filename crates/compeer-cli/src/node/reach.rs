//! Reaches the peer that PEER stands for, and learns the keys of addresses on the way.
//!
//! An address typed for the first time is dialled to see who answers; that key is pinned to the address. From then
//! on the dial expects this key, and another one is refused.

use super::{Node, blame};
use crate::exit::{CommandError, Exit, Outcome};
use crate::target::{self, Target};
use compeer::{Addr, ConnectionInfo, PeerAddr, PeerId, limits};

/// A peer that is connected.
#[derive(Clone, Debug)]
pub(crate) struct Reached {
    pub(crate) id: PeerId,
    /// Ready for the screen.
    pub(crate) name: String,
    /// What it calls itself, raw.
    pub(crate) nickname: Option<String>,
}

impl Node {
    /// Connects with the peer PEER stands for, or finds it connected.
    ///
    /// # Errors
    ///
    /// PEER is nothing, nobody answers there, or somebody else does.
    pub(crate) async fn reach(&self, typed: &str) -> Outcome<Reached> {
        let target = target::resolve(typed, &self.state.store)?;
        if target.id == Some(self.state.id) {
            return Ok(Reached { id: self.state.id, name: self.state.name.clone(), nickname: None });
        }
        let id = self.dial(typed, &target).await?;
        let nickname = self.connection(id).and_then(|connection| connection.name);
        let name = self.state.shown_name(id, nickname.as_deref());
        Ok(Reached { id, name, nickname })
    }

    /// The connection with a peer.
    pub(crate) fn connection(&self, id: PeerId) -> Option<ConnectionInfo> {
        self.peer.connections().into_iter().find(|connection| connection.peer_id == id)
    }

    /// Where a connected peer may be found again: where it was dialled, and where it says it listens.
    pub(crate) fn known_addrs(&self, id: PeerId) -> Vec<Addr> {
        let Some(connection) = self.connection(id) else { return Vec::new() };
        let mut addrs: Vec<_> = connection.addr.filter(|_| connection.dialled).into_iter().collect();
        addrs.extend(connection.listens);
        addrs.truncate(limits::MAX_ADDRS);
        addrs
    }

    /// The one connected peer that is called like this on the screen.
    pub(crate) fn connected_as(&self, shown: &str) -> Option<PeerId> {
        let mut called = self.peer.connections().into_iter().filter(|connection| {
            self.state.shown_name(connection.peer_id, connection.name.as_deref()) == shown
        });
        called.next().filter(|_| called.next().is_none()).map(|connection| connection.peer_id)
    }

    async fn dial(&self, typed: &str, target: &Target) -> Outcome<PeerId> {
        let Some(addr) = &target.typed else { return self.connect(typed, target).await };
        // One at a time: who comes second finds the key that the first one learnt.
        let first_contact = self.state.first_contact(addr);
        let _alone = first_contact.lock().await;
        let id = self.state.store.pin(&addr.to_string())?;
        let id = self.connect(typed, &Target { id, ..target.clone() }).await?;
        self.state.store.set_pin(&addr.to_string(), id)?;
        Ok(id)
    }

    async fn connect(&self, typed: &str, target: &Target) -> Outcome<PeerId> {
        let connected = match (target.id, &target.typed) {
            (Some(id), _) => {
                self.peer.connect(self.with_near(PeerAddr { id, addrs: target.addrs.clone() })).await
            }
            (None, Some(addr)) => self.peer.connect(addr.clone()).await,
            (None, None) => return Err(CommandError::usage(format!("{typed:?} names nobody"))),
        };
        let who = target::brief(typed);
        let known = self.state.store.peers().unwrap_or_default();
        let names: Vec<_> = known.iter().filter_map(|known| known.petname.as_deref()).collect();
        let meant = target::meant(typed, names).filter(|_| target.typed.is_some());
        let blamed =
            |error| match (blame::connect(&who, target.typed.is_some(), &error), self.connected_as(typed)) {
                // A nickname is a claim and stands for nobody; who meant it should learn how to name that peer.
                (blamed, Some(id)) if target.typed.is_some() => blamed.hint(format!(
                    "a peer that calls itself {typed} is connected; to name it, type: compeer pair {id}"
                )),
                (blamed, _) => match meant {
                    Some(meant) if blamed.exit == Exit::Unreachable => {
                        blamed.hint(format!("did you mean {meant}? `compeer peers` lists the peers"))
                    }
                    _ => blamed,
                },
            };
        Ok(connected.map_err(blamed)?.peer_id())
    }
}
