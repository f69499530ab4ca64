//! Errors, one type per operation, sorted by who can do something about them.
//!
//! Messages say what happened and, where there is something to do, what to do
//! next. [`ConnectError`] is about reaching a peer, [`RequestError`] about what
//! became of a request, [`SpawnError`] about starting a peer, [`ReplyError`]
//! and [`Failure`] are a handler's. All can be cloned: several callers may wait
//! for one connection.

use std::fmt;

use bytes::Bytes;
use compeer_proto::session::{Outcome, SendError};
use compeer_proto::{Addr, PeerId};

use crate::circuit::CircuitError;

/// Why a peer could not be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No address is known for it.
    #[error("no address is known for {0}: give its ticket or host")]
    NoAddress(PeerId),
    /// The router knows no way.
    #[error("no route to {0}: the router knows no next hop")]
    Unroutable(PeerId),
    /// Others were to carry the connection, and it did not come about.
    #[error("{0}")]
    Circuit(CircuitError),
    /// Nobody answered at any address; each with its reason.
    #[error("unreachable: {}", Tried(.0))]
    Unreachable(Vec<(Addr, String)>),
    /// Another key than the expected one answered.
    #[error("{addr} has another key: expected {expected}, it proved {proven}")]
    WrongKey {
        /// Where.
        addr: Addr,
        /// Whom we wanted.
        expected: PeerId,
        /// Who answered.
        proven: PeerId,
    },
    /// That peer is blocked here.
    #[error("{0} is blocked here; unblock it first")]
    Blocked(PeerId),
    /// The other side turned us away.
    #[error("the peer refused the connection: {0}")]
    Refused(String),
    /// That address is this very peer.
    #[error("that is this peer itself")]
    Oneself,
    /// Our own key answered from elsewhere.
    #[error("{0} answers with this peer's own key: the key runs in two places")]
    KeyRunsTwice(Addr),
    /// It did not come about in time, or had no room for what was to be sent.
    #[error("no connection in time")]
    TimedOut,
    /// This peer is shutting down.
    #[error("this peer is shutting down")]
    Shutdown,
}

struct Tried<'a>(&'a [(Addr, String)]);

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (addr, why)) in self.0.iter().enumerate() {
            write!(f, "{}{addr} ({why})", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// What became of a request that did not end well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Nobody handles that kind there.
    #[error("the peer has no handler for this kind")]
    NoHandler,
    /// The handler failed, in its words.
    #[error("the handler failed: {0}")]
    HandlerFailed(String),
    /// The peer has too much to do now; try later.
    #[error("the peer is busy; try again later")]
    Busy,
    /// The body is too large; use a stream.
    #[error("the body is too large for a message (1 MiB); use a stream")]
    TooLarge,
    /// We may not ask that there.
    #[error("the peer does not let us ask that")]
    Denied,
    /// The router knows no way there.
    #[error("no route to {0}: the router knows no next hop")]
    Unroutable(PeerId),
    /// The peer could not be reached, in time or at all, or had no place for one
    /// more request in time; the request did not run.
    #[error(transparent)]
    Unreachable(ConnectError),
    /// The deadline passed after the request had left; it may have run.
    #[error("no answer in time")]
    TimedOut,
    /// It was given up before it was done, by the caller or by the handler
    /// ([`Failure::cancelled`]); it may have run in part.
    #[error("cancelled before it was done")]
    Cancelled,
    /// The connection broke half-way: the request may or may not have run.
    #[error("the connection broke half-way; the request may have run")]
    Disconnected,
    /// Others carried the connection and lost it, or changed what was said: as
    /// [`Disconnected`](Self::Disconnected), with where.
    #[error("{0}; the request may have run")]
    CircuitBroke(CircuitError),
    /// A kind must be 1 to 64 bytes.
    #[error("a kind is 1 to 64 bytes")]
    Kind,
    /// No reply came where one was needed.
    #[error("the handler gave no reply")]
    NoReply,
    /// A typed body could not be written or read, in the codec's words.
    #[error("the body is not of the expected type: {0}")]
    Body(String),
}

impl From<CircuitError> for ConnectError {
    fn from(error: CircuitError) -> Self {
        ConnectError::Circuit(error)
    }
}

impl From<ConnectError> for RequestError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Unroutable(to) => RequestError::Unroutable(to),
            other => RequestError::Unreachable(other),
        }
    }
}

