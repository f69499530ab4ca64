//! The classic protocol: plaintext requests and replies with programs of the 2007 BTPeer framework.
//!
//! Nobody proves anything here: a caller is an address, and whoever sits on the wire reads and changes
//! all. That is why it is off until a program asks for it ([`Builder::classic`](crate::Builder::classic)), and why its
//! handlers are of a type of their own: a [`classic::Request`](Request) has no sender with a key, so a handler made for proven
//! peers does not compile as one for anybody. Nothing that is registered with
//! [`Peer::handle`](crate::Peer::handle) can be reached this way.
//!
//! A connection carries one request, of a type of four bytes (in upper case on arrival), any number of replies, and
//! further frames if the handler reads them; its end ends the replies. An unknown type, a broken frame or a
//! handler that fails ends it without more. Parts: `listen` (who may call), `wire` (frames on a socket), `request`
//! (the handler's side), `client` (the caller's side).
//!
//! ```
//! use compeer::{Failure, Peer, classic};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! async fn echo(request: classic::Request) -> Result<bytes::Bytes, Failure> {
//!     // `request.remote_addr()` is an address and no more; there is no sender to trust.
//!     Ok(request.body().clone())
//! }
//! let peer = Peer::builder().classic("127.0.0.1:0").handle_classic("ECHO", echo).spawn().await?;
//! let at = peer.classic_addrs()[0];
//!
//! let reply = peer.classic_request(at, "ECHO", "hi").one().await?;
//! assert_eq!((reply.kind.as_bytes(), &reply.body[..]), (&b"REPL"[..], &b"hi"[..]));
//! # peer.shutdown().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use compeer_proto::classic::{KIND_LEN, dispatched, four};
use compeer_proto::{Addr, Kind};
use futures_util::future::BoxFuture;

use crate::error::IntoReply;
use crate::peer::accept::Callers;
use crate::{Failure, Peer, RequestError, limits, lock};

mod client;
mod listen;
mod request;
mod room;
mod wire;

pub use client::{Call, Error, Replies, Reply};
pub use request::Request;

/// What is done with classic requests of one type. Any
/// `Fn(classic::Request) -> impl Future<Output = Result<impl IntoReply, Failure>>` is one.
pub trait Handler: Send + Sync + 'static {
    /// Serves one request. A failure closes the connection; its words stay here, for the protocol has no place for them.
    fn call(&self, request: Request) -> BoxFuture<'static, Result<(), Failure>>;
}

impl<F, Fut, R> Handler for F
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, Failure>> + Send + 'static,
    R: IntoReply + 'static,
{
    fn call(&self, request: Request) -> BoxFuture<'static, Result<(), Failure>> {
        let wire = request.wire();
        let served = self(request);
        Box::pin(async move {
            if let Some(body) = served.await?.into_reply() {
                // A caller that is gone needs no reply.
                let _ = wire.reply(b"REPL", &body).await;
            }
            Ok(())
        })
    }
}

/// The classic side of a peer.
pub(crate) struct Classic {
    handlers: Mutex<BTreeMap<Kind, Arc<dyn Handler>>>,
    addrs: Mutex<Vec<SocketAddr>>,
    callers: Arc<Callers>,
    /// For long requests.
    room: room::Room,
}

impl Default for Classic {
    fn default() -> Self {
        let callers = Callers::new(limits::CLASSIC_CONNECTIONS, 0, limits::CLASSIC_PER_PREFIX);
        Classic {
            handlers: Mutex::default(),
            addrs: Mutex::default(),
            callers: Arc::new(callers),
            room: room::Room::default(),
        }
    }
}

impl Classic {
    /// Registers a handler; whether requests of this kind can arrive at all.
    pub(crate) fn insert(&self, kind: Kind, handler: Arc<dyn Handler>) -> bool {
        let can = kind.as_bytes().len() == KIND_LEN && dispatched(kind) == kind;
        if can {
            lock(&self.handlers).insert(kind, handler);
        }
        can
    }

    /// Those who are served.
    pub(crate) fn callers(&self) -> &Arc<Callers> {
        &self.callers
    }

    fn handler(&self, kind: &Kind) -> Option<Arc<dyn Handler>> {
        lock(&self.handlers).get(kind).cloned()
    }
}

pub(crate) use crate::transport::tls::bind;
pub(crate) use listen::serve;

impl Peer {
    /// Where classic callers are listened for: see [`Builder::classic`](crate::Builder::classic).
    pub fn classic_addrs(&self) -> Vec<SocketAddr> {
        lock(&self.0.classic.addrs).clone()
    }

    /// Registers a handler for classic callers, who prove nothing; it replaces one of the same kind.
    ///
    /// # Errors
    /// [`RequestError::Kind`] for a kind that cannot arrive: one that is not four bytes, or has an ASCII letter in
    /// lower case.
    pub fn handle_classic<K: TryInto<Kind>>(
        &self,
        kind: K,
        handler: impl Handler,
    ) -> Result<(), RequestError> {
        let kind = kind.try_into().map_err(|_| RequestError::Kind)?;
        let can = self.0.classic.insert(kind, Arc::new(handler));
        if can { Ok(()) } else { Err(RequestError::Kind) }
    }

    /// Removes the handler of classic requests of a kind; `false` when there was none.
    pub fn remove_classic_handler<K: TryInto<Kind>>(&self, kind: K) -> bool {
        kind.try_into().is_ok_and(|kind| lock(&self.0.classic.handlers).remove(&kind).is_some())
    }

    /// Asks an old program. Nothing happens until the [`Call`] is used. It is not known who answers, and all of it
    /// can be read on the way.
    ///
    /// A kind shorter than four bytes is padded with NUL, and of a longer one the first four are sent, as old programs do it.
    pub fn classic_request(
        &self,
        at: impl Into<Addr>,
        kind: impl AsRef<[u8]>,
        body: impl Into<Bytes>,
    ) -> Call {
        Call::new(at.into(), four(kind.as_ref()), body.into(), self.0.request_timeout, self.0.clock.clone())
    }
}
