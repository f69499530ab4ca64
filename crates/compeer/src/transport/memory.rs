//! A network inside the process, for tests and simulation.
//!
//! Peers call each other at made-up IP addresses. There is no TLS: the network
//! itself vouches for who is who, so a thousand peers cost no cryptography.
//! Every delivery is delayed by a seeded latency on tokio's clock, so that
//! under a paused runtime whole networks run in virtual time, and the same seed
//! gives the same run. Links can be cut and healed: a cut link delivers
//! nothing and closes nothing, as a pulled cable does. Over a circuit the network
//! vouches too: carriers pass on a number that only the two ends can cash in.
//!
//! ```
//! use compeer::transport::memory::MemoryNetwork;
//! use compeer::{Identity, Peer};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let network = MemoryNetwork::new(7);
//! let alice = Identity::from_seed(&[1; 32]);
//! let alice = Peer::builder()
//!     .transport(network.transport(alice.peer_id(), [10, 0, 0, 1].into()))
//!     .identity(alice)
//!     .listen("10.0.0.1:1")
//!     .spawn()
//!     .await?;
//! # alice.shutdown().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use compeer_proto::{Addr, PeerId};
use futures_util::future::BoxFuture;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::{ByteStream, Incoming, Listener, Purpose, Side, Transport, Wire, check_key, unreachable};
use crate::{ConnectError, lock};

mod pipe;

pub use pipe::{Link, pipe};

/// Calls that wait to be accepted at one address.
const BACKLOG: usize = 128;

/// Ports from which peers call; the first is never listened on by port 0.
const FIRST_FREE_PORT: u16 = 32_768;

/// A network of its own. Clones are the same network.
#[derive(Clone)]
pub struct MemoryNetwork(Arc<Mutex<Net>>);

/// What is sent on a connection: a piece of its bytes. There is no TLS, so these are
/// the frames themselves.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// Who sends; the port is its own for each connection that it called.
    pub from: SocketAddr,
    /// Whom to.
    pub to: SocketAddr,
    /// The next bytes in this direction.
    pub bytes: &'a [u8],
}

