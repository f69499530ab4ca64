//! Circuits: a connection with a peer that others carry hop by hop.
//!
//! When the [`Router`](crate::Router) names a next hop that is not the destination, this side
//! asks that neighbour for a circuit ([`ways`]); it asks its own router, and so on, until one is
//! the destination. Each hop is a bulk stream of two neighbours, with frames of
//! [`compeer_proto::circuit`] on it. Inside, the two ends run the handshake of their transport
//! ([`Transport::secure`](crate::transport::Transport::secure)), so that what comes out is a
//! [`Wire`] like any other, with its carriers named in [`Wire::over`]. Who carries ([`carry`])
//! sees who speaks with whom and how much, and can neither read nor change what.
//!
//! A hop is never itself a circuit, and nobody is carried who has not asked: a peer carries for
//! others only with [`Builder::carry`](crate::Builder::carry).

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use compeer_proto::circuit::carrier::{Carrier, Key, Quota, Taken};
use compeer_proto::circuit::{Broken, KIND, Open, Opened, Type, Why};
use compeer_proto::ext::Ext;
use compeer_proto::{PeerAddr, PeerId};
use futures_util::future::BoxFuture;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

use crate::handler::{Access, StreamHandler};
use crate::peer::{Inner, connect};
use crate::router::Hop;
use crate::transport::{Purpose, Side, Wire, tls};
use crate::{ConnectError, Stream, limits, lock};

mod broke;
mod carry;
mod io;
mod ways;

pub use broke::CircuitError;
use io::End;

/// How much a peer carries for others: see [`Builder::carry`](crate::Builder::carry).
#[derive(Clone)]
pub struct Carry {
    /// Circuits at a time. Default: [`CARRIED_CIRCUITS`](limits::CARRIED_CIRCUITS).
    pub circuits: usize,
    /// Circuits at a time that one neighbour has asked for. Default:
    /// [`CARRIED_PER_PEER`](limits::CARRIED_PER_PEER).
    pub per_peer: usize,
    /// What the ends of one may say to each other, both directions together. Unit: bytes.
    /// Default: [`CARRIED_BYTES`](limits::CARRIED_BYTES).
    pub bytes_per_circuit: u64,
    /// How long one may last. Default: [`CARRIED_TIME`](limits::CARRIED_TIME).
    pub time: Duration,
    /// Who looks at what passes. Default: nobody.
    pub tap: Option<Arc<dyn Tap>>,
}

impl Default for Carry {
    fn default() -> Self {
        Carry {
            circuits: limits::CARRIED_CIRCUITS,
            per_peer: limits::CARRIED_PER_PEER,
            bytes_per_circuit: limits::CARRIED_BYTES,
            time: limits::CARRIED_TIME,
            tap: None,
        }
    }
}

/// A circuit that is carried here, in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Carried {
    /// Its name, the same at all who carry it.
    pub circuit: [u8; limits::CIRCUIT_ID_LEN],
    /// The neighbour from whom it comes.
    pub from: PeerId,
    /// The neighbour to whom it goes.
    pub to: PeerId,
    /// Who opened it, as the neighbour says who asked for it.
    pub origin: PeerId,
    /// Who is at its other end.
    pub target: PeerId,
}

/// Looks at what a carrier passes on, to count it, to measure it, to test what becomes of it
/// when it is changed. Any `Fn(&Carried, &mut [u8])` is one.
pub trait Tap: Send + Sync + 'static {
    /// So much is about to be passed on. It must not block.
    fn passes(&self, circuit: &Carried, bytes: &mut [u8]);
}

impl<F: Fn(&Carried, &mut [u8]) + Send + Sync + 'static> Tap for F {
    fn passes(&self, circuit: &Carried, bytes: &mut [u8]) {
        self(circuit, bytes);
    }
}

/// The circuits that come by a peer.
pub(crate) struct Circuits {
    book: Mutex<Carrier>,
    /// Told when somebody is blocked.
    blocks: watch::Sender<()>,
    tap: Option<Arc<dyn Tap>>,
}

