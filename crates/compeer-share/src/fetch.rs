//! Fetching: a share to files, from whoever has it.
//!
//! In two steps, so that a program can ask its user in between: [`Shares::look`](crate::Shares::look) connects with a provider,
//! proves that we hold the ticket and brings the manifest; the [`Look`] tells what there is, what of it is chosen and
//! what stands in the way at the target; then [`Look::fetch`] begins. From then on tasks of their own fetch from all
//! providers at once (`fetch/sources.rs`, `fetch/lane.rs`), as the plan says; the [`Fetch`] tells how it goes. Dropping it
//! stops it; what has arrived stays, and the same fetch begun again goes on there.

mod job;
mod lane;
mod opened;
mod resume;
mod sink;
mod sources;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use compeer::{PeerId, ShareTicket};
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, mpsc, watch};

use crate::ContentId;
use crate::globs::Globs;
use crate::holding::{Access, Files, Holding};
use crate::layout::{Layout, SEGMENT};
use crate::limits;
use crate::manifest::{Entry, Manifest};
use crate::plan::Plan;
use crate::ranges::RangeSet;
use crate::shares::Inner;
use crate::staging::{Existing, Placement, StagingError, Survey, Target};
use crate::transfers::{Directory, Record};
use job::Job;
use lane::Lane;
use opened::Opened;
use sink::{Disk, InOrder, Sink};

/// Why a share could not be fetched.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Nobody of the ticket gave it.
    #[error("nobody gives this share: {}", Refusals(.0))]
    Nobody(Vec<(PeerId, String)>),
    /// All who could be reached do not know it, or not for us.
    #[error(
        "the peers of this ticket do not have this share (any more), or not for this peer: ask for a new ticket"
    )]
    Unknown,
    /// A provider broke the protocol before the first byte.
    #[error("{} broke off: {why}", .peer.short())]
    Broken {
        /// Who.
        peer: PeerId,
        /// Why.
        why: String,
    },
    /// The list of files is not what the ticket names, or is none.
    #[error("the list of files that {} sent is not that of the ticket: {why}", .peer.short())]
    Manifest {
        /// Who.
        peer: PeerId,
        /// What is wrong.
        why: String,
    },
    /// No file fits what was asked for.
    #[error("no file of the share fits {0:?}: `--list` shows them")]
    NothingSelected(Vec<String>),
    /// Not a pattern.
    #[error("{0}")]
    Pattern(String),
    /// Nobody is left to fetch from, or nothing came for [`limits::PATIENCE`].
    #[error(
        "nobody is left who has the rest ({missing} bytes and less): {why}; what has arrived is kept, fetch again to go on"
    )]
    NoProvider {
        /// Bytes of the groups that are missing, at most.
        missing: u64,
        /// What the last one said.
        why: String,
    },
    /// All who have the rest sent bytes that are not the content.
    #[error(
        "what the providers sent is not what the ticket names: nothing of it was written; what was right is kept"
    )]
    Lies,
    /// No room.
    #[error("the disk is full: what has arrived is kept; make room and fetch again to go on")]
    DiskFull,
    /// Not enough room to begin with.
    #[error("not enough room: {needed} bytes are needed and {free} are free")]
    NoRoom {
        /// Unit: bytes.
        needed: u64,
        /// Unit: bytes.
        free: u64,
    },
    /// The target is not as it should be.
    #[error(transparent)]
    Target(Arc<StagingError>),
    /// Our disk or home.
    #[error("cannot write here: {0}")]
    Disk(String),
    /// The reader of the stream went away.
    #[error("nobody reads the output any more")]
    Unread,
    /// Only one file can go to a stream.
    #[error("the share has {0} files, and one can be written to a stream: choose one with --only")]
    NotOne(usize),
    /// No transfer has this id.
    #[error("there is no interrupted transfer {0}: `compeer transfers` lists them")]
    NoTransfer(String),
}

struct Refusals<'a>(&'a [(PeerId, String)]);

