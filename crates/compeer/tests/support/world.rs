//! Peers of the memory network of whom not all can reach each other, and who carry for others.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use compeer::transport::memory::MemoryNetwork;
use compeer::{
    Asked, BoxFuture, Builder, Carry, CircuitError, ConnectError, Failure, Hop, Identity, Peer, PeerAddr,
    PeerId, Request, RequestError, Router, Stream, Why,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) async fn echo(request: Request) -> Result<bytes::Bytes, Failure> {
    Ok(request.body().clone())
}

pub(crate) async fn sleep(_: Request) -> Result<(), Failure> {
    std::future::pending().await
}

pub(crate) async fn mirror(mut stream: Stream) {
    let mut all = Vec::new();
    if stream.read_to_end(&mut all).await.is_ok() {
        let _ = stream.write_all(&all).await;
        let _ = stream.shutdown().await;
    }
}

pub(crate) fn ip(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

pub(crate) fn id(n: u8) -> PeerId {
    Identity::from_seed(&[n; 32]).peer_id()
}

pub(crate) fn at(n: u8) -> PeerAddr {
    PeerAddr::new(id(n), [SocketAddr::new(ip(n), 1).into()])
}

/// Knows a graph of neighbours and takes the shortest way that is not left out.
#[derive(Clone)]
struct Ways {
    me: u8,
    edges: Arc<Vec<(u8, u8)>>,
}

impl Ways {
    fn neighbours(&self, of: u8) -> impl Iterator<Item = u8> {
        self.edges.iter().filter_map(move |(a, b)| match of {
            of if of == *a => Some(*b),
            of if of == *b => Some(*a),
            _ => None,
        })
    }

    /// The first step of a shortest way.
    fn step(&self, to: PeerId, without: &[PeerId]) -> Option<u8> {
        let mut ways = vec![vec![self.me]];
        let mut seen = vec![self.me];
        while let Some(way) = (!ways.is_empty()).then(|| ways.remove(0)) {
            let last = way[way.len() - 1];
            if id(last) == to {
                return way.get(1).copied();
            }
            for next in self.neighbours(last) {
                if !seen.contains(&next) && !without.contains(&id(next)) {
                    seen.push(next);
                    ways.push([&way[..], &[next]].concat());
                }
            }
        }
        None
    }
}

impl Router for Ways {
    fn next_hop<'a>(&'a self, _: &'a Peer, to: &'a PeerAddr, asked: &'a Asked) -> BoxFuture<'a, Option<Hop>> {
        let hop = self.step(to.id, &asked.without).map(|n| Hop::from(at(n)));
        Box::pin(std::future::ready(hop))
    }
}

/// A network of peers 1 to n that have cables only where the graph has edges.
pub(crate) struct World {
    pub(crate) network: MemoryNetwork,
    edges: Arc<Vec<(u8, u8)>>,
}

impl World {
    pub(crate) fn new(n: u8, edges: &[(u8, u8)]) -> Self {
        let network = MemoryNetwork::new(7).latency(Duration::from_millis(2), Duration::from_millis(9));
        let apart = |a, b| !edges.contains(&(a, b)) && !edges.contains(&(b, a));
        for (a, b) in (1..=n).flat_map(|a| (a + 1..=n).map(move |b| (a, b))).filter(|(a, b)| apart(*a, *b)) {
            network.cut(ip(a), ip(b));
        }
        World { network, edges: Arc::new(edges.to_vec()) }
    }

    pub(crate) fn line(n: u8) -> Self {
        World::new(n, &(1..n).map(|n| (n, n + 1)).collect::<Vec<_>>())
    }

    /// A peer to be, which carries for others.
    pub(crate) fn member(&self, n: u8) -> Builder {
        let ways = Ways { me: n, edges: self.edges.clone() };
        Peer::builder()
            .identity(Identity::from_seed(&[n; 32]))
            .transport(self.network.transport(id(n), ip(n)))
            .listen(SocketAddr::new(ip(n), 1))
            .seed(n.into())
            .router(ways)
            .carry(Carry::default())
            .handle("ECHO", echo)
            .handle("SLEEP", sleep)
            .handle_stream("MIRROR", mirror)
    }

    pub(crate) async fn all(&self, n: u8) -> Vec<Peer> {
        let mut all = Vec::new();
        for n in 1..=n {
            all.push(self.member(n).spawn().await.unwrap());
        }
        all
    }

    pub(crate) fn lose(&self, n: u8) {
        for (a, b) in self.edges.iter().filter(|(a, b)| *a == n || *b == n) {
            self.network.cut(ip(*a), ip(*b));
        }
    }
}

pub(crate) fn ids<const N: usize>(peers: [u8; N]) -> Vec<PeerId> {
    peers.map(id).to_vec()
}

/// What was refused, by whom.
pub(crate) fn refused(error: RequestError) -> (Option<PeerId>, Why) {
    match error {
        RequestError::Unreachable(ConnectError::Circuit(CircuitError { at, why, .. })) => (at, why),
        error => panic!("{error:?}"),
    }
}
