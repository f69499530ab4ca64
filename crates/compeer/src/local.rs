//! Local links: the session protocol between two programs of one person.
//!
//! A program that is a peer serves a local byte stream (a Unix socket, say)
//! with a registry of its own, so that other commands on the machine can steer
//! it: same requests, replies, cancellation and limits as between peers, but no
//! encryption and no keys. Who may open that byte stream is the operating
//! system's affair. What is registered here is out of reach of other peers, and
//! the peer's own handlers are out of reach from here.
//!
//! ```
//! use compeer::{Failure, Peer, Request};
//! use compeer::local::{Client, Handlers};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! async fn id(request: Request) -> Result<String, Failure> {
//!     Ok(request.peer().id().to_string())
//! }
//! let peer = Peer::builder().spawn().await?;
//! let (near, far) = tokio::io::duplex(64 * 1024);
//! let handlers = Handlers::new().handle("id", id);
//! tokio::spawn({ let peer = peer.clone(); async move { peer.serve_local(far, &handlers).await } });
//!
//! let client = Client::connect(near).await?;
//! let reply = client.request("id", "").one().await?;
//! assert_eq!(reply.body, peer.id().to_string().into_bytes());
//! # peer.shutdown().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

use std::sync::Arc;

use bytes::Bytes;
use compeer_proto::frame::Hello;
use compeer_proto::session::{Config, GoodbyeReason, Outcome, Role, Session};
use compeer_proto::{Kind, PeerId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::call::{self, Call, Way};
use crate::handler::{Access, Handler, Registry};
use crate::link::driver::{Host, drive};
use crate::link::{Decided, Link};
use crate::peer::local_message;
use crate::transport::{ByteStream, Purpose, Wire};
use crate::{Clock, ConnectError, Identity, Peer, RequestError, limits};

/// Handlers that only local links reach. Clones share them.
#[derive(Clone, Default)]
pub struct Handlers(Registry);

impl Handlers {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    ///
    /// # Panics
    /// When `kind` is not 1–64 bytes: these kinds are the program's own.
    #[must_use]
    pub fn handle(self, kind: &'static str, handler: impl Handler) -> Self {
        self.0.insert(Kind::from_static(kind), Access::Proven, Arc::new(handler));
        self
    }
}

struct LocalHost {
    registry: Registry,
    peer: Option<Peer>,
}

impl Host for LocalHost {
    fn handler(&self, _: &Arc<Link>, kind: &Kind) -> Result<(Arc<dyn Handler>, Peer), Outcome> {
        let registered = self.registry.get(kind).ok_or(Outcome::NoHandler)?;
        let peer = self.peer.clone().ok_or(Outcome::NoHandler)?;
        Ok((registered.handler, peer))
    }

    fn on_hello(&self, link: &Arc<Link>, _: Hello) {
        link.decided.send_replace(Some(Decided::Stays));
    }

    fn down(&self) -> Option<watch::Receiver<bool>> {
        self.peer.as_ref()?.host().down()
    }

    fn on_panic(&self, link: &Arc<Link>, kind: Kind, text: String) {
        if let Some(peer) = &self.peer {
            peer.host().on_panic(link, kind, text);
        }
    }
}

impl Peer {
    /// Serves a local byte stream with `handlers` until it ends. The sender
    /// that handlers see is this peer itself.
    pub async fn serve_local(&self, io: impl ByteStream + 'static, handlers: &Handlers) {
        let host = LocalHost { registry: handlers.0.clone(), peer: Some(self.clone()) };
        let link = run(Box::new(io), self.id(), Role::Acceptor, self.clock().clone(), Arc::new(host));
        let mut closed = link.closed();
        let mut down = self.0.down.subscribe();
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => return,
            _ = down.wait_for(|down| *down) => link.goodbye(GoodbyeReason::Shutdown, ""),
        }
        let _ = closed.wait_for(|closed| *closed).await;
    }
}

/// The other end of a local link. Clones share it; it closes with the last of
/// them and of their [`Call`]s and [`Replies`](crate::Replies).
#[derive(Clone)]
pub struct Client(Arc<Closing>);

/// Says goodbye when the last who holds it is gone.
pub(crate) struct Closing(pub(crate) Arc<Link>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.goodbye(GoodbyeReason::Shutdown, "");
    }
}

impl Client {
    /// Introduces itself on a local byte stream.
    ///
    /// # Errors
    /// [`ConnectError`] when nobody, or something else, is at the other end.
    pub async fn connect(io: impl ByteStream + 'static) -> Result<Self, ConnectError> {
        let host = Arc::new(LocalHost { registry: Registry::default(), peer: None });
        // Nobody checks it; a session needs some id for its other end.
        let nobody = Identity::from_seed(&[0; 32]).peer_id();
        let link = run(Box::new(io), nobody, Role::Dialer, Clock::system(), host);
        let (mut decided, mut closed) = (link.decided.subscribe(), link.closed());
        tokio::select! {
            biased;
            _ = decided.wait_for(Option::is_some) => {}
            _ = closed.wait_for(|closed| *closed) => {
                let why = link.over().map_or_else(String::new, |over| over.words());
                return Err(ConnectError::Refused(why));
            }
            () = tokio::time::sleep(limits::HANDSHAKE_TIMEOUT) => return Err(ConnectError::TimedOut),
        }
        Ok(Client(Arc::new(Closing(link))))
    }

    /// Asks; see [`Peer::request`]. There is no time-out unless one is set.
    pub fn request<K: TryInto<Kind>>(&self, kind: K, body: impl Into<Bytes>) -> Call {
        let way = Way::Local(self.0.clone());
        Call::new(way, self.0.0.clock.clone(), local_message(kind, body), limits::REQUEST_TIMEOUT)
            .no_timeout()
    }

    /// Tells, wanting no reply; see [`Peer::notify`].
    ///
    /// # Errors
    /// [`RequestError`] when it could not be sent.
    pub async fn notify<K: TryInto<Kind>>(
        &self,
        kind: K,
        body: impl Into<Bytes>,
    ) -> Result<(), RequestError> {
        call::notify(Way::Local(self.0.clone()), local_message(kind, body)).await
    }

    /// Asks with a value and reads the first reply as one, both in JSON.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn request_as<T: DeserializeOwned>(
        &self,
        kind: impl TryInto<Kind>,
        body: &(impl Serialize + ?Sized),
    ) -> Result<T, RequestError> {
        let body = serde_json::to_vec(body).map_err(|e| RequestError::Body(e.to_string()))?;
        let reply = self.request(kind, body).one().await?;
        serde_json::from_slice(&reply.body).map_err(|e| RequestError::Body(e.to_string()))
    }

    /// Waits until the other end is gone; gives the reason, for a person.
    pub async fn closed(&self) -> String {
        let link = &self.0.0;
        let _ = link.closed().wait_for(|closed| *closed).await;
        link.over().map_or_else(String::new, |over| over.words())
    }
}

fn run(io: Box<dyn ByteStream>, other: PeerId, role: Role, clock: Clock, host: Arc<dyn Host>) -> Arc<Link> {
    let wire = Wire {
        io,
        peer: other,
        addr: None,
        over: Vec::new(),
        binding: [0; 32],
        session: [0; 16],
        resumed: false,
        purpose: Purpose::Messages,
    };
    let hello = Hello { agent: concat!("compeer/", env!("CARGO_PKG_VERSION")).into(), ..Hello::default() };
    let session = Session::new(Config::new(role, hello), clock.now());
    let link = Arc::new(Link::new(0, wire, role == Role::Dialer, session, clock, Arc::default()));
    tokio::spawn(drive(link.clone(), host));
    link
}
