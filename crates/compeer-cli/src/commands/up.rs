//! `compeer up`: be a peer until ctrl-c or `compeer down`, and show what happens.
//!
//! This process takes the home's lock, starts the node, serves other commands, and prints: first what to type on the
//! other machine, then one line per event (`up/screen.rs`). With `--detach` it does so in the background
//! (`up/detach.rs`). Leaving is in order: peers are told, the socket and a temporary home removed, the lock last.

mod detach;
mod screen;

use crate::console::Report;
use crate::context::Context;
use crate::control::status::{self, NodeStatus};
use crate::control::ticket;
use crate::exit::{CommandError, Outcome};
use crate::gateway::{self, Held, Hold};
use crate::home::Home;
use crate::home::lock::Lock;
use crate::input;
use crate::node::listen::{self, Listening};
use crate::node::{Node, Role, Settings, classic};
use clap::Args;
use clap::builder::BoolishValueParser;
use compeer::text;
use screen::Screen;
use serde::Serialize;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// How long a command that holds the home is waited for: as long as it may wait for others itself, and a little.
const WAIT_FOR_COMMAND: Duration = Duration::from_secs(40);
/// Pause between two tries; the lock belongs to another process.
const PAUSE: Duration = Duration::from_millis(50);

/// Be a peer: listen, show what others say, keep connections with paired peers.
///
/// Prints the line to type on the other machine and the ticket, then one line per event. Ctrl-c or `compeer down`
/// ends it.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  compeer up
  compeer up --name bob --join 192.168.1.20
  compeer up --temp                    a second, throw-away peer on this machine
  compeer up --detach                  in the background; `compeer down` stops it")]
pub(crate) struct Up {
    /// Address to listen on; repeatable [default: every interface, port 26673, or another one if that is taken]
    #[arg(long, hide_env_values = true, env = "COMPEER_LISTEN", value_name = "ADDR", value_delimiter = ',')]
    pub(crate) listen: Vec<String>,
    /// Tell others this address instead of the ones found on this machine
    #[arg(
        long,
        hide_env_values = true,
        env = "COMPEER_ADVERTISE",
        value_name = "HOST[:PORT]",
        value_delimiter = ','
    )]
    pub(crate) advertise: Vec<String>,
    /// Connect to this peer and stay connected, or join the old program classic:HOST:PORT; repeatable
    #[arg(
        long,
        hide_env_values = true,
        env = "COMPEER_JOIN",
        value_name = "TICKET|ADDR",
        value_delimiter = ','
    )]
    pub(crate) join: Vec<String>,
    /// With --join classic:HOST:PORT, how far to go: 1 is that program alone, 2 those it knows too, and so on [default: 2]
    #[arg(long, hide_env_values = true, env = "COMPEER_HOPS", value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) hops: Option<u8>,
    /// The most peers to hold in the table; 0: as many as the program can
    #[arg(long, hide_env_values = true, env = "COMPEER_MAX_PEERS", value_name = "N", default_value_t = 0)]
    pub(crate) max_peers: usize,
    /// The name to tell others; remembered [default: your user name]
    #[arg(long, hide_env_values = true, env = "COMPEER_NAME", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// A throw-away peer: a home of its own and a free port, removed at the end
    #[arg(long, hide_env_values = true, env = "COMPEER_TEMP", value_parser = BoolishValueParser::new(), conflicts_with = "detach")]
    pub(crate) temp: bool,
    /// Serve programs of the 2007 protocol here too: everybody, unverified and not encrypted; repeatable
    #[arg(
        long,
        hide_env_values = true,
        env = "COMPEER_CLASSIC",
        value_name = "[ADDR:]PORT",
        value_delimiter = ','
    )]
    pub(crate) classic: Vec<String>,
    /// Go to the background once ready
    #[arg(long, hide_env_values = true, env = "COMPEER_DETACH", value_parser = BoolishValueParser::new())]
    pub(crate) detach: bool,
    /// Set by `--detach` for the process it leaves behind.
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
    /// Set by `try` for its peers: end when standard input does, which is when `try` is gone.
    #[arg(long, hide = true)]
    pub(crate) leashed: bool,
}

/// How far `--join classic:HOST:PORT` goes if nothing is said.
const HOPS: u8 = 2;

