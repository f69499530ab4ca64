//! The journal of a fetch: which groups have been received, over `kill -9` and power loss.
//!
//! A file in the home to which a record is written after each verified segment, without syncing. A
//! *checkpoint* is a record of its own, synced: whoever writes it has synced data and outboard before, so
//! what is before it is **sure** on recovery, whatever happened. What was noted after it is
//! **unsure**: after `kill -9` it is all there, after a power loss the note may have survived its data. It is
//! verified again by the caller, and noted again if it is true; what is not is dropped by the
//! next checkpoint.
//!
//! Segments arrive while a checkpoint syncs. So it covers what was noted before a [`Mark`] that is taken
//! first: mark, sync the data, checkpoint.
//!
//! Nothing that is read is believed without its checksum. It is keyed with the root of the share and covers the
//! place of the record, so neither garbage nor records of another journal count; the first record that is
//! wrong ends the journal, and what follows is cut off. When most of the records say nothing new, a checkpoint
//! writes the journal anew beside itself, syncs it and renames it.
//!
//! Not here: what the groups are, and where their bytes lie.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::RangeSet;
use crate::limits::COMPACT_RECORDS;

const MAGIC: [u8; 8] = *b"cpjourn1";
/// Magic, groups, root, checksum. Unit: bytes.
const HEAD: usize = 56;
/// Kind, start, end, checksum. Unit: bytes.
const RECORD: usize = 24;

/// What a record says of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Have = 1,
    Lost = 2,
    Checkpoint = 3,
    /// Opened again: what no checkpoint covers is in doubt.
    Again = 4,
}

/// A journal that is being written. One process at a time: the lock of the home sees to that.
///
/// ```
/// use compeer_share::journal::Journal;
///
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("journal");
/// let mut journal = Journal::create(&path, [7; 32], 1000)?;
/// journal.append(0..64)?;
/// let mark = journal.mark();
/// // Here data and outboard of 0..64 are synced.
/// journal.checkpoint(mark)?;
/// journal.append(64..128)?;
/// drop(journal);
///
/// let (_journal, found) = Journal::open(&path)?;
/// assert_eq!((found.root, found.groups), ([7; 32], 1000));
/// assert!(found.sure.contains_range(&(0..64)));
/// assert!(found.unsure.contains_range(&(64..128)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    root: [u8; 32],
    groups: u64,
    /// Records in the file.
    records: u64,
    state: State,
    /// Whether the file's name may be lost yet.
    unnamed: bool,
}

/// What a checkpoint covers: all that was noted when it was taken. See [`Journal::mark`].
#[derive(Clone, Copy, Debug)]
pub struct Mark(u64);

/// What records say, in their order: the same for who writes them and who reads them.
#[derive(Debug, Default)]
struct State {
    /// What is on the disk.
    sure: RangeSet,
    /// Records that no checkpoint covers, by number. As many as segments arrive between two checkpoints.
    since: VecDeque<(u64, Kind, Range<u64>)>,
    /// What was noted in an earlier run, and in that one not made sure.
    doubted: RangeSet,
}

impl State {
    /// The record of this number. Of a checkpoint, the range begins at the first record it does not cover.
    fn apply(&mut self, number: u64, kind: Kind, range: Range<u64>) {
        match kind {
            Kind::Have => self.since.push_back((number, kind, range)),
            Kind::Lost => {
                self.sure.remove(range.clone());
                self.doubted.remove(range.clone());
                self.since.push_back((number, kind, range));
            }
            Kind::Again => {
                self.doubted = self.unsure();
                self.since.clear();
            }
            Kind::Checkpoint => {
                let covered = self.since.partition_point(|(number, ..)| *number < range.start);
                for (_, kind, range) in self.since.drain(..covered) {
                    match kind {
                        Kind::Have => self.sure.insert(range),
                        _ => self.sure.remove(range),
                    }
                }
                self.doubted = RangeSet::new();
                for (_, _, lost) in self.since.iter().filter(|(_, kind, _)| *kind == Kind::Lost) {
                    self.sure.remove(lost.clone());
                }
            }
        }
    }

