//! `compeer call --spread KIND -`: each line of standard input a request, each answer a line of standard output.
//!
//! The node deals the lines out (`control/spread.rs`); here they are read, and what comes of them is printed. Reading
//! waits when the node takes no more.

use super::{Body, Call};
use crate::console::Report;
use crate::context::Context;
use crate::control;
use crate::control::spread::{self, Done};
use crate::exit::{CommandError, Outcome};
use crate::gateway::{Answers, Gateway};
use crate::input::{self, Line};
use crate::node::Settings;
use compeer::{Bytes, PeerId, Sender, text};
use serde::Serialize;

/// Why a line is not asked.
const TOO_LONG: &str = "it is longer than 1048576 bytes, the most one message holds";

impl Call {
    pub(super) async fn spread(&self, kind: &str, context: &Context) -> Outcome {
        if self.peer.as_deref() != Some("-") || self.kind.is_some() {
            return Err(CommandError::usage(
                "with --spread, the requests are the lines of standard input, named by `-`",
            )
            .hint(format!("compeer call --spread {kind} - < lines")));
        }
        let question = spread::Spread {
            kind: kind.to_string(),
            to: self.to.iter().map(|peer| input::word(peer)).collect::<Outcome<_>>()?,
            anyone: self.anyone,
            unordered: self.unordered,
            timeout_ms: self.timeout.as_millis() as u64,
            overdue_ms: self.overdue.map(|overdue| overdue.as_millis() as u64),
        };
        if self.to.iter().any(|peer| peer == "-") {
            return Err(CommandError::usage("standard input holds the requests; give the ticket as @FILE"));
        }
        Gateway::through(context, Settings::alone(), async |gateway: &Gateway| {
            let mut answers = gateway.open_call(spread::KIND, &question).await?;
            let feeding = tokio::spawn(feed(answers.sender()));
            let mut tally = Tally::default();
            while let Some(told) = next(&mut answers).await? {
                let (done, reply) = match told {
                    Told::Done(done, reply) => (done, reply),
                    Told::Apart(error) => {
                        context.console.note(&format!("without a peer: {error}"));
                        continue;
                    }
                };
                tally.add(&done);
                // Nobody reads any more: leaving cancels what is left.
                if !self.print(context, done, reply) {
                    return Ok(());
                }
            }
            // The node is done when all that could be read is; whether that was all is known here alone.
            feeding.await.map_err(|error| CommandError::failed(error.to_string()))??;
            tally.outcome()
        })
        .await
    }

    fn print(&self, context: &Context, done: Done, reply: Bytes) -> bool {
        if let Some(error) = &done.error {
            let who = done.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
            context.console.note(&format!("line {}{who}: {}", done.line, text::escape(error)));
        }
        if self.raw && !context.console.json() {
            return context.console.raw(&reply);
        }
        let body = done.error.is_none().then(|| Body::new(&reply));
        let Done { line, peer, name, error } = done;
        context.console.show(&Result { event: "result", line, peer, name, body, error })
    }
}

/// Sends the lines of standard input; it ends early when nobody takes them any more.
async fn feed(sender: Sender) -> Outcome {
    let mut lines = input::byte_lines();
    let mut unread = Ok(());
    while let Some(line) = lines.recv().await {
        let sent = match line {
            Ok(Line::Whole(line)) => sender.send(spread::LINE, line).await,
            Ok(Line::TooLong) => sender.send(spread::REFUSED, TOO_LONG).await,
            Err(error) => {
                unread = Err(error);
                break;
            }
        };
        if sent.is_err() {
            return Ok(());
        }
    }
    sender.finish();
    unread
}

/// What the node tells.
enum Told {
    /// What came of the next line, and its reply if there is one.
    Done(Done, Bytes),
    /// A peer takes no part, and why.
    Apart(CommandError),
}

async fn next(answers: &mut Answers) -> Outcome<Option<Told>> {
    let Some(told) = answers.next().await? else { return Ok(None) };
    if told.kind == spread::APART {
        return Ok(Some(Told::Apart(control::parse(&told.body)?)));
    }
    let done: Done = control::parse(&told.body)?;
    if done.error.is_some() {
        return Ok(Some(Told::Done(done, Bytes::new())));
    }
    match answers.next().await? {
        Some(reply) if reply.kind == spread::REPLY => Ok(Some(Told::Done(done, reply.body))),
        _ => Err(CommandError::failed("an answer came without its reply")),
    }
}

/// How many lines there were, and how many of them failed.
#[derive(Default)]
struct Tally {
    lines: u64,
    failed: u64,
}

impl Tally {
    fn add(&mut self, done: &Done) {
        self.lines += 1;
        self.failed += u64::from(done.error.is_some());
    }

    fn outcome(&self) -> Outcome {
        match self.failed {
            0 => Ok(()),
            failed => Err(CommandError::failed(format!("{failed} of {} lines failed", self.lines))),
        }
    }
}

/// What came of one line.
#[derive(Serialize)]
struct Result {
    event: &'static str,
    line: u64,
    peer: Option<PeerId>,
    name: Option<String>,
    #[serde(flatten)]
    body: Option<Body>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Report for Result {
    fn human(&self) -> String {
        self.body.as_ref().map(Body::shown).unwrap_or_default()
    }
}
