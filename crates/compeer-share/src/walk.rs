//! What to send: the files below the given paths, by the names they will have in the manifest.
//!
//! The first, plain version: no patterns, no reports. Symlinks inside folders are followed nowhere.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Why paths cannot be listed.
#[derive(Debug, thiserror::Error)]
#[error("cannot read what is to be shared: {0}")]
pub struct WalkError(#[from] io::Error);

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
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// The files.
    pub files: Vec<Found>,
    /// What was left out, and why.
    pub skipped: Vec<String>,
}

/// Lists files.
///
/// # Errors
/// A path cannot be read or is no text.
pub fn walk(paths: &[PathBuf], _exclude: &[String]) -> Result<Walked, WalkError> {
    let mut walked = Walked::default();
    for path in paths {
        let path = std::fs::canonicalize(path)?;
        let name = text(path.file_name().unwrap_or_default().to_os_string())?;
        below(&path, name, &mut walked)?;
    }
    Ok(walked)
}

fn text(name: std::ffi::OsString) -> io::Result<String> {
    name.into_string().map_err(|name| io::Error::other(format!("{} is no UTF-8", name.display())))
}

fn below(file: &Path, path: String, walked: &mut Walked) -> io::Result<()> {
    let meta = std::fs::symlink_metadata(file)?;
    if meta.is_dir() {
        for entry in std::fs::read_dir(file)? {
            let entry = entry?;
            below(&entry.path(), format!("{path}/{}", text(entry.file_name())?), walked)?;
        }
    } else if meta.is_file() {
        let executable = meta.permissions().mode() & 0o111 != 0;
        walked.files.push(Found { path, file: file.to_path_buf(), size: meta.len(), executable });
    } else {
        walked.skipped.push(path);
    }
    Ok(())
}