    /// What was noted since the last checkpoint and is not sure.
    fn unsure(&self) -> RangeSet {
        let mut noted = self.doubted.clone();
        for (_, kind, range) in &self.since {
            match kind {
                Kind::Have => noted.insert(range.clone()),
                _ => noted.remove(range.clone()),
            }
        }
        noted.difference(&self.sure)
    }
}

/// What a journal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Of which share.
    pub root: [u8; 32],
    /// How many groups it has.
    pub groups: u64,
    /// What is on the disk.
    pub sure: RangeSet,
    /// What was noted after the last checkpoint: to be verified again.
    pub unsure: RangeSet,
}

/// A file that cannot be read, or is no journal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file cannot be read or written.
    #[error("cannot read the journal of a fetch: {0}")]
    Io(#[from] io::Error),
    /// It does not begin like a journal: nothing in it can be used.
    #[error("the journal of a fetch is damaged: the fetch has to begin anew")]
    Damaged,
}

impl Journal {
    /// Begins a journal; one of this name is replaced. Synced by the first checkpoint.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: &Path, root: [u8; 32], groups: u64) -> io::Result<Journal> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        file.write_all_at(&head(&root, groups), 0)?;
        let path = path.to_owned();
        Ok(Journal { path, file, root, groups, records: 0, state: State::default(), unnamed: true })
    }

    /// Opens a journal, and cuts off what a crash left half-written.
    ///
    /// # Errors
    /// The file cannot be read, or its beginning is not one of a journal.
    pub fn open(path: &Path) -> Result<(Journal, Recovered), JournalError> {
        let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
        let (found, state, records) = read(BufReader::with_capacity(64 * 1024, &file))?;
        file.set_len(offset(records))?;
        let mut journal = Journal {
            path: path.to_owned(),
            file,
            root: found.root,
            groups: found.groups,
            records,
            state,
            unnamed: true,
        };
        if !found.unsure.is_empty() {
            journal.write(vec![(Kind::Again, 0..0)])?;
        }
        Ok((journal, found))
    }

    /// Notes groups whose bytes have been verified and written, not necessarily synced.
    ///
    /// # Errors
    /// The record cannot be written; it then counts as not written, and the journal can be used on.
    pub fn append(&mut self, groups: Range<u64>) -> io::Result<()> {
        self.write(vec![(Kind::Have, groups)])
    }

    /// Notes that groups are gone after all, sure or not: their file is, or was changed.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub fn forget(&mut self, groups: Range<u64>) -> io::Result<()> {
        self.write(vec![(Kind::Lost, groups)])
    }

    /// What has been noted so far, for a [`checkpoint`](Self::checkpoint). One checkpoint at a time.
    pub fn mark(&self) -> Mark {
        Mark(self.records)
    }

    /// Notes that what was noted before `mark` is on the disk. **The caller has synced data and outboard since it took
    /// the mark.** What [`open`](Self::open) called unsure and was not noted again is dropped.
    ///
    /// # Errors
    /// The record cannot be written or synced; what it was to cover stays unsure.
    pub fn checkpoint(&mut self, mark: Mark) -> io::Result<()> {
        self.write(vec![(Kind::Checkpoint, mark.0..mark.0)])?;
        if self.records >= COMPACT_RECORDS && self.records / 2 > self.worth() {
            return self.rewrite();
        }
        self.file.sync_data()?;
        if std::mem::take(&mut self.unnamed) {
            sync_parent(&self.path)?;
        }
        Ok(())
    }

    /// Ends the journal and removes its file.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove(self) -> io::Result<()> {
        // Only there after a crash between writing it and renaming it.
        let _ = fs::remove_file(self.path.with_extension("new"));
        fs::remove_file(&self.path)
    }

    /// Writes records at the end. What a failed write leaves there is written over by the next.
    fn write(&mut self, records: Vec<(Kind, Range<u64>)>) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(records.len() * RECORD);
        for (number, (kind, range)) in (self.records..).zip(&records) {
            bytes.extend(record(&self.root, number, *kind, range));
        }
        self.file.write_all_at(&bytes, offset(self.records))?;
        for (kind, range) in records {
            self.state.apply(self.records, kind, range);
            self.records += 1;
        }
        Ok(())
    }

    /// How many records it takes to say what this journal says.
    fn worth(&self) -> u64 {
        (self.state.sure.runs() + self.state.since.len() + 1) as u64
    }

    /// Writes a journal that says the same in as few records as can be, and puts it in the place of this one.
    fn rewrite(&mut self) -> io::Result<()> {
        let beside = self.path.with_extension("new");
        let mut next = Journal::create(&beside, self.root, self.groups)?;
        let sure = self.state.sure.iter().map(|range| (Kind::Have, range));
        next.write(sure.collect())?;
        let covered = next.records..next.records;
        let since = self.state.since.iter().map(|(_, kind, range)| (*kind, range.clone()));
        next.write([(Kind::Checkpoint, covered)].into_iter().chain(since).collect())?;
        next.file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        next.path = std::mem::take(&mut self.path);
        next.unnamed = false;
        *self = next;
        sync_parent(&self.path)
    }
}

