//! How a peer begins: everything that can be chosen, with defaults.
//!
//! Nothing happens before [`Builder::spawn`]: a kind or name that is not valid is
//! told there, and so is an address that is taken. A builder without any call
//! gives a peer with a new key that listens nowhere, keeps everything in memory
//! and lives on the system's clock and randomness.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use compeer_proto::ext::Ext;
use compeer_proto::frame::{EXT_NAME, Hello, PeerLimits};
use compeer_proto::session::Budget;
use compeer_proto::{Addr, Kind, PeerId};
use tokio::sync::{broadcast, watch};

use super::accept::{Callers, PerPrefix};
use super::inner::{DEFAULT_CONNECTIONS, Inner};
use super::{Peer, accept, keep};
use crate::addrs::Recent;
use crate::circuit::{self, Carry, Circuits};
use crate::classic::{self, Classic};
use crate::clock::Dice;
use crate::error::SpawnError;
use crate::handler::{Access, Handler, Registry, StreamHandler};
use crate::links::Links;
use crate::router::Direct;
use crate::transport::tls::TlsTransport;
use crate::transport::{Listener, Transport};
use crate::{Clock, Identity, Router, Stabilizer, Table, limits, overlay};

/// Where to listen: one address (or its text), or several.
#[derive(Clone, Debug, Default)]
pub struct ListenAddr(Vec<Result<SocketAddr, String>>);

impl ListenAddr {
    /// A listener at each, or none at all.
    pub(super) fn open(self, transport: &dyn Transport) -> Result<Vec<Box<dyn Listener>>, SpawnError> {
        self.open_with(|addr| transport.listen(addr))
    }

    fn open_with<T>(self, listen: impl Fn(SocketAddr) -> io::Result<T>) -> Result<Vec<T>, SpawnError> {
        let open = |addr: Result<SocketAddr, String>| {
            let addr = addr.map_err(SpawnError::Address)?;
            listen(addr).map_err(|source| SpawnError::Listen { addr, source })
        };
        self.0.into_iter().map(open).collect()
    }
}

impl From<SocketAddr> for ListenAddr {
    fn from(addr: SocketAddr) -> Self {
        ListenAddr(vec![Ok(addr)])
    }
}

impl From<Vec<SocketAddr>> for ListenAddr {
    fn from(addrs: Vec<SocketAddr>) -> Self {
        ListenAddr(addrs.into_iter().map(Ok).collect())
    }
}

/// An IP address and port, such as `0.0.0.0:26673` or `[::]:0`; what is none is
/// told by [`Builder::spawn`].
impl From<&str> for ListenAddr {
    fn from(text: &str) -> Self {
        ListenAddr(vec![text.parse().map_err(|_| text.to_owned())])
    }
}

/// Everything that can be chosen about a peer. Made by [`Peer::builder`].
#[must_use = "a builder does nothing until it is spawned"]
pub struct Builder {
    identity: Option<Identity>,
    listen: Vec<Result<SocketAddr, String>>,
    advertise: Vec<Addr>,
    name: Option<String>,
    max_peers: usize,
    max_connections: usize,
    per_prefix: PerPrefix,
    known: BTreeSet<PeerId>,
    blocked: BTreeSet<PeerId>,
    handlers: Vec<(Option<Kind>, Access, Arc<dyn Handler>)>,
    stream_handlers: Vec<(Option<Kind>, Access, Arc<dyn StreamHandler>)>,
    classic: Vec<Result<SocketAddr, String>>,
    classic_handlers: Vec<(Option<Kind>, Arc<dyn classic::Handler>)>,
    router: Arc<dyn Router>,
    overlay: bool,
    carry: Option<Carry>,
    stabilizers: Vec<(Duration, Arc<dyn Stabilizer>)>,
    transport: Option<Arc<dyn Transport>>,
    clock: Option<Clock>,
    seed: Option<u64>,
    request_timeout: Duration,
}

impl Builder {
    pub(super) fn new() -> Self {
        Builder {
            identity: None,
            listen: Vec::new(),
            advertise: Vec::new(),
            name: None,
            max_peers: 0,
            max_connections: DEFAULT_CONNECTIONS,
            per_prefix: PerPrefix::default(),
            known: BTreeSet::new(),
            blocked: BTreeSet::new(),
            handlers: Vec::new(),
            stream_handlers: Vec::new(),
            classic: Vec::new(),
            classic_handlers: Vec::new(),
            router: Arc::new(Direct),
            overlay: false,
            carry: None,
            stabilizers: Vec::new(),
            transport: None,
            clock: None,
            seed: None,
            request_timeout: limits::REQUEST_TIMEOUT,
        }
    }

    /// The peer's key. Default: a new one.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Where to listen; port 0 is any free one. May be called more than once.
    /// Default: nowhere; such a peer can call and be answered, not be called.
    pub fn listen(mut self, addr: impl Into<ListenAddr>) -> Self {
        self.listen.extend(addr.into().0);
        self
    }