impl std::fmt::Display for Refusals<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, (peer, why)) in self.0.iter().enumerate() {
            write!(f, "{}{}: {why}", if i == 0 { "" } else { "; " }, peer.short())?;
        }
        Ok(())
    }
}

impl From<StagingError> for FetchError {
    fn from(error: StagingError) -> Self {
        match error {
            StagingError::NoSpace { needed: Some(needed), free } => FetchError::NoRoom { needed, free },
            StagingError::NoSpace { .. } => FetchError::DiskFull,
            error => FetchError::Target(Arc::new(error)),
        }
    }
}

impl From<std::io::Error> for FetchError {
    fn from(error: std::io::Error) -> Self {
        job::failed(error)
    }
}

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

/// A share that was looked at.
pub struct Look {
    inner: Arc<Inner>,
    ticket: ShareTicket,
    manifest: Arc<Manifest>,
    bytes: Bytes,
    layout: Arc<Layout>,
    opened: Vec<Opened>,
    selected: Vec<usize>,
}

impl Look {
    /// Connects with whoever of the ticket answers first and fetches the manifest.
    pub(crate) async fn at(inner: Arc<Inner>, ticket: ShareTicket) -> Result<Look, FetchError> {
        let mut calls = tokio::task::JoinSet::new();
        for at in &ticket.peers {
            let (inner, ticket, at) = (inner.clone(), ticket.clone(), at.clone());
            calls.spawn(async move {
                let record = inner.own_record(ContentId::from_bytes(ticket.root));
                (at.id, Opened::open(&inner.peer, at, &ticket, record, true).await)
            });
        }
        let mut refused = Vec::new();
        while let Some(called) = calls.join_next().await {
            match called {
                Ok((_, Ok(mut opened))) => {
                    let bytes = opened.manifest().await?;
                    return Look::with(inner, ticket, bytes, Some(opened));
                }
                Ok((peer, Err(why))) => refused.push((peer, why)),
                Err(_) => {}
            }
        }
        if !refused.is_empty() && refused.iter().all(|(_, why)| *why == opened::NoWelcome::Unknown) {
            return Err(FetchError::Unknown);
        }
        Err(FetchError::Nobody(refused.into_iter().map(|(peer, why)| (peer, why.words())).collect()))
    }

    /// With a manifest that is at hand.
    pub(crate) fn with(
        inner: Arc<Inner>,
        ticket: ShareTicket,
        bytes: Vec<u8>,
        opened: Option<Opened>,
    ) -> Result<Look, FetchError> {
        let peer = opened.as_ref().map_or(inner.peer.id(), |opened| opened.peer);
        let wrong = |why: String| FetchError::Manifest { peer, why };
        if *ContentId::of(&bytes).as_bytes() != ticket.root {
            return Err(wrong("its hash is another".into()));
        }
        let manifest = Manifest::decode(&bytes).map_err(|error| wrong(error.to_string()))?;
        let layout = Arc::new(Layout::new(manifest.entries().iter().map(|entry| entry.size)));
        let selected = (0..manifest.entries().len()).collect();
        Ok(Look {
            inner,
            ticket,
            manifest: Arc::new(manifest),
            bytes: bytes.into(),
            layout,
            opened: opened.into_iter().collect(),
            selected,
        })
    }

    /// What the share consists of.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The id of the content.
    pub fn content(&self) -> ContentId {
        ContentId::from_bytes(self.ticket.root)
    }

    /// Who gave the manifest.
    pub fn provider(&self) -> Option<PeerId> {
        self.opened.first().map(|opened| opened.peer)
    }

    /// Chooses the files that fit one of these patterns ([`Globs`]), or are in a folder that does. Without patterns: all.
    ///
    /// # Errors
    /// A pattern is none, or no file fits.
    pub fn select(&mut self, only: &[String]) -> Result<(), FetchError> {
        if only.is_empty() {
            return Ok(());
        }
        let globs = Globs::new(only).map_err(|error| FetchError::Pattern(error.to_string()))?;
        let fits = |entry: &Entry| globs.fit(&entry.path);
        let entries = self.manifest.entries();
        self.selected = (0..entries.len()).filter(|file| fits(&entries[*file])).collect();
        match self.selected.is_empty() {
            true => Err(FetchError::NothingSelected(only.to_vec())),
            false => Ok(()),
        }
    }

