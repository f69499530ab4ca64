//! One peer of a world: its key and place, its machine while it lives, and what it is up to.
//!
//! Keys come from the seed and the number of the peer. A peer that left keeps its number, so that who knew it
//! goes on calling in vain.

use std::net::{Ipv4Addr, SocketAddr};

use compeer::{PeerAddr, PeerId};
use compeer_proto::Time;
use compeer_proto::overlay::{Contact, Distance, Key, Overlay, Record, Subject};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::net::Spot;
use super::queue::Number;
use crate::{Act, Ground, Scenario, identity};

#[derive(Debug)]
pub(super) struct Member {
    pub(super) contact: Contact,
    /// `None`: it left, or has not come yet.
    pub(super) overlay: Option<Overlay>,
    /// What it does to others; `None`: what it should.
    pub(super) act: Option<Act>,
    /// In the list of those who live.
    pub(super) place: usize,
    pub(super) spot: Spot,
    /// Since when it is in; `None`: from the beginning.
    pub(super) since: Option<Time>,
    /// When its machine is told how late it is.
    pub(super) tick: Time,
    /// On the smaller side of a partition.
    pub(super) aside: bool,
}

impl Member {
    pub(super) fn new(contact: Contact, act: Option<Act>, rng: &mut ChaCha8Rng, aside: bool) -> Self {
        let chance = rng.next_u32().to_le_bytes();
        let spot = [[chance[0], chance[1]], [chance[2], chance[3]]].map(u16::from_le_bytes);
        let (place, tick) = (usize::MAX, Time::from_micros(u64::MAX));
        Member { contact, overlay: None, act, place, spot, since: None, tick, aside }
    }

    pub(super) fn id(&self) -> PeerId {
        self.contact.id()
    }
}

/// A peer and its address: as many in a network as the scenario says.
pub(super) fn contact(scenario: &Scenario, number: Number) -> Contact {
    let id = identity(scenario.seed, number.into()).peer_id();
    contact_at(id, [11, 0, 0, 0], number / scenario.per_network, number % scenario.per_network)
}

/// The host of a /24, counted from `first`. After the 89 × 2^16 networks up to 100.0.0.0 they begin anew.
fn contact_at(id: PeerId, first: [u8; 4], network: u32, host: u32) -> Contact {
    let ip = u32::from_be_bytes(first) + ((network % (89 << 16)) << 8) + host + 1;
    Contact::new(PeerAddr::new(id, [SocketAddr::from((Ipv4Addr::from_bits(ip), 7)).into()]))
}

/// What a peer has others keep about itself.
pub(super) fn record(seed: u64, number: Number, contact: &Contact, wall: u64) -> Record {
    let identity = identity(seed, number.into());
    let sign = |domain: &str, bytes: &[u8]| identity.sign(domain, bytes);
    Record::sign(Subject::Peer(contact.id()), contact.to_peer_addr(), Vec::new(), wall, sign)
}

/// Ids closer to a key than `than`, found by trying; nobody has to have their secret keys for what they do here.
pub(super) fn grind(ground: &Ground, key: &Key, than: Distance, rng: &mut ChaCha8Rng) -> Vec<Contact> {
    let networks = ground.networks.unwrap_or(ground.peers);
    let mut found = Vec::new();
    while found.len() < ground.peers as usize {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        let Ok(id) = PeerId::from_bytes(&bytes) else { continue };
        if Key::of_peer(&id).distance(key) < than {
            let number = found.len() as u32;
            found.push(contact_at(id, [5, 0, 0, 0], number % networks, number / networks));
        }
    }
    found
}
