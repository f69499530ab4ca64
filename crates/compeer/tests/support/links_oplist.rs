//! Arbitrary comings and goings of connections: the table of them against a plain list.
//!
//! The table is that of the framework, its connections are made up (`support/link.rs`). What the
//! owner of the table does with a verdict is done here as it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use compeer::Identity;
use compeer_proto::{PeerId, Time};
use tokio::sync::{Notify, watch};

use crate::limits;
use crate::link::{Link, State};
use crate::links::{Ending, Links, Verdict};

/// Peers that come and go.
const PEERS: u8 = 4;
/// Households in which they are.
const PREFIXES: u8 = 3;

struct Model {
    links: Links,
    peers: Vec<PeerId>,
    now: Time,
    /// All that have not left, oldest first.
    all: Vec<Arc<Link>>,
    told: BTreeSet<PeerId>,
    chosen: BTreeSet<PeerId>,
    /// Those who wait for a connection.
    waiting: BTreeMap<PeerId, Arc<Notify>>,
    entered: u8,
}

/// Runs a list of operations and checks the table after each.
pub(crate) fn run(bytes: &[u8]) {
    let id = |n| Identity::from_seed(&[n; 32]).peer_id();
    let mut model = Model {
        links: Links::new(id(PEERS)),
        peers: (0..PEERS).map(id).collect(),
        now: Time::ZERO + Duration::from_secs(1),
        all: Vec::new(),
        told: BTreeSet::new(),
        chosen: BTreeSet::new(),
        waiting: BTreeMap::new(),
        entered: 0,
    };
    let mut bytes = bytes.iter().copied();
    while let (Some(op), Some(arg)) = (bytes.next(), bytes.next()) {
        match op % 12 {
            0..=2 => model.enter(op / 12, arg),
            3 | 4 => model.hello(arg),
            5 => model.leave(arg),
            6 => model.with(arg, |model, link| {
                if link.decided.borrow().is_some() {
                    link.state().draining = true;
                    model.links.retire(link);
                }
            }),
            7 => model.with(arg, |model, link| {
                let mut state = link.state();
                state.used = model.now;
                state.busy = !state.busy && op >= 128;
                state.was_busy |= state.busy;
            }),
            8 => model.choose(arg),
            9 if op < 128 => model.take_least(arg),
            9 => model.with(arg, Model::take_older),
            10 => model.wait(arg),
            _ => {
                model.now = model.now + Duration::from_millis(u64::from(arg).pow(2));
                model.links.sweep(model.now);
            }
        }
        model.check();
    }
    model.empty();
}

impl Model {
    fn enter(&mut self, how: u8, arg: u8) {
        self.entered = self.entered.wrapping_add(1);
        let (peer, now) = (self.peers[usize::from(arg % PEERS)], self.now);
        let prefix = (how % 4 < PREFIXES).then(|| IpAddr::from([10, 0, 0, how % 4]));
        let make = |number| {
            Arc::new(Link {
                number,
                peer,
                session_id: [self.entered; 16],
                dialled: how >= 16,
                carried: how % 5 == 4,
                since: now,
                decided: watch::Sender::new(None),
                instance: [arg / PEERS % 3; 16],
                prefix,
                state: Mutex::new(State { used: now, ..State::default() }),
            })
        };
        let (link, crowded_out) = self.links.enter(peer, make);
        for old in crowded_out {
            assert!(old.number != link.number && old.peer == peer);
            assert!(self.links.latest(peer).is_none_or(|live| live.number != old.number));
            old.state().closing = true;
        }
        self.all.push(link);
        let open = self.of(peer).filter(|link| !link.is_closing()).count();
        assert!(open <= limits::MAX_LINKS_PER_PEER);
    }

    fn of(&self, peer: PeerId) -> impl Iterator<Item = &Arc<Link>> {
        self.all.iter().filter(move |link| link.peer == peer)
    }

    fn with(&mut self, arg: u8, act: impl FnOnce(&mut Self, &Arc<Link>)) {
        if let Some(at) = usize::from(arg).checked_rem(self.all.len()) {
            act(self, &self.all[at].clone());
        }
    }

    /// The other side has introduced itself.
    fn hello(&mut self, arg: u8) {
        self.with(arg, |model, link| {
            if link.decided.borrow().is_some() || link.is_closing() {
                return;
            }
            let chosen = link.dialled || model.chosen.contains(&link.peer);
            match model.links.register(link, chosen, model.now) {
                Verdict::Stays { first, instead_of } => {
                    assert_eq!(first, model.told.insert(link.peer));
                    assert_eq!(model.links.latest(link.peer).map(|live| live.number), Some(link.number));
                    match instead_of {
                        Some((old, Ending::Replaced)) => old.state().closing = true,
                        Some((old, Ending::Drains)) => old.state().draining = true,
                        None => {}
                    }
                }
                Verdict::Drains => link.state().draining = true,
                Verdict::Twice(old) => {
                    old.state().closing = true;
                    link.state().closing = true;
                }
            }
        });
    }

