//! What `send -` reads from standard input, as a file in the home for as long as it is sent.
//!
//! A stream has no second reading, but a receiver may lose its connection, and there may be several. Each command has a
//! directory of its own, `spool/PID-…`, removed at its end; what a killed command left is removed by the next one, which
//! sees that no such process is there any more.

use crate::context::Context;
use crate::exit::{CommandError, Outcome};
use crate::interrupt;
use rustix::process::{Pid, test_kill_process};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What it is called if the user says nothing.
const NAME: &str = "stdin";

/// A file with what came in. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Spool {
    _directory: TempDir,
    path: PathBuf,
}

impl Spool {
    /// Reads standard input to its end.
    ///
    /// # Errors
    ///
    /// The home is full or cannot be written, the name is none for a file; interrupted.
    pub(crate) async fn fill(context: &Context, name: Option<&str>) -> Outcome<Spool> {
        let name = name.unwrap_or(NAME);
        if name.is_empty() || name.contains(['/', '\0']) || [".", ".."].contains(&name) {
            return Err(CommandError::usage(format!("--name {name:?} is no name for a file")));
        }
        let spool = context.home()?.spool_path();
        let cannot = |error: std::io::Error| {
            CommandError::failed(format!("cannot keep standard input in {}: {error}", spool.display()))
        };
        DirBuilder::new().recursive(true).mode(0o700).create(&spool).map_err(cannot)?;
        sweep(&spool);
        let prefix = format!("{}-", std::process::id());
        let directory = tempfile::Builder::new().prefix(&prefix).tempdir_in(&spool).map_err(cannot)?;
        let path = directory.path().join(name);
        let mut file = tokio::fs::File::create_new(&path).await.map_err(cannot)?;
        let copy = async {
            tokio::io::copy(&mut tokio::io::stdin(), &mut file).await?;
            tokio::io::AsyncWriteExt::flush(&mut file).await
        };
        tokio::select! {
            biased;
            () = interrupt::wait() => Err(CommandError::interrupted()),
            copied = copy => copied.map(|()| Spool { _directory: directory, path }).map_err(cannot),
        }
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Removes what commands left that are no more. What cannot be removed stays for the next one.
fn sweep(spool: &Path) {
    for entry in std::fs::read_dir(spool).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.split('-').next()).and_then(|pid| pid.parse().ok());
        if let Some(pid) = pid.and_then(Pid::from_raw)
            && test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_uses_is_swept() {
        let spool = tempfile::tempdir().unwrap();
        let own = spool.path().join(format!("{}-x", std::process::id()));
        // Beyond the largest process id there is (`/proc/sys/kernel/pid_max` is at most 2^22).
        let left = spool.path().join("2147483647-x");
        let other = spool.path().join("notes");
        for directory in [&own, &left, &other] {
            std::fs::create_dir(directory).unwrap();
            std::fs::write(directory.join("stdin"), "x").unwrap();
        }
        sweep(spool.path());
        assert_eq!([own.exists(), left.exists(), other.exists()], [true, false, true]);
    }
}
