//! Routers: who is the next hop towards a peer.
//!
//! The router is asked for every destination that is not connected. It names
//! the next hop, which need not be the destination: a neighbour that is not is
//! asked to carry ([`Carry`](crate::Carry)). A peer that carries asks its own
//! router in turn, and says who asks and who is left out. The original asked its
//! router the same question with the same answer: a peer and where it is, or
//! nothing.

use std::future::Future;

use compeer_proto::{Addr, PeerAddr, PeerId};
use futures_util::future::BoxFuture;

use crate::Peer;

/// Chooses the next hop. Any `Fn(Peer, PeerAddr) -> impl Future<Output = Option<Hop>>`
/// is one.
///
/// ```
/// use compeer::{Hop, Peer, PeerAddr};
///
/// /// Knows the way to everyone in the table, and to nobody else.
/// async fn table_only(peer: Peer, to: PeerAddr) -> Option<Hop> {
///     peer.table().get(to.id).map(Hop::from)
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let peer = Peer::builder().router(table_only).spawn().await?;
/// # peer.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// A router that asks others on its way should ask only those it would name
/// itself without asking: each of its requests comes back to it.
///
/// A function does not hear who asks and who is left out; a type of one's own with
/// this trait does, and can name another way where the first is closed.
pub trait Router: Send + Sync + 'static {
    /// The next hop towards `to`, which may carry addresses the caller knows;
    /// `None` when there is no way. One of those that `asked` leaves out is as
    /// good as none.
    fn next_hop<'a>(
        &'a self,
        peer: &'a Peer,
        to: &'a PeerAddr,
        asked: &'a Asked,
    ) -> BoxFuture<'a, Option<Hop>>;
}

/// What a router should know beside the destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Asked {
    /// The neighbour for whom this peer is to carry; `None`: the way is for this peer itself.
    pub from: Option<PeerId>,
    /// Who is no next hop: those by whom the circuit has come, and those who have refused it
    /// or could not be reached.
    pub without: Vec<PeerId>,
    /// Where the destination itself did not answer: a router that knows other addresses names those, or
    /// another peer.
    pub tried: Vec<Addr>,
}

impl<F, Fut> Router for F
where
    F: Fn(Peer, PeerAddr) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Option<Hop>> + Send + 'static,
{
    fn next_hop<'a>(&'a self, peer: &'a Peer, to: &'a PeerAddr, _: &'a Asked) -> BoxFuture<'a, Option<Hop>> {
        Box::pin(self(peer.clone(), to.clone()))
    }
}

/// A next hop: a peer and where to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The peer to go to next.
    pub peer: PeerId,
    /// Where it is.
    pub addrs: Vec<Addr>,
}

impl From<PeerAddr> for Hop {
    fn from(PeerAddr { id, addrs, .. }: PeerAddr) -> Self {
        Hop { peer: id, addrs }
    }
}

/// The default: straight to the destination, at the addresses the caller gave,
/// then those of the table and of kept peers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Direct;

impl Router for Direct {
    fn next_hop<'a>(&'a self, peer: &'a Peer, to: &'a PeerAddr, _: &'a Asked) -> BoxFuture<'a, Option<Hop>> {
        let mut addrs = to.addrs.clone();
        for addr in peer.0.known_addrs(to.id) {
            if !addrs.contains(&addr) {
                addrs.push(addr);
            }
        }
        Box::pin(std::future::ready(Some(Hop { peer: to.id, addrs })))
    }
}
