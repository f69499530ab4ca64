//! A look at a share: the list of files is here, nothing is fetched yet.
//!
//! What is to be fetched is chosen here, and compared with what is at the target. Beginning is preparing the transfer
//! (`fetch/resume.rs`), the plan of what is missing and the sink, and handing them to the tasks that fetch. The list may be
//! a draft (`fetch/draft.rs`); when the sender has hashed the files by now, the look is at what the draft has become.

use std::fs::File;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use compeer::{PeerAddr, PeerId, ShareTicket};
use tokio::sync::{broadcast, mpsc, watch};

use super::job::{self, Job};
use super::opened::{NoWelcome, Opened};
use super::resume;
use super::sink::{Disk, InOrder, Sink};
use super::{Fetch, FetchError, FetchEvent, Run, draft};
use crate::ContentId;
use crate::globs::Globs;
use crate::holding::{Access, Files, Holding};
use crate::journal::Journal;
use crate::layout::{Layout, SEGMENT};
use crate::limits;
use crate::manifest::{Entry, Manifest};
use crate::plan::Plan;
use crate::ranges::RangeSet;
use crate::shares::Inner;
use crate::staging::{Existing, Placement, Staging, Survey, Target};
use crate::transfers::{Directory, Record};

/// A share that was looked at.
pub struct Look {
    pub(super) inner: Arc<Inner>,
    pub(super) ticket: ShareTicket,
    pub(super) manifest: Arc<Manifest>,
    bytes: Bytes,
    layout: Arc<Layout>,
    pub(super) opened: Vec<Opened>,
    /// Bytes of lists that came, those that came in vain included.
    come: Arc<AtomicU64>,
    selected: Vec<usize>,
    /// The draft that it began with, or is.
    pub(crate) began: Option<ContentId>,
    /// That draft, if we came by it and it has become this.
    draft: Option<(ShareTicket, Bytes)>,
    code: String,
}

impl Look {
    /// Looks at what the ticket names, or at what that has become by now if it is a draft.
    pub(crate) async fn through(
        inner: Arc<Inner>,
        ticket: ShareTicket,
        come: Arc<AtomicU64>,
    ) -> Result<Look, FetchError> {
        let mut look = Look::at(inner, ticket, come).await?;
        let Some(opened) = look.opened.first_mut().filter(|_| look.manifest.is_draft()) else {
            return Ok(look);
        };
        match opened.becomes(false).await {
            Ok(told) => match draft::told(&told, opened.peer, &look.manifest)? {
                Some(content) => look.completed(content).await,
                None => Ok(look),
            },
            // It is asked again in the end.
            Err(_) => Ok(Look { opened: Vec::new(), ..look }),
        }
    }

