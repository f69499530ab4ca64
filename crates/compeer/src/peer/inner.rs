//! What the tasks of a peer share, and how a link finds its way into it.
//!
//! [`Inner`] is the peer without its public face. As the [`Host`] of its links
//! it looks up handlers, decides which of two connections stays, and tells
//! events.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use compeer_proto::frame::Hello;
use compeer_proto::session::{Budget, Config, GoodbyeReason, Outcome, Role, Session};
use compeer_proto::{Addr, Kind, PeerId};
use tokio::sync::{broadcast, watch};

use super::accept::{Callers, PerPrefix};
use super::connect::{Begun, Dialling};
use super::keep::Kept;
use super::{Peer, spawn_until_down};
use crate::circuit::Circuits;
use crate::classic::Classic;
use crate::clock::Dice;
use crate::counters::Tally;
use crate::handler::{Access, Handler, Registry, StreamHandler, StreamHandlers};
use crate::link::driver::Host;
use crate::link::{Link, Over};
use crate::links::{Ending, Links, Verdict};
use crate::stream::Awaited;
use crate::transport::Transport;
use crate::transport::tls::TlsTransport;
use crate::{Clock, Event, Router, Table, addrs, limits, lock, stream};

/// Feature bit of HELLO: who called wants nothing but to look something up or to carry for others.
pub(crate) const IN_PASSING: u64 = 2;

/// What the tasks of a peer share.
pub(crate) struct Inner {
    /// The runtime that all its tasks are on, whichever one asks for them.
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) id: PeerId,
    pub(crate) hello: Hello,
    pub(crate) clock: Clock,
    pub(crate) dice: Dice,
    pub(crate) registry: Registry,
    pub(crate) stream_handlers: Mutex<StreamHandlers>,
    pub(crate) router: Arc<dyn Router>,
    pub(crate) overlay: Option<Arc<crate::overlay::Shared>>,
    pub(crate) table: Table,
    pub(crate) links: Links,
    pub(crate) awaited: Awaited,
    pub(crate) circuits: Arc<Circuits>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) tls: TlsTransport,
    pub(crate) known: Mutex<BTreeSet<PeerId>>,
    pub(crate) blocked: Mutex<BTreeSet<PeerId>>,
    pub(crate) kept: Mutex<BTreeMap<PeerId, Kept>>,
    pub(crate) dialling: Dialling,
    pub(crate) oneself: tokio::sync::Mutex<Option<Arc<Link>>>,
    pub(crate) local_addrs: Mutex<Vec<SocketAddr>>,
    pub(super) callers: Arc<Callers>,
    pub(crate) advertise: Vec<Addr>,
    pub(crate) recent_addrs: addrs::Recent<Vec<Addr>>,
    pub(crate) own_ips: addrs::Recent<Vec<IpAddr>>,
    pub(crate) request_timeout: Duration,
    pub(crate) budget: Arc<Budget>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) max_connections: usize,
    pub(crate) classic: Classic,
    pub(super) per_prefix: PerPrefix,
    pub(crate) events: Mutex<Option<broadcast::Sender<Event>>>,
    pub(crate) down: watch::Sender<bool>,
    /// Counts the tasks that hold listening sockets.
    pub(crate) listening: watch::Sender<usize>,
}

