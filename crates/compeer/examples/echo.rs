//! Echo: one peer answers, and any number ask, all at once.
//!
//! ```console
//! $ cargo run --example echo -p compeer -- serve
//! $ cargo run --example echo -p compeer -- ask TICKET "hello"
//! ```
//!
//! The first prints a ticket: its key and where it listens, as one word to paste
//! into the second. Give `serve` an address, such as `0.0.0.0:4000`, to be
//! reached from other machines too.
//!
//! There is no loop that accepts, no thread per caller and no guessing how much
//! to `recv`. A handler is an async function from a request to a reply; fifty
//! requests are fifty calls of it, and each reply finds its own caller. Nobody
//! is asked who they are: `request.sender()` is the key that the caller proved
//! when it connected.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use compeer::{Failure, Peer, Request, Ticket, text};

/// Answers with what was said, and with who said it.
async fn echo(request: Request) -> Result<String, Failure> {
    let caller = request.sender().short();
    // Foreign text may hold control characters: show it escaped.
    println!("{caller} said: {}", text::escape(&request.text()));
    Ok(format!("{caller}, you said: {}", request.text()))
}

async fn serve(listen: &str) -> Result<(), Box<dyn Error>> {
    let peer = Peer::builder().listen(listen).handle("ECHO", echo).spawn().await?;
    println!("ticket: {}", Ticket::from(peer.addr()));
    peer.run().await; // until ctrl-c
    Ok(())
}

async fn ask(ticket: &str, words: &str) -> Result<(), Box<dyn Error>> {
    let Ticket::Peer(server) = ticket.parse()? else { return Err("a peer's ticket is needed".into()) };
    // A peer that listens nowhere can ask all the same.
    let peer = Peer::builder().spawn().await?;
    println!("I am {}", peer.id().short());
    let reply = peer.request(server, "ECHO", words.to_owned()).one().await?;
    println!("{}", text::escape_bytes(&reply.body));
    peer.shutdown().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => serve("127.0.0.1:0").await, // port 0: any free one
        ["serve", addr] => serve(addr).await,
        ["ask", ticket, words] => ask(ticket, words).await,
        _ => Err("usage: echo serve [ADDR:PORT] | echo ask TICKET WORDS".into()),
    }
}
