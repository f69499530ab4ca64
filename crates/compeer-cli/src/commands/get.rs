//! `compeer get CODE|TICKET|NUMBER`: fetch what somebody sends or shares.
//!
//! Standard output has the result: where the files are, or with `-o -` their bytes. On a terminal a person is asked
//! before anything is fetched and before anything is replaced (`get/ask.rs`); otherwise flags decide, and what is
//! neither asked nor told is not done. A transfer that is stopped stays in the home and is gone on with by the same
//! command, or by `compeer transfers --resume`.

mod ask;

use crate::console::Report;
use crate::context::Context;
use crate::control::get::{self, Destination, Entry, Found, Get, GetEvent, Go, Got, Looking};
use crate::control::{ANSWER, parse};
use crate::exit::{CommandError, Exit, Outcome};
use crate::gateway::{Answers, Gateway};
use crate::input;
use crate::node::{Settings, classic};
use crate::progress::{Meter, Step};
use ask::Answered;
use clap::Args;
use clap::builder::BoolishValueParser;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Fetch files: by code, ticket or search result, or from a paired peer who asked.
///
/// The final names appear when all of it is there and every byte is verified. Files that are there and the same are not
/// fetched again. What is on the command line can be read by every user of this machine (`ps`): give a code or ticket at
/// the prompt, as @FILE, on standard input (`-`) or in COMPEER_CODE where that matters.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  compeer get 7-lamp-tiger
  compeer get                          asks for the code or ticket
  compeer get 7-lamp-tiger --from 192.168.1.20
  compeer get 7-lamp-tiger --list     what is in it
  compeer get @ticket -o album --only '*.jpg'
  compeer get - -o - < ticket | tar x
  compeer get 2                        the second result of the last `compeer find`
  compeer get bob                      what a paired peer asked to be taken
  compeer get classic:192.168.1.9:4444 song.mp3
                                       from a program of the 2007 protocol, unverified")]
pub(crate) struct GetCommand {
    /// Code, ticket, number of a search result, or a paired peer who asked; `-` reads it from standard input, @FILE from
    /// a file
    #[arg(value_name = "CODE|TICKET|NUMBER", hide_env_values = true, env = "COMPEER_CODE")]
    pub(crate) what: Vec<String>,
    #[command(flatten)]
    pub(crate) how: How,
    /// List the files and fetch nothing
    #[arg(long, hide_env_values = true, env = "COMPEER_LIST", value_parser = BoolishValueParser::new())]
    pub(crate) list: bool,
    /// Where the sender is, if it is not found: its address
    #[arg(long, hide_env_values = true, env = "COMPEER_FROM", value_name = "HOST[:PORT]")]
    pub(crate) from: Option<String>,
    /// Fetch only files that fit this pattern, as in '*.jpg' or 'photos/**'; repeatable
    #[arg(long, hide_env_values = true, env = "COMPEER_ONLY", value_name = "GLOB")]
    pub(crate) only: Vec<String>,
    /// Where to: a directory, a file, or `-` for standard output [default: the current directory]
    #[arg(short, long, hide_env_values = true, env = "COMPEER_OUTPUT", value_name = "DIR|FILE|-")]
    pub(crate) output: Option<PathBuf>,
    /// Give up after looking this long for the sender
    #[arg(long, hide_env_values = true, env = "COMPEER_TIMEOUT", value_name = "D", default_value = "30s", value_parser = crate::duration::parse)]
    pub(crate) timeout: Duration,
}

/// What may be answered beforehand, by `get` and by `transfers --resume`.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct How {
    /// Replace files that are there and differ
    #[arg(long, hide_env_values = true, env = "COMPEER_OVERWRITE", value_parser = BoolishValueParser::new(), conflicts_with = "rename")]
    pub(crate) overwrite: bool,
    /// Give files another name where one is there and differs
    #[arg(long, hide_env_values = true, env = "COMPEER_RENAME", value_parser = BoolishValueParser::new())]
    pub(crate) rename: bool,
    /// Fetch without asking
    #[arg(short, long, hide_env_values = true, env = "COMPEER_YES", value_parser = BoolishValueParser::new())]
    pub(crate) yes: bool,
}

