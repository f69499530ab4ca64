//! Files of others, kept for those of the other protocol: a directory of bounded size.
//!
//! It is empty at the start. When it is full, what was used longest ago goes; a file that is just being sent is sent to its
//! end. A file may come with a share of its own, for native peers, which ends with it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::lock;
use crate::holding::Holding;
use crate::limits::{CLASSIC_CACHE, CLASSIC_CACHE_FILES};
use crate::shares::Shares;

/// See the module.
#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    files: BTreeMap<String, Entry>,
    bytes: u64,
    /// Counts uses.
    clock: u64,
}

struct Entry {
    size: u64,
    used: u64,
    brought: Option<Brought>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("size", &self.size).finish_non_exhaustive()
    }
}

/// A share of a file that was brought over for native peers.
#[derive(Clone)]
pub(super) struct Brought {
    pub(super) shares: Shares,
    pub(super) holding: Arc<Holding>,
    /// The ticket that opens it.
    pub(super) ticket: String,
}

impl Cache {
    /// In this directory, which is made when something is kept; what it had before is removed.
    pub(super) fn new(dir: PathBuf) -> Self {
        // There may be nothing.
        let _ = fs::remove_dir_all(&dir);
        Cache { dir, kept: Mutex::default() }
    }

    /// Where a file is, or what is to become it is written.
    pub(super) fn path(&self, key: &str, new: bool) -> PathBuf {
        // Whoever writes there is told what is wrong.
        let _ = fs::create_dir_all(&self.dir);
        self.dir.join(if new { format!("{key}.new") } else { key.into() })
    }

    /// The directory of a file that has to have a name of its own.
    pub(super) fn dir_of(&self, key: &str) -> PathBuf {
        let dir = self.dir.join(format!("{key}.d"));
        let _ = fs::create_dir_all(&dir);
        dir
    }

    /// A file that is here, and its length.
    pub(super) fn open(&self, key: &str) -> Option<(File, u32)> {
        let size = self.used(key)?.0;
        Some((File::open(self.path(key, false)).ok()?, u32::try_from(size).ok()?))
    }

    /// The ticket of a file that was brought.
    pub(super) fn ticket(&self, key: &str) -> Option<String> {
        Some(self.used(key)?.1?.ticket)
    }

    fn used(&self, key: &str) -> Option<(u64, Option<Brought>)> {
        let mut kept = lock(&self.kept);
        kept.clock += 1;
        let now = kept.clock;
        let entry = kept.files.get_mut(key)?;
        entry.used = now;
        Some((entry.size, entry.brought.clone()))
    }

    /// Keeps what was written to [`path`](Self::path) as new; others go for it.
    ///
    /// # Errors
    /// It cannot be given its name.
    pub(super) fn add(&self, key: &str, size: u64, brought: Option<Brought>) -> io::Result<()> {
        let (new, path) = (self.path(key, true), self.path(key, false));
        if new.exists() {
            fs::rename(new, path)?;
        }
        let mut kept = lock(&self.kept);
        kept.clock += 1;
        let used = kept.clock;
        kept.bytes += size;
        if let Some(before) = kept.files.insert(key.into(), Entry { size, used, brought }) {
            kept.bytes -= before.size;
        }
        while kept.bytes > CLASSIC_CACHE || kept.files.len() > CLASSIC_CACHE_FILES {
            let oldest = kept.files.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            let Some((key, gone)) = oldest.and_then(|key| kept.files.remove_entry(&key)) else { break };
            kept.bytes -= gone.size;
            // It takes room until the next start at most.
            let _ = fs::remove_file(self.dir.join(&key));
            let _ = fs::remove_dir_all(self.dir.join(format!("{key}.d")));
            if let Some(brought) = gone.brought {
                brought.shares.let_go(&brought.holding);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_when_it_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().join("cache"));
        let add = |key: &str, size| {
            fs::write(cache.path(key, true), key).unwrap();
            cache.add(key, size, None).unwrap();
        };
        let files = || fs::read_dir(dir.path().join("cache")).unwrap().count();
        for n in 0..CLASSIC_CACHE_FILES {
            add(&n.to_string(), 1);
        }
        assert!(cache.open("0").is_some());
        add("one more", 1);
        assert!(cache.open("0").is_some() && cache.open("1").is_none());
        assert_eq!(files(), CLASSIC_CACHE_FILES);
        // By bytes as well, and what is added again counts once.
        add("large", CLASSIC_CACHE - 10);
        add("large", CLASSIC_CACHE - 10);
        assert_eq!(files(), 11);
        add("larger", CLASSIC_CACHE);
        assert_eq!((files(), lock(&cache.kept).bytes), (1, CLASSIC_CACHE));
    }

    #[test]
    fn what_was_there_before_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().join("cache"));
        fs::write(cache.path("a", true), "a").unwrap();
        cache.add("a", 1, None).unwrap();
        let cache = Cache::new(dir.path().join("cache"));
        assert!(cache.open("a").is_none() && !dir.path().join("cache").exists());
    }
}
