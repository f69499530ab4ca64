//! 1,000 requests on a connection, alone, and beside a reply stream that is
//! read at one message a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use compeer::{Peer, PeerId};
use tokio::task::JoinSet;

use crate::plain::ECHOED;
use crate::report::{Bar, Report, Series};
use crate::requests::ask_once;
use crate::server::Server;
use crate::stats::Times;
use crate::{Options, Result};

const REQUESTS: usize = 1_000;
const IN_FLIGHT: usize = 32;
/// A round takes milliseconds, so there are many.
const ROUNDS: usize = 20;

pub(crate) async fn run(options: Options, report: &mut Report) -> Result<()> {
    let server = Server::start(options).await?;
    let peer = Peer::builder().spawn().await?;
    let to = server.peer.id;
    peer.connect(server.peer.clone()).await?;
    requests(&peer, to).await?;
    let series = |beside: &str| {
        [("p50", "µs"), ("p99", "µs"), ("all of them", "ms")]
            .map(|(of, unit)| Series::new(format!("1,000 requests {beside}: {of}"), unit))
    };
    let mut figures = [series("alone"), series("beside a slow reader")];
    for _ in 0..options.rounds {
        for _ in 0..ROUNDS {
            push(&mut figures[0], requests(&peer, to).await?);
        }
        let slow = SlowReader::start(&peer, to).await?;
        for _ in 0..ROUNDS {
            push(&mut figures[1], requests(&peer, to).await?);
        }
        if slow.stop() < 2 {
            return Err("the slow reader read nothing: there was nothing beside the requests".into());
        }
    }
    let [alone, beside] = &figures;
    alone.iter().for_each(|series| report.line(series, Bar::None));
    beside.iter().zip(alone).for_each(|(series, alone)| report.beside(series, alone, Bar::None));
    peer.shutdown().await;
    server.stop().await;
    Ok(())
}

fn push([p50, p99, all]: &mut [Series; 3], (mut times, took): (Times, Duration)) {
    p50.push(times.percentile(50.0));
    p99.push(times.percentile(99.0));
    all.push(took.as_secs_f64() * 1e3);
}

/// A reply stream without end, read at one message a second.
struct SlowReader(tokio::task::JoinHandle<()>, Arc<AtomicU64>);

impl SlowReader {
    async fn start(peer: &Peer, to: PeerId) -> Result<Self> {
        let mut replies = peer.request(to, "FLOOD", "").no_timeout().await?;
        replies.next().await.ok_or("no flood")??;
        let count = Arc::new(AtomicU64::new(1));
        let counter = count.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if replies.next().await.is_none() {
                    return;
                }
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        // Its window is full when two messages have been read.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        Ok(SlowReader(task, count))
    }

    /// How many messages it has read.
    fn stop(self) -> u64 {
        self.0.abort();
        self.1.load(Ordering::Relaxed)
    }
}

/// Each one's time, and that of all of them together.
async fn requests(peer: &Peer, to: PeerId) -> Result<(Times, Duration)> {
    let body = Bytes::from_static(&[7; ECHOED]);
    let left = Arc::new(AtomicU64::new(REQUESTS as u64));
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (peer, body, left) = (peer.clone(), body.clone(), left.clone());
        tasks.spawn(async move {
            let mut times = Times::default();
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                times.push(ask_once(&peer, to, &body).await?);
            }
            Result::<_>::Ok(times)
        });
    }
    let mut all = Times::default();
    while let Some(times) = tasks.join_next().await {
        all.extend(times??);
    }
    Ok((all, started.elapsed()))
}