impl Inner {
    pub(crate) fn tell(&self, event: Event) {
        if let Some(events) = &*lock(&self.events) {
            // No listener is no error.
            let _ = events.send(event);
        }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Event> {
        match &*lock(&self.events) {
            Some(events) => events.subscribe(),
            None => broadcast::channel(1).1,
        }
    }

    pub(crate) fn is_down(&self) -> bool {
        *self.down.borrow()
    }

    /// Who serves streams of this kind for this peer; an outcome when nobody does.
    pub(crate) fn stream_handler(
        &self,
        peer: PeerId,
        kind: &Kind,
    ) -> Result<Arc<dyn StreamHandler>, Outcome> {
        let (access, handler) = lock(&self.stream_handlers).get(kind).cloned().ok_or(Outcome::NoHandler)?;
        self.check_access(peer, access)?;
        Ok(handler)
    }

    fn check_access(&self, peer: PeerId, access: Access) -> Result<(), Outcome> {
        let open = access == Access::Proven || peer == self.id || self.is_known(peer);
        if open { Ok(()) } else { Err(Outcome::Denied) }
    }

    pub(crate) fn own_addrs(&self) -> Vec<Addr> {
        if !self.advertise.is_empty() {
            return self.advertise.clone();
        }
        addrs::usable(&lock(&self.local_addrs))
    }

    /// The addresses of a peer in the table and among the kept.
    pub(crate) fn known_addrs(&self, peer: PeerId) -> Vec<Addr> {
        let kept = lock(&self.kept).get(&peer).map(|kept| kept.addr.clone());
        self.table.get(peer).into_iter().chain(kept).flat_map(|known| known.addrs).collect()
    }

    /// A session whose HELLO says where we can be reached now.
    pub(crate) fn session(&self, begun: Begun, carried: bool) -> Session {
        let role = if matches!(begun, Begun::Called(_)) { Role::Acceptor } else { Role::Dialer };
        let mut hello = self.hello.clone();
        if begun == Begun::InPassing {
            hello.features |= IN_PASSING;
        }
        hello.listen = self.recent_addrs.get(self.clock.now(), || self.own_addrs());
        let mut config = Config { budget: self.budget.clone(), ..Config::new(role, hello) };
        if carried {
            config.pong_within = limits::PONG_WITHIN_CARRIED;
        }
        Session::new(config, self.clock.now())
    }

    pub(crate) async fn shutdown(&self) {
        self.down.send_replace(true);
        lock(&self.kept).clear();
        let links = self.links.all();
        for link in &links {
            link.goodbye(GoodbyeReason::Shutdown, "");
        }
        if let Some(link) = self.oneself.lock().await.take() {
            link.goodbye(GoodbyeReason::Shutdown, "");
        }
        for link in links {
            // Bounded by the goodbye's own time-out.
            let _ = link.closed().wait_for(|closed| *closed).await;
        }
        let mut listening = self.listening.subscribe();
        let _ = listening.wait_for(|n| *n == 0).await;
        lock(&self.events).take();
    }

    /// Whether one more connection can be had, if need be in place of another.
    pub(super) fn has_room(&self, for_whom: PeerId) -> bool {
        self.links.introduced() < self.max_connections
            || self.is_chosen_peer(for_whom)
            || self.links.has_strangers()
    }

    /// Gives up the stranger that is missed least when there are too many, all in
    /// all or from where this link comes; `None` when there is none.
    fn make_room(&self, link: &Link) -> Option<Room> {
        if self.is_chosen(link) {
            return Some(Room::Free);
        }
        let crowded = link
            .prefix()
            .filter(|prefix| self.links.strangers_from(*prefix) >= self.per_prefix.strangers(*prefix));
        if crowded.is_none() && self.links.introduced() < self.max_connections {
            return Some(Room::Free);
        }
        if self.links.has_stranger(link.peer, crowded) {
            return Some(Room::ItsOwn);
        }
        self.tally.limit_connections.one();
        self.give_up_one(crowded).then_some(Room::Free)
    }

    /// Gives up the stranger that is missed least, which may be one that ends already;
    /// `false` when there is none.
    pub(super) fn give_up_one(&self, of: Option<IpAddr>) -> bool {
        let least = self.links.take_least(of, self.clock.now(), |link| self.is_chosen(link));
        let Some(link) = least else { return false };
        link.goodbye(GoodbyeReason::Full, "");
        true
    }

    fn is_known(&self, peer: PeerId) -> bool {
        lock(&self.known).contains(&peer)
    }

    /// Whether somebody here chose to be connected with this peer: it is not
    /// given up for another, and believed when it says that our key runs twice.
    pub(super) fn is_chosen(&self, link: &Link) -> bool {
        link.dialled || self.is_chosen_peer(link.peer)
    }

    fn is_chosen_peer(&self, peer: PeerId) -> bool {
        self.is_known(peer) || lock(&self.kept).contains_key(&peer)
    }

    /// What was chosen about a peer has changed.
    pub(super) fn choice_changed(&self, peer: PeerId) {
        self.links.choose(peer, self.is_chosen_peer(peer));
    }
}

/// Where there is room for a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Free,
    /// Who comes again when there is none takes the place he has, and nobody else's.
    ItsOwn,
}

/// The host of a peer's links.
pub(crate) struct PeerHost(pub(crate) Arc<Inner>);

impl Host for PeerHost {
    fn handler(&self, link: &Arc<Link>, kind: &Kind) -> Result<(Arc<dyn Handler>, Peer), Outcome> {
        let registered = self.0.registry.get(kind).ok_or(Outcome::NoHandler)?;
        self.0.check_access(link.peer, registered.access)?;
        Ok((registered.handler, Peer(self.0.clone())))
    }