impl Up {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        self.check()?;
        if self.detach {
            return detach::run(context).await;
        }
        if self.detached {
            // A session of its own, so that closing the terminal does not end it. Fails only if it has one already.
            let _ = rustix::process::setsid();
        }
        let temporary = match self.temp {
            true => Some(temporary_home()?),
            false => None,
        };
        let home = match &temporary {
            Some(dir) => Home::open(Some(dir.path()))?,
            None => context.home()?,
        };
        let lock = become_the_peer(context, &home).await?;
        let node = Node::start(&home, self.settings(context)?).await?;
        let screen = Screen::new(context.console.clone(), &node, self.detached.then(|| home.log_path()));
        let hold = Hold::start(&home, lock, node.clone())?;
        context.console.show(&Started::new(status::of(&node)?));
        let screen = screen.start();
        let joined = self.join.iter().try_for_each(|peer| self.join(&node, &input::word(peer)?));
        if joined.is_ok() {
            let mut stop = node.state.stop.subscribe();
            tokio::select! {
                biased;
                () = crate::interrupt::wait() => {}
                () = end_of_input(), if self.leashed => {}
                // The sender lives in the node, which is held here.
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
        drop(node);
        hold.leave(|_| {}).await;
        screen.end().await;
        joined
    }

    /// What can be said against it before anything is begun.
    fn check(&self) -> Outcome {
        let old = self.join.iter().find(|peer| classic::address(peer).is_some());
        match (old, self.hops) {
            (Some(old), _) if self.classic.is_empty() => Err(classic::not_served(old)),
            // One set in the environment for all times is no mistake.
            (None, Some(_)) if std::env::var_os("COMPEER_HOPS").is_none() => {
                Err(CommandError::usage("--hops says how far to join old programs, and none is named")
                    .hint("compeer up --classic 4444 --join classic:HOST:PORT --hops N"))
            }
            _ => Ok(()),
        }
    }

    fn join(&self, node: &Node, peer: &str) -> Outcome {
        match classic::address(peer) {
            Some(at) => node.join_classic(at?, self.hops.unwrap_or(HOPS)),
            None => node.join(peer),
        }
    }

    fn settings(&self, context: &Context) -> Outcome<Settings> {
        let at = listen::parse_all(&self.listen)?;
        let listening = match (at.is_empty(), self.temp) {
            (false, _) => Listening::At(at),
            (true, true) => Listening::AnyPort,
            (true, false) => Listening::Usual,
        };
        Ok(Settings {
            role: Role::Up,
            listening,
            usual: Vec::new(),
            advertise: ticket::addresses(&self.advertise)?,
            name: self.name.clone(),
            remember_name: self.name.as_ref() != context.settings.first("name"),
            max_peers: self.max_peers,
            temporary: self.temp,
            classic: self.classic.iter().map(|text| classic::parse(text)).collect::<Outcome<_>>()?,
            discovery: context.discovery(),
            overlay: !context.global.no_overlay,
        })
    }
}

/// Waits until standard input ends.
async fn end_of_input() {
    // What cannot be read any more has ended too.
    let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await;
}

/// A directory that is gone when this is dropped.
fn temporary_home() -> Outcome<TempDir> {
    let made = tempfile::Builder::new().prefix("compeer-").tempdir();
    made.map_err(|error| CommandError::failed(format!("cannot make a temporary directory: {error}")))
}

/// Takes the lock of the home. A command that holds it for a moment is waited for; another `up` is an error.
async fn become_the_peer(context: &Context, home: &Home) -> Outcome<Lock> {
    let deadline = Instant::now() + WAIT_FOR_COMMAND;
    let mut said = false;
    loop {
        let holder = match gateway::enter(home).await? {
            Held::Ours(lock) => return Ok(lock),
            Held::Theirs(_, holder) => holder,
        };
        if holder.role == Role::Up {
            return Err(CommandError::failed(format!(
                "a peer runs in this home already (process {})",
                holder.pid
            ))
            .hint(
                "compeer status tells about it, compeer down stops it; for a second peer: compeer up --temp",
            ));
        }
        if Instant::now() > deadline {
            return Err(CommandError::failed(format!(
                "another command uses this home (process {})",
                holder.pid
            ))
            .hint("start `compeer up` when it has ended; for a second peer: compeer up --temp"));
        }
        if !std::mem::replace(&mut said, true) {
            context
                .console
                .note(&format!("waiting for another command of this home (process {})", holder.pid));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What `up` prints when it is ready.
#[derive(Serialize)]
struct Started {
    #[serde(flatten)]
    status: NodeStatus,
    /// What to type on the other machine.
    line: Option<String>,
}

impl Started {
    fn new(mut status: NodeStatus) -> Started {
        status.event = "up".into();
        Started { line: status.line(), status }
    }
}

impl Report for Started {
    fn prose(&self) -> bool {
        true
    }

    fn human(&self) -> String {
        let status = &self.status;
        let mut lines = vec![format!("{} ({}) is up", text::escape(&status.name), status.peer.short())];
        if let (Some(taken), Some(port)) = (status.taken_port, status.port()) {
            lines.push(format!(
                "another program has port {taken}: listening on {port} instead, and from now on"
            ));
        }
        if status.addrs.is_empty() {
            lines.push("only this machine can reach it; from another home here, type:".to_string());
        } else {
            lines.push("on the other machine, type:".to_string());
        }
        lines.push(format!("    {}", self.line.as_deref().unwrap_or_default()));
        if let Some(ticket) = &status.ticket {
            lines.push("or take this ticket, which has all addresses and the key:".to_string());
            lines.push(format!("    {ticket}"));
        }
        if !status.classic.is_empty() {
            lines.push(format!(
                "old programs, unverified and not encrypted, at {}",
                status.classic.join(", ")
            ));
        }
        lines.join("\n")
    }

    fn chatty(&self) -> bool {
        true
    }
}
