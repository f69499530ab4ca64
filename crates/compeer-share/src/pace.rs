//! How fast content is given away, and to whom in turn.
//!
//! A rate is kept by waiting before each piece of at most 64 KiB. Pieces are granted in order of asking, and
//! each peer may ask for one at a time, so that one with eight streams gets no more than one with two.
//! Without a rate nobody waits, and TCP divides the line.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use compeer::PeerId;
use tokio::time::Instant;

/// Bytes that are granted at a time at least.
const LEAST: usize = 256;

/// A rate shared by all who fetch.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Bytes a second.
    rate: u64,
    /// When the line is free again. Locked while one waits for it: the queue of those whose turn comes later.
    free: tokio::sync::Mutex<Option<Instant>>,
    peers: Mutex<BTreeMap<PeerId, Weak<tokio::sync::Mutex<()>>>>,
}

/// One peer's place in the queue; all its streams share it.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pace: Arc<Pace>,
    one_at_a_time: Arc<tokio::sync::Mutex<()>>,
}

impl Pace {
    /// At most `rate` bytes a second; at least 1.
    pub(crate) fn new(rate: u64) -> Arc<Self> {
        let (free, peers) = Default::default();
        Arc::new(Pace { rate: rate.max(1), free, peers })
    }

    /// The place of a peer.
    pub(crate) fn turn(self: &Arc<Self>, peer: PeerId) -> Turn {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|_, turn| turn.strong_count() > 0);
        let one_at_a_time = peers.get(&peer).and_then(Weak::upgrade).unwrap_or_default();
        peers.insert(peer, Arc::downgrade(&one_at_a_time));
        Turn { pace: self.clone(), one_at_a_time }
    }
}

impl Turn {
    /// How much to ask for at a time: a quarter of a second of the whole rate.
    pub(crate) fn piece(&self) -> usize {
        usize::try_from(self.pace.rate / 4).unwrap_or(usize::MAX).max(LEAST)
    }

    /// Waits until `bytes` more may be sent.
    pub(crate) async fn wait(&self, bytes: usize) {
        let _mine = self.one_at_a_time.lock().await;
        let mut free = self.pace.free.lock().await;
        let now = Instant::now();
        let begin = free.map_or(now, |free| free.max(now));
        tokio::time::sleep_until(begin).await;
        *free = Some(begin + Duration::from_nanos(bytes as u64 * 1_000_000_000 / self.pace.rate));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use compeer::Identity;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn peer(seed: u8) -> PeerId {
        Identity::from_seed(&[seed; 32]).peer_id()
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_kept_and_peers_get_the_same_however_many_streams() {
        let pace = Pace::new(1_000_000);
        let sent = [1, 2].map(|seed| (peer(seed), Arc::new(AtomicU64::new(0))));
        // Eight streams for the one, one for the other.
        for (streams, (peer, sent)) in [8, 1].into_iter().zip(&sent) {
            for _ in 0..streams {
                let (turn, sent) = (pace.turn(*peer), sent.clone());
                tokio::spawn(async move {
                    loop {
                        turn.wait(10_000).await;
                        sent.fetch_add(10_000, Ordering::Relaxed);
                    }
                });
            }
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        let [a, b] = [&sent[0].1, &sent[1].1].map(|sent| sent.load(Ordering::Relaxed));
        assert!((9_900_000..=10_100_000).contains(&(a + b)), "{a} + {b}");
        assert!(a.abs_diff(b) <= 20_000, "{a} and {b}");
    }
}
