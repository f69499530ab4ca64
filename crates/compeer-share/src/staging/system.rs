//! The calls that differ from system to system, one function each: locking, syncing, renaming without
//! replacing, looking without following.
//!
//! All take an open directory and one name in it, never a path. Written for Linux; other Unix systems have
//! substitutes here, and only Linux is tested.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use cap_std::fs::Dir;
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::What;

/// What stands under a name; a symlink is not followed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) what: What,
    /// Unit: bytes.
    pub(super) size: u64,
    /// Hard links.
    pub(super) links: u64,
    /// Which file it is on its disk.
    pub(super) inode: u64,
}

/// What stands under this name; `None`: nothing.
pub(super) fn look(dir: &Dir, name: &str) -> io::Result<Option<Found>> {
    let stat = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let what = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => What::File,
        FileType::Directory => What::Folder,
        FileType::Symlink => What::Symlink,
        _ => What::Other,
    };
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    Ok(Some(Found { what, size, links: stat.st_nlink as u64, inode: stat.st_ino }))
}

/// Opens a plain file for reading. Does not wait for the other end of a pipe.
pub(super) fn open_file(dir: &Dir, name: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?.into())
}

/// Opens a folder so that it can be synced and locked; cap-std's handles cannot.
pub(super) fn open_folder(dir: &Dir, name: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?.into())
}

/// Sets when a file was changed; `access` now.
pub(super) fn set_modified(dir: &Dir, name: &str, seconds: i64, nanos: u32) -> io::Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let modified = Timespec { tv_sec: seconds, tv_nsec: nanos.into() };
    let times = Timestamps { last_access: now, last_modification: modified };
    match rustix::fs::utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW) {
        // A time that this file system cannot hold is no reason to lose the file.
        Err(Errno::INVAL | Errno::OVERFLOW | Errno::RANGE) => Ok(()),
        other => Ok(other?),
    }
}

/// Whoever may read the file may run it.
pub(super) fn set_executable(file: &File) -> io::Result<()> {
    let mode = Mode::from_raw_mode(rustix::fs::fstat(file)?.st_mode);
    let readers = mode & (Mode::RUSR | Mode::RGRP | Mode::ROTH);
    match rustix::fs::fchmod(file, mode | Mode::from_raw_mode(readers.as_raw_mode() >> 2)) {
        // As on a USB stick: it has no such bit.
        Err(Errno::PERM | Errno::NOTSUP | Errno::NOSYS) => Ok(()),
        other => Ok(other?),
    }
}

/// Renames, and fails with `AlreadyExists` if something stands under the new name.
pub(super) fn rename_new(from: &Dir, old: &str, to: &Dir, new: &str) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    match rustix::fs::renameat_with(from, old, to, new, rustix::fs::RenameFlags::NOREPLACE) {
        // The file system does not know the flag.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        other => return Ok(other?),
    }
    // A link fails when the name is taken, as the flag does. Folders have no links, and some file systems have none at all:
    // there a name that comes about between the two calls would be replaced, a folder only if it is empty.
    match rustix::fs::linkat(from, old, to, new, AtFlags::empty()) {
        Ok(()) => Ok(rustix::fs::unlinkat(from, old, AtFlags::empty())?),
        Err(Errno::EXIST) => Err(Errno::EXIST.into()),
        Err(Errno::XDEV) => Err(Errno::XDEV.into()),
        Err(_) if look(to, new)?.is_some() => Err(Errno::EXIST.into()),
        Err(_) => Ok(rustix::fs::renameat(from, old, to, new)?),
    }
}

/// Renames, replacing what stands under the new name unless it is a folder.
pub(super) fn rename_over(from: &Dir, old: &str, to: &Dir, new: &str) -> io::Result<()> {
    Ok(rustix::fs::renameat(from, old, to, new)?)
}

/// True when the two cannot be renamed into each other as they are on different disks.
pub(super) fn is_other_disk(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::XDEV.raw_os_error())
}

/// Locks a folder against other processes until it is closed; false when another one has it.
pub(super) fn lock(folder: &File) -> io::Result<bool> {
    match rustix::fs::flock(folder, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        // Some network file systems lock no folders: there the lock of the home has to do.
        Err(Errno::BADF | Errno::NOLCK | Errno::NOTSUP | Errno::INVAL | Errno::NOSYS) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Locks a folder, when whoever has it lets go.
pub(crate) fn lock_waiting(folder: &File) -> io::Result<()> {
    match rustix::fs::flock(folder, FlockOperation::LockExclusive) {
        Ok(()) | Err(Errno::BADF | Errno::NOLCK | Errno::NOTSUP | Errno::INVAL | Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Syncs all of the file system that this folder is on.
pub(super) fn sync_file_system(folder: &File) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(folder)?;
    // It waits on Linux only; elsewhere it is the most there is.
    #[cfg(not(target_os = "linux"))]
    {
        rustix::fs::sync();
        folder.sync_all()?;
    }
    Ok(())
}

/// Room for an ordinary user. Unit: bytes.
pub(super) fn free_space(folder: impl AsFd) -> io::Result<u64> {
    let stat = rustix::fs::fstatvfs(folder)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
