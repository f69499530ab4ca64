//! `compeer on KIND`: answers requests of one kind, by a shell command, with a fixed text, or by printing them.
//!
//! It lends the running `up` a handler for as long as it runs; without `up` it is a peer itself. The work is done in this
//! process, in its directory and environment: so many workers wait for a job each (`control/on.rs`), do it
//! (`on/exec.rs`), and wait again. A job that nobody wants any more is stopped; when this command ends, all are.

mod exec;
mod guard;

use crate::console::{Console, Report};
use crate::context::Context;
use crate::control::on::{self, Idle, Opened};
use crate::control::{self, ANSWER};
use crate::exit::{CommandError, Outcome};
use crate::gateway::Gateway;
use crate::node::listen::{self, Listening};
use crate::node::work::{self, Asker, Terms};
use crate::node::{Role, Settings};
use clap::builder::BoolishValueParser;
use clap::{ArgGroup, Args};
use compeer::{Addr, Bytes, PeerId, text};
use exec::Exec;
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Answers on their way to the node at a time. Each has 1 MiB at most, and beyond `CONNECTION_BUDGET`, 8 MiB, the node would
/// throw some away.
const SENDING: usize = 4;

/// Answer a kind of message for as long as this runs: by a command, a text, or not at all.
///
/// With --exec, CMD is run by `sh -c` for each request: the body is its standard input, what it prints is the reply. If
/// its exit code is not 0, the caller is told so, with the end of what it printed on standard error. It finds who asks in
/// COMPEER_FROM_ID, in COMPEER_FROM_NAME if that is a paired peer, and the kind in COMPEER_KIND; an old program has no id,
/// but COMPEER_FROM_ADDR. When nobody waits for the reply any more, and when this ends, the command is killed with all it
/// started.
///
/// Paired peers may ask; with --anyone whoever reaches this peer may, with --classic old programs. Whoever finds 64 others
/// waiting, or has 16 of its own waiting, is told to try again.
#[derive(Args, Debug)]
#[command(
    group(ArgGroup::new("answer").required(true).args(["exec", "reply", "print"])),
    after_help = "\
Examples:
  compeer on WORDS --exec 'wc -w'          elsewhere: compeer call alice WORDS - < text
  compeer on THUMB --exec 'convert - -resize 200 -' --jobs 2 --timeout 5m
  compeer on MOTD --reply 'back at noon' --anyone
  compeer on LOG --print --json >> log"
)]
pub(crate) struct On {
    /// The kind of message, 1 to 64 bytes
    pub(crate) kind: String,
    /// Run this by `sh -c` for each request
    #[arg(long, hide_env_values = true, env = "COMPEER_EXEC", value_name = "CMD")]
    pub(crate) exec: Option<String>,
    /// Reply with this text
    #[arg(long, hide_env_values = true, env = "COMPEER_REPLY", value_name = "TEXT")]
    pub(crate) reply: Option<String>,
    /// Print each body, and reply with nothing
    #[arg(long, hide_env_values = true, env = "COMPEER_PRINT", value_parser = BoolishValueParser::new())]
    pub(crate) print: bool,
    /// Answer whoever asks, not only paired peers
    #[arg(long, hide_env_values = true, env = "COMPEER_ANYONE", value_parser = BoolishValueParser::new())]
    pub(crate) anyone: bool,
    /// Answer old programs too, who prove nothing; needs a running `up --classic`, and KIND of four letters in upper case
    #[arg(long, hide_env_values = true, env = "COMPEER_ON_CLASSIC", value_parser = BoolishValueParser::new())]
    pub(crate) classic: bool,
    /// Take the place of another `compeer on` that answers this kind; what that one has begun it finishes
    #[arg(long, hide_env_values = true, env = "COMPEER_REPLACE", value_parser = BoolishValueParser::new())]
    pub(crate) replace: bool,
    /// Requests answered at a time; --print: always one [default: one per core]
    #[arg(long, hide_env_values = true, env = "COMPEER_JOBS", value_name = "N")]
    pub(crate) jobs: Option<usize>,
    /// Kill a command that takes longer, and tell the caller
    #[arg(long, hide_env_values = true, env = "COMPEER_TIMEOUT", value_name = "D", default_value = "60s", value_parser = crate::duration::parse)]
    pub(crate) timeout: Duration,
    /// Address to listen on, if no `compeer up` runs; repeatable [default: as `up`]
    #[arg(long, hide_env_values = true, env = "COMPEER_LISTEN", value_name = "ADDR", value_delimiter = ',')]
    pub(crate) listen: Vec<String>,
}

