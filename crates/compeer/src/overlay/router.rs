//! The router of the overlay: to a peer of which only the id is known.
//!
//! Whose address is given, in the table or kept is called there, as [`Direct`] does; for any other peer the overlay is
//! asked, and so it is for one that has moved. Questions of the overlay itself do not come by here.

use compeer_proto::PeerAddr;
use futures_util::future::BoxFuture;

use crate::{Asked, Direct, Hop, Peer, Router};

/// Goes straight to whoever's address is known, and has the overlay find the others.
///
/// ```
/// use compeer::{Kademlia, Peer};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let peer = Peer::builder().listen("127.0.0.1:0").overlay().router(Kademlia).spawn().await?;
/// # peer.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Kademlia;

impl Router for Kademlia {
    fn next_hop<'a>(
        &'a self,
        peer: &'a Peer,
        to: &'a PeerAddr,
        asked: &'a Asked,
    ) -> BoxFuture<'a, Option<Hop>> {
        Box::pin(async move {
            let mut hop = Direct.next_hop(peer, to, asked).await?;
            hop.addrs.retain(|addr| !asked.tried.contains(addr));
            if !hop.addrs.is_empty() && !asked.without.contains(&to.id) {
                return Some(hop);
            }
            if asked.from.is_some() {
                // For others we carry to those whom we know, and look nobody up.
                return None;
            }
            peer.overlay()?.way(to.id, asked).await
        })
    }
}
