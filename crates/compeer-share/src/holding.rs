//! What can be served: the content of one share, where its files lie, and who may have it.
//!
//! A holding is complete (a share of ours) or grows (a fetch under way, which serves what has arrived). The
//! files stay where they are; before and after each segment their state is compared with that of when they
//! were hashed. Several holdings may have the same content under different secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use compeer::PeerId;
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, watch};

use crate::ContentId;
use crate::hash::{Progress, Stamp};
use crate::layout::Layout;
use crate::limits;
use crate::manifest::Manifest;
use crate::pace::Pace;
use crate::providers::Held;
use crate::ranges::RangeSet;
use crate::staging::{Placement, Staging};
use crate::wire::{self, Why};

/// Who may have a share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Whoever holds its ticket.
    #[default]
    Ticket,
    /// These peers, if they hold its ticket.
    Only(Vec<PeerId>),
    /// Everybody; it can be found.
    Public,
}

/// Something that happened to a share.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShareEvent {
    /// A peer begins to fetch.
    Started {
        /// Who.
        peer: PeerId,
    },
    /// A peer has everything, whole and in its place.
    Finished {
        /// Who.
        peer: PeerId,
    },
    /// A peer stopped fetching without having said that it is done; it may come back.
    Left {
        /// Who.
        peer: PeerId,
        /// Bytes it got from here, on the stream that ended.
        bytes: u64,
    },
    /// All files of a share that could be fetched before that are hashed: this is its content, with the same secret.
    Hashed {
        /// What others can fetch now.
        content: ContentId,
    },
    /// The files of such a share cannot be hashed: nobody can fetch it.
    NotHashed {
        /// Why.
        why: String,
    },
    /// A file is not what it was when it was shared; it is no longer given away.
    Changed {
        /// Which, as in the manifest.
        path: String,
    },
    /// The share was hashed anew, after a file of it had changed: it has another ticket from now on.
    Renewed {
        /// The new one.
        ticket: String,
    },
    /// It could not be hashed anew; what did not change is given away still.
    NotRenewed {
        /// Why.
        why: String,
    },
}

/// Events that wait for a reader that does not read; older ones are dropped.
pub(crate) const EVENTS: usize = 256;

/// Where the files are.
pub(crate) enum Files {
    /// In place, each with its state when it was hashed if it is, in the order of the manifest.
    InPlace(Vec<(PathBuf, Option<Stamp>)>),
    /// On their way; by their names in the manifest.
    Staged(Arc<Staging>),
}

/// See the module.
pub(crate) struct Holding {
    pub(crate) content: ContentId,
    pub(crate) secret: [u8; 16],
    pub(crate) access: Access,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) manifest_bytes: Bytes,
    pub(crate) layout: Arc<Layout>,
    pub(crate) pack: Arc<File>,
    pub(crate) files: RwLock<Files>,
    /// `None`: everything.
    pub(crate) have: watch::Sender<Option<RangeSet>>,
    pub(crate) pace: Option<Arc<Pace>>,
    pub(crate) events: broadcast::Sender<ShareEvent>,
    pub(crate) stopped: watch::Sender<bool>,
    /// Files that are known to have changed, and were told of.
    changed: Mutex<BTreeSet<usize>>,
    /// A file is known to have changed.
    pub(crate) stale: AtomicBool,
    /// What becomes of it, if the manifest is a draft.
    pub(crate) draft: Option<Draft>,
}

/// A share whose files are still being hashed. Nobody else has it, and segments of it have no proof.
pub(crate) struct Draft {
    pub(crate) progress: Arc<Progress>,
    /// The content, or why there will be none: which file is to blame.
    pub(crate) outcome: watch::Sender<Option<Result<ContentId, (Why, u64)>>>,
}

impl Draft {
    /// Whether it is known that nothing will come of it.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(*self.outcome.borrow(), Some(Err(_)))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Nobody can fetch it any more.
        self.progress.stop.store(true, Ordering::Relaxed);
    }
}

/// A file that is being served.
pub(crate) struct Open {
    pub(crate) file: File,
    stamp: Option<Stamp>,
}

