//! What a node remembers while it runs, shared by its handlers.
//!
//! Store, names, feed, and who asked to be paired. All of it lives as long as the node; what outlives it is in the store.
//! Locks are held for the length of one look-up and never across an await.

use super::Role;
use super::asked::Asked;
use super::event::NodeEvent;
use super::feed::{Delivery, Feed};
use super::work::Work;
use crate::exit::Outcome;
use crate::home::Home;
use crate::names::Names;
use crate::store::Store;
use compeer::{Addr, PeerId};
use rustix::time::{ClockId, clock_gettime};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};

/// Names remembered of those who were connected. A guess: more than come in the moment between an event and its telling.
const MAX_RECENT: usize = 256;
/// How long the name of somebody who has just come is waited for.
const NAME_WITHIN: Duration = Duration::from_millis(200);

/// Pairing requests held at a time. A guess: more than a person would answer.
pub(crate) const MAX_PENDING: usize = 16;

/// What the handlers of a node share.
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) feed: Feed,
    pub(crate) role: Role,
    pub(crate) id: PeerId,
    /// The name told to others.
    pub(crate) name: String,
    pub(crate) home: PathBuf,
    pub(crate) since: Instant,
    /// How far the wall clock was ahead of the machine's uptime then, in milliseconds.
    ahead_ms: i64,
    /// What happens from the very beginning, for the screen of `up`.
    first_reader: Mutex<Option<mpsc::Receiver<Delivery>>>,
    /// Set when what is kept is shared again.
    pub(crate) restored: tokio::sync::OnceCell<()>,
    /// Becomes true when somebody asks the node to stop.
    pub(crate) stop: watch::Sender<bool>,
    names: Mutex<Names>,
    /// How those connected are called on the screen. As many as there are connections, which the library bounds.
    connected: Mutex<BTreeMap<PeerId, String>>,
    /// How those were called who came last, the latest at the end; they may have gone.
    recent: watch::Sender<VecDeque<(PeerId, String)>>,
    /// Why kept peers are not connected. As many as the user keeps.
    retrying: Mutex<BTreeMap<PeerId, String>>,
    /// Kept peers that have left and are not back.
    missed: Mutex<BTreeSet<PeerId>>,
    pending: Mutex<Vec<(PeerId, Option<String>)>>,
    /// What paired peers would like us to fetch.
    pub(crate) asked: Asked,
    /// What commands answer for this node.
    pub(crate) work: Work,
    /// Addresses that are being dialled. As many as there are commands at work.
    first_contacts: Mutex<BTreeMap<Addr, Weak<tokio::sync::Mutex<()>>>>,
    /// The port wanted that another program had; 0: none.
    taken_port: AtomicU16,
}

impl State {
    pub(crate) fn new(home: &Home, store: Store, role: Role, id: PeerId, name: String) -> Outcome<State> {
        let petnames = store.peers()?.into_iter().filter_map(|known| Some((known.id, known.petname?)));
        let names = Names::new(petnames.collect::<BTreeMap<_, _>>());
        let feed = Feed::default();
        let first_reader = Mutex::new((role == Role::Up).then(|| feed.read(None)));
        Ok(State {
            store,
            feed,
            first_reader,
            role,
            id,
            name,
            home: home.dir().to_path_buf(),
            since: Instant::now(),
            ahead_ms: wall_ahead_ms(),
            restored: tokio::sync::OnceCell::new(),
            stop: watch::Sender::new(false),
            names: Mutex::new(names),
            connected: Mutex::default(),
            recent: watch::Sender::default(),
            retrying: Mutex::default(),
            missed: Mutex::default(),
            pending: Mutex::default(),
            asked: Asked::default(),
            work: Work::default(),
            first_contacts: Mutex::default(),
            taken_port: AtomicU16::new(0),
        })
    }

    /// The reader of everything that has happened since the beginning, once.
    pub(crate) fn first_reader(&self) -> mpsc::Receiver<Delivery> {
        lock(&self.first_reader).take().unwrap_or_else(|| self.feed.read(None))
    }

    /// Held while an address is dialled, so that only one command meets a stranger there.
    pub(crate) fn first_contact(&self, addr: &Addr) -> Arc<tokio::sync::Mutex<()>> {
        let mut contacts = lock(&self.first_contacts);
        contacts.retain(|_, contact| contact.strong_count() > 0);
        if let Some(contact) = contacts.get(addr).and_then(Weak::upgrade) {
            return contact;
        }
        let contact = Arc::default();
        contacts.insert(addr.clone(), Arc::downgrade(&contact));
        contact
    }

    /// By how many milliseconds the wall clock was set since the node began; negative: back.
    pub(crate) fn clock_set_ms(&self) -> i64 {
        wall_ahead_ms() - self.ahead_ms
    }

