//! A 64-byte echo, one at a time: raw TCP, plain TLS, rivals, a Compeer request.
//!
//! Rivals ask for a second a round, the others a number of times.

use std::time::{Duration, Instant};

use bytes::Bytes;
use compeer::{Peer, PeerId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::plain::{self, ECHO, ECHOED};
use crate::report::{Bar, Report, Series};
use crate::rivals::Rivals;
use crate::server::Server;
use crate::stats::Times;
use crate::{Options, Result};

const ROUND: usize = 20_000;
const WARM_UP: usize = 2_000;
const RIVALS: Duration = Duration::from_secs(1);
const RIVALS_WARM_UP: Duration = Duration::from_millis(200);

pub(crate) async fn run(options: Options, report: &mut Report) -> Result<()> {
    let server = Server::start(options).await?;
    let mut rivals = Rivals::start(options).await?;
    let connector = plain::connector()?;
    let mut raw = plain::connect_tcp(server.tcp).await?;
    raw.write_u8(ECHO).await?;
    let mut tls = plain::connect_tls(&connector, server.tls).await?;
    tls.write_u8(ECHO).await?;
    let peer = Peer::builder().spawn().await?;
    peer.connect(server.peer.clone()).await?;
    let series = |what: &str| {
        ["", ", p99"].map(|of| Series::new(format!("request 64 B, one at a time{of}: {what}"), "µs"))
    };
    let mut figures = [series("raw TCP"), series("tokio-rustls"), series("compeer")];
    let mut theirs: Vec<_> = rivals.all.iter().map(|(kind, _)| series(kind.name())).collect();
    for round in 0..=options.rounds {
        let count = if round == 0 { WARM_UP } else { ROUND };
        let times = [
            echo(&mut raw, count).await?,
            echo(&mut tls, count).await?,
            ask(&peer, server.peer.id, count).await?,
        ];
        if round > 0 {
            for ([median, p99], mut times) in figures.iter_mut().zip(times) {
                median.push(times.percentile(50.0));
                p99.push(times.percentile(99.0));
            }
        }
        for ((_, rival), [median, p99]) in rivals.all.iter_mut().zip(&mut theirs) {
            let (_, mut times) = rival.ask(1, if round == 0 { RIVALS_WARM_UP } else { RIVALS }).await?;
            if round > 0 {
                median.push(times.percentile(50.0));
                p99.push(times.percentile(99.0));
            }
        }
    }
    let [raw, tls, ours] = &figures;
    raw.iter().chain(tls).for_each(|series| report.line(series, Bar::None));
    theirs.iter().flatten().for_each(|series| report.line(series, Bar::None));
    report.beside(&ours[0], &tls[0], Bar::RatioAtMost(1.5));
    report.beside(&ours[1], &tls[1], Bar::None);
    theirs.iter().for_each(|[median, _]| report.against(&ours[0], median, Bar::RatioAtMost(1.0)));
    peer.shutdown().await;
    server.stop().await;
    Ok(())
}

async fn echo(io: &mut (impl AsyncRead + AsyncWrite + Unpin), count: usize) -> Result<Times> {
    let mut times = Times::default();
    let mut message = [7; ECHOED];
    for _ in 0..count {
        let started = Instant::now();
        io.write_all(&message).await?;
        io.flush().await?;
        io.read_exact(&mut message).await?;
        times.push(started.elapsed());
    }
    Ok(times)
}

async fn ask(peer: &Peer, to: PeerId, count: usize) -> Result<Times> {
    let mut times = Times::default();
    let body = Bytes::from_static(&[7; ECHOED]);
    for _ in 0..count {
        times.push(ask_once(peer, to, &body).await?);
    }
    Ok(times)
}

/// One echo; how long it took.
pub(crate) async fn ask_once(peer: &Peer, to: PeerId, body: &Bytes) -> Result<Duration> {
    let started = Instant::now();
    let reply = peer.request(to, "ECHO", body.clone()).one().await?;
    let took = started.elapsed();
    if reply.body.len() != body.len() {
        return Err("the echo is not what was said".into());
    }
    Ok(took)
}
