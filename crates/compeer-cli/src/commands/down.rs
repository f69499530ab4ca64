//! `compeer down`: stop the running peer of this home and wait until it is gone.
//!
//! It never starts a node. Gone means that the home's lock is free: the next `up` cannot fail because of the last one.
//! That no peer was running is no error, because what was asked for is the case.

use crate::console::Report;
use crate::context::Context;
use crate::control::down;
use crate::exit::{CommandError, Exit, Outcome};
use crate::gateway::{self, Gateway, Held};
use crate::home::Home;
use crate::node::Role;
use clap::Args;
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;

/// How long the peer may take to leave: it lets other commands finish first.
const WITHIN: Duration = Duration::from_secs(40);
/// Pause between two looks at the lock, which another process holds.
const PAUSE: Duration = Duration::from_millis(20);

/// Stop the peer that runs in this home, and wait for it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  compeer down")]
pub(crate) struct Down {}

impl Down {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let home = context.home()?;
        let (client, holder) = match gateway::enter(&home).await? {
            Held::Theirs(client, holder) if holder.role == Role::Up => (client, holder),
            _ => {
                context.console.note(gateway::ALONE);
                context.console.show(&Stopped { event: "down", pid: None });
                return Ok(());
            }
        };
        context.console.note(&format!("through the running peer (process {})", holder.pid));
        let gateway = Gateway::to(client);
        let _: down::Stopping = gateway.ask(down::KIND, &down::Down {}).await?;
        drop(gateway);
        tokio::select! {
            biased;
            () = crate::interrupt::wait() => return Err(CommandError::interrupted()),
            gone = gone(&home) => gone?,
        }
        context.console.show(&Stopped { event: "down", pid: Some(holder.pid) });
        Ok(())
    }
}

/// Waits until nobody holds the home.
async fn gone(home: &Home) -> Outcome {
    let deadline = Instant::now() + WITHIN;
    while gateway::take(home)?.is_none() {
        if Instant::now() > deadline {
            return Err(CommandError::new(
                Exit::Unreachable,
                "the peer was told to stop, but is still there",
            ));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

#[derive(Serialize)]
struct Stopped {
    event: &'static str,
    pid: Option<u32>,
}

impl Report for Stopped {
    fn human(&self) -> String {
        match self.pid {
            Some(pid) => format!("stopped (process {pid})"),
            None => "no peer was running".to_string(),
        }
    }
}
