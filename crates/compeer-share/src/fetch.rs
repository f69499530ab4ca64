//! Fetching: a share to files, from whoever has it.
//!
//! In two steps, so that a program can ask its user in between: [`Shares::look`](crate::Shares::look) connects with a provider,
//! proves that we hold the ticket and brings the manifest; the [`Look`] tells what there is, what of it is chosen and
//! what stands in the way at the target; then [`Look::fetch`] begins. From then on tasks of their own fetch from all
//! providers at once (`fetch/sources.rs`, `fetch/lane.rs`), as the plan says; the [`Fetch`] tells how it goes. Dropping it
//! stops it; what has arrived stays, and the same fetch begun again goes on there. What is not hashed yet at its sender
//! is fetched in two parts, the draft and then what it has become (`fetch/draft.rs`).

mod draft;
mod error;
mod job;
mod lane;
mod look;
mod opened;
mod resume;
mod sink;
mod sources;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use compeer::{PeerId, ShareTicket};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use crate::holding::Holding;
use crate::staging::Placement;
use crate::transfers::Directory;
pub use error::FetchError;
use job::Job;
use lane::Lane;
pub use look::Look;
use opened::Opened;
use sink::Sink;

/// Something worth telling that happened during a fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
#[non_exhaustive]
pub enum FetchEvent {
    /// A provider gives.
    Source {
        /// Who.
        peer: PeerId,
    },
    /// A provider is gone; it is called again.
    Lost {
        /// Who.
        peer: PeerId,
        /// Why.
        why: String,
    },
    /// A provider does not know the share, or not for us.
    Refused {
        /// Who.
        peer: PeerId,
    },
    /// A provider sent what is not the content; nothing of it was written, and nothing more is asked of it.
    Liar {
        /// Who.
        peer: PeerId,
    },
    /// A file was changed at a provider since it was shared.
    Changed {
        /// At whom.
        peer: PeerId,
        /// Which, as in the manifest. Escape it when shown.
        path: String,
    },
}

/// How far a fetch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Bytes of content that are here, those of earlier runs included.
    pub done: u64,
    /// Bytes that were selected.
    pub total: u64,
    /// Bytes of content received in this run, those that came in vain included.
    pub received: u64,
    /// Bytes asked for and not here: what `kill -9` can cost at most.
    pub window: u64,
    /// Providers that are connected.
    pub sources: usize,
    /// While no provider is connected: how long one is still waited for.
    #[serde(default)]
    pub waits: Option<Duration>,
    /// While all is here and only waits for the sender to hash it: bytes of the whole share that are hashed, and all.
    #[serde(default)]
    pub hashed: Option<(u64, u64)>,
}

/// What a fetch gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// The files and folders that are new, at the top of the target.
    pub placed: Vec<PathBuf>,
    /// Bytes of content.
    pub bytes: u64,
    /// Bytes received in this run.
    pub received: u64,
    /// Files that were there already, equal.
    pub equal: usize,
    /// How long it took.
    pub took: Duration,
    /// Who gave.
    pub sources: Vec<PeerId>,
}

/// A fetch under way. Dropped, it stops.
pub struct Fetch {
    id: Option<String>,
    /// What runs now; `None`: nothing is to run any more.
    current: Arc<Mutex<Option<Arc<Job>>>>,
    outcome: watch::Receiver<Option<Result<Fetched, FetchError>>>,
    events: mpsc::Receiver<FetchEvent>,
    total: u64,
}

impl Fetch {
    /// Its id among the transfers; `None` when it goes to a stream and leaves nothing.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// How far it is.
    pub fn snapshot(&self) -> Snapshot {
        let Some(job) = job::lock(&self.current).clone() else { return Snapshot::default() };
        let waits = job.manifest.is_draft() && job.is_over();
        Snapshot {
            done: job.done.load(Ordering::Relaxed),
            total: self.total,
            received: job.received.load(Ordering::Relaxed),
            window: job.window(),
            sources: job.connected.load(Ordering::Relaxed),
            waits: job.waits(),
            hashed: waits.then(|| (job.hashed.load(Ordering::Relaxed), job.manifest.total())),
        }
    }

    /// Counts what comes, as `received` of a snapshot does, to the end and after it.
    pub(crate) fn received(&self) -> Arc<AtomicU64> {
        job::lock(&self.current).as_ref().map(|job| job.received.clone()).unwrap_or_default()
    }

    /// The next thing that happens; `None` when it has ended. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<FetchEvent> {
        tokio::select! {
            biased;
            event = self.events.recv() => event,
            _ = self.outcome.wait_for(Option::is_some) => self.events.try_recv().ok(),
        }
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn done(mut self) -> Result<Fetched, FetchError> {
        match self.outcome.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            _ => Err(FetchError::Disk("the fetch ended in a panic, which is a defect".into())),
        }
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        if let Some(job) = job::lock(&self.current).take() {
            job.fail(FetchError::Unread);
        }
    }
}

/// What runs a fetch to its end.
struct Run {
    job: Arc<Job>,
    place: Option<(Placement, Directory)>,
    holding: Option<Arc<Holding>>,
    equal: usize,
    total: u64,
    selected: Vec<usize>,
    began: Instant,
}

impl Run {
    async fn through(mut self, ticket: ShareTicket, opened: Vec<Opened>) -> Result<Fetched, FetchError> {
        let fetched = sources::run(&self.job, &ticket, opened).await;
        let finished = match fetched {
            Ok(lanes) => self.finish(lanes).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &finished {
            self.job.fail(error.clone());
            self.keep().await;
        }
        if let Some(holding) = self.holding.take() {
            let stays = finished.is_ok() && self.selected.len() == holding.manifest.entries().len();
            if !stays {
                self.job.shares.holdings.remove(&holding);
            }
        }
        finished
    }

    /// Everything has arrived: put it where it belongs, then thank the providers.
    async fn finish(&mut self, lanes: Vec<Lane>) -> Result<Fetched, FetchError> {
        let job = self.job.clone();
        let placed = match self.place.take() {
            None => Vec::new(),
            Some((placement, directory)) => {
                let holding = self.holding.clone();
                let work = tokio::task::spawn_blocking(move || {
                    let Sink::Disk(disk) = &job.sink else { return Ok(Vec::new()) };
                    let placed = disk.staging.place(&job.manifest, &placement)?;
                    if let Some(holding) = holding {
                        holding.placed(&placement);
                    }
                    // What is left in the home is of no use any more; if it stays, it is listed.
                    let _ = directory.remove();
                    Ok::<_, FetchError>(placed)
                });
                work.await.map_err(|panic| FetchError::Disk(panic.to_string()))??
            }
        };
        let mut farewells = tokio::task::JoinSet::new();
        for lane in lanes {
            farewells.spawn(lane.farewell());
        }
        while farewells.join_next().await.is_some() {}
        Ok(Fetched {
            placed,
            bytes: self.total,
            received: self.job.received.load(Ordering::Relaxed),
            equal: self.equal,
            took: self.began.elapsed(),
            sources: self.job.gave(),
        })
    }

    /// It failed: what has arrived is made to last.
    async fn keep(&self) {
        let job = self.job.clone();
        let work = tokio::task::spawn_blocking(move || {
            if let Sink::Disk(disk) = &job.sink
                && let Err(error) = disk.checkpoint()
            {
                tracing::warn!(%error, "what has arrived could not be synced");
            }
        });
        let _ = work.await;
    }
}
