//! libp2p over TCP with Noise and yamux, or over QUIC.
//!
//! Requests are `request-response`: a stream each, written, closed, and read to
//! its end, as its own codecs do. There are no one-way requests in libp2p; a
//! request with an empty reply, as many in flight as of the others, stands for
//! one. The stream is one of `libp2p-stream`. The caller's swarm is driven by the
//! very task that asks, without the channels that a program has in between.
//!
//! Windows are the defaults: yamux tunes them itself up to 1 GiB, QUIC has 10 MB
//! for a stream. Limits on streams are raised to what is in flight.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::request_response::{self, Codec, Event, Message, OutboundRequestId, ProtocolSupport};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, noise, tcp, yamux};
use tokio::sync::mpsc;
use tokio_util::compat::FuturesAsyncReadCompatExt;

use super::{Called, Kind, MOST_IN_FLIGHT, TOLD};
use crate::idle::Input;
use crate::plain::{self, ECHOED};
use crate::stats::Times;
use crate::streams::pour;
use crate::{Error, Result};

const ECHO: StreamProtocol = StreamProtocol::new("/bench/echo/1");
const COUNT: StreamProtocol = StreamProtocol::new("/bench/count/1");
const SINK: StreamProtocol = StreamProtocol::new("/bench/sink/1");

type Asks = request_response::Behaviour<Whole>;
type Asked = Event<Bytes, Bytes>;

#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
pub(crate) struct Node {
    echo: Asks,
    count: Asks,
    streams: libp2p_stream::Behaviour,
}

fn node(kind: Kind) -> Result<Swarm<Node>> {
    let behaviour = |_: &Keypair| {
        let config =
            request_response::Config::default().with_max_concurrent_streams(2 * MOST_IN_FLIGHT as usize);
        Node {
            echo: Asks::new([(ECHO, ProtocolSupport::Full)], config.clone()),
            count: Asks::new([(COUNT, ProtocolSupport::Full)], config),
            streams: libp2p_stream::Behaviour::new(),
        }
    };
    let swarm = |config: libp2p::swarm::Config| {
        config
            .with_idle_connection_timeout(Duration::from_secs(3600))
            .with_max_negotiating_inbound_streams(MOST_IN_FLIGHT as usize)
    };
    let muxer = || {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(2 * MOST_IN_FLIGHT as usize);
        config
    };
    let quic = |mut config: libp2p::quic::Config| {
        config.max_concurrent_stream_limit = MOST_IN_FLIGHT;
        config
    };
    let builder = SwarmBuilder::with_new_identity().with_tokio();
    Ok(if kind == Kind::Libp2pTcp {
        let tcp = builder.with_tcp(tcp::Config::default(), noise::Config::new, muxer)?;
        tcp.with_behaviour(behaviour)?.with_swarm_config(swarm).build()
    } else {
        builder.with_quic_config(quic).with_behaviour(behaviour)?.with_swarm_config(swarm).build()
    })
}

pub(super) async fn listen(kind: Kind) -> Result<(String, Called)> {
    let mut swarm = node(kind)?;
    swarm.listen_on(match kind {
        Kind::Libp2pTcp => "/ip4/127.0.0.1/tcp/0".parse()?,
        _ => "/ip4/127.0.0.1/udp/0/quic-v1".parse()?,
    })?;
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address.with(Protocol::P2p(*swarm.local_peer_id()));
        }
    };
    let mut sinks = swarm.behaviour().streams.new_control().accept(SINK)?;
    tokio::spawn(async move {
        while let Some((_, stream)) = sinks.next().await {
            tokio::spawn(plain::sink(stream.compat()));
        }
    });
    let (tell, arrived) = mpsc::unbounded_channel();
    let serving = tokio::spawn(async move {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::ConnectionEstablished { .. } => drop(tell.send(())),
                SwarmEvent::Behaviour(NodeEvent::Echo(Event::Message {
                    message: Message::Request { request, channel, .. },
                    ..
                })) => drop(swarm.behaviour_mut().echo.send_response(channel, request)),
                SwarmEvent::Behaviour(NodeEvent::Count(Event::Message {
                    message: Message::Request { channel, .. },
                    ..
                })) => drop(swarm.behaviour_mut().count.send_response(channel, Bytes::new())),
                _ => {}
            }
        }
    });
    let end = Box::new(tokio_util::task::AbortOnDropHandle::new(serving));
    Ok((address.to_string(), Called { arrived, _end: end }))
}