impl Circuits {
    pub(crate) fn new(me: PeerId, carry: Option<Carry>) -> Arc<Self> {
        let quota = carry.as_ref().map(|carry| Quota {
            circuits: carry.circuits,
            per_peer: carry.per_peer,
            bytes: carry.bytes_per_circuit,
            time: carry.time,
        });
        let tap = carry.and_then(|carry| carry.tap);
        Arc::new(Circuits { book: Mutex::new(Carrier::new(me, quota)), blocks: watch::Sender::new(()), tap })
    }

    /// Somebody was blocked: what is carried for him or to him ends.
    pub(crate) fn look_for_blocked(&self) {
        self.blocks.send_replace(());
    }
}

/// A place in the book, given back when it goes.
struct Booked(Arc<Circuits>, Key);

impl Drop for Booked {
    fn drop(&mut self) {
        lock(&self.0.book).end(&self.1);
    }
}

/// Serves the streams that are hops, until a program registers something else for their kind.
struct Door(Weak<Inner>);

impl StreamHandler for Door {
    fn call(&self, stream: Stream) -> BoxFuture<'static, ()> {
        let inner = self.0.upgrade();
        Box::pin(async move {
            if let Some(inner) = inner {
                serve(&inner, stream).await;
            }
        })
    }
}

/// Lets others open circuits over this peer or to it.
pub(crate) fn listen(inner: &Arc<Inner>) {
    let door = Arc::new(Door(Arc::downgrade(inner)));
    lock(&inner.stream_handlers).entry(KIND).or_insert((Access::Proven, door));
}

/// A wire to `to` over others, the first of them `first`.
pub(crate) fn dial(
    inner: &Arc<Inner>,
    to: PeerAddr,
    purpose: Purpose,
    first: Option<Hop>,
) -> BoxFuture<'static, Result<Wire, ConnectError>> {
    let inner = inner.clone();
    Box::pin(async move {
        let open = Open {
            circuit: inner.dice.bytes(),
            target: to.id,
            stream: purpose == Purpose::Stream,
            hops: limits::MAX_CIRCUIT_HOPS as u8,
            tries: limits::CIRCUIT_TRIES,
            within: limits::CIRCUIT_TIMEOUT.as_millis() as u32,
            path: Vec::new(),
            ext: Ext::new(),
        };
        let next = match ways::onward(&inner, &open, &to, None, first).await {
            Ok(next) => next,
            Err(Broken { who, why: Why::NoWay }) if who == inner.id => {
                return Err(ConnectError::Unroutable(to.id));
            }
            Err(refused) => return Err(ConnectError::Circuit(CircuitError::refused(refused))),
        };
        inner.tally.circuits_opened.one();
        let carriers = next.carriers;
        let blocked = carriers.iter().copied().find(|carrier| lock(&inner.blocked).contains(carrier));
        if let Some(who) = blocked {
            return Err(CircuitError::refused(Broken { who, why: Why::Blocked }).into());
        }
        let io = End::new(&inner.runtime, next.stream, carriers.clone(), None);
        let side = Side::Calls { expected: to.id, purpose };
        let wire = within_handshake(inner.transport.secure(Box::new(io), side)).await;
        let mut wire = wire.map_err(|error| not_secured(&error, &carriers))?;
        if wire.peer != to.id {
            return Err(CircuitError::ends(carriers, Why::Altered).into());
        }
        wire.over = carriers;
        Ok(wire)
    })
}

async fn within_handshake<T>(secured: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    let in_time = tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, secured).await;
    in_time.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

/// Why the ends could not prove their keys to each other.
fn not_secured(error: &std::io::Error, over: &[PeerId]) -> ConnectError {
    match broken(error, over) {
        Some(broke) => broke.into(),
        None if error.kind() == std::io::ErrorKind::TimedOut => {
            CircuitError::ends(over.to_vec(), Why::Slow).into()
        }
        None => ConnectError::Refused(tls::broken(error)),
    }
}

