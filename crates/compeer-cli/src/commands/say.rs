//! `compeer say PEER TEXT`: one message, acknowledged by the peer that shows it.
//!
//! The text is the rest of the command line, or standard input. Exit code 0 means that somebody can read it now.

use crate::console::Report;
use crate::context::Context;
use crate::control::say;
use crate::exit::{CommandError, Outcome};
use crate::gateway::Gateway;
use crate::input;
use crate::node::Settings;
use clap::Args;
use serde::Serialize;
use std::time::Duration;

/// Say something to a peer that is up.
///
/// Succeeds only when the other side's running `compeer up` or `compeer chat` has shown the text.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  compeer say 192.168.1.20 hello
  compeer say bob dinner is ready
  uname -a | compeer say bob -")]
pub(crate) struct Say {
    /// Name, address, ticket or id
    pub(crate) peer: String,
    /// The text, in one or more words; `-` reads it from standard input
    #[arg(required = true, value_name = "TEXT")]
    pub(crate) text: Vec<String>,
    /// Give up after this long
    #[arg(long, hide_env_values = true, env = "COMPEER_TIMEOUT", value_name = "D", default_value = "10s", value_parser = crate::duration::parse)]
    pub(crate) timeout: Duration,
}

impl Say {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let peer = input::word(&self.peer)?;
        let text = match self.text.as_slice() {
            [dash] if dash == "-" && self.peer == "-" => {
                return Err(CommandError::usage("only one of PEER and TEXT can come from standard input"));
            }
            [one] => String::from_utf8(input::bytes(one)?)
                .map_err(|_| CommandError::usage("standard input is not text (UTF-8)"))?,
            words => words.join(" "),
        };
        if text.trim().is_empty() {
            return Err(CommandError::usage("there is nothing to say"));
        }
        let say = say::Say { peer, text, timeout_ms: self.timeout.as_millis() as u64 };
        Gateway::through(context, Settings::alone(), async |gateway: &Gateway| {
            let said: say::Said = gateway.ask(say::KIND, &say).await?;
            context.console.show(&Shown { event: "said", said });
            Ok(())
        })
        .await
    }
}

/// What is told at the end.
#[derive(Serialize)]
struct Shown {
    event: &'static str,
    #[serde(flatten)]
    said: say::Said,
}

impl Report for Shown {
    fn human(&self) -> String {
        format!("shown to {}", self.said.name)
    }

    fn chatty(&self) -> bool {
        true
    }
}
