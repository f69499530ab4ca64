//! `Shares`: file sharing on a peer; what a program holds.
//!
//! [`Shares::attach`] registers the stream handler; from then on the peer serves what is offered, and fetches what
//! a ticket names. What is kept lies in the [`Store`]. Several programs' worth of shares need several peers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use compeer::{Identity, Peer, PeerAddr, PeerId, ShareTicket, Stream};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, broadcast, watch};

use crate::ContentId;
use crate::fetch::{FetchError, Look};
use crate::hash::{self, HashError, Progress};
use crate::holding::{Access, EVENTS, Files, Holding, Holdings, ShareEvent};
use crate::limits;
use crate::manifest::{Entry, Manifest, ManifestError};
use crate::pace::Pace;
use crate::providers::{self, Held, Providers};
use crate::record;
use crate::serve;
use crate::store::{Kept, Store, StoreError};
use crate::transfers::Directory;
use crate::walk::{self, WalkError};
use crate::wire;

/// Names a share while it lasts.
pub type ShareId = u64;

/// What is to be shared, and with whom.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// Patterns of what to leave out.
    pub exclude: Vec<String>,
    /// What to call it. Default: after the paths.
    pub name: Option<String>,
    /// Who may have it.
    pub access: Access,
    /// Keep it over restarts, until it is stopped.
    pub keep: bool,
    /// Bytes a second, over all who fetch it; `None`: as fast as it goes.
    pub limit: Option<u64>,
}

/// A share that others can fetch now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareInfo {
    /// Its number here.
    pub id: ShareId,
    /// The id of its content.
    pub content: ContentId,
    /// What it is called.
    pub name: String,
    /// How many files it has.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Who may have it.
    pub access: Access,
    /// Whether it is kept over restarts.
    pub kept: bool,
    /// Whoever has this can fetch it: a secret, unless it is public.
    pub ticket: String,
    /// What was left out, and why; only told when it is offered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
}

/// Why something cannot be shared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// What is to be shared cannot be found or read.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// A file cannot be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The files make no manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The home.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing to share.
    #[error("there is no file in what is to be shared")]
    Empty,
    /// A defect.
    #[error("sharing ended in a panic, which is a defect: {0}")]
    Panicked(String),
}

/// An interrupted or running transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferInfo {
    /// Its id.
    pub id: String,
    /// What is fetched. Escape it when shown.
    pub title: String,
    /// Where to.
    pub dir: PathBuf,
    /// Bytes that were selected.
    pub bytes: u64,
    /// Bytes that are here, as far as the journal says.
    pub done: u64,
    /// Whether it runs in this process now.
    pub running: bool,
}

struct Active {
    info: ShareInfo,
    offer: Offer,
    holding: Arc<Holding>,
    /// Its number in the database.
    kept: Option<u64>,
}

/// What all parts share.
pub(crate) struct Inner {
    pub(crate) peer: Peer,
    pub(crate) identity: Identity,
    pub(crate) store: Store,
    pub(crate) holdings: Holdings,
    /// Streams that are served.
    pub(crate) places: Semaphore,
    active: Mutex<BTreeMap<ShareId, Active>>,
    next: AtomicU64,
    /// Who else provides what is here or is fetched.
    book: Arc<Mutex<Providers>>,
    /// Changes when the book has something new.
    pub(crate) news: watch::Sender<u64>,
}

/// File sharing on a peer. Clones are the same.
#[derive(Clone)]
pub struct Shares(Arc<Inner>);

