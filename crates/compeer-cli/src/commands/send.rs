//! `compeer send PATH…`: files for one person, found by a code that can be spoken, or by a ticket.
//!
//! Standard output has the lines to type elsewhere and nothing else; who fetches, and when they have it, stands on
//! standard error. Where hashing takes long the lines come first, and the files are hashed while they are fetched.
//! The command serves until one receiver has it all, with `--many` until it is stopped. What is read
//! from standard input is kept in a file of the home meanwhile (`spool.rs`): a receiver may have to go on half-way.

use crate::context::Context;
use crate::control::offer::{self, Offer, OfferEvent, Offered};
use crate::control::{parse, ticket};
use crate::exit::{CommandError, Exit, Outcome};
use crate::gateway::{Answers, Gateway};
use crate::input;
use crate::node::Settings;
use crate::node::listen;
use crate::progress::{Meter, Step};
use crate::qr;
use crate::spool::Spool;
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long hashing goes on before anything is said of it.
const SAY_NOTHING: Duration = Duration::from_millis(500);

/// Send files or folders: prints the line to type on the other machine.
///
/// The code is for one receiver on this network and dies with the first wrong guess or after an hour; the ticket works from
/// anywhere that reaches this machine. Ends when one receiver has it all.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  compeer send report.pdf photos/
  compeer send --many slides.pdf       for a whole class; ctrl-c ends it
  compeer send --to bob report.pdf     asks a paired peer; its `up` shows it
  tar c . | compeer send - --name project.tar")]
pub(crate) struct Send {
    #[command(flatten)]
    pub(crate) what: What,
    /// Serve on after the first receiver, until ctrl-c
    #[arg(long, hide_env_values = true, env = "COMPEER_MANY", value_parser = BoolishValueParser::new())]
    pub(crate) many: bool,
    /// Ask this paired peer to fetch it, and let nobody else; repeatable
    #[arg(long, hide_env_values = true, env = "COMPEER_TO", value_name = "PEER", value_delimiter = ',')]
    pub(crate) to: Vec<String>,
}

/// A switch that a ticket is shown with; it can be turned off when the file turns it on.
#[derive(Args, Debug)]
pub(crate) struct Qr {
    /// Show the ticket as a QR code too
    #[arg(
        long,
        hide_env_values = true,
        env = "COMPEER_QR",
        value_name = "BOOL",
        value_parser = BoolishValueParser::new(),
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        hide_default_value = true
    )]
    pub(crate) qr: bool,
}

/// The arguments that `send` and `share` have in common.
#[derive(Args, Debug)]
pub(crate) struct What {
    /// Files and folders; for `send`, `-` is standard input
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// What to call it [default: the name of the file or folder]
    // Not COMPEER_NAME: that is this peer's own name.
    #[arg(long, hide_env_values = true, env = "COMPEER_SHARE_NAME", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Leave out what fits this pattern, as in '*.tmp' or 'target/**'; repeatable
    #[arg(long, hide_env_values = true, env = "COMPEER_EXCLUDE", value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
    #[command(flatten)]
    pub(crate) qr: Qr,
    /// Send no faster than this, all receivers together, as in 500k or 10M bytes per second
    #[arg(long, hide_env_values = true, env = "COMPEER_LIMIT", value_name = "RATE", value_parser = crate::size::parse_rate)]
    pub(crate) limit: Option<u64>,
    /// Address to listen on, if no `compeer up` runs; repeatable [default: as `up`]
    #[arg(long, hide_env_values = true, env = "COMPEER_LISTEN", value_name = "ADDR", value_delimiter = ',')]
    pub(crate) listen: Vec<String>,
    /// Put this address in the ticket instead of the ones found on this machine; repeatable
    #[arg(
        long,
        hide_env_values = true,
        env = "COMPEER_ADVERTISE",
        value_name = "HOST[:PORT]",
        value_delimiter = ','
    )]
    pub(crate) advertise: Vec<String>,
}

impl Send {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let wanted = (!self.many).then_some(self.to.len().max(1));
        let mut offer = self.what.offer()?;
        // Dropped at the end, and with it the file.
        let spool = match offer.paths.as_slice() {
            [] => return Err(CommandError::usage("send what? name a file, a folder, or `-`")),
            [path] if path == Path::new("-") => Some(Spool::fill(context, self.what.name.as_deref()).await?),
            _ => None,
        };
        if let Some(spool) = &spool {
            offer.paths = vec![spool.path().to_path_buf()];
        }
        offer.paths = absolute(&offer.paths)?;
        offer.to = self.to.iter().map(|peer| input::word(peer)).collect::<Outcome<_>>()?;
        offer.ask = !offer.to.is_empty();
        offer.code = !offer.ask;
        offer.draft = true;
        offer.many = self.many;
        let alone = self.what.settings()?;
        let outcome = Gateway::through(context, alone, async |gateway: &Gateway| {
            let mut answers = gateway.open_call(offer::KIND, &offer).await?;
            let offered = made(context, &mut answers).await?;
            notes(context, &offered, self.what.qr.qr);
            context.console.show(&offered);
            if let Some(from) = offered.from.as_ref().filter(|_| offered.code.is_some()) {
                context.console.note(&match offered.local {
                    true => format!("on this machine, with the code, add  --from {from}"),
                    false => format!("if the code finds nobody, add  --from {from}"),
                });
            }
            if self.many {
                context.console.note("serves until ctrl-c");
            }
            serve(context, &mut answers, wanted).await
        })
        .await;
        match outcome {
            // Ctrl-c is how one that serves many is meant to end.
            Err(error) if error.exit == Exit::Interrupted && self.many => Ok(()),
            outcome => outcome,
        }
    }
}