type Observer = Arc<Mutex<dyn FnMut(&Sent<'_>) + Send>>;

struct Net {
    observer: Option<Observer>,
    rng: ChaCha8Rng,
    latency: (Duration, Duration),
    listeners: BTreeMap<SocketAddr, (PeerId, mpsc::Sender<Call>)>,
    links: Vec<(IpAddr, IpAddr, Link)>,
    cut: BTreeSet<(IpAddr, IpAddr)>,
    next_port: u16,
    /// Handshakes over circuits, by the number that the carriers see.
    vouched: BTreeMap<[u8; 16], Vouched>,
}

/// Who called whom over others.
struct Vouched {
    caller: PeerId,
    callee: PeerId,
    binding: [u8; 32],
    purpose: Purpose,
    /// The callee has come for it.
    met: bool,
}

struct Call {
    from: SocketAddr,
    wire: Wire,
}

impl MemoryNetwork {
    /// A network whose latencies are drawn from `seed`: 1–20 ms each way unless
    /// set otherwise.
    pub fn new(seed: u64) -> Self {
        let latency = (Duration::from_millis(1), Duration::from_millis(20));
        MemoryNetwork(Arc::new(Mutex::new(Net {
            observer: None,
            rng: ChaCha8Rng::seed_from_u64(seed),
            latency,
            listeners: BTreeMap::new(),
            links: Vec::new(),
            cut: BTreeSet::new(),
            next_port: FIRST_FREE_PORT,
            vouched: BTreeMap::new(),
        })))
    }

    /// Draws the latency of each new connection from `least..=most`.
    #[must_use]
    pub fn latency(self, least: Duration, most: Duration) -> Self {
        lock(&self.0).latency = (least, most.max(least));
        self
    }

    /// Has everything that is sent from now on seen, in the order in which it is sent:
    /// for traces. It must not use the network itself.
    #[must_use]
    pub fn observe(self, observer: impl FnMut(&Sent<'_>) + Send + 'static) -> Self {
        lock(&self.0).observer = Some(Arc::new(Mutex::new(observer)));
        self
    }

    /// The door of one peer, at one IP address.
    pub fn transport(&self, peer: PeerId, at: IpAddr) -> MemoryTransport {
        MemoryTransport { network: self.clone(), peer, at }
    }

    /// Cuts the cable between two addresses: nothing arrives, nothing is closed,
    /// and new calls time out.
    pub fn cut(&self, a: IpAddr, b: IpAddr) {
        let mut net = lock(&self.0);
        net.cut.insert(pair(a, b));
        net.for_links(a, b, |link| link.cut(true));
    }

    /// Mends the cable: what was sent meanwhile arrives late.
    pub fn heal(&self, a: IpAddr, b: IpAddr) {
        let mut net = lock(&self.0);
        net.cut.remove(&pair(a, b));
        net.for_links(a, b, |link| link.cut(false));
    }
}

fn pair(a: IpAddr, b: IpAddr) -> (IpAddr, IpAddr) {
    (a.min(b), a.max(b))
}

impl Net {
    fn for_links(&mut self, a: IpAddr, b: IpAddr, act: impl Fn(&Link)) {
        self.links.retain(|(_, _, link)| link.is_alive());
        for (from, to, link) in &self.links {
            if pair(*from, *to) == pair(a, b) {
                act(link);
            }
        }
    }

    fn port(&mut self) -> u16 {
        self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_FREE_PORT);
        self.next_port
    }

    fn draw_latency(&mut self) -> Duration {
        let (least, most) = self.latency;
        let span = u64::try_from((most - least).as_micros()).unwrap_or(0) + 1;
        least + Duration::from_micros(self.rng.next_u64() % span)
    }

    fn connect(
        &mut self,
        to: SocketAddr,
        caller: PeerId,
        at: IpAddr,
        purpose: Purpose,
    ) -> Option<(Wire, Duration)> {
        let (callee, calls) = self.listeners.get(&to)?.clone();
        let latency = self.draw_latency();
        let (mut binding, mut session) = ([0; 32], [0; 16]);
        self.rng.fill_bytes(&mut binding);
        self.rng.fill_bytes(&mut session);
        let (near, far, link) = pipe(latency);
        let from = SocketAddr::new(at, self.port());
        let near = near.seen_by(self.observer.clone(), from, to);
        let far = far.seen_by(self.observer.clone(), to, from);
        let side = |io, peer, addr: SocketAddr| Wire {
            io,
            peer,
            addr: Some(Addr::Ip(addr)),
            over: Vec::new(),
            binding,
            session,
            resumed: false,
            purpose,
        };
        calls.try_send(Call { from, wire: side(Box::new(far), caller, from) }).ok()?;
        self.links.retain(|(_, _, link)| link.is_alive());
        self.links.push((at, to.ip(), link));
        Some((side(Box::new(near), callee, to), latency))
    }
}

/// One peer's door to a [`MemoryNetwork`].
#[derive(Clone)]
pub struct MemoryTransport {
    network: MemoryNetwork,
    peer: PeerId,
    at: IpAddr,
}

impl Transport for MemoryTransport {
    fn dial(
        &self,
        addr: Addr,
        expected: Option<PeerId>,
        purpose: Purpose,
    ) -> BoxFuture<'static, Result<Wire, ConnectError>> {
        let this = self.clone();
        Box::pin(async move {
            let Addr::Ip(to) = addr else { return Err(unreachable(&addr, "no names in this network")) };
            if lock(&this.network.0).cut.contains(&pair(this.at, to.ip())) {
                tokio::time::sleep(crate::limits::HANDSHAKE_TIMEOUT).await;
                return Err(unreachable(&addr, "no answer in time"));
            }
            let connected = lock(&this.network.0).connect(to, this.peer, this.at, purpose);
            let Some((wire, latency)) = connected else { return Err(unreachable(&addr, "nobody listens")) };
            tokio::time::sleep(latency * 2).await;
            check_key(&addr, expected, wire.peer)?;
            Ok(wire)
        })
    }

    fn listen(&self, addr: SocketAddr) -> io::Result<Box<dyn Listener>> {
        let mut net = lock(&self.network.0);
        let port = if addr.port() == 0 { net.port() } else { addr.port() };
        let at = SocketAddr::new(self.at, port);
        if net.listeners.get(&at).is_some_and(|(_, calls)| !calls.is_closed()) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (tx, rx) = mpsc::channel(BACKLOG);
        net.listeners.insert(at, (self.peer, tx));
        Ok(Box::new(MemoryListener { at, calls: rx }))
    }

    fn secure(&self, io: Box<dyn ByteStream>, side: Side) -> BoxFuture<'static, io::Result<Wire>> {
        match side {
            Side::Calls { expected, purpose } => Box::pin(self.clone().vouch(io, expected, purpose)),
            Side::Called => Box::pin(self.clone().be_vouched(io)),
        }
    }
}