impl Shares {
    /// Begins to share on this peer. `identity` is the peer's own; it signs that this peer has something.
    pub fn attach(peer: &Peer, identity: Identity, store: Store) -> Shares {
        let inner = Arc::new(Inner {
            peer: peer.clone(),
            identity,
            store,
            holdings: Holdings::default(),
            places: Semaphore::new(limits::MAX_SERVED),
            active: Mutex::default(),
            next: AtomicU64::new(1),
            book: Arc::new(Mutex::new(Providers::new(peer.id()))),
            news: watch::Sender::new(0),
        });
        let serving = Arc::downgrade(&inner);
        let handler = move |stream: Stream| {
            let serving = serving.clone();
            async move {
                let Some(inner) = serving.upgrade() else { return };
                // It waits for disks: on a thread of its own, that is.
                let runtime = tokio::runtime::Handle::current();
                let served =
                    tokio::task::spawn_blocking(move || runtime.block_on(serve::serve(inner, stream)));
                let _ = served.await;
            }
        };
        // The kinds are good ones.
        let _ = peer.handle_stream(wire::STREAM, handler);
        let here: Arc<dyn providers::Holdings> = Arc::new(Here(Arc::downgrade(&inner)));
        let _ = providers::register(peer, inner.identity.clone(), here.clone(), inner.book.clone());
        let exchange = providers::exchange(inner.identity.clone(), here, inner.book.clone());
        peer.stabilize(providers::EXCHANGE, exchange);
        Shares(inner)
    }

    /// Shares files and folders: lists and hashes them, then serves them. Nothing is copied.
    ///
    /// # Errors
    /// See [`OfferError`].
    pub async fn offer(&self, offer: Offer, progress: Arc<Progress>) -> Result<ShareInfo, OfferError> {
        let shares = self.clone();
        // Hashing stops when nobody waits for it any more.
        let _stop = StopOnDrop(progress.clone());
        let work = tokio::task::spawn_blocking(move || shares.offer_now(offer, Before::Nothing, &progress));
        work.await.map_err(|panic| OfferError::Panicked(panic.to_string()))?
    }

    /// Offers again what was kept; what cannot be offered is given with the reason.
    ///
    /// # Errors
    /// The home cannot be read.
    pub async fn restore(&self) -> Result<Vec<(String, OfferError)>, StoreError> {
        let shares = self.clone();
        let work = tokio::task::spawn_blocking(move || {
            let mut failed = Vec::new();
            for kept in shares.0.store.kept_shares()? {
                let offer = Offer {
                    paths: kept.paths.clone(),
                    exclude: kept.exclude.clone(),
                    name: Some(kept.name.clone()),
                    access: serde_json::from_str(&kept.access).unwrap_or_default(),
                    keep: true,
                    limit: kept.limit,
                };
                let name = kept.name.clone();
                if let Err(error) = shares.offer_now(offer, Before::Kept(kept), &Progress::default()) {
                    failed.push((name, error));
                }
            }
            Ok(failed)
        });
        work.await.unwrap_or_else(|panic| Err(std::io::Error::other(panic.to_string()).into()))
    }

    fn offer_now(&self, offer: Offer, before: Before, progress: &Progress) -> Result<ShareInfo, OfferError> {
        let inner = &self.0;
        let walked = walk::walk(&offer.paths, &offer.exclude)?;
        let mut found = walked.files;
        if found.is_empty() {
            return Err(OfferError::Empty);
        }
        found.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        let files: Vec<_> = found.iter().map(|found| (found.file.clone(), found.size)).collect();
        let (pack_id, pack) = inner.store.new_pack()?;
        let hashed = hash::hash(&files, &pack, &inner.store, progress)?;
        let entries = found.into_iter().zip(&hashed).map(|(found, hashed)| Entry {
            path: found.path,
            size: found.size,
            root: hashed.root,
            executable: found.executable,
            modified: hashed.stamp.modified.0,
            modified_nanos: hashed.stamp.modified.1 as u32,
        });
        let manifest = Manifest::new(entries.collect())?;
        let bytes = manifest.encode();
        let (id, secret, kept, events) = match before {
            Before::Nothing => (None, random(), None, broadcast::Sender::new(EVENTS)),
            Before::Kept(kept) => (None, kept.secret, Some(kept.id), broadcast::Sender::new(EVENTS)),
            Before::Active { id, secret, kept, events } => (Some(id), secret, kept, events),
        };
        let content = ContentId::of(&bytes);
        let in_place =
            files.into_iter().zip(&hashed).map(|((path, _), hashed)| (path, hashed.stamp)).collect();
        let holding = Arc::new(Holding::new(
            content,
            secret,
            offer.access.clone(),
            (Arc::new(manifest), bytes.into()),
            Arc::new(pack),
            Files::InPlace(in_place),
            None,
            offer.limit.map(Pace::new),
            events,
        ));
        inner.store.keep_hashes(pack_id, &holding.layout, &hashed)?;
        let name = offer.name.clone().unwrap_or_else(|| holding.manifest.title());
        let row = match kept {
            Some(kept) => Some(kept),
            None if id.is_some() => None,
            None if offer.keep => Some(
                inner.store.keep_share(&Kept {
                    id: 0,
                    name: name.clone(),
                    secret,
                    access: serde_json::to_string(&offer.access).map_err(|e| StoreError::Io(e.into()))?,
                    paths: offer
                        .paths
                        .iter()
                        .map(std::path::absolute)
                        .collect::<Result<_, _>>()
                        .map_err(StoreError::Io)?,
                    exclude: offer.exclude.clone(),
                    limit: offer.limit,
                })?,
            ),
            None => None,
        };
        let id = id.unwrap_or_else(|| inner.next.fetch_add(1, Ordering::Relaxed));
        let info = ShareInfo {
            id,
            content,
            name,
            files: holding.manifest.entries().len() as u64,
            bytes: holding.manifest.total(),
            access: offer.access.clone(),
            kept: row.is_some(),
            ticket: ShareTicket::new([inner.peer.addr()], *content.as_bytes(), secret).to_string(),
            skipped: walked.skipped.iter().map(ToString::to_string).collect(),
        };
        inner.holdings.add(holding.clone());
        let shown = ShareInfo { skipped: Vec::new(), ..info.clone() };
        let before = self.active().insert(id, Active { info: shown, offer, holding, kept: row });
        if let Some(before) = before {
            inner.holdings.remove(&before.holding);
        }
        Ok(info)
    }

