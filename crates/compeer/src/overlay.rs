//! The overlay: finding peers and contents by their key, over peers that know others.
//!
//! The machine is [`compeer_proto::overlay`] (Kademlia with disjoint paths); here it is driven: its questions
//! are requests of the kind [`FIND`], its records are handed over by [`KEEP`], and whoever calls is tested by
//! calling back. A peer takes part when it was built with [`Builder::overlay`](crate::Builder::overlay). It enters through
//! any peer that it is connected with and that takes part too, or through those given to [`Overlay::join`].
//!
//! What is here: the handle. `overlay/drive.rs` does what the machine asks for, `overlay/serve.rs` answers others,
//! `overlay/router.rs` finds the way to a peer of which only the id is known.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use compeer_proto::overlay::{Contact, Goal, Overlay as Machine, Subject};
use compeer_proto::{PeerAddr, PeerId};
use tokio::sync::{Notify, oneshot};

pub use compeer_proto::overlay::{Busy, Distance, Key, Outcome, Record, Step, StepEnd};

use crate::router::{Asked, Hop};
use crate::{Identity, Peer, lock};

mod drive;
mod router;
mod serve;

pub(crate) use drive::drive;
pub use router::Kademlia;
pub(crate) use serve::handlers;

/// The kind of a question: who is closest to a key, and what is kept there?
pub const FIND: &str = "compeer/overlay/find";

/// The kind by which a record is handed over, to be kept.
pub const KEEP: &str = "compeer/overlay/keep";

/// Feature bit of HELLO: the sender takes part in the overlay.
pub(crate) const FEATURE: u64 = 1;

/// The overlay as one peer takes part in it. Clones are the same; get it from [`Peer::overlay`].
///
/// ```
/// use compeer::Peer;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let alice = Peer::builder().listen("127.0.0.1:0").overlay().spawn().await?;
/// let bob = Peer::builder().listen("127.0.0.1:0").overlay().spawn().await?;
/// let carol = Peer::builder().listen("127.0.0.1:0").overlay().spawn().await?;
/// // Both know Alice only, and find each other by id.
/// for peer in [&bob, &carol] {
///     peer.overlay().unwrap().join([alice.addr()]);
/// }
/// let found = loop {
///     match carol.overlay().unwrap().find_peer(bob.id()).await? {
///         Some(found) => break found,
///         None => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
///     }
/// };
/// assert_eq!(found.addrs[0].to_string(), bob.local_addrs()[0].to_string());
/// # for peer in [alice, bob, carol] { peer.shutdown().await; }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Overlay {
    peer: Peer,
    shared: Arc<Shared>,
}

/// What the tasks of the overlay share.
pub(crate) struct Shared {
    identity: Identity,
    machine: Mutex<Machine>,
    changed: Notify,
    /// Who waits for a look-up.
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<Outcome>>>,
}

/// A peer of the routing table, for who wants to show or store it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OverlayPeer {
    /// Who and where.
    pub addr: PeerAddr,
    /// How many bits its key shares with ours: the more, the closer.
    pub bits: usize,
    /// How long ago it was last heard of.
    pub silent: std::time::Duration,
    /// How often it failed since.
    pub failures: u8,
}

impl Shared {
    pub(crate) fn new(identity: Identity, seed: u64, now: compeer_proto::Time) -> Self {
        let machine = Mutex::new(Machine::new(identity.peer_id(), seed, now));
        Shared { identity, machine, changed: Notify::new(), waiting: Mutex::default() }
    }

    /// Does something with the machine, and has done what comes of it.
    fn with<T>(&self, verb: impl FnOnce(&mut Machine) -> T) -> T {
        let result = verb(&mut lock(&self.machine));
        self.changed.notify_one();
        result
    }
}

impl Peer {
    /// The overlay, if this peer takes part in it ([`Builder::overlay`](crate::Builder::overlay)).
    pub fn overlay(&self) -> Option<Overlay> {
        Overlay::of(self)
    }
}

impl Overlay {
    pub(crate) fn of(peer: &Peer) -> Option<Self> {
        let shared = peer.0.overlay.clone()?;
        Some(Overlay { peer: peer.clone(), shared })
    }

    fn now(&self) -> compeer_proto::Time {
        self.peer.clock().now()
    }

    /// Enters the overlay over these peers, or looks around anew: for those near to itself, and at all distances.
    /// Peers with no address are left out.
    pub fn join(&self, over: impl IntoIterator<Item = PeerAddr>) {
        let over = over.into_iter().map(Contact::new).filter(|contact| !contact.addrs().is_empty());
        self.shared.with(|machine| machine.join(over, self.now()));
    }

    /// Names peers that may take part, as those of an earlier run. Nobody is called for it: they are asked when
    /// something is looked up and few are known.
    pub fn remember(&self, peers: impl IntoIterator<Item = PeerAddr>) {
        let peers = peers.into_iter().map(Contact::new);
        lock(&self.shared.machine).remember(peers);
    }

