//! `compeer status`: is a peer running here, under which id, on which addresses.
//!
//! A running peer also says what it has done since its start: connections, bytes, requests, streams, limits that were hit.
//! Without a running peer it tells what it would be: name, id and home, from a node of its own that listens nowhere.

use crate::context::Context;
use crate::control::status;
use crate::exit::Outcome;
use crate::gateway::Gateway;
use crate::node::Settings;
use clap::Args;

/// Say whether a peer runs in this home, how it may be reached, and what it has done so far.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  compeer status
  compeer status --json")]
pub(crate) struct Status {}

impl Status {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        Gateway::through(context, Settings::alone(), async |gateway: &Gateway| {
            let status: status::NodeStatus = gateway.ask(status::KIND, &status::AskStatus {}).await?;
            context.console.show(&status);
            Ok(())
        })
        .await
    }
}