impl Open {
    /// Whether it is still what it was.
    pub(crate) fn unchanged(&self) -> bool {
        self.stamp.is_none_or(|stamp| Stamp::of(&self.file).is_ok_and(|now| now == stamp))
    }
}

impl Holding {
    #[allow(clippy::too_many_arguments, reason = "made in two places")]
    pub(crate) fn new(
        content: ContentId,
        secret: [u8; 16],
        access: Access,
        manifest: (Arc<Manifest>, Bytes),
        pack: Arc<File>,
        files: Files,
        have: Option<RangeSet>,
        pace: Option<Arc<Pace>>,
        events: broadcast::Sender<ShareEvent>,
    ) -> Self {
        let (manifest, manifest_bytes) = manifest;
        let layout = Arc::new(Layout::new(manifest.entries().iter().map(|entry| entry.size)));
        Holding {
            content,
            secret,
            access,
            manifest,
            manifest_bytes,
            layout,
            pack,
            files: RwLock::new(files),
            have: watch::Sender::new(have),
            pace,
            events,
            stopped: watch::Sender::new(false),
            changed: Mutex::default(),
            stale: AtomicBool::new(false),
            draft: None,
        }
    }

    /// In short, for those who exchange records.
    pub(crate) fn held(&self) -> Held {
        Held { content: self.content, secret: self.secret, complete: self.have.borrow().is_none() }
    }

    /// Tells whoever listens.
    pub(crate) fn tell(&self, event: ShareEvent) {
        // Nobody may.
        let _ = self.events.send(event);
    }

    /// Tells whoever listens, once per file, that it is not what it was.
    pub(crate) fn tell_changed(&self, file: usize) {
        if self.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(file) {
            let path = self.manifest.entries()[file].path.clone();
            self.tell(ShareEvent::Changed { path });
        }
    }

    /// Opens a file of the share for reading.
    ///
    /// # Errors
    /// It is not what it was, or cannot be read.
    pub(crate) fn open(&self, index: usize) -> Result<Open, Why> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        match &*files {
            Files::InPlace(files) => {
                let (path, stamp) = &files[index];
                let file = File::open(path).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => Why::Changed,
                    _ => Why::Unreadable,
                })?;
                let open = Open { file, stamp: *stamp };
                open.unchanged().then_some(open).ok_or(Why::Changed)
            }
            Files::Staged(staging) => {
                let path = &self.manifest.entries()[index].path;
                // Perhaps it is being put in its place just now.
                let file = staging.existing(path).map_err(|_| Why::Unreadable)?.ok_or(Why::Missing)?;
                Ok(Open { file, stamp: None })
            }
        }
    }

    /// The files have been put in their places: those that can still be read are served from there.
    pub(crate) fn placed(&self, placement: &Placement) {
        let mut files = vec![(PathBuf::new(), Some(Stamp::default())); self.manifest.entries().len()];
        for (file, path) in placement.places() {
            let stamp = File::open(&path).and_then(|open| Stamp::of(&open)).unwrap_or_default();
            files[file] = (path, Some(stamp));
        }
        *self.files.write().unwrap_or_else(PoisonError::into_inner) = Files::InPlace(files);
        // Of a file that was here before, the pack has no proofs: it is not among what we have.
        let groups = self.layout.groups();
        self.have.send_if_modified(|have| {
            let all = have.as_ref().is_some_and(|have| have.len() == groups);
            if all {
                *have = None;
            }
            all
        });
    }
}

/// Who wants something, and what it proved with.
struct Claim<'a> {
    content: ContentId,
    peer: PeerId,
    proof: blake3::Hash,
    binding: &'a [u8; 32],
}

impl Claim<'_> {
    /// Whether it holds for what has this secret. Takes as long for the wrong proof as for the right one.
    fn holds(&self, secret: &[u8; 16], access: &Access) -> bool {
        let right = wire::proof(secret, self.content.as_bytes(), self.binding, self.peer.as_bytes());
        let proven = right == self.proof; // in constant time: blake3::Hash
        match access {
            Access::Ticket => proven,
            Access::Only(peers) => proven && peers.contains(&self.peer),
            Access::Public => true,
        }
    }
}

