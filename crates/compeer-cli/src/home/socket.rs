//! The control socket: a Unix socket by which commands reach the process that holds the home's lock.
//!
//! A socket's path is at most 107 bytes long (`unix(7)`), a home's path may be longer. So the socket lives in
//! `$XDG_RUNTIME_DIR/compeer/` under a hash of the home's path; without that directory in `run/` inside the home; and
//! if that is too long, in a directory of the user's own beneath the temporary directory. Whichever it is, the
//! directory is 0700 and the user's, the socket 0600, and the holder writes the path into the lock file, so that a
//! command started in another environment (cron, ssh) finds it too. Each caller's user id is checked once more.
//!
//! Only the lock holder binds, so a socket file found there is one that a killed process left; it is removed.

use super::Home;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream};

/// Bytes a socket's path may have: `sun_path` holds 108 with the final zero (`unix(7)`).
const MAX_PATH: usize = 107;

/// The listening end; the file is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Binds the socket of a home. Only for who holds the home's lock.
    ///
    /// # Errors
    ///
    /// No directory is fit for it, or it cannot be bound.
    pub(crate) fn bind(home: &Home) -> io::Result<ControlSocket> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        ControlSocket::bind_in(home, runtime.as_deref(), &std::env::temp_dir())
    }

    fn bind_in(home: &Home, runtime: Option<&Path>, temp: &Path) -> io::Result<ControlSocket> {
        let user = rustix::process::geteuid().as_raw();
        let directories = [
            runtime.filter(|dir| dir.is_absolute()).map(|dir| dir.join("compeer")),
            Some(home.dir().join("run")),
            Some(temp.join(format!("compeer-{user}"))),
        ];
        let name = format!("{}.sock", &blake3::hash(home.dir().as_os_str().as_bytes()).to_hex()[..16]);
        let mut trouble = io::Error::other("every path for it is too long");
        for directory in directories.into_iter().flatten() {
            let path = directory.join(&name);
            if path.as_os_str().len() > MAX_PATH {
                continue;
            }
            match private_dir(&directory, user).and_then(|()| bind_at(&path)) {
                Ok(listener) => return Ok(ControlSocket { listener, path }),
                Err(error) => trouble = error,
            }
        }
        Err(trouble)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The next caller who is this user (or root).
    ///
    /// # Errors
    ///
    /// The system refuses to accept, for want of file descriptors for example; the next call may work.
    pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let caller = stream.peer_cred()?.uid();
            if caller == rustix::process::geteuid().as_raw() || caller == 0 {
                return Ok(stream);
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // If it cannot be removed, the next holder does it.
        let _ = fs::remove_file(&self.path);
    }
}

fn bind_at(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Makes sure of a directory that nobody else can enter.
fn private_dir(dir: &Path, user: u32) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(dir)?;
    if !found.is_dir() || found.uid() != user || found.mode() & 0o077 != 0 {
        return Err(io::Error::other(format!("{} is not a directory of yours alone (0700)", dir.display())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(dir: &Path, name: &str) -> Home {
        Home::open(Some(&dir.join(name))).unwrap()
    }

    #[tokio::test]
    async fn a_left_over_socket_is_replaced_and_the_own_one_removed() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(dir.path(), "h");
        let first = ControlSocket::bind_in(&home, Some(dir.path()), dir.path()).unwrap();
        let path = first.path().to_path_buf();
        assert!(path.starts_with(dir.path().join("compeer")));
        std::mem::forget(first); // As a killed process leaves it.
        let second = ControlSocket::bind_in(&home, Some(dir.path()), dir.path()).unwrap();
        assert_eq!(second.path(), path);
        let caller = tokio::spawn(UnixStream::connect(path.clone()));
        second.accept().await.unwrap();
        caller.await.unwrap().unwrap();
        drop(second);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_long_home_has_a_short_socket() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(dir.path(), &"x".repeat(150));
        let socket = ControlSocket::bind_in(&home, None, dir.path()).unwrap();
        assert!(socket.path().as_os_str().len() <= MAX_PATH);
        assert!(UnixStream::connect(socket.path()).await.is_ok());
    }

    #[tokio::test]
    async fn a_directory_others_may_enter_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("compeer")).unwrap();
        fs::set_permissions(dir.path().join("compeer"), Permissions::from_mode(0o755)).unwrap();
        let home = home(dir.path(), "h");
        let socket = ControlSocket::bind_in(&home, Some(dir.path()), dir.path()).unwrap();
        assert!(socket.path().starts_with(home.dir().join("run")));
    }
}
