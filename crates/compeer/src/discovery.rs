//! Who is near: announcing a peer on the local network, and hearing of others.
//!
//! Multicast DNS (RFC 6762) with service discovery (RFC 6763), so that two
//! machines on one network find each other with nothing between them and nothing
//! to set up. The service is [`SERVICE`]; an instance is called by its PeerId,
//! and its TXT record says its nickname and the numbers of the spoken codes that
//! it answers to. What an announcement says is a claim, its words raw: what counts
//! is the key that is proven on connecting. It may only name addresses on networks
//! that this machine is on, so that nobody can make us call the rest of the world.
//!
//! The protocol itself is done by `mdns-sd`, on a thread of its own. It keeps
//! whatever answers to our questions; when that grows beyond
//! [`MAX_NEARBY_RECORDS`](limits::MAX_NEARBY_RECORDS) it is thrown away and begun
//! anew. Our own table has a bound of its own, [`MAX_NEARBY`](limits::MAX_NEARBY). This is not part of a
//! [`Peer`]: a program that does not ask for it sends no packet of this kind.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use compeer_proto::{PeerAddr, PeerId};
use mdns_sd::{IfKind, ServiceDaemon, ServiceEvent, ServiceInfo};
use tokio::sync::watch;

use crate::{Peer, limits, lock};

mod record;
mod table;
#[cfg(test)]
mod tests;

use table::Near;

/// The service type, as in `dns-sd -B _compeer._tcp`.
pub const SERVICE: &str = "_compeer._tcp.local.";

/// Where to announce and to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The UDP port. RFC 6762 §5: 5353. Another one is for tests.
    pub port: u16,
    /// Only within this machine, for tests.
    pub loopback: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { port: mdns_sd::MDNS_PORT, loopback: false }
    }
}

/// What to tell those near.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Who.
    pub id: PeerId,
    /// What it calls itself, at most 64 bytes.
    pub name: Option<String>,
    /// Where its sockets listen. An unspecified address stands for those of all
    /// interfaces; loopback is left out, but for tests.
    pub listen: Vec<SocketAddr>,
    /// The numbers of the codes it answers to, at most
    /// [`MAX_CODE_NUMBERS`](limits::MAX_CODE_NUMBERS) of them.
    pub numbers: Vec<u16>,
}

impl Announcement {
    /// A peer as it is now: its id, its nickname and where it listens.
    pub fn of(peer: &Peer) -> Self {
        let (id, name, listen) = (peer.id(), peer.name(), peer.local_addrs());
        Announcement { id, name, listen, numbers: Vec::new() }
    }

    /// The same with these code numbers.
    pub fn with_numbers(mut self, numbers: impl IntoIterator<Item = u16>) -> Self {
        self.numbers = numbers.into_iter().collect();
        self
    }
}

/// Somebody who announces himself here. Claims, all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearby {
    /// Who, and where he says he is, best first.
    pub peer: PeerAddr,
    /// What he calls himself, raw: escape it when it is shown.
    pub name: Option<String>,
    /// The numbers of the codes he answers to.
    pub numbers: Vec<u16>,
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Somebody announces himself, or something else than before.
    Found(Nearby),
    /// He said goodbye, or was not heard of any more.
    Lost(PeerId),
}

/// Why nobody can be heard or told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// The peer listens nowhere that others could reach.
    #[error("this peer listens nowhere that others could reach, so there is nothing to announce")]
    NoAddress,
    /// The system does not let us.
    #[error("cannot use multicast DNS: {0}")]
    System(String),
}

impl From<mdns_sd::Error> for DiscoveryError {
    fn from(error: mdns_sd::Error) -> Self {
        DiscoveryError::System(error.to_string())
    }
}

