//! What to send: the files beneath the given paths, by the names they will have in the manifest.
//!
//! A path that was given is called by its last component: `send a/b/photos` sends `photos/…`, and `send .` the folder by
//! its own name. A symlink that was given is followed and keeps its name; one inside a folder is not: it may lead anywhere,
//! and what the giver sees as a link would arrive as a copy. Such links, devices, sockets, names that are no text or
//! that no receiver would take, and what cannot be read are left out and told ([`Walked::skipped`]); so are the staging
//! directories of our own fetches, and files that say they are empty and are not, as those of `/proc` do. Empty folders
//! are not sent either; how many there were is told.
//!
//! Nothing but a byte of what should be empty is read here, only looked at: a sparse file of 100 GiB costs what an empty one
//! does.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use compeer::text::escape_bytes;
use rustix::fs::{Mode, OFlags};

use crate::globs::{GlobError, Globs};
use crate::limits::{MAX_ENTRIES, MAX_SKIPPED};
use crate::names::{self, NameError, Rules};

/// Why paths cannot be listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError {
    /// A given path cannot be looked at.
    #[error("cannot read {}: {error}", shown(.path))]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// A given path is the root of the file system, which has no name.
    #[error("{} has no name to send it by: choose a folder in it", shown(.0))]
    Nameless(PathBuf),
    /// A given path is a device, a socket or a pipe.
    #[error("{} is neither a file nor a folder; to send what comes out of it, pipe it into `-`", shown(.0))]
    NoFile(PathBuf),
    /// A given path has content and says that it has none.
    #[error("{} says that it is empty and is not, as files in /proc do; pipe it instead:  compeer send - < {}", shown(.0), shown(.0))]
    NoSize(PathBuf),
    /// The name of a given path cannot be sent.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The name of a given path is not UTF-8.
    #[error("the name {} is not UTF-8: rename it first", shown(.0))]
    NotText(PathBuf),
    /// Two given paths would have one name.
    #[error("{} and {} have the same name: send them one by one, or the folder they are in", shown(.0), shown(.1))]
    SameName(PathBuf, PathBuf),
    /// More than [`MAX_ENTRIES`] files.
    #[error("there are more than {MAX_ENTRIES} files: leave some out, or send an archive")]
    TooMany,
    /// A pattern is none.
    #[error(transparent)]
    Pattern(#[from] GlobError),
}

/// A file to be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its path in the manifest.
    pub path: String,
    /// Where it is.
    pub file: PathBuf,
    /// Unit: bytes.
    pub size: u64,
    /// Whether somebody may run it.
    pub executable: bool,
    /// When its content last changed. Unit: seconds since 1970.
    pub modified: i64,
    /// The part of a second after that. Unit: nanoseconds.
    pub modified_nanos: u32,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// The files, sorted by the bytes of their paths.
    pub files: Vec<Found>,
    /// What was left out though nobody asked for that: at most [`MAX_SKIPPED`], then how many more.
    pub skipped: Vec<Skipped>,
}

/// Something that was left out. Shown as one line, escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Skipped {
    /// A symlink inside a folder.
    Symlink(PathBuf),
    /// A device, a socket or a pipe.
    NoFile(PathBuf),
    /// A name that is not UTF-8.
    NotText(PathBuf),
    /// A name that receivers refuse.
    Name(PathBuf, NameError),
    /// The staging directory of a fetch.
    Fetch(PathBuf),
    /// It has content and says that it has none.
    NoSize(PathBuf),
    /// The system does not let us read it.
    Unreadable(PathBuf, String),
    /// So many folders with nothing in them.
    EmptyFolders(usize),
    /// So many others.
    More(usize),
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Skipped::Symlink(path) => {
                write!(f, "{}: a symlink; name it on the command line to send what it points to", shown(path))
            }
            Skipped::NoFile(path) => write!(f, "{}: neither a file nor a folder", shown(path)),
            Skipped::NotText(path) => write!(f, "{}: its name is not UTF-8; rename it", shown(path)),
            Skipped::Name(path, why) => write!(f, "{}: {why}; rename it", shown(path)),
            Skipped::Fetch(path) => write!(f, "{}: an unfinished fetch", shown(path)),
            Skipped::NoSize(path) => {
                write!(f, "{}: says that it is empty and is not, as files in /proc do", shown(path))
            }
            Skipped::EmptyFolders(1) => {
                write!(f, "1 empty folder: only files are sent, and the folders they are in")
            }
            Skipped::EmptyFolders(many) => {
                write!(f, "{many} empty folders: only files are sent, and the folders they are in")
            }
            Skipped::Unreadable(path, why) => write!(f, "{}: cannot be read: {why}", shown(path)),
            Skipped::More(many) => write!(f, "and {many} more"),
        }
    }
}

