//! Stabilizers: what a peer does now and then.
//!
//! A stabilizer runs at once, then again after every interval, give or take a
//! quarter so that peers started together drift apart. A run that fails or
//! panics is told as an [`Event`](crate::Event) and the next one still comes.
//! Runs of one stabilizer never overlap.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};

use compeer_proto::PeerId;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};

use crate::error::Failure;
use crate::{Peer, limits, lock};

/// What is done now and then. Any
/// `Fn(Peer) -> impl Future<Output = Result<(), Failure>>` is one.
pub trait Stabilizer: Send + Sync + 'static {
    /// One run.
    fn run(&self, peer: Peer) -> BoxFuture<'static, Result<(), Failure>>;
}

impl<F, Fut> Stabilizer for F
where
    F: Fn(Peer) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    fn run(&self, peer: Peer) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(self(peer))
    }
}

/// A stabilizer that measures the round trip to every peer of the table and
/// removes one that did not answer `misses` times in a row (at least 1): a peer
/// that is not connected is called for it.
/// [`LIVE_CHECKS`](crate::limits::LIVE_CHECKS) are asked at a time.
///
/// ```
/// use std::time::Duration;
/// use compeer::{Peer, check_live_peers};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let peer = Peer::builder().stabilize(Duration::from_secs(30), check_live_peers(3)).spawn().await?;
/// # peer.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub fn check_live_peers(misses: u32) -> impl Stabilizer {
    let missed: Arc<Mutex<BTreeMap<PeerId, u32>>> = Arc::default();
    move |peer: Peer| {
        let missed = missed.clone();
        async move {
            let ids = peer.table().ids();
            lock(&missed).retain(|id, _| ids.contains(id));
            let (peer, missed) = (&peer, &missed);
            let check = |id| async move {
                let alive = peer.ping(id).await.is_ok();
                let mut missed = lock(missed);
                let count = missed.entry(id).or_insert(0);
                *count = if alive { 0 } else { *count + 1 };
                if *count >= misses.max(1) {
                    peer.table().remove(id);
                }
                if alive || *count >= misses.max(1) {
                    missed.remove(&id);
                }
            };
            stream::iter(ids).for_each_concurrent(limits::LIVE_CHECKS, check).await;
            Ok(())
        }
    }
}