impl MemoryTransport {
    async fn vouch(self, mut io: Box<dyn ByteStream>, callee: PeerId, purpose: Purpose) -> io::Result<Wire> {
        let (mut number, mut binding) = ([0; 16], [0; 32]);
        {
            let mut net = lock(&self.network.0);
            net.rng.fill_bytes(&mut number);
            net.rng.fill_bytes(&mut binding);
            net.vouched.insert(number, Vouched { caller: self.peer, callee, binding, purpose, met: false });
        }
        let forget = Unvouch(&self.network, number);
        io.write_all(&number).await?;
        io.flush().await?;
        io.read_exact(&mut [0]).await?;
        let met = lock(&self.network.0).vouched.get(&number).is_some_and(|vouched| vouched.met);
        drop(forget);
        if !met {
            return Err(io::Error::other("another answered"));
        }
        Ok(over_others(io, callee, number, binding, purpose))
    }

    async fn be_vouched(self, mut io: Box<dyn ByteStream>) -> io::Result<Wire> {
        let mut number = [0; 16];
        io.read_exact(&mut number).await?;
        let (caller, binding, purpose) = {
            let mut net = lock(&self.network.0);
            let vouched = net.vouched.get_mut(&number);
            let ours = vouched.filter(|vouched| vouched.callee == self.peer && !vouched.met);
            let ours = ours.ok_or_else(|| io::Error::other("nobody called"))?;
            ours.met = true;
            (ours.caller, ours.binding, ours.purpose)
        };
        io.write_all(&[0]).await?;
        io.flush().await?;
        Ok(over_others(io, caller, number, binding, purpose))
    }
}

fn over_others(
    io: Box<dyn ByteStream>,
    peer: PeerId,
    session: [u8; 16],
    binding: [u8; 32],
    purpose: Purpose,
) -> Wire {
    Wire { io, peer, addr: None, over: Vec::new(), binding, session, resumed: false, purpose }
}

/// Forgets a number when its handshake is through, or given up.
struct Unvouch<'a>(&'a MemoryNetwork, [u8; 16]);

impl Drop for Unvouch<'_> {
    fn drop(&mut self) {
        lock(&self.0.0).vouched.remove(&self.1);
    }
}

struct MemoryListener {
    at: SocketAddr,
    calls: mpsc::Receiver<Call>,
}

impl Listener for MemoryListener {
    fn local_addr(&self) -> SocketAddr {
        self.at
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Incoming>> {
        Box::pin(async move {
            let Some(Call { from, wire }) = self.calls.recv().await else {
                return std::future::pending().await;
            };
            Ok(Incoming { from, handshake: Box::pin(async move { Ok(wire) }) })
        })
    }
}
