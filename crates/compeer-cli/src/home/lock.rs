//! The lock: whoever holds it is the peer of the home; everybody else is a client of that process.
//!
//! It is `flock(2)` on the file `lock`, so it is gone with the process that held it, however that ended; the file
//! stays and means nothing by itself. Its content tells who the holder is and where: the process id, `up` or `alone`, and
//! the path of the control socket, one per line, written once the socket is there. A reader may find the lines of a former holder:
//! the socket then refuses, and the reader tries again.

use super::Home;
use crate::node::Role;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The lock of a home, held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

/// Where the holder of a lock says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// Its process id.
    pub(crate) pid: u32,
    /// What it is.
    pub(crate) role: Role,
    /// Its control socket.
    pub(crate) socket: PathBuf,
}

impl Lock {
    /// Takes the lock of a home; `None` if another process holds it.
    ///
    /// # Errors
    ///
    /// The lock file cannot be opened, or the file system knows no locks.
    pub(crate) fn try_take(home: &Home) -> io::Result<Option<Lock>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(home.lock_path())?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // What a former holder left is no longer true.
                file.set_len(0)?;
                Ok(Some(Lock { file }))
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells other processes where to find this one.
    ///
    /// # Errors
    ///
    /// The lock file cannot be written.
    pub(crate) fn announce(&mut self, role: Role, socket: &Path) -> io::Result<()> {
        use std::os::unix::ffi::OsStrExt;
        let role = match role {
            Role::Up => "up",
            Role::Alone => "alone",
        };
        let mut text = format!("{}\n{role}\n", std::process::id()).into_bytes();
        text.extend_from_slice(socket.as_os_str().as_bytes());
        text.push(b'\n');
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(&text)
    }
}

impl Holder {
    /// What the holder of a home's lock says about itself; `None` as long as it says nothing.
    pub(crate) fn read(home: &Home) -> Option<Holder> {
        use std::os::unix::ffi::OsStringExt;
        let mut text = Vec::new();
        File::open(home.lock_path()).ok()?.take(8192).read_to_end(&mut text).ok()?;
        let text = text.strip_suffix(b"\n")?;
        let mut lines = text.splitn(3, |byte| *byte == b'\n');
        let pid = std::str::from_utf8(lines.next()?).ok()?.parse().ok()?;
        let role = match lines.next()? {
            b"up" => Role::Up,
            b"alone" => Role::Alone,
            _ => return None,
        };
        let socket = PathBuf::from(std::ffi::OsString::from_vec(lines.next()?.to_vec()));
        Some(Holder { pid, role, socket })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_it_says_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(Some(dir.path())).unwrap();
        assert_eq!(Holder::read(&home), None);
        let mut lock = Lock::try_take(&home).unwrap().unwrap();
        assert!(Lock::try_take(&home).unwrap().is_none());
        assert_eq!(Holder::read(&home), None);
        lock.announce(Role::Up, Path::new("/run/x.sock")).unwrap();
        let holder = Holder::read(&home).unwrap();
        assert_eq!(holder, Holder { pid: std::process::id(), role: Role::Up, socket: "/run/x.sock".into() });
        drop(lock);
        assert!(Lock::try_take(&home).unwrap().is_some());
        assert_eq!(Holder::read(&home), None);
    }
}