    /// Where a peer is: as it says itself in its newest record, or where another peer reached it. `None` when nobody knows.
    ///
    /// # Errors
    /// [`Busy`]: too many look-ups at a time.
    pub async fn find_peer(&self, id: PeerId) -> Result<Option<PeerAddr>, Busy> {
        if let Some(known) = self.peer.connections().iter().find(|c| c.peer_id == id && c.dialled) {
            return Ok(Some(PeerAddr::new(id, known.addr.clone())));
        }
        let outcome = self.look_up(Key::of_peer(&id), true).await?;
        let met = outcome.met.map(|contact| contact.to_peer_addr());
        let told = outcome.records.iter().find(|record| record.subject() == Subject::Peer(id));
        let told = told.map(|record| self.sensible(record.publisher()));
        let addrs: Vec<_> = met.into_iter().chain(told).flat_map(|peer| peer.addrs).collect();
        Ok((!addrs.is_empty()).then(|| PeerAddr::new(id, addrs)))
    }

    /// The next hop towards a peer: itself where it was not tried, or one of those that its record names as carriers.
    async fn way(&self, to: PeerId, asked: &Asked) -> Option<Hop> {
        let outcome = self.look_up(Key::of_peer(&to), true).await.ok()?;
        let record = outcome.records.iter().find(|record| record.subject() == Subject::Peer(to));
        let met = outcome.met.iter().map(|contact| contact.to_peer_addr());
        let itself = met.chain(record.map(|record| self.sensible(record.publisher())));
        let carriers =
            record.into_iter().flat_map(|record| record.carriers()).map(|carrier| self.sensible(carrier));
        let mut hops = itself.chain(carriers).map(Hop::from);
        hops.find_map(|mut hop| {
            if hop.peer == to {
                hop.addrs.retain(|addr| !asked.tried.contains(addr));
            }
            let left_out = asked.without.contains(&hop.peer) || hop.peer == self.peer.id();
            (!left_out && !hop.addrs.is_empty()).then_some(hop)
        })
    }

    /// The addresses of a record that may be called: on the internet, or on a network that this peer is on itself.
    fn sensible(&self, told: &PeerAddr) -> PeerAddr {
        let own = Contact::new(PeerAddr::new(self.peer.id(), self.peer.addr().addrs));
        Contact::new(told.clone()).near(&own).to_peer_addr()
    }

    /// Who says that it has a content, named by its BLAKE3 root, and where they are. At most
    /// [`MAX_RECORDS_OF_KEY`](crate::limits::MAX_RECORDS_OF_KEY).
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn providers(&self, root: [u8; 32]) -> Result<Vec<PeerAddr>, Busy> {
        let outcome = self.look_up(Key::of_content(&root), false).await?;
        let about = outcome.records.iter().filter(|record| record.subject() == Subject::Content(root));
        Ok(about
            .map(|record| self.sensible(record.publisher()))
            .filter(|peer| peer.id != self.peer.id())
            .collect())
    }

    /// Looks up a key, and tells each step. `quick`: until two peers gave a record; else until all is known that can be found.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn look_up(&self, key: Key, quick: bool) -> Result<Outcome, Busy> {
        let (done, outcome) = oneshot::channel();
        let goal = if quick { Goal::Quick } else { Goal::Thorough };
        let number = {
            // Before anybody can see that it is over.
            let mut waiting = lock(&self.shared.waiting);
            let number = self.shared.with(|machine| machine.look_up(key, goal, self.now()))?;
            waiting.insert(number, done);
            number
        };
        let _forget = Forget { shared: &self.shared, number };
        let mut down = self.peer.0.down.subscribe();
        let mut found = tokio::select! {
            biased;
            _ = down.wait_for(|down| *down) => Outcome::default(),
            outcome = outcome => outcome.unwrap_or_default(),
        };
        // Whoever keeps a record may tell of it for longer than it holds.
        let wall = self.wall();
        found.records.retain(|record| record.lasts(wall).is_some());
        Ok(found)
    }

    /// Says to others, now and again and again, that this peer has a content.
    ///
    /// # Errors
    /// [`Busy`]: [`MAX_PUBLISHED`](crate::limits::MAX_PUBLISHED) are published already.
    pub fn provide(&self, root: [u8; 32]) -> Result<(), Busy> {
        self.shared.with(|machine| machine.announce(Subject::Content(root), self.now()))
    }

    /// Says so no longer. What others keep ends within two hours.
    pub fn withdraw(&self, root: [u8; 32]) {
        self.shared.with(|machine| machine.withdraw(&Subject::Content(root)));
    }

    /// The routing table: whom this peer would ask.
    pub fn peers(&self) -> Vec<OverlayPeer> {
        let machine = lock(&self.shared.machine);
        let (now, me) = (self.now(), machine.key());
        let peers = machine.table().iter().map(|entry| OverlayPeer {
            addr: entry.contact.to_peer_addr(),
            bits: entry.contact.key().shared_bits(&me),
            silent: now.since(entry.seen),
            failures: entry.failures,
        });
        peers.collect()
    }

    /// How many records of others are kept here.
    pub fn kept(&self) -> usize {
        lock(&self.shared.machine).store().len()
    }

    /// By how many peers the record of this peer itself is kept: 0 as long as nobody can find it.
    pub fn known_by(&self) -> usize {
        let me = Subject::Peer(self.peer.id());
        let machine = lock(&self.shared.machine);
        machine.published().find(|(subject, _)| *subject == me).map_or(0, |(_, holders)| holders)
    }

    /// Seconds since 1970.
    fn wall(&self) -> u64 {
        self.peer.clock().wall().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}

/// Ends a look-up for which nobody waits any more.
struct Forget<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(&self.shared.waiting).remove(&self.number);
        self.shared.with(|machine| machine.cancel(self.number));
    }
}
