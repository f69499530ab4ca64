//! Memory of an idle connection: what a process grows by with 1,000 of them.
//!
//! The process that is looked at is a child that does nothing else: one peer
//! that is called by 1,000 peers of ours, or one that calls them. The same with
//! plain TLS. What it had with the first 100 connections is taken off, so that
//! configuration and warm-up do not count.

use std::net::SocketAddr;
use std::time::Duration;

use compeer::{Peer, Ticket};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Child;

use crate::report::{Bar, Report, Series};
use crate::server::{LOOPBACK, parse_ticket, spawn};
use crate::{Result, plain};

const FIRST: usize = 100;
const MORE: usize = 1_000;
/// Buffers are given back after the first silence of five seconds.
const SETTLED: Duration = Duration::from_secs(7);

pub(crate) async fn run(report: &mut Report) -> Result<()> {
    for (how, side) in [("accept", "called"), ("dial", "calling")] {
        let mut tls = Series::new(format!("idle connection, {side} side: tokio-rustls"), "KiB");
        let mut ours = Series::new(format!("idle connection, {side} side: compeer"), "KiB");
        tls.push(plain_tls(how).await?);
        ours.push(compeer(how).await?);
        report.line(&tls, Bar::None);
        report.beside(&ours, &tls, Bar::AtMost(32.0));
    }
    Ok(())
}

/// KiB a connection.
fn growth(before: f64, after: f64) -> f64 {
    (after - before) / MORE as f64
}

async fn compeer(how: &str) -> Result<f64> {
    let (mut child, line) = spawn(&["idle-end", "compeer", how]).await?;
    let mut peers = Vec::new();
    let mut before = 0.0;
    for n in 0..FIRST + MORE {
        let peer = Peer::builder().listen(SocketAddr::from(LOOPBACK)).spawn().await?;
        if how == "accept" {
            peer.connect(parse_ticket(line.trim())?).await?;
        } else {
            tell(&mut child, &Ticket::Peer(peer.addr()).to_string()).await?;
            while peer.connections().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        peers.push(peer);
        if n + 1 == FIRST {
            before = settled(&child).await?;
        }
    }
    Ok(growth(before, settled(&child).await?))
}

async fn plain_tls(how: &str) -> Result<f64> {
    let (mut child, line) = spawn(&["idle-end", "tls", how]).await?;
    let listener = TcpListener::bind(SocketAddr::from(LOOPBACK)).await?;
    let addr = listener.local_addr()?.to_string();
    let (connector, acceptor) = (plain::connector()?, plain::acceptor()?);
    let (mut called, mut calling) = (Vec::new(), Vec::new());
    let mut before = 0.0;
    for n in 0..FIRST + MORE {
        if how == "accept" {
            let mut tls = plain::connect_tls(&connector, line.trim().parse()?).await?;
            tls.write_u8(plain::ECHO).await?;
            calling.push(tls);
        } else {
            tell(&mut child, &addr).await?;
            let mut tls = acceptor.accept(listener.accept().await?.0).await?;
            tls.read_u8().await?;
            called.push(tls);
        }
        if n + 1 == FIRST {
            before = settled(&child).await?;
        }
    }
    Ok(growth(before, settled(&child).await?))
}

async fn tell(child: &mut Child, line: &str) -> Result<()> {
    let stdin = child.stdin.as_mut().ok_or("no pipe")?;
    stdin.write_all(format!("{line}\n").as_bytes()).await?;
    Ok(stdin.flush().await?)
}

/// Resident memory of the child, in KiB, when it has come to rest.
async fn settled(child: &Child) -> Result<f64> {
    tokio::time::sleep(SETTLED).await;
    let pid = child.id().ok_or("the child has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(resident.trim().trim_end_matches(" kB").parse()?)
}

/// The child: is called, or calls whom it reads on its standard input.
pub(crate) async fn child(args: &[String]) -> Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    if args.first().is_some_and(|what| what == "compeer") {
        let peer = Peer::builder().listen(SocketAddr::from(LOOPBACK)).spawn().await?;
        println!("{}", Ticket::Peer(peer.addr()));
        while let Some(line) = lines.next_line().await? {
            peer.connect(parse_ticket(&line)?).await?;
        }
    } else {
        let listener = TcpListener::bind(SocketAddr::from(LOOPBACK)).await?;
        println!("{}", listener.local_addr()?);
        plain::listen(listener, Some(plain::acceptor()?));
        let connector = plain::connector()?;
        let mut open = Vec::new();
        while let Some(line) = lines.next_line().await? {
            let mut tls = plain::connect_tls(&connector, line.parse()?).await?;
            tls.write_u8(plain::ECHO).await?;
            open.push(tls);
        }
    }
    std::process::exit(0);
}
