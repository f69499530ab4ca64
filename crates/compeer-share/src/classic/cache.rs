//! Files of others, kept for those of the other protocol: a directory of bounded size.
//!
//! It is empty at the start. A file has its room from when its size is known, before it has come; if it does not come to
//! be kept, whatever the reason, the room and what is on the disk are given back. When there is no room, what was used
//! longest ago goes; a file that is just being sent is sent to its end. A file may come with a share of its own, for native
//! peers, which ends with it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::lock;
use crate::holding::Holding;
use crate::limits::{CLASSIC_CACHE, CLASSIC_CACHE_FILES};
use crate::shares::Shares;

/// See the module. What it does blocks.
pub(super) struct Cache {
    dir: PathBuf,
    kept: Mutex<Kept>,
    /// Of all places.
    bytes: Arc<AtomicU64>,
    /// The name of the next directory.
    next: AtomicU64,
}

#[derive(Default)]
struct Kept {
    files: BTreeMap<String, Entry>,
    /// Counts uses.
    clock: u64,
}

struct Entry {
    place: Place,
    used: u64,
    brought: Option<Brought>,
}

/// Room for one file, in a directory of its own; given back when dropped.
pub(super) struct Place {
    dir: PathBuf,
    path: PathBuf,
    size: u64,
    all: Arc<AtomicU64>,
}

/// A share of a file that was brought over for native peers; ends when dropped.
pub(super) struct Brought {
    pub(super) shares: Shares,
    pub(super) holding: Arc<Holding>,
    /// The ticket that opens it.
    pub(super) ticket: String,
}

impl Place {
    /// Where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What stays is removed at the next start.
        let _ = fs::remove_dir_all(&self.dir);
        self.all.fetch_sub(self.size, Ordering::Relaxed);
    }
}

impl Drop for Brought {
    fn drop(&mut self) {
        self.shares.let_go(&self.holding);
    }
}

impl Cache {
    /// In this directory, which is made when something is kept; what it had before is removed.
    pub(super) fn new(dir: PathBuf) -> Self {
        // There may be nothing.
        let _ = fs::remove_dir_all(&dir);
        Cache { dir, kept: Mutex::default(), bytes: Arc::default(), next: AtomicU64::new(0) }
    }