/// Hears who is near, and tells them of a peer if asked to.
///
/// It begins to listen at once. Dropped, it says goodbye for what it announced;
/// [`Discovery::leave`] waits until that is said.
///
/// ```
/// use compeer::Peer;
/// use compeer::discovery::{Announcement, Change, Discovery, Settings};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let settings = Settings { port: 45_353, loopback: true }; // or Settings::default()
/// let alice = Peer::builder().listen("127.0.0.1:0").name("alice").spawn().await?;
/// let announced = Discovery::start(settings)?;
/// announced.announce(Announcement::of(&alice).with_numbers([7]))?;
///
/// let discovery = Discovery::start(settings)?;
/// let mut changes = discovery.changes();
/// # let wait = async {
/// while let Some(change) = changes.next().await {
///     if let Change::Found(nearby) = change {
///         assert_eq!((nearby.peer.id, nearby.numbers), (alice.id(), vec![7]));
///         break;
///     }
/// }
/// # };
/// # let _ = tokio::time::timeout(std::time::Duration::from_secs(10), wait).await;
/// announced.leave().await;
/// # alice.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Discovery {
    shared: Arc<Shared>,
    listening: tokio::task::JoinHandle<()>,
}

struct Shared {
    settings: Settings,
    daemon: Mutex<ServiceDaemon>,
    announced: Mutex<Option<ServiceInfo>>,
    near: watch::Sender<Near>,
    /// How many records the library may keep.
    most: i64,
}

impl Discovery {
    /// Begins to listen for others. For use within a tokio runtime.
    ///
    /// # Errors
    /// [`DiscoveryError::System`]. That a network does not carry multicast is no
    /// error: then nobody is near.
    pub fn start(settings: Settings) -> Result<Discovery, DiscoveryError> {
        let (daemon, events) = begin(&settings)?;
        let shared = Arc::new(Shared {
            settings,
            daemon: Mutex::new(daemon),
            announced: Mutex::default(),
            near: watch::Sender::default(),
            most: limits::MAX_NEARBY_RECORDS,
        });
        let listening = tokio::spawn(listen(shared.clone(), events));
        Ok(Discovery { shared, listening })
    }

    /// Tells those near of a peer, from now on; what was announced before is
    /// corrected.
    ///
    /// # Errors
    /// [`DiscoveryError::NoAddress`], [`DiscoveryError::System`].
    pub fn announce(&self, announcement: Announcement) -> Result<(), DiscoveryError> {
        let shared = &self.shared;
        let info = record::write(&announcement, shared.settings.loopback)?;
        shared.near.send_if_modified(|near| near.set_own(announcement.id));
        let mut announced = lock(&shared.announced);
        let same = |before: &ServiceInfo| {
            before.get_fullname() == info.get_fullname()
                && before.get_port() == info.get_port()
                && before.get_properties().iter().eq(info.get_properties().iter())
                && before.get_addresses() == info.get_addresses()
        };
        if announced.as_ref().is_some_and(same) {
            return Ok(());
        }
        lock(&shared.daemon).register(info.clone())?;
        *announced = Some(info);
        Ok(())
    }

    /// Says goodbye for what was announced, and goes on listening.
    pub fn withdraw(&self) {
        if let Some(info) = lock(&self.shared.announced).take() {
            // A thread that is gone has said it.
            let _ = lock(&self.shared.daemon).unregister(info.get_fullname());
        }
    }

    /// Who is near, as far as has been heard; by id.
    pub fn nearby(&self) -> Vec<Nearby> {
        self.shared.near.borrow().all().values().cloned().collect()
    }

    /// Who is near now, each as [`Change::Found`], and then what changes. None is
    /// lost, however slowly they are read.
    pub fn changes(&self) -> Changes {
        let mut near = self.shared.near.subscribe();
        near.mark_changed();
        Changes { near, told: BTreeMap::new(), ready: VecDeque::new() }
    }

    /// Says goodbye and waits until it is said, half a second at most.
    pub async fn leave(self) {
        self.listening.abort();
        stop(&self.shared).await;
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.listening.abort();
        // It says goodbye on its way out.
        let _ = lock(&self.shared.daemon).shutdown();
    }
}

/// How long saying goodbye may take. A guess: it takes a millisecond.
const LEAVE_WITHIN: Duration = Duration::from_millis(500);

/// How long the library may take to answer. A guess: it has one thread, which never waits long.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How often it is seen to what the library keeps.
const LOOKED_AFTER: Duration = Duration::from_secs(5);

type Heard = mdns_sd::Receiver<ServiceEvent>;

