//! The serving end of all measurements: raw TCP, plain TLS, and a peer; in this
//! process or in a child that ends with our pipe to it.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use compeer::{Failure, Peer, PeerAddr, Request, Stream, Ticket};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::{Options, Result, plain};

pub(crate) const LOOPBACK: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// Where the serving ends are.
pub(crate) struct Server {
    pub(crate) tcp: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) peer: PeerAddr,
    _child: Option<Child>,
    here: Option<Peer>,
}

impl Server {
    pub(crate) async fn start(options: Options) -> Result<Server> {
        if options.two_processes { Server::elsewhere().await } else { Server::here().await }
    }

    async fn here() -> Result<Server> {
        let tcp = TcpListener::bind(SocketAddr::from(LOOPBACK)).await?;
        let tls = TcpListener::bind(SocketAddr::from(LOOPBACK)).await?;
        let (tcp_addr, tls_addr) = (tcp.local_addr()?, tls.local_addr()?);
        plain::listen(tcp, None);
        plain::listen(tls, Some(plain::acceptor()?));
        let peer = peer().await?;
        Ok(Server { tcp: tcp_addr, tls: tls_addr, peer: peer.addr(), _child: None, here: Some(peer) })
    }

    async fn elsewhere() -> Result<Server> {
        let (child, line) = spawn(&["serve"]).await?;
        let mut words = line.split_whitespace();
        let mut word = || words.next().ok_or("the child said too little");
        let (tcp, tls) = (word()?.parse()?, word()?.parse()?);
        Ok(Server { tcp, tls, peer: parse_ticket(word()?)?, _child: Some(child), here: None })
    }

    pub(crate) async fn stop(self) {
        if let Some(peer) = self.here {
            peer.shutdown().await;
        }
    }
}

/// Starts this program again; gives the first line that it prints.
pub(crate) async fn spawn(args: &[&str]) -> Result<(Child, String)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let mut line = String::new();
    let stdout = child.stdout.as_mut().ok_or("no pipe")?;
    BufReader::new(stdout).read_line(&mut line).await?;
    Ok((child, line))
}

pub(crate) fn parse_ticket(text: &str) -> Result<PeerAddr> {
    match text.parse()? {
        Ticket::Peer(peer) => Ok(peer),
        _ => Err("not the ticket of a peer".into()),
    }
}

/// The child: serves until its standard input ends.
pub(crate) async fn child() -> Result<()> {
    let server = Server::here().await?;
    println!("{} {} {}", server.tcp, server.tls, Ticket::Peer(server.peer.clone()));
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    std::process::exit(0);
}

async fn peer() -> Result<Peer> {
    let counted = Arc::new(AtomicU64::new(0));
    let counter = counted.clone();
    let count = move |_: Request| {
        counter.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(()))
    };
    let until = move |request: Request| until(request, counted.clone());
    let peer = Peer::builder()
        .listen(SocketAddr::from(LOOPBACK))
        .handle("ECHO", async |request: Request| Ok(request.body().clone()))
        .handle("COUNT", count)
        .handle("UNTIL", until)
        .handle("FLOOD", flood)
        .handle_stream("SINK", async |stream: Stream| drop(plain::sink(stream).await));
    Ok(peer.spawn().await?)
}

/// Answers when so many one-way requests were counted since the start.
async fn until(request: Request, counted: Arc<AtomicU64>) -> Result<String, Failure> {
    let wanted: u64 = request.text().parse()?;
    while counted.load(Ordering::Relaxed) < wanted {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(counted.load(Ordering::Relaxed).to_string())
}

/// Replies without end; the caller's reading sets the pace.
async fn flood(request: Request) -> Result<(), Failure> {
    let body = Bytes::from(vec![7; 1024]);
    loop {
        request.reply(body.clone()).await?;
    }
}
