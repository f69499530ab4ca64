//! Routers: who is the next hop towards a peer.
//!
//! The router is asked for every destination that is not connected. It names
//! the next hop, which need not be the destination: what lies between will be
//! crossed by circuits (DESIGN §4.8). Until those exist, a next hop that is not
//! the destination makes the request *unroutable*; the trait is fit for them.
//! The original asked its router the same question with the same answer: a
//! peer and where it is, or nothing.

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
pub trait Router: Send + Sync + 'static {
    /// The next hop towards `to`, which may carry addresses the caller knows;
    /// `None` when there is no way.
    fn next_hop<'a>(&'a self, peer: &'a Peer, to: &'a PeerAddr) -> BoxFuture<'a, Option<Hop>>;
}

impl<F, Fut> Router for F
where
    F: Fn(Peer, PeerAddr) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Option<Hop>> + Send + 'static,
{
    fn next_hop<'a>(&'a self, peer: &'a Peer, to: &'a PeerAddr) -> BoxFuture<'a, Option<Hop>> {
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
    fn next_hop<'a>(&'a self, peer: &'a Peer, to: &'a PeerAddr) -> BoxFuture<'a, Option<Hop>> {
        Box::pin(async move {
            let mut addrs = to.addrs.clone();
            let known = peer.table().get(to.id).into_iter().chain(peer.kept(to.id));
            for addr in known.flat_map(|known| known.addrs) {
                if !addrs.contains(&addr) {
                    addrs.push(addr);
                }
            }
            Some(Hop { peer: to.id, addrs })
        })
    }
}