    fn leave(&mut self, arg: u8) {
        self.with(arg, |model, link| {
            link.state().over = true;
            model.all.retain(|other| other.number != link.number);
            let last = !model.of(link.peer).any(|other| other.decided.borrow().is_some());
            assert_eq!(model.links.leave(link), last && model.told.remove(&link.peer));
        });
    }

    fn choose(&mut self, arg: u8) {
        let peer = self.peers[usize::from(arg % PEERS)];
        let chosen = arg >= 128;
        match chosen {
            true => self.chosen.insert(peer),
            false => self.chosen.remove(&peer),
        };
        self.links.choose(peer, chosen);
    }

    /// Callers that are connected and whom nobody chose.
    fn unnamed(&self, prefix: Option<IpAddr>) -> impl Iterator<Item = &Arc<Link>> {
        self.all.iter().filter(move |link| {
            let of_prefix = prefix.is_none() || link.prefix == prefix;
            of_prefix && !link.dialled && link.decided.borrow().is_some() && !self.chosen.contains(&link.peer)
        })
    }

    fn open(&self, prefix: Option<IpAddr>) -> Vec<Arc<Link>> {
        self.unnamed(prefix).filter(|link| !link.is_closing()).cloned().collect()
    }

    fn take_least(&mut self, arg: u8) {
        let prefix = (arg % 4 < PREFIXES).then(|| IpAddr::from([10, 0, 0, arg % 4]));
        let open = self.open(prefix);
        let chosen = self.chosen.clone();
        let taken = self.links.take_least(prefix, self.now, |link| chosen.contains(&link.peer));
        let Some(taken) = taken else { return assert!(open.is_empty()) };
        if taken.is_closing() {
            return; // Its place is room enough.
        }
        assert!(open.iter().any(|link| link.number == taken.number));
        let state = *taken.state();
        let states = open.iter().map(|link| (link.number, *link.state()));
        for (number, other) in states {
            match (state.draining, state.busy) {
                (true, _) => {}
                (false, _) if other.draining => panic!("one that drains goes first"),
                (false, true) => assert!(other.busy && (state.used, taken.number) <= (other.used, number)),
                (false, false) if other.busy || state.was_busy || other.was_busy => {}
                (false, false) => assert!((state.used, taken.number) <= (other.used, number)),
            }
        }
        taken.state().closing = true;
    }

    /// Who comes again takes his own places.
    fn take_older(&mut self, link: &Arc<Link>) {
        let open = self.open(None).into_iter().filter(|other| other.peer == link.peer);
        let older: Vec<u64> = open.map(|other| other.number).filter(|number| *number < link.number).collect();
        if link.decided.borrow().is_none() || self.chosen.contains(&link.peer) {
            return;
        }
        let taken = self.links.take_older(link);
        assert_eq!(taken.iter().map(|taken| taken.number).collect::<Vec<_>>(), older);
        taken.iter().for_each(|taken| taken.state().closing = true);
    }

    fn wait(&mut self, arg: u8) {
        let peer = self.peers[usize::from(arg % PEERS)];
        if self.waiting.remove(&peer).is_none() {
            self.waiting.insert(peer, self.links.changed(peer));
        }
    }

    fn check(&self) {
        let introduced = |link: &&Arc<Link>| link.decided.borrow().is_some();
        assert_eq!(self.links.count(), self.all.len());
        assert_eq!(self.links.all().len(), self.all.len());
        assert_eq!(self.links.introduced(), self.all.iter().filter(introduced).count());
        assert!(self.links.live().iter().all(|link| introduced(&link)));
        for peer in &self.peers {
            assert_eq!(self.told.contains(peer), self.of(*peer).any(|link| introduced(&link)));
            if let Some(link) = self.links.get(*peer) {
                assert!(link.peer == *peer && link.is_usable() && introduced(&&link));
            }
        }
        for link in &self.all {
            let found = self.links.by_session(link.peer, link.session_id);
            assert!(found.is_some_and(|found| found.session_id == link.session_id));
        }
        for n in 0..PREFIXES {
            let prefix = IpAddr::from([10, 0, 0, n]);
            let connected = self.all.iter().filter(introduced).any(|link| link.prefix == Some(prefix));
            assert_eq!(self.links.is_connected_from(prefix), connected);
            let counted = self.links.strangers_from(prefix);
            assert!(counted >= self.open(Some(prefix)).len());
            assert!(counted <= self.unnamed(Some(prefix)).count());
        }
    }

    /// When all have left, nothing is left of them.
    fn empty(mut self) {
        while !self.all.is_empty() {
            self.leave(0);
        }
        self.check();
        self.waiting.clear();
        self.links.sweep(self.now + 2 * limits::INSTANCE_WINDOW);
        assert!(!self.links.has_strangers() && self.links.count() == 0);
    }
}
