//! Received files on real disks: what lands where, what is refused, and what stays as it was.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};

use tempfile::TempDir;

use super::*;
use crate::manifest::Entry;

mod existing;
mod full;
mod hostile;
mod placing;

fn entry(path: &str, content: &[u8]) -> Entry {
    Entry {
        path: path.into(),
        size: content.len() as u64,
        root: *blake3::hash(content).as_bytes(),
        executable: path.ends_with(".sh"),
        modified: 1_234_567_890,
        modified_nanos: 987_654_000,
    }
}

/// Files whose content is their path.
fn manifest(paths: &[&str]) -> Manifest {
    Manifest::new(paths.iter().map(|path| entry(path, path.as_bytes())).collect()).unwrap()
}

fn all(manifest: &Manifest) -> Vec<usize> {
    (0..manifest.entries().len()).collect()
}

fn target(dir: &TempDir) -> Target {
    Target { dir: dir.path().to_owned(), file_name: None }
}

fn decide(target: &Target, manifest: &Manifest, existing: Existing) -> Result<Placement, StagingError> {
    Survey::of(target, manifest, &all(manifest))?.decide(existing)
}

/// Writes what has to be fetched: the content of each file is its path.
fn fill(staging: &Staging, manifest: &Manifest, placement: &Placement) -> Result<(), StagingError> {
    for one in &placement.moves {
        let path = &manifest.entries()[one.file].path;
        staging.file(path)?.write_all_at(path.as_bytes(), 0).unwrap();
    }
    Ok(())
}

/// A whole fetch.
fn get(target: &Target, manifest: &Manifest, existing: Existing) -> Result<Vec<PathBuf>, StagingError> {
    let placement = decide(target, manifest, existing)?;
    let staging = Staging::create(&target.dir, "aaaaaaaa")?;
    fill(&staging, manifest, &placement)?;
    staging.place(manifest, &placement)
}

/// All that is in a directory, by path: a file's content, or what it is.
fn tree(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(at) = dirs.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            let shown = match What::of(&kind) {
                What::File => String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned(),
                What::Folder => {
                    dirs.push(path.clone());
                    "/".into()
                }
                What::Symlink => format!("-> {}", fs::read_link(&path).unwrap().display()),
                What::Other => "?".into(),
            };
            found.insert(path.strip_prefix(dir).unwrap().to_string_lossy().into_owned(), shown);
        }
    }
    found
}

fn list(dir: &TempDir) -> Vec<String> {
    tree(dir.path()).into_keys().collect()
}

/// What tells whether somebody touched a file.
fn stamp(path: &Path) -> (u64, i64, i64, u32, Vec<u8>) {
    let meta = fs::symlink_metadata(path).unwrap();
    (meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.mode(), fs::read(path).unwrap_or_default())
}
