//! `compeer identity export|import`: moves this peer's key to another machine, locked with a passphrase.
//!
//! One key is one device: where it runs twice, both are told and neither works well. So both commands say what is to be
//! done on the other machine. The passphrase comes from a prompt, a variable or a file and is never taken from the command
//! line, where every user of the machine can read it.

use crate::console::Report;
use crate::context::Context;
use crate::exit::{CommandError, Outcome};
use crate::gateway;
use crate::home::key;
use crate::home::lock::Holder;
use crate::home::sealed::{self, SealError};
use crate::input;
use clap::{Args, Subcommand};
use compeer::PeerId;
use serde::Serialize;
use std::convert::Infallible;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Characters a passphrase must have. A guess: four words, or what a password manager makes.
const LEAST: usize = 12;

/// Move this peer to another machine: its key, locked with a passphrase.
///
/// The key is what others know this peer by; names and files stay where they are. One key is one device: stop the peer
/// here before it starts there.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  compeer identity export me.key       asks for a passphrase, twice
  compeer identity import me.key       on the other machine
  compeer identity export | ssh other compeer identity import - --passphrase @secret")]
pub(crate) struct Identity {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write the key, locked with a passphrase, as text
    Export {
        /// A file that is not there yet [default: standard output]
        file: Option<PathBuf>,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Become the peer whose key was exported
    Import {
        /// The exported file; `-` is standard input
        file: PathBuf,
        /// Give up the key that is here; a copy of it stays in the home
        #[arg(long, hide_env_values = true, env = "COMPEER_REPLACE", value_parser = clap::builder::BoolishValueParser::new())]
        replace: bool,
        #[command(flatten)]
        passphrase: Passphrase,
    },
}

#[derive(Args, Debug)]
struct Passphrase {
    /// The file that holds the passphrase, or `-` for standard input [default: asks]
    #[arg(long, hide_env_values = true, env = input::PASSPHRASE, value_name = "@FILE", value_parser = wiped)]
    passphrase: Option<Zeroizing<String>>,
}

/// Also what stands there is a secret, if it comes from the variable.
fn wiped(text: &str) -> Result<Zeroizing<String>, Infallible> {
    Ok(Zeroizing::new(text.to_string()))
}

impl Passphrase {
    fn given(&self) -> Option<&str> {
        self.passphrase.as_ref().map(|given| given.as_str())
    }
}

impl Identity {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self.what {
            What::Export { file, passphrase } => export(context, file, &passphrase).await,
            What::Import { file, replace, passphrase } => import(context, file, replace, &passphrase).await,
        }
    }
}

async fn export(context: &Context, file: Option<PathBuf>, passphrase: &Passphrase) -> Outcome {
    let home = context.home()?;
    let identity = key::load(&home)?.ok_or_else(|| {
        CommandError::failed(format!("there is no key in {} yet", home.dir().display()))
            .hint("the first `compeer up` makes one")
    })?;
    let passphrase = input::passphrase(&context.console, passphrase.given(), true).await?;
    if passphrase.chars().count() < LEAST {
        return Err(CommandError::usage(format!(
            "a passphrase of less than {LEAST} characters is guessed quickly"
        ))
        .hint("four words that do not belong together are a good one"));
    }
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| CommandError::failed(format!("no randomness: {error}")))?;
    let text = sealed::seal(&identity, salt, &passphrase).map_err(told)?;
    if let Some(path) = &file {
        let written =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            });
        written.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => CommandError::failed(format!("{} is there already", path.display()))
                .hint("give another name; a key is never written over"),
            _ => CommandError::failed(format!("cannot write {}: {error}", path.display())),
        })?;
    }
    context.console.note(
        "one key is one device: once it is imported elsewhere, start this peer here no more. Names of paired peers, \
         shares and settings are not in it",
    );
    context.console.show(&Exported {
        event: "identity_exported",
        peer: identity.peer_id(),
        // What is in a file for its owner alone is not for the log of whoever reads the events.
        text: file.is_none().then_some(text),
        path: file,
    });
    Ok(())
}

async fn import(context: &Context, file: PathBuf, replace: bool, passphrase: &Passphrase) -> Outcome {
    let stdin = file.as_os_str() == "-";
    if stdin && passphrase.given() == Some("-") {
        return Err(CommandError::usage(
            "only one of the key and the passphrase can come from standard input",
        ));
    }
    let text = match stdin {
        true => input::bounded(io::stdin().lock(), "standard input", sealed::MAX_LEN)?,
        false => {
            let open = std::fs::File::open(&file);
            let name = file.display().to_string();
            let open = open.map_err(|error| CommandError::usage(format!("cannot read {name}: {error}")))?;
            input::bounded(open, &name, sealed::MAX_LEN)?
        }
    };
    let text = String::from_utf8(text).map_err(|_| told(SealError::Other))?;
    let claimed = sealed::whose(&text).map_err(told)?;
    let home = context.home()?;
    // Held until the end: nobody becomes the old peer meanwhile.
    let Some(_lock) = gateway::take(&home)? else {
        let who = Holder::read(&home).map_or(String::new(), |holder| format!(" (process {})", holder.pid));
        return Err(CommandError::failed(format!("a peer runs in this home{who}"))
            .hint("stop it first, with: compeer down"));
    };
    let old = key::load(&home)?.map(|old| old.peer_id());
    if let Some(old) = old.filter(|old| *old != claimed && !replace) {
        return Err(CommandError::failed(format!(
            "this home is the peer {old} already; nothing was changed"
        ))
        .hint("with --replace it becomes the other one; or import into another home, with --home DIR"));
    }
    let passphrase = input::passphrase(&context.console, passphrase.given(), false).await?;
    let identity = sealed::open(&text, &passphrase).map_err(told)?;
    let replaced = old.filter(|old| *old != identity.peer_id());
    let kept = match (old, replaced) {
        (Some(_), None) => None,
        _ => key::replace(&home, &identity)?,
    };
    if let Some(kept) = &kept {
        context.console.note(&format!("the key that was here is kept in {}", kept.display()));
    }
    context.console.note("one key is one device: see to it that this peer runs nowhere else");
    context.console.show(&Imported { event: "identity_imported", peer: identity.peer_id(), replaced });
    Ok(())
}

fn told(error: SealError) -> CommandError {
    match error {
        SealError::Passphrase => CommandError::verification(error.to_string()),
        SealError::Memory => CommandError::failed(error.to_string()),
        _ => CommandError::usage(error.to_string()),
    }
}

#[derive(Serialize)]
struct Exported {
    event: &'static str,
    peer: PeerId,
    path: Option<PathBuf>,
    /// Where it was not written to a file.
    text: Option<String>,
}

impl Report for Exported {
    fn human(&self) -> String {
        match &self.path {
            Some(path) => {
                format!(
                    "{} is in {}; on the other machine: compeer identity import",
                    self.peer,
                    path.display()
                )
            }
            None => self.text.as_deref().unwrap_or_default().trim_end().to_string(),
        }
    }
}

#[derive(Serialize)]
struct Imported {
    event: &'static str,
    peer: PeerId,
    replaced: Option<PeerId>,
}

impl Report for Imported {
    fn human(&self) -> String {
        format!("this home is the peer {} now", self.peer)
    }
}
