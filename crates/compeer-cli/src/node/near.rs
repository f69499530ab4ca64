//! Who is near: this node on the local network, told of and looking around.
//!
//! `up` announces itself from the beginning; a command's own node looks around only when asked to, and tells of itself
//! only while it offers a code. With `--no-discovery` neither happens. What others announce is a claim: it finds an
//! address to try, and nothing else.

use super::{Node, Role};
use crate::exit::{CommandError, Outcome};
use compeer::discovery::{Announcement, Change, Changes, Discovery, DiscoveryError, Nearby, Settings};
use compeer::{Addr, Peer, PeerAddr};
use compeer_share::meet::Meeting;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long one looks around before what was seen counts as all there is. Measured between two namespaces: answers come
/// after 20 to 100 ms.
const LOOK: Duration = Duration::from_millis(500);
/// How long when nobody was seen. Who has answered somebody else a moment before does not do so again within a second
/// (RFC 6762 §6), and by then is asked once more.
const LOOK_AGAIN: Duration = Duration::from_millis(1200);
/// How long before a code gets its number. Longer is not worth it: two numbers are seldom the same.
const GLANCE: Duration = Duration::from_millis(300);

/// What a node knows of the local network. Clones are the same.
#[derive(Clone)]
pub(crate) struct Near(Arc<Shared>);

struct Shared {
    /// `None` with `--no-discovery`.
    settings: Option<Settings>,
    begun: Mutex<Option<(Arc<Discovery>, Instant)>>,
    /// Whether others near are told of this node.
    announced: AtomicBool,
    pub(super) meeting: Meeting,
}

impl Near {
    pub(super) fn new(peer: &Peer, settings: Option<Settings>) -> Near {
        Near(Arc::new(Shared {
            settings,
            begun: Mutex::default(),
            announced: AtomicBool::new(false),
            meeting: Meeting::attach(peer),
        }))
    }

    /// The codes this node offers.
    pub(super) fn meeting(&self) -> &Meeting {
        &self.0.meeting
    }

    /// Looks around from now on.
    ///
    /// # Errors
    ///
    /// The user does not want that, or the system does not let us.
    pub(super) fn discovery(&self) -> Outcome<Arc<Discovery>> {
        let Some(settings) = self.0.settings else {
            return Err(CommandError::usage("with --no-discovery nobody is looked for")
                .hint("name the other machine: --from HOST[:PORT]"));
        };
        let mut begun = lock(&self.0.begun);
        if let Some((discovery, _)) = &*begun {
            return Ok(discovery.clone());
        }
        let discovery =
            Discovery::start(settings).map_err(|error| CommandError::failed(error.to_string()))?;
        let discovery = Arc::new(discovery);
        *begun = Some((discovery.clone(), Instant::now()));
        Ok(discovery)
    }

    /// Looks around for so long; no time if that was done before.
    async fn look(&self, time: Duration) {
        let Ok(_) = self.discovery() else { return };
        let since = lock(&self.0.begun).as_ref().map(|(_, since)| *since);
        if let Some(since) = since {
            tokio::time::sleep_until(since + time).await;
        }
    }

    /// The numbers of codes that others offer, as far as a glance shows.
    pub(super) async fn numbers(&self) -> Vec<u16> {
        self.look(GLANCE).await;
        self.seen().into_iter().flat_map(|nearby| nearby.numbers).collect()
    }

    /// Who was seen; nobody if it was not looked around.
    pub(crate) fn seen(&self) -> Vec<Nearby> {
        lock(&self.0.begun).as_ref().map(|(discovery, _)| discovery.nearby()).unwrap_or_default()
    }

    /// Says goodbye for what was announced.
    pub(super) async fn leave(&self) {
        let begun = lock(&self.0.begun).take();
        if let Some(discovery) = begun.and_then(|(discovery, _)| Arc::into_inner(discovery)) {
            discovery.leave().await;
        }
    }
}

impl Node {
    /// For `up`: tells those near of this node from now on, and calls paired peers that come near, who may have another
    /// address than the last time. A command's own node does the latter only.
    pub(crate) fn be_near(&self) {
        self.announce();
        if let Ok(discovery) = self.near.discovery() {
            tokio::spawn(self.clone().follow(discovery.changes()));
        }
    }

    async fn follow(self, mut changes: Changes) {
        // One at a time: there is no hurry, and nobody is to make us call all around.
        while let Some(change) = changes.next().await {
            let Change::Found(nearby) = change else { continue };
            let (id, known) = (nearby.peer.id, self.peer.is_known(nearby.peer.id));
            if known && !self.peer.is_blocked(id) && self.connection(id).is_none() {
                // If that fails, it is tried again at the addresses of old.
                let _ = self.peer.connect(nearby.peer).await;
            }
        }
    }

    /// The same addresses, and those at which the peer says it is near.
    pub(super) fn with_near(&self, mut peer: PeerAddr) -> PeerAddr {
        let near = self.near.seen().into_iter().find(|nearby| nearby.peer.id == peer.id);
        let new = |addr: &Addr| !peer.addrs.contains(addr);
        let near: Vec<_> = near.into_iter().flat_map(|near| near.peer.addrs).filter(new).collect();
        peer.addrs.extend(near);
        peer.addrs.truncate(compeer::limits::MAX_ADDRS);
        peer
    }

    /// Tells those near what this node is now and which codes it offers; or nothing, when it is a command's own and
    /// offers none.
    pub(super) fn announce(&self) {
        let numbers = self.near.meeting().numbers();
        let Ok(discovery) = self.near.discovery() else { return };
        if numbers.is_empty() && self.state.role == Role::Alone {
            self.near.0.announced.store(false, Ordering::Relaxed);
            return discovery.withdraw();
        }
        let announced = discovery.announce(Announcement::of(&self.peer).with_numbers(numbers));
        self.near.0.announced.store(announced.is_ok(), Ordering::Relaxed);
        match announced {
            Ok(()) => {}
            Err(DiscoveryError::NoAddress) => tracing::info!("not announced: only this machine can reach it"),
            Err(error) => tracing::warn!(%error, "not announced"),
        }
    }

    /// Whether others near are told of this node.
    pub(crate) fn is_announced(&self) -> bool {
        self.near.0.announced.load(Ordering::Relaxed)
    }

    /// Looks around, if that was not done before; who is near then.
    pub(crate) async fn look_around(&self) -> Vec<Nearby> {
        self.near.look(LOOK).await;
        if self.near.seen().is_empty() {
            self.near.look(LOOK_AGAIN).await;
        }
        self.near.seen()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