    /// An address to tell others instead of those of this machine's interfaces.
    /// May be called more than once.
    pub fn advertise(mut self, addr: impl Into<Addr>) -> Self {
        self.advertise.push(addr.into());
        self
    }

    /// A nickname to tell others, 1–64 bytes. Default: none.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How many peers the table holds; 0, the default, is the limit of
    /// [`limits`](crate::limits::MAX_TABLE).
    pub fn max_peers(mut self, n: usize) -> Self {
        self.max_peers = n;
        self
    }

    /// How many connections there may be. Default:
    /// [`MAX_CONNECTIONS`](crate::limits::MAX_CONNECTIONS). When full, the
    /// caller that nobody here knows and that was idle longest goes.
    pub fn max_connections(mut self, n: usize) -> Self {
        self.max_connections = n.min(limits::MAX_CONNECTIONS);
        self
    }

    /// How many handshakes are served at a time from one IPv4 address or IPv6 /56;
    /// further callers from there wait. Default:
    /// [`MAX_PENDING_PER_PREFIX`](crate::limits::MAX_PENDING_PER_PREFIX).
    pub fn max_pending_per_prefix(mut self, n: usize) -> Self {
        self.per_prefix.pending = n.max(1);
        self
    }

    /// How many connections callers whom nobody here knows may have from one IPv4
    /// address or IPv6 /56; beyond it, theirs that was idle longest goes. Default:
    /// [`MAX_STRANGERS_PER_PREFIX`](crate::limits::MAX_STRANGERS_PER_PREFIX).
    pub fn max_strangers_per_prefix(mut self, n: usize) -> Self {
        self.per_prefix.strangers = n.max(1);
        self
    }

    /// Whether those two bounds hold for loopback addresses too, each of which is
    /// then a prefix. Default: no, who is on this machine may do as he likes.
    pub fn bound_loopback(mut self, bound: bool) -> Self {
        self.per_prefix.loopback = bound;
        self
    }

    /// Marks a peer as known from the start: see [`Peer::know`].
    pub fn know(mut self, peer: PeerId) -> Self {
        self.known.insert(peer);
        self
    }

    /// Blocks a peer from the start: see [`Peer::block`].
    pub fn block(mut self, peer: PeerId) -> Self {
        self.blocked.insert(peer);
        self
    }

    /// Registers a handler for whoever proves a key.
    pub fn handle<K: TryInto<Kind>>(mut self, kind: K, handler: impl Handler) -> Self {
        self.handlers.push((kind.try_into().ok(), Access::Proven, Arc::new(handler)));
        self
    }

    /// Registers a handler for known peers: see [`Peer::know`].
    pub fn handle_known<K: TryInto<Kind>>(mut self, kind: K, handler: impl Handler) -> Self {
        self.handlers.push((kind.try_into().ok(), Access::Known, Arc::new(handler)));
        self
    }

    /// Registers a handler for streams, for whoever proves a key.
    pub fn handle_stream<K: TryInto<Kind>>(mut self, kind: K, handler: impl StreamHandler) -> Self {
        self.stream_handlers.push((kind.try_into().ok(), Access::Proven, Arc::new(handler)));
        self
    }

    /// Registers a handler for streams of known peers: see [`Peer::know`].
    pub fn handle_stream_known<K: TryInto<Kind>>(mut self, kind: K, handler: impl StreamHandler) -> Self {
        self.stream_handlers.push((kind.try_into().ok(), Access::Known, Arc::new(handler)));
        self
    }

    /// Where to listen for programs of the classic protocol, who prove nothing and whose words anybody on the way can
    /// read: see [`classic`]. May be called more than once. Default: nowhere. Port 0 is any free
    /// one: [`Peer::classic_addrs`] tells.
    pub fn classic(mut self, addr: impl Into<ListenAddr>) -> Self {
        self.classic.extend(addr.into().0);
        self
    }

    /// Registers a handler for classic callers: see [`Peer::handle_classic`].
    pub fn handle_classic<K: TryInto<Kind>>(mut self, kind: K, handler: impl classic::Handler) -> Self {
        self.classic_handlers.push((kind.try_into().ok(), Arc::new(handler)));
        self
    }

    /// Who chooses the next hop. Default: [`Direct`].
    pub fn router(mut self, router: impl Router) -> Self {
        self.router = Arc::new(router);
        self
    }

