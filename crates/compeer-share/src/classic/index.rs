//! The names of our public files, by which old programs search and fetch them.
//!
//! A file goes by the last part of its path, and the first one of a name has it. A share may have very many files, so the
//! names are put in order once, on a thread that may block, and again when the public shares are others.

use std::io;
use std::sync::{Arc, Weak};

use compeer::Failure;
use tokio::fs::File;

use super::Inner;
use super::words::{name, spaceless};
use crate::holding::Holding;
use crate::limits::CLASSIC_FILE;

/// A file of a public share of ours.
pub(super) struct Public {
    pub(super) name: String,
    holding: Arc<Holding>,
    index: usize,
}

/// See the module.
#[derive(Default)]
pub(super) struct Index {
    shares: Vec<Weak<Holding>>,
    /// In the order of the shares, and of their lists.
    files: Vec<Named>,
    /// Places in `files`, in the order of the names.
    by_name: Vec<usize>,
}

struct Named {
    name: Box<str>,
    /// The name in lower case, if that is another one.
    lower: Option<Box<str>>,
    share: usize,
    index: usize,
}

impl Index {
    fn of(shares: &[Arc<Holding>]) -> Index {
        let mut files = Vec::new();
        for (share, holding) in shares.iter().enumerate() {
            files.extend(holding.manifest.entries().iter().enumerate().map(|(index, entry)| {
                let name = name(&entry.path);
                let lower = Some(name.to_lowercase()).filter(|lower| *lower != name).map(Into::into);
                Named { name: name.into(), lower, share, index }
            }));
        }
        let mut by_name: Vec<usize> = (0..files.len()).collect();
        // Stable: of one name, the first stays the first.
        by_name.sort_by(|a, b| files[*a].name.cmp(&files[*b].name));
        Index { shares: shares.iter().map(Arc::downgrade).collect(), files, by_name }
    }

    fn is_of(&self, shares: &[Arc<Holding>]) -> bool {
        let same = |(ours, theirs): (&Weak<Holding>, &Arc<Holding>)| ours.as_ptr() == Arc::as_ptr(theirs);
        self.shares.len() == shares.len() && self.shares.iter().zip(shares).all(same)
    }

    /// The first file of this name, which may be told with or without its spaces, that FGET can answer with; else the first.
    fn named(&self, wanted: &str) -> Option<Public> {
        let wanted = spaceless(wanted);
        let at = self.by_name.partition_point(|file| *self.files[*file].name < *wanted);
        let files = self.by_name[at..].iter().map(|file| &self.files[*file]);
        let named = || {
            let same = files.clone().take_while(|file| *file.name == *wanted);
            same.filter_map(|file| self.public(file))
        };
        named().find(|public| public.size() <= CLASSIC_FILE.into()).or_else(|| named().next())
    }

    /// The first file with this in its name, in whatever case, that FGET can answer with.
    fn fitting(&self, key: &str) -> Option<Public> {
        let key = key.to_lowercase();
        let fits = |file: &&Named| file.lower.as_deref().unwrap_or(&file.name).contains(&key);
        let mut fitting = self.files.iter().filter(fits).filter_map(|file| self.public(file));
        fitting.find(|public| public.size() <= CLASSIC_FILE.into())
    }

    fn public(&self, file: &Named) -> Option<Public> {
        let holding = self.shares[file.share].upgrade()?;
        Some(Public { name: file.name.to_string(), holding, index: file.index })
    }
}

impl Public {
    fn size(&self) -> u64 {
        self.holding.manifest.entries()[self.index].size
    }

    /// Opens it, if it is what it was when it was shared; gives its length too.
    pub(super) async fn open(self) -> io::Result<(File, u32)> {
        let size = u32::try_from(self.size()).ok().filter(|size| *size <= CLASSIC_FILE);
        let size = size.ok_or(io::ErrorKind::FileTooLarge)?;
        let open = tokio::task::spawn_blocking(move || self.holding.open(self.index)).await?;
        let open = open.map_err(|_| io::ErrorKind::NotFound)?;
        Ok((File::from_std(open.file), size))
    }
}

