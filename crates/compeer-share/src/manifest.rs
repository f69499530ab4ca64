//! Manifest: the list of the files of a share, by which the share is named.
//!
//! A share is always a manifest, also when it is one file: so the name, the size and the times of a file
//! are as true as its bytes. Its [`ContentId`] is the BLAKE3 hash of [`Manifest::encode`]. What it lists are
//! files; a folder comes about by the files in it, and an empty one is not carried.
//!
//! A manifest keeps its promises by being one: the paths pass [`names::check`], are sorted by their
//! bytes and unique, none is a folder of another, the sizes together fit an `i64`, and the bounds of
//! [`limits`](crate::limits) hold. [`Manifest::decode`] takes exactly what [`Manifest::encode`] gives, so that one
//! manifest has one id.
//!
//! # Bytes
//!
//! A version (1), the number of entries, the entries, and an extension list; numbers are varints, written in one way only. An entry: how many bytes its path shares with the path before, the rest of the path (length
//! and bytes), size, root (32 bytes), flags (1: executable), modified (seconds, zigzag; nanoseconds).
//!
//! # Drafts
//!
//! A *draft* lists files that are not hashed yet, so that they can be fetched meanwhile: its roots are zero, and a random
//! number in its extension list makes it another one each time. It proves nothing of what is in the files.

use std::cmp::Ordering;

use compeer::ext::Ext;

use crate::ContentId;
use crate::limits::{MAX_ENTRIES, MAX_MANIFEST_BYTES, MAX_PATH_BYTES};
use crate::names::{self, NameError, Rules};
use crate::ranges::{put, take};

const VERSION: u8 = 1;
const EXECUTABLE: u8 = 1;
/// The entry of the extension list that makes it a draft: 16 random bytes.
const DRAFT: u32 = 1;

/// One file of a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it belongs: components with `/` between them, relative to the receiver's directory.
    pub path: String,
    /// Unit: bytes.
    pub size: u64,
    /// The BLAKE3 hash of its content; zero in a draft.
    pub root: [u8; 32],
    /// Whether somebody may run it.
    pub executable: bool,
    /// When its content last changed. Unit: seconds since 1970, negative before.
    pub modified: i64,
    /// The part of a second after `modified`. Unit: nanoseconds, below 10⁹.
    pub modified_nanos: u32,
}

/// The files of a share, sorted by the bytes of their paths.
///
/// ```
/// use compeer_share::{Entry, Manifest};
///
/// let file = |path: &str, size| Entry {
///     path: path.into(), size, root: [7; 32], executable: false, modified: 1_700_000_000, modified_nanos: 0,
/// };
/// let manifest = Manifest::new(vec![file("album/2.jpg", 20), file("album/1.jpg", 10)])?;
/// assert_eq!(manifest.entries()[0].path, "album/1.jpg");
/// assert_eq!((manifest.total(), manifest.title().as_str()), (30, "album"));
/// assert_eq!(Manifest::decode(&manifest.encode())?.id(), manifest.id());
/// assert!(Manifest::new(vec![file("../.bashrc", 1)]).is_err());
/// # Ok::<(), compeer_share::ManifestError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    entries: Vec<Entry>,
    ext: Ext,
}

/// Why files make no manifest, or bytes are none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// More than [`MAX_ENTRIES`] files.
    #[error("a share has at most {MAX_ENTRIES} files: make several, or an archive")]
    TooMany,
    /// More than [`MAX_MANIFEST_BYTES`], or more than [`MAX_PATH_BYTES`] of paths.
    #[error("the paths of these files are too long together: make several shares, or an archive")]
    TooLarge,
    /// A path that may not be one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The same path twice.
    #[error("two files are called {}", compeer::text::escape(.0))]
    Twice(String),
    /// A path is a file and a folder of another path.
    #[error("{} is a file and also a folder", compeer::text::escape(.0))]
    FileAndFolder(String),
    /// The sizes pass 2⁶³ - 1 bytes together, or the nanoseconds a second.
    #[error("the size or time of {} is impossible", compeer::text::escape(.0))]
    Number(String),
    /// Written by a newer program.
    #[error("the list of files has version {0}, which this program does not know: get a newer one")]
    Version(u8),
    /// The bytes are no manifest.
    #[error("these bytes are not a list of files")]
    Malformed,
}

impl Manifest {
    /// The manifest of these files, given in any order.
    ///
    /// # Errors
    /// A path that may not be one, or that is there twice; a file that is also a folder; a bound.
    pub fn new(entries: Vec<Entry>) -> Result<Self, ManifestError> {
        Manifest::with(entries, Ext::new())
    }

