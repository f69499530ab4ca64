//! Offering: files and folders become a holding that is served.
//!
//! They are listed, hashed with all cores into a pack, and named by a manifest. The same happens when a share that
//! was kept is offered after a restart (then its hashes are known), and when a file of it has changed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use compeer::ShareTicket;
use tokio::sync::broadcast;

use super::{Active, Offer, OfferError, ShareId, ShareInfo, Shares};
use crate::ContentId;
use crate::hash::{self, Progress};
use crate::holding::{Access, EVENTS, Files, Holding, ShareEvent};
use crate::manifest::{Entry, Manifest};
use crate::pace::Pace;
use crate::store::{Kept, Store, StoreError};
use crate::walk;

impl Shares {
    pub(super) fn offer_now(
        &self,
        offer: Offer,
        before: Before,
        progress: &Progress,
    ) -> Result<ShareInfo, OfferError> {
        let inner = &self.inner;
        let walked = walk::walk(&offer.paths, &offer.exclude)?;
        let mut found = walked.files;
        if found.is_empty() {
            return Err(OfferError::Empty);
        }
        found.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        let files: Vec<_> = found.iter().map(|found| (found.file.clone(), found.size)).collect();
        let (pack_id, pack) = inner.store.new_pack()?;
        let unused = Unused { store: &inner.store, pack: Some(pack_id) };
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
        let again = matches!(before, Before::Active { .. });
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
        unused.keep();
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
        let before = active.insert(id, Active { info: shown, offer, holding, kept: row });
        if let Some(before) = before {
            inner.holdings.remove(&before.holding);
        }
        Ok(info)
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
        let told = match self.offer_now(offer, before, &Progress::default()) {
            Ok(info) => ShareEvent::Renewed { ticket: info.ticket },
            Err(error) => ShareEvent::NotRenewed { why: error.to_string() },
        };
        // Nobody may listen.
        let _ = events.send(told);
    }
}

/// A new pack, which goes again when nothing comes of it.
struct Unused<'a> {
    store: &'a Store,
    pack: Option<i64>,
}

impl Unused<'_> {
    fn keep(mut self) {
        self.pack = None;
    }
}

impl Drop for Unused<'_> {
    fn drop(&mut self) {
        if let Some(pack) = self.pack {
            self.store.drop_pack(pack);
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
}

/// 16 bytes that nobody guesses.
#[expect(clippy::disallowed_methods, reason = "a secret, which no seed may repeat")]
fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    // Without randomness nothing is safe.
    getrandom::fill(&mut bytes).expect("the system has randomness to give");
    bytes
}