    /// Carries connections of others, as many and as much as this says, to whom it is connected
    /// with or its router knows a way to. Default: `None`, it carries nothing: what passes costs
    /// as much as what is this peer's own, and a program that holds a peer was not asked.
    ///
    /// ```
    /// # use compeer::{Carry, Peer};
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let few = Carry { circuits: 4, ..Carry::default() };
    /// let peer = Peer::builder().listen("127.0.0.1:0").carry(few).spawn().await?;
    /// # peer.shutdown().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn carry(mut self, carry: impl Into<Option<Carry>>) -> Self {
        self.carry = carry.into();
        self
    }

    /// Runs a stabilizer at once and then again after every interval, give or
    /// take a quarter. May be called more than once.
    pub fn stabilize(mut self, every: Duration, stabilizer: impl Stabilizer) -> Self {
        self.stabilizers.push((every, Arc::new(stabilizer)));
        self
    }

    /// How connections come about. Default: TLS over TCP.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// The clock. Default: the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The seed of all chance but keys. Default: the system's randomness.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Takes part in the [`overlay`](crate::overlay), by which peers find each other by id: answers
    /// others about whom it knows, and keeps records for them, all bounded. Default: not. To have requests to peers
    /// of unknown address go that way too, set the router [`Kademlia`](crate::Kademlia).
    pub fn overlay(mut self) -> Self {
        self.overlay = true;
        self
    }

    /// How long requests wait that set no time-out of their own. Default: 30 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Starts the peer on the current tokio runtime.
    ///
    /// # Errors
    /// [`SpawnError`]: an address is taken, a kind or the name is not valid.
    pub async fn spawn(self) -> Result<Peer, SpawnError> {
        let registry = Registry::default();
        for (kind, access, handler) in self.handlers {
            registry.insert(kind.ok_or(SpawnError::Kind)?, access, handler);
        }
        let mut stream_handlers = BTreeMap::new();
        for (kind, access, handler) in self.stream_handlers {
            stream_handlers.insert(kind.ok_or(SpawnError::Kind)?, (access, handler));
        }
        let classic = Classic::default();
        for (kind, handler) in self.classic_handlers {
            if !kind.is_some_and(|kind| classic.insert(kind, handler)) {
                return Err(SpawnError::ClassicKind);
            }
        }
        let identity = self.identity.unwrap_or_else(Identity::generate);
        let tls = TlsTransport::new(&identity)?;
        let transport = self.transport.unwrap_or_else(|| Arc::new(tls.clone()));
        let listeners = ListenAddr(self.listen).open(&*transport)?;
        let classic_listeners = ListenAddr(self.classic).open_with(classic::bind)?;
        let dice = Dice::new(self.seed)?;
        let hello = Hello {
            agent: concat!("compeer/", env!("CARGO_PKG_VERSION")).to_owned(),
            instance: dice.bytes(),
            features: if self.overlay { overlay::FEATURE } else { 0 },
            limits: PeerLimits::default(),
            listen: Vec::new(),
            ext: name_ext(self.name)?,
        };
        let callers =
            Callers::new(limits::MAX_PENDING, limits::MAX_PENDING_CONNECTED, self.per_prefix.pending);
        let clock = self.clock.unwrap_or_else(Clock::system);
        let overlay = self.overlay.then(|| {
            let seed = u64::from_le_bytes(dice.bytes());
            Arc::new(overlay::Shared::new(identity.clone(), seed, clock.now()))
        });
        let inner = Arc::new(Inner {
            runtime: tokio::runtime::Handle::current(),
            id: identity.peer_id(),
            hello,
            clock,
            dice,
            registry,
            stream_handlers: Mutex::new(stream_handlers),
            router: self.router,
            overlay,
            table: Table::new(self.max_peers),
            links: Links::new(identity.peer_id()),
            awaited: Default::default(),
            circuits: Circuits::new(identity.peer_id(), self.carry),
            transport,
            tls,
            known: Mutex::new(self.known),
            blocked: Mutex::new(self.blocked),
            kept: Mutex::default(),
            dialling: Default::default(),
            oneself: Default::default(),
            local_addrs: Mutex::default(),
            callers: Arc::new(callers),
            advertise: self.advertise,
            recent_addrs: Recent::default(),
            own_ips: Recent::default(),
            request_timeout: self.request_timeout,
            budget: Arc::new(Budget::new(limits::PROCESS_BUDGET)),
            tally: Arc::default(),
            max_connections: self.max_connections,
            classic,
            per_prefix: self.per_prefix,
            events: Mutex::new(Some(broadcast::channel(limits::EVENT_QUEUE).0)),
            down: watch::Sender::new(false),
            listening: watch::Sender::new(0),
        });
        circuit::listen(&inner);
        accept::listen(&inner, listeners);
        classic::serve(&inner, classic_listeners);
        keep::sweep(&inner);
        keep::straighten(&inner);
        if inner.overlay.is_some() {
            overlay::handlers(&inner);
            overlay::drive(&inner);
        }
        for (every, stabilizer) in self.stabilizers {
            keep::stabilize(&inner, every, stabilizer);
        }
        Ok(Peer(inner))
    }
}

fn name_ext(name: Option<String>) -> Result<Ext, SpawnError> {
    let mut ext = Ext::new();
    if let Some(name) = name {
        if name.is_empty() || name.len() > limits::MAX_NAME_LEN {
            return Err(SpawnError::Name);
        }
        ext.push(EXT_NAME, name.as_bytes()).map_err(|_| SpawnError::Name)?;
    }
    Ok(ext)
}
