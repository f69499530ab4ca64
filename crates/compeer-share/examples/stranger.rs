//! What a stranger learns who knows the root of a private share but not its secret: nothing. He says hello for it and
//! for content that nobody has, in turns; answers are compared byte for byte, and how long they took is printed.
//!
//! `stranger [TIMES]`, 1,000 of each by default: everything in one process, over TLS on loopback. The time
//! is from saying hello to the end of the answer; the stream is opened before. The last line compares one half of
//! the answers for unknown content with the other half: that much is noise.

#![allow(clippy::print_stdout, reason = "a program talks to its user")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use compeer::{Identity, Peer};
use compeer_share::{Offer, Progress, ShareTicket, Shares, Store, wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let times: usize = std::env::args().nth(1).map_or(Ok(1000), |times| times.parse())?;
    let (home, identity) = (tempfile::tempdir()?, Identity::generate());
    let sharer = Peer::builder().identity(identity.clone()).listen("127.0.0.1:0").spawn().await?;
    let shares = Shares::attach(&sharer, identity, Store::at(home.path()));
    let path = home.path().join("private");
    std::fs::write(&path, b"nobody's business")?;
    let offer = Offer { paths: vec![path], ..Offer::default() };
    let ticket: ShareTicket = shares.offer(offer, Arc::new(Progress::default())).await?.ticket.parse()?;

    let stranger = Peer::builder().spawn().await?;
    let (mut private, mut unknown) = (Vec::new(), Vec::new());
    for i in 0..times {
        let mut nobodys = ticket.root;
        nobodys[..8].copy_from_slice(&(i as u64).to_le_bytes());
        // In turns, and each first as often as the other.
        let mut asks = [(ticket.root, &mut private), (nobodys, &mut unknown)];
        if i % 2 == 1 {
            asks.reverse();
        }
        for (content, answers) in asks {
            answers.push(ask(&stranger, &sharer, content).await?);
        }
    }
    let first = &unknown[0].0;
    let differ = private.iter().chain(&unknown).filter(|(bytes, _)| bytes != first).count();
    println!("stranger: {} answers of {} bytes, {differ} differ", 2 * times, first.len());
    let took = |answers: &[(Vec<u8>, Duration)]| answers.iter().map(|(_, took)| *took).collect::<Vec<_>>();
    println!("stranger: private {}, unknown {}", spread(took(&private)), spread(took(&unknown)));
    let (even, odd): (Vec<_>, Vec<_>) = took(&unknown).into_iter().enumerate().partition(|(i, _)| i % 2 == 0);
    let half = |some: Vec<(usize, Duration)>| spread(some.into_iter().map(|(_, took)| took).collect());
    println!("stranger: unknown with itself: {} and {}", half(even), half(odd));
    stranger.shutdown().await;
    sharer.shutdown().await;
    if differ > 0 { Err("the answers differ".into()) } else { Ok(()) }
}

/// Says hello without a proof; the answer and how long it took.
async fn ask(stranger: &Peer, at: &Peer, content: [u8; 32]) -> Result<(Vec<u8>, Duration), Box<dyn Error>> {
    let mut stream = stranger.open_stream(at.addr(), wire::STREAM).await?;
    let (record, ext) = Default::default();
    let hello = wire::encode(&wire::Ask::Hello { content, proof: [7; 32], record, ext });
    let began = Instant::now();
    stream.write_all(&hello).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok((answer, began.elapsed()))
}

/// The median and the middle half.
fn spread(mut took: Vec<Duration>) -> String {
    took.sort();
    let at =
        |percent: usize| took.get(took.len() * percent / 100).copied().unwrap_or_default().as_nanos() as f64;
    let us = |percent| at(percent) / 1000.0;
    format!("median {:.1} µs (half of them {:.1} to {:.1})", us(50), us(25), us(75))
}
