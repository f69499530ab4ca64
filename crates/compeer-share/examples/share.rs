//! Sends a file or folder from one program to another: `share offer PATH` prints a ticket, `share fetch TICKET DIR`
//! fetches. Everything a program needs of this crate, in one page.
//!
//! Run two of them: `cargo run --example share -- offer photo.jpg`, and what it prints on the other side.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

use std::error::Error;
use std::sync::Arc;

use compeer::{Identity, Peer};
use compeer_share::staging::{Existing, Target};
use compeer_share::{Offer, Progress, ShareTicket, Shares, Store};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let identity = Identity::generate();
    let peer = Peer::builder().identity(identity.clone()).listen("127.0.0.1:0").spawn().await?;
    let home = tempfile::tempdir()?;
    let shares = Shares::attach(&peer, identity, Store::at(home.path()));
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["offer", path] => {
            let offer = Offer { paths: vec![path.into()], ..Offer::default() };
            let offered = shares.offer(offer, Arc::new(Progress::default())).await?;
            println!("share fetch {} DIR", offered.ticket);
            peer.run().await;
        }
        ["fetch", ticket, dir] => {
            let look = shares.look(&ticket.parse::<ShareTicket>()?).await?;
            println!("{}: {} bytes", compeer::text::escape(&look.manifest().title()), look.bytes());
            let target = Target { dir: dir.into(), file_name: None };
            let survey = look.survey(&target).await?;
            let fetched = look.fetch(target, survey, Existing::Ask).await?.done().await?;
            println!("{:?} in {:?}", fetched.placed, fetched.took);
            peer.shutdown().await;
        }
        _ => eprintln!("share offer PATH | share fetch TICKET DIR"),
    }
    Ok(())
}