/// What an error of a wire says about the circuit beneath it, if it goes over others.
pub(crate) fn broken(error: &std::io::Error, over: &[PeerId]) -> Option<CircuitError> {
    if over.is_empty() {
        return None;
    }
    let told = error.get_ref().and_then(|inner| inner.downcast_ref::<CircuitError>());
    let altered = || tls::is_altered(error).then(|| CircuitError::ends(over.to_vec(), Why::Altered));
    told.cloned().or_else(altered)
}

/// A neighbour wants a circuit over this peer, or to it.
async fn serve(inner: &Arc<Inner>, mut stream: Stream) {
    let asked = tokio::time::timeout(limits::CIRCUIT_OPEN_TIMEOUT, read_open(&mut stream)).await;
    // Who says nothing, or nothing that can be read, is told nothing.
    let Ok(Ok(open)) = asked else { return };
    let from = stream.peer_id();
    let blocked = lock(&inner.blocked).clone();
    let taken = lock(&inner.circuits.book).take(from, &open, &blocked, inner.clock.now());
    let refused = match taken {
        Err(why) => Broken { who: inner.id, why },
        Ok(taken) => {
            let booked = Booked(inner.circuits.clone(), (from, open.circuit));
            match taken {
                Taken::Ends => return end_here(inner, stream, &open, booked).await,
                Taken::Carried(until) => match carry::begin(inner, &mut stream, &open).await {
                    Some(Ok(next)) => return carry::run(inner, stream, next, &open, booked, until).await,
                    Some(Err(refused)) => refused,
                    None => return,
                },
            }
        }
    };
    inner.tally.circuits_refused.one();
    tracing::debug!(peer = %from, target = %open.target, why = ?refused.why, "circuit refused");
    let told = async {
        stream.write_all(&refused.encode_refused()).await?;
        stream.shutdown().await
    };
    let _ = tokio::time::timeout(limits::CIRCUIT_LAST_WORDS, told).await;
}

async fn read_open(stream: &mut Stream) -> std::io::Result<Open> {
    match ways::read_frame(stream).await? {
        (Type::Open, body) => Open::decode(&body).map_err(std::io::Error::other),
        _ => Err(std::io::ErrorKind::InvalidData.into()),
    }
}

/// It ends here: the other end proves its key, and is let in like any caller.
async fn end_here(inner: &Arc<Inner>, mut stream: Stream, open: &Open, booked: Booked) {
    let carriers = open.path[1..].to_vec();
    if carriers.is_empty() && !open.stream {
        // A connection that nobody carries is made without a circuit, and has an address.
        return;
    }
    let said = Opened { carriers: carriers.clone(), ext: Ext::new() }.encode();
    let answered = async {
        stream.write_all(&said).await?;
        stream.flush().await
    };
    if !matches!(tokio::time::timeout(limits::CIRCUIT_OPEN_TIMEOUT, answered).await, Ok(Ok(()))) {
        return;
    }
    let household = stream.path().and_then(compeer_proto::Addr::prefix);
    let over: Vec<_> = carriers.into_iter().rev().collect();
    let io = End::new(&inner.runtime, stream, over.clone(), Some(booked));
    match within_handshake(inner.transport.secure(Box::new(io), Side::Called)).await {
        Ok(mut wire) if wire.peer == open.path[0] && (wire.purpose == Purpose::Stream) == open.stream => {
            wire.over = over;
            inner.tally.circuits_accepted.one();
            Box::pin(connect::take_in(inner, wire, household)).await;
        }
        Ok(wire) => tracing::debug!(peer = %wire.peer, "a circuit brought another than it said"),
        Err(error) => {
            inner.tally.handshakes_failed.one();
            tracing::debug!(%error, "handshake over a circuit failed");
        }
    }
}
