//! `compeer try`: the tour. Real peers on this machine, real commands, their real output.
//!
//! Two children of this very program, alice and bob, each with a home in a temporary directory and a free port on
//! loopback, and then the commands a person would type (`try/stage.rs` runs them and shows what they print). Nothing is
//! played: a step that fails ends the tour with exit code 1. The children are ended by their process ids and the
//! directory is removed, however the tour ends.

mod stage;

use crate::context::Context;
use crate::exit::{CommandError, Outcome};
use clap::Args;
use stage::Stage;
use std::time::Duration;

/// Bytes of the file that is sent.
const PHOTO: usize = 1_000_000;

/// The whole tour takes about two seconds; beyond this something hangs.
const WITHIN: Duration = Duration::from_secs(30);

/// A tour: two real peers on this machine meet, talk, pair and exchange a file, in a few seconds.
///
/// Everything happens in a temporary directory and over loopback; nothing is left behind.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  compeer try")]
pub(crate) struct Try {}

impl Try {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        context.console.note("alone: two peers of its own in a temporary directory; yours is not touched");
        let mut stage = Stage::set(context.console.clone())?;
        let outcome = tokio::select! {
            biased;
            () = crate::interrupt::wait() => Err(CommandError::interrupted()),
            outcome = tokio::time::timeout(WITHIN, tour(&mut stage)) => {
                outcome.unwrap_or_else(|_| Err(CommandError::failed("the tour hangs")))
            }
        };
        stage.clear().await;
        if outcome.is_ok() {
            context.console.line("\nThat was it; nothing is left behind. Yours begins with:  compeer up");
        }
        outcome
    }
}

async fn tour(stage: &mut Stage) -> Outcome {
    stage.tell("Two peers on this machine, each with a home and a key of its own.");
    let alice = stage.up("alice").await?;
    stage.up("bob").await?;

    stage.tell("Bob says something to Alice, by her address. Her key is learnt now and must stay the same.");
    stage.run("bob", &["say", &alice, "hello"], None).await?;
    stage.sees("alice", "bob: hello").await?;

    stage.tell("They pair, each on their own side. From now on names suffice, wherever the other is.");
    stage.run("bob", &["pair", &alice], None).await?;
    let asked = stage.sees("alice", "compeer pair ").await?;
    let id = asked.rsplit(' ').next().unwrap_or_default().to_string();
    stage.run("alice", &["pair", &id], None).await?;
    stage.sees("bob", "paired with you too").await?;

    stage.tell("Any kind of message, any number of replies; a peer that is up answers two kinds.");
    let echo = stage.run("alice", &["call", "bob", "ECHO", "is anybody there?"], None).await?;
    if echo != ["is anybody there?"] {
        return Err(CommandError::failed("the echo is not what was sent"));
    }
    stage.run("bob", &["call", "alice", "NAME"], None).await?;

    stage.tell("Lines in, arrivals shown meanwhile: here from a pipe.");
    stage.run("alice", &["chat", "bob"], Some("one\ntwo\n")).await?;
    stage.sees("bob", "alice: two").await?;

    stage
        .tell("A file, for whoever hears the code: found on the network, proven, verified, and the sender sees who has it.");
    stage.file("alice", "photo.jpg", PHOTO)?;
    let line = stage.begin("alice", &["send", "photo.jpg"], "compeer get ").await?;
    let code = line.rsplit(' ').next().unwrap_or_default().to_string();
    stage.run("bob", &["get", &code], None).await?;
    stage.finish("alice").await?;
    stage.same("photo.jpg")?;

    stage.tell("Who is there?");
    stage.run("alice", &["peers"], None).await?;
    stage.run("alice", &["down"], None).await?;
    stage.run("bob", &["down"], None).await?;
    Ok(())
}
