//! One request as a run of a shell command: the body in, its output out, and an end to everything it started.
//!
//! The command is the user's own text and is handed to `sh -c` as it is; nothing of the peer's comes near it. What the
//! peer sent is on standard input; who sent it is in variables whose values are made here: an id, and the petname, which is
//! letters, digits, - and _ whether the user chose it or it was made of what the peer calls itself. A passphrase in our own
//! environment stays there. Each run has a process group of its own, which is killed when the command has ended (what it
//! left behind with it), when it takes too long or prints too much, and when nobody wants the reply any more: this future
//! is dropped then. A process that leaves its group is out of reach.

use super::guard::Guard;
use crate::duration;
use crate::exit::{CommandError, Outcome};
use crate::input;
use crate::node::work::Asker;
use compeer::limits;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, Command};

/// Bytes of output that are a reply: what one message holds.
const MAX_OUTPUT: usize = limits::MAX_BODY as usize;

/// Bytes of standard error that go to the caller: of the 1,024 that an error reply has for words, with room for ours.
const TAIL: usize = 800;

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;

/// How to answer a request by a command.
pub(super) struct Exec {
    command: String,
    kind: String,
    timeout: Duration,
    guard: Guard,
}

impl Exec {
    /// Gets ready to run a command.
    ///
    /// # Errors
    ///
    /// There is no `sh`.
    pub(super) fn new(command: String, kind: &str, timeout: Duration) -> Outcome<Exec> {
        let guard = Guard::start()
            .map_err(|error| CommandError::failed(format!("cannot run commands by sh: {error}")))?;
        Ok(Exec { command, kind: kind.to_string(), timeout, guard })
    }

    /// Runs it once; what it printed, or why it failed, in words for the caller.
    pub(super) async fn run(&self, from: &Asker, body: &[u8]) -> Result<Vec<u8>, String> {
        let cannot = |error: io::Error| format!("the command cannot be run: {error}");
        let mut child = Command::new("sh")
            .args(["-c", &self.command])
            .env("COMPEER_FROM_ID", from.peer.map(|peer| peer.to_string()).unwrap_or_default())
            .env("COMPEER_FROM_ADDR", from.addr.map(|addr| addr.to_string()).unwrap_or_default())
            .env("COMPEER_FROM_NAME", from.petname.as_deref().unwrap_or_default())
            .env("COMPEER_KIND", &self.kind)
            .env_remove(input::PASSPHRASE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(cannot)?;
        let group = Group::of(child.id(), &self.guard);
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("the command has no pipes".to_string());
        };
        let mut feed = Feed { stdin, group: &group, whole: false };
        let fed = async move {
            // A command need not read what it is given.
            let _ = feed.stdin.write_all(body).await;
            feed.end();
            Ok(())
        };
        let ended = async {
            let status = child.wait().await.map_err(cannot)?;
            // What it left running holds its output open.
            group.end();
            Ok(status)
        };
        let all = async { tokio::try_join!(fed, ended, output(stdout), tail(stderr)) };
        let ((), status, output, tail) = tokio::time::timeout(self.timeout, all).await.map_err(|_| {
            format!("the command took longer than {} and was killed", duration::show(self.timeout))
        })??;
        if status.success() {
            return Ok(output);
        }
        let tail = String::from_utf8_lossy(&tail);
        Err(match tail.trim() {
            "" => status.to_string(),
            tail => format!("{status}: {tail}"),
        })
    }
}

/// What a command prints, if that fits a message.
async fn output(mut from: impl AsyncRead + Unpin) -> Result<Vec<u8>, String> {
    let mut output = Vec::new();
    // One more than fits, so that what is too much is seen at once.
    let mut bounded = (&mut from).take(MAX_OUTPUT as u64 + 1);
    bounded
        .read_to_end(&mut output)
        .await
        .map_err(|error| format!("the command's output cannot be read: {error}"))?;
    match output.len() > MAX_OUTPUT {
        true => Err(format!("the command printed more than {MAX_OUTPUT} bytes, the most one message holds")),
        false => Ok(output),
    }
}

/// The end of what a command prints on standard error.
async fn tail(mut from: impl AsyncRead + Unpin) -> Result<Vec<u8>, String> {
    let (mut tail, mut chunk) = (Vec::new(), vec![0; CHUNK]);
    loop {
        match from.read(&mut chunk).await {
            Ok(read) if read > 0 => tail.extend_from_slice(&chunk[..read]),
            // What was read before is good.
            _ => return Ok(tail),
        }
        tail.drain(..tail.len().saturating_sub(TAIL));
    }
}

/// The command's standard input. Its end means that the body is whole: where it is not, the command is killed first, so that
/// it never takes a part for the whole.
struct Feed<'a> {
    stdin: ChildStdin,
    group: &'a Group<'a>,
    whole: bool,
}

impl Feed<'_> {
    /// All of it was given.
    fn end(mut self) {
        self.whole = true;
    }
}

impl Drop for Feed<'_> {
    fn drop(&mut self) {
        if !self.whole {
            self.group.end();
        }
    }
}

/// The processes of one run, killed when this is dropped.
struct Group<'a> {
    id: Option<Pid>,
    guard: &'a Guard,
    ended: AtomicBool,
}

impl<'a> Group<'a> {
    fn of(leader: Option<u32>, guard: &'a Guard) -> Group<'a> {
        let id = leader.and_then(|id| Pid::from_raw(id.try_into().ok()?));
        if let Some(id) = id {
            guard.watch(id);
        }
        Group { id, guard, ended: AtomicBool::new(false) }
    }

    fn end(&self) {
        if let Some(id) = self.id
            && !self.ended.swap(true, Ordering::Relaxed)
        {
            // It fails when nobody is left.
            let _ = kill_process_group(id, Signal::KILL);
            self.guard.forget(id);
        }
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn as_much_as_a_message_holds_and_the_last_words() {
        let much = |length| io::Cursor::new(vec![b'x'; length]);
        assert_eq!(output(much(MAX_OUTPUT)).await.unwrap().len(), MAX_OUTPUT);
        assert!(output(much(MAX_OUTPUT + 1)).await.is_err());
        let mut words = vec![b'x'; 3 * CHUNK];
        words.extend(b"the end");
        let tail = tail(io::Cursor::new(words)).await.unwrap();
        assert!(tail.len() == TAIL && tail.ends_with(b"the end"));
    }
}
