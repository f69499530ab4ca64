//! A file of an old program: `get classic:HOST:PORT FILE`.
//!
//! Its bytes are what came, proven by nothing: no hash is known, and anybody on the way could have changed them. The name
//! is the one the user typed, without its folders, and passes the function that every name passes before it is a path; what
//! is there already is left alone. The file appears under its name when all of it has come.

use super::run::pass_on;
use super::{Destination, Get, Got};
use crate::control::{ANSWER, reply, within};
use crate::exit::{CommandError, Outcome};
use crate::node::{Node, blame, classic};
use bytes::Bytes;
use compeer::{Addr, Request, text};
use compeer_share::names;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

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
    let body = fetch(node, get, at, file).await?;
    let bytes = body.len() as u64;
    let paths = match place {
        None => {
            pass_on(request, body).await?;
            Vec::new()
        }
        Some(path) => {
            let shown = path.display().to_string();
            let written = tokio::task::spawn_blocking(move || write(&path, &body)).await;
            written.map_err(|panic| CommandError::failed(panic.to_string()))??;
            vec![shown]
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

async fn fetch(node: &Node, get: &Get, at: Addr, file: &str) -> Outcome<Bytes> {
    let blamed = |error| blame::classic(&format!("classic:{at}"), &error);
    let asked = node.peer.classic_request(at.clone(), "FGET", file.to_string());
    let answered = asked.timeout(within(get.timeout_ms)).one().await.map_err(blamed)?;
    match answered.kind.as_bytes() {
        b"REPL" => Ok(answered.body),
        _ => Err(CommandError::failed(format!("classic:{at}: {}", text::escape(&answered.text())))),
    }
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

/// Writes the file under a name of its own first, and gives it its own when it is on the disk.
fn write(path: &Path, body: &[u8]) -> Outcome {
    let failed = |error: std::io::Error| CommandError::failed(format!("{}: {error}", path.display()));
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).map_err(failed)?;
    let mut new = tempfile::Builder::new();
    // Not private, as temporary files are: as the user's umask says.
    #[cfg(unix)]
    new.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = new.prefix(".compeer-").suffix(".part").tempfile_in(dir).map_err(failed)?;
    file.write_all(body).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist_noclobber(path).map(drop).map_err(|error| match error.error.kind() {
        std::io::ErrorKind::AlreadyExists => taken(path),
        _ => failed(error.error),
    })
}
