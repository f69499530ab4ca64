//! `compeer block PEER`: no connection with it, in either direction, until `--off`.
//!
//! The handler is `control/block.rs`. An address cannot be blocked, only whose key was learnt there: addresses change.

use crate::context::Context;
use crate::control::block;
use crate::exit::Outcome;
use crate::gateway::Gateway;
use crate::input;
use crate::node::Settings;
use clap::Args;
use clap::builder::BoolishValueParser;

/// Block a peer: its connections are closed and refused from now on.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  compeer block bob
  compeer block bob --off")]
pub(crate) struct Block {
    /// Name, ticket or id
    pub(crate) peer: String,
    /// Unblock it again
    #[arg(long, hide_env_values = true, env = "COMPEER_OFF", value_parser = BoolishValueParser::new())]
    pub(crate) off: bool,
}

impl Block {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let question = block::Block { peer: input::word(&self.peer)?, off: self.off };
        Gateway::through(context, Settings::alone(), async |gateway: &Gateway| {
            let blocked: block::Blocked = gateway.ask(block::KIND, &question).await?;
            context.console.show(&blocked);
            Ok(())
        })
        .await
    }
}
