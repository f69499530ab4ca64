//! Transfers: what of a fetch lies in the home, so that it goes on after whatever befalls us.
//!
//! Each has a directory named by its id: `transfer.json` (what is fetched, from whom, to where), `manifest`,
//! `journal` (what has arrived) and `pack` (the hashes that prove it). The data itself lies beside its target, in the
//! staging directory that carries the same id. The id follows from what is fetched to where, so that the same
//! command typed again finds what the first one left. When a fetch is done, both directories are gone.
//!
//! One that begins with a draft has the files `draft-manifest`, `draft-journal` and `draft-pack` (the hashes of the groups
//! that came, 32 bytes each). When it is known what the content is, the others are written beside them; then
//! `transfer.json` is replaced, which says which ones count.

use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

use compeer::ShareTicket;
use serde::{Deserialize, Serialize};

use crate::ContentId;
use crate::journal;
use crate::layout::Layout;
use crate::manifest::Manifest;
use crate::shares::TransferInfo;
use crate::staging::{Staging, Target, system};

/// What a transfer is about; kept as JSON.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The whole ticket: a secret, like the home it lies in.
    pub(crate) ticket: String,
    pub(crate) title: String,
    /// Bytes of the files that were selected.
    pub(crate) bytes: u64,
    pub(crate) dir: PathBuf,
    pub(crate) file_name: Option<String>,
    /// The selected files by their places in the manifest; empty: all.
    pub(crate) selected: Vec<usize>,
    /// The device that `dir` is on; `None` until it is made.
    #[serde(default)]
    pub(crate) device: Option<u64>,
    /// Whether what is fetched is a draft.
    #[serde(default)]
    pub(crate) draft: bool,
    /// The draft that it began with, or is: the id follows from that.
    #[serde(default)]
    pub(crate) began: Option<ContentId>,
    /// The code that led to the ticket; empty when none did. It works once, so whoever types it again means this.
    #[serde(default)]
    pub(crate) code: String,
}

impl Record {
    fn json(&self) -> io::Result<Vec<u8>> {
        serde_json::to_vec_pretty(self).map_err(io::Error::other)
    }
}

/// Without its secret.
impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record").field("title", &self.title).finish_non_exhaustive()
    }
}

/// The device that a directory is on, if it is there.
pub(crate) fn device(dir: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(dir).ok().map(|meta| meta.dev())
}

/// The directory of one transfer.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    pub(crate) id: String,
    path: PathBuf,
}

impl Directory {
    /// The directory for this content at this target; not made yet.
    pub(crate) fn of(
        transfers: &Path,
        content: ContentId,
        target: &Target,
        selected: &[usize],
        all: usize,
    ) -> Directory {
        let mut hasher = blake3::Hasher::new_derive_key("compeer 2026 share transfer id");
        hasher.update(content.as_bytes());
        hasher.update(target.dir.as_os_str().as_encoded_bytes()).update(&[0]);
        hasher.update(target.file_name.as_deref().unwrap_or_default().as_bytes());
        if selected.len() < all {
            for file in selected {
                hasher.update(&(*file as u64).to_le_bytes());
            }
        }
        let id = data_encoding::BASE32_NOPAD.encode(&hasher.finalize().as_bytes()[..5]).to_ascii_lowercase();
        Directory { path: transfers.join(&id), id }
    }

    /// The directory of a transfer of this content to this target that began with a draft, if there is one: its id does not
    /// follow from the content.
    pub(crate) fn begun_with_draft(
        transfers: &Path,
        content: ContentId,
        target: &Target,
        selected: &[usize],
        all: usize,
    ) -> Option<Directory> {
        let chosen = if selected.len() < all { selected } else { &[] };
        let same = |(record, ticket): (Record, ShareTicket)| {
            record.began.is_some()
                && ticket.root == *content.as_bytes()
                && (&record.dir, &record.file_name) == (&target.dir, &target.file_name)
                && record.selected == chosen
        };
        Directory::all(transfers).into_iter().find(|directory| directory.record().is_ok_and(same))
    }

    /// The directory of this id, if there is one.
    pub(crate) fn named(transfers: &Path, id: &str) -> Option<Directory> {
        let plain = id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let path = transfers.join(id);
        (plain && path.is_dir()).then(|| Directory { id: id.into(), path })
    }