/// What is done with a request.
enum Deed {
    Exec(Exec),
    Reply(Bytes),
    Print,
}

impl On {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let jobs = if self.print { 1 } else { self.jobs.unwrap_or_else(work::cores) };
        let question = on::On {
            kind: self.kind.clone(),
            terms: Terms { jobs, anyone: self.anyone, classic: self.classic, replace: self.replace },
        };
        let settings = self.settings()?;
        let deed = match (self.exec, self.reply) {
            (Some(command), _) => Deed::Exec(Exec::new(command, &self.kind, self.timeout)?),
            (None, Some(text)) => Deed::Reply(text.into()),
            (None, None) => Deed::Print,
        };
        let deed = Arc::new(Doer {
            deed,
            kind: self.kind,
            console: context.console.clone(),
            sending: Semaphore::new(SENDING),
        });
        Gateway::through(context, settings, async |gateway: &Gateway| {
            let mut answers = gateway.open_call(on::KIND, &question).await?;
            let opened: Opened = match answers.next().await? {
                Some(answer) if answer.kind == ANSWER => control::parse(&answer.body)?,
                _ => return Err(CommandError::failed("the running peer was stopped")),
            };
            context.console.show(&Handling::new(&question, &opened));
            let mut workers = JoinSet::new();
            for _ in 0..jobs {
                workers.spawn(deed.clone().work(gateway.beside(), opened.desk));
            }
            tokio::select! {
                biased;
                taken = answers.next() => taken.map(drop)?,
                Some(Ok(Err(error))) = workers.join_next() => return Err(error),
            }
            // Another one has the kind now: what was begun is finished.
            while workers.join_next().await.is_some() {}
            Err(CommandError::failed(format!("another `compeer on` has taken {} over", question.kind)))
        })
        .await
    }

    /// The peer to be, if none runs.
    fn settings(&self) -> Outcome<Settings> {
        let at = self.listen.iter().map(|text| listen::parse(text)).collect::<Outcome<Vec<_>>>()?.concat();
        let listening = if at.is_empty() { Listening::Usual } else { Listening::At(at) };
        Ok(Settings { role: Role::Up, listening, ..Settings::alone() })
    }
}

/// What all workers share.
struct Doer {
    deed: Deed,
    kind: String,
    console: Arc<Console>,
    sending: Semaphore,
}

impl Doer {
    /// One worker: a job, and the next, until there are no more.
    async fn work(self: Arc<Self>, gateway: Gateway, desk: u64) -> Outcome {
        loop {
            let mut job = gateway.open_call(on::JOB, &Idle { desk }).await?;
            let Some(from) = job.next().await? else { return Ok(()) };
            let from: Asker = control::parse(&from.body)?;
            let Some(body) = job.next().await? else { continue };
            let done = tokio::select! {
                biased;
                // Nobody wants it any more.
                _ = job.next() => continue,
                done = self.answer(&from, &body.body) => done,
            };
            let (kind, body) = match done {
                Ok(Some(reply)) => (on::REPLY, reply),
                Ok(None) => (on::NO_REPLY, Bytes::new()),
                Err(message) => {
                    let failed = Failed::new(&from, &self.kind, message);
                    self.console.remark(&failed);
                    (on::FAILED, failed.message.into())
                }
            };
            // The semaphore is never closed.
            let _sending = self.sending.acquire().await;
            // If it ends here, nobody wants it any more either.
            if job.sender().send(kind, body).await.is_ok() {
                let _ = job.next().await;
            }
        }
    }

