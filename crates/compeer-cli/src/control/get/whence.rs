//! Where what is to be fetched comes from: a ticket, got from what the user typed.
//!
//! A ticket is one itself; a code finds the sender, who gives it; a number is a result of the last search; the name of
//! a paired peer stands for the last thing it asked us to fetch. They are told apart by their looks, in this order.
//! A code works once: typed again after its transfer was interrupted, it stands for the ticket of that transfer.

use super::{Get, LOOKING, Looking};
use crate::control::{find, reply, within};
use crate::exit::{CommandError, Outcome};
use crate::node::{Node, codes};
use compeer::{PeerAddr, Request, ShareTicket, Ticket};

/// The ticket for what was typed, and the code it was, if it was one.
pub(super) async fn ticket(
    node: &Node,
    get: &Get,
    request: &Request,
) -> Outcome<(ShareTicket, Option<String>)> {
    let what = get.what.trim();
    if Ticket::looks_like(what) {
        let ticket: Ticket = what.parse().map_err(|error| CommandError::usage(format!("{error}")))?;
        let ticket = ticket.into_share().map_err(|error| CommandError::usage(error.to_string()))?;
        return Ok((ticket, None));
    }
    if let Ok(number) = what.parse() {
        return Ok((find::result(node, number).await?, None));
    }
    if let Some(known) = node.state.store.by_petname(what)? {
        let asked = node.state.asked.last_of(known.id).ok_or_else(|| {
            CommandError::failed(format!("{what} has not asked this peer to take anything"))
                .hint("what was asked is forgotten when `compeer up` ends; ask for a ticket")
        })?;
        let ticket = asked.parse().map_err(|error| CommandError::failed(format!("{error}")))?;
        return Ok((ticket, None));
    }
    let Some(code) = codes::typed(what).transpose()? else {
        let nothing = format!("{what:?} is no code, ticket, number of a result, or paired peer who asked");
        return Err(CommandError::usage(nothing).hint("a code looks like 7-lamp-tiger, a ticket like share…"));
    };
    let spelled = Some(code.to_string());
    if let Some(ticket) = node.shares.begun_by(&code.to_string()) {
        return Ok((ticket, spelled));
    }
    let from = get
        .from
        .as_deref()
        .map(|from| from.parse().map_err(|error| CommandError::usage(format!("--from {from:?}: {error}"))));
    let from = from.transpose()?;
    let looking = Looking { event: "looking".into(), what: codes::looking_for(&code, from.as_ref()) };
    reply(request, LOOKING, &looking).await?;
    match codes::find_code(node, &code, from, within(get.timeout_ms)).await? {
        (_, Ticket::Share(ticket)) => Ok((ticket, spelled)),
        _ => Err(CommandError::failed("this code is for pairing, not for files")
            .hint(format!("to pair, type:  compeer pair {code}"))),
    }
}

/// The ticket with one more place to look: where the user says the sender is.
pub(super) async fn with_place(
    node: &Node,
    mut ticket: ShareTicket,
    from: Option<&str>,
) -> Outcome<ShareTicket> {
    let Some(from) = from else { return Ok(ticket) };
    let place = place(node, from).await?;
    match ticket.peers.iter_mut().find(|peer| peer.id == place.id) {
        Some(known) => known.addrs.splice(0..0, place.addrs).for_each(drop),
        None => ticket.peers.insert(0, place),
    }
    Ok(ShareTicket::new(ticket.peers, ticket.root, ticket.secret))
}

/// The peer at this place. It is connected now; its addresses matter only when the connection is lost.
pub(super) async fn place(node: &Node, from: &str) -> Outcome<PeerAddr> {
    let reached = node.reach(from).await?;
    Ok(PeerAddr { id: reached.id, addrs: node.known_addrs(reached.id) })
}