    /// Makes room for a file of this name and size, and the file; others go for it.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(super) fn begin(&self, name: &str, size: u64) -> io::Result<(Place, File)> {
        let dir = self.dir.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        self.bytes.fetch_add(size, Ordering::Relaxed);
        let place = Place { path: dir.join(name), dir, size, all: self.bytes.clone() };
        self.push_out();
        fs::create_dir_all(&place.dir)?;
        let file = File::create(&place.path)?;
        Ok((place, file))
    }

    /// Keeps a file that is whole.
    pub(super) fn keep(&self, key: &str, place: Place, brought: Option<Brought>) {
        let mut kept = lock(&self.kept);
        kept.clock += 1;
        let used = kept.clock;
        let before = kept.files.insert(key.into(), Entry { place, used, brought });
        drop(kept);
        drop(before);
        self.push_out();
    }

    /// Removes what was used longest ago, until the rest is not too much.
    fn push_out(&self) {
        let mut gone = Vec::new();
        let mut kept = lock(&self.kept);
        let mut bytes = self.bytes.load(Ordering::Relaxed);
        while bytes > CLASSIC_CACHE || kept.files.len() > CLASSIC_CACHE_FILES {
            let oldest = kept.files.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            let Some(mut entry) = oldest.and_then(|key| kept.files.remove(&key)) else { break };
            bytes -= entry.place.size;
            // Now, so that nobody else makes the same room once more before it is gone from the disk.
            self.bytes.fetch_sub(std::mem::take(&mut entry.place.size), Ordering::Relaxed);
            gone.push(entry);
        }
        // Not while others wait for the lock.
        drop(kept);
    }

    /// A file that is here, and its length.
    pub(super) fn open(&self, key: &str) -> Option<(File, u32)> {
        self.used(key, |entry| {
            Some((File::open(&entry.place.path).ok()?, u32::try_from(entry.place.size).ok()?))
        })
    }

    /// The ticket of a file that was brought.
    pub(super) fn ticket(&self, key: &str) -> Option<String> {
        self.used(key, |entry| Some(entry.brought.as_ref()?.ticket.clone()))
    }

    fn used<T>(&self, key: &str, by: impl FnOnce(&Entry) -> Option<T>) -> Option<T> {
        let mut kept = lock(&self.kept);
        kept.clock += 1;
        let now = kept.clock;
        let entry = kept.files.get_mut(key)?;
        entry.used = now;
        by(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(dir: &Path) -> (Cache, impl Fn() -> usize) {
        let dir = dir.join("cache");
        (Cache::new(dir.clone()), move || fs::read_dir(&dir).map_or(0, Iterator::count))
    }

    #[test]
    fn what_was_used_longest_ago_goes_when_it_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, files) = cache(dir.path());
        let add = |key: &str, size| {
            let (place, _) = cache.begin("file", size).unwrap();
            cache.keep(key, place, None);
        };
        for n in 0..CLASSIC_CACHE_FILES {
            add(&n.to_string(), 1);
        }
        assert!(cache.open("0").is_some());
        add("one more", 1);
        assert!(cache.open("0").is_some() && cache.open("1").is_none());
        assert_eq!(files(), CLASSIC_CACHE_FILES);
        // By bytes as well, and what is added again counts once.
        add("large", CLASSIC_CACHE - 10);
        assert_eq!(files(), 11);
        add("large", CLASSIC_CACHE - 10);
        assert_eq!(files(), 1);
        add("larger", CLASSIC_CACHE);
        assert_eq!((files(), cache.bytes.load(Ordering::Relaxed)), (1, CLASSIC_CACHE));
    }

    #[test]
    fn what_is_on_its_way_has_its_room_and_gives_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, files) = cache(dir.path());
        let (place, _) = cache.begin("file", 10).unwrap();
        cache.keep("kept", place, None);
        let (place, mut file) = cache.begin("file", CLASSIC_CACHE - 5).unwrap();
        io::Write::write_all(&mut file, b"some").unwrap();
        assert!(cache.open("kept").is_none() && files() == 1, "it went for what is on its way");
        drop(place);
        assert_eq!((files(), cache.bytes.load(Ordering::Relaxed)), (0, 0));
        assert!(cache.begin("no/such/place", 10).is_err());
        assert_eq!((files(), cache.bytes.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn a_file_that_is_begun_twice_is_kept_once() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, files) = cache(dir.path());
        let [(one, mut first), (other, mut second)] = [(); 2].map(|()| cache.begin("file", 3).unwrap());
        assert_ne!(one.path(), other.path());
        io::Write::write_all(&mut first, b"one").unwrap();
        io::Write::write_all(&mut second, b"two").unwrap();
        assert_eq!((files(), cache.bytes.load(Ordering::Relaxed)), (2, 6));
        let read = || io::read_to_string(cache.open("key").unwrap().0).unwrap();
        cache.keep("key", one, None);
        assert_eq!(read(), "one");
        let (mut before, _) = cache.open("key").unwrap();
        cache.keep("key", other, None);
        assert_eq!((read().as_str(), files(), cache.bytes.load(Ordering::Relaxed)), ("two", 1, 3));
        let mut sent = String::new();
        io::Read::read_to_string(&mut before, &mut sent).unwrap();
        assert_eq!(sent, "one", "what is being sent is sent to its end");
    }

    /// Two at once need room for as much as half of what is there: that half goes, and no more, whoever of them makes it.
    #[test]
    fn two_who_make_room_at_once_make_it_once() {
        const SIZE: u64 = CLASSIC_CACHE / 16;
        for _ in 0..50 {
            let dir = tempfile::tempdir().unwrap();
            let (cache, files) = cache(dir.path());
            for n in 0..16 {
                let (place, _) = cache.begin("file", SIZE).unwrap();
                cache.keep(&n.to_string(), place, None);
            }
            let both = std::sync::Barrier::new(2);
            let begin = || {
                both.wait();
                cache.begin("file", 4 * SIZE).unwrap()
            };
            let places = std::thread::scope(|scope| {
                let other = scope.spawn(begin);
                [begin(), other.join().unwrap()]
            });
            let kept =
                |keys: std::ops::Range<u64>| keys.filter(|n| cache.open(&n.to_string()).is_some()).count();
            assert_eq!((kept(0..8), kept(8..16), files()), (0, 8, 10));
            assert_eq!(cache.bytes.load(Ordering::Relaxed), CLASSIC_CACHE);
            drop(places);
            assert_eq!((files(), cache.bytes.load(Ordering::Relaxed)), (8, 8 * SIZE));
        }
    }

    #[test]
    fn what_was_there_before_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let (before, files) = cache(dir.path());
        let (place, _) = before.begin("file", 1).unwrap();
        before.keep("a", place, None);
        let on_its_way = before.begin("file", 1).unwrap();
        // As after `kill -9`: nothing is dropped.
        std::mem::forget((before, on_its_way));
        assert_eq!(files(), 2);
        let (again, files) = cache(dir.path());
        assert!(again.open("a").is_none() && files() == 0);
    }
}
