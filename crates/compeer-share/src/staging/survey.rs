//! What is at the target already, and what shall become of it.
//!
//! [`Survey::of`] compares each selected file with what stands under its name: nothing, an equal file (same size, same
//! hash), or something that is in the way. [`Survey::decide`] makes a [`Placement`] of that: equal files are skipped;
//! for the rest, the receiver has said what he wants. What can never be is refused: a folder is never replaced by a file, and
//! a file or a symlink where a folder should be stays what it is.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use compeer::text::escape;

use super::dirs::{Dirs, Looked, What};
use super::{StagingError, ambient, failed, system};
use crate::limits::{MAX_COMPONENT, MAX_NUMBERED};
use crate::manifest::{Entry, Manifest};
use crate::names;

/// Where the receiver wants the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// In this directory; it need not be there.
    pub dir: PathBuf,
    /// For one file: under this name instead of its own.
    pub file_name: Option<String>,
}

/// What the receiver wants where a name is taken by something else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// To be asked: refuse, and say what is in the way.
    #[default]
    Ask,
    /// The new file, and the old one gone. A symlink is replaced, not what it points to.
    Overwrite,
    /// Both: the new one is called `name (1).ext`.
    Rename,
}

/// Something that stands where a file should go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Which file of the manifest.
    pub file: usize,
    /// What is in the way: the file's own place, or a folder above it.
    pub path: PathBuf,
    /// What it is.
    pub what: What,
    /// Whether [`Existing::Overwrite`] can help.
    pub can_overwrite: bool,
    /// Whether [`Existing::Rename`] can help.
    pub can_rename: bool,
}

/// What became of the comparison with the target.
#[derive(Debug)]
pub struct Survey {
    target: Target,
    /// Per selected file: its place in the manifest, its path at the target, what is there.
    files: Vec<(usize, String, State)>,
    /// The target, if it is there.
    dirs: Option<Dirs>,
}

#[derive(Debug)]
enum State {
    Absent,
    Equal,
    Taken(What),
    /// A folder above it is none.
    Blocked(String, What),
}

/// Which files go where: made by [`Survey::decide`], carried out by [`Staging::place`](super::Staging::place).
#[derive(Clone, Debug)]
pub struct Placement {
    pub(super) dir: PathBuf,
    /// Sorted by the path at the target.
    pub(super) moves: Vec<Move>,
    pub(super) skipped: Vec<(usize, String)>,
}

/// One file to be placed.
#[derive(Clone, Debug)]
pub(super) struct Move {
    /// Its place in the manifest.
    pub(super) file: usize,
    /// Its path at the target.
    pub(super) to: String,
    /// Whether it may replace a file or symlink.
    pub(super) over: bool,
}

impl Survey {
    /// Compares the selected files (places in the manifest) with what is at the target. Reads there only files of the
    /// right size. What a draft lists is equal to nothing.
    ///
    /// # Errors
    /// The target is no directory or cannot be read; a file name for several files, or one that is none.
    pub fn of(target: &Target, manifest: &Manifest, selected: &[usize]) -> Result<Survey, StagingError> {
        let mut files = Vec::with_capacity(selected.len());
        for &file in selected {
            let path = match (&target.file_name, selected) {
                (Some(name), [_]) if !name.contains('/') => name,
                (Some(name), _) => return Err(names::NameError::Dots(name.clone()).into()),
                (None, _) => &manifest.entries()[file].path,
            };
            names::check(path, names::native())?;
            files.push((file, path.clone(), State::Absent));
        }
        let dirs = match ambient(&target.dir) {
            Ok(dir) => Dirs::new(dir),
            Err(StagingError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Survey { target: target.clone(), files, dirs: None });
            }
            Err(error) => return Err(error),
        };
        let failed = |path: &str, error| failed("look at", &target.dir.join(path), error);
        let mut of_that_size = Vec::new();
        // All beneath a folder that is not there is not there: they follow each other.
        let mut absent: Option<String> = None;
        for (at, (file, path, state)) in files.iter_mut().enumerate() {
            if absent.as_ref().is_some_and(|absent| beneath(path, absent)) {
                continue;
            }
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            match dirs.get(folder, false).map_err(|error| failed(folder, error))? {
                Looked::Absent(folder) => absent = Some(folder),
                Looked::Blocked(at, what) => *state = State::Blocked(at, what),
                Looked::Folder(dir) => {
                    let found = system::look(&dir, name).map_err(|error| failed(path, error))?;
                    if let Some(found) = found {
                        *state = State::Taken(found.what);
                        let same_size = found.size == manifest.entries()[*file].size;
                        if found.what == What::File && same_size && !manifest.is_draft() {
                            of_that_size.push(at);
                        }
                    }
                }
            }
        }
        for at in equal(&of_that_size, |at| same(&dirs, &files[at].1, &manifest.entries()[files[at].0])) {
            files[at].2 = State::Equal;
        }
        Ok(Survey { target: target.clone(), files, dirs: Some(dirs) })
    }

    /// The files that are there already, by their places in the manifest.
    pub fn equal(&self) -> impl Iterator<Item = usize> {
        self.files.iter().filter(|(.., state)| matches!(state, State::Equal)).map(|(file, ..)| *file)
    }

    /// What is in the way.
    pub fn conflicts(&self) -> Vec<Conflict> {
        let conflict = |(file, path, state): &(usize, String, State)| {
            let (at, what, own) = match state {
                State::Absent | State::Equal => return None,
                State::Taken(what) => (path, *what, true),
                State::Blocked(at, what) => (at, *what, false),
            };
            let can_overwrite = own && matches!(what, What::File | What::Symlink);
            let path = self.target.dir.join(at);
            Some(Conflict { file: *file, path, what, can_overwrite, can_rename: own })
        };
        self.files.iter().filter_map(conflict).collect()
    }

    /// What shall become of each file.
    ///
    /// # Errors
    /// [`StagingError::InTheWay`] with all that `existing` does not solve.
    pub fn decide(self, existing: Existing) -> Result<Placement, StagingError> {
        let conflicts = self.conflicts();
        let solved = |conflict: &Conflict| match existing {
            Existing::Ask => false,
            Existing::Overwrite => conflict.can_overwrite,
            Existing::Rename => conflict.can_rename,
        };
        if !conflicts.iter().all(solved) {
            return Err(StagingError::InTheWay(conflicts.into_iter().filter(|one| !solved(one)).collect()));
        }
        let over = existing == Existing::Overwrite;
        let (mut moves, mut skipped) = (Vec::new(), Vec::new());
        let mut taken: BTreeSet<String> = match existing {
            Existing::Rename => self.files.iter().map(|(_, path, _)| path.clone()).collect(),
            _ => BTreeSet::new(),
        };
        for (file, path, state) in self.files {
            match state {
                State::Equal => skipped.push((file, path)),
                State::Taken(_) | State::Blocked(..) if existing == Existing::Rename => {
                    let Some(to) = self.dirs.as_ref().and_then(|dirs| numbered(dirs, &path, &taken)) else {
                        return Err(StagingError::InTheWay(
                            conflicts.into_iter().filter(|one| one.file == file).collect(),
                        ));
                    };
                    taken.insert(to.clone());
                    moves.push(Move { file, to, over });
                }
                _ => moves.push(Move { file, to: path, over }),
            }
        }
        moves.sort_by(|a, b| a.to.cmp(&b.to));
        Ok(Placement { dir: self.target.dir, moves, skipped })
    }
}

