//! A connection as a program sees it: who is at the other end, where, how far
//! away, and how to close it.
//!
//! It is a view of the link ([`link`](crate::link)) and holds nothing of its own:
//! keeping one does not keep the connection open.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use compeer_proto::session::GoodbyeReason;
use compeer_proto::{Addr, PeerId};

use super::Inner;
use crate::link::Link;
use crate::lock;

/// A live connection, as the peer shows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// Who is at the other end.
    pub peer_id: PeerId,
    /// The nickname it gives itself: a claim; escape it when shown.
    pub name: Option<String>,
    /// Where it is; `None` for a stream that was handed in.
    pub addr: Option<Addr>,
    /// Who carries it, the neighbour first, as they say; empty when nobody does.
    pub over: Vec<PeerId>,
    /// Where it says it listens: a claim.
    pub listens: Vec<Addr>,
    /// Whether this side called.
    pub dialled: bool,
    /// Whether whoever called did it to look something up or to carry for others.
    pub in_passing: bool,
    /// The last round trip measured.
    pub rtt: Option<Duration>,
    /// Whether it is called again when lost.
    pub kept: bool,
    /// How long it has lasted.
    pub age: Duration,
}

impl ConnectionInfo {
    pub(super) fn of(inner: &Inner, link: &Link) -> Self {
        // A lock of its own: what stands below takes it too.
        let listens = lock(&link.hello).as_ref().map_or_else(Vec::new, |hello| hello.listen.clone());
        ConnectionInfo {
            peer_id: link.peer,
            name: link.name(),
            addr: link.addr.clone(),
            over: link.over.clone(),
            listens,
            dialled: link.dialled,
            in_passing: link.in_passing(),
            rtt: link.rtt(),
            kept: lock(&inner.kept).contains_key(&link.peer),
            age: inner.clock.now().since(link.since),
        }
    }
}

/// The connection with one peer.
#[derive(Clone)]
pub struct Connection(pub(crate) Arc<Link>);

impl Connection {
    /// Who is at the other end, proven.
    pub fn peer_id(&self) -> PeerId {
        self.0.peer
    }

    /// Where it is; `None` for a stream that was handed in, and over others.
    pub fn path(&self) -> Option<&Addr> {
        self.0.addr.as_ref()
    }

    /// What the other side is counted as, beside others of one address or IPv6 /56; over others that of
    /// the neighbour that carries it. `None` where nobody can tell.
    pub fn household(&self) -> Option<IpAddr> {
        self.0.prefix()
    }

    /// Who carries it, the neighbour first, as they say; empty when nobody does. Only the
    /// neighbour is proven.
    pub fn over(&self) -> &[PeerId] {
        &self.0.over
    }

    /// 32 bytes that only the two ends know, different for every connection:
    /// what is bound to it cannot be passed on (RFC 9266).
    pub fn channel_binding(&self) -> [u8; 32] {
        self.0.binding
    }

    /// The nickname the other side gives itself: a claim; escape it when shown.
    pub fn name(&self) -> Option<String> {
        self.0.name()
    }

    /// The last round trip measured.
    pub fn rtt(&self) -> Option<Duration> {
        self.0.rtt()
    }

    /// Whether this side called.
    pub fn dialled(&self) -> bool {
        self.0.dialled
    }

    /// Closes it, with a word for the other side. What is in flight breaks.
    pub fn close(&self, reason: &str) {
        self.0.goodbye(GoodbyeReason::Closed, reason);
    }

    /// Waits until it is over; gives the reason, for a person.
    pub async fn closed(&self) -> String {
        let _ = self.0.closed().wait_for(|closed| *closed).await;
        self.0.over().map_or_else(String::new, |over| over.words())
    }
}
