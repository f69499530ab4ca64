//! `compeer pair PEER`: give a peer a name, once; afterwards the name suffices.
//!
//! The handler, and what the other side is told, is `control/pair.rs`.

use crate::context::Context;
use crate::control::pair;
use crate::exit::Outcome;
use crate::gateway::Gateway;
use crate::input;
use crate::node::Settings;
use clap::Args;

/// Give a peer a name of yours and stay connected with it from now on.
///
/// The other side is asked to do the same: its `compeer up` prints the line to type there.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  compeer pair 192.168.1.20            under the name it tells
  compeer pair 192.168.1.20 --as bob")]
pub(crate) struct Pair {
    /// Address, ticket or id
    pub(crate) peer: String,
    /// The name to use for it [default: the one it tells]
    #[arg(long = "as", hide_env_values = true, env = "COMPEER_AS", value_name = "NAME")]
    pub(crate) petname: Option<String>,
}

impl Pair {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let question = pair::Pair { peer: input::word(&self.peer)?, petname: self.petname };
        Gateway::through(context, Settings::alone(), async |gateway: &Gateway| {
            let paired: pair::Paired = gateway.ask(pair::KIND, &question).await?;
            context.console.show(&paired);
            Ok(())
        })
        .await
    }
}
