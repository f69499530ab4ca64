//! Opening folders beneath a directory, one component at a time and never through a symlink.
//!
//! The handles of the last [`MAX_OPEN_DIRS`](crate::limits::MAX_OPEN_DIRS) folders are kept, so that a file costs one call
//! and not one for each folder above it. A kept handle stays with its directory, whatever is put under its name.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use cap_fs_ext::DirExt;
use cap_std::fs::Dir;

use super::system;
use crate::limits::MAX_OPEN_DIRS;

/// What stands under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A plain file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, to whatever.
    Symlink,
    /// A device, a socket, a pipe.
    Other,
}

impl What {
    pub(super) fn of(kind: &std::fs::FileType) -> What {
        match () {
            () if kind.is_file() => What::File,
            () if kind.is_dir() => What::Folder,
            () if kind.is_symlink() => What::Symlink,
            () => What::Other,
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            What::File => "a file",
            What::Folder => "a folder",
            What::Symlink => "a symlink",
            What::Other => "no plain file",
        })
    }
}

/// What was found under a path that should be a folder.
pub(super) enum Looked {
    /// It is one.
    Folder(Arc<Dir>),
    /// There is nothing: the outermost folder that is missing.
    Absent(String),
    /// Something else stands there, or above it.
    Blocked(String, What),
}

/// A directory and the folders beneath it. Paths have passed [`names::check`](crate::names::check).
#[derive(Debug)]
pub(super) struct Dirs {
    root: Arc<Dir>,
    open: Mutex<BTreeMap<String, Arc<Dir>>>,
}

impl Dirs {
    pub(super) fn new(root: Dir) -> Dirs {
        Dirs { root: Arc::new(root), open: Mutex::default() }
    }

    pub(super) fn root(&self) -> &Arc<Dir> {
        &self.root
    }

    /// The folder of this path, `""` the root; with `make` it is made if there is nothing.
    pub(super) fn get(&self, path: &str, make: bool) -> io::Result<Looked> {
        if path.is_empty() {
            return Ok(Looked::Folder(self.root.clone()));
        }
        if let Some(dir) = self.open().get(path) {
            return Ok(Looked::Folder(dir.clone()));
        }
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let above = match self.get(above, make)? {
            Looked::Folder(above) => above,
            other => return Ok(other),
        };
        let dir = match above.open_dir_nofollow(name) {
            Ok(dir) => dir,
            Err(error) => match system::look(&above, name)? {
                None if make => {
                    match above.create_dir(name) {
                        // Another thread was faster: as good.
                        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                        made => made?,
                    }
                    above.open_dir_nofollow(name)?
                }
                None => return Ok(Looked::Absent(path.into())),
                // Another thread has made it since.
                Some(found) if found.what == What::Folder && error.kind() == io::ErrorKind::NotFound => {
                    above.open_dir_nofollow(name)?
                }
                Some(found) if found.what == What::Folder => return Err(error),
                Some(found) => return Ok(Looked::Blocked(path.into(), found.what)),
            },
        };
        let dir = Arc::new(dir);
        let mut open = self.open();
        if open.len() >= MAX_OPEN_DIRS {
            open.clear();
        }
        open.insert(path.to_owned(), dir.clone());
        Ok(Looked::Folder(dir))
    }

    fn open(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Dir>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