    /// The draft of a manifest of these files, whose roots are not looked at. `unique` makes it another than every draft
    /// before it.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn draft(mut entries: Vec<Entry>, unique: [u8; 16]) -> Result<Self, ManifestError> {
        entries.iter_mut().for_each(|entry| entry.root = [0; 32]);
        let mut ext = Ext::new();
        ext.push(DRAFT, &unique).map_err(|_| ManifestError::TooLarge)?;
        Manifest::with(entries, ext)
    }

    fn with(mut entries: Vec<Entry>, ext: Ext) -> Result<Self, ManifestError> {
        if entries.len() > MAX_ENTRIES {
            return Err(ManifestError::TooMany);
        }
        entries.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        let mut checker = Checker::default();
        for at in 0..entries.len() {
            checker.admit(&entries[..at], &entries[at])?;
        }
        let manifest = Manifest { entries, ext };
        match manifest.encode().len() <= MAX_MANIFEST_BYTES {
            true => Ok(manifest),
            false => Err(ManifestError::TooLarge),
        }
    }

    /// The files, sorted by the bytes of their paths.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether the files were not hashed when it was made.
    pub fn is_draft(&self) -> bool {
        self.ext.get(DRAFT).is_some()
    }

    /// Whether this is what has become of a draft: the same files, hashed. Their times may be others.
    pub fn completes(&self, draft: &Manifest) -> bool {
        let same = |(ours, theirs): (&Entry, &Entry)| {
            (&ours.path, ours.size, ours.executable) == (&theirs.path, theirs.size, theirs.executable)
        };
        !self.is_draft()
            && self.entries.len() == draft.entries.len()
            && self.entries.iter().zip(&draft.entries).all(same)
    }

    /// What the share is called everywhere.
    pub fn id(&self) -> ContentId {
        ContentId::of(&self.encode())
    }

    /// All files together. Unit: bytes.
    pub fn total(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size).sum()
    }

    /// What to call it: the one name at the top, or the number of names there. Raw: escape it to show it.
    pub fn title(&self) -> String {
        let mut tops: Vec<&str> = self.entries.iter().map(|entry| top(&entry.path)).collect();
        // Not adjacent already: `a-b` sorts between `a` and `a/b`.
        tops.sort_unstable();
        tops.dedup();
        match tops[..] {
            [one] => one.to_owned(),
            _ if tops.len() == self.entries.len() => format!("{} files", tops.len()),
            _ => format!("{} files and folders", tops.len()),
        }
    }

    /// As bytes; always the same for the same files.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + self.entries.len() * 80);
        bytes.push(VERSION);
        put(&mut bytes, self.entries.len() as u64);
        let mut before = "";
        for entry in &self.entries {
            entry.write(&mut bytes, before);
            before = &entry.path;
        }
        bytes.extend(self.ext.encode());
        bytes
    }

    /// Reads a manifest that is all of `bytes`.
    ///
    /// # Errors
    /// When it breaks a promise of the type, a bound, or is not written as [`encode`](Self::encode) writes it.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge);
        }
        let mut rest = match bytes.split_first() {
            Some((&VERSION, rest)) => rest,
            Some((version, _)) => return Err(ManifestError::Version(*version)),
            None => return Err(ManifestError::Malformed),
        };
        let count = usize::try_from(number(&mut rest)?).unwrap_or(usize::MAX);
        if count > MAX_ENTRIES {
            return Err(ManifestError::TooMany);
        }
        // No more is set aside than the bytes can hold; an entry has at least 39.
        let mut entries = Vec::with_capacity(count.min(rest.len() / 39));
        let mut checker = Checker::default();
        for _ in 0..count {
            let before = entries.last().map_or("", |entry: &Entry| entry.path.as_str());
            let entry = Entry::read(&mut rest, before)?;
            checker.admit(&entries, &entry)?;
            entries.push(entry);
        }
        let at = rest;
        let (ext, rest) = Ext::decode_prefix(rest).map_err(|_| ManifestError::Malformed)?;
        let unproven =
            |unique: &[u8]| unique.len() == 16 && entries.iter().all(|entry| entry.root == [0; 32]);
        let empty = |entry: &Entry| entry.size > 0 || entry.root == *blake3::hash(b"").as_bytes();
        let sound = match ext.get(DRAFT) {
            Some(unique) => unproven(unique),
            // Nothing comes of an empty file by which its root could be proven.
            None => entries.iter().all(empty),
        };
        match rest.is_empty() && ext.encode() == at && sound {
            true => Ok(Manifest { entries, ext }),
            false => Err(ManifestError::Malformed),
        }
    }
}

