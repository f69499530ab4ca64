//! `compeer chat PEER`: lines in, arrivals shown while you type.
//!
//! Plain lines, fit for a pipe on either side: what arrives is printed as it comes, what is typed is said line by line, in
//! order. A line that could not be said is told about and does not end the talk; the exit code remembers it.

use crate::context::Context;
use crate::control::{self, chat};
use crate::exit::{CommandError, Outcome};
use crate::gateway::{Answers, Gateway};
use crate::input;
use crate::node::Settings;
use crate::node::event::NodeEvent;
use clap::Args;
use compeer::{Message, PeerId};
use serde::Serialize;

/// Talk with a peer line by line.
///
/// Each line you type is said to the peer; what he says appears as it comes. Ctrl-d ends it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  compeer chat bob
  printf 'one\\ntwo\\n' | compeer chat bob")]
pub(crate) struct Chat {
    /// Name, address, ticket or id
    pub(crate) peer: String,
}

impl Chat {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        if self.peer == "-" {
            return Err(CommandError::usage("standard input is what you say; give the ticket as @FILE"));
        }
        let question = chat::Chat { peer: input::word(&self.peer)? };
        Gateway::through(context, Settings::alone(), async |gateway: &Gateway| {
            let mut answers = gateway.open_call(chat::KIND, &question).await?;
            let Some(with) = answers.next().await? else { return Ok(()) };
            let with: chat::With = control::parse(&with.body)?;
            context.console.note(&format!(
                "talking with {} ({}); ctrl-d ends it",
                with.name,
                with.peer.short()
            ));
            talk(context, &with, &mut answers).await
        })
        .await
    }
}

/// Both directions at once, until there are no more lines and all of them are said.
async fn talk(context: &Context, with: &chat::With, answers: &mut Answers) -> Outcome {
    let mut lines = Some(input::lines());
    let mut outcome = Ok(());
    loop {
        let line = async {
            match &mut lines {
                Some(lines) => lines.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            answer = answers.next() => match answer? {
                Some(answer) => outcome = show(context, with, &answer, outcome)?,
                None => return outcome,
            },
            line = line => match line {
                Some(line) if line.trim().is_empty() => {}
                Some(line) => answers.send(chat::KIND, line.into_bytes()).await?,
                None => {
                    lines = None;
                    answers.finish();
                }
            },
        }
    }
}

/// Shows what came; the outcome so far, with this in it.
fn show(context: &Context, with: &chat::With, answer: &Message, outcome: Outcome) -> Outcome<Outcome> {
    if answer.kind == chat::EVENT {
        context.console.show(&control::parse::<NodeEvent>(&answer.body)?);
    } else if answer.kind == chat::UNSAID {
        let error: CommandError = control::parse(&answer.body)?;
        context.console.note(&format!("not said: {error}"));
        return Ok(Err(error));
    } else if answer.kind == chat::SAID {
        context.console.event(&Said { event: "said", peer: with.peer });
    }
    Ok(outcome)
}

/// A line was shown there. People see their line already.
#[derive(Serialize)]
struct Said {
    event: &'static str,
    peer: PeerId,
}
