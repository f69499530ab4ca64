//! Whom one may ask: a peer, its place, and where it is reached.
//!
//! The first address is the one at which it was reached, or the one it is told to have; by it the
//! table counts how many of one network it holds. Addresses of a private network are taken only
//! from somebody who is on such a network too: a stranger on the internet cannot have us call the
//! machines of our own house.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::limits::MAX_CONTACT_ADDRS;
use crate::{Addr, PeerAddr, PeerId};

use super::Key;

/// A peer of the overlay and where it is.
///
/// ```
/// use compeer_proto::overlay::{Contact, Key};
/// use compeer_proto::PeerAddr;
///
/// let id = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkena".parse()?;
/// let contact = Contact::new(PeerAddr::new(id, ["203.0.113.7".parse()?]));
/// assert_eq!(contact.key(), Key::of_peer(&id));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    key: Key,
    id: PeerId,
    addrs: Box<[Addr]>,
}

impl Contact {
    /// This peer; of its addresses the first [`MAX_CONTACT_ADDRS`].
    pub fn new(peer: PeerAddr) -> Self {
        let PeerAddr { id, mut addrs, .. } = peer;
        addrs.truncate(MAX_CONTACT_ADDRS);
        Contact { key: Key::of_peer(&id), id, addrs: addrs.into() }
    }

    /// Its place.
    pub fn key(&self) -> Key {
        self.key
    }

    /// Who it is.
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// Where it is, best first.
    pub fn addrs(&self) -> &[Addr] {
        &self.addrs
    }

    /// As it travels.
    pub fn to_peer_addr(&self) -> PeerAddr {
        PeerAddr::new(self.id, self.addrs.iter().cloned())
    }

    /// The network it is counted in, by its first address: the /24 of IPv4, the /48 of IPv6 (DESIGN, issue 5).
    /// `None` for networks of one's own, where all neighbours share one: loopback, private,
    /// link-local and unique-local addresses. All names together are one network, since anybody
    /// can have any number of them.
    pub fn network(&self) -> Option<IpAddr> {
        match self.addrs.first()? {
            Addr::Ip(addr) if is_local(addr.ip()) => None,
            Addr::Ip(addr) => Some(match addr.ip() {
                IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & !0xff).into(),
                IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !(u128::MAX >> 48)).into(),
            }),
            Addr::Dns { .. } => Some(Ipv4Addr::UNSPECIFIED.into()),
        }
    }

    /// What of it may be used when `by` told of it: local addresses only from who was reached at one itself,
    /// loopback only from who was reached on this machine, and no names, which lead anywhere.
    pub fn told_by(mut self, by: &Contact) -> Contact {
        let reach = by.addrs.first().map_or(Reach::World, reach);
        let may = |addr: &Addr| matches!(addr, Addr::Ip(_)) && self::reach(addr) <= reach;
        self.addrs = std::mem::take(&mut self.addrs).into_iter().filter(may).collect();
        self
    }

    /// What of it may be used by somebody who has these addresses itself, whoever told of it: local ones
    /// only where the first 16 bits (of IPv6, 48) are those of an address of its own; loopback only by who is nowhere else.
    pub fn near(mut self, own: &Contact) -> Contact {
        let alone = !own.addrs.is_empty() && own.addrs.iter().all(Addr::is_loopback);
        let may = |addr: &Addr| match reach(addr) {
            Reach::World => matches!(addr, Addr::Ip(_)),
            Reach::Machine => alone,
            Reach::Network => own.addrs.iter().any(|own| neighbours(own, addr)),
        };
        self.addrs = std::mem::take(&mut self.addrs).into_iter().filter(may).collect();
        self
    }
}

/// From how far an address can be used; those of who is nearer may be nearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    World,
    Network,
    Machine,
}

fn reach(addr: &Addr) -> Reach {
    if addr.is_loopback() {
        return Reach::Machine;
    }
    match addr {
        Addr::Ip(addr) if is_local(addr.ip()) => Reach::Network,
        _ => Reach::World,
    }
}

/// Whether both are on what may be one network.
fn neighbours(one: &Addr, other: &Addr) -> bool {
    match (one.socket_addr().map(|addr| addr.ip()), other.socket_addr().map(|addr| addr.ip())) {
        (Some(IpAddr::V4(one)), Some(IpAddr::V4(other))) => one.to_bits() >> 16 == other.to_bits() >> 16,
        (Some(IpAddr::V6(one)), Some(IpAddr::V6(other))) => one.to_bits() >> 80 == other.to_bits() >> 80,
        _ => false,
    }
}

/// Loopback, private (RFC 1918), shared (RFC 6598), link-local and unique-local addresses.
fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let shared = ip.to_bits() & 0xffc0_0000 == Ipv4Addr::new(100, 64, 0, 0).to_bits();
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified() || shared
        }
        IpAddr::V6(ip) => {
            ip.is_loopback() || ip.is_unspecified() || ip.is_unicast_link_local() || ip.is_unique_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::testing::contact_at;

    #[test]
    fn a_stranger_far_away_names_no_machine_of_our_house() {
        let told = |by: &str| {
            let some = ["203.0.113.9:1", "192.168.1.1:1", "127.0.0.1:1", "attic.example:1"];
            let some = PeerAddr::new(contact_at(2, by).id(), some.map(|addr| addr.parse().unwrap()));
            Contact::new(some).told_by(&contact_at(1, by)).addrs().len()
        };
        assert_eq!(told("198.51.100.1:5"), 1);
        assert_eq!(told("attic.example:5"), 1);
        assert_eq!(told("10.0.0.8:5"), 2);
        assert_eq!(told("[fd00::1]:5"), 2);
        assert_eq!(told("127.0.0.1:5"), 3);
    }

    #[test]
    fn a_record_names_no_machine_of_another_house() {
        let usable = |own: &str| {
            let some = ["203.0.113.9:1", "192.168.1.1:1", "127.0.0.1:1", "attic.example:1"];
            let some = PeerAddr::new(contact_at(2, own).id(), some.map(|addr| addr.parse().unwrap()));
            let kept = Contact::new(some).near(&contact_at(1, own));
            kept.addrs().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(usable("198.51.100.1:5"), ["203.0.113.9:1"]);
        assert_eq!(usable("10.0.0.8:5"), ["203.0.113.9:1"]);
        assert_eq!(usable("192.168.7.7:5"), ["203.0.113.9:1", "192.168.1.1:1"]);
        assert_eq!(usable("127.0.0.1:5"), ["203.0.113.9:1", "127.0.0.1:1"]);
    }

    #[test]
    fn networks_are_24_bits_of_ipv4_and_48_of_ipv6() {
        let of = |addr: &str| contact_at(1, addr).network();
        assert_eq!(of("203.0.113.7:1"), of("203.0.113.250:9"));
        assert_ne!(of("203.0.113.7:1"), of("203.0.112.7:1"));
        assert_eq!(of("[2001:db8:1:2::3]:1"), of("[2001:db8:1:ffff::]:1"));
        assert_ne!(of("[2001:db8:1::]:1"), of("[2001:db8:2::]:1"));
        for own in
            ["127.0.0.1:1", "10.1.2.3:1", "169.254.0.1:1", "100.64.0.1:1", "[fe80::1]:1", "[fd12::1]:1"]
        {
            assert_eq!(of(own), None, "{own}");
        }
        assert_eq!(of("a.example:1"), of("b.example:1"));
    }
}
