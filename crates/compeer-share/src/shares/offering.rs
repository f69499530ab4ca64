//! Offering: files and folders become a holding that is served.
//!
//! They are listed, hashed with all cores into a pack, and named by a manifest. The same happens when a share that
//! was kept is offered after a restart (then its hashes are known), and when a file of it has changed. Where hashing
//! would keep a person waiting, a draft of the manifest is served meanwhile (`shares/draft.rs`).

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use compeer::ShareTicket;
use tokio::sync::broadcast;

use super::{Active, Offer, OfferError, ShareId, ShareInfo, Shares};
use crate::ContentId;
use crate::hash::{self, HashError, Hashed, Progress};
use crate::holding::{Access, EVENTS, Files, Holding, ShareEvent};
use crate::layout::Layout;
use crate::manifest::{Entry, Manifest};
use crate::pace::Pace;
use crate::store::{Kept, Store, StoreError};
use crate::walk::{self, Found};

impl Shares {
    pub(super) fn offer_now(
        &self,
        offer: Offer,
        before: Before,
        progress: &Arc<Progress>,
    ) -> Result<ShareInfo, OfferError> {
        let listed = Listed::of(&offer)?;
        if matches!(before, Before::Nothing) && self.takes_long(&offer, &listed) {
            return self.offer_draft(offer, listed, progress.clone());
        }
        let pack = Pack::new(&self.inner.store)?;
        let hashed = pack.hash(&listed, progress)?;
        self.offer_hashed(offer, listed, pack, &hashed, before)
    }

    /// Serves files that are hashed.
    pub(super) fn offer_hashed(
        &self,
        offer: Offer,
        listed: Listed,
        pack: Pack,
        hashed: &[Hashed],
        before: Before,
    ) -> Result<ShareInfo, OfferError> {
        let inner = &self.inner;
        let stamped = |(found, hashed): (&Found, &Hashed)| Entry {
            root: hashed.root,
            modified: hashed.stamp.modified.0,
            modified_nanos: hashed.stamp.modified.1 as u32,
            ..entry(found)
        };
        let manifest = Manifest::new(listed.files.iter().zip(hashed).map(stamped).collect())?;
        let bytes = manifest.encode();
        let again = matches!(before, Before::Active { .. } | Before::Draft { .. });
        let pace = || offer.limit.map(Pace::new);
        let new = || broadcast::Sender::new(EVENTS);
        let (id, secret, kept, events, pace, draft) = match before {
            Before::Nothing => (None, random(), None, new(), pace(), None),
            Before::Kept(kept) => (None, kept.secret, Some(kept.id), new(), pace(), None),
            Before::Active { id, secret, kept, events } => (Some(id), secret, kept, events, pace(), None),
            Before::Draft { id, draft } => {
                (Some(id), draft.secret, None, draft.events.clone(), draft.pace.clone(), Some(draft))
            }
        };
        let content = ContentId::of(&bytes);
        let paths = listed.files.into_iter().map(|found| found.file);
        let in_place = paths.zip(hashed.iter().map(|hashed| Some(hashed.stamp))).collect();
        let holding = Arc::new(Holding::new(
            content,
            secret,
            offer.access.clone(),
            (Arc::new(manifest), bytes.into()),
            pack.file.clone(),
            Files::InPlace(in_place),
            None,
            pace,
            events,
        ));
        pack.keep(&holding.layout, hashed)?;
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
        let info =
            ShareInfo { kept: row.is_some(), skipped: listed.skipped, ..self.info(id, name, &holding) };
        let shown = ShareInfo { skipped: Vec::new(), ..info.clone() };
        // Held until all is done: a share that is stopped meanwhile stays stopped.
        let mut active = self.active();
        if again && !active.contains_key(&id) {
            return Err(OfferError::Stopped);
        }
        if info.access == Access::Public {
            inner.publish(&info, &holding)?;
        }
        inner.holdings.add(holding.clone());
        let now = Active { info: shown, offer, holding, draft: draft.clone(), hashed: None, kept: row };
        let before = active.insert(id, now);
        for old in before.iter().flat_map(Active::holdings) {
            // Who came by the draft goes on there.
            if !draft.as_ref().is_some_and(|draft| Arc::ptr_eq(draft, old)) {
                inner.holdings.remove(old);
            }
        }
        Ok(info)
    }