    /// All that are there.
    pub(crate) fn all(transfers: &Path) -> Vec<Directory> {
        let Ok(entries) = fs::read_dir(transfers) else { return Vec::new() };
        let mut all: Vec<_> = entries
            .filter_map(|entry| Directory::named(transfers, entry.ok()?.file_name().to_str()?))
            .collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// Keeps others of this home from beginning or going on with a transfer, until dropped.
    pub(crate) fn alone(&self) -> io::Result<File> {
        let transfers = self.path.parent().unwrap_or(&self.path);
        private_dir(transfers)?;
        let lock = File::open(transfers)?;
        system::lock_waiting(&lock)?;
        Ok(lock)
    }

    /// Whether it is there, and of a draft.
    pub(crate) fn is_draft(&self) -> bool {
        self.record().is_ok_and(|(record, _)| record.draft)
    }

    fn part(&self, name: &str, draft: bool) -> PathBuf {
        self.path.join(if draft { format!("draft-{name}") } else { name.into() })
    }

    pub(crate) fn journal(&self, draft: bool) -> PathBuf {
        self.part("journal", draft)
    }

    /// Makes it, and what does not change any more in it.
    pub(crate) fn create(&self, record: &Record, manifest: &[u8]) -> io::Result<()> {
        private_dir(&self.path)?;
        self.put(&self.part("manifest", record.draft), manifest, |_| Ok(()))?;
        // Last: a directory without it is none.
        self.put(&self.path.join("transfer.json"), &record.json()?, |_| Ok(()))
    }

    /// Puts another record in place of the one that is there, so that a loss of power leaves the one or the other.
    pub(crate) fn replace(&self, record: &Record, manifest: &[u8]) -> io::Result<()> {
        self.put(&self.part("manifest", record.draft), manifest, File::sync_all)?;
        self.put(&self.path.join("transfer.json"), &record.json()?, File::sync_all)?;
        File::open(&self.path)?.sync_all()
    }

    /// Writes a file, whole or not at all; one that is there and the same stays.
    fn put(&self, path: &Path, bytes: &[u8], sync: impl Fn(&File) -> io::Result<()>) -> io::Result<()> {
        if fs::read(path).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        let part = self.path.join("part");
        let mut file = File::create(&part)?;
        file.write_all(bytes)?;
        sync(&file)?;
        fs::rename(part, path)
    }

    /// Makes what is in it last.
    pub(crate) fn sync(&self, draft: bool) -> io::Result<()> {
        for path in [self.part("manifest", draft), self.path.join("transfer.json")] {
            File::open(path)?.sync_all()?;
        }
        File::open(&self.path)?.sync_all()
    }

    /// The hashes that prove what has come; for a draft, those of what has come.
    pub(crate) fn pack(&self, draft: bool) -> io::Result<File> {
        let path = self.part("pack", draft);
        File::options().read(true).write(true).create(true).truncate(false).open(path)
    }

    /// Removes what only a draft needs.
    pub(crate) fn forget_draft(&self) {
        for name in ["manifest", "journal", "pack"] {
            // What stays goes with the directory.
            let _ = fs::remove_file(self.part(name, true));
        }
    }

    pub(crate) fn record(&self) -> io::Result<(Record, ShareTicket)> {
        let json = fs::read(self.path.join("transfer.json"))?;
        let record: Record = serde_json::from_slice(&json).map_err(io::Error::other)?;
        let ticket = record.ticket.parse().map_err(io::Error::other)?;
        Ok((record, ticket))
    }

    pub(crate) fn manifest(&self, draft: bool) -> io::Result<Vec<u8>> {
        fs::read(self.part("manifest", draft))
    }

    /// For a list; `None` when it cannot be read.
    pub(crate) fn info(&self) -> Option<TransferInfo> {
        let (record, _) = self.record().ok()?;
        let manifest = Manifest::decode(&self.manifest(record.draft).ok()?).ok()?;
        let layout = Layout::new(manifest.entries().iter().map(|entry| entry.size));
        let (found, _) =
            journal::recover(BufReader::new(File::open(self.journal(record.draft)).ok()?)).ok()?;
        let have = found.sure.union(&found.unsure);
        let done: u64 = have.iter().map(|range| layout.byte_len(&range)).sum();
        let running = Staging::is_locked(&record.dir, &self.id);
        let Record { title, dir, bytes, .. } = record;
        Some(TransferInfo { id: self.id.clone(), title, dir, bytes, done: done.min(bytes), running })
    }

    pub(crate) fn remove(&self) -> io::Result<()> {
        fs::remove_dir_all(&self.path)
    }
}

/// Makes a directory that only its owner can look into.
pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
