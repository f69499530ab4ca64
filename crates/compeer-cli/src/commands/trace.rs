//! `compeer trace PEER|CONTENT`: how it is found, step by step.
//!
//! One line per peer that was asked, in order, then who was found and the way of the connection, if there is one. The
//! look-up goes to its end, so it asks more than one that is only to find.

use crate::context::Context;
use crate::control::trace::{self, Traced};
use crate::exit::{CommandError, Exit, Outcome};
use crate::gateway::Gateway;
use crate::input;
use crate::node::Settings;
use clap::Args;

/// Show how a peer or a content is found: whom this peer asks, what each answers, and where it ends.
///
/// Ends with 3 when it is not found.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  compeer trace bob
  compeer trace 25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkena
  compeer peers --map                  whom this peer knows, by distance")]
pub(crate) struct Trace {
    /// A paired peer's name, a ticket, an id, or a content as `compeer find --json` tells it; `-`: from standard input
    #[arg(value_name = "PEER|CONTENT")]
    pub(crate) what: String,
}

impl Trace {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let what = input::word(&self.what)?;
        Gateway::through(context, Settings::alone(), async |gateway: &Gateway| {
            let traced: Traced = gateway.ask(trace::KIND, &trace::Trace { what: what.clone() }).await?;
            for step in &traced.steps {
                context.console.show(step);
            }
            context.console.show(&traced.end);
            match traced.end.found.is_empty() {
                true => {
                    Err(CommandError::new(Exit::Unreachable, format!("{} was not found", traced.end.what)))
                }
                false => Ok(()),
            }
        })
        .await
    }
}
