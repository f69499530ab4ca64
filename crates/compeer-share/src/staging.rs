//! Staging: where files lie while they are received, and how they get their final names.
//!
//! Beside the target stands a directory `compeer-ID.part`, which only its owner can look into. All files of a
//! fetch are written beneath it under the paths of the manifest. When all are complete, they are given their times
//! and synced, and only then renamed to where they belong: a folder that is not there yet by one rename of the whole,
//! everything else file by file. A crash at any point leaves what the receiver had, and either no file of a name or
//! the complete one.
//!
//! Paths of a manifest are never handed to the system. Each component is opened beneath the directory
//! before it and never through a symlink (`staging/dirs.rs`), so that a directory which somebody exchanges for a
//! symlink while we write leads nowhere. Nothing is renamed over what came about meanwhile, unless that was asked for.
//!
//! What is at the target already is compared by [`Survey`], what becomes of it decided by [`Survey::decide`], and done
//! by [`Staging::place`]. Not here: what is in the files (they have been verified), and which have arrived
//! ([`journal`](crate::journal)).

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirBuilder, DirBuilderExt, OpenOptions};
use compeer::text::{escape, escape_bytes};

use crate::manifest::Manifest;
use crate::names::{self, NameError};

mod dirs;
mod place;
mod survey;
pub(crate) mod system;

pub use dirs::What;
use dirs::{Dirs, Looked};
pub use survey::{Conflict, Existing, Placement, Survey, Target};

/// The directory in which the files of one fetch lie until they are complete. Locked against other processes.
///
/// ```
/// use std::io::Write;
/// use compeer_share::staging::{Existing, Staging, Survey, Target};
/// use compeer_share::{Entry, Manifest};
///
/// let home = tempfile::tempdir()?;
/// let content = b"hello";
/// let manifest = Manifest::new(vec![Entry {
///     path: "album/readme.txt".into(), size: 5, root: *blake3::hash(content).as_bytes(),
///     executable: false, modified: 1_700_000_000, modified_nanos: 0,
/// }])?;
/// let target = Target { dir: home.path().into(), file_name: None };
/// let placement = Survey::of(&target, &manifest, &[0])?.decide(Existing::Ask)?;
///
/// let staging = Staging::create(&target.dir, "abcdefgh")?;
/// staging.file("album/readme.txt")?.write_all(content)?;
/// staging.place(&manifest, &placement)?;
/// assert_eq!(std::fs::read(home.path().join("album/readme.txt"))?, content);
/// assert_eq!(Survey::of(&target, &manifest, &[0])?.equal().count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Staging {
    /// The target, and the name of the staging directory in it.
    dest: PathBuf,
    name: String,
    dest_dir: Dir,
    dirs: Dirs,
    /// The staging directory once more, open for syncing; holds the lock.
    lock: File,
    /// Directories that were made for the target, outermost first.
    made: Vec<PathBuf>,
}

/// What can go wrong with received files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StagingError {
    /// The disk is full, or will be.
    #[error("the disk is full: {}{free} bytes are free", needed.map(|n| format!("{n} bytes are needed and ")).unwrap_or_default())]
    NoSpace {
        /// What is needed, if that is known. Unit: bytes.
        needed: Option<u64>,
        /// What there is. Unit: bytes.
        free: u64,
    },
    /// Another process writes to this staging directory.
    #[error("{} is in use: the same is being fetched to the same place", shown(.0))]
    Busy(PathBuf),
    /// There is a staging directory of this name already.
    #[error("{} is there already", shown(.0))]
    Exists(PathBuf),
    /// A name that this system does not take.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Two files of the share would be one here.
    #[error("{} and {} would be one file on this disk: fetch them one at a time", escape(.0), escape(.1))]
    Collide(String, String),
    /// Files at the target are in the way.
    #[error("{}", survey::told(.0))]
    InTheWay(Vec<Conflict>),
    /// A file of the staging directory is missing, too short or too long.
    #[error("{} is not complete in its staging directory: fetch again", escape(.0))]
    Incomplete(String),
    /// Something else than a plain file of ours stands in the staging directory.
    #[error("somebody changed the staging directory: {} is {}", escape(.0), .1)]
    Meddled(String, What),
    /// A folder at the target is on another disk than the target.
    #[error("{} is on another disk: choose it as the target", shown(.0))]
    OtherDisk(PathBuf),
    /// The system failed.
    #[error("cannot {doing} {}: {error}", shown(.path))]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        error: io::Error,
    },
}

