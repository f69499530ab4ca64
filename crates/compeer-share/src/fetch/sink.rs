//! Where verified bytes go: to files in a staging directory, with the journal and the pack beside them, or, in
//! order, to whoever reads a stream.
//!
//! To the disk the order is: data, then its proof into the pack, then the note in the journal. A checkpoint syncs in the
//! same order, beside the lanes, and vouches only for what was noted before it began. With a draft, the hashes of the data take
//! the place of its proof.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::journal::Journal;
use crate::layout::{Layout, Segment};
use crate::limits::SYNC_ONE_BY_ONE;
use crate::manifest::Manifest;
use crate::staging::Staging;
use crate::transfers::Directory;
use crate::tree::{self, HASH, NODE};

/// Bytes between two checkpoints. DESIGN: power loss costs at most one.
const CHECKPOINT: u64 = 16 * 1024 * 1024;

/// See the module.
pub(crate) enum Sink {
    Disk(Box<Disk>),
    InOrder(InOrder),
}

/// Files of a staging directory.
pub(crate) struct Disk {
    pub(crate) staging: Arc<Staging>,
    pub(crate) pack: Arc<File>,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) layout: Arc<Layout>,
    journal: Mutex<Journal>,
    /// Files written to since the last checkpoint.
    touched: Mutex<BTreeSet<usize>>,
    since_checkpoint: AtomicU64,
    syncing: Mutex<()>,
    synced: AtomicBool,
    directory: Directory,
    one_by_one: Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    pub(crate) fn new(
        staging: Arc<Staging>,
        pack: Arc<File>,
        manifest: Arc<Manifest>,
        layout: Arc<Layout>,
        journal: Journal,
        directory: Directory,
    ) -> Self {
        let (touched, since_checkpoint, syncing, synced, one_by_one) = Default::default();
        let journal = Mutex::new(journal);
        Disk {
            staging,
            pack,
            manifest,
            layout,
            journal,
            touched,
            since_checkpoint,
            syncing,
            synced,
            directory,
            one_by_one,
        }
    }

    /// Opens a file for writing, made at its full length the first time.
    pub(crate) fn open(&self, file: usize) -> io::Result<File> {
        let entry = &self.manifest.entries()[file];
        Ok(self.staging.file(&entry.path)?)
    }

    /// A segment is written: keeps its proof and notes it. Whether a checkpoint is due.
    pub(crate) fn keep(&self, segment: &Segment, proof: &[u8]) -> io::Result<bool> {
        let outboard = self.layout.outboard(segment.file);
        let mut proof = proof;
        for run in tree::proof_nodes(self.layout.file_groups(segment.file), &segment.groups) {
            let (nodes, rest) = proof.split_at(((run.end - run.start) * NODE) as usize);
            self.pack.write_all_at(nodes, outboard + run.start * NODE)?;
            proof = rest;
        }
        self.note(segment.file, segment.line.clone())
    }

    /// As long as this is held, nobody else writes. Groups of a draft may come twice and differ, so their data and their
    /// hashes are written together or not at all.
    pub(crate) fn one_by_one(&self) -> MutexGuard<'_, ()> {
        lock(&self.one_by_one)
    }

    /// Groups of a draft are written: keeps their hashes and notes them. Whether a checkpoint is due.
    pub(crate) fn keep_unproven(&self, file: usize, line: Range<u64>, hashes: &[u8]) -> io::Result<bool> {
        self.pack.write_all_at(hashes, line.start * HASH)?;
        self.note(file, line)
    }

    fn note(&self, file: usize, line: Range<u64>) -> io::Result<bool> {
        // Before it is noted: a checkpoint syncs at least the files of what it vouches for.
        lock(&self.touched).insert(file);
        lock(&self.journal).append(line.clone())?;
        let bytes = self.layout.byte_len(&line);
        let before = self.since_checkpoint.fetch_add(bytes, Ordering::Relaxed);
        Ok(before < CHECKPOINT && before + bytes >= CHECKPOINT)
    }

    fn sync(&self, touched: &BTreeSet<usize>) -> io::Result<()> {
        if touched.len() > SYNC_ONE_BY_ONE {
            self.staging.sync_all()?;
        } else {
            for file in touched {
                // With its name, which the first time is new. A file that is gone all the same is noticed when one goes on.
                self.staging.file(&self.manifest.entries()[*file].path)?.sync_all()?;
            }
        }
        if !self.synced.load(Ordering::Acquire) {
            self.directory.sync(self.manifest.is_draft())?;
            self.synced.store(true, Ordering::Release);
        }
        self.pack.sync_data()
    }

    /// Makes what has been noted so far survive a loss of power: data, then pack, then journal.
    pub(crate) fn checkpoint(&self) -> io::Result<()> {
        let _one_at_a_time = lock(&self.syncing);
        self.since_checkpoint.store(0, Ordering::Relaxed);
        // What is noted from here on is not covered: the journal is marked as it is now.
        let mark = lock(&self.journal).mark();
        let touched = std::mem::take(&mut *lock(&self.touched));
        if touched.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.sync(&touched) {
            lock(&self.touched).extend(touched);
            return Err(error);
        }
        lock(&self.journal).checkpoint(mark)
    }
}