    fn on_hello(&self, link: &Arc<Link>, hello: Hello) {
        let inner = &self.0;
        if link.peer == inner.id {
            // Our own key: this very process, or another one that has it.
            let oneself = hello.instance == inner.hello.instance;
            if !oneself {
                inner.tell(Event::KeyRunsTwice { peer: inner.id, at: link.addr.clone() });
            }
            let reason = if oneself { GoodbyeReason::Duplicate } else { GoodbyeReason::KeyRunsTwice };
            return link.goodbye(reason, "");
        }
        if lock(&inner.blocked).contains(&link.peer) {
            inner.tally.blocked.one();
            return link.goodbye(GoodbyeReason::Denied, "");
        }
        let Some(room) = inner.make_room(link) else {
            return link.goodbye(GoodbyeReason::Full, "");
        };
        match inner.links.register(link, inner.is_chosen(link), inner.clock.now()) {
            Verdict::Stays { first, instead_of } => {
                match instead_of {
                    Some((old, Ending::Replaced)) => old.goodbye(GoodbyeReason::Replaced, ""),
                    Some((old, Ending::Drains)) => old.drain(GoodbyeReason::Duplicate),
                    None => {}
                }
                if first {
                    if link.dialled {
                        inner.tally.dialled.one()
                    } else {
                        inner.tally.accepted.one()
                    }
                    inner.tell(Event::Connected {
                        peer: link.peer,
                        name: link.name(),
                        addr: link.addr.clone(),
                        over: link.over.clone(),
                        dialled: link.dialled,
                        in_passing: link.in_passing(),
                    });
                }
            }
            Verdict::Drains => link.drain(GoodbyeReason::Duplicate),
            Verdict::Twice(old) => {
                old.goodbye(GoodbyeReason::KeyRunsTwice, "");
                link.goodbye(GoodbyeReason::KeyRunsTwice, "");
                inner.tell(Event::KeyRunsTwice { peer: link.peer, at: link.addr.clone() });
            }
        }
        if room == Room::ItsOwn {
            for older in inner.links.take_older(link) {
                older.goodbye(GoodbyeReason::Full, "");
            }
        }
    }

    fn on_open_stream(&self, link: &Arc<Link>, id: u64, kind: Kind) {
        let served = stream::dial_asked(self.0.clone(), link.clone(), id, kind);
        spawn_until_down(&self.0, served);
    }

    fn on_stream_refused(&self, link: &Arc<Link>, id: u64, why: Outcome) {
        self.0.awaited.refused(link, id, why);
    }

    fn on_peer_drains(&self, link: &Arc<Link>) {
        self.0.links.retire(link);
        link.follow_drain();
    }

    fn down(&self) -> Option<watch::Receiver<bool>> {
        Some(self.0.down.subscribe())
    }

    fn on_panic(&self, _: &Arc<Link>, kind: Kind, text: String) {
        self.0.tell(Event::HandlerPanicked { kind, text });
    }

    fn on_over(&self, link: &Arc<Link>, over: &Over) {
        let tell = self.0.links.leave(link);
        // We are alive to hear that we were replaced: so there are two of us.
        if let Over::TheySaid(reason @ (GoodbyeReason::Replaced | GoodbyeReason::KeyRunsTwice), _) = over {
            let introduced = link.decided.borrow().is_some();
            let chosen = self.0.is_chosen_peer(link.peer) || (link.dialled && !link.in_passing());
            if introduced && chosen {
                if let Some(kept) = lock(&self.0.kept).get_mut(&link.peer) {
                    let twice = *reason == GoodbyeReason::KeyRunsTwice;
                    kept.heard_twice = twice.then(|| self.0.clock.now());
                }
                self.0.tell(Event::KeyRunsTwice { peer: self.0.id, at: link.addr.clone() });
            }
        }
        if tell {
            self.0.tell(Event::Disconnected { peer: link.peer, reason: over.words() });
        } else if let Over::WeSaid(GoodbyeReason::Denied | GoodbyeReason::Full, _) = over
            && link.decided.borrow().is_none()
        {
            let (peer, addr) = (Some(link.peer), link.addr.clone());
            self.0.tell(Event::Refused { peer, addr, reason: over.words() });
        }
    }
}

impl Peer {
    pub(crate) fn host(&self) -> Arc<dyn Host> {
        Arc::new(PeerHost(self.0.clone()))
    }
}

/// How many links a peer may have when nothing else was set.
pub(crate) const DEFAULT_CONNECTIONS: usize = limits::MAX_CONNECTIONS;