impl Placement {
    /// The files that are there already and need not be fetched, by their places in the manifest.
    pub fn skipped(&self) -> impl Iterator<Item = usize> {
        self.skipped.iter().map(|(file, _)| *file)
    }

    /// Where each file lies when all is placed, by its place in the manifest. In no order.
    pub fn places(&self) -> impl Iterator<Item = (usize, PathBuf)> {
        let moves = self.moves.iter().map(|one| (one.file, &one.to));
        let skipped = self.skipped.iter().map(|(file, path)| (*file, path));
        moves.chain(skipped).map(|(file, path)| (file, self.dir.join(path)))
    }
}

/// Whether `path` lies in the folder, or is it.
pub(super) fn beneath(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Those of `candidates` for which `same` holds, tried on all cores: it reads files.
fn equal(candidates: &[usize], same: impl Fn(usize) -> bool + Sync) -> Vec<usize> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(candidates.len());
    let next = AtomicUsize::new(0);
    let work = || {
        let mine = std::iter::from_fn(|| candidates.get(next.fetch_add(1, Ordering::Relaxed)).copied());
        mine.filter(|&at| same(at)).collect::<Vec<_>>()
    };
    if cores <= 1 {
        return work();
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    })
}

/// Whether the file there has this content. One that cannot be read has not.
fn same(dirs: &Dirs, path: &str, entry: &Entry) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let Ok(Looked::Folder(dir)) = dirs.get(folder, false) else { return false };
    let Ok(mut file) = system::open_file(&dir, name) else { return false };
    let mut hasher = blake3::Hasher::new();
    let read = hasher.update_reader(&mut file).is_ok();
    read && hasher.count() == entry.size && *hasher.finalize().as_bytes() == entry.root
}

/// The first of `name (1).ext`, `name (2).ext`, … that is free at the target and among the files to come.
fn numbered(dirs: &Dirs, path: &str, taken: &BTreeSet<String>) -> Option<String> {
    let (folder, name) = path.rsplit_once('/').map_or((None, path), |(folder, name)| (Some(folder), name));
    let Ok(Looked::Folder(dir)) = dirs.get(folder.unwrap_or(""), false) else { return None };
    (1..=MAX_NUMBERED).find_map(|number| {
        let name = with_number(name, number);
        let free = matches!(system::look(&dir, &name), Ok(None));
        let path = folder.map_or(name.clone(), |folder| format!("{folder}/{name}"));
        (free && !taken.contains(&path)).then_some(path)
    })
}

/// `name (1).ext`; a long name is cut so that it stays one.
fn with_number(name: &str, number: u32) -> String {
    let (stem, ext) = match name.rfind('.') {
        // A dot at the start makes a hidden file, no extension; and an extension is short.
        Some(dot) if dot > 0 && name.len() - dot <= 16 => name.split_at(dot),
        _ => (name, ""),
    };
    let number = format!(" ({number})");
    let room = MAX_COMPONENT - number.len() - ext.len();
    let cut = (0..=room.min(stem.len())).rev().find(|&at| stem.is_char_boundary(at)).unwrap_or(0);
    format!("{}{number}{ext}", &stem[..cut])
}

/// What is in the way, in a line.
pub(super) fn told(conflicts: &[Conflict]) -> String {
    let mut text = match conflicts {
        [_] => "one file is in the way: ".to_owned(),
        many => format!("{} files are in the way: ", many.len()),
    };
    // Several files beneath one obstacle name it once.
    let mut named: Vec<(&PathBuf, What)> = conflicts.iter().map(|one| (&one.path, one.what)).collect();
    named.dedup();
    for (at, (path, what)) in named.iter().take(5).enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        let kind = if *what == What::File { String::new() } else { format!(" ({what})") };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{}{kind}", escape(&path.to_string_lossy()));
    }
    if named.len() > 5 {
        let _ = write!(text, " and {} more", named.len() - 5);
    }
    text
}