/// Dials, and drives the swarm until that has come to something.
async fn dial(swarm: &mut Swarm<Node>, address: &str) -> Result<PeerId> {
    swarm.dial(address.parse::<Multiaddr>()?)?;
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => return Ok(peer_id),
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error.into()),
            _ => {}
        }
    }
}

pub(super) async fn call_each(kind: Kind, mut addresses: Input) -> Result<()> {
    let mut swarm = node(kind)?;
    loop {
        tokio::select! {
            biased;
            line = addresses.next_line() => match line? {
                Some(line) => drop(dial(&mut swarm, &line).await?),
                None => return Ok(()),
            },
            _ = swarm.select_next_some() => {}
        }
    }
}

/// The calling end. Between requests nobody drives the swarm: its connection
/// has a task of its own, which is all that streams need.
pub(crate) struct Libp2p {
    swarm: Swarm<Node>,
    to: PeerId,
}

impl Libp2p {
    pub(super) async fn call(kind: Kind, address: &str) -> Result<Self> {
        let mut swarm = node(kind)?;
        let to = dial(&mut swarm, address).await?;
        Ok(Libp2p { swarm, to })
    }

    pub(super) async fn pour(&mut self, time: Duration) -> Result<f64> {
        let mut control = self.swarm.behaviour().streams.new_control();
        pour(control.open_stream(self.to, SINK).await?.compat(), time).await
    }

    pub(super) async fn ask(&mut self, in_flight: usize, time: Duration) -> Result<(f64, Times)> {
        let (body, started) = (Bytes::from_static(&[7; ECHOED]), Instant::now());
        let times = self.all(|node| &mut node.echo, body, ECHOED, in_flight, time).await?;
        Ok((times.count() as f64 / started.elapsed().as_secs_f64(), times))
    }

    pub(super) async fn tell(&mut self, in_flight: usize, time: Duration) -> Result<(f64, u64)> {
        let (body, started) = (Bytes::from_static(&[7; TOLD]), Instant::now());
        let count = self.all(|node| &mut node.count, body, 0, in_flight, time).await?.count();
        Ok((count as f64 / started.elapsed().as_secs_f64(), count as u64))
    }

    /// Asks for so long, so many at a time.
    async fn all(
        &mut self,
        what: impl Fn(&mut Node) -> &mut Asks,
        body: Bytes,
        reply: usize,
        in_flight: usize,
        time: Duration,
    ) -> Result<Times> {
        let (mut times, started) = (Times::default(), Instant::now());
        let mut waiting = BTreeMap::<OutboundRequestId, Instant>::new();
        loop {
            while waiting.len() < in_flight && started.elapsed() < time {
                let now = Instant::now();
                let id = what(self.swarm.behaviour_mut()).send_request(&self.to, body.clone());
                waiting.insert(id, now);
            }
            if waiting.is_empty() {
                return Ok(times);
            }
            match self.swarm.select_next_some().await {
                SwarmEvent::Behaviour(NodeEvent::Echo(event) | NodeEvent::Count(event)) => {
                    let (id, response) = answer(event)?;
                    times.push(waiting.remove(&id).ok_or("an answer to no request")?.elapsed());
                    if response.len() != reply {
                        return Err("the echo is not what was said".into());
                    }
                }
                SwarmEvent::ConnectionClosed { .. } => return Err("libp2p has lost its connection".into()),
                _ => {}
            }
        }
    }
}

fn answer(event: Asked) -> Result<(OutboundRequestId, Bytes)> {
    match event {
        Event::Message { message: Message::Response { request_id, response }, .. } => {
            Ok((request_id, response))
        }
        Event::OutboundFailure { error, .. } => Err(error.into()),
        _ => Err(Error::from("libp2p was asked something")),
    }
}

/// A message is all that comes until the stream ends.
#[derive(Clone, Default)]
pub(crate) struct Whole;

async fn read(io: &mut (impl AsyncRead + Unpin + Send)) -> io::Result<Bytes> {
    let mut body = Vec::with_capacity(2 * TOLD);
    io.take(1024 * 1024).read_to_end(&mut body).await?;
    Ok(body.into())
}

impl Codec for Whole {
    type Protocol = StreamProtocol;
    type Request = Bytes;
    type Response = Bytes;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Bytes>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Bytes>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, body: Bytes) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&body).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, body: Bytes) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&body).await
    }
}