impl Entry {
    fn write(&self, bytes: &mut Vec<u8>, before: &str) {
        let shared = shared(before, &self.path);
        put(bytes, shared as u64);
        put(bytes, (self.path.len() - shared) as u64);
        bytes.extend(&self.path.as_bytes()[shared..]);
        put(bytes, self.size);
        bytes.extend(self.root);
        bytes.push(if self.executable { EXECUTABLE } else { 0 });
        // Zigzag: times before 1970 are short too.
        put(bytes, (self.modified << 1 ^ self.modified >> 63) as u64);
        put(bytes, self.modified_nanos.into());
    }

    /// Reads an entry, and refuses one that [`write`](Self::write) would write otherwise.
    fn read(bytes: &mut &[u8], before: &str) -> Result<Entry, ManifestError> {
        let head = usize::try_from(number(bytes)?).ok().and_then(|shared| before.get(..shared));
        let head = head.ok_or(ManifestError::Malformed)?;
        let rest = number(bytes)?;
        let rest = std::str::from_utf8(raw(bytes, rest)?).map_err(|_| ManifestError::Malformed)?;
        let path = [head, rest].concat();
        let size = number(bytes)?;
        let mut root = [0; 32];
        root.copy_from_slice(raw(bytes, 32)?);
        let flags = raw(bytes, 1)?[0];
        let zigzag = number(bytes)?;
        let nanos = u32::try_from(number(bytes)?).map_err(|_| ManifestError::Malformed)?;
        if shared(before, &path) != head.len() || flags & !EXECUTABLE != 0 {
            return Err(ManifestError::Malformed);
        }
        Ok(Entry {
            path,
            size,
            root,
            executable: flags == EXECUTABLE,
            modified: (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64),
            modified_nanos: nanos,
        })
    }
}

/// What is checked from one entry to the next.
#[derive(Default)]
struct Checker {
    total: i64,
    path_bytes: usize,
}

impl Checker {
    /// Whether `entry` may follow these.
    fn admit(&mut self, before: &[Entry], entry: &Entry) -> Result<(), ManifestError> {
        let path = entry.path.as_str();
        names::check(path, Rules::Unix)?;
        let last = before.last().map_or("", |last| last.path.as_str());
        match last.as_bytes().cmp(path.as_bytes()) {
            Ordering::Less => {}
            Ordering::Equal => return Err(ManifestError::Twice(path.into())),
            Ordering::Greater => return Err(ManifestError::Malformed),
        }
        // A folder that the last path is in too was looked for with that one.
        let known = shared(last, path);
        for (slash, _) in path[known..].match_indices('/') {
            let folder = &path[..known + slash];
            if before.binary_search_by(|other| other.path.as_bytes().cmp(folder.as_bytes())).is_ok() {
                return Err(ManifestError::FileAndFolder(folder.into()));
            }
        }
        let size = i64::try_from(entry.size).ok();
        let total = size.and_then(|size| self.total.checked_add(size));
        self.total = total.ok_or_else(|| ManifestError::Number(path.into()))?;
        if entry.modified_nanos >= 1_000_000_000 {
            return Err(ManifestError::Number(path.into()));
        }
        self.path_bytes += path.len();
        if self.path_bytes > MAX_PATH_BYTES {
            return Err(ManifestError::TooLarge);
        }
        Ok(())
    }
}

/// The first component.
pub(crate) fn top(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

/// How many bytes two paths share at the start, in whole characters.
fn shared(a: &str, b: &str) -> usize {
    // Long paths of one folder share nearly all: compared by the piece first.
    let pieces = a.as_bytes().chunks_exact(32).zip(b.as_bytes().chunks_exact(32));
    let start = pieces.take_while(|(a, b)| a == b).count() * 32;
    let bytes = a.bytes().skip(start).zip(b.bytes().skip(start));
    let same = start + bytes.take_while(|(a, b)| a == b).count();
    (0..=same).rev().find(|&at| b.is_char_boundary(at)).unwrap_or(0)
}

fn number(bytes: &mut &[u8]) -> Result<u64, ManifestError> {
    take(bytes).map_err(|_| ManifestError::Malformed)
}

fn raw<'a>(bytes: &mut &'a [u8], len: u64) -> Result<&'a [u8], ManifestError> {
    let len = usize::try_from(len).map_err(|_| ManifestError::Malformed)?;
    let (raw, rest) = bytes.split_at_checked(len).ok_or(ManifestError::Malformed)?;
    *bytes = rest;
    Ok(raw)
}

#[cfg(test)]
mod tests;