impl What {
    /// What to ask of the node, paths and rules still as typed.
    pub(crate) fn offer(&self) -> Outcome<Offer> {
        let advertise = ticket::addresses(&self.advertise)?;
        Ok(Offer {
            paths: self.paths.clone(),
            exclude: self.exclude.clone(),
            name: self.name.clone(),
            limit: self.limit,
            advertise: advertise.iter().map(ToString::to_string).collect(),
            ..Offer::default()
        })
    }

    /// The node for it, if none runs.
    pub(crate) fn settings(&self) -> Outcome<Settings> {
        let at = listen::parse_all(&self.listen)?;
        let listening = if at.is_empty() { listen::Listening::Usual } else { listen::Listening::At(at) };
        Ok(Settings { listening, advertise: ticket::addresses(&self.advertise)?, ..Settings::alone() })
    }
}

/// Paths as another process understands them. Told here what is not there: before the network, and with the name as typed.
pub(crate) fn absolute(paths: &[PathBuf]) -> Outcome<Vec<PathBuf>> {
    let absolute = |path: &PathBuf| {
        std::fs::metadata(path)
            .map_err(|error| CommandError::usage(format!("cannot send {}: {error}", path.display())))?;
        if path.to_str().is_none() {
            return Err(CommandError::usage(format!(
                "cannot send {}: its name is not UTF-8",
                path.display()
            ))
            .hint("rename it, or send it as standard input: compeer send - --name NAME"));
        }
        std::path::absolute(path)
            .map_err(|error| CommandError::failed(format!("{}: {error}", path.display())))
    };
    paths.iter().map(absolute).collect()
}

/// Waits until the files are hashed and offered.
pub(crate) async fn made(context: &Context, answers: &mut Answers) -> Outcome<Offered> {
    let (mut meter, began) = (Meter::default(), Instant::now());
    while let Some(answer) = answers.next().await? {
        if answer.kind == offer::OFFERED {
            context.console.still();
            return parse(&answer.body);
        }
        if answer.kind == offer::STEP {
            let progress = meter.at(Instant::now(), parse::<Step>(&answer.body)?);
            context.console.event(&progress);
            if began.elapsed() > SAY_NOTHING {
                context.console.live(|columns| progress.line(columns));
            }
        }
    }
    Err(CommandError::failed("the peer of this home stopped before the files were hashed"))
}

/// Says on standard error what is offered.
pub(crate) fn notes(context: &Context, offered: &Offered, qr: bool) {
    let console = &context.console;
    for skipped in &offered.skipped {
        console.note(&format!("left out: {}", compeer::text::escape(skipped)));
    }
    let what = offered.summary();
    for asked in &offered.asked {
        console.note(&match asked.accepted {
            true => format!("{what}: {} takes it by itself", asked.name),
            false => format!("{what}: {} was asked to take it", asked.name),
        });
    }
    console.note(&match (offered.code.is_some(), offered.asked.is_empty()) {
        (_, false) => "or by the ticket, which is good for nobody else:".to_string(),
        (true, _) => format!("{what}: on the other machine, type (the second from anywhere)"),
        (false, _) => format!("{what}: fetched by `compeer get` with this ticket"),
    });
    if offered.local {
        console.note("others cannot reach this machine: only programs here can fetch it");
    }
    if qr {
        qr::show(console, &offered.ticket);
    }
}

/// Shows who fetches, until so many have it all; `None`: for ever.
pub(crate) async fn serve(context: &Context, answers: &mut Answers, wanted: Option<usize>) -> Outcome {
    let (mut have, mut fetching) = (BTreeSet::new(), BTreeSet::new());
    let mut meter = Meter::default();
    while let Some(answer) = answers.next().await? {
        if answer.kind == offer::STEP {
            let progress = meter.at(Instant::now(), parse::<Step>(&answer.body)?);
            context.console.event(&progress);
            context.console.live(|columns| progress.line(columns));
        }
        if answer.kind != offer::EVENT {
            continue;
        }
        let event: OfferEvent = parse(&answer.body)?;
        match event {
            // People need not know.
            OfferEvent::Hashed { .. } => drop(context.console.event(&event)),
            _ => context.console.remark(&event),
        }
        match event {
            OfferEvent::Hashed { .. } => context.console.still(),
            OfferEvent::Receiver { peer, .. } => drop(fetching.insert(peer)),
            OfferEvent::ReceiverLeft { peer, .. } => drop(fetching.remove(&peer)),
            OfferEvent::Received { peer, .. } => {
                fetching.remove(&peer);
                have.insert(peer);
            }
            // Who has the code only waits in vain; who fetches by the ticket goes on.
            OfferEvent::WrongCode { dead: true, .. } if wanted.is_some() && fetching.is_empty() => {
                return Err(CommandError::failed("somebody guessed at the code; nothing was sent")
                    .hint("type the same again for another code"));
            }
            OfferEvent::CodeExpired {} if wanted.is_some() && fetching.is_empty() => {
                return Err(CommandError::unreachable("nobody came with the code within an hour")
                    .hint("type the same again for another code; `compeer share` has no such end"));
            }
            _ => {}
        }
        if wanted.is_some_and(|wanted| have.len() >= wanted) {
            return Ok(());
        }
    }
    Err(CommandError::failed("the running peer was stopped"))
}
