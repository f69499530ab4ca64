//! Many peers, and a flood: what an idle peer costs when one process holds ten
//! thousand, and whether somebody honest still gets in while a thousand callers a
//! second come who are not.
//!
//! The peer that is called is a process of its own, and so are those that hold
//! connections (no process has descriptors for all) and the one that floods:
//! by turns silence, garbage, and complete handshakes with fresh keys. All come
//! from addresses of 127.0.0.0/8, each a household of its own, with the bounds on
//! households set for loopback too. The guest comes from another one.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use compeer::{Peer, PeerId, Request};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Child;
use tokio::time::MissedTickBehavior;

use crate::report::{Bar, Report, Series};
use crate::server::{LOOPBACK, parse_ticket, spawn};
use crate::{Error, Result};

/// Peers that are held, and by how many processes.
const HELD: usize = 10_000;
const HOLDERS: usize = 4;
/// Held before memory is looked at for the first time.
const FIRST: usize = 400;
/// Held by one household: below what one may have.
const HOUSEHOLD: usize = 250;
/// Handshakes at a time in each process that holds.
const AT_ONCE: usize = 4;

/// Callers a second, for how long, and from how many households those of each kind come.
const RATE: u64 = 1_000;
const FLOOD: Duration = Duration::from_secs(20);
const FLOODERS: u64 = 8;
/// The flood goes on for so long before the first guest comes.
const RISING: Duration = Duration::from_secs(5);
/// Sockets that a flooder keeps; then the oldest goes.
const KEPT: usize = 6_000;

/// Buffers are given back after the first silence of five seconds.
const SETTLED: Duration = Duration::from_secs(8);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(240);

pub(crate) async fn run(report: &mut Report) -> Result<()> {
    tokio::time::timeout(PATIENCE, measure(report)).await?
}

