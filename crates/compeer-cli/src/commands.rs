//! One file per command: its arguments, its help text and `run`.
//!
//! A command is written once, as a client of the control protocol ([`crate::control`]): it asks the node that holds
//! this home, be it a running `up` or one of its own for the length of the command, and renders the answers through
//! the console. Nothing in here knows the peer itself; only `up` builds one.

pub(crate) mod block;
pub(crate) mod call;
pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod down;
pub(crate) mod find;
pub(crate) mod get;
pub(crate) mod identity;
pub(crate) mod man;
pub(crate) mod on;
pub(crate) mod overview;
pub(crate) mod pair;
pub(crate) mod peers;
pub(crate) mod say;
pub(crate) mod send;
pub(crate) mod share;
pub(crate) mod sim;
pub(crate) mod status;
pub(crate) mod ticket;
pub(crate) mod trace;
pub(crate) mod transfers;
pub(crate) mod r#try;
pub(crate) mod up;

use crate::cli::Command;
use crate::context::Context;
use crate::exit::Outcome;

/// Runs what the command line names; without a command, the overview.
pub(crate) async fn run(command: Option<Command>, context: &Context) -> Outcome {
    crate::interrupt::arm();
    match command {
        None => overview::run(context).await,
        Some(Command::Up(command)) => command.run(context).await,
        Some(Command::Find(command)) => command.run(context).await,
        Some(Command::Transfers(command)) => command.run(context).await,
        Some(Command::Share(command)) => command.run(context).await,
        Some(Command::Get(command)) => command.run(context).await,
        Some(Command::Send(command)) => command.run(context).await,
        Some(Command::Say(command)) => command.run(context).await,
        Some(Command::Chat(command)) => command.run(context).await,
        Some(Command::Call(command)) => command.run(context).await,
        Some(Command::On(command)) => command.run(context).await,
        Some(Command::Ticket(command)) => command.run(context).await,
        Some(Command::Peers(command)) => command.run(context).await,
        Some(Command::Trace(command)) => command.run(context).await,
        Some(Command::Pair(command)) => command.run(context).await,
        Some(Command::Block(command)) => command.run(context).await,
        Some(Command::Status(command)) => command.run(context).await,
        Some(Command::Try(command)) => command.run(context).await,
        Some(Command::Down(command)) => command.run(context).await,
        Some(Command::Doctor(command)) => command.run(context).await,
        Some(Command::Sim(command)) => command.run(context).await,
        Some(Command::Config(command)) => command.run(context).await,
        Some(Command::Identity(command)) => command.run(context).await,
        Some(Command::Completions(command)) => command.run(context).await,
        Some(Command::Man(command)) => command.run(context).await,
    }
}
