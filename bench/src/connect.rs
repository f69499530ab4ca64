//! A new connection with its first answer: the handshake in full, and resumed.
//!
//! Full: a caller that has no ticket. Resumed: the same caller again. Making
//! the caller itself (keys, configuration) is not counted, closing neither.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use compeer::{Peer, PeerAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use crate::plain::{self, ECHO, ECHOED};
use crate::report::{Bar, Report, Series};
use crate::server::Server;
use crate::stats::Times;
use crate::{Options, Result};

const ROUND: usize = 50;

pub(crate) async fn run(options: Options, report: &mut Report) -> Result<()> {
    let server = Server::start(options).await?;
    let series = |what: &str| {
        ["in full", "resumed"].map(|how| Series::new(format!("connect and one request, {how}: {what}"), "µs"))
    };
    let mut figures = [series("tokio-rustls"), series("compeer")];
    for round in 0..=options.rounds {
        let mut times = [(); 2].map(|()| [(); 2].map(|()| Times::default()));
        for _ in 0..ROUND {
            let connector = plain::connector()?;
            let peer = Peer::builder().spawn().await?;
            let [tls, compeer] = &mut times;
            for (tls, compeer) in tls.iter_mut().zip(compeer) {
                tls.push(plain_tls(&connector, server.tls).await?);
                compeer.push(ours(&peer, &server.peer).await?);
            }
            peer.shutdown().await;
        }
        if round > 0 {
            for (figures, times) in figures.iter_mut().zip(times) {
                for (figure, mut times) in figures.iter_mut().zip(times) {
                    figure.push(times.percentile(50.0));
                }
            }
        }
    }
    let [tls, ours] = &figures;
    tls.iter().for_each(|series| report.line(series, Bar::None));
    ours.iter().zip(tls).for_each(|(series, tls)| report.beside(series, tls, Bar::None));
    server.stop().await;
    Ok(())
}

async fn plain_tls(connector: &TlsConnector, addr: SocketAddr) -> Result<std::time::Duration> {
    let mut message = [7; ECHOED];
    let started = Instant::now();
    let mut tls = plain::connect_tls(connector, addr).await?;
    tls.write_all(&[ECHO]).await?;
    tls.write_all(&message).await?;
    tls.flush().await?;
    tls.read_exact(&mut message).await?;
    let took = started.elapsed();
    tls.shutdown().await?;
    Ok(took)
}

async fn ours(peer: &Peer, to: &PeerAddr) -> Result<std::time::Duration> {
    let body = Bytes::from_static(&[7; ECHOED]);
    let started = Instant::now();
    peer.request(to.clone(), "ECHO", body).one().await?;
    let took = started.elapsed();
    let connection = peer.connect(to.clone()).await?;
    connection.close("");
    connection.closed().await;
    Ok(took)
}
