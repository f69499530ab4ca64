//! `compeer up --detach`: the same peer in the background.
//!
//! The program starts itself once more, without `--detach`, with its output in the home's `up.log`; that process makes a
//! session of its own. This one waits until the other answers at the control socket, prints what it would have
//! printed, and leaves. If the other one ends instead, its last words and its exit code are passed on.

use super::{PAUSE, Started, become_the_peer};
use crate::context::Context;
use crate::control::status;
use crate::exit::{CommandError, Exit, Outcome};
use crate::gateway::{self, Gateway, Held};
use crate::home::Home;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// How long the other process may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(20);

pub(super) async fn run(context: &Context) -> Outcome {
    let home = context.home()?;
    // Given back at once: this is to find another `up` now, with a better error than the log's.
    drop(become_the_peer(context, &home).await?);
    let mut child = open_log(&home)
        .and_then(|log| spawn(&log))
        .map_err(|error| CommandError::failed(format!("cannot start in the background: {error}")))?;
    tokio::select! {
        biased;
        () = crate::interrupt::wait() => {
            let _ = child.kill();
            Err(CommandError::interrupted())
        }
        outcome = ready(context, &home, &mut child) => outcome,
    }
}

/// The empty log. Written at its end always, so that it can be cut short while it is written.
fn open_log(home: &Home) -> std::io::Result<File> {
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(home.log_path())?;
    log.set_len(0)?;
    Ok(log)
}

fn spawn(log: &File) -> std::io::Result<Child> {
    let arguments = std::env::args_os().skip(1).filter(|argument| argument != "--detach");
    Command::new(std::env::current_exe()?)
        .args(arguments)
        .arg("--detached")
        .env_remove("COMPEER_DETACH")
        // It needs none, and its environment can be looked at for as long as it runs.
        .env_remove(crate::input::PASSPHRASE)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?)
        .spawn()
}

/// Waits for the other process to answer and prints what it has to say.
async fn ready(context: &Context, home: &Home, child: &mut Child) -> Outcome {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        if let Ok(Some(ended)) = child.try_wait() {
            return Err(last_words(home, ended.code()));
        }
        if let Ok(Held::Theirs(client, holder)) = gateway::enter(home).await
            && holder.pid == child.id()
        {
            let status: status::NodeStatus =
                Gateway::to(client).ask(status::KIND, &status::AskStatus {}).await?;
            context.console.show(&Started::new(status));
            context.console.note(&format!(
                "in the background (process {}); what it shows is in {}",
                child.id(),
                home.log_path().display()
            ));
            return Ok(());
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            return Err(CommandError::new(Exit::Unreachable, "the peer in the background did not get ready"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn last_words(home: &Home, code: Option<i32>) -> CommandError {
    let log = std::fs::read_to_string(home.log_path()).unwrap_or_default();
    let words = log.trim().strip_prefix("error: ").unwrap_or(log.trim());
    let exit = match code {
        Some(2) => Exit::Usage,
        Some(3) => Exit::Unreachable,
        Some(4) => Exit::Verification,
        _ => Exit::Failed,
    };
    CommandError::new(exit, if words.is_empty() { "the peer in the background ended at once" } else { words })
}