    /// Connects with whoever of the ticket answers first and fetches the manifest.
    async fn at(inner: Arc<Inner>, ticket: ShareTicket, come: Arc<AtomicU64>) -> Result<Look, FetchError> {
        let mut calls = tokio::task::JoinSet::new();
        for at in &ticket.peers {
            let (inner, ticket, at, come) = (inner.clone(), ticket.clone(), at.clone(), come.clone());
            calls.spawn(async move {
                let record = inner.own_record(ContentId::from_bytes(ticket.root));
                let peer = at.id;
                let opened = Opened::open(&inner.peer, at, &ticket, record, true).await;
                let read = async {
                    let mut opened = opened?;
                    let bytes = opened.manifest(&come).await;
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
                        Ok(look) => return Ok(Look { come, ..look }),
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
        bytes: impl Into<Bytes>,
        opened: Option<Opened>,
    ) -> Result<Look, FetchError> {
        let bytes = bytes.into();
        let peer = opened.as_ref().map_or(inner.peer.id(), |opened| opened.peer);
        let wrong = |why: String| FetchError::Manifest { peer, why };
        if *ContentId::of(&bytes).as_bytes() != ticket.root {
            return Err(wrong("its hash is another".into()));
        }
        let manifest = Manifest::decode(&bytes).map_err(|error| wrong(error.to_string()))?;
        let layout = Arc::new(Layout::new(manifest.entries().iter().map(|entry| entry.size)));
        let selected = (0..manifest.entries().len()).collect();
        let began = manifest.is_draft().then_some(ContentId::from_bytes(ticket.root));
        Ok(Look {
            inner,
            ticket,
            manifest: Arc::new(manifest),
            bytes,
            layout,
            opened: opened.into_iter().collect(),
            come: Arc::default(),
            selected,
            began,
            draft: None,
            code: String::new(),
        })
    }

    /// Whether the sender has not hashed the files yet. They can be fetched all the same; they get their names when it
    /// has.
    pub fn is_draft(&self) -> bool {
        self.manifest.is_draft()
    }

    /// Waits until the sender has hashed the files, if it has not: the look is then at the content itself, of which every
    /// byte is verified as it comes. `hashed` says meanwhile how many bytes are.
    ///
    /// # Errors
    /// The sender is gone, cannot hash them, or does not get on.
    pub async fn settled(self, hashed: &AtomicU64) -> Result<Look, FetchError> {
        if !self.is_draft() {
            return Ok(self);
        }
        let (content, _open) =
            draft::content(&self.inner, &self.ticket, &self.manifest, hashed, Vec::new()).await?;
        self.completed(content).await
    }

    /// Looks at what this draft has become.
    pub(super) async fn completed(self, content: ContentId) -> Result<Look, FetchError> {
        let ticket = ShareTicket { root: *content.as_bytes(), ..self.ticket.clone() };
        let until = Instant::now() + limits::PATIENCE;
        let mut pause = draft::AGAIN_FIRST;
        let look = loop {
            match Look::at(self.inner.clone(), ticket.clone(), self.come.clone()).await {
                // It has too much to do, or the line was lost for a moment.
                Err(FetchError::Nobody(_)) if Instant::now() + pause < until => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(draft::AGAIN_MOST);
                }
                look => break look?,
            }
        };
        if !look.manifest.completes(&self.manifest) {
            let peer = look.provider().unwrap_or(look.inner.peer.id());
            return Err(FetchError::Manifest { peer, why: "it was another one before".into() });
        }
        let draft = Some((self.ticket, self.bytes));
        // The stream of the draft is open until here, so that the sender does not see us leave.
        drop(self.opened);
        Ok(Look { selected: self.selected, began: self.began, code: self.code, draft, ..look })
    }

    /// The draft that this has become of, if a transfer of that is to be gone on with.
    fn going_on(self, target: &Target) -> Result<Look, FetchError> {
        match self.draft.clone().filter(|_| self.directory(target).is_draft()) {
            None => Ok(self),
            Some((ticket, bytes)) => {
                let draft = Look::with(self.inner, ticket, bytes, None)?;
                Ok(Look { selected: self.selected, code: self.code, ..draft })
            }
        }
    }

    /// What a transfer of this draft has become.
    fn kept(self, directory: &Directory) -> Result<Look, FetchError> {
        let (record, ticket) = directory.record()?;
        let look = Look::with(self.inner, ticket, directory.manifest(record.draft)?, None)?;
        Ok(Look { selected: self.selected, began: self.began, code: self.code, ..look })
    }

    /// Where its transfer is kept.
    fn directory(&self, target: &Target) -> Directory {
        let (transfers, all) = (self.inner.store.transfers(), self.manifest.entries().len());
        let directory = Directory::of(&transfers, self.named(), target, &self.selected, all);
        if self.began.is_some() || directory.record().is_ok() {
            return directory;
        }
        let begun = Directory::begun_with_draft(&transfers, self.content(), target, &self.selected, all);
        begun.unwrap_or(directory)
    }

    /// What the share consists of.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The id of the content; that of the draft while it is one.
    pub fn content(&self) -> ContentId {
        ContentId::from_bytes(self.ticket.root)
    }

    /// What the ticket named: the content, or the draft that it was.
    pub fn named(&self) -> ContentId {
        self.began.unwrap_or(self.content())
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

    /// Notes the code that led here, for [`Shares::begun_by`](crate::Shares::begun_by).
    pub fn found_by(&mut self, code: impl Into<String>) {
        self.code = code.into();
    }

    /// One more place to fetch from, asked before those of the ticket.
    pub fn add_provider(&mut self, place: PeerAddr) {
        let mut peers = std::mem::take(&mut self.ticket.peers);
        peers.retain(|peer| peer.id != place.id);
        peers.insert(0, place);
        self.ticket = ShareTicket::new(peers, self.ticket.root, self.ticket.secret);
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
    /// Not exactly one file is chosen; or this is a draft: see [`settled`](Self::settled).
    pub fn stream(self) -> Result<(Fetch, mpsc::Receiver<Bytes>), FetchError> {
        if self.is_draft() {
            return Err(FetchError::Draft);
        }
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
        let mut look = self.going_on(&target)?;
        let directory = look.directory(&target);
        let ready = loop {
            let record = look.record(target.clone());
            match resume::ready(&directory, &record, &look.bytes, &look.manifest, &look.layout)? {
                Some(ready) => break ready,
                None => look = look.kept(&directory)?,
            }
        };
        let done = look.bytes() - look.lengths(&look.wanted(&placement).difference(&ready.have));
        if let Err(error) = ready.staging.prepare(&look.manifest, &look.selected, look.bytes() - done) {
            if ready.have.is_empty() {
                // It has not begun, so nothing of it stays.
                ready.staging.discard()?;
                directory.remove()?;
            }
            return Err(error.into());
        }
        let hashes = (ready.pack, ready.journal);
        let prepared = look.prepared(placement, directory, Arc::new(ready.staging), hashes, ready.have);
        Ok((look, prepared))
    }

    /// What is kept of it.
    fn record(&self, target: Target) -> Record {
        let whole = self.selected.len() == self.manifest.entries().len();
        Record {
            ticket: self.ticket.to_string(),
            title: self.manifest.title(),
            bytes: self.bytes(),
            dir: target.dir,
            file_name: target.file_name,
            device: None,
            selected: if whole { Vec::new() } else { self.selected.clone() },
            draft: self.is_draft(),
            began: self.began,
            code: self.code.clone(),
        }
    }

    /// The chosen files that are not at the target already.
    pub(super) fn wanted(&self, placement: &Placement) -> RangeSet {
        let set = |files: &mut dyn Iterator<Item = usize>| {
            files.fold(RangeSet::new(), |mut set, file| {
                set.insert(self.layout.file(file));
                set
            })
        };
        set(&mut self.selected.iter().copied()).difference(&set(&mut placement.skipped()))
    }

    fn lengths(&self, ranges: &RangeSet) -> u64 {
        ranges.iter().map(|range| self.layout.byte_len(&range)).sum()
    }

    /// What fetches into this staging directory, of which so much is there already.
    pub(super) fn prepared(
        &self,
        placement: Placement,
        directory: Directory,
        staging: Arc<Staging>,
        (pack, journal): (Arc<File>, Journal),
        have: RangeSet,
    ) -> Prepared {
        let missing = self.wanted(&placement).difference(&have);
        let done = self.bytes() - self.lengths(&missing);
        // What proves nothing is not passed on.
        let holding = (!self.is_draft()).then(|| {
            Arc::new(Holding::new(
                self.content(),
                self.ticket.secret,
                Access::Ticket,
                (self.manifest.clone(), self.bytes.clone()),
                pack.clone(),
                Files::Staged(staging.clone()),
                Some(have),
                None,
                broadcast::Sender::new(1),
            ))
        });
        let (manifest, layout) = (self.manifest.clone(), self.layout.clone());
        let disk = Disk::new(staging, pack, manifest, layout, journal, directory.clone());
        let mut plan = Plan::new(missing);
        if !self.is_draft() {
            plan.begin_at(self.origin());
        }
        Prepared {
            plan,
            sink: Sink::Disk(Box::new(disk)),
            done,
            total: self.bytes(),
            equal: placement.skipped().count(),
            place: Some((placement, directory)),
            holding,
        }
    }

    /// Where in the line to begin: elsewhere than others who fetch the same, so that each soon has what the others
    /// lack. The same each time. A draft begins where its sender begins to hash, and so reads its disk anyway.
    fn origin(&self) -> u64 {
        let mut hasher = blake3::Hasher::new_derive_key("compeer 2026 share origin");
        let hash = hasher.update(self.inner.peer.id().as_bytes()).update(&self.ticket.root).finalize();
        let (random, _) = hash.as_bytes().split_first_chunk().unwrap_or((&[0; 8], &[]));
        u64::from_le_bytes(*random).checked_rem(self.layout.groups()).unwrap_or(0) / SEGMENT * SEGMENT
    }

    fn begin(mut self, prepared: Prepared) -> Fetch {
        let (events, receiver) = mpsc::channel(job::EVENTS);
        let (id, total) =
            (prepared.place.as_ref().map(|(_, directory)| directory.id.clone()), prepared.total);
        let run = self.run(prepared, events.clone());
        let current = Arc::new(Mutex::new(Some(run.job.clone())));
        let (ended, outcome) = watch::channel(None);
        let now = current.clone();
        tokio::spawn(async move {
            let fetched = match self.is_draft() {
                true => draft::fetch(self, run, events, &now, &ended).await,
                false => run.through(self.ticket, std::mem::take(&mut self.opened)).await,
            };
            ended.send_replace(Some(fetched));
        });
        Fetch { id, current, outcome, events: receiver, total }
    }

    /// What runs the fetch.
    pub(super) fn run(&self, prepared: Prepared, events: mpsc::Sender<FetchEvent>) -> Run {
        let Prepared { plan, sink, done, total, equal, place, holding } = prepared;
        let (manifest, layout) = (self.manifest.clone(), self.layout.clone());
        let job = Job::new(self.inner.clone(), manifest, layout, sink, holding.clone(), plan, done, events);
        // What is for some only is not given on; of a transfer gone on with nobody is asked yet.
        let pass_on = !self.opened.is_empty() && self.opened.iter().all(|opened| opened.pass_on);
        if let Some(holding) = holding.as_ref().filter(|_| pass_on) {
            self.inner.holdings.add_fetched(holding.clone());
        }
        let selected = self.selected.clone();
        Run { job, place, holding, equal, total, selected, began: Instant::now() }
    }
}

/// What a fetch needs to begin.
pub(super) struct Prepared {
    plan: Plan,
    sink: Sink,
    done: u64,
    total: u64,
    equal: usize,
    place: Option<(Placement, Directory)>,
    holding: Option<Arc<Holding>>,
}