impl Inner {
    /// The public file of ours that has this name.
    pub(super) async fn public_named(&self, wanted: &str) -> Result<Option<Public>, Failure> {
        Ok(self.index().await?.named(wanted))
    }

    /// The first public file of ours that answers a search.
    pub(super) async fn public_fitting(&self, key: &str) -> Result<Option<Public>, Failure> {
        let (index, key) = (self.index().await?, key.to_owned());
        Ok(tokio::task::spawn_blocking(move || index.fitting(&key)).await?)
    }

    async fn index(&self) -> Result<Arc<Index>, Failure> {
        // Held while it is made, so that it is made once.
        let mut index = self.index.lock().await;
        let public = self.shares.public();
        if !index.is_of(&public) {
            *index = tokio::task::spawn_blocking(move || Arc::new(Index::of(&public))).await?;
        }
        Ok(index.clone())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::sync::broadcast;

    use super::*;
    use crate::holding::{Access, Files};
    use crate::{ContentId, Entry, Manifest};

    fn share(files: &[(&str, u64)]) -> Arc<Holding> {
        let entry = |(path, size): &(&str, u64)| Entry {
            path: (*path).into(),
            size: *size,
            root: [7; 32],
            executable: false,
            modified: 0,
            modified_nanos: 0,
        };
        let manifest = Manifest::new(files.iter().map(entry).collect()).unwrap();
        let (files, pack) = (Files::InPlace(Vec::new()), tempfile::tempfile().unwrap().into());
        let manifest = (Arc::new(manifest), Bytes::new());
        let (content, events) = (ContentId::of(b""), broadcast::Sender::new(1));
        Arc::new(Holding::new(content, [0; 16], Access::Public, manifest, pack, files, None, None, events))
    }

    #[test]
    fn the_first_of_a_name_has_it() {
        let shares =
            [share(&[("b/Song.txt", 1), ("a/my song.txt", 2)]), share(&[("Song.txt", 3), ("x.txt", 4)])];
        let index = Index::of(&shares);
        let size = |public: Option<Public>| public.map(|public| public.size());
        assert_eq!(size(index.named("Song.txt")), Some(1));
        assert_eq!(size(index.named("my song.txt")), Some(2));
        assert_eq!(size(index.named("my_song.txt")), Some(2));
        assert_eq!(size(index.named("x.txt")), Some(4));
        for none in ["song.txt", "b/Song.txt", "a/my song.txt", "zzz", "", "x.txt "] {
            assert_eq!(size(index.named(none)), None, "{none:?}");
        }
        assert_eq!(index.fitting("SONG").map(|public| public.name).as_deref(), Some("my_song.txt"));
        assert_eq!(size(index.fitting("song.t")), Some(2));
        assert_eq!(size(index.fitting("tiger")), None);
    }

    #[test]
    fn what_is_too_large_is_not_told() {
        let most = u64::from(CLASSIC_FILE);
        let shares = [share(&[("a-song", most + 1), ("b-song", most), ("c-huge", most + 1)])];
        let index = Index::of(&shares);
        assert_eq!(index.fitting("song").map(|public| public.name).as_deref(), Some("b-song"));
        assert!(index.fitting("huge").is_none() && index.named("c-huge").is_some());
    }

    #[test]
    fn of_one_name_the_first_that_is_not_too_large_has_it() {
        let most = u64::from(CLASSIC_FILE);
        let shares = [share(&[("1/song", most + 1), ("2/song", most), ("3/song", 1), ("4/sonh", 1)])];
        let index = Index::of(&shares);
        let told = index.fitting("song").unwrap();
        assert_eq!((told.size(), index.named("song").unwrap().size()), (most, most));
    }

    #[test]
    fn it_is_of_these_shares_and_holds_on_to_none() {
        let (one, other) = ([share(&[("a", 1)])], [share(&[("a", 1)])]);
        let index = Index::of(&one);
        assert!(index.is_of(&one) && !index.is_of(&other));
        assert!(!index.is_of(&[]) && !index.is_of(&[one[0].clone(), other[0].clone()]));
        assert!(index.named("a").is_some());
        drop(one);
        assert!(index.named("a").is_none());
    }
}
