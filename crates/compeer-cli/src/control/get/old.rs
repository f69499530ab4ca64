//! A file of an old program: `get classic:HOST:PORT FILE`.
//!
//! Its bytes are what came, proven by nothing: no hash is known, and anybody on the way could have changed them. The name
//! is the one the user typed, without its folders, and passes the function that every name passes before it is a path; what
//! is there already is left alone. It is written as it comes, under a name of its own, and has the one it is to have when all
//! of it is on the disk; no more than a part of it is ever in memory. Of at most 64 MiB, as all replies of old programs.

use super::run::pass_on;
use super::{Destination, Get, Got};
use crate::control::{ANSWER, reply, within};
use crate::exit::{CommandError, Outcome};
use crate::node::{Node, blame, classic};
use compeer::classic::{Error, Reply};
use compeer::{Addr, Request, text};
use compeer_share::names;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;
use tokio::task::spawn_blocking;

/// Longest reason of an old program that is shown. Unit: bytes. A guess: a few lines.
const MAX_REASON: usize = 1024;

/// Where to fetch from and what, if that is what was typed.
pub(super) fn wanted(what: &str) -> Option<Outcome<(Addr, String)>> {
    let (at, file) = what.split_once(' ').unwrap_or((what, ""));
    let at = classic::address(at)?;
    Some(at.and_then(|at| match file {
        "" => Err(CommandError::usage("which file?").hint(format!("compeer get classic:{at} FILE"))),
        file => Ok((at, file.to_string())),
    }))
}

pub(super) async fn answer(node: &Node, request: &Request, get: &Get, at: Addr, file: &str) -> Outcome {
    if get.to == Destination::List || !get.only.is_empty() || get.from.is_some() {
        return Err(CommandError::usage("--list, --only and --from do not go with classic:"));
    }
    // Before anything is asked: an hour of waiting is not to end with this.
    let place = place(&get.to, file)?;
    let began = Instant::now();
    let asked = node.peer.classic_request(at.clone(), "FGET", file.to_string());
    let blamed = |error| blame::classic(&format!("classic:{at}"), &error);
    let mut answered = asked.timeout(within(get.timeout_ms)).stream().await.map_err(blamed)?;
    if answered.kind() != "REPL" {
        let why = reason(&mut answered).await.map_err(blamed)?;
        return Err(CommandError::failed(format!("classic:{at}: {}", text::escape(&why))));
    }
    let bytes = answered.payload_len() as u64;
    let paths = match place {
        None => {
            while let Some(part) = answered.next().await {
                pass_on(request, part.map_err(blamed)?).await?;
            }
            Vec::new()
        }
        Some(path) => {
            write(&path, answered, blamed).await?;
            vec![path.display().to_string()]
        }
    };
    let took_ms = began.elapsed().as_millis() as u64;
    let got = Got {
        event: "got".into(),
        paths,
        files: 1,
        bytes,
        received_bytes: bytes,
        took_ms,
        rate: (u128::from(bytes) * 1000 / u128::from(took_ms.max(1))) as u64,
        sources: 1,
        same_files: 0,
    };
    reply(request, ANSWER, &got).await
}

/// Why it does not give the file.
async fn reason(answered: &mut Reply) -> Result<String, Error> {
    let mut why = Vec::new();
    while why.len() < MAX_REASON
        && let Some(part) = answered.next().await
    {
        why.extend_from_slice(&part?);
    }
    why.truncate(MAX_REASON);
    Ok(String::from_utf8_lossy(&why).into_owned())
}

/// The path of the file; `None`: standard output.
fn place(to: &Destination, file: &str) -> Outcome<Option<PathBuf>> {
    let within = |dir: &Path| {
        let name = file.rsplit('/').next().unwrap_or(file);
        names::check(name, names::native()).map_err(|error| {
            CommandError::usage(error.to_string()).hint("name the file it is to be:  -o FILE")
        })?;
        Outcome::Ok(dir.join(name))
    };
    let path = match to {
        Destination::List | Destination::Stdout => return Ok(None),
        Destination::Directory(dir) => within(dir)?,
        Destination::Either(path) if path.is_dir() => within(path)?,
        Destination::Either(path) => path.clone(),
    };
    match path.symlink_metadata() {
        Ok(_) => Err(taken(&path)),
        Err(_) => Ok(Some(path)),
    }
}

fn taken(path: &Path) -> CommandError {
    CommandError::usage(format!("{} is there already", path.display())).hint("name another file:  -o FILE")
}

/// Writes the file as it comes, under a name of its own, which is gone again if it does not come to its end.
async fn write(path: &Path, mut answered: Reply, blamed: impl Fn(Error) -> CommandError) -> Outcome {
    let failed = |error: std::io::Error| failed(path, &error);
    let panicked = |panic: tokio::task::JoinError| CommandError::failed(panic.to_string());
    let target = path.to_owned();
    let (part, file) = spawn_blocking(move || begin(&target)).await.map_err(panicked)?.map_err(failed)?;
    let mut file = tokio::fs::File::from_std(file);
    while let Some(some) = answered.next().await {
        file.write_all(&some.map_err(&blamed)?).await.map_err(failed)?;
    }
    // What is written last may fail too, and only this says so.
    file.flush().await.map_err(failed)?;
    file.sync_all().await.map_err(failed)?;
    let target = path.to_owned();
    spawn_blocking(move || part.persist_noclobber(&target)).await.map_err(panicked)?.map(drop).map_err(
        |error| match error.error.kind() {
            std::io::ErrorKind::AlreadyExists => taken(path),
            _ => failed(error.error),
        },
    )
}

/// A file beside the one it is to be, and a handle to write to.
fn begin(path: &Path) -> std::io::Result<(NamedTempFile, std::fs::File)> {
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)?;
    let mut new = tempfile::Builder::new();
    // Not private, as temporary files are: as the user's umask says.
    #[cfg(unix)]
    new.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let part = new.prefix(".compeer-").suffix(".part").tempfile_in(dir)?;
    let file = part.as_file().try_clone()?;
    Ok((part, file))
}

fn failed(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::failed(format!("{}: {error}", path.display()))
}