/// Lists the files beneath `paths`, without those that fit a pattern of `exclude` ([`Globs`], against the path in the
/// manifest).
///
/// ```
/// let dir = tempfile::tempdir()?;
/// let album = dir.path().join("album");
/// std::fs::create_dir(&album)?;
/// std::fs::write(album.join("a.jpg"), "a")?;
/// std::fs::write(album.join("a.tmp"), "b")?;
///
/// let walked = compeer_share::walk::walk(&[album], &["*.tmp".to_owned()])?;
/// assert_eq!(walked.files.len(), 1);
/// assert_eq!(walked.files[0].path, "album/a.jpg");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// A given path cannot be read or has no name of its own; there are too many files; a pattern is none.
pub fn walk(paths: &[PathBuf], exclude: &[String]) -> Result<Walked, WalkError> {
    let mut walk = Walk { exclude: Globs::new(exclude)?, found: Walked::default(), skipped: 0, empty: 0 };
    let mut tops: BTreeMap<String, &PathBuf> = BTreeMap::new();
    for given in paths {
        let failed = |error| WalkError::Unreadable { path: given.clone(), error };
        let file = std::path::absolute(given).map_err(failed)?;
        // Ends in `..`, or is `.` or the root: called as the folder that it is.
        let real = match given.file_name() {
            Some(_) => file.clone(),
            None => fs::canonicalize(given).map_err(failed)?,
        };
        let name = real.file_name().ok_or_else(|| WalkError::Nameless(given.clone()))?;
        let name = name.to_str().ok_or_else(|| WalkError::NotText(given.clone()))?;
        names::check(name, Rules::Unix)?;
        if let Some(other) = tops.insert(name.to_owned(), given) {
            return Err(WalkError::SameName(other.clone(), given.clone()));
        }
        let meta = fs::metadata(&file).map_err(failed)?;
        if walk.exclude.fit_itself(name, meta.is_dir()) {
            continue;
        }
        if meta.is_dir() {
            // What is beneath may be left out, but not all of it unsaid.
            let entries = fs::read_dir(&file).map_err(failed)?;
            walk.folder(entries, &file, name)?;
        } else if meta.is_file() && has_no_size(&file, &meta) {
            return Err(WalkError::NoSize(given.clone()));
        } else if meta.is_file() {
            walk.file(file, name.to_owned(), &meta)?;
        } else {
            return Err(WalkError::NoFile(given.clone()));
        }
    }
    let mut found = walk.found;
    found.files.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
    if walk.skipped > found.skipped.len() {
        found.skipped.push(Skipped::More(walk.skipped - found.skipped.len()));
    }
    if walk.empty > 0 {
        found.skipped.push(Skipped::EmptyFolders(walk.empty));
    }
    Ok(found)
}

struct Walk {
    exclude: Globs,
    found: Walked,
    /// How many were left out, told or not.
    skipped: usize,
    /// Folders with nothing in them.
    empty: usize,
}

impl Walk {
    /// All beneath a folder. As deep as a path may be, so no deeper than the stack.
    fn folder(&mut self, entries: fs::ReadDir, folder: &Path, path: &str) -> Result<(), WalkError> {
        let mut empty = true;
        for entry in entries {
            empty = false;
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.skip(Skipped::Unreadable(folder.to_owned(), error.to_string()));
                    break;
                }
            };
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                self.skip(Skipped::NotText(entry.path()));
                continue;
            };
            let path = format!("{path}/{name}");
            let kind = match entry.file_type() {
                Ok(kind) => kind,
                Err(error) => {
                    self.cannot_read(entry.path(), &error);
                    continue;
                }
            };
            if self.exclude.fit_itself(&path, kind.is_dir()) {
                continue;
            }
            if let Err(error) = names::check(&path, Rules::Unix) {
                self.skip(Skipped::Name(entry.path(), error));
            } else if kind.is_dir() {
                self.enter(&entry.path(), name, &path)?;
            } else if kind.is_file() {
                match entry.metadata() {
                    Ok(meta) if has_no_size(&entry.path(), &meta) => self.skip(Skipped::NoSize(entry.path())),
                    Ok(meta) => self.file(entry.path(), path, &meta)?,
                    Err(error) => self.cannot_read(entry.path(), &error),
                }
            } else if kind.is_symlink() {
                self.skip(Skipped::Symlink(entry.path()));
            } else {
                self.skip(Skipped::NoFile(entry.path()));
            }
        }
        self.empty += usize::from(empty);
        Ok(())
    }

    fn enter(&mut self, folder: &Path, name: &str, path: &str) -> Result<(), WalkError> {
        if name.starts_with("compeer-") && name.ends_with(".part") {
            self.skip(Skipped::Fetch(folder.to_owned()));
            return Ok(());
        }
        match fs::read_dir(folder) {
            Ok(entries) => self.folder(entries, folder, path)?,
            Err(error) => self.cannot_read(folder.to_owned(), &error),
        }
        Ok(())
    }

    fn file(&mut self, file: PathBuf, path: String, meta: &fs::Metadata) -> Result<(), WalkError> {
        if self.found.files.len() == MAX_ENTRIES {
            return Err(WalkError::TooMany);
        }
        self.found.files.push(Found {
            path,
            file,
            size: meta.len(),
            executable: meta.permissions().mode() & 0o111 != 0,
            modified: meta.mtime(),
            modified_nanos: u32::try_from(meta.mtime_nsec()).unwrap_or(0),
        });
        Ok(())
    }

    /// What is gone since it was listed was not there.
    fn cannot_read(&mut self, path: PathBuf, error: &io::Error) {
        if error.kind() != io::ErrorKind::NotFound {
            self.skip(Skipped::Unreadable(path, error.to_string()));
        }
    }

    fn skip(&mut self, skipped: Skipped) {
        self.skipped += 1;
        if self.found.skipped.len() < MAX_SKIPPED {
            self.found.skipped.push(skipped);
        }
    }
}

/// Whether a file has content and says that it has none. It is opened so that no read of it can wait.
fn has_no_size(file: &Path, meta: &fs::Metadata) -> bool {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = || rustix::fs::open(file, flags, Mode::empty()).map(fs::File::from);
    // What cannot be read is found out when it is hashed.
    meta.len() == 0 && open().is_ok_and(|mut file| matches!(file.read(&mut [0]), Ok(1)))
}

/// A path as it may be shown.
fn shown(path: impl AsRef<OsStr>) -> String {
    escape_bytes(path.as_ref().as_encoded_bytes()).into_owned()
}

#[cfg(test)]
mod tests;