    /// Chooses files by their places in the manifest.
    pub(crate) fn choose(&mut self, files: Vec<usize>) -> Result<(), FetchError> {
        let all = self.manifest.entries().len();
        self.selected = files.into_iter().filter(|file| *file < all).collect();
        match self.selected.is_empty() {
            true => Err(FetchError::NothingSelected(Vec::new())),
            false => Ok(()),
        }
    }

    /// The chosen files, in the order of the manifest.
    pub fn selected(&self) -> impl Iterator<Item = &Entry> {
        self.selected.iter().map(|file| &self.manifest.entries()[*file])
    }

    /// Bytes of the chosen files.
    pub fn bytes(&self) -> u64 {
        self.selected().map(|entry| entry.size).sum()
    }

    /// Compares the chosen files with what is at the target. Reads files there that have the same size.
    ///
    /// # Errors
    /// The target is no directory, or cannot be read.
    pub async fn survey(&self, target: &Target) -> Result<Survey, FetchError> {
        let (target, manifest, selected) = (target.clone(), self.manifest.clone(), self.selected.clone());
        let survey = tokio::task::spawn_blocking(move || Survey::of(&target, &manifest, &selected)).await;
        Ok(survey.map_err(|panic| FetchError::Disk(panic.to_string()))??)
    }

    /// Begins to fetch to files.
    ///
    /// # Errors
    /// What stands at the target is in the way (as `existing` says), there is not enough room, or another process
    /// fetches the same to the same place.
    pub async fn fetch(
        self,
        target: Target,
        survey: Survey,
        existing: Existing,
    ) -> Result<Fetch, FetchError> {
        let prepared = tokio::task::spawn_blocking(move || self.prepare(target, survey, existing)).await;
        let (look, prepared) = prepared.map_err(|panic| FetchError::Disk(panic.to_string()))??;
        Ok(look.begin(prepared))
    }

    /// Begins to fetch one file to a stream, in order: what is received is verified content.
    ///
    /// # Errors
    /// Not exactly one file is chosen.
    pub fn stream(self) -> Result<(Fetch, mpsc::Receiver<Bytes>), FetchError> {
        let [file] = self.selected[..] else { return Err(FetchError::NotOne(self.selected.len())) };
        let line = self.layout.file(file);
        let (out, reader) = mpsc::channel(limits::IN_ORDER_QUEUE);
        let plan = Plan::in_order(RangeSet::from_range(line.clone()), limits::IN_ORDER_WINDOW);
        let sink = Sink::InOrder(InOrder::new(line.start, out));
        let total = self.bytes();
        let prepared = Prepared { plan, sink, done: 0, total, equal: 0, place: None, holding: None };
        Ok((self.begin(prepared), reader))
    }

