//! The peer: the handle through which a program takes part.
//!
//! A [`Peer`] is cheap to clone; all clones are the same peer. It is made by
//! [`Peer::builder`], runs on the tokio runtime it was spawned on (others may use
//! it too), and stops with [`Peer::shutdown`]: dropping handles stops nothing.
//! What it is made of: `builder` (how it starts), `inner` (what its tasks share),
//! `connect` (how a connection comes about), `connection` (what a program sees of
//! one), `accept` (who may call), `keep` (who is called again).

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use compeer_proto::session::{GoodbyeReason, Message};
use compeer_proto::{Addr, Kind, PeerAddr, PeerId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::{self, Call, Way};
use crate::event::Events;
use crate::handler::{Access, Handler, StreamHandler};
use crate::transport::{ByteStream, Purpose};
use crate::{ConnectError, Event, RequestError, SpawnError, Stream, Table, limits, lock};

pub(crate) mod accept;
mod builder;
pub(crate) mod connect;
mod connection;
mod inner;
mod keep;

pub use builder::{Builder, ListenAddr};
pub use connection::{Connection, ConnectionInfo};
pub(crate) use inner::{IN_PASSING, Inner};

/// A running peer.
///
/// ```
/// use compeer::{Failure, Peer, Request};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// async fn echo(request: Request) -> Result<bytes::Bytes, Failure> {
///     Ok(request.body().clone())
/// }
/// let alice = Peer::builder().listen("127.0.0.1:0").handle("ECHO", echo).spawn().await?;
/// let bob = Peer::builder().spawn().await?;
///
/// let reply = bob.request(alice.addr(), "ECHO", "hi").one().await?;
/// assert_eq!(&reply.body[..], b"hi");
/// # alice.shutdown().await;
/// # bob.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Peer(pub(crate) Arc<Inner>);

/// Whom to connect to: a known peer, or whoever answers at an address.
#[derive(Clone, Debug)]
pub enum Target {
    /// A peer; its key is checked.
    Peer(PeerAddr),
    /// An address; whose key answers is learnt.
    Addr(Addr),
}

impl From<PeerId> for Target {
    fn from(id: PeerId) -> Self {
        Target::Peer(id.into())
    }
}

impl From<PeerAddr> for Target {
    fn from(peer: PeerAddr) -> Self {
        Target::Peer(peer)
    }
}

impl From<Addr> for Target {
    fn from(addr: Addr) -> Self {
        Target::Addr(addr)
    }
}

impl From<SocketAddr> for Target {
    fn from(addr: SocketAddr) -> Self {
        Target::Addr(Addr::from(addr))
    }
}

impl Peer {
    /// How a peer begins.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Its id.
    pub fn id(&self) -> PeerId {
        self.0.id
    }

    /// The nickname it tells others.
    pub fn name(&self) -> Option<String> {
        self.0.hello.name().map(str::to_owned)
    }

    /// Its id and where others can reach it now: what was set with
    /// [`Builder::advertise`], else the addresses of this machine's interfaces.
    /// Bound to loopback alone, it gives that.
    pub fn addr(&self) -> PeerAddr {
        PeerAddr::new(self.0.id, self.0.own_addrs())
    }

    /// Where its sockets listen.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        lock(&self.0.local_addrs).clone()
    }

    /// Listens on further addresses from now on; gives where, with the ports that
    /// the system chose. Connections that are there already do not tell the other
    /// side.
    ///
    /// # Errors
    /// [`SpawnError::Listen`] when one of them is not to be had, and then none is
    /// listened on; [`SpawnError::Address`] for a text that is none.
    ///
    /// ```
    /// # use compeer::Peer;
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let alice = Peer::builder().spawn().await?; // can call, not be called
    /// let at = alice.listen("127.0.0.1:0")?;
    /// let bob = Peer::builder().spawn().await?;
    /// assert_eq!(bob.connect(at[0]).await?.peer_id(), alice.id());
    /// # alice.shutdown().await;
    /// # bob.shutdown().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn listen(&self, addr: impl Into<ListenAddr>) -> Result<Vec<SocketAddr>, SpawnError> {
        // A transport may open its sockets for the runtime of the peer only.
        let _runtime = self.0.runtime.enter();
        let listeners = addr.into().open(&*self.0.transport)?;
        let at = listeners.iter().map(|listener| listener.local_addr()).collect();
        accept::listen(&self.0, listeners);
        Ok(at)
    }

    /// Asks `to`. Nothing happens until the [`Call`] is awaited.
    ///
    /// `to` is a [`PeerId`] that is connected, in the table, kept or known to
    /// the router, or a [`PeerAddr`]. `kind` is 1–64 bytes, matched exactly.
    pub fn request<K: TryInto<Kind>>(
        &self,
        to: impl Into<PeerAddr>,
        kind: K,
        body: impl Into<Bytes>,
    ) -> Call {
        let message = message(kind, body);
        Call::new(self.way(to.into()), self.0.clock.clone(), message, self.0.request_timeout)
    }

    /// Asks `to` with a value and reads the first reply as one, both in JSON.
    ///
    /// # Errors
    /// [`RequestError`]; [`RequestError::Body`] when a value does not fit.
    ///
    /// ```
    /// use compeer::{Failure, Peer, Request};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// async fn sum(request: Request) -> Result<String, Failure> {
    ///     let numbers: Vec<i64> = request.parse()?;
    ///     Ok(numbers.iter().sum::<i64>().to_string())
    /// }
    /// let peer = Peer::builder().handle("SUM", sum).spawn().await?;
    /// let six: i64 = peer.request_as(peer.id(), "SUM", &[1, 2, 3]).await?;
    /// assert_eq!(six, 6);
    /// # peer.shutdown().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn request_as<T: DeserializeOwned>(
        &self,
        to: impl Into<PeerAddr>,
        kind: impl TryInto<Kind>,
        body: &(impl Serialize + ?Sized),
    ) -> Result<T, RequestError> {
        let body = serde_json::to_vec(body).map_err(|e| RequestError::Body(e.to_string()))?;
        let reply = self.request(to, kind, body).one().await?;
        serde_json::from_slice(&reply.body).map_err(|e| RequestError::Body(e.to_string()))
    }

    /// Tells `to`, wanting no reply. Waits while the other side is slow to
    /// handle what it was told before.
    ///
    /// # Errors
    /// [`RequestError`] when it could not be sent. `Ok` does not mean that it
    /// was handled.
    pub async fn notify<K: TryInto<Kind>>(
        &self,
        to: impl Into<PeerAddr>,
        kind: K,
        body: impl Into<Bytes>,
    ) -> Result<(), RequestError> {
        call::notify(self.way(to.into()), message(kind, body)).await
    }

    /// Opens a stream of a kind for which the other side has a handler.
    ///
    /// # Errors
    /// [`RequestError`]; [`RequestError::Busy`] with eight streams open on
    /// either side, [`RequestError::NoHandler`] and [`RequestError::Denied`] as
    /// for requests.
    pub async fn open_stream<K: TryInto<Kind>>(
        &self,
        to: impl Into<PeerAddr>,
        kind: K,
    ) -> Result<Stream, RequestError> {
        let kind = kind.try_into().map_err(|_| RequestError::Kind)?;
        crate::stream::open(&self.0, &self.way(to.into()), kind).await
    }

    /// Connects, or gives the connection there is. For an [`Addr`], whose key
    /// answers is learnt: [`Connection::peer_id`].
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(&self, to: impl Into<Target>) -> Result<Connection, ConnectError> {
        let link = match to.into() {
            Target::Peer(peer) => self.way(peer).find().await?,
            Target::Addr(addr) => connect::to_addr(&self.0, addr).await?,
        };
        Ok(Connection(link))
    }

    /// Takes a byte stream that is already connected, as the side that called
    /// (`dialled`) or the one that was called. TLS and HELLO run over it.
    /// Streams cannot be opened beside it.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn adopt(
        &self,
        io: impl ByteStream + 'static,
        dialled: bool,
    ) -> Result<Connection, ConnectError> {
        let handshake = if dialled {
            self.0.tls.call(Box::new(io), None, Purpose::Messages)
        } else {
            self.0.tls.answer(Box::new(io), None)
        };
        let refused = |why: String| ConnectError::Refused(why);
        let wire = match tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, handshake).await {
            Ok(wire) => wire.map_err(|e| refused(e.to_string()))?,
            Err(_) => return Err(ConnectError::TimedOut),
        };
        if wire.purpose != Purpose::Messages {
            return Err(refused("a bulk stream was handed in as a connection".into()));
        }
        let begun = if dialled { connect::Begun::Dialled } else { connect::Begun::Called(None) };
        connect::establish(&self.0, wire, begun).await.map(Connection)
    }

    /// Measures the round trip to a peer, connecting if need be.
    ///
    /// # Errors
    /// [`RequestError`]; after 10 s [`RequestError::TimedOut`], or
    /// [`ConnectError::TimedOut`] when it was not connected until then.
    pub async fn ping(&self, to: impl Into<PeerAddr>) -> Result<Duration, RequestError> {
        let way = self.way(to.into());
        let mut asked = false;
        let ping = async {
            let pong = way.find().await?.ping();
            asked = true;
            pong.await.map_err(|_| RequestError::Disconnected)
        };
        let in_time = tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, ping).await;
        in_time.unwrap_or_else(|_| {
            Err(if asked { RequestError::TimedOut } else { ConnectError::TimedOut.into() })
        })
    }

    /// Keeps a connection with this peer: calls it now, and again with backoff
    /// (0.5 to 30 s) whenever it is lost, until [`release`](Self::release).
    pub fn keep(&self, peer: impl Into<PeerAddr>) {
        keep::keep(&self.0, peer.into());
    }

    /// Calls this peer no more when the connection is lost.
    pub fn release(&self, peer: PeerId) {
        let kept = lock(&self.0.kept).remove(&peer);
        if let Some(kept) = kept {
            kept.task.abort();
            self.0.choice_changed(peer);
        }
    }

    /// The entry of a kept peer.
    pub fn kept(&self, peer: PeerId) -> Option<PeerAddr> {
        lock(&self.0.kept).get(&peer).map(|kept| kept.addr.clone())
    }

    /// Marks a peer as known: it may call handlers registered with
    /// [`Builder::handle_known`], and its connection is never given up for
    /// another's.
    pub fn know(&self, peer: PeerId) {
        lock(&self.0.known).insert(peer);
        self.0.choice_changed(peer);
    }

    /// Takes that back.
    pub fn forget(&self, peer: PeerId) {
        lock(&self.0.known).remove(&peer);
        self.0.choice_changed(peer);
    }

    /// Whether a peer is known here.
    pub fn is_known(&self, peer: PeerId) -> bool {
        lock(&self.0.known).contains(&peer)
    }

    /// Blocks a peer: a live connection closes, and no new one comes about in
    /// either direction. Nothing is carried for it or to it.
    pub fn block(&self, peer: PeerId) {
        lock(&self.0.blocked).insert(peer);
        for link in self.0.links.all() {
            if link.peer == peer {
                link.goodbye(GoodbyeReason::Denied, "");
            }
        }
        self.0.circuits.look_for_blocked();
    }

    /// Takes that back.
    pub fn unblock(&self, peer: PeerId) {
        lock(&self.0.blocked).remove(&peer);
    }

    /// Whether a peer is blocked here.
    pub fn is_blocked(&self, peer: PeerId) -> bool {
        lock(&self.0.blocked).contains(&peer)
    }

    /// The peer table.
    pub fn table(&self) -> &Table {
        &self.0.table
    }

    /// The connections there are, by peer.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        self.0.links.live().iter().map(|link| ConnectionInfo::of(&self.0, link)).collect()
    }

    /// How many connections there are with those that are being introduced or
    /// drained: at rest, as many as [`connections`](Self::connections).
    pub fn link_count(&self) -> usize {
        self.0.links.count()
    }

    /// What happens from now on.
    pub fn events(&self) -> Events {
        Events(self.0.subscribe())
    }

    /// Registers a handler; it replaces one of the same kind.
    ///
    /// # Errors
    /// [`RequestError::Kind`].
    pub fn handle<K: TryInto<Kind>>(&self, kind: K, handler: impl Handler) -> Result<(), RequestError> {
        let kind = kind.try_into().map_err(|_| RequestError::Kind)?;
        self.0.registry.insert(kind, Access::Proven, Arc::new(handler));
        Ok(())
    }

    /// Registers a handler for known peers only.
    ///
    /// # Errors
    /// [`RequestError::Kind`].
    pub fn handle_known<K: TryInto<Kind>>(&self, kind: K, handler: impl Handler) -> Result<(), RequestError> {
        let kind = kind.try_into().map_err(|_| RequestError::Kind)?;
        self.0.registry.insert(kind, Access::Known, Arc::new(handler));
        Ok(())
    }

    /// Registers a handler for streams.
    ///
    /// # Errors
    /// [`RequestError::Kind`].
    pub fn handle_stream<K: TryInto<Kind>>(
        &self,
        kind: K,
        handler: impl StreamHandler,
    ) -> Result<(), RequestError> {
        let kind = kind.try_into().map_err(|_| RequestError::Kind)?;
        lock(&self.0.stream_handlers).insert(kind, (Access::Proven, Arc::new(handler)));
        Ok(())
    }

    /// Registers a handler for streams of known peers only.
    ///
    /// # Errors
    /// [`RequestError::Kind`].
    pub fn handle_stream_known<K: TryInto<Kind>>(
        &self,
        kind: K,
        handler: impl StreamHandler,
    ) -> Result<(), RequestError> {
        let kind = kind.try_into().map_err(|_| RequestError::Kind)?;
        lock(&self.0.stream_handlers).insert(kind, (Access::Known, Arc::new(handler)));
        Ok(())
    }

    /// Removes the handler of streams of a kind; `false` when there was none.
    /// Streams that are open stay so.
    pub fn remove_stream_handler<K: TryInto<Kind>>(&self, kind: K) -> bool {
        kind.try_into().is_ok_and(|kind| lock(&self.0.stream_handlers).remove(&kind).is_some())
    }

    /// Removes the handler of a kind; `false` when there was none.
    pub fn remove_handler<K: TryInto<Kind>>(&self, kind: K) -> bool {
        kind.try_into().is_ok_and(|kind| self.0.registry.remove(&kind))
    }

    /// Runs a stabilizer from now on, until shutdown.
    pub fn stabilize(&self, every: Duration, stabilizer: impl crate::Stabilizer) {
        keep::stabilize(&self.0, every, Arc::new(stabilizer));
    }

    /// The clock it runs by.
    pub fn clock(&self) -> &crate::Clock {
        &self.0.clock
    }

    /// Runs until ctrl-c, then shuts down.
    pub async fn run(&self) {
        let mut down = self.0.down.subscribe();
        tokio::select! {
            biased;
            _ = down.wait_for(|down| *down) => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        self.shutdown().await;
    }

    /// Says goodbye to all, waits for it to be out (2 s at most), and stops all
    /// tasks. Listening sockets are free when it returns.
    pub async fn shutdown(&self) {
        self.0.shutdown().await;
    }

    fn way(&self, to: PeerAddr) -> Way {
        Way::Peer(self.0.clone(), to)
    }

    pub(crate) fn tell(&self, event: Event) {
        self.0.tell(event);
    }
}

fn message<K: TryInto<Kind>>(kind: K, body: impl Into<Bytes>) -> Result<Message, RequestError> {
    let kind = kind.try_into().map_err(|_| RequestError::Kind)?;
    Ok(Message { kind, body: body.into() })
}

/// The same for callers that have no peer, only a local link.
pub(crate) fn local_message<K: TryInto<Kind>>(
    kind: K,
    body: impl Into<Bytes>,
) -> Result<Message, RequestError> {
    message(kind, body)
}

/// Runs a future until it is done or the peer shuts down.
pub(crate) fn spawn_until_down(
    inner: &Arc<Inner>,
    task: impl Future<Output = ()> + Send + 'static,
) -> tokio::task::JoinHandle<()> {
    let mut down = inner.down.subscribe();
    inner.runtime.spawn(async move {
        tokio::select! {
            biased;
            _ = down.wait_for(|down| *down) => {}
            () = task => {}
        }
    })
}