impl From<StagingError> for io::Error {
    fn from(error: StagingError) -> Self {
        let kind = match &error {
            StagingError::Io { error, .. } => error.kind(),
            StagingError::NoSpace { .. } => io::ErrorKind::StorageFull,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

impl Staging {
    /// Makes the staging directory `compeer-ID.part` in `dest`, and `dest` if it is not there.
    ///
    /// # Errors
    /// It is there already, or cannot be made.
    pub fn create(dest: &Path, id: &str) -> Result<Staging, StagingError> {
        let name = directory(id)?;
        let missing: Vec<PathBuf> = dest
            .ancestors()
            .filter(|path| !path.as_os_str().is_empty())
            .take_while(|path| !path.exists())
            .map(Path::to_owned)
            .collect();
        std::fs::create_dir_all(dest).map_err(|error| failed("make", dest, error))?;
        let dest_dir = ambient(dest)?;
        let mut private = DirBuilder::new();
        private.mode(0o700);
        if let Err(error) = dest_dir.create_dir_with(&name, &private) {
            return Err(match error.kind() {
                io::ErrorKind::AlreadyExists => StagingError::Exists(dest.join(name)),
                _ => failed("make", &dest.join(name), error),
            });
        }
        let made = missing.into_iter().rev().collect();
        Staging::locked(dest, name, dest_dir, made)
    }

    /// Opens the staging directory that [`create`](Self::create) made in an earlier run; `None`: there is none.
    ///
    /// # Errors
    /// Another process has it, or it cannot be opened.
    pub fn open(dest: &Path, id: &str) -> Result<Option<Staging>, StagingError> {
        let name = directory(id)?;
        match std::fs::symlink_metadata(dest.join(&name)) {
            Ok(meta) if meta.is_dir() => Staging::locked(dest, name, ambient(dest)?, Vec::new()).map(Some),
            Ok(meta) => Err(StagingError::Meddled(name, What::of(&meta.file_type()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
            Err(error) => Err(failed("open", &dest.join(name), error)),
        }
    }

    /// Whether a process has this staging directory open.
    pub fn is_locked(dest: &Path, id: &str) -> bool {
        matches!(Staging::open(dest, id), Err(StagingError::Busy(_)))
    }

    fn locked(dest: &Path, name: String, dest_dir: Dir, made: Vec<PathBuf>) -> Result<Staging, StagingError> {
        let path = dest.join(&name);
        let lock = system::open_folder(&dest_dir, &name).map_err(|error| failed("open", &path, error))?;
        match system::lock(&lock) {
            Ok(true) => {}
            Ok(false) => return Err(StagingError::Busy(path)),
            Err(error) => return Err(failed("lock", &path, error)),
        }
        let root = lock.try_clone().map_err(|error| failed("open", &path, error))?;
        let dirs = Dirs::new(Dir::from_std_file(root));
        Ok(Staging { dest: dest.to_owned(), name, dest_dir, dirs, lock, made })
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.dest.join(&self.name)
    }

    /// Looks before anything is written whether these files can lie here: enough room for `needed` more bytes, names
    /// that the system takes, and no two that are one to it.
    ///
    /// # Errors
    /// What is not so.
    pub fn prepare(&self, manifest: &Manifest, selected: &[usize], needed: u64) -> Result<(), StagingError> {
        let free = self.free_space()?;
        if needed > free {
            return Err(StagingError::NoSpace { needed: Some(needed), free });
        }
        let paths = || selected.iter().map(|file| manifest.entries()[*file].path.as_str());
        for path in paths() {
            names::check(path, names::native())?;
        }
        // Most file systems take every spelling for itself; asking is cheaper than comparing all names.
        match self.folds()?.then(|| names::collisions(paths())).and_then(|pairs| pairs.into_iter().next()) {
            Some((a, b)) => Err(StagingError::Collide(a, b)),
            None => Ok(()),
        }
    }

    /// Whether the file system takes two spellings for one name; tried out, as no call tells.
    fn folds(&self) -> Result<bool, StagingError> {
        let root = self.dirs.root();
        for (made, other) in
            [(".compeer-\u{e9}", ".COMPEER-\u{e9}"), (".compeer-\u{e9}", ".compeer-e\u{301}")]
        {
            match root.create_dir(made) {
                // An earlier run was killed in the midst of this.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made_it => made_it.map_err(|error| self.failed("make", made, error))?,
            }
            let same = root.symlink_metadata(other).is_ok();
            root.remove_dir(made).map_err(|error| self.failed("remove", made, error))?;
            if same {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Opens a file of the manifest for reading and writing; makes it, and the folders it is in, if it is not there.
    ///
    /// # Errors
    /// The path may not be one, something else stands there, or the system fails.
    pub fn file(&self, path: &str) -> Result<File, StagingError> {
        names::check(path, names::native())?;
        let (parent, name) = self.parent(path, true)?;
        let mut options = OpenOptions::new();
        cap_fs_ext::OpenOptionsFollowExt::follow(&mut options, cap_fs_ext::FollowSymlinks::No);
        options.read(true).write(true);
        // Most files are new: this is the one call they take.
        match parent.open_with(name, options.clone().create_new(true)) {
            Ok(file) => return Ok(file.into_std()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(self.failed("make", path, error)),
        }
        self.plain(&parent, name, path)?;
        let file = parent.open_with(name, &options).map_err(|error| self.failed("open", path, error))?;
        Ok(file.into_std())
    }

    /// Opens a file of the manifest for reading; `None`: it is not here.
    ///
    /// # Errors
    /// The path may not be one, something else than a plain file of ours stands there, or the system fails.
    pub fn existing(&self, path: &str) -> Result<Option<File>, StagingError> {
        names::check(path, names::native())?;
        let (parent, name) = match self.parent(path, false) {
            Err(StagingError::Incomplete(_)) => return Ok(None),
            other => other?,
        };
        if self.plain(&parent, name, path)?.is_none() {
            return Ok(None);
        }
        let mut options = OpenOptions::new();
        cap_fs_ext::OpenOptionsFollowExt::follow(&mut options, cap_fs_ext::FollowSymlinks::No);
        match parent.open_with(name, options.read(true)) {
            Ok(file) => Ok(Some(file.into_std())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("open", path, error)),
        }
    }

    /// How long a file of the manifest is here so far; `None`: it is not here. Unit: bytes.
    ///
    /// # Errors
    /// The path may not be one, something else than a plain file of ours stands there, or the system fails.
    pub fn length(&self, path: &str) -> Result<Option<u64>, StagingError> {
        names::check(path, names::native())?;
        let (parent, name) = match self.parent(path, false) {
            Err(StagingError::Incomplete(_)) => return Ok(None),
            other => other?,
        };
        self.plain(&parent, name, path).map(|found| found.map(|found| found.size))
    }

    /// What stands under a name, if it is a plain file that has no other.
    fn plain(&self, parent: &Dir, name: &str, path: &str) -> Result<Option<system::Found>, StagingError> {
        match system::look(parent, name).map_err(|error| self.failed("look at", path, error))? {
            Some(found) if found.what != What::File => Err(StagingError::Meddled(path.into(), found.what)),
            Some(found) if found.links != 1 => Err(StagingError::Meddled(path.into(), What::Other)),
            found => Ok(found),
        }
    }

    /// Makes all that was written survive a loss of power. One call for the whole file system, so dear when others write
    /// a lot, and cheap for many small files.
    ///
    /// # Errors
    /// The system fails; what was written before may be lost.
    pub fn sync_all(&self) -> Result<(), StagingError> {
        system::sync_file_system(&self.lock).map_err(|error| self.failed("sync", "", error))
    }

    /// Room for us on the disk. Unit: bytes.
    ///
    /// # Errors
    /// The system does not say.
    pub fn free_space(&self) -> Result<u64, StagingError> {
        system::free_space(&self.lock).map_err(|error| failed("ask for free space of", &self.path(), error))
    }

    /// Removes the staging directory with all that is in it, and the target if it was made for it and is empty.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn discard(self) -> Result<(), StagingError> {
        self.remove()?;
        for made in self.made.iter().rev() {
            // Not empty: then it is wanted.
            let _ = std::fs::remove_dir(made);
        }
        Ok(())
    }

    fn remove(&self) -> Result<(), StagingError> {
        self.dest_dir.remove_dir_all(&self.name).map_err(|error| failed("remove", &self.path(), error))
    }

    /// The open folder of a path, and its last component.
    fn parent<'a>(&self, path: &'a str, make: bool) -> Result<(std::sync::Arc<Dir>, &'a str), StagingError> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        match self.dirs.get(folder, make) {
            Ok(Looked::Folder(dir)) => Ok((dir, name)),
            Ok(Looked::Blocked(at, what)) => Err(StagingError::Meddled(at, what)),
            Ok(Looked::Absent(_)) => Err(StagingError::Incomplete(path.into())),
            Err(error) => Err(self.failed("open", folder, error)),
        }
    }

    /// An error with a path of the manifest; a full disk is one of its own.
    fn failed(&self, doing: &'static str, path: &str, error: io::Error) -> StagingError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StagingError::NoSpace { needed: None, free: system::free_space(&self.lock).unwrap_or(0) }
            }
            _ => failed(doing, &self.path().join(path), error),
        }
    }
}

/// An error with its path.
fn failed(doing: &'static str, path: &Path, error: io::Error) -> StagingError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StagingError::NoSpace { needed: None, free: 0 }
        }
        _ => StagingError::Io { doing, path: path.to_owned(), error },
    }
}

/// The name of a staging directory.
fn directory(id: &str) -> Result<String, StagingError> {
    let name = format!("compeer-{id}.part");
    names::check(&name, names::Rules::Windows)?;
    match id.contains('/') {
        true => Err(StagingError::Name(NameError::Character { name, character: '/' })),
        false => Ok(name),
    }
}

/// Opens a directory that the receiver named, wherever it leads.
fn ambient(path: &Path) -> Result<Dir, StagingError> {
    Dir::open_ambient_dir(path, ambient_authority()).map_err(|error| failed("open", path, error))
}

/// A path as it may be shown.
fn shown(path: &Path) -> String {
    escape_bytes(path.as_os_str().as_encoded_bytes()).into_owned()
}

#[cfg(test)]
mod tests;
