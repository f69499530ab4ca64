//! `Shares`: file sharing on a peer; what a program holds.
//!
//! [`Shares::attach`] registers the stream handler; from then on the peer serves what is offered, and fetches what
//! a ticket names. What is kept lies in the [`Store`]. Several programs' worth of shares need several peers.

mod draft;
mod here;
mod offering;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use compeer::{Identity, Peer, PeerAddr, RequestError, ShareTicket, Stream};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use crate::ContentId;
use crate::classic;
use crate::fetch::{FetchError, Look};
use crate::find::{self, Catalogue, Finder, Found, Search};
use crate::hash::{HashError, Progress};
use crate::holding::{Access, Holding, Holdings, ShareEvent};
use crate::manifest::ManifestError;
use crate::places::Places;
use crate::providers::{self, Providers};
use crate::serve;
use crate::store::{Store, StoreError};
use crate::transfers::Directory;
use crate::walk::WalkError;
use crate::wire;
use here::Here;
use offering::Before;

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
    /// Let it be fetched before it is hashed, if so many bytes or more were not hashed earlier; `None`: hash first. It is
    /// then told by [`ShareEvent::Hashed`] what the content is, or by [`ShareEvent::NotHashed`] that there is none.
    /// Nothing that is kept or public is offered so. [`limits::WORTH_A_DRAFT`](crate::limits::WORTH_A_DRAFT) is a good number.
    pub draft_from: Option<u64>,
}

/// A share that others can fetch now.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareInfo {
    /// Its number here.
    pub id: ShareId,
    /// The id of its content; that of a draft while it is not hashed.
    pub content: ContentId,
    /// Whether its files are hashed.
    pub hashed: bool,
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

/// Without its secret.
impl std::fmt::Debug for ShareInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShareInfo").field("content", &self.content).finish_non_exhaustive()
    }
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
    /// It was stopped meanwhile.
    #[error("the share was stopped")]
    Stopped,
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
    /// What was served until it was hashed, and still is.
    draft: Option<Arc<Holding>>,
    /// How hashing ended, of a share that was served before.
    hashed: Option<ShareEvent>,
    /// Its number in the database.
    kept: Option<u64>,
}

/// What happens to a share, one after the other.
#[derive(Debug)]
pub struct ShareEvents {
    first: Option<ShareEvent>,
    rest: broadcast::Receiver<ShareEvent>,
}

impl ShareEvents {
    /// The next thing that happens. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// The share was stopped; or more has happened than is kept for a reader that does not read.
    pub async fn recv(&mut self) -> Result<ShareEvent, RecvError> {
        match self.first.take() {
            Some(event) => Ok(event),
            None => self.rest.recv().await,
        }
    }
}

impl Active {
    fn holdings(&self) -> impl Iterator<Item = &Arc<Holding>> {
        [&self.holding].into_iter().chain(&self.draft)
    }
}

/// What all parts share.
pub(crate) struct Inner {
    pub(crate) peer: Peer,
    pub(crate) identity: Identity,
    pub(crate) store: Store,
    pub(crate) holdings: Holdings,
    /// Streams that are served.
    pub(crate) places: Arc<Places>,
    active: Mutex<BTreeMap<ShareId, Active>>,
    next: AtomicU64,
    /// Who else provides what is here or is fetched.
    book: Arc<Mutex<Providers>>,
    /// The public shares; made when there is one.
    catalogue: OnceLock<Catalogue>,
    /// Changes when the book has something new.
    pub(crate) news: watch::Sender<u64>,
    /// Who speaks with old programs for us.
    beyond: OnceLock<Weak<classic::Inner>>,
}

/// File sharing on a peer. Clones are the same.
#[derive(Clone)]
pub struct Shares {
    inner: Arc<Inner>,
    finder: Option<Finder>,
}

