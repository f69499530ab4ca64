//! The journal of a fetch: which groups have been received, over `kill -9` and power loss.
//!
//! A file in the home to which a record is written after each verified segment, without syncing. A
//! *checkpoint* is a record of its own, synced: whoever writes it has synced data and outboard before, so
//! what is before it is **sure** on recovery, whatever happened. What was noted after it is
//! **unsure**: after `kill -9` it is all there, after a power loss the note may have survived its data. It is
//! verified again by the caller, and noted again if it is true; what is not is dropped by the
//! next checkpoint.
//!
//! Nothing that is read is believed without its checksum. It is keyed with the root of the share and covers the
//! place of the record, so neither garbage nor records of another journal count; the first record that is
//! wrong ends the journal, and what follows is cut off. When most of the records say nothing new, a checkpoint
//! writes the journal anew beside itself, syncs it and renames it.
//!
//! Not here: what the groups are, and where their bytes lie.

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
/// journal.checkpoint()?; // data and outboard of 0..64 are synced
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
    /// What the file says we have, unsure groups included.
    have: RangeSet,
    /// Of these, what was unsure when the journal was opened and has not been noted again.
    unsure: RangeSet,
    /// Whether the file's name may be lost yet.
    unnamed: bool,
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
        let (have, unsure) = Default::default();
        Ok(Journal { path, file, root, groups, records: 0, have, unsure, unnamed: true })
    }

    /// Opens a journal, and cuts off what a crash left half-written.
    ///
    /// # Errors
    /// The file cannot be read, or its beginning is not one of a journal.
    pub fn open(path: &Path) -> Result<(Journal, Recovered), JournalError> {
        let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
        let (found, records) = recover(BufReader::with_capacity(64 * 1024, &file))?;
        file.set_len(offset(records))?;
        let journal = Journal {
            path: path.to_owned(),
            file,
            root: found.root,
            groups: found.groups,
            records,
            have: found.sure.union(&found.unsure),
            unsure: found.unsure.clone(),
            unnamed: true,
        };
        Ok((journal, found))
    }

    /// Notes groups whose bytes have been verified and written, not necessarily synced.
    ///
    /// # Errors
    /// The record cannot be written; it then counts as not written, and the journal can be used on.
    pub fn append(&mut self, groups: Range<u64>) -> io::Result<()> {
        self.write(&[(Kind::Have, groups.clone())])?;
        self.unsure.remove(groups.clone());
        self.have.insert(groups);
        Ok(())
    }

    /// Notes that groups are gone after all, sure or not: their file is, or was changed.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub fn forget(&mut self, groups: Range<u64>) -> io::Result<()> {
        self.write(&[(Kind::Lost, groups.clone())])?;
        self.unsure.remove(groups.clone());
        self.have.remove(groups);
        Ok(())
    }

    /// Notes that all that was noted is on the disk. **The caller has synced data and outboard of it before.** What
    /// [`open`](Self::open) called unsure and was not noted again is dropped.
    ///
    /// # Errors
    /// The record cannot be written or synced; the checkpoint then counts as not made.
    pub fn checkpoint(&mut self) -> io::Result<()> {
        let have = self.have.difference(&self.unsure);
        if self.records >= COMPACT_RECORDS && self.records / 2 > have.runs() as u64 {
            return self.rewrite(have);
        }
        let lost = self.unsure.iter().map(|range| (Kind::Lost, range));
        let records: Vec<_> = lost.chain([(Kind::Checkpoint, 0..0)]).collect();
        self.write(&records)?;
        self.have = have;
        self.unsure = RangeSet::new();
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
    fn write(&mut self, records: &[(Kind, Range<u64>)]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(records.len() * RECORD);
        for (number, (kind, range)) in (self.records..).zip(records) {
            bytes.extend(record(&self.root, number, *kind, range));
        }
        self.file.write_all_at(&bytes, offset(self.records))?;
        self.records += records.len() as u64;
        Ok(())
    }

    /// Writes a journal that says only `have`, and puts it in the place of this one.
    fn rewrite(&mut self, have: RangeSet) -> io::Result<()> {
        let beside = self.path.with_extension("new");
        let mut next = Journal::create(&beside, self.root, self.groups)?;
        let runs = have.iter().map(|range| (Kind::Have, range));
        let records: Vec<_> = runs.chain([(Kind::Checkpoint, 0..0)]).collect();
        next.write(&records)?;
        next.file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        sync_parent(&self.path)?;
        next.path = std::mem::take(&mut self.path);
        (next.have, next.unnamed) = (have, false);
        *self = next;
        Ok(())
    }
}

/// Reads a journal as far as it can be believed: what it says, and of how many records that is.
///
/// # Errors
/// It cannot be read, or does not begin like a journal.
pub fn recover(mut bytes: impl Read) -> Result<(Recovered, u64), JournalError> {
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
    // What the last checkpoint covers, and what was noted since.
    let (mut sure, mut since, mut records) = (RangeSet::new(), RangeSet::new(), 0);
    let mut next = [0; RECORD];
    while fill(&mut bytes, &mut next)? {
        let Some((kind, range)) = believed(&root, groups, records, &next) else { break };
        records += 1;
        match kind {
            Kind::Have => since.insert(range),
            Kind::Lost => {
                sure.remove(range.clone());
                since.remove(range);
            }
            // Range by range: a union would copy all that is sure, at each of many checkpoints.
            Kind::Checkpoint => std::mem::take(&mut since).iter().for_each(|range| sure.insert(range)),
        }
    }
    let unsure = since.difference(&sure);
    Ok((Recovered { root, groups, sure, unsure }, records))
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
    let kind = [Kind::Have, Kind::Lost, Kind::Checkpoint].into_iter().find(|kind| *kind as u8 == bytes[0])?;
    let range = u64_at(bytes, 1)..u64_at(bytes, 9);
    let sensible = kind == Kind::Checkpoint || range.start < range.end && range.end <= groups;
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