impl GetCommand {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        if self.output.as_deref() == Some(Path::new("-")) && context.console.json() {
            return Err(CommandError::usage("--json and `-o -` both want standard output"));
        }
        // As it is spoken: `compeer get 7 lamp tiger`.
        let what = Some(self.what.join(" ")).filter(|what| !what.is_empty());
        let typed = input::secret(&context.console, what.as_deref(), "code or ticket").await?;
        // The whole line is pasted easily.
        let what = typed.strip_prefix("compeer get ").unwrap_or(&typed).trim().to_string();
        let old = classic::address(what.split(' ').next().unwrap_or_default()).is_some();
        if old && (self.how.overwrite || self.how.rename) {
            return Err(CommandError::usage("--overwrite and --rename do not go with classic:"));
        }
        let get = Get {
            what,
            transfer: None,
            from: self.from,
            only: self.only,
            to: if self.list { Destination::List } else { destination(self.output.as_deref())? },
            timeout_ms: self.timeout.as_millis() as u64,
        };
        run(context, &get, self.how).await?;
        if old {
            context.console.note("unverified: nothing proves that this is what the other side sent");
        }
        Ok(())
    }
}

/// Where to, absolute: the node may be another process, somewhere else.
fn destination(output: Option<&Path>) -> Outcome<Destination> {
    let absolute = |path: &Path| {
        std::path::absolute(path)
            .map_err(|error| CommandError::failed(format!("{}: {error}", path.display())))
    };
    Ok(match output {
        None => Destination::Directory(absolute(Path::new("."))?),
        Some(dash) if dash == Path::new("-") => Destination::Stdout,
        // `album/` can only be a directory.
        Some(path) if path.as_os_str().as_encoded_bytes().ends_with(b"/") => {
            Destination::Directory(absolute(path)?)
        }
        Some(path) => Destination::Either(absolute(path)?),
    })
}

/// Fetches; also for `transfers --resume`.
pub(crate) async fn run(context: &Context, get: &Get, how: How) -> Outcome {
    let transfer = RefCell::new(None);
    let outcome = Gateway::through(context, Settings::alone(), async |gateway: &Gateway| {
        let mut answers = gateway.open_call(get::KIND, get).await?;
        let (mut meter, mut first) = (Meter::default(), true);
        while let Some(answer) = answers.next().await? {
            let (kind, body) = (&answer.kind, &answer.body);
            if *kind == get::LOOKING {
                context.console.remark(&parse::<Looking>(body)?);
            } else if *kind == get::FOUND {
                let found: Found = parse(body)?;
                // One that is gone on with is there.
                transfer.replace(get.transfer.clone());
                if !go(context, get, how, &found, &mut answers).await? {
                    context.console.note("nothing was fetched");
                    return Ok(());
                }
            } else if *kind == get::ENTRIES {
                for entry in parse::<Vec<Entry>>(body)? {
                    context.console.show(&entry);
                }
            } else if *kind == get::STEP {
                let progress = meter.at(Instant::now(), parse::<Step>(body)?);
                context.console.event(&progress);
                context.console.live(|columns| progress.line(columns));
            } else if *kind == get::EVENT {
                let happened: GetEvent = parse(body)?;
                if let GetEvent::Fetching { transfer: id } = &happened {
                    transfer.replace(Some(id.clone()));
                    context.console.event(&happened);
                } else if matches!(happened, GetEvent::Source { .. }) && std::mem::take(&mut first) {
                    // People were told already from whom.
                    context.console.event(&happened);
                } else {
                    context.console.remark(&happened);
                }
            } else if *kind == get::DATA {
                // Nobody reads any more: leaving ends the transfer.
                if !context.console.raw(body) {
                    return Ok(());
                }
            } else if *kind == ANSWER {
                context.console.still();
                let got: Got = parse(body)?;
                match get.to {
                    Destination::Stdout => context.console.note(&got.human()),
                    _ => drop(context.console.show(&got)),
                }
            }
        }
        Ok(())
    })
    .await;
    context.console.still();
    if let (Err(error), Some(transfer)) = (&outcome, transfer.into_inner())
        && error.exit != Exit::Usage
    {
        context.console.note(&match error.for_good {
            true => format!("what has come is kept; to remove it:  compeer transfers --discard {transfer}"),
            false => format!("what has come is kept; go on with:  compeer transfers --resume {transfer}"),
        });
    }
    outcome
}

/// Tells what was found and asks whether to fetch it; whether it was told to go.
async fn go(context: &Context, get: &Get, how: How, found: &Found, answers: &mut Answers) -> Outcome<bool> {
    // Where somebody is asked, the question says it all.
    if how.yes || get.to == Destination::List || !context.console.can_ask() {
        context.console.remark(found);
    }
    if get.to == Destination::List {
        return Ok(true);
    }
    match ask::decide(&context.console, how, found).await? {
        Answered::Go(taken) => {
            let go =
                serde_json::to_vec(&Go { taken }).map_err(|error| CommandError::failed(error.to_string()))?;
            answers.send(get::KIND, go).await?;
            answers.finish();
            Ok(true)
        }
        Answered::No => Ok(false),
    }
}