impl Shares {
    /// Begins to share on this peer. `identity` is the peer's own; it signs that this peer has something.
    pub fn attach(peer: &Peer, identity: Identity, store: Store) -> Shares {
        let inner = Arc::new(Inner {
            peer: peer.clone(),
            identity,
            store,
            holdings: Holdings::default(),
            places: Arc::default(),
            active: Mutex::default(),
            next: AtomicU64::new(1),
            book: Arc::new(Mutex::new(Providers::new(peer.id()))),
            catalogue: OnceLock::new(),
            news: watch::Sender::new(0),
            beyond: OnceLock::new(),
        });
        let serving = Arc::downgrade(&inner);
        let handler = move |stream: Stream| {
            let serving = serving.clone();
            async move {
                if let Some(inner) = serving.upgrade() {
                    serve::serve(inner, stream).await;
                }
            }
        };
        // The kinds are good ones.
        let _ = peer.handle_stream(wire::STREAM, handler);
        let here: Arc<dyn providers::Holdings> = Arc::new(Here(Arc::downgrade(&inner)));
        let _ = providers::register(peer, inner.identity.clone(), here.clone(), inner.book.clone());
        let exchange = providers::exchange(inner.identity.clone(), here, inner.book.clone());
        peer.stabilize(providers::EXCHANGE, exchange);
        let lookup = Arc::new(Here(Arc::downgrade(&inner)));
        let finder = find::register(peer, lookup).ok();
        Shares { inner, finder }
    }

    /// Searches for public shares of connected peers, and of theirs as `hops` says: see [`Finder::search`].
    pub fn search(&self, words: &str, hops: u8, timeout: Duration) -> Option<Search> {
        Some(self.finder.as_ref()?.search(words, hops, timeout))
    }

    /// Lists the public shares of one peer: see [`Finder::browse`].
    ///
    /// # Errors
    /// It cannot be reached, or does not answer.
    pub async fn browse(&self, of: impl Into<PeerAddr>) -> Result<Vec<Found>, RequestError> {
        match &self.finder {
            Some(finder) => finder.browse(of).await,
            None => Err(RequestError::NoHandler),
        }
    }

    /// Has a file of an old program brought by the peer that told of it ([`Found::classic`]); gives the ticket by
    /// which it can be fetched from there, in place of the one that was found.
    ///
    /// # Errors
    /// The peer cannot be reached, or cannot get the file.
    pub async fn bring(&self, promised: &ShareTicket) -> Result<ShareTicket, RequestError> {
        classic::bring(self, promised).await
    }

    /// Shares files and folders: lists and hashes them, then serves them; with [`Offer::draft_from`], serves them and
    /// hashes them meanwhile. Nothing is copied.
    ///
    /// # Errors
    /// See [`OfferError`].
    pub async fn offer(&self, offer: Offer, progress: Arc<Progress>) -> Result<ShareInfo, OfferError> {
        let shares = self.clone();
        // Hashing stops when nobody waits for it any more.
        let mut stop = StopOnDrop(Some(progress.clone()));
        let work = tokio::task::spawn_blocking(move || shares.offer_now(offer, Before::Nothing, &progress));
        let offered = work.await.map_err(|panic| OfferError::Panicked(panic.to_string()))?;
        // A draft is hashed on.
        stop.0 = None;
        offered
    }

    /// Offers again what was kept; what cannot be offered is given with the reason.
    ///
    /// # Errors
    /// The home cannot be read.
    pub async fn restore(&self) -> Result<Vec<(String, OfferError)>, StoreError> {
        let shares = self.clone();
        let work = tokio::task::spawn_blocking(move || {
            let mut failed = Vec::new();
            for kept in shares.inner.store.kept_shares()? {
                let access = match serde_json::from_str(&kept.access) {
                    Ok(access) => access,
                    // Not to be given to more than it was meant for.
                    Err(error) => {
                        failed.push((kept.name, StoreError::Io(error.into()).into()));
                        continue;
                    }
                };
                let offer = Offer {
                    paths: kept.paths.clone(),
                    exclude: kept.exclude.clone(),
                    name: Some(kept.name.clone()),
                    access,
                    keep: true,
                    limit: kept.limit,
                    draft_from: None,
                };
                let name = kept.name.clone();
                if let Err(error) = shares.offer_now(offer, Before::Kept(kept), &Arc::default()) {
                    failed.push((name, error));
                }
            }
            Ok(failed)
        });
        work.await.unwrap_or_else(|panic| Err(std::io::Error::other(panic.to_string()).into()))
    }