    /// Lists and hashes a share anew: what it is now gets a ticket of its own, what it was is given away no more.
    fn renew(&self, holding: &Arc<Holding>) {
        let found = self.active().iter().find(|(_, active)| Arc::ptr_eq(&active.holding, holding)).map(
            |(id, active)| {
                let (secret, events) = (holding.secret, holding.events.clone());
                (active.offer.clone(), Before::Active { id: *id, secret, kept: active.kept, events })
            },
        );
        let Some((offer, before)) = found else { return };
        let events = holding.events.clone();
        let told = match self.offer_now(offer, before, &Progress::default()) {
            Ok(info) => ShareEvent::Renewed { ticket: info.ticket },
            Err(error) => {
                // Perhaps it is still being written to: the next who fetches may find it at rest.
                holding.stale.store(false, Ordering::Relaxed);
                ShareEvent::NotRenewed { why: error.to_string() }
            }
        };
        // Nobody may listen.
        let _ = events.send(told);
    }

    /// The shares, oldest first.
    pub fn shares(&self) -> Vec<ShareInfo> {
        self.active().values().map(|active| active.info.clone()).collect()
    }

    /// What happens to a share from now on; ends with it.
    pub fn events(&self, id: ShareId) -> Option<broadcast::Receiver<ShareEvent>> {
        self.active().get(&id).map(|active| active.holding.events.subscribe())
    }

    /// Ends a share: who fetches it is cut off. Whether there was one.
    ///
    /// # Errors
    /// It is kept, and the home cannot be written.
    pub fn stop(&self, id: ShareId) -> Result<bool, StoreError> {
        let Some(active) = self.active().remove(&id) else { return Ok(false) };
        self.0.holdings.remove(&active.holding);
        if let Some(row) = active.kept {
            self.0.store.forget_share(row)?;
        }
        Ok(true)
    }

    /// Connects with a provider of the ticket and brings the list of files.
    ///
    /// # Errors
    /// Nobody of the ticket can be reached, or gives it.
    pub async fn look(&self, ticket: &ShareTicket) -> Result<Look, FetchError> {
        Look::at(self.0.clone(), ticket.clone()).await
    }

    /// Interrupted and running transfers.
    pub fn transfers(&self) -> Vec<TransferInfo> {
        let all = Directory::all(&self.0.store.transfers());
        all.into_iter().filter_map(|directory| directory.info()).collect()
    }

