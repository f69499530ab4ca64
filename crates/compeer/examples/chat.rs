//! Chat: every peer listens and speaks; what you type goes to all you are connected with.
//!
//! ```console
//! $ cargo run --example chat -p compeer -- alice
//! $ cargo run --example chat -p compeer -- bob TICKET
//! ```
//!
//! Whoever is called needs no second program: a peer both calls and is called,
//! over one connection. A message is whole however long it is (up to 1 MiB) and
//! in whatever script: the network may cut bytes anywhere, and nobody here sees
//! it. Every line is *asked*, not just told, so the sender learns whether it was
//! shown. A name is what a peer calls itself; the short id behind it is part of
//! the key that it proved.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::io;
use std::thread;

use compeer::{Failure, Peer, Request, Ticket, text};
use tokio::sync::mpsc;

/// Shows a line. That the handler ends well is the acknowledgement.
async fn show(request: Request) -> Result<(), Failure> {
    let name = request.sender_name().unwrap_or_default();
    println!("{} ({}): {}", text::escape(&name), request.sender().short(), text::escape(&request.text()));
    Ok(())
}

/// What is typed, line by line. A thread of its own: a read from a terminal
/// cannot be cancelled, and the program must not wait for it at the end.
fn typed_lines() -> mpsc::Receiver<String> {
    let (lines, typed) = mpsc::channel(16);
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    typed
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (name, friend) = match &args[..] {
        [name] => (name, None),
        [name, ticket] => (name, Some(ticket)),
        _ => return Err("usage: chat NAME [TICKET]".into()),
    };
    // 0.0.0.0:0 to be reached from other machines.
    let peer = Peer::builder().listen("127.0.0.1:0").name(name).handle("CHAT", show).spawn().await?;
    println!("ticket: {}", Ticket::from(peer.addr()));
    if let Some(ticket) = friend {
        let Ticket::Peer(friend) = ticket.parse()? else { return Err("a peer's ticket is needed".into()) };
        let connection = peer.connect(friend.clone()).await?;
        println!("connected to {}", text::escape(&connection.name().unwrap_or_default()));
        peer.keep(friend); // called again whenever the connection is lost
    }
    let mut typed = typed_lines();
    while let Some(line) = typed.recv().await {
        for friend in peer.connections() {
            let shown = peer.request(friend.peer_id, "CHAT", line.clone()).all().await;
            if let Err(error) = shown {
                println!("not shown to {}: {error}", friend.peer_id.short());
            }
        }
    }
    peer.shutdown().await;
    Ok(())
}