    fn prepare(
        self,
        target: Target,
        survey: Survey,
        existing: Existing,
    ) -> Result<(Look, Prepared), FetchError> {
        let placement = survey.decide(existing)?;
        let equal: RangeSet = placement.skipped().fold(RangeSet::new(), |mut set, file| {
            set.insert(self.layout.file(file));
            set
        });
        let mut wanted = RangeSet::new();
        for file in &self.selected {
            wanted.insert(self.layout.file(*file));
        }
        let wanted = wanted.difference(&equal);
        let transfers = self.inner.store.transfers();
        let (content, all) = (self.content(), self.manifest.entries().len());
        let directory = Directory::of(&transfers, content, &target, &self.selected, all);
        let whole = self.selected.len() == all;
        let record = Record {
            ticket: self.ticket.to_string(),
            title: self.manifest.title(),
            bytes: self.bytes(),
            dir: target.dir.clone(),
            file_name: target.file_name.clone(),
            selected: if whole { Vec::new() } else { self.selected.clone() },
        };
        let ready = resume::ready(&directory, &record, &self.bytes, &self.manifest, &self.layout)?;
        let missing = wanted.difference(&ready.have);
        let done: u64 = self.bytes() - missing.iter().map(|range| self.layout.byte_len(&range)).sum::<u64>();
        ready.staging.prepare(&self.manifest, &self.selected, self.bytes() - done)?;
        let staging = Arc::new(ready.staging);
        let holding = Arc::new(Holding::new(
            content,
            self.ticket.secret,
            Access::Ticket,
            (self.manifest.clone(), self.bytes.clone()),
            ready.pack.clone(),
            Files::Staged(staging.clone()),
            Some(ready.have),
            None,
            broadcast::Sender::new(1),
        ));
        let disk = Disk::new(staging, ready.pack, self.manifest.clone(), self.layout.clone(), ready.journal);
        let mut plan = Plan::new(missing);
        plan.begin_at(self.origin());
        let prepared = Prepared {
            plan,
            sink: Sink::Disk(disk),
            done,
            total: self.bytes(),
            equal: placement.skipped().count(),
            place: Some((placement, directory)),
            holding: Some(holding),
        };
        Ok((self, prepared))
    }

    /// Where in the line to begin: elsewhere than others who fetch the same, so that each soon has what the others
    /// lack. The same each time.
    fn origin(&self) -> u64 {
        let mut hasher = blake3::Hasher::new_derive_key("compeer 2026 share origin");
        let hash = hasher.update(self.inner.peer.id().as_bytes()).update(&self.ticket.root).finalize();
        let (random, _) = hash.as_bytes().split_first_chunk().unwrap_or((&[0; 8], &[]));
        u64::from_le_bytes(*random).checked_rem(self.layout.groups()).unwrap_or(0) / SEGMENT * SEGMENT
    }

    fn begin(self, prepared: Prepared) -> Fetch {
        let (events, receiver) = mpsc::channel(job::EVENTS);
        let Prepared { plan, sink, done, total, equal, place, holding } = prepared;
        let job = Job::new(
            self.inner.clone(),
            self.manifest.clone(),
            self.layout.clone(),
            sink,
            holding.clone(),
            plan,
            done,
            events,
        );
        if let Some(holding) = &holding {
            self.inner.holdings.add(holding.clone());
        }
        let run = Run { job: job.clone(), place, holding, equal, total, selected: self.selected };
        let (ended, outcome) = watch::channel(None);
        tokio::spawn(async move {
            ended.send_replace(Some(run.through(self.ticket, self.opened).await));
        });
        Fetch { job, outcome, events: receiver, total }
    }
}

/// What a fetch needs to begin.
struct Prepared {
    plan: Plan,
    sink: Sink,
    done: u64,
    total: u64,
    equal: usize,
    place: Option<(Placement, Directory)>,
    holding: Option<Arc<Holding>>,
}

/// A fetch under way. Dropped, it stops.
pub struct Fetch {
    job: Arc<Job>,
    outcome: watch::Receiver<Option<Result<Fetched, FetchError>>>,
    events: mpsc::Receiver<FetchEvent>,
    total: u64,
}

impl Fetch {
    /// How far it is.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            done: self.job.done.load(Ordering::Relaxed),
            total: self.total,
            received: self.job.received.load(Ordering::Relaxed),
            window: self.job.window(),
            sources: self.job.connected.load(Ordering::Relaxed),
        }
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
        self.job.fail(FetchError::Unread);
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
}

impl Run {
    async fn through(mut self, ticket: ShareTicket, opened: Vec<Opened>) -> Result<Fetched, FetchError> {
        let began = Instant::now();
        let fetched = sources::run(&self.job, &ticket, opened).await;
        let finished = match fetched {
            Ok(lanes) => self.finish(lanes, began).await,
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
    async fn finish(&mut self, lanes: Vec<Lane>, began: Instant) -> Result<Fetched, FetchError> {
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
            took: began.elapsed(),
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
