//! Transports: how a connection with a proven peer comes about.
//!
//! What sits above sees only [`Wire`]: an ordered byte stream with a peer whose
//! key was proven, and a channel binding. [`tls`] is the real one (TLS 1.3 with
//! raw public keys over TCP), [`memory`] is a network inside the process, with
//! seeded latency and faults, for tests and simulation. Over a circuit
//! ([`Carry`](crate::Carry)) each runs its handshake too. A transport does not
//! decide who may connect, how many, or which of two connections stays: the peer does.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;

use compeer_proto::{Addr, PeerId};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::ConnectError;

pub mod memory;
pub mod tls;

/// An ordered byte stream.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// What a wire is for; the two never mix on one wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The message connection of a pair of peers.
    Messages,
    /// One bulk stream beside it.
    Stream,
}

/// A byte stream with a proven peer at its other end.
pub struct Wire {
    /// The bytes.
    pub io: Box<dyn ByteStream>,
    /// Who proved to be at the other end.
    pub peer: PeerId,
    /// Where the other end is; `None` for a stream that was handed in, and over others.
    pub addr: Option<Addr>,
    /// Who carries it, the neighbour first, as they say; empty when nobody does.
    pub over: Vec<PeerId>,
    /// 32 bytes that only the two ends know and that differ for every wire
    /// (RFC 9266 §2, in spirit).
    pub binding: [u8; 32],
    /// Names the wire between its ends.
    pub session: [u8; 16],
    /// The proof of the key comes from an earlier handshake that was resumed.
    pub resumed: bool,
    /// What it is for.
    pub purpose: Purpose,
}

impl Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("peer", &self.peer).field("addr", &self.addr).finish_non_exhaustive()
    }
}

/// Someone has called; the handshake is still to be done.
pub struct Incoming {
    /// Where from.
    pub from: SocketAddr,
    /// The handshake.
    pub handshake: BoxFuture<'static, Result<Wire, ConnectError>>,
}

/// A place where others can call.
pub trait Listener: Send {
    /// Where it is.
    fn local_addr(&self) -> SocketAddr;

    /// The next caller. An error is passing (no descriptors left, say): the
    /// caller waits a little and asks again.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Incoming>>;
}

/// Which side of a handshake this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that calls.
    Calls {
        /// Who has to answer.
        expected: PeerId,
        /// What for.
        purpose: Purpose,
    },
    /// The one that is called.
    Called,
}

/// A way to open connections.
pub trait Transport: Send + Sync + 'static {
    /// Calls `addr`. When `expected` is known, another key is
    /// [`ConnectError::WrongKey`].
    fn dial(
        &self,
        addr: Addr,
        expected: Option<PeerId>,
        purpose: Purpose,
    ) -> BoxFuture<'static, Result<Wire, ConnectError>>;

    /// Listens on `addr`; port 0 is any free one.
    ///
    /// # Errors
    /// The address is not to be had.
    fn listen(&self, addr: SocketAddr) -> io::Result<Box<dyn Listener>>;

    /// Runs the handshake over a byte stream that others carry, who may read and change
    /// what they will: what comes out is proof against both, as far as this transport is at all.
    /// Default: an error, there are no circuits over this transport.
    ///
    /// The error of `io` is passed on as it is: it says where a circuit broke.
    fn secure(&self, io: Box<dyn ByteStream>, side: Side) -> BoxFuture<'static, io::Result<Wire>> {
        drop((io, side));
        let error = io::Error::new(io::ErrorKind::Unsupported, "this transport runs over nothing else");
        Box::pin(std::future::ready(Err(error)))
    }
}

/// Compares the proven key with the expected one.
pub(crate) fn check_key(addr: &Addr, expected: Option<PeerId>, proven: PeerId) -> Result<(), ConnectError> {
    match expected {
        Some(expected) if expected != proven => {
            Err(ConnectError::WrongKey { addr: addr.clone(), expected, proven })
        }
        _ => Ok(()),
    }
}

/// One address that did not work.
pub(crate) fn unreachable(addr: &Addr, why: impl ToString) -> ConnectError {
    ConnectError::Unreachable(vec![(addr.clone(), why.to_string())])
}
