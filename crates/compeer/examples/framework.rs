//! Framework: handlers, a table, a router and a stabilizer, as in the BTPeer framework.
//!
//! ```console
//! $ cargo run --example framework -p compeer -- alice
//! $ cargo run --example framework -p compeer -- bob ALICES-TICKET
//! $ cargo run --example framework -p compeer -- carol ALICES-TICKET BOBS-ID NAME
//! ```
//!
//! `bob` joins at `alice`, and a stabilizer learns of the peers of his peers.
//! `carol` asks and is gone: she knows only `alice`, and her router asks around
//! for `bob`. BOOM panics: that request fails, and a WATCH that was running tells
//! of it and goes on.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{error::Error, future::ready, time::Duration};

use compeer::{Event, Failure, Hop, Peer, PeerAddr, PeerId, Request, Ticket, check_live_peers, text};

/// Takes the caller into the table: itself, and nobody else.
async fn join(request: Request) -> Result<(), Failure> {
    let caller: PeerAddr = request.parse()?;
    let itself = caller.id == request.sender();
    if itself && request.peer().table().insert(caller) { Ok(()) } else { Err(Failure::denied()) }
}

/// Replies with what happens here, as it happens.
async fn watch(request: Request) -> Result<(), Failure> {
    let mut events = request.peer().events();
    request.reply("watching").await?;
    while let Some(event) = events.recv().await {
        let Event::HandlerPanicked { kind, text } = event else { continue };
        request.reply(format!("{kind} panicked: {text}")).await?;
    }
    Ok(())
}

async fn boom(_: Request) -> Result<(), Failure> {
    panic!("a defect in this handler")
}

/// The router: straight to those in the table; for others, ask those who are.
async fn ask_around(peer: Peer, to: PeerAddr) -> Option<Hop> {
    if let Some(known) = peer.table().get(to.id) {
        return Some(known.into());
    }
    for neighbour in peer.table().ids() {
        let theirs: Vec<PeerAddr> = peer.request_as(neighbour, "LIST", "").await.unwrap_or_default();
        let Some(found) = theirs.into_iter().find(|known| known.id == to.id) else { continue };
        return Some(found.into());
    }
    None
}

/// The stabilizer: learns of the peers of one's peers. When a run fails because
/// somebody is gone, the next one still comes.
async fn learn(peer: Peer) -> Result<(), Failure> {
    for neighbour in peer.table().ids() {
        let theirs: Vec<PeerAddr> = peer.request_as(neighbour, "LIST", "").await?;
        let new = |found: &PeerAddr| found.id != peer.id() && peer.table().insert(found.clone());
        theirs.into_iter().filter(new).for_each(|found| println!("learnt of {}", found.id));
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, rest @ ..] = &args[..] else { return Err("usage: framework NAME [TICKET [ID KIND]]".into()) };
    let name = name.clone();
    let peer = Peer::builder()
        .listen("127.0.0.1:0") // 0.0.0.0:0 to be reached from other machines
        .max_peers(4)
        .handle("NAME", move |_: Request| ready(Ok(name.clone())))
        .handle("JOIN", join)
        .handle("LIST", |r: Request| async move { Ok(serde_json::to_vec(&r.peer().table().list())?) })
        .handle("WATCH", watch)
        .handle("BOOM", boom)
        .router(ask_around)
        .stabilize(Duration::from_secs(10), check_live_peers(2))
        .spawn()
        .await?;
    if let [ticket, ask @ ..] = rest {
        let Ticket::Peer(friend) = ticket.parse()? else { return Err("a peer's ticket is needed".into()) };
        peer.table().insert(friend.clone());
        if let [id, kind] = ask {
            let mut replies = peer.request(id.parse::<PeerId>()?, kind, "").no_timeout().await?;
            while let Some(reply) = replies.next().await {
                println!("{}", text::escape_bytes(&reply?.body));
            }
            return Ok(());
        }
        peer.request(friend, "JOIN", serde_json::to_vec(&peer.addr())?).all().await?;
    }
    println!("id: {}\nticket: {}", peer.id(), Ticket::from(peer.addr()));
    peer.stabilize(Duration::from_secs(1), learn);
    peer.run().await; // until ctrl-c
    Ok(())
}
