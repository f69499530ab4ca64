//! One stream, memory to memory: raw TCP, plain TLS, rivals, a Compeer stream; and two
//! at once, which is what files are measured against (`files.sh`).
//!
//! Writes of 64 KiB for one and a half seconds; the clock stops when the reader has said
//! how much it got.

use std::time::{Duration, Instant};

use compeer::Peer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::plain::{self, CHUNK, SINK};
use crate::report::{Bar, Report, Series};
use crate::rivals::Rivals;
use crate::server::Server;
use crate::{Options, Result};

const ROUND: Duration = Duration::from_millis(1500);
const WARM_UP: Duration = Duration::from_millis(300);

pub(crate) async fn run(options: Options, report: &mut Report) -> Result<()> {
    let server = Server::start(options).await?;
    let mut rivals = Rivals::start(options).await?;
    let connector = plain::connector()?;
    let peer = Peer::builder().spawn().await?;
    peer.connect(server.peer.clone()).await?;
    let series = |who: &str| Series::new(format!("stream: {who}"), "MB/s");
    let mut tcp = series("raw TCP");
    let mut tls = series("plain tokio-rustls");
    let mut theirs: Vec<_> = rivals.all.iter().map(|(kind, _)| series(kind.name())).collect();
    let mut ours = series("compeer");
    for round in 0..=options.rounds {
        let time = if round == 0 { WARM_UP } else { ROUND };
        let mut raw = plain::connect_tcp(server.tcp).await?;
        raw.write_u8(SINK).await?;
        let raw = pour(raw, time).await?;
        let mut plain = plain::connect_tls(&connector, server.tls).await?;
        plain.write_u8(SINK).await?;
        let plain = pour(plain, time).await?;
        let stream = pour(peer.open_stream(server.peer.id, "SINK").await?, time).await?;
        for ((_, rival), series) in rivals.all.iter_mut().zip(&mut theirs) {
            series.push(rival.pour(time).await?);
        }
        if round == 0 {
            theirs.iter_mut().for_each(Series::clear);
        } else {
            tcp.push(raw);
            tls.push(plain);
            ours.push(stream);
        }
    }
    report.line(&tcp, Bar::None);
    report.line(&tls, Bar::None);
    theirs.iter().for_each(|series| report.line(series, Bar::None));
    report.beside(&ours, &tls, Bar::RatioAtLeast(0.9));
    theirs.iter().for_each(|series| report.against(&ours, series, Bar::RatioAtLeast(2.0)));
    peer.shutdown().await;
    server.stop().await;
    Ok(())
}

/// Two streams at once, their sum.
pub(crate) async fn two(options: Options, report: &mut Report) -> Result<()> {
    let server = Server::start(options).await?;
    let connector = plain::connector()?;
    let peer = Peer::builder().spawn().await?;
    peer.connect(server.peer.clone()).await?;
    let mut tls = Series::new("two streams: plain tokio-rustls", "MB/s");
    let mut ours = Series::new("two streams: compeer", "MB/s");
    for round in 0..=options.rounds {
        let time = if round == 0 { WARM_UP } else { ROUND };
        let mut first = plain::connect_tls(&connector, server.tls).await?;
        let mut second = plain::connect_tls(&connector, server.tls).await?;
        first.write_u8(SINK).await?;
        second.write_u8(SINK).await?;
        let (first, second) = tokio::join!(pour(first, time), pour(second, time));
        let plain = first? + second?;
        let first = peer.open_stream(server.peer.id, "SINK").await?;
        let second = peer.open_stream(server.peer.id, "SINK").await?;
        let (first, second) = tokio::join!(pour(first, time), pour(second, time));
        if round > 0 {
            tls.push(plain);
            ours.push(first? + second?);
        }
    }
    report.line(&tls, Bar::None);
    report.beside(&ours, &tls, Bar::None);
    peer.shutdown().await;
    server.stop().await;
    Ok(())
}

/// MB/s.
pub(crate) async fn pour(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    time: Duration,
) -> Result<f64> {
    // A task of its own, as in a program that does other things too.
    let task = tokio::spawn(async move {
        let mut io = io;
        let chunk = vec![7; CHUNK];
        let (started, mut sent) = (Instant::now(), 0u64);
        while started.elapsed() < time {
            io.write_all(&chunk).await?;
            sent += chunk.len() as u64;
        }
        io.shutdown().await?;
        let arrived = io.read_u64().await?;
        let took = started.elapsed();
        if arrived != sent {
            return Err(format!("{sent} bytes were sent and {arrived} arrived").into());
        }
        Ok(sent as f64 / 1e6 / took.as_secs_f64())
    });
    task.await?
}
