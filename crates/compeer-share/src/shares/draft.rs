//! Drafts: what a person sends can be fetched before it is hashed.
//!
//! Hashing 100 GiB takes minutes, and who sends wants to read out a code now. So the files are listed, and a draft of
//! their manifest is served at once: data without proof, from this peer alone. Meanwhile they are hashed as ever. Then the
//! share is served under its real content, and whoever came by the draft is told that content, and holds what he has
//! got against it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{broadcast, watch};

use super::offering::{Before, Listed, Pack, entry, random};
use super::{Access, Active, Offer, OfferError, ShareId, ShareInfo, Shares};
use crate::ContentId;
use crate::hash::{HashError, Progress, Stamp};
use crate::holding::{Draft, EVENTS, Files, Holding, ShareEvent};
use crate::manifest::Manifest;
use crate::pace::Pace;
use crate::wire::Why;

impl Shares {
    /// Whether so much has to be hashed that it is to be offered before.
    pub(super) fn takes_long(&self, offer: &Offer, listed: &Listed) -> bool {
        let Some(from) = offer.draft_from else { return false };
        // What stays or is found has to have its one name.
        if offer.keep || offer.access == Access::Public {
            return false;
        }
        let mut left: u64 = listed.files.iter().map(|found| found.size).sum();
        let mut unknown = 0;
        for found in &listed.files {
            if unknown > 0 && unknown >= from || unknown + left < from {
                break;
            }
            left -= found.size;
            let stamp = fs::metadata(&found.file).map(|meta| Stamp::from(&meta));
            if !stamp.is_ok_and(|stamp| self.inner.store.knows(&stamp)) {
                unknown += found.size;
            }
        }
        unknown > 0 && unknown >= from
    }

    /// Serves a draft, and hashes the files meanwhile.
    pub(super) fn offer_draft(
        &self,
        offer: Offer,
        listed: Listed,
        progress: Arc<Progress>,
    ) -> Result<ShareInfo, OfferError> {
        let inner = &self.inner;
        let manifest = Manifest::draft(listed.files.iter().map(entry).collect(), random())?;
        let pack = Pack::new(&inner.store)?;
        let bytes = manifest.encode();
        progress.total.store(manifest.total(), Ordering::Relaxed);
        let mut draft = Holding::new(
            ContentId::of(&bytes),
            random(),
            offer.access.clone(),
            (Arc::new(manifest), bytes.into()),
            pack.file.clone(),
            Files::InPlace(listed.files.iter().map(|found| (found.file.clone(), None)).collect()),
            None,
            offer.limit.map(Pace::new),
            broadcast::Sender::new(EVENTS),
        );
        draft.draft = Some(Draft { progress: progress.clone(), outcome: watch::Sender::new(None) });
        let draft = Arc::new(draft);
        let id = inner.next.fetch_add(1, Ordering::Relaxed);
        let name = offer.name.clone().unwrap_or_else(|| draft.manifest.title());
        let shown = self.info(id, name, &draft);
        let info = ShareInfo { skipped: listed.skipped.clone(), ..shown.clone() };
        inner.holdings.add(draft.clone());
        let now = Active {
            info: shown,
            offer: offer.clone(),
            holding: draft.clone(),
            draft: None,
            hashed: None,
            kept: None,
        };
        self.active().insert(id, now);
        self.hash_on(offer, listed, pack, id, &draft, progress);
        Ok(info)
    }

    /// Hashes what is offered as a draft, on a thread of its own.
    fn hash_on(
        &self,
        offer: Offer,
        listed: Listed,
        pack: Pack,
        id: ShareId,
        draft: &Arc<Holding>,
        progress: Arc<Progress>,
    ) {
        // Held weakly: when nobody has the share any more, its hashing ends.
        let (inner, draft) = (Arc::downgrade(&self.inner), Arc::downgrade(draft));
        tokio::task::spawn_blocking(move || {
            let hashed = pack.hash(&listed, &progress);
            let (Some(inner), Some(holding)) = (inner.upgrade(), draft.upgrade()) else { return };
            let shares = Shares { inner, finder: None };
            let offered = match hashed {
                Ok(hashed) => {
                    let before = Before::Draft { id, draft: holding.clone() };
                    let offered = shares.offer_hashed(offer, listed, pack, &hashed, before);
                    offered.map(|info| info.content).map_err(|error| (error, (Why::Unreadable, u64::MAX)))
                }
                Err(error) => {
                    let blame = blame(&error, &listed);
                    Err((error.into(), blame))
                }
            };
            if *holding.stopped.borrow() {
                return;
            }
            let (outcome, event) = match offered {
                Ok(content) => (Ok(content), ShareEvent::Hashed { content }),
                Err((error, blame)) => (Err(blame), ShareEvent::NotHashed { why: error.to_string() }),
            };
            if let Some(draft) = &holding.draft {
                draft.outcome.send_replace(Some(outcome));
            }
            // Under the lock, so that whoever listens from now on hears it once.
            if let Some(active) = shares.active().get_mut(&id) {
                active.hashed = Some(event.clone());
                holding.tell(event);
            }
        });
    }
}

/// What to tell those who fetch: not where the file lies here.
fn blame(error: &HashError, listed: &Listed) -> (Why, u64) {
    let place = |path: &Path| {
        let at = listed.files.iter().position(|found| found.file == *path);
        at.map_or(u64::MAX, |at| at as u64)
    };
    match error {
        HashError::Read { path, .. } => (Why::Unreadable, place(path)),
        HashError::Changed(path) => (Why::Changed, place(path)),
        HashError::Stopped => (Why::Stopped, u64::MAX),
        HashError::Pack(_) | HashError::Panicked => (Why::Unreadable, u64::MAX),
    }
}
