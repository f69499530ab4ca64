//! Where verified bytes go: to files in a staging directory, with the journal and the pack beside them, or, in
//! order, to whoever reads a stream.
//!
//! To the disk the order is: data, then its proof into the pack, then the note in the journal. A checkpoint syncs in the
//! same order, beside the lanes, and vouches only for what was noted before it began.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::journal::Journal;
use crate::layout::{Layout, Segment};
use crate::limits::SYNC_ONE_BY_ONE;
use crate::manifest::Manifest;
use crate::staging::Staging;
use crate::tree::{self, NODE};

/// Bytes between two checkpoints. DESIGN: power loss costs at most one.
const CHECKPOINT: u64 = 16 * 1024 * 1024;

/// See the module.
pub(crate) enum Sink {
    Disk(Disk),
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
    ) -> Self {
        let (touched, since_checkpoint, syncing) = Default::default();
        let journal = Mutex::new(journal);
        Disk { staging, pack, manifest, layout, journal, touched, since_checkpoint, syncing }
    }

    /// Opens a file for writing, made at its full length the first time.
    pub(crate) fn open(&self, file: usize) -> io::Result<File> {
        let entry = &self.manifest.entries()[file];
        let opened = self.staging.file(&entry.path)?;
        lock(&self.touched).insert(file);
        Ok(opened)
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
        lock(&self.journal).append(segment.line.clone())?;
        let bytes = self.layout.byte_len(&segment.line);
        let before = self.since_checkpoint.fetch_add(bytes, Ordering::Relaxed);
        Ok(before < CHECKPOINT && before + bytes >= CHECKPOINT)
    }

    /// Makes what has been noted so far survive a loss of power: data, then pack, then journal.
    pub(crate) fn checkpoint(&self) -> io::Result<()> {
        let _one_at_a_time = lock(&self.syncing);
        self.since_checkpoint.store(0, Ordering::Relaxed);
        // What is noted from here on is not covered: the journal is marked as it is now.
        let mark = lock(&self.journal).mark();
        let touched = std::mem::take(&mut *lock(&self.touched));
        if touched.len() > SYNC_ONE_BY_ONE {
            self.staging.sync_all()?;
        } else {
            for file in &touched {
                self.staging.file(&self.manifest.entries()[*file].path)?.sync_data()?;
            }
        }
        self.pack.sync_data()?;
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