/// Puts segments back into order for one reader.
pub(crate) struct InOrder {
    out: mpsc::Sender<Bytes>,
    waiting: tokio::sync::Mutex<Waiting>,
}

/// The next group to be sent, and by their first group, segments that came before their turn, with their ends.
type Waiting = (u64, BTreeMap<u64, (u64, Bytes)>);

impl InOrder {
    /// Begins at this group; sends in order.
    pub(crate) fn new(begin: u64, out: mpsc::Sender<Bytes>) -> Self {
        InOrder { out, waiting: tokio::sync::Mutex::new((begin, BTreeMap::new())) }
    }

    /// Hands over a verified segment.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub(crate) async fn put(&self, segment: &Segment, data: Bytes) -> io::Result<()> {
        let mut waiting = self.waiting.lock().await;
        let (next, parts) = &mut *waiting;
        if segment.line.start >= *next {
            parts.insert(segment.line.start, (segment.line.end, data));
        }
        while let Some((end, data)) = parts.remove(next) {
            self.out.send(data).await.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            *next = end;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Entry;

    /// A lane keeps its file open over many segments: each checkpoint has to sync it again.
    #[test]
    fn every_checkpoint_syncs_the_files_it_vouches_for() {
        let dir = tempfile::tempdir().unwrap();
        let size = 200 * tree::GROUP;
        let (root, executable, modified, modified_nanos) = ([7; 32], false, 0, 0);
        let entry = Entry { path: "a".into(), size, root, executable, modified, modified_nanos };
        let manifest = Arc::new(Manifest::new(vec![entry]).unwrap());
        let layout = Arc::new(Layout::new([size]));
        let staging = Arc::new(Staging::create(dir.path(), "aaaaaaaa").unwrap());
        let home = dir.path().join("home");
        let target = crate::staging::Target { dir: dir.path().into(), file_name: None };
        let directory = Directory::of(&home, manifest.id(), &target, &[0], 1);
        let record = crate::transfers::Record {
            ticket: String::new(),
            title: String::new(),
            bytes: size,
            dir: dir.path().into(),
            file_name: None,
            selected: Vec::new(),
            device: None,
            draft: false,
            began: None,
            code: String::new(),
        };
        directory.create(&record, &manifest.encode()).unwrap();
        let journal = Journal::create(&directory.journal(false), [0; 32], layout.groups()).unwrap();
        let pack = Arc::new(directory.pack(false).unwrap());
        let disk = Disk::new(staging, pack, manifest, layout.clone(), journal, directory);
        let _open = disk.open(0).unwrap();
        for segment in layout.segments(0..200) {
            let nodes = tree::proof_nodes(200, &segment.groups);
            let proof = vec![0; nodes.iter().map(|run| ((run.end - run.start) * NODE) as usize).sum()];
            disk.keep(&segment, &proof).unwrap();
            assert_eq!(*lock(&disk.touched), BTreeSet::from([0]), "noted and not to be synced");
            disk.checkpoint().unwrap();
            assert!(lock(&disk.touched).is_empty());
        }
    }
}