/// A daemon on the right interfaces that browses.
fn begin(settings: &Settings) -> Result<(ServiceDaemon, Heard), DiscoveryError> {
    let daemon = ServiceDaemon::new_with_port(settings.port)?;
    if settings.loopback {
        daemon.disable_interface(IfKind::All)?;
        daemon.enable_interface(IfKind::LoopbackV4)?;
    } else if record::has_network() {
        daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?;
    }
    let events = daemon.browse(SERVICE)?;
    Ok((daemon, events))
}

/// Takes in what is heard, until dropped.
async fn listen(shared: Arc<Shared>, mut events: Heard) {
    let mut look = tokio::time::interval(LOOKED_AFTER);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let begin_anew = tokio::select! {
            biased;
            _ = look.tick() => too_much(&shared).await,
            event = events.recv_async() => match event {
                Ok(event) => {
                    take_in(&shared, event);
                    false
                }
                // The library gives up on who reads too slowly.
                Err(_) => true,
            },
        };
        if begin_anew {
            match restart(&shared).await {
                Ok(heard) => events = heard,
                Err(error) => {
                    tracing::warn!(%error, "nobody near can be heard any more");
                    return;
                }
            }
            // A flood is not to be a flood of restarts.
            look.reset();
            look.tick().await;
        }
    }
}

fn take_in(shared: &Shared, event: ServiceEvent) {
    match event {
        ServiceEvent::ServiceResolved(service) => {
            if let Some(nearby) = record::read(&service, shared.settings.loopback) {
                shared.near.send_if_modified(|near| near.found(nearby));
            }
        }
        ServiceEvent::ServiceRemoved(_, fullname) => {
            if let Some(id) = record::id_of(&fullname) {
                shared.near.send_if_modified(|near| near.lost(id));
            }
        }
        _ => {}
    }
}

/// Whether the library keeps more than it may, or does not answer any more.
async fn too_much(shared: &Shared) -> bool {
    kept(shared).await.is_none_or(|kept| kept > shared.most)
}

/// How many records the library keeps, if it answers.
async fn kept(shared: &Shared) -> Option<i64> {
    let metrics = lock(&shared.daemon).get_metrics().ok()?;
    // What is asked as its thread ends is never answered.
    let metrics = tokio::time::timeout(ANSWER_WITHIN, metrics.recv_async()).await.ok()?.ok()?;
    Some(metrics.iter().filter(|(key, _)| key.starts_with("cached-")).map(|(_, n)| *n).sum())
}

/// Forgets everything and begins anew, with the same announcement.
async fn restart(shared: &Shared) -> Result<Heard, DiscoveryError> {
    // Its goodbye first: after the new greeting it would undo that.
    stop(shared).await;
    let (daemon, events) = begin(&shared.settings)?;
    let announced = lock(&shared.announced);
    if let Some(info) = &*announced {
        daemon.register(info.clone())?;
    }
    *lock(&shared.daemon) = daemon;
    shared.near.send_if_modified(Near::clear);
    Ok(events)
}

/// Says goodbye and waits until it is said.
async fn stop(shared: &Shared) {
    // One whose thread is gone has said it.
    let status = lock(&shared.daemon).shutdown();
    if let Ok(status) = status {
        let _ = tokio::time::timeout(LEAVE_WITHIN, status.recv_async()).await;
    }
}

/// Who comes and goes near: made by [`Discovery::changes`].
pub struct Changes {
    near: watch::Receiver<Near>,
    told: BTreeMap<PeerId, Nearby>,
    ready: VecDeque<Change>,
}

impl Changes {
    /// The next change; `None` when the [`Discovery`] is gone.
    pub async fn next(&mut self) -> Option<Change> {
        while self.ready.is_empty() {
            self.near.changed().await.ok()?;
            let near = self.near.borrow_and_update();
            let lost = self.told.keys().filter(|id| !near.all().contains_key(id)).copied().map(Change::Lost);
            self.ready.extend(lost);
            let found = near.all().values().filter(|nearby| self.told.get(&nearby.peer.id) != Some(nearby));
            self.ready.extend(found.cloned().map(Change::Found));
            self.told = near.all().clone();
        }
        self.ready.pop_front()
    }
}
