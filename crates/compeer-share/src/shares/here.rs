//! What this peer has and knows, as the parts that talk with other peers see it: serving and fetching, the exchange
//! of provider records, and searching.
//!
//! They hold on to it weakly, so that handlers of a peer do not keep alive what was dropped.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use compeer::{BoxFuture, Peer, PeerAddr, PeerId};

use super::{Inner, Offer, OfferError, ShareInfo, Shares};
use crate::classic::{self, Beyond};
use crate::find::{self, Catalogue, CatalogueError, Published, Search};
use crate::hash::Progress;
use crate::holding::{Access, Holding};
use crate::providers::{self, Held, Providers};
use crate::store::StoreError;
use crate::{ContentId, limits, record};

impl Inner {
    fn now(&self) -> u64 {
        record::seconds(self.peer.clock().wall())
    }

    /// Makes a share to be found.
    pub(super) fn publish(&self, info: &ShareInfo, holding: &Holding) -> Result<(), StoreError> {
        let database = |error: CatalogueError| StoreError::Database(error.into());
        let catalogue = match self.catalogue.get() {
            Some(catalogue) => catalogue,
            None => {
                let new = Catalogue::in_memory().map_err(database)?;
                self.catalogue.get_or_init(|| new)
            }
        };
        let published = Published {
            id: info.id,
            content: info.content,
            secret: holding.secret,
            name: info.name.clone(),
            bytes: info.bytes,
            files: u32::try_from(info.files).unwrap_or(u32::MAX),
        };
        let paths = holding.manifest.entries().iter().map(|entry| entry.path.as_str());
        catalogue.add(&published, paths).map_err(database)
    }

    /// A file of this share is not what it was: the share is hashed anew, once.
    pub(crate) fn went_stale(self: &Arc<Self>, holding: &Arc<Holding>) {
        // What is still being hashed for the first time is not begun anew.
        if holding.draft.is_none() && !holding.stale.swap(true, Ordering::Relaxed) {
            let (shares, holding) = (Shares { inner: self.clone(), finder: None }, holding.clone());
            tokio::spawn(async move {
                let again = holding.clone();
                let _ = tokio::task::spawn_blocking(move || shares.renew(&holding)).await;
                // Perhaps it is still being written to. Not at once: whoever fetches could have us hash without end.
                tokio::time::sleep(limits::RENEW_AGAIN).await;
                again.stale.store(false, Ordering::Relaxed);
            });
        }
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Providers> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes records of providers as `from` told them; who fetches the same hears of what is new.
    pub(crate) fn heard(&self, content: ContentId, from: PeerId, records: &[Vec<u8>]) {
        // Providers of a private share are nobody's business who came by a public one.
        if self.holdings.is_mixed(content) {
            return self.book().forget_content(content);
        }
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
        match self.holdings.is_mixed(content) {
            true => Vec::new(),
            false => self.book().tell(content, to, self.now()),
        }
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

/// What the bridge to old programs needs.
impl Shares {
    pub(crate) fn peer(&self) -> &Peer {
        &self.inner.peer
    }

    /// A search among native peers.
    pub(crate) fn search_peers(&self, words: &str, hops: u8, timeout: Duration) -> Option<Search> {
        Some(self.finder.as_ref()?.search_peers(words, hops, timeout))
    }

    /// A directory for what need not outlast this process.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.inner.store.dir().join(name)
    }

    /// Who is to be asked for what old programs have.
    pub(crate) fn set_beyond(&self, beyond: Weak<classic::Inner>) {
        // The first one stays.
        let _ = self.inner.beyond.set(beyond);
    }

    /// What everybody may have, oldest first.
    pub(crate) fn public(&self) -> Vec<Arc<Holding>> {
        let active = self.active();
        let public = active.values().filter(|active| active.holding.access == Access::Public);
        public.map(|active| active.holding.clone()).collect()
    }

    /// Shares something that is not listed among the shares, until it is [let go](Self::let_go); its ticket.
    pub(crate) async fn hold(
        &self,
        offer: Offer,
        progress: Arc<Progress>,
    ) -> Result<(String, Arc<Holding>), OfferError> {
        let info = self.offer(offer, progress).await?;
        let active = self.active().remove(&info.id).ok_or(OfferError::Stopped)?;
        Ok((info.ticket, active.holding))
    }

    pub(crate) fn let_go(&self, holding: &Arc<Holding>) {
        self.inner.holdings.remove(holding);
    }
}

/// What this peer has, for the exchange of records; without holding on to it.
pub(super) struct Here(pub(super) Weak<Inner>);

impl providers::Holdings for Here {
    fn held(&self) -> Vec<Held> {
        self.0.upgrade().map(|inner| inner.holdings.held()).unwrap_or_default()
    }

    fn admits(&self, content: ContentId, peer: PeerId, proof: &[u8; 32], binding: &[u8; 32]) -> Option<Held> {
        let inner = self.0.upgrade()?;
        let holding = inner.holdings.find(content, peer, proof, binding)?;
        (!inner.holdings.is_mixed(content)).then(|| holding.held())
    }
}

impl find::Lookup for Here {
    fn search(&self, words: &str, most: usize) -> Vec<Published> {
        self.ask(|catalogue| catalogue.search(words, most))
    }

    fn browse(&self, after: u64, most: usize) -> Vec<Published> {
        self.ask(|catalogue| catalogue.list(after, most))
    }

    fn beyond(&self, words: &str, left: Duration) -> BoxFuture<'static, Vec<Beyond>> {
        let (words, inner) = (words.to_owned(), self.0.upgrade());
        Box::pin(async move {
            let inner = inner.as_ref().and_then(|inner| inner.beyond.get()?.upgrade());
            match inner {
                Some(inner) => inner.beyond(&words, left).await,
                None => Vec::new(),
            }
        })
    }

    fn others(&self, content: ContentId) -> u32 {
        let count = self.0.upgrade().map_or(0, |inner| inner.book().count(content, inner.now()));
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

impl Here {
    fn ask(
        &self,
        question: impl FnOnce(&Catalogue) -> Result<Vec<Published>, CatalogueError>,
    ) -> Vec<Published> {
        let inner = self.0.upgrade();
        let answer = inner.as_ref().and_then(|inner| inner.catalogue.get()).map(question);
        answer.unwrap_or(Ok(Vec::new())).unwrap_or_else(|error| {
            tracing::warn!(%error, "the public shares cannot be searched");
            Vec::new()
        })
    }
}
