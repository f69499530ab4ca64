//! Hashing files with all cores: the root of each, and the pack of their outboards.
//!
//! The work is cut into pieces of 64 MiB (small files whole), which threads of their own take one after the
//! other; nothing is hashed twice and no file is read as a whole. A file must stay what it was: size, times
//! and inode are taken from the open file before and after. What was hashed before and is unchanged comes
//! from the [`Known`] that is asked first.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::layout::Layout;
use crate::tree::{self, GROUP, NODE, Piece};

/// Groups that one thread hashes at a time: 64 MiB.
pub(crate) const PIECE: u64 = 4096;

/// Bytes read at a time. Measured (DESIGN §4.11): buffers beyond the L2 cache lose a third.
const READ: usize = 128 * 1024;

/// What tells one state of a file from another, without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stamp {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Modified: seconds and nanoseconds since 1970.
    pub modified: (i64, i64),
    /// Changed (`ctime`), which programs cannot set back.
    pub changed: (i64, i64),
}

impl Stamp {
    /// The state of an open file.
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn of(file: &File) -> io::Result<Stamp> {
        file.metadata().map(|meta| Stamp::from(&meta))
    }
}

impl From<&Metadata> for Stamp {
    fn from(meta: &Metadata) -> Self {
        Stamp {
            dev: meta.dev(),
            ino: meta.ino(),
            size: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// A file that was hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// Its BLAKE3 hash.
    pub root: [u8; 32],
    /// Its state when it was hashed.
    pub stamp: Stamp,
}

/// How far hashing is; may be read while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes hashed, or found to be hashed already.
    pub done: AtomicU64,
    /// Bytes in all; 0 until that is known.
    pub total: AtomicU64,
    /// Set it, and hashing ends with an error soon.
    pub stop: AtomicBool,
    /// While it is set, hashing stands still: for a program that wants the disk for something else.
    pub pause: AtomicBool,
}

/// How often one that stands still looks whether it may go on.
const PAUSED: Duration = Duration::from_millis(10);

impl Progress {
    /// Waits while hashing is to stand still; whether it is to go on.
    fn goes_on(&self) -> bool {
        while self.pause.load(Ordering::Relaxed) && !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(PAUSED);
        }
        !self.stop.load(Ordering::Relaxed)
    }
}

/// Roots and outboards from earlier.
pub trait Known: Sync {
    /// If the file of this state was hashed: its root, and its outboard appended to `outboard`.
    fn get(&self, stamp: &Stamp, outboard: &mut Vec<u8>) -> Option<[u8; 32]>;
}

/// Nothing is known from earlier.
impl Known for () {
    fn get(&self, _: &Stamp, _: &mut Vec<u8>) -> Option<[u8; 32]> {
        None
    }
}

/// Why files could not be hashed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file was written to meanwhile.
    #[error("{} changes while it is read: try again when it is at rest", .0.display())]
    Changed(PathBuf),
    /// The pack cannot be written.
    #[error("cannot write to the home directory: {0}")]
    Pack(io::Error),
    /// It was told to stop.
    #[error("stopped")]
    Stopped,
    /// A defect.
    #[error("hashing ended in a panic, which is a defect")]
    Panicked,
}

/// Hashes files of the given sizes, in the order of their manifest, and writes the pack.
///
/// # Errors
/// A file cannot be read, has another size, changes meanwhile; the pack cannot be written; it was stopped; a thread of it
/// panicked.
pub fn hash(
    files: &[(PathBuf, u64)],
    pack: &File,
    known: &impl Known,
    progress: &Progress,
) -> Result<Vec<Hashed>, HashError> {
    // Who waits for the end is to hear of it, however it comes.
    let hashed = catch_unwind(AssertUnwindSafe(|| hash_all(files, pack, known, progress)));
    hashed.unwrap_or(Err(HashError::Panicked))
}