    /// The shares, oldest first.
    pub fn shares(&self) -> Vec<ShareInfo> {
        self.active().values().map(|active| active.info.clone()).collect()
    }

    /// What happens to a share from now on; ends with it. How its hashing ended ([`ShareEvent::Hashed`],
    /// [`ShareEvent::NotHashed`]) is told first if that was before.
    pub fn events(&self, id: ShareId) -> Option<ShareEvents> {
        let active = self.active();
        let active = active.get(&id)?;
        Some(ShareEvents { first: active.hashed.clone(), rest: active.holding.events.subscribe() })
    }

    /// Ends a share: who fetches it is cut off. Whether there was one.
    ///
    /// # Errors
    /// It is kept, and the home cannot be written.
    pub fn stop(&self, id: ShareId) -> Result<bool, StoreError> {
        let Some(active) = self.active().remove(&id) else { return Ok(false) };
        active.holdings().for_each(|holding| self.inner.holdings.remove(holding));
        if let Some(catalogue) = self.inner.catalogue.get() {
            catalogue.remove(id).map_err(|error| StoreError::Database(error.into()))?;
        }
        if let Some(row) = active.kept {
            self.inner.store.forget_share(row)?;
        }
        Ok(true)
    }

    /// Connects with a provider of the ticket and brings the list of files.
    ///
    /// # Errors
    /// Nobody of the ticket can be reached, or gives it.
    pub async fn look(&self, ticket: &ShareTicket) -> Result<Look, FetchError> {
        self.look_counted(ticket, Arc::default()).await
    }

    /// The same; `come` counts the bytes of lists that come, whatever comes of it.
    pub(crate) async fn look_counted(
        &self,
        ticket: &ShareTicket,
        come: Arc<AtomicU64>,
    ) -> Result<Look, FetchError> {
        Look::through(self.inner.clone(), ticket.clone(), come).await
    }

    /// Interrupted and running transfers.
    pub fn transfers(&self) -> Vec<TransferInfo> {
        let all = Directory::all(&self.inner.store.transfers());
        all.into_iter().filter_map(|directory| directory.info()).collect()
    }

    /// An interrupted transfer, ready to go on: the list of files is at hand, nobody need be asked for it. Gives where
    /// it goes to as well.
    ///
    /// # Errors
    /// There is none of this id, or its directory cannot be read.
    pub fn resume(&self, id: &str) -> Result<(Look, crate::staging::Target), FetchError> {
        let directory = Directory::named(&self.inner.store.transfers(), id);
        let directory = directory.ok_or_else(|| FetchError::NoTransfer(id.into()))?;
        let (record, ticket) = directory.record()?;
        let mut look = Look::with(self.inner.clone(), ticket, directory.manifest(record.draft)?, None)?;
        look.began = record.began;
        if !record.selected.is_empty() {
            look.choose(record.selected)?;
        }
        look.found_by(record.code);
        Ok((look, crate::staging::Target { dir: record.dir, file_name: record.file_name }))
    }

    /// The ticket of an interrupted transfer that began with this code ([`Look::found_by`]), which is used up.
    pub fn begun_by(&self, code: &str) -> Option<ShareTicket> {
        let records = Directory::all(&self.inner.store.transfers()).into_iter().map(|one| one.record());
        records.flatten().find(|(record, _)| record.code == code).map(|(_, ticket)| ticket)
    }

    /// Throws away what an interrupted transfer has fetched so far. Whether there was one.
    ///
    /// # Errors
    /// It is running, or cannot be removed.
    pub fn discard(&self, id: &str) -> Result<bool, FetchError> {
        let Some(directory) = Directory::named(&self.inner.store.transfers(), id) else { return Ok(false) };
        // One that cannot be read says of no directory.
        if let Ok((record, _)) = directory.record()
            && let Some(staging) = crate::staging::Staging::open(&record.dir, id)?
        {
            staging.discard()?;
        }
        directory.remove()?;
        Ok(true)
    }

    fn active(&self) -> std::sync::MutexGuard<'_, BTreeMap<ShareId, Active>> {
        self.inner.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct StopOnDrop(Option<Arc<Progress>>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(progress) = &self.0 {
            progress.stop.store(true, Ordering::Relaxed);
        }
    }
}
