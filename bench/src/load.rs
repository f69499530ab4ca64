//! Many requests at a time on one connection, and one-way requests.
//!
//! Pipelined: so many tasks, each asking again as soon as it has its answer.
//! One-way: one task tells as fast as it is let; the clock stops when the
//! handler has counted them all. Time on a core is that of this process: of both
//! ends, unless the serving one has a process of its own.

use std::time::{Duration, Instant};

use bytes::Bytes;
use compeer::{Peer, PeerId};
use tokio::task::JoinSet;

use crate::plain::ECHOED;
use crate::report::{Bar, Report, Series};
use crate::requests::ask_once;
use crate::server::Server;
use crate::stats::{Times, cpu_time};
use crate::{Options, Result};

const IN_FLIGHT: usize = 512;
const ROUND: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_millis(300);
const TOLD: u64 = 1_000_000;
const TOLD_WARM_UP: u64 = 50_000;

pub(crate) async fn run(options: Options, report: &mut Report) -> Result<()> {
    let server = Server::start(options).await?;
    let peer = Peer::builder().spawn().await?;
    let to = server.peer.id;
    peer.connect(server.peer.clone()).await?;
    let mut rate = Series::new(format!("requests 64 B, {IN_FLIGHT} in flight"), "/s");
    let mut p99 = Series::new(format!("requests 64 B, {IN_FLIGHT} in flight, p99"), "µs");
    let mut cpu = Series::new("the same, time on a core for each", "µs");
    let mut told_cpu = Series::new("the same, time on a core for each", "µs");
    let mut told = Series::new("one-way 128 B, counted in the handler", "/s");
    let mut total = 0;
    for round in 0..=options.rounds {
        let before = cpu_time();
        let (per_second, mut times) = pipelined(&peer, to, if round == 0 { WARM_UP } else { ROUND }).await?;
        let between = cpu_time();
        let count = if round == 0 { TOLD_WARM_UP } else { TOLD };
        total += count;
        let one_way = tell(&peer, to, count, total).await?;
        if round > 0 {
            cpu.push((between - before).as_secs_f64() * 1e6 / times.count() as f64);
            told_cpu.push((cpu_time() - between).as_secs_f64() * 1e6 / count as f64);
            rate.push(per_second);
            p99.push(times.percentile(99.0));
            told.push(one_way);
        }
    }
    report.line(&rate, Bar::AtLeast(300_000.0));
    report.line(&p99, Bar::None);
    report.line(&cpu, Bar::None);
    report.line(&told, Bar::AtLeast(1_000_000.0));
    report.line(&told_cpu, Bar::None);
    peer.shutdown().await;
    server.stop().await;
    Ok(())
}

/// Requests a second, and how long each took.
async fn pipelined(peer: &Peer, to: PeerId, time: Duration) -> Result<(f64, Times)> {
    let body = Bytes::from_static(&[7; ECHOED]);
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (peer, body) = (peer.clone(), body.clone());
        tasks.spawn(async move {
            let (mut times, mut count) = (Times::default(), 0u32);
            while started.elapsed() < time {
                times.push(ask_once(&peer, to, &body).await?);
                count += 1;
            }
            Result::<_>::Ok((times, count))
        });
    }
    let (mut all, mut count) = (Times::default(), 0);
    while let Some(done) = tasks.join_next().await {
        let (times, n) = done??;
        all.extend(times);
        count += n;
    }
    Ok((f64::from(count) / started.elapsed().as_secs_f64(), all))
}

/// One-way requests a second, until `total` were counted since the start.
async fn tell(peer: &Peer, to: PeerId, count: u64, total: u64) -> Result<f64> {
    let body = Bytes::from_static(&[7; 128]);
    let started = Instant::now();
    for _ in 0..count {
        peer.notify(to, "COUNT", body.clone()).await?;
    }
    peer.request(to, "UNTIL", total.to_string()).one().await?;
    Ok(count as f64 / started.elapsed().as_secs_f64())
}
