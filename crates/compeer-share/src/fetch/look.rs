//! A look at a share: the list of files is here, nothing is fetched yet.
//!
//! What is to be fetched is chosen here, and compared with what is at the target. Beginning is preparing the transfer
//! (`fetch/resume.rs`), the plan of what is missing and the sink, and handing them to the tasks that fetch.

use std::sync::Arc;

use bytes::Bytes;
use compeer::{PeerId, ShareTicket};
use tokio::sync::{broadcast, mpsc, watch};

use super::job::{self, Job};
use super::opened::{NoWelcome, Opened};
use super::resume;
use super::sink::{Disk, InOrder, Sink};
use super::{Fetch, FetchError, Run};
use crate::ContentId;
use crate::globs::Globs;
use crate::holding::{Access, Files, Holding};
use crate::layout::{Layout, SEGMENT};
use crate::limits;
use crate::manifest::{Entry, Manifest};
use crate::plan::Plan;
use crate::ranges::RangeSet;
use crate::shares::Inner;
use crate::staging::{Existing, Placement, Survey, Target};
use crate::transfers::{Directory, Record};

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
                let peer = at.id;
                let opened = Opened::open(&inner.peer, at, &ticket, record, true).await;
                let read = async {
                    let mut opened = opened?;
                    let bytes = opened.manifest().await;
                    Ok::<_, NoWelcome>((opened, bytes))
                };
                (peer, read.await)
            });
        }
        let (mut refused, mut failed) = (Vec::new(), None);
        while let Some(called) = calls.join_next().await {
            match called {
                Ok((_, Ok((opened, bytes)))) => {
                    let looked = match bytes {
                        Ok(bytes) => Look::with(inner.clone(), ticket.clone(), bytes, Some(opened)),
                        Err(error) => Err(error),
                    };
                    match looked {
                        Ok(look) => return Ok(look),
                        // Another may do better.
                        Err(error) => failed = Some(error),
                    }
                }
                Ok((peer, Err(why))) => refused.push((peer, why)),
                Err(_) => {}
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if !refused.is_empty() && refused.iter().all(|(_, why)| *why == NoWelcome::Unknown) {
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
    pub fn survey(&self, target: &Target) -> impl Future<Output = Result<Survey, FetchError>> + Send + use<> {
        // It borrows nothing, so that it can be awaited where futures have to be `Send`.
        let (target, manifest, selected) = (target.clone(), self.manifest.clone(), self.selected.clone());
        async move {
            let survey = tokio::task::spawn_blocking(move || Survey::of(&target, &manifest, &selected)).await;
            Ok(survey.map_err(|panic| FetchError::Disk(panic.to_string()))??)
        }
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
            device: None,
            selected: if whole { Vec::new() } else { self.selected.clone() },
        };
        let ready = resume::ready(&directory, &record, &self.bytes, &self.manifest, &self.layout)?;
        let missing = wanted.difference(&ready.have);
        let done: u64 = self.bytes() - missing.iter().map(|range| self.layout.byte_len(&range)).sum::<u64>();
        if let Err(error) = ready.staging.prepare(&self.manifest, &self.selected, self.bytes() - done) {
            if ready.have.is_empty() {
                // It has not begun, so nothing of it stays.
                ready.staging.discard()?;
                directory.remove()?;
            }
            return Err(error.into());
        }
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
        let disk = Disk::new(
            staging,
            ready.pack,
            self.manifest.clone(),
            self.layout.clone(),
            ready.journal,
            directory.clone(),
        );
        let mut plan = Plan::new(missing);
        plan.begin_at(self.origin());
        let prepared = Prepared {
            plan,
            sink: Sink::Disk(Box::new(disk)),
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
        // What is for some only is not given on; of a transfer gone on with nobody is asked yet.
        let pass_on = !self.opened.is_empty() && self.opened.iter().all(|opened| opened.pass_on);
        if let Some(holding) = holding.as_ref().filter(|_| pass_on) {
            self.inner.holdings.add_fetched(holding.clone());
        }
        let id = place.as_ref().map(|(_, directory)| directory.id.clone());
        let run = Run { job: job.clone(), place, holding, equal, total, selected: self.selected };
        let (ended, outcome) = watch::channel(None);
        tokio::spawn(async move {
            ended.send_replace(Some(run.through(self.ticket, self.opened).await));
        });
        Fetch { id, job, outcome, events: receiver, total }
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
