//! TEMPORARY
//! TEMPORARY
//! TEMPORARY
use crate::manifest::*;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    #[error("io {0}")]
    Io(#[from] io::Error),
    #[error("no space")]
    NoSpace { needed: Option<u64>, free: u64 },
}
impl From<StagingError> for io::Error {
    fn from(e: StagingError) -> io::Error {
        match e {
            StagingError::Io(e) => e,
            _ => io::ErrorKind::StorageFull.into(),
        }
    }
}
#[derive(Debug)]
pub struct Staging {
    dir: PathBuf,
    dest: PathBuf,
}
#[derive(Clone, Debug)]
pub struct Target {
    pub dir: PathBuf,
    pub file_name: Option<String>,
}
#[derive(Clone, Copy, Debug)]
pub enum Existing {
    Ask,
    Overwrite,
    Rename,
}
pub struct Survey;
pub struct Placement;
impl Survey {
    pub fn of(_: &Target, _: &Manifest, _: &[usize]) -> Result<Survey, StagingError> {
        Ok(Survey)
    }
    pub fn decide(self, _: Existing) -> Result<Placement, StagingError> {
        Ok(Placement)
    }
}
impl Placement {
    pub fn skipped(&self) -> std::iter::Empty<usize> {
        std::iter::empty()
    }
}
impl Staging {
    pub fn create(dest: &Path, id: &str) -> Result<Staging, StagingError> {
        let dir = dest.join(format!("compeer-{id}.part"));
        fs::create_dir_all(&dir)?;
        Ok(Staging { dir, dest: dest.into() })
    }
    pub fn open(dest: &Path, id: &str) -> Result<Option<Staging>, StagingError> {
        let dir = dest.join(format!("compeer-{id}.part"));
        Ok(dir.is_dir().then(|| Staging { dir, dest: dest.into() }))
    }
    pub fn is_locked(_: &Path, _: &str) -> bool {
        false
    }
    pub fn file(&self, p: &str) -> Result<File, StagingError> {
        let p = self.dir.join(p);
        match File::options().read(true).write(true).create(true).truncate(false).open(&p) {
            Ok(f) => Ok(f),
            Err(_) => {
                fs::create_dir_all(p.parent().unwrap())?;
                Ok(File::options().read(true).write(true).create(true).truncate(false).open(&p)?)
            }
        }
    }
    pub fn sync_all(&self) -> Result<(), StagingError> {
        let f = File::open(&self.dir)?;
        rustix::fs::syncfs(&f).map_err(io::Error::from)?;
        Ok(())
    }
    pub fn free_space(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
    pub fn place(&self, m: &Manifest, _: &Placement) -> Result<Vec<PathBuf>, StagingError> {
        for e in m.entries() {
            if e.size == 0 {
                self.file(&e.path)?;
            }
        }
        self.sync_all()?;
        let mut v = vec![];
        for e in fs::read_dir(&self.dir)? {
            let e = e?;
            let to = self.dest.join(e.file_name());
            fs::rename(e.path(), &to)?;
            v.push(to);
        }
        fs::remove_dir(&self.dir)?;
        Ok(v)
    }
    pub fn discard(self) -> Result<(), StagingError> {
        fs::remove_dir_all(&self.dir)?;
        Ok(())
    }
}