fn hash_all(
    files: &[(PathBuf, u64)],
    pack: &File,
    known: &impl Known,
    progress: &Progress,
) -> Result<Vec<Hashed>, HashError> {
    let layout = Layout::new(files.iter().map(|file| file.1));
    progress.total.store(files.iter().map(|file| file.1).sum(), Ordering::Relaxed);
    let work = Work {
        files,
        layout: &layout,
        pack,
        progress,
        next: AtomicUsize::new(0),
        failed: Mutex::new(None),
        results: files.iter().map(|_| Mutex::new(None)).collect(),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    // Big files one after the other, each by all threads; then small ones, each by one thread.
    let mut small = Vec::new();
    for (index, (path, size)) in files.iter().enumerate() {
        if tree::groups(*size) <= PIECE {
            small.push(index);
            continue;
        }
        let hashed = work.big(index, threads, known).map_err(|error| error.about(path))?;
        work.set(index, hashed);
    }
    let threads = threads.min(small.len().div_ceil(16));
    if threads <= 1 {
        work.all_small(&small, known);
    } else {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| work.all_small(&small, known));
            }
        });
    }
    if let Some(error) = take(&work.failed) {
        return Err(error);
    }
    // A stopped thread leaves holes.
    work.results.iter().map(|result| take(result).ok_or(HashError::Stopped)).collect()
}

fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
}

fn put<T>(slot: &Mutex<Option<T>>, value: T) {
    *slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(value);
}

/// What goes wrong with one file.
enum Trouble {
    Read(io::Error),
    Pack(io::Error),
    Changed,
    Stopped,
}

impl Trouble {
    fn about(self, path: &Path) -> HashError {
        match self {
            Trouble::Read(error) => HashError::Read { path: path.to_path_buf(), error },
            Trouble::Pack(error) => HashError::Pack(error),
            Trouble::Changed => HashError::Changed(path.to_path_buf()),
            Trouble::Stopped => HashError::Stopped,
        }
    }
}

/// When a thread panics, the others need not go on.
struct StopOthers<'a>(&'a Progress);

impl Drop for StopOthers<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop.store(true, Ordering::Relaxed);
        }
    }
}

struct Work<'a> {
    files: &'a [(PathBuf, u64)],
    layout: &'a Layout,
    pack: &'a File,
    progress: &'a Progress,
    next: AtomicUsize,
    failed: Mutex<Option<HashError>>,
    results: Vec<Mutex<Option<Hashed>>>,
}

