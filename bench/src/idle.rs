//! Memory of an idle connection: what a process grows by with 1,000 of them.
//!
//! The process that is looked at is a child that does nothing else: one peer
//! that is called by 1,000 peers of ours, or one that calls them. The same with
//! plain TLS and with rivals, a child each, all looked at at the same time. What
//! it had with the first 100 connections is taken off, so that configuration and
//! warm-up do not count. Memory in the kernel is not seen: a connection over TCP
//! has a socket there, one over QUIC shares that of all.

use std::any::Any;
use std::net::SocketAddr;
use std::time::Duration;

use compeer::{Peer, Ticket};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines, Stdin};
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::report::{Bar, Report, Series};
use crate::rivals::Kind;
use crate::server::{LOOPBACK, parse_ticket, spawn};
use crate::{Result, plain};

const FIRST: usize = 100;
const MORE: usize = 1_000;
/// Buffers are given back after the first silence of five seconds.
const SETTLED: Duration = Duration::from_secs(7);

/// The addresses that a child is to call.
pub(crate) type Input = Lines<BufReader<Stdin>>;

#[derive(Clone, Copy)]
enum Program {
    Tls,
    Rival(Kind),
    Compeer,
}

impl Program {
    fn all() -> Vec<Program> {
        let rivals = Kind::ALL.iter().map(|kind| Program::Rival(*kind));
        [Program::Tls].into_iter().chain(rivals).chain([Program::Compeer]).collect()
    }

    fn name(self) -> &'static str {
        match self {
            Program::Tls => "tokio-rustls",
            Program::Rival(kind) => kind.name(),
            Program::Compeer => "compeer",
        }
    }
}

pub(crate) async fn run(report: &mut Report) -> Result<()> {
    let plain = Plain::new().await?;
    for (called, side) in [(true, "called"), (false, "calling")] {
        let mut looked_at = Vec::new();
        for program in Program::all() {
            looked_at.push(LookedAt::start(program, called).await?);
        }
        let mut memory = [Vec::new(), Vec::new()];
        for (memory, more) in memory.iter_mut().zip([FIRST, MORE]) {
            for one in &mut looked_at {
                for _ in 0..more {
                    one.connect(&plain).await?;
                }
            }
            tokio::time::sleep(SETTLED).await;
            for one in &looked_at {
                memory.push(resident(&one.child)?);
            }
        }
        let [before, after] = memory;
        let figures = looked_at.iter().zip(before.into_iter().zip(after)).map(|(one, (before, after))| {
            let mut series =
                Series::new(format!("idle connection, {side} side: {}", one.program.name()), "KiB");
            series.push((after - before) / MORE as f64);
            series
        });
        let figures: Vec<_> = figures.collect();
        let [tls, rivals @ .., ours] = &figures[..] else { return Err("nothing to look at".into()) };
        report.line(tls, Bar::None);
        rivals.iter().for_each(|series| report.line(series, Bar::None));
        report.beside(ours, tls, Bar::AtMost(32.0));
        rivals.iter().for_each(|series| report.against(ours, series, Bar::None));
    }
    Ok(())
}

/// Our ends of plain TLS.
struct Plain {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl Plain {
    async fn new() -> Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(LOOPBACK)).await?;
        Ok(Plain { listener, acceptor: plain::acceptor()?, connector: plain::connector()? })
    }
}

/// The child of one program, and our ends of its connections.
struct LookedAt {
    program: Program,
    child: Child,
    /// Where the child can be called; else it calls us.
    at: Option<String>,
    ours: Vec<Box<dyn Any + Send>>,
}

impl LookedAt {
    async fn start(program: Program, called: bool) -> Result<Self> {
        let how = if called { "called" } else { "calling" };
        let (child, line) = spawn(&["idle-end", program.name(), how]).await?;
        let at = called.then(|| line.trim().to_owned());
        Ok(LookedAt { program, child, at, ours: Vec::new() })
    }

    /// One more connection, with an end of its own on our side.
    async fn connect(&mut self, plain: &Plain) -> Result<()> {
        let end: Box<dyn Any + Send> = match (self.program, &self.at) {
            (Program::Tls, Some(at)) => {
                let mut tls = plain::connect_tls(&plain.connector, at.parse()?).await?;
                tls.write_u8(plain::ECHO).await?;
                Box::new(tls)
            }
            (Program::Tls, None) => {
                tell(&mut self.child, &plain.listener.local_addr()?.to_string()).await?;
                let mut tls = plain.acceptor.accept(plain.listener.accept().await?.0).await?;
                tls.read_u8().await?;
                Box::new(tls)
            }
            (Program::Rival(kind), Some(at)) => Box::new(kind.call(at).await?),
            (Program::Rival(kind), None) => {
                let (address, mut called) = kind.listen().await?;
                tell(&mut self.child, &address).await?;
                called.arrived.recv().await.ok_or("nobody came")?;
                Box::new(called)
            }
            (Program::Compeer, Some(at)) => {
                let peer = Peer::builder().listen(SocketAddr::from(LOOPBACK)).spawn().await?;
                peer.connect(parse_ticket(at)?).await?;
                Box::new(peer)
            }
            (Program::Compeer, None) => {
                let peer = Peer::builder().listen(SocketAddr::from(LOOPBACK)).spawn().await?;
                tell(&mut self.child, &Ticket::Peer(peer.addr()).to_string()).await?;
                while peer.connections().is_empty() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Box::new(peer)
            }
        };
        self.ours.push(end);
        Ok(())
    }
}

async fn tell(child: &mut Child, line: &str) -> Result<()> {
    let stdin = child.stdin.as_mut().ok_or("no pipe")?;
    stdin.write_all(format!("{line}\n").as_bytes()).await?;
    Ok(stdin.flush().await?)
}

/// Resident memory of the child, in KiB.
fn resident(child: &Child) -> Result<f64> {
    let pid = child.id().ok_or("the child has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(resident.trim().trim_end_matches(" kB").parse()?)
}

/// The child: is called, or calls whom it reads on its standard input, which ends it.
pub(crate) async fn child(args: &[String]) -> Result<()> {
    let [name, how] = args else { return Err("idle-end NAME HOW".into()) };
    let program = Program::all().into_iter().find(|program| program.name() == name);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    match program.ok_or("no such program")? {
        Program::Tls => {
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
        Program::Rival(kind) if how == "called" => {
            let (address, _called) = kind.listen().await?;
            println!("{address}");
            while lines.next_line().await?.is_some() {}
        }
        Program::Rival(kind) => {
            println!();
            kind.call_each(lines).await?;
        }
        Program::Compeer => {
            let peer = Peer::builder().listen(SocketAddr::from(LOOPBACK)).spawn().await?;
            println!("{}", Ticket::Peer(peer.addr()));
            while let Some(line) = lines.next_line().await? {
                peer.connect(parse_ticket(&line)?).await?;
            }
        }
    }
    std::process::exit(0);
}
