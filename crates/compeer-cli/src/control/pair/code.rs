//! `pair` by a spoken code: one side makes it and waits, the other types it, and both are paired.
//!
//! What passes under the code is the ticket of the side that made it, so that the other one can find it again. A
//! code that was made for files is told apart by what it gives.

use super::{Paired, check, done, enter};
use crate::console::Report;
use crate::control::{ANSWER, parse, reply};
use crate::exit::{CommandError, Outcome};
use crate::node::Node;
use crate::node::codes::{find_code, offer_code};
use compeer::{Kind, PeerAddr, PeerId, Request, Ticket};
use compeer_share::Code;
use compeer_share::meet::OfferEvent;
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub(crate) const OFFER: &str = "pair_offer";
pub(crate) const FIND: &str = "pair_code";
/// The code is made: an [`Offered`].
pub(crate) const OFFERED: Kind = Kind::from_static("offered");

/// Make a code and wait for whoever types it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Offer {
    /// The name the user wants for him.
    pub(crate) petname: Option<String>,
}

/// It is made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Offered {
    pub(crate) event: String,
    pub(crate) code: String,
    /// What to type on the other machine.
    pub(crate) line: String,
    /// Where this one is, for networks that carry no multicast.
    pub(crate) from: Option<String>,
}

impl Report for Offered {
    fn human(&self) -> String {
        self.line.clone()
    }
}

pub(in crate::control) async fn offer(node: Node, request: Request) -> Outcome {
    let ask: Offer = parse(request.body())?;
    check(ask.petname.as_deref())?;
    node.listen()?;
    let mut own = node.peer.addr();
    if own.addrs.iter().any(|addr| !addr.is_loopback()) {
        own.addrs.retain(|addr| !addr.is_loopback());
    }
    let from = own.addrs.first().map(ToString::to_string);
    let mut offer = offer_code(&node, &Ticket::Peer(own), false).await?;
    let code = offer.code();
    let line = format!("compeer pair {code}");
    reply(&request, OFFERED, &Offered { event: "pair_code".into(), code, line, from }).await?;
    match offer.next().await {
        Some(OfferEvent::Met { peer }) => {
            let paired = paired(&node, peer, ask.petname.as_deref(), None)?;
            reply(&request, ANSWER, &paired).await
        }
        Some(OfferEvent::Wrong { peer, .. }) => {
            let nickname = node.connection(peer).and_then(|connection| connection.name);
            let who = node.state.shown_name(peer, nickname.as_deref());
            Err(CommandError::failed(format!("{who} ({}) tried a wrong code; it is dead now", peer.short()))
                .hint("for another one, type again:  compeer pair"))
        }
        _ => Err(CommandError::unreachable("nobody came with the code within an hour; it is dead now")
            .hint("for another one, type again:  compeer pair")),
    }
}

/// Find who offers this code, and pair.
#[derive(Serialize, Deserialize)]
pub(crate) struct Find {
    pub(crate) code: Code,
    /// Where he is, if he cannot be found.
    pub(crate) from: Option<String>,
    pub(crate) petname: Option<String>,
    pub(crate) timeout_ms: u64,
}

pub(in crate::control) async fn find(node: Node, find: Find) -> Outcome<Paired> {
    check(find.petname.as_deref())?;
    let from = find
        .from
        .as_deref()
        .map(|from| from.parse().map_err(|error| CommandError::usage(format!("--from {from:?}: {error}"))));
    let (peer, ticket) =
        find_code(&node, &find.code, from.transpose()?, Duration::from_millis(find.timeout_ms)).await?;
    let Ticket::Peer(told) = ticket else {
        return Err(CommandError::failed("this code is for files, not for pairing")
            .hint(format!("to fetch them, type:  compeer get {}", find.code)));
    };
    if peer == node.state.id {
        return Err(CommandError::usage("this code was made here: type it on the other machine"));
    }
    if told.id != peer {
        return Err(CommandError::verification("the other side gave the ticket of somebody else"));
    }
    paired(&node, peer, find.petname.as_deref(), Some(told))
}

fn paired(node: &Node, peer: PeerId, petname: Option<&str>, told: Option<PeerAddr>) -> Outcome<Paired> {
    let nickname = node.connection(peer).and_then(|connection| connection.name);
    let addrs = told.map(|told| told.addrs).unwrap_or_default();
    let named = enter(node, peer, nickname.as_deref(), petname, addrs)?;
    Ok(done(node, peer, named, Some(true)))
}