async fn measure(report: &mut Report) -> Result<()> {
    let (mut host, line) = spawn(&["flood-end", "host"]).await?;
    let ticket = parse_ticket(line.trim())?;
    let at = ticket.addrs.first().and_then(|addr| addr.socket_addr()).ok_or("no address")?;
    let at_text = at.to_string();
    let mut said = BufReader::new(host.stdout.take().ok_or("no pipe")?).lines();
    let mut count = async |host: &mut Child| -> Result<f64> {
        host.stdin.as_mut().ok_or("no pipe")?.write_all(b"\n").await?;
        Ok(said.next_line().await?.ok_or("the host has ended")?.parse()?)
    };

    let few = hold(&at_text, 0, FIRST).await?;
    tokio::time::sleep(SETTLED).await;
    let before = resident(&host)?;
    let mut holders = vec![few];
    let each = (HELD - FIRST) / HOLDERS;
    let begun = Instant::now();
    let more = (0..HOLDERS).map(|n| {
        let at = at_text.clone();
        tokio::spawn(async move { hold(&at, FIRST + n * each, each).await })
    });
    for holder in more.collect::<Vec<_>>() {
        holders.push(holder.await??);
    }
    let took = begun.elapsed();
    tokio::time::sleep(SETTLED).await;
    let quiet = resident(&host)?;
    one(
        report,
        "held: peers connected and idle",
        "peers",
        count(&mut host).await?,
        Bar::AtLeast(HELD as f64),
    );
    let all = (HELD - FIRST) as f64;
    one(report, "held: memory of each", "KiB", (quiet - before) / all, Bar::AtMost(32.0));
    one(report, "held: connected a second, both ends here", "peers", all / took.as_secs_f64(), Bar::None);

    let (flooder, _) = spawn(&["flood-end", "flood", &at_text]).await?;
    let highest = Arc::new(AtomicU64::new(0));
    let watching = tokio::spawn(watch(host.id().ok_or("the host has ended")?, highest.clone()));
    tokio::time::sleep(RISING).await;
    let mut joined = Series::new("flood: a guest is in and has an answer after", "ms");
    let until = Instant::now() + FLOOD.saturating_sub(RISING + Duration::from_secs(2));
    while Instant::now() < until {
        joined.push(join(at, ticket.id).await?.as_secs_f64() * 1e3);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let still = count(&mut host).await?;
    let calls = flooder.wait_with_output().await?;
    watching.abort();
    let calls: f64 = String::from_utf8(calls.stdout)?.trim().parse()?;
    let highest = highest.load(Ordering::Relaxed) as f64;
    one(report, "flood: callers a second", "", calls / FLOOD.as_secs_f64(), Bar::AtLeast(0.95 * RATE as f64));
    report.line(&joined, Bar::AtMost(1_000.0));
    let worst = joined.values.iter().copied().fold(0.0, f64::max);
    one(report, "flood: the slowest of the guests", "ms", worst, Bar::AtMost(1_000.0));
    one(report, "flood: memory grown by, at most", "MiB", (highest - quiet) / 1024.0, Bar::AtMost(64.0));
    one(report, "flood: peers connected meanwhile", "peers", still, Bar::AtLeast(HELD as f64));
    drop(holders);
    Ok(())
}

fn one(report: &mut Report, name: &str, unit: &'static str, value: f64, bar: Bar) {
    let mut series = Series::new(name, unit);
    series.push(value);
    report.line(&series, bar);
}

/// A process that holds so many connections; it is there when it has them.
async fn hold(at: &str, first: usize, count: usize) -> Result<Child> {
    let (holder, line) = spawn(&["flood-end", "hold", at, &first.to_string(), &count.to_string()]).await?;
    match line.trim() {
        "ready" => Ok(holder),
        _ => Err("a process that was to hold connections has ended".into()),
    }
}

/// How long it takes somebody new to get an answer.
async fn join(at: SocketAddr, host: PeerId) -> Result<Duration> {
    let guest = Peer::builder().spawn().await?;
    let begun = Instant::now();
    guest.adopt(dial(Ipv4Addr::new(127, 200, 0, 1), at).await?, true).await?;
    guest.request(host, "ECHO", "hello").one().await?;
    let took = begun.elapsed();
    guest.shutdown().await;
    Ok(took)
}

async fn dial(from: Ipv4Addr, to: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    let tcp = socket.connect(to).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// Resident memory, in KiB.
fn resident(child: &Child) -> Result<f64> {
    resident_of(child.id().ok_or("the process has ended")?)
}

fn resident_of(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(resident.trim().trim_end_matches(" kB").parse()?)
}

async fn watch(pid: u32, highest: Arc<AtomicU64>) {
    while let Ok(now) = resident_of(pid) {
        highest.fetch_max(now as u64, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The processes of a run.
pub(crate) async fn child(args: &[String]) -> Result<()> {
    let words: Vec<_> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["host"] => serve().await?,
        ["hold", at, first, count] => {
            let _held = call(at.parse()?, first.parse()?, count.parse()?).await?;
            println!("ready");
            tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
        }
        ["flood", at] => flood(at.parse()?).await?,
        _ => return Err("no part of a flood".into()),
    }
    std::process::exit(0);
}

/// The peer that is called; for each line on its standard input it says how many are connected.
async fn serve() -> Result<()> {
    let peer = Peer::builder()
        .listen(SocketAddr::from(LOOPBACK))
        .bound_loopback(true)
        .handle("ECHO", async |request: Request| Ok(request.body().clone()));
    let peer = peer.spawn().await?;
    println!("{}", compeer::Ticket::Peer(peer.addr()));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while lines.next_line().await?.is_some() {
        println!("{}", peer.connections().len());
    }
    Ok(())
}

/// Peers that are connected and do nothing.
async fn call(at: SocketAddr, first: usize, count: usize) -> Result<Vec<Peer>> {
    let next = Arc::new(AtomicU64::new(0));
    let callers = (0..AT_ONCE).map(|_| {
        let next = next.clone();
        tokio::spawn(async move {
            let mut peers = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed) as usize;
                if n >= count {
                    return Ok::<_, Error>(peers);
                }
                let [high, low] = (((first + n) / HOUSEHOLD) as u16).to_be_bytes();
                let peer = Peer::builder().spawn().await?;
                peer.adopt(dial(Ipv4Addr::new(127, 10 + high, low, 1), at).await?, true).await?;
                peers.push(peer);
            }
        })
    });
    let mut peers = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        peers.append(&mut caller.await??);
    }
    Ok(peers)
}

/// Calls and calls, and says at the end how often.
async fn flood(at: SocketAddr) -> Result<()> {
    // The parent goes on when it has a line.
    println!("begun");
    let calls = Arc::new(AtomicU64::new(0));
    let kept = Arc::new(Mutex::new(VecDeque::new()));
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let begun = Instant::now();
    for n in 0.. {
        ticks.tick().await;
        if begun.elapsed() >= FLOOD {
            break;
        }
        let (calls, kept) = (calls.clone(), kept.clone());
        tokio::spawn(async move {
            let [how, house] = [n % 3, 1 + n / 3 % FLOODERS].map(|n| n as u8);
            let tcp = dial(Ipv4Addr::new(127, 100, how, house), at).await?;
            calls.fetch_add(1, Ordering::Relaxed);
            let held = misbehave(how, tcp).await?;
            let oldest = {
                let mut kept = kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                kept.push_back(held);
                if kept.len() > KEPT { kept.pop_front() } else { None }
            };
            drop(oldest);
            Ok::<_, Error>(())
        });
    }
    println!("{}", calls.load(Ordering::Relaxed));
    Ok(())
}

/// What is kept of a caller so that its socket stays open.
enum Held {
    Socket { _open: TcpStream },
    Peer { _open: Peer },
}

async fn misbehave(how: u8, mut tcp: TcpStream) -> Result<Held> {
    match how {
        0 => Ok(Held::Socket { _open: tcp }),
        1 => {
            let garbage: Vec<u8> = (0..600u32).map(|n| ((n * n) >> 3) as u8).collect();
            tcp.write_all(&garbage).await?;
            Ok(Held::Socket { _open: tcp })
        }
        _ => {
            let peer = Peer::builder().spawn().await?;
            peer.adopt(tcp, true).await?;
            Ok(Held::Peer { _open: peer })
        }
    }
}
