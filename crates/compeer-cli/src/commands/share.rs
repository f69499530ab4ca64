//! `compeer share PATH…`: files that stay, for whoever holds the ticket.
//!
//! In a running `up` the share belongs to that, outlives the command and restarts, and the command returns at once; with
//! no `up` it serves in the foreground until ctrl-c. Either way the ticket is the last line on standard output. Without
//! PATH it lists what is shared.

use super::send::{self, What};
use crate::console::Report;
use crate::context::Context;
use crate::control::offer::{self, Offered};
use crate::control::shares::{self, ListShares};
use crate::control::status::{self, AskStatus, NodeStatus};
use crate::exit::{CommandError, Exit, Outcome};
use crate::gateway::Gateway;
use crate::input;
use crate::node::{Role, Settings};
use clap::Args;
use clap::builder::BoolishValueParser;
use serde::Serialize;
use std::cell::Cell;
use std::path::Path;

/// Share files or folders until stopped, or list what is shared.
///
/// Whoever has the ticket, the last line printed, can fetch them; nobody else even learns that they are there. In a
/// running `compeer up` they stay shared over restarts; otherwise until ctrl-c.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  compeer share album/                 prints the ticket to give away
  compeer share talks/ --public        for everybody: `compeer find` finds it
  compeer share album/ --to bob
  compeer share                        what is shared
  compeer share --stop album")]
pub(crate) struct Share {
    #[command(flatten)]
    pub(crate) what: What,
    /// For everybody: found by `compeer find`, fetched without a ticket
    #[arg(long, hide_env_values = true, env = "COMPEER_PUBLIC", value_parser = BoolishValueParser::new())]
    pub(crate) public: bool,
    /// Let only these peers fetch it, and they need the ticket too; repeatable
    #[arg(
        long,
        hide_env_values = true,
        env = "COMPEER_TO",
        value_name = "PEER",
        value_delimiter = ',',
        conflicts_with = "public"
    )]
    pub(crate) to: Vec<String>,
    /// Share it no longer: its number in the list, or its name
    #[arg(
        long,
        hide_env_values = true,
        env = "COMPEER_STOP",
        value_name = "ID|NAME",
        conflicts_with = "paths"
    )]
    pub(crate) stop: Option<String>,
}

impl Share {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        if let Some(what) = self.stop {
            return stop(context, what).await;
        }
        if self.what.paths.is_empty() {
            return list(context).await;
        }
        if self.what.paths.iter().any(|path| path == Path::new("-")) {
            return Err(CommandError::usage(
                "standard input can be read once only, and what is shared stays",
            )
            .hint("`compeer send -` sends it; or put it into a file first"));
        }
        let mut offer = self.what.offer()?;
        offer.paths = send::absolute(&offer.paths)?;
        offer.to = self.to.iter().map(|peer| input::word(peer)).collect::<Outcome<_>>()?;
        offer.public = self.public;
        offer.many = true;
        let serving = Cell::new(false);
        let outcome = Gateway::through(context, self.what.settings()?, async |gateway: &Gateway| {
            let status: NodeStatus = gateway.ask(status::KIND, &AskStatus {}).await?;
            let mut offer = offer.clone();
            offer.keep = status.role == Role::Up;
            let mut answers = gateway.open_call(offer::KIND, &offer).await?;
            let offered = send::made(context, &mut answers).await?;
            send::notes(context, &offered, self.what.qr.qr);
            context.console.show(&Shared(&offered));
            if offer.keep {
                return Ok(());
            }
            context.console.note("no `compeer up` runs here: shared until ctrl-c");
            serving.set(true);
            send::serve(context, &mut answers, None).await
        })
        .await;
        match outcome {
            // Ctrl-c is how it is meant to end.
            Err(error) if error.exit == Exit::Interrupted && serving.get() => Ok(()),
            outcome => outcome,
        }
    }
}

/// The ticket alone, ready for a pipe.
#[derive(Serialize)]
struct Shared<'a>(&'a Offered);

impl Report for Shared<'_> {
    fn human(&self) -> String {
        self.0.ticket.clone()
    }
}

async fn list(context: &Context) -> Outcome {
    Gateway::through(context, Settings::alone(), async |gateway: &Gateway| {
        let rows: Vec<shares::Row> = gateway.ask(shares::KIND, &ListShares {}).await?;
        if rows.is_empty() {
            context.console.note("nothing is shared; `compeer share PATH` shares something");
        }
        for row in &rows {
            context.console.show(row);
        }
        Ok(())
    })
    .await
}

async fn stop(context: &Context, what: String) -> Outcome {
    Gateway::through(context, Settings::alone(), async |gateway: &Gateway| {
        let stopped: Vec<shares::Stopped> =
            gateway.ask(shares::STOP, &shares::Stop { what: what.clone() }).await?;
        for stopped in &stopped {
            context.console.show(stopped);
        }
        Ok(())
    })
    .await
}
