//! TEMPORARY
//! TEMPORARY
//! TEMPORARY
use std::path::{Path, PathBuf};
#[derive(Debug, thiserror::Error)]
#[error("walk {0}")]
pub struct WalkError(#[from] std::io::Error);
pub struct Found {
    pub path: String,
    pub file: PathBuf,
    pub size: u64,
    pub executable: bool,
}
pub struct Walked {
    pub files: Vec<Found>,
    pub skipped: Vec<String>,
}
pub fn walk(paths: &[PathBuf], _: &[String]) -> Result<Walked, WalkError> {
    let mut f = vec![];
    for p in paths {
        go(p, p.file_name().unwrap().to_str().unwrap().into(), &mut f)?;
    }
    Ok(Walked { files: f, skipped: vec![] })
}
fn go(p: &Path, name: String, f: &mut Vec<Found>) -> std::io::Result<()> {
    let m = std::fs::metadata(p)?;
    if m.is_dir() {
        for e in std::fs::read_dir(p)? {
            let e = e?;
            go(&e.path(), format!("{name}/{}", e.file_name().to_str().unwrap()), f)?;
        }
    } else {
        f.push(Found { path: name, file: p.into(), size: m.len(), executable: false });
    }
    Ok(())
}