    /// Notes that the port wanted was taken.
    pub(crate) fn moved_from(&self, port: u16) {
        self.taken_port.store(port, Ordering::Relaxed);
    }

    /// The port wanted, if it was taken.
    pub(crate) fn taken_port(&self) -> Option<u16> {
        Some(self.taken_port.load(Ordering::Relaxed)).filter(|port| *port != 0)
    }

    /// How a peer is called on the screen, escaped.
    pub(crate) fn shown_name(&self, id: PeerId, nickname: Option<&str>) -> String {
        lock(&self.names).show(id, nickname)
    }

    /// How a peer is called that does something now, or did a moment ago: it may have gone already, or its coming may not
    /// be told yet.
    pub(crate) async fn name_of(&self, id: PeerId) -> String {
        if let Some(petname) = self.petname(id) {
            return petname;
        }
        let mut recent = self.recent.subscribe();
        let came = recent.wait_for(|recent| recent.iter().any(|(known, _)| *known == id));
        if let Ok(Ok(recent)) = tokio::time::timeout(NAME_WITHIN, came).await
            && let Some((_, name)) = recent.iter().find(|(known, _)| *known == id)
        {
            return name.clone();
        }
        self.shown_name(id, None)
    }

    /// The name the user gave a peer.
    pub(crate) fn petname(&self, id: PeerId) -> Option<String> {
        lock(&self.names).petname(id)
    }

    /// Notes why a peer cannot be reached; whether that is news. It is tried again for as long as it takes, and one line
    /// says all there is to say until the reason changes.
    pub(crate) fn retrying(&self, id: PeerId, reason: &str) -> bool {
        if lock(&self.missed).contains(&id) {
            return false;
        }
        lock(&self.retrying).insert(id, reason.to_string()).is_none_or(|before| before != reason)
    }

    /// Whether another key where this peer should be is news.
    pub(crate) fn another_key(&self, id: PeerId, proven: PeerId) -> bool {
        let proven = proven.to_string();
        lock(&self.retrying).insert(id, proven.clone()).is_none_or(|before| before != proven)
    }

    /// Notes that a kept peer has left, and that it was said that it is called again.
    pub(crate) fn missed(&self, id: PeerId) {
        lock(&self.missed).insert(id);
    }

    /// Notes that a peer is connected and tells the feed, once: whoever notices first, be it the library's event or a
    /// request that was quicker, so that nobody is seen to speak before he came.
    pub(crate) fn connected(&self, id: PeerId, nickname: Option<&str>, addr: Option<String>, dialled: bool) {
        let name = self.shown_name(id, nickname);
        self.recent.send_modify(|recent| {
            recent.retain(|(known, _)| *known != id);
            recent.push_back((id, name.clone()));
            if recent.len() > MAX_RECENT {
                recent.pop_front();
            }
        });
        // Held until it is told: who finds the entry may rely on that.
        let mut connected = lock(&self.connected);
        if connected.insert(id, name.clone()).is_none() {
            lock(&self.retrying).remove(&id);
            lock(&self.missed).remove(&id);
            self.feed.tell(NodeEvent::Connected { peer: id, name, addr, dialled });
        }
    }

    /// How a peer that has gone was called; `None` when nobody was told that it came.
    pub(crate) fn disconnected(&self, id: PeerId) -> Option<String> {
        let name = lock(&self.connected).remove(&id)?;
        Some(lock(&self.names).petname(id).unwrap_or(name))
    }

    /// Notes a pairing, or its end, for the screen.
    pub(crate) fn set_petname(&self, id: PeerId, petname: Option<String>) {
        lock(&self.names).set_petname(id, petname);
    }

    /// Notes that a peer asks to be paired; whether that is news. The oldest of too many is forgotten.
    pub(crate) fn ask(&self, id: PeerId, nickname: Option<String>) -> bool {
        let mut pending = lock(&self.pending);
        if pending.iter().any(|(asked, _)| *asked == id) {
            return false;
        }
        if pending.len() >= MAX_PENDING {
            pending.remove(0);
        }
        pending.push((id, nickname));
        true
    }

    /// Takes a request to be paired off the list.
    pub(crate) fn answered(&self, id: PeerId) {
        lock(&self.pending).retain(|(asked, _)| *asked != id);
    }

    /// Who asked to be paired and was not answered, the oldest first.
    pub(crate) fn pending(&self) -> Vec<(PeerId, Option<String>)> {
        lock(&self.pending).clone()
    }
}

/// How far the wall clock is ahead of the time since the machine was started, sleep included, in milliseconds: always the
/// same, unless the clock is set.
fn wall_ahead_ms() -> i64 {
    let millis = |clock| {
        let time = clock_gettime(clock);
        time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    };
    millis(ClockId::Realtime) - millis(ClockId::Boottime)
}

/// Seconds since 1970, for display.
pub(crate) fn wall_seconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
