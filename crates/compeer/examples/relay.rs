//! Relay: what one member says, all others get, in the order it was said.
//!
//! ```console
//! $ cargo run --example relay -p compeer -- serve
//! $ cargo run --example relay -p compeer -- join alice TICKET
//! $ cargo run --example relay -p compeer -- join bob TICKET
//! ```
//!
//! There is no list of sockets to walk and to keep right. Joining is one request
//! that stays open: its handler replies with what the others say, as long as the
//! member listens. When a member goes away, even by `kill -9`, its handler is
//! dropped, and its place with it. A member that stopped reading holds up nobody:
//! the relay keeps the last 256 messages, and tells it how many it missed.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use compeer::{Failure, Peer, PeerId, Request, Ticket, text};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;

/// Everything that is said, with who said it.
#[derive(Clone)]
struct Room(broadcast::Sender<(PeerId, String)>);

impl Room {
    /// Replies with what the others say until the caller is gone.
    async fn join(self, request: Request) -> Result<(), Failure> {
        let mut said = self.0.subscribe();
        request.reply("joined").await?;
        loop {
            match said.recv().await {
                Ok((speaker, _)) if speaker == request.sender() => {}
                Ok((_, words)) => request.reply(words).await?,
                Err(RecvError::Lagged(missed)) => request.reply(format!("({missed} missed)")).await?,
                Err(RecvError::Closed) => return Ok(()),
            }
        }
    }

    /// Passes on what is said. It never waits, so the order stays.
    async fn say(self, request: Request) -> Result<(), Failure> {
        let words = format!("{}: {}", request.sender_name().unwrap_or_default(), request.text());
        // An error means that nobody listens.
        let _ = self.0.send((request.sender(), words));
        Ok(())
    }
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let room = Room(broadcast::Sender::new(256));
    let same = room.clone();
    let peer = Peer::builder()
        .listen("127.0.0.1:0") // 0.0.0.0:0 to be reached from other machines
        .handle("JOIN", move |request| room.clone().join(request))
        .handle("SAY", move |request| same.clone().say(request))
        .spawn()
        .await?;
    println!("ticket: {}", Ticket::from(peer.addr()));
    peer.run().await; // until ctrl-c
    Ok(())
}

async fn join(name: &str, ticket: &str) -> Result<(), Box<dyn Error>> {
    let Ticket::Peer(relay) = ticket.parse()? else { return Err("a peer's ticket is needed".into()) };
    let peer = Peer::builder().name(name).spawn().await?;
    let mut heard = peer.request(relay.clone(), "JOIN", "").no_timeout().await?;
    let (lines, mut typed) = mpsc::channel(16);
    std::thread::spawn(move || {
        std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| lines.blocking_send(line))
    });
    loop {
        tokio::select! {
            message = heard.next() => match message {
                Some(message) => println!("{}", text::escape_bytes(&message?.body)),
                None => break,
            },
            line = typed.recv() => match line {
                Some(line) => drop(peer.request(relay.clone(), "SAY", line).all().await?),
                None => break,
            },
        }
    }
    peer.shutdown().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => serve().await,
        ["join", name, ticket] => join(name, ticket).await,
        _ => Err("usage: relay serve | relay join NAME TICKET".into()),
    }
}