impl RequestError {
    /// From how the peer ended it; `None` when it ended well.
    pub(crate) fn from_outcome(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Done => None,
            Outcome::NoHandler => Some(RequestError::NoHandler),
            Outcome::Busy => Some(RequestError::Busy),
            Outcome::TooLarge => Some(RequestError::TooLarge),
            Outcome::Denied => Some(RequestError::Denied),
            Outcome::TimedOut => Some(RequestError::TimedOut),
            Outcome::Cancelled => Some(RequestError::Cancelled),
            Outcome::Failed(text) => Some(RequestError::HandlerFailed(text)),
            _ => Some(RequestError::HandlerFailed(String::new())),
        }
    }

    pub(crate) fn from_send(error: SendError) -> Self {
        match error {
            SendError::TooLarge { .. } => RequestError::TooLarge,
            SendError::Over => RequestError::Cancelled,
            _ => RequestError::Disconnected,
        }
    }
}

/// Why a peer could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// An address to listen on is not to be had.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// The address.
        addr: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A text to listen on is no IP address and port.
    #[error(
        "cannot listen on {0:?}: give an IP address and a port, such as 0.0.0.0:26673 (port 0: any free one)"
    )]
    Address(String),
    /// A kind given to the builder is not 1 to 64 bytes.
    #[error("a kind is 1 to 64 bytes")]
    Kind,
    /// A kind of a classic handler cannot arrive.
    #[error("a kind of the classic protocol is four bytes, with letters in upper case")]
    ClassicKind,
    /// The nickname is empty or longer than 64 bytes.
    #[error("a name is 1 to 64 bytes")]
    Name,
    /// The TLS library refused our key or set-up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The system gives no randomness.
    #[error("the system gives no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
}

/// Why a reply could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// The caller is gone or wants no more; stop work.
    #[error("the caller is gone")]
    Gone,
    /// The body is beyond what the caller takes: 1 MiB, for a classic caller 64 MiB.
    #[error("the body is too large for a message (1 MiB); use a stream")]
    TooLarge,
    /// A kind must be 1 to 64 bytes.
    #[error("a kind is 1 to 64 bytes")]
    Kind,
}

/// How a handler fails: the words go to the caller.
///
/// Any error turns into one with `?`; [`Failure::denied`], [`Failure::busy`] and
/// [`Failure::cancelled`] are told apart by the caller.
///
/// ```
/// use compeer::Failure;
///
/// fn parse(body: &[u8]) -> Result<u32, Failure> {
///     Ok(std::str::from_utf8(body)?.parse()?)
/// }
/// assert!(parse(b"x").is_err());
/// ```
#[derive(Clone, Debug)]
pub struct Failure(pub(crate) Outcome);

impl Failure {
    /// A failure in these words.
    pub fn new(text: impl fmt::Display) -> Self {
        Failure(Outcome::Failed(text.to_string()))
    }

    /// This caller may not ask that.
    pub fn denied() -> Self {
        Failure(Outcome::Denied)
    }

    /// Too much to do now; nothing was done.
    pub fn busy() -> Self {
        Failure(Outcome::Busy)
    }

    /// The work was given up before it was done, and may be asked of somebody
    /// else. Part of it may have run; if nothing has, say [`Failure::busy`].
    ///
    /// ```
    /// use compeer::{Failure, Peer, Request, RequestError};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// async fn build(_: Request) -> Result<(), Failure> {
    ///     Err(Failure::cancelled())
    /// }
    /// let peer = Peer::builder().handle("BUILD", build).spawn().await?;
    /// let error = peer.request(peer.id(), "BUILD", "").one().await.unwrap_err();
    /// assert_eq!(error, RequestError::Cancelled);
    /// # peer.shutdown().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn cancelled() -> Self {
        Failure(Outcome::Cancelled)
    }

    /// Whether it is [`busy`](Self::busy): nothing was done, and it may be tried again.
    pub fn is_busy(&self) -> bool {
        self.0 == Outcome::Busy
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::new(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Outcome::Failed(text) => f.write_str(text),
            other => write!(f, "{other:?}"),
        }
    }
}

/// What a handler may return as its one reply: nothing, or bytes.
pub trait IntoReply: Send {
    /// The body of the reply, if there is to be one.
    fn into_reply(self) -> Option<Bytes>;
}

impl IntoReply for () {
    fn into_reply(self) -> Option<Bytes> {
        None
    }
}

macro_rules! bytes_reply {
    ($($t:ty),*) => {$(
        impl IntoReply for $t {
            fn into_reply(self) -> Option<Bytes> {
                Some(self.into())
            }
        }
    )*};
}

bytes_reply!(Bytes, String, Vec<u8>, &'static str, &'static [u8]);

impl<T: IntoReply> IntoReply for Option<T> {
    fn into_reply(self) -> Option<Bytes> {
        self.and_then(IntoReply::into_reply)
    }
}
