//! `compeer pair`: give a peer a name, once; afterwards the name suffices.
//!
//! By its address, ticket or id this side alone is paired, and the other one asked. By a spoken code both are: one
//! makes it (`compeer pair`) and waits, the other types it. The handlers, and what the other side is told, are
//! `control/pair.rs` and `control/pair/code.rs`.

use crate::context::Context;
use crate::control::pair::{self, code};
use crate::control::{ANSWER, parse};
use crate::exit::{CommandError, Outcome};
use crate::gateway::Gateway;
use crate::input;
use crate::node::{Settings, codes};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Give a peer a name of yours and stay connected with it from now on.
///
/// Without PEER: makes a code to be typed on the other machine, and both are paired. With a PEER the other side is asked to
/// do the same: its `compeer up` prints the line to type there. What is on the command line can be read by every user of
/// this machine (`ps`): give a code as @FILE, on standard input (`-`) or in COMPEER_CODE where that matters.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  compeer pair                         on machine one: prints what to type on the other
  compeer pair 7-lamp-tiger            on machine two: both are paired
  compeer pair 7-lamp-tiger --from 192.168.1.20
  compeer pair 192.168.1.20            under the name it tells
  compeer pair 192.168.1.20 --as bob
  compeer pair bob --accept ~/inbox    fetch what bob sends without asking; `--accept -` asks again")]
pub(crate) struct Pair {
    /// A code, or an address, ticket or id; `-` reads it from standard input, @FILE from a file
    #[arg(value_name = "CODE|PEER", hide_env_values = true, env = "COMPEER_CODE")]
    pub(crate) peer: Vec<String>,
    /// The same as no PEER, for scripts that want to say so
    #[arg(long, hide = true)]
    pub(crate) code: bool,
    /// The name to use for it [default: the one it tells]
    #[arg(long = "as", hide_env_values = true, env = "COMPEER_AS", value_name = "NAME")]
    pub(crate) petname: Option<String>,
    /// Fetch what this peer sends (`send --to`) into DIR, without asking; `-`: ask again
    #[arg(long, hide_env_values = true, env = "COMPEER_ACCEPT", value_name = "DIR")]
    pub(crate) accept: Option<PathBuf>,
    /// With a code: where the other side is, if it is not found
    #[arg(long, hide_env_values = true, env = "COMPEER_FROM", value_name = "HOST[:PORT]")]
    pub(crate) from: Option<String>,
    /// With a code: give up after looking this long for the other side
    #[arg(long, hide_env_values = true, env = "COMPEER_TIMEOUT", value_name = "D", default_value = "30s", value_parser = crate::duration::parse)]
    pub(crate) timeout: Duration,
}

impl Pair {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let accept = self.accept.as_deref().map(accept).transpose()?;
        let by_code = |accept: &Option<String>| match accept {
            Some(_) => Err(CommandError::usage(
                "--accept needs a peer: pair first, then  compeer pair NAME --accept DIR",
            )),
            None => Ok(()),
        };
        if self.code || self.peer.is_empty() {
            by_code(&accept)?;
            return offer(context, self.petname).await;
        }
        // As it is spoken: `compeer pair 7 lamp tiger`; and the whole line is pasted easily.
        let typed = input::word(&self.peer.join(" "))?;
        let typed = typed.strip_prefix("compeer pair ").unwrap_or(&typed).trim().to_string();
        let Some(code) = codes::typed(&typed).transpose()? else {
            if self.from.is_some() {
                return Err(CommandError::usage(format!("{typed:?} is no code, and --from needs one")));
            }
            let question = pair::Pair { peer: typed, petname: self.petname, accept };
            return show(context, pair::KIND, &question).await;
        };
        by_code(&accept)?;
        let from = self.from.as_deref().and_then(|from| from.parse().ok());
        context.console.note(&format!("looking for {}", codes::looking_for(&code, from.as_ref())));
        let timeout_ms = self.timeout.as_millis() as u64;
        let question = code::Find { code, from: self.from, petname: self.petname, timeout_ms };
        show(context, code::FIND, &question).await
    }
}

/// The directory of `--accept`, absolute: the node may be another process. Empty to be asked again.
fn accept(directory: &Path) -> Outcome<String> {
    if directory == Path::new("-") {
        return Ok(String::new());
    }
    let wrong = |why: &str| CommandError::usage(format!("--accept {}: {why}", directory.display()));
    let found = directory.canonicalize().map_err(|error| wrong(&error.to_string()))?;
    match found.to_str() {
        Some(text) if found.is_dir() => Ok(text.to_string()),
        Some(_) => Err(wrong("is no directory")),
        None => Err(wrong("its path is not UTF-8")),
    }
}

async fn show(context: &Context, kind: &str, question: &impl serde::Serialize) -> Outcome {
    Gateway::through(context, Settings::alone(), async |gateway: &Gateway| {
        let paired: pair::Paired = gateway.ask(kind, question).await?;
        context.console.show(&paired);
        Ok(())
    })
    .await
}

/// Makes a code and waits for whoever types it.
async fn offer(context: &Context, petname: Option<String>) -> Outcome {
    Gateway::through(context, Settings::alone(), async |gateway: &Gateway| {
        let mut answers = gateway.open_call(code::OFFER, &code::Offer { petname: petname.clone() }).await?;
        while let Some(answer) = answers.next().await? {
            if answer.kind == code::OFFERED {
                let offered: code::Offered = parse(&answer.body)?;
                context.console.note("on the other machine, type:");
                context.console.show(&offered);
                let from = offered.from.map(|from| format!("; if it finds nobody, add  --from {from}"));
                let from = from.unwrap_or_default();
                context.console.note(&format!("waiting; the code bears one guess and an hour{from}"));
            } else if answer.kind == ANSWER {
                context.console.show(&parse::<pair::Paired>(&answer.body)?);
            }
        }
        Ok(())
    })
    .await
}