    /// An interrupted transfer, ready to go on: the list of files is at hand, nobody need be asked for it. Gives where
    /// it goes to as well.
    ///
    /// # Errors
    /// There is none of this id, or its directory cannot be read.
    pub fn resume(&self, id: &str) -> Result<(Look, crate::staging::Target), FetchError> {
        let directory = Directory::named(&self.0.store.transfers(), id);
        let directory = directory.ok_or_else(|| FetchError::NoTransfer(id.into()))?;
        let (record, ticket) = directory.record()?;
        let mut look = Look::with(self.0.clone(), ticket, directory.manifest()?, None)?;
        if !record.selected.is_empty() {
            look.choose(record.selected)?;
        }
        Ok((look, crate::staging::Target { dir: record.dir, file_name: record.file_name }))
    }

    /// Throws away what an interrupted transfer has fetched so far. Whether there was one.
    ///
    /// # Errors
    /// It is running, or cannot be removed.
    pub fn discard(&self, id: &str) -> Result<bool, FetchError> {
        let Some(directory) = Directory::named(&self.0.store.transfers(), id) else { return Ok(false) };
        let (record, _) = directory.record()?;
        if let Some(staging) = crate::staging::Staging::open(&record.dir, id)? {
            staging.discard()?;
        }
        directory.remove()?;
        Ok(true)
    }

    fn active(&self) -> std::sync::MutexGuard<'_, BTreeMap<ShareId, Active>> {
        self.0.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct StopOnDrop(Arc<Progress>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// What there was of a share before it is offered.
enum Before {
    Nothing,
    /// It was kept over a restart.
    Kept(Kept),
    /// It is here, and a file of it has changed.
    Active {
        id: ShareId,
        secret: [u8; 16],
        kept: Option<u64>,
        events: broadcast::Sender<ShareEvent>,
    },
}

/// 16 bytes that nobody guesses.
#[expect(clippy::disallowed_methods, reason = "a secret, which no seed may repeat")]
fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    // Without randomness nothing is safe.
    getrandom::fill(&mut bytes).expect("the system has randomness to give");
    bytes
}

impl Inner {
    fn now(&self) -> u64 {
        record::seconds(self.peer.clock().wall())
    }

    /// A file of this share is not what it was: the share is hashed anew, once.
    pub(crate) fn went_stale(self: &Arc<Self>, holding: &Arc<Holding>) {
        if !holding.stale.swap(true, Ordering::Relaxed) {
            let (shares, holding) = (Shares(self.clone()), holding.clone());
            tokio::task::spawn_blocking(move || shares.renew(&holding));
        }
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Providers> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes records of providers as `from` told them; who fetches the same hears of what is new.
    pub(crate) fn heard(&self, content: ContentId, from: PeerId, records: &[Vec<u8>]) {
        let now = self.now();
        let mut book = self.book();
        let mut new = false;
        for record in records.iter().filter(|record| !record.is_empty()).take(limits::MAX_RECORDS) {
            // What is no record is left out; the rest may be good.
            new |= book.hear(content, record, from, now).unwrap_or(false);
        }
        drop(book);
        if new {
            self.news.send_modify(|news| *news += 1);
        }
    }

    /// Records of other providers, for one that may know of them.
    pub(crate) fn records(&self, content: ContentId, to: PeerId) -> Vec<Vec<u8>> {
        self.book().tell(content, to, self.now())
    }

    /// This peer's own record, if it can be reached.
    pub(crate) fn own_record(&self, content: ContentId) -> Vec<u8> {
        providers::own_record(&self.peer, &self.identity, content, false)
    }

    /// Who else provides it, those with everything first.
    pub(crate) fn providers(&self, content: ContentId) -> Vec<PeerAddr> {
        self.book().providers(content, self.now())
    }

    /// This one lied, or does not know of it.
    pub(crate) fn forget_provider(&self, content: ContentId, peer: PeerId) {
        self.book().forget(content, peer);
    }
}

/// What this peer has, for the exchange of records; without holding on to it.
struct Here(Weak<Inner>);

impl providers::Holdings for Here {
    fn held(&self) -> Vec<Held> {
        self.0.upgrade().map(|inner| inner.holdings.held()).unwrap_or_default()
    }

    fn admits(&self, content: ContentId, peer: PeerId, proof: &[u8; 32], binding: &[u8; 32]) -> Option<Held> {
        let holding = self.0.upgrade()?.holdings.find(content, peer, proof, binding)?;
        Some(holding.held())
    }
}