    async fn answer(&self, from: &Asker, body: &Bytes) -> work::Answer {
        match &self.deed {
            Deed::Exec(exec) => exec.run(from, body).await.map(|output| Some(output.into())),
            Deed::Reply(text) => Ok(Some(text.clone())),
            Deed::Print => match self.console.show(&Asked::new(from, &self.kind, body)) {
                true => Ok(None),
                false => Err("nobody is reading there: it was not shown".to_string()),
            },
        }
    }
}

/// What `on` prints when it is ready.
#[derive(Serialize)]
struct Handling {
    event: &'static str,
    kind: String,
    jobs: usize,
    anyone: bool,
    classic: bool,
    peer: PeerId,
    addrs: Vec<Addr>,
    ticket: Option<String>,
    /// What to type on the other machine.
    line: Option<String>,
    #[serde(skip)]
    paired: usize,
    #[serde(skip)]
    own: bool,
}

impl Handling {
    fn new(question: &on::On, opened: &Opened) -> Handling {
        let status = &opened.status;
        let line = status.address().map(|at| format!("compeer call {at} {} hello", quoted(&question.kind)));
        Handling {
            event: "handling",
            kind: question.kind.clone(),
            jobs: question.terms.jobs,
            anyone: question.terms.anyone,
            classic: question.terms.classic,
            peer: status.peer,
            addrs: status.addrs.clone(),
            ticket: status.ticket.clone(),
            line,
            paired: status.paired,
            own: status.pid == std::process::id(),
        }
    }
}

impl Report for Handling {
    fn human(&self) -> String {
        let (kind, jobs) = (text::escape(&self.kind), self.jobs);
        let whom = if self.anyone { "anyone" } else { "paired peers" };
        let old = if self.classic { " and old programs" } else { "" };
        let mut lines = vec![format!("{kind} is answered here for {whom}{old}, {jobs} at a time")];
        if self.paired == 0 && !self.anyone && !self.classic {
            lines.push("no peer is paired yet: pair some (compeer pair), or add --anyone".to_string());
        }
        lines.push("on the other machine, type:".to_string());
        lines.push(format!("    {}", self.line.as_deref().unwrap_or_default()));
        if let Some(ticket) = self.ticket.as_ref().filter(|_| self.own) {
            lines.push("or, in place of the address, take this ticket:".to_string());
            lines.push(format!("    {ticket}"));
        }
        lines.join("\n")
    }

    fn chatty(&self) -> bool {
        true
    }
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    match word.chars().all(|c| c.is_ascii_alphanumeric() || "_-./:".contains(c)) {
        true => word.to_string(),
        false => format!("'{}'", text::escape(word).replace('\'', "'\\''")),
    }
}

/// Who asked for what.
#[derive(Serialize)]
struct Who {
    peer: Option<PeerId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    addr: Option<SocketAddr>,
    name: String,
    kind: String,
}

impl Who {
    fn new(from: &Asker, kind: &str) -> Who {
        Who { peer: from.peer, addr: from.addr, name: from.name.clone(), kind: kind.to_string() }
    }
}

/// A request that is printed.
#[derive(Serialize)]
struct Asked {
    event: &'static str,
    #[serde(flatten)]
    who: Who,
    #[serde(flatten)]
    body: super::call::Body,
}

impl Asked {
    fn new(from: &Asker, kind: &str, body: &[u8]) -> Asked {
        Asked { event: "request", who: Who::new(from, kind), body: super::call::Body::new(body) }
    }
}

impl Report for Asked {
    fn human(&self) -> String {
        self.body.shown()
    }
}

/// A request that failed.
#[derive(Serialize)]
struct Failed {
    event: &'static str,
    #[serde(flatten)]
    who: Who,
    message: String,
}

impl Failed {
    fn new(from: &Asker, kind: &str, message: String) -> Failed {
        Failed { event: "failed", who: Who::new(from, kind), message }
    }
}

impl Report for Failed {
    fn human(&self) -> String {
        format!("* {} for {}: {}", text::escape(&self.who.kind), self.who.name, text::escape(&self.message))
    }
}
