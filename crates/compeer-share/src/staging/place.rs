//! Placing: from the staging directory to the final names, when everything is complete.
//!
//! In this order, so that a crash never shows a name without its bytes: look whether all is there and give each file its
//! time and executable bit; sync; look once more whether the target is as it was when the receiver decided; rename;
//! sync the directories that got new names; remove the staging directory. Before the first rename nothing at the target
//! has changed; after a crash among the renames, a new [`Survey`](super::Survey) finds those done as equal.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use cap_std::fs::Dir;

use super::dirs::{Dirs, Looked, What};
use super::survey::{Move, beneath};
use super::{Conflict, Placement, Staging, StagingError, failed, system};
use crate::limits::SYNC_ONE_BY_ONE;
use crate::manifest::{Entry, Manifest, top};

/// What is renamed at once.
enum Unit {
    /// A folder that the target does not have, with these of the moves in it.
    Folder(String, Range<usize>),
    /// One of the moves.
    File(usize),
}

impl Staging {
    /// Gives all files of the placement their final names, and removes the staging directory. Returns what came about,
    /// by its topmost new names.
    ///
    /// # Errors
    /// A file is not complete; something has come about at the target since the survey
    /// ([`StagingError::InTheWay`]: nothing was placed; survey again); the system fails. The staging directory then stays.
    pub fn place(&self, manifest: &Manifest, placement: &Placement) -> Result<Vec<PathBuf>, StagingError> {
        let moves = &placement.moves;
        self.finish(manifest, moves)?;
        let target = Dirs::new(self.dest_dir.try_clone().map_err(|error| failed("open", &self.dest, error))?);
        let units = self.units(manifest, moves, &target)?;
        // Directories that get new names, to be synced.
        let mut changed = BTreeSet::new();
        for unit in units {
            match unit {
                Unit::File(at) => self.place_file(manifest, &moves[at], &target, &mut changed)?,
                Unit::Folder(folder, all) => {
                    if !self.place_folder(&folder, &target, &mut changed)? {
                        // It has come about this moment: then its files go into it.
                        for one in &moves[all] {
                            self.place_file(manifest, one, &target, &mut changed)?;
                        }
                    }
                }
            }
        }
        self.sync_folders(&target, &changed)?;
        self.remove()?;
        let mut tops: Vec<&str> = moves.iter().map(|one| top(&one.to)).collect();
        tops.dedup();
        Ok(tops.into_iter().map(|top| self.dest.join(top)).collect())
    }

    /// Sees that all files are complete, sets what the manifest says of them, and syncs them.
    fn finish(&self, manifest: &Manifest, moves: &[Move]) -> Result<(), StagingError> {
        let one_by_one = moves.len() <= SYNC_ONE_BY_ONE;
        let mut inodes = BTreeSet::new();
        let mut folders = BTreeSet::new();
        for one in moves {
            let entry = &manifest.entries()[one.file];
            let path = entry.path.as_str();
            if entry.size == 0 {
                self.file(path)?;
            }
            let (parent, name) = self.parent(path, false)?;
            let error = |error| self.failed("finish", path, error);
            let found = self.plain(&parent, name, path)?;
            let found = found.ok_or_else(|| StagingError::Incomplete(path.into()))?;
            if found.size != entry.size {
                return Err(StagingError::Incomplete(path.into()));
            }
            // The file system took two names for one; `prepare` should have seen it.
            if !inodes.insert(found.inode) {
                return Err(StagingError::Meddled(path.into(), What::Other));
            }
            self.dress(entry, &parent, name, one_by_one).map_err(error)?;
            if one_by_one {
                // The folders of at most a few.
                folders.extend(folders_of(path).map(str::to_owned));
            }
        }
        match one_by_one {
            true => self.sync_folders(&self.dirs, &folders),
            false => self.sync_all(),
        }
    }

    fn dress(&self, entry: &Entry, parent: &Dir, name: &str, sync: bool) -> io::Result<()> {
        system::set_modified(parent, name, entry.modified, entry.modified_nanos)?;
        if entry.executable || sync {
            let file = system::open_file(parent, name)?;
            if entry.executable {
                system::set_executable(&file)?;
            }
            if sync {
                file.sync_all()?;
            }
        }
        Ok(())
    }

    /// What can be renamed at once, if the target is still as it was.
    fn units(&self, manifest: &Manifest, moves: &[Move], target: &Dirs) -> Result<Vec<Unit>, StagingError> {
        let (mut units, mut appeared) = (Vec::new(), Vec::new());
        let mut at = 0;
        while let Some(one) = moves.get(at) {
            let (folder, name) = one.to.rsplit_once('/').unwrap_or(("", &one.to));
            let error = |error| failed("look at", &self.dest.join(&one.to), error);
            let (path, what) = match target.get(folder, false).map_err(error)? {
                Looked::Absent(folder) => {
                    let end = at + moves[at..].partition_point(|one| beneath(&one.to, &folder));
                    match self.is_all(&folder, manifest, &moves[at..end]) {
                        true => units.push(Unit::Folder(folder, at..end)),
                        false => units.extend((at..end).map(Unit::File)),
                    }
                    at = end;
                    continue;
                }
                Looked::Blocked(path, what) => (path, what),
                Looked::Folder(dir) => match system::look(&dir, name).map_err(error)? {
                    Some(found) if !one.over || !matches!(found.what, What::File | What::Symlink) => {
                        (one.to.clone(), found.what)
                    }
                    _ => {
                        units.push(Unit::File(at));
                        at += 1;
                        continue;
                    }
                },
            };
            appeared.push(self.conflict(one, &path, what));
            at += 1;
        }
        match appeared.is_empty() {
            true => Ok(units),
            false => Err(StagingError::InTheWay(appeared)),
        }
    }