/// All holdings of a peer.
#[derive(Default)]
pub(crate) struct Holdings {
    all: Mutex<BTreeMap<ContentId, Vec<Arc<Holding>>>>,
    /// Those that were fetched here, oldest first.
    fetched: Mutex<Vec<Arc<Holding>>>,
}

impl Holdings {
    pub(crate) fn add(&self, holding: Arc<Holding>) {
        self.lock().entry(holding.content).or_default().push(holding);
    }

    /// Adds what is being fetched. One of the same secret takes the place of an older one; when there are too many, the
    /// oldest goes.
    pub(crate) fn add_fetched(&self, holding: Arc<Holding>) {
        let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |other: &Arc<Holding>| other.content == holding.content && other.secret == holding.secret;
        let gone: Vec<_> =
            fetched.extract_if(.., |other| same(other) && other.have.borrow().is_none()).collect();
        fetched.push(holding.clone());
        let over = fetched.len().saturating_sub(limits::MAX_FETCHED);
        let gone: Vec<_> = gone.into_iter().chain(fetched.drain(..over)).collect();
        drop(fetched);
        gone.iter().for_each(|gone| self.remove(gone));
        self.add(holding);
    }

    pub(crate) fn remove(&self, holding: &Arc<Holding>) {
        let mut all = self.lock();
        if let Some(same) = all.get_mut(&holding.content) {
            same.retain(|other| !Arc::ptr_eq(other, holding));
            if same.is_empty() {
                all.remove(&holding.content);
            }
        }
        holding.stopped.send_replace(true);
        if let Some(draft) = &holding.draft {
            draft.progress.stop.store(true, Ordering::Relaxed);
        }
        let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        fetched.retain(|other| !Arc::ptr_eq(other, holding));
    }

    /// Whether this content is here as a public share and as a private one: then what is known of the one could tell of
    /// the other.
    pub(crate) fn is_mixed(&self, content: ContentId) -> bool {
        let all = self.lock();
        let public = |holding: &&Arc<Holding>| holding.access == Access::Public;
        all.get(&content).is_some_and(|same| {
            let public = same.iter().filter(public).count();
            public > 0 && public < same.len()
        })
    }

    /// All of them that others may have too, in short.
    pub(crate) fn held(&self) -> Vec<Held> {
        let all = self.lock();
        all.values()
            .flatten()
            .filter(|holding| holding.draft.is_none())
            .map(|holding| holding.held())
            .collect()
    }

    /// A holding that this peer may have. Whether there is none or it is not for this peer cannot be told from
    /// outside, not even by the time it takes: without a holding, a proof is computed all the same.
    pub(crate) fn find(
        &self,
        content: ContentId,
        peer: PeerId,
        proof: &[u8; 32],
        binding: &[u8; 32],
    ) -> Option<Arc<Holding>> {
        let claim = Claim { content, peer, proof: blake3::Hash::from_bytes(*proof), binding };
        // Nothing stands in for what is not here, so that the same work is done, call for call.
        let mut same: Vec<Option<Arc<Holding>>> = Vec::with_capacity(1);
        match self.lock().get(&content) {
            Some(all) => same.extend(all.iter().map(|holding| Some(holding.clone()))),
            None => same.push(None),
        }
        let holds = |holding: &Option<Arc<Holding>>| {
            let (secret, access) = match holding {
                Some(holding) => (&holding.secret, &holding.access),
                None => (&[0; 16], &Access::Ticket),
            };
            std::hint::black_box(claim.holds(secret, access))
        };
        // Those that are complete first; then those that the proof is for, whose sharer waits to hear of it: a
        // public one admits everybody.
        let mut fitting: Vec<_> = same.into_iter().filter(holds).flatten().collect();
        fitting.sort_by_key(|holding| (holding.have.borrow().is_some(), holding.access == Access::Public));
        fitting.into_iter().next()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ContentId, Vec<Arc<Holding>>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
