//! A router of one's own: C is reached over B, and nobody has to know where C is.
//!
//! ```console
//! $ cargo run --example custom_router -p compeer -- carry
//! $ cargo run --example custom_router -p compeer -- serve TICKET
//! $ cargo run --example custom_router -p compeer -- ask TICKET ID hello
//! ```
//!
//! The first one carries, and prints the TICKET of itself. The second one connects with it,
//! listens nowhere, and prints its ID. The third one asks that ID, and its router names the
//! first as the next hop. What the two say to each other is encrypted from end to end: the
//! carrier knows who and how much (`examples/nosy_carrier.rs` looks).

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use compeer::{Asked, BoxFuture, Carry, Failure, Hop, Peer, PeerAddr, PeerId, Request, Router, Ticket, text};

/// Everybody is behind one peer.
struct Over(PeerAddr);

impl Router for Over {
    fn next_hop<'a>(&'a self, _: &'a Peer, _: &'a PeerAddr, asked: &'a Asked) -> BoxFuture<'a, Option<Hop>> {
        // Whoever is left out has refused, or is on the way already.
        let hop = (!asked.without.contains(&self.0.id)).then(|| Hop::from(self.0.clone()));
        Box::pin(std::future::ready(hop))
    }
}

async fn echo(request: Request) -> Result<String, Failure> {
    Ok(format!("{}, you said: {}", request.sender().short(), request.text()))
}

fn peer_of(ticket: &str) -> Result<PeerAddr, Box<dyn Error>> {
    match ticket.parse()? {
        Ticket::Peer(peer) => Ok(peer),
        _ => Err("a peer's ticket is needed".into()),
    }
}

async fn carry() -> Result<(), Box<dyn Error>> {
    // Its router is the default: it finds those who are connected with it.
    let peer = Peer::builder().listen("127.0.0.1:0").carry(Carry::default()).spawn().await?;
    println!("ticket: {}", Ticket::from(peer.addr()));
    peer.run().await; // until ctrl-c
    Ok(())
}

async fn serve(carrier: &str) -> Result<(), Box<dyn Error>> {
    let peer = Peer::builder().handle("ECHO", echo).spawn().await?;
    let carrier = peer_of(carrier)?;
    peer.connect(carrier.clone()).await?;
    peer.keep(carrier);
    println!("id: {}", peer.id());
    peer.run().await;
    Ok(())
}

async fn ask(carrier: &str, whom: &str, words: &str) -> Result<(), Box<dyn Error>> {
    let whom: PeerId = whom.parse()?;
    let peer = Peer::builder().router(Over(peer_of(carrier)?)).spawn().await?;
    match peer.request(whom, "ECHO", words.to_owned()).one().await {
        Ok(reply) => {
            let over: Vec<_> = peer.connect(whom).await?.over().iter().map(PeerId::short).collect();
            println!("{} (over {})", text::escape_bytes(&reply.body), over.join(", "));
        }
        Err(error) => println!("failed: {error}"),
    }
    peer.shutdown().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["carry"] => carry().await,
        ["serve", carrier] => serve(carrier).await,
        ["ask", carrier, whom, words] => ask(carrier, whom, words).await,
        _ => Err("usage: custom_router carry | serve TICKET | ask TICKET ID WORDS".into()),
    }
}