    /// Whether the staged folder holds these files and nothing else, so that it can go as it is.
    fn is_all(&self, folder: &str, manifest: &Manifest, moves: &[Move]) -> bool {
        let own_name = |one: &Move| one.to == manifest.entries()[one.file].path;
        let Ok(Looked::Folder(dir)) = self.dirs.get(folder, false) else { return false };
        moves.iter().all(own_name) && count(&dir, moves.len()).is_ok_and(|files| files == moves.len())
    }

    /// Renames a whole folder; false when the target has one of this name by now.
    pub(super) fn place_folder(
        &self,
        folder: &str,
        target: &Dirs,
        changed: &mut BTreeSet<String>,
    ) -> Result<bool, StagingError> {
        let (from, name) = self.parent(folder, false)?;
        let above = folder.rsplit_once('/').map_or("", |(above, _)| above);
        let to = match target.get(above, false) {
            Ok(Looked::Folder(dir)) => dir,
            _ => return Ok(false),
        };
        match system::rename_new(&from, name, &to, name) {
            Ok(()) => {
                changed.insert(above.to_owned());
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(self.cannot_place(folder, error)),
        }
    }

    pub(super) fn place_file(
        &self,
        manifest: &Manifest,
        one: &Move,
        target: &Dirs,
        changed: &mut BTreeSet<String>,
    ) -> Result<(), StagingError> {
        let (from, old) = self.parent(&manifest.entries()[one.file].path, false)?;
        let (folder, new) = one.to.rsplit_once('/').unwrap_or(("", &one.to));
        let to: Arc<Dir> =
            match target.get(folder, true).map_err(|error| self.cannot_place(&one.to, error))? {
                Looked::Folder(dir) => dir,
                Looked::Blocked(path, what) => {
                    return Err(StagingError::InTheWay(vec![self.conflict(one, &path, what)]));
                }
                Looked::Absent(path) => return Err(self.cannot_place(&path, io::ErrorKind::NotFound.into())),
            };
        let renamed = match one.over {
            true => system::rename_over(&from, old, &to, new),
            false => system::rename_new(&from, old, &to, new),
        };
        match renamed {
            Ok(()) => {
                if !changed.contains(folder) {
                    changed.extend(folders_of(&one.to).map(str::to_owned));
                }
                Ok(())
            }
            Err(error) => match system::look(&to, new) {
                Ok(Some(found)) if !system::is_other_disk(&error) => {
                    Err(StagingError::InTheWay(vec![self.conflict(one, &one.to, found.what)]))
                }
                _ => Err(self.cannot_place(&one.to, error)),
            },
        }
    }

    /// Makes new names survive a loss of power.
    fn sync_folders(&self, dirs: &Dirs, folders: &BTreeSet<String>) -> Result<(), StagingError> {
        if folders.len() > SYNC_ONE_BY_ONE {
            return self.sync_all();
        }
        for folder in folders {
            let Ok(Looked::Folder(dir)) = dirs.get(folder, false) else { continue };
            let synced = system::open_folder(&dir, ".").and_then(|folder| folder.sync_all());
            synced.map_err(|error| self.failed("sync", folder, error))?;
        }
        Ok(())
    }

    fn conflict(&self, one: &Move, at: &str, what: What) -> Conflict {
        let own = at == one.to;
        let can_overwrite = own && matches!(what, What::File | What::Symlink);
        Conflict { file: one.file, path: self.dest.join(at), what, can_overwrite, can_rename: own }
    }

    fn cannot_place(&self, path: &str, error: io::Error) -> StagingError {
        match system::is_other_disk(&error) {
            true => StagingError::OtherDisk(self.dest.join(path)),
            false => failed("place", &self.dest.join(path), error),
        }
    }
}

/// The folders above a path, the root (`""`) last.
fn folders_of(path: &str) -> impl Iterator<Item = &str> {
    path.rmatch_indices('/').map(|(slash, _)| &path[..slash]).chain([""])
}

/// Counts what is beneath a folder and no folder itself, up to one more than `enough`.
fn count(dir: &Dir, enough: usize) -> io::Result<usize> {
    let mut files = 0;
    for entry in dir.entries()? {
        let entry = entry?;
        files += match entry.file_type()?.is_dir() {
            true => count(&entry.open_dir()?, enough - files)?,
            false => 1,
        };
        if files > enough {
            break;
        }
    }
    Ok(files)
}
