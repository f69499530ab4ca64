//! `compeer transfers`: what is being fetched and what was interrupted; resume, or discard.
//!
//! Resuming needs nothing of the sender but that somebody who has the content can be reached. Everything asked at the
//! first time was answered then, but for names that were taken meanwhile.

use super::get::{self, How};
use crate::context::Context;
use crate::control::get::{Destination, Get};
use crate::control::transfers::{self, Discard, Discarded, ListTransfers, Row};
use crate::exit::Outcome;
use crate::gateway::Gateway;
use crate::node::Settings;
use clap::Args;
use std::time::Duration;

/// List what is being fetched and what was interrupted; go on with one, or discard it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  compeer transfers
  compeer transfers --resume ymfq2c4a
  compeer transfers --discard ymfq2c4a   removes what has come of it")]
pub(crate) struct Transfers {
    /// Go on with this one
    #[arg(
        long,
        hide_env_values = true,
        env = "COMPEER_RESUME",
        value_name = "ID",
        conflicts_with = "discard"
    )]
    pub(crate) resume: Option<String>,
    /// Remove what has come of this one, and forget it
    #[arg(long, hide_env_values = true, env = "COMPEER_DISCARD", value_name = "ID")]
    pub(crate) discard: Option<String>,
    #[command(flatten)]
    pub(crate) how: How,
    /// Where a peer is that has it, if none is found
    #[arg(long, hide_env_values = true, env = "COMPEER_FROM", value_name = "HOST[:PORT]")]
    pub(crate) from: Option<String>,
    /// Give up after looking this long for a peer that has it
    #[arg(long, hide_env_values = true, env = "COMPEER_TIMEOUT", value_name = "D", default_value = "30s", value_parser = crate::duration::parse)]
    pub(crate) timeout: Duration,
}

impl Transfers {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        if let Some(transfer) = self.resume {
            let get = Get {
                transfer: Some(transfer),
                from: self.from,
                // Where it goes was said the first time.
                to: Destination::Either(".".into()),
                timeout_ms: self.timeout.as_millis() as u64,
                ..Get::default()
            };
            // Whether to fetch it was asked the first time.
            return get::run(context, &get, How { yes: true, ..self.how }).await;
        }
        Gateway::through(context, Settings::alone(), async |gateway: &Gateway| {
            if let Some(id) = self.discard.clone() {
                let discarded: Discarded = gateway.ask(transfers::DISCARD, &Discard { id }).await?;
                context.console.show(&discarded);
                return Ok(());
            }
            let rows: Vec<Row> = gateway.ask(transfers::KIND, &ListTransfers {}).await?;
            if rows.is_empty() {
                context.console.note("no transfers");
            }
            for row in &rows {
                context.console.show(row);
            }
            if rows.iter().any(|row| !row.running) {
                context.console.note("go on with:  compeer transfers --resume ID");
            }
            Ok(())
        })
        .await
    }
}