    /// What to tell of a holding of ours.
    pub(super) fn info(&self, id: ShareId, name: String, holding: &Holding) -> ShareInfo {
        let addr = self.inner.peer.addr();
        let ticket = ShareTicket::new([addr], *holding.content.as_bytes(), holding.secret);
        ShareInfo {
            id,
            content: holding.content,
            hashed: holding.draft.is_none(),
            name,
            files: holding.manifest.entries().len() as u64,
            bytes: holding.manifest.total(),
            access: holding.access.clone(),
            kept: false,
            ticket: ticket.to_string(),
            skipped: Vec::new(),
        }
    }

    /// Lists and hashes a share anew: what it is now gets a ticket of its own, what it was is given away no more.
    pub(super) fn renew(&self, holding: &Arc<Holding>) {
        let found = self.active().iter().find(|(_, active)| Arc::ptr_eq(&active.holding, holding)).map(
            |(id, active)| {
                let (secret, events) = (holding.secret, holding.events.clone());
                (active.offer.clone(), Before::Active { id: *id, secret, kept: active.kept, events })
            },
        );
        let Some((offer, before)) = found else { return };
        let events = holding.events.clone();
        let told = match self.offer_now(offer, before, &Arc::default()) {
            Ok(info) => ShareEvent::Renewed { ticket: info.ticket },
            Err(error) => ShareEvent::NotRenewed { why: error.to_string() },
        };
        // Nobody may listen.
        let _ = events.send(told);
    }
}

/// The files of an offer.
pub(super) struct Listed {
    /// Sorted by the bytes of their paths.
    pub(super) files: Vec<Found>,
    /// What was left out, and why.
    pub(super) skipped: Vec<String>,
}

impl Listed {
    fn of(offer: &Offer) -> Result<Listed, OfferError> {
        let walked = walk::walk(&offer.paths, &offer.exclude)?;
        let mut files = walked.files;
        if files.is_empty() {
            return Err(OfferError::Empty);
        }
        files.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        Ok(Listed { files, skipped: walked.skipped.iter().map(ToString::to_string).collect() })
    }
}

/// A file as it was found; not hashed.
pub(super) fn entry(found: &Found) -> Entry {
    Entry {
        path: found.path.clone(),
        size: found.size,
        root: [0; 32],
        executable: found.executable,
        modified: found.modified,
        modified_nanos: found.modified_nanos,
    }
}

/// A new pack, which goes again when nothing comes of it.
pub(super) struct Pack {
    store: Store,
    id: i64,
    pub(super) file: Arc<File>,
    keep: bool,
}

impl Pack {
    pub(super) fn new(store: &Store) -> Result<Pack, StoreError> {
        let (id, file) = store.new_pack()?;
        Ok(Pack { store: store.clone(), id, file: Arc::new(file), keep: false })
    }

    pub(super) fn hash(&self, listed: &Listed, progress: &Progress) -> Result<Vec<Hashed>, HashError> {
        let files: Vec<(PathBuf, u64)> =
            listed.files.iter().map(|found| (found.file.clone(), found.size)).collect();
        hash::hash(&files, &self.file, &self.store, progress)
    }

    fn keep(mut self, layout: &Layout, hashed: &[Hashed]) -> Result<(), StoreError> {
        self.store.keep_hashes(self.id, layout, hashed)?;
        self.keep = true;
        Ok(())
    }
}

impl Drop for Pack {
    fn drop(&mut self) {
        if !self.keep {
            self.store.drop_pack(self.id);
        }
    }
}

/// What there was of a share before it is offered.
pub(super) enum Before {
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
    /// It is here, and was not hashed until now.
    Draft {
        id: ShareId,
        draft: Arc<Holding>,
    },
}

/// 16 bytes that nobody guesses.
#[expect(clippy::disallowed_methods, reason = "a secret, which no seed may repeat")]
pub(super) fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    // Without randomness nothing is safe.
    getrandom::fill(&mut bytes).expect("the system has randomness to give");
    bytes
}
