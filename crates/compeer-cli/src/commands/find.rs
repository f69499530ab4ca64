//! `compeer find WORDS…`: what others share with everybody, by name.
//!
//! Results on standard output, numbered for `get`; on standard error, whether the search is complete.

use crate::context::Context;
use crate::control::find::{self, Find, Results};
use crate::exit::Outcome;
use crate::gateway::Gateway;
use crate::input;
use crate::node::Settings;
use clap::Args;
use std::time::Duration;

/// Find public shares of the peers around and of their neighbours, or list those of one peer.
///
/// Each result has a number: `compeer get NUMBER` fetches it. Says at the end whether everybody has answered.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  compeer find holiday photos
  compeer find --on bob                all that bob shares with everybody
  compeer get 2                        fetch the second result")]
pub(crate) struct FindCommand {
    /// Words of the names of shares or of files in them; the last may be the beginning of one
    #[arg(value_name = "WORDS", required_unless_present = "on")]
    pub(crate) words: Vec<String>,
    /// Ask this peer alone; without WORDS: all it shares
    #[arg(long, hide_env_values = true, env = "COMPEER_ON", value_name = "PEER")]
    pub(crate) on: Option<String>,
    /// Wait no longer than this for answers
    #[arg(long, hide_env_values = true, env = "COMPEER_TIMEOUT", value_name = "D", default_value = "10s", value_parser = crate::duration::parse)]
    pub(crate) timeout: Duration,
}

impl FindCommand {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let on = self.on.as_deref().map(input::word).transpose()?;
        let find = Find { words: self.words, on, timeout_ms: self.timeout.as_millis() as u64 };
        Gateway::through(context, Settings::alone(), async |gateway: &Gateway| {
            let results: Results = gateway.ask(find::KIND, &find).await?;
            for hit in &results.hits {
                context.console.show(hit);
            }
            context.console.remark(&results.searched);
            if !results.hits.is_empty() {
                context.console.note("fetch one with:  compeer get NUMBER");
            }
            Ok(())
        })
        .await
    }
}
