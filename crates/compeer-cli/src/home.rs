//! The home: the directory one peer lives in. One home is one key is one peer.
//!
//! ```text
//! config.toml what the user sets once; only he and `compeer config` write it        settings.rs
//! key        the secret key, 0600, created once and never overwritten          home/key.rs
//! lock       flock: whoever holds it is the peer of this home                   home/lock.rs
//! peer.db    names, pins, settings (SQLite), opened by the lock holder only     store.rs
//! share/     packs of hashes, transfers, share.db                                crate compeer-share
//! up.log     what `compeer up --detach` prints
//! spool/     what `send -` read from standard input, while it is sent             spool.rs
//! ```
//!
//! The control socket, by which other commands reach the lock holder, lives in the user's runtime directory
//! (`home/socket.rs`). The default home is `compeer/` in the XDG data directory; it holds the key, so it is 0700.

pub(crate) mod key;
pub(crate) mod lock;
pub(crate) mod sealed;
pub(crate) mod socket;

use crate::exit::{CommandError, Outcome};
use etcetera::BaseStrategy;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A peer's directory, which exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    dir: PathBuf,
}

impl Home {
    /// The home at `explicit`, or the default one; created 0700 if it is not there.
    ///
    /// # Errors
    ///
    /// It cannot be created, is no directory, or anybody may write in it.
    pub(crate) fn open(explicit: Option<&Path>) -> Outcome<Home> {
        let dir = place(explicit)?;
        Home::open_at(&dir).map_err(|error| {
            let text = format!("cannot use {} as home: {error}", dir.display());
            CommandError::failed(text).hint("choose another with --home DIR or COMPEER_HOME")
        })
    }

    fn open_at(dir: &Path) -> io::Result<Home> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let dir = dir.canonicalize()?;
        if fs::metadata(&dir)?.permissions().mode() & 0o002 != 0 {
            return Err(io::Error::other("anybody may write in it; take that away with chmod o-w"));
        }
        Ok(Home { dir })
    }

    /// The directory, as an absolute path without links.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The secret key.
    pub(crate) fn key_path(&self) -> PathBuf {
        self.dir.join("key")
    }

    /// The file whose lock makes a process the peer of this home.
    pub(crate) fn lock_path(&self) -> PathBuf {
        self.dir.join("lock")
    }

    /// The database.
    pub(crate) fn database_path(&self) -> PathBuf {
        self.dir.join("peer.db")
    }

    /// What the sharing of files keeps.
    pub(crate) fn share_path(&self) -> PathBuf {
        self.dir.join("share")
    }

    /// What is sent from standard input.
    pub(crate) fn spool_path(&self) -> PathBuf {
        self.dir.join("spool")
    }

    /// What a detached `up` prints.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.dir.join("up.log")
    }
}

/// Where a home is, whether it is there or not.
///
/// # Errors
///
/// The user's directory is not known.
pub(crate) fn place(explicit: Option<&Path>) -> Outcome<PathBuf> {
    match explicit {
        Some(dir) => Ok(dir.to_path_buf()),
        None => default_dir(),
    }
}

/// `compeer/` in the XDG data directory: `$XDG_DATA_HOME/compeer`, mostly `~/.local/share/compeer`.
fn default_dir() -> Outcome<PathBuf> {
    let base = etcetera::choose_base_strategy().map_err(|_| {
        CommandError::failed("your home directory is not known")
            .hint("set HOME, or name a directory with --home DIR")
    })?;
    Ok(base.data_dir().join("compeer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_created_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(Some(&dir.path().join("a/b"))).unwrap();
        assert_eq!(fs::metadata(home.dir()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(Home::open(Some(&dir.path().join("a/../a/b"))).unwrap(), home);
    }

    #[test]
    fn a_directory_open_to_all_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = Home::open(Some(dir.path())).unwrap_err();
        assert!(error.message.contains("anybody may write"), "{error}");
    }

    #[test]
    fn a_file_is_no_home() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Home::open(Some(file.path())).is_err());
    }
}