impl Work<'_> {
    fn set(&self, index: usize, hashed: Hashed) {
        put(&self.results[index], hashed);
    }

    /// Opens a file that must be as large as the manifest will say.
    fn open(&self, index: usize) -> Result<(File, Stamp), Trouble> {
        let (path, size) = &self.files[index];
        let file = File::open(path).map_err(Trouble::Read)?;
        let stamp = Stamp::of(&file).map_err(Trouble::Read)?;
        if stamp.size != *size {
            return Err(Trouble::Changed);
        }
        Ok((file, stamp))
    }

    /// What an earlier hashing of the same state gave, its outboard written to the pack.
    fn known(&self, index: usize, stamp: &Stamp, known: &impl Known) -> Result<Option<Hashed>, Trouble> {
        let mut outboard = Vec::new();
        let Some(root) = known.get(stamp, &mut outboard) else { return Ok(None) };
        if outboard.len() as u64 != tree::nodes(tree::groups(stamp.size)) * NODE {
            return Ok(None);
        }
        self.pack.write_all_at(&outboard, self.layout.outboard(index)).map_err(Trouble::Pack)?;
        self.progress.done.fetch_add(stamp.size, Ordering::Relaxed);
        Ok(Some(Hashed { root, stamp: *stamp }))
    }

    /// Takes small files one after the other until there are no more.
    fn all_small(&self, small: &[usize], known: &impl Known) {
        let _others = StopOthers(self.progress);
        let mut buffer = vec![0; READ];
        loop {
            let Some(index) = small.get(self.next.fetch_add(1, Ordering::Relaxed)) else { return };
            if !self.progress.goes_on() {
                return;
            }
            match self.small(*index, known, &mut buffer) {
                Ok(hashed) => self.set(*index, hashed),
                Err(trouble) => {
                    self.progress.stop.store(true, Ordering::Relaxed);
                    return put(&self.failed, trouble.about(&self.files[*index].0));
                }
            }
        }
    }

    fn small(&self, index: usize, known: &impl Known, buffer: &mut [u8]) -> Result<Hashed, Trouble> {
        let (file, stamp) = self.open(index)?;
        if let Some(hashed) = self.known(index, &stamp, known)? {
            return Ok(hashed);
        }
        let of = tree::groups(stamp.size);
        let piece = Piece { groups: 0..of, place: 0 };
        let root = match of {
            0 => *blake3::hash(b"").as_bytes(),
            _ => self.piece(&file, index, of, &piece, buffer)?,
        };
        self.unchanged(&file, stamp)?;
        Ok(Hashed { root, stamp })
    }

    fn big(&self, index: usize, threads: usize, known: &impl Known) -> Result<Hashed, Trouble> {
        let (file, stamp) = self.open(index)?;
        if let Some(hashed) = self.known(index, &stamp, known)? {
            return Ok(hashed);
        }
        let of = tree::groups(stamp.size);
        let pieces = tree::pieces(of, PIECE);
        let (next, hashes) = (AtomicUsize::new(0), Mutex::new(vec![[0; 32]; pieces.len()]));
        let failed = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..threads.min(pieces.len()) {
                scope.spawn(|| {
                    let _others = StopOthers(self.progress);
                    let mut buffer = vec![0; READ];
                    while let Some((i, piece)) = {
                        let i = next.fetch_add(1, Ordering::Relaxed);
                        pieces.get(i).map(|piece| (i, piece))
                    } {
                        match self.piece(&file, index, of, piece, &mut buffer) {
                            Ok(hash) => {
                                hashes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[i] = hash;
                            }
                            Err(trouble) => {
                                next.store(pieces.len(), Ordering::Relaxed);
                                return put(&failed, trouble);
                            }
                        }
                    }
                });
            }
        });
        if let Some(trouble) = take(&failed) {
            return Err(trouble);
        }
        self.unchanged(&file, stamp)?;
        let base = self.layout.outboard(index);
        let mut written = Ok(());
        let hashes = hashes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let root = tree::build(&hashes, of, PIECE, true, &mut |place, node| {
            if written.is_ok() {
                written = self.pack.write_all_at(node, base + place * NODE);
            }
        });
        written.map_err(Trouble::Pack)?;
        Ok(Hashed { root, stamp })
    }

    fn unchanged(&self, file: &File, before: Stamp) -> Result<(), Trouble> {
        match Stamp::of(file).map_err(Trouble::Read)? == before {
            true => Ok(()),
            false => Err(Trouble::Changed),
        }
    }

    /// Hashes one subtree and writes its nodes to the pack.
    fn piece(
        &self,
        file: &File,
        index: usize,
        of: u64,
        piece: &Piece,
        buffer: &mut [u8],
    ) -> Result<[u8; 32], Trouble> {
        let count = piece.groups.end - piece.groups.start;
        let mut leaves = Vec::with_capacity(count as usize);
        let mut group = piece.groups.start;
        let per_read = buffer.len() as u64 / GROUP;
        while group < piece.groups.end {
            if !self.progress.goes_on() {
                return Err(Trouble::Stopped);
            }
            let groups: Range<u64> = group..(group + per_read).min(piece.groups.end);
            let bytes = self.layout.bytes(index, &groups);
            let data = &mut buffer[..(bytes.end - bytes.start) as usize];
            file.read_exact_at(data, bytes.start).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Trouble::Changed,
                _ => Trouble::Read(error),
            })?;
            let hash = |(i, data): (usize, &[u8])| tree::group_hash(group + i as u64, of, data);
            leaves.extend(data.chunks(GROUP as usize).enumerate().map(hash));
            self.progress.done.fetch_add(bytes.end - bytes.start, Ordering::Relaxed);
            group = groups.end;
        }
        let (hash, nodes) = tree::piece(&leaves, count == of);
        let at = self.layout.outboard(index) + piece.place * NODE;
        self.pack.write_all_at(&nodes, at).map_err(Trouble::Pack)?;
        Ok(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn bytes(size: usize, seed: u8) -> Vec<u8> {
        let mut bytes = vec![0; size];
        blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn roots_and_pack_are_right_for_files_of_all_sizes() {
        let dir = tempfile::tempdir().unwrap();
        let big = (PIECE * GROUP) as usize;
        let sizes = [0, 1, 16_384, 16_385, 300_000, big, big + 1, 2 * big + 77_777];
        let mut files = Vec::new();
        for (i, size) in sizes.into_iter().enumerate() {
            let path = dir.path().join(i.to_string());
            std::fs::write(&path, bytes(size, i as u8)).unwrap();
            files.push((path, size as u64));
        }
        let mut pack = tempfile::tempfile().unwrap();
        let progress = Progress::default();
        let hashed = hash(&files, &pack, &(), &progress).unwrap();
        let mut nodes = Vec::new();
        pack.read_to_end(&mut nodes).unwrap();
        let layout = Layout::new(files.iter().map(|file| file.1));
        for (i, size) in sizes.into_iter().enumerate() {
            let data = bytes(size, i as u8);
            assert_eq!(hashed[i].root, *blake3::hash(&data).as_bytes(), "{size}");
            let theirs = bao_tree::io::outboard::PreOrderMemOutboard::create(
                &data,
                bao_tree::BlockSize::from_chunk_log(4),
            );
            let at = layout.outboard(i) as usize;
            assert!(nodes[at..][..theirs.data.len()] == theirs.data[..], "{size}");
        }
        assert_eq!(nodes.len() as u64, layout.pack_len());
        assert_eq!(progress.done.load(Ordering::Relaxed), progress.total.load(Ordering::Relaxed));
    }

    #[test]
    fn what_is_known_is_not_read() {
        struct Memory;
        impl Known for Memory {
            fn get(&self, _: &Stamp, outboard: &mut Vec<u8>) -> Option<[u8; 32]> {
                outboard.extend([7; 64]);
                Some([9; 32])
            }
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes(20_000, 1)).unwrap();
        let pack = tempfile::tempfile().unwrap();
        let files = [(file.path().to_path_buf(), 20_000)];
        let hashed = hash(&files, &pack, &Memory, &Progress::default()).unwrap();
        assert_eq!(hashed[0].root, [9; 32]);
        let mut node = [0; 64];
        pack.read_exact_at(&mut node, 0).unwrap();
        assert_eq!(node, [7; 64]);
    }

    /// The only thing in there that a test can make panic; a panic in a thread that reads takes the same way out.
    #[test]
    fn a_panic_in_a_thread_is_an_error_and_ends_the_others() {
        struct Bad(u64);
        impl Known for Bad {
            fn get(&self, stamp: &Stamp, _: &mut Vec<u8>) -> Option<[u8; 32]> {
                assert_ne!(stamp.size, self.0, "on purpose");
                None
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let file = |n: usize| {
            let path = dir.path().join(n.to_string());
            std::fs::write(&path, vec![1; n]).unwrap();
            (path, n as u64)
        };
        let files: Vec<_> = (1..200).map(file).collect();
        let pack = tempfile::tempfile().unwrap();
        // So few that one thread takes them all, which is the one that called; and many.
        for count in [3, 199] {
            let progress = Progress::default();
            let hashed = hash(&files[..count], &pack, &Bad(2), &progress);
            assert!(matches!(hashed, Err(HashError::Panicked)), "{hashed:?}");
            assert!(progress.stop.load(Ordering::Relaxed));
        }
    }

    #[test]
    fn a_file_of_another_size_or_none_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, b"four").unwrap();
        let pack = tempfile::tempfile().unwrap();
        let wrong = hash(&[(path.clone(), 5)], &pack, &(), &Progress::default()).unwrap_err();
        assert!(matches!(wrong, HashError::Changed(which) if which == path));
        let none = dir.path().join("none");
        let gone = hash(&[(none.clone(), 0)], &pack, &(), &Progress::default()).unwrap_err();
        assert!(matches!(gone, HashError::Read { path, .. } if path == none));
    }
}
