//! iroh: one bidirectional QUIC stream; a request is one too, finished, answered
//! and finished; a one-way message is a unidirectional one.
//!
//! A connection for each protocol, as its router has it. Bound to 127.0.0.1 only,
//! without relays, address lookup, port mapping. Windows, MTU and congestion
//! control are its defaults; the limit on streams is raised to what is in flight.
//! Its TLS is by the same library and has the same cipher and key exchange as ours.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use iroh::endpoint::{Connection, QuicTransportConfig, presets};
use iroh::protocol::{AcceptError, ProtocolHandler, Router};
use iroh::{Endpoint, EndpointAddr};
use tokio::io::{AsyncReadExt, join};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Called, MOST_IN_FLIGHT, TOLD};
use crate::idle::Input;
use crate::plain::{self, ECHOED};
use crate::server::LOOPBACK;
use crate::stats::Times;
use crate::streams::pour;
use crate::{Error, Result};

const ECHO: &[u8] = b"bench/echo/1";
const COUNT: &[u8] = b"bench/count/1";
const SINK: &[u8] = b"bench/sink/1";

async fn endpoint() -> Result<Endpoint> {
    let streams = MOST_IN_FLIGHT.into();
    let config = QuicTransportConfig::builder()
        .max_concurrent_bidi_streams(streams)
        .max_concurrent_uni_streams(streams)
        .build();
    Ok(Endpoint::builder(presets::Empty)
        .crypto_provider(plain::provider().into())
        .transport_config(config)
        .clear_ip_transports()
        .bind_addr(SocketAddr::from(LOOPBACK))?
        .bind()
        .await?)
}

pub(super) async fn listen() -> Result<(String, Called)> {
    let endpoint = endpoint().await?;
    let (tell, arrived) = mpsc::unbounded_channel();
    let at = endpoint.bound_sockets().first().copied().ok_or("iroh has no socket")?;
    let address = format!("{}@{at}", endpoint.id());
    let router = Router::builder(endpoint)
        .accept(ECHO, Echo(tell))
        .accept(SINK, Sink)
        .accept(COUNT, Count::default())
        .spawn();
    Ok((address, Called { arrived, _end: Box::new(router) }))
}

fn parse(address: &str) -> Result<EndpointAddr> {
    let (id, at) = address.split_once('@').ok_or("not an address of iroh")?;
    Ok(EndpointAddr::new(id.parse()?).with_ip_addr(at.parse()?))
}

pub(super) async fn call_each(mut addresses: Input) -> Result<()> {
    let endpoint = endpoint().await?;
    let mut open = Vec::new();
    while let Some(line) = addresses.next_line().await? {
        open.push(endpoint.connect(parse(&line)?, ECHO).await?);
    }
    Ok(())
}

/// The calling end.
pub(crate) struct Iroh {
    endpoint: Endpoint,
    to: EndpointAddr,
    echo: Connection,
    /// With how much it has told since the start.
    count: Option<(Connection, u64)>,
}

impl Iroh {
    pub(super) async fn call(address: &str) -> Result<Self> {
        let (endpoint, to) = (endpoint().await?, parse(address)?);
        let echo = endpoint.connect(to.clone(), ECHO).await?;
        Ok(Iroh { endpoint, to, echo, count: None })
    }

    pub(super) async fn pour(&mut self, time: Duration) -> Result<f64> {
        let connection = self.endpoint.connect(self.to.clone(), SINK).await?;
        let (send, recv) = connection.open_bi().await?;
        pour(join(recv, send), time).await
    }

    pub(super) async fn ask(&mut self, in_flight: usize, time: Duration) -> Result<(f64, Times)> {
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..in_flight {
            let echo = self.echo.clone();
            tasks.spawn(async move {
                let mut times = Times::default();
                while started.elapsed() < time {
                    let begun = Instant::now();
                    let reply = request(&echo, &[7; ECHOED]).await?;
                    times.push(begun.elapsed());
                    if reply.len() != ECHOED {
                        return Err(Error::from("the echo is not what was said"));
                    }
                }
                Ok(times)
            });
        }
        let mut all = Times::default();
        while let Some(times) = tasks.join_next().await {
            all.extend(times??);
        }
        Ok((all.count() as f64 / started.elapsed().as_secs_f64(), all))
    }

    pub(super) async fn tell(&mut self, time: Duration) -> Result<(f64, u64)> {
        let (connection, before) = match self.count.take() {
            Some(open) => open,
            None => (self.endpoint.connect(self.to.clone(), COUNT).await?, 0),
        };
        let (started, mut count) = (Instant::now(), 0);
        while started.elapsed() < time {
            let mut send = connection.open_uni().await?;
            send.write_all(&[7; TOLD]).await?;
            send.finish()?;
            count += 1;
        }
        let total = before + count;
        request(&connection, &total.to_be_bytes()).await?;
        let took = started.elapsed();
        self.count = Some((connection, total));
        Ok((count as f64 / took.as_secs_f64(), count))
    }
}

async fn request(connection: &Connection, body: &[u8]) -> Result<Vec<u8>> {
    let (mut send, mut recv) = connection.open_bi().await?;
    send.write_all(body).await?;
    send.finish()?;
    Ok(recv.read_to_end(1024 * 1024).await?)
}

/// Says that somebody has come, then echoes what is said.
#[derive(Debug)]
struct Echo(mpsc::UnboundedSender<()>);

impl ProtocolHandler for Echo {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        let _ = self.0.send(());
        loop {
            let (mut send, mut recv) = connection.accept_bi().await?;
            tokio::spawn(async move {
                let body = recv.read_to_end(1024 * 1024).await?;
                send.write_all(&body).await?;
                send.finish()?;
                Result::<()>::Ok(())
            });
        }
    }
}

/// Reads to the end and says how much it was.
#[derive(Debug)]
struct Sink;

impl ProtocolHandler for Sink {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        let (send, recv) = connection.accept_bi().await?;
        plain::sink(join(recv, send)).await?;
        connection.closed().await;
        Ok(())
    }
}

/// Counts one-way messages; a request is answered when so many have come.
#[derive(Debug, Default)]
struct Count(Arc<AtomicU64>);

impl ProtocolHandler for Count {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        let (counted, asking) = (self.0.clone(), connection.clone());
        tokio::spawn(async move {
            while let Ok((mut send, mut recv)) = asking.accept_bi().await {
                let wanted = recv.read_u64().await?;
                while counted.load(Ordering::Relaxed) < wanted {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                send.finish()?;
            }
            Result::<()>::Ok(())
        });
        loop {
            let mut recv = connection.accept_uni().await?;
            let counted = self.0.clone();
            tokio::spawn(async move {
                if recv.read_to_end(1024 * 1024).await.is_ok_and(|body| body.len() == TOLD) {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    }
}
