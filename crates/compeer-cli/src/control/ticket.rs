//! `ticket`: this peer's id and addresses as one word.
//!
//! Addresses are looked up at the moment of asking, because a laptop moves. A ticket that holds loopback alone would be of
//! no use to anybody who gets it, so it is an error that says what to do.

use crate::exit::{CommandError, Outcome};
use crate::node::Node;
use compeer::{Addr, Ticket};
use serde::{Deserialize, Serialize};

pub(crate) const KIND: &str = "ticket";

/// Make a ticket, with these addresses if there are any.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MakeTicket {
    pub(crate) advertise: Vec<Addr>,
}

/// The ticket.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) ticket: String,
    /// The port that was taken, if another one had to be used.
    pub(crate) taken_port: Option<u16>,
}

pub(super) async fn answer(node: Node, make: MakeTicket) -> Outcome<Made> {
    let own = node.reachable(&make.advertise)?;
    Ok(Made { ticket: Ticket::Peer(own).to_string(), taken_port: node.state.taken_port() })
}

/// Reads `--advertise`.
///
/// # Errors
///
/// One of them is no address.
pub(crate) fn addresses(texts: &[String]) -> Outcome<Vec<Addr>> {
    let parse = |text: &String| {
        text.parse().map_err(|error| CommandError::usage(format!("--advertise {text:?}: {error}")))
    };
    texts.iter().map(parse).collect()
}