/// Reads a journal as far as it can be believed: what it says, and of how many records that is.
///
/// # Errors
/// It cannot be read, or does not begin like a journal.
pub fn recover(bytes: impl Read) -> Result<(Recovered, u64), JournalError> {
    read(bytes).map(|(found, _, records)| (found, records))
}

fn read(mut bytes: impl Read) -> Result<(Recovered, State, u64), JournalError> {
    let mut first = [0; HEAD];
    if !fill(&mut bytes, &mut first)? {
        return Err(JournalError::Damaged);
    }
    let groups = u64_at(&first, 8);
    let mut root = [0; 32];
    root.copy_from_slice(&first[16..48]);
    if first != head(&root, groups) {
        return Err(JournalError::Damaged);
    }
    let (mut state, mut records) = (State::default(), 0);
    let mut next = [0; RECORD];
    while fill(&mut bytes, &mut next)? {
        let Some((kind, range)) = believed(&root, groups, records, &next) else { break };
        state.apply(records, kind, range);
        records += 1;
    }
    let (sure, unsure) = (state.sure.clone(), state.unsure());
    Ok((Recovered { root, groups, sure, unsure }, state, records))
}

/// Where a record lies in the file. Unit: bytes.
const fn offset(record: u64) -> u64 {
    HEAD as u64 + record * RECORD as u64
}

fn head(root: &[u8; 32], groups: u64) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&MAGIC);
    head[8..16].copy_from_slice(&groups.to_le_bytes());
    head[16..48].copy_from_slice(root);
    let check = blake3::hash(&head[..48]);
    head[48..].copy_from_slice(&check.as_bytes()[..8]);
    head
}

fn record(root: &[u8; 32], number: u64, kind: Kind, range: &Range<u64>) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[0] = kind as u8;
    record[1..9].copy_from_slice(&range.start.to_le_bytes());
    record[9..17].copy_from_slice(&range.end.to_le_bytes());
    let mut hasher = blake3::Hasher::new_keyed(root);
    hasher.update(&number.to_le_bytes()).update(&record[..17]);
    record[17..].copy_from_slice(&hasher.finalize().as_bytes()[..7]);
    record
}

/// What a record says, if it is what was written there and makes sense.
fn believed(root: &[u8; 32], groups: u64, number: u64, bytes: &[u8; RECORD]) -> Option<(Kind, Range<u64>)> {
    let kind = [Kind::Have, Kind::Lost, Kind::Checkpoint, Kind::Again];
    let kind = kind.into_iter().find(|kind| *kind as u8 == bytes[0])?;
    let range = u64_at(bytes, 1)..u64_at(bytes, 9);
    let sensible = match kind {
        Kind::Checkpoint => range.start <= number,
        Kind::Again => true,
        _ => range.start < range.end && range.end <= groups,
    };
    (sensible && record(root, number, kind, &range) == *bytes).then_some((kind, range))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

/// Fills `buffer`; false when the bytes end before that.
fn fill(bytes: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match bytes.read_exact(buffer) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        other => other.map(|()| true),
    }
}

/// Makes the name of a file survive a power loss.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests;
