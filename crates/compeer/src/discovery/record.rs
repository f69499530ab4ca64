//! An announcement as DNS records, and back.
//!
//! ```text
//! PTR  _compeer._tcp.local.        <id>._compeer._tcp.local.      id: 52 characters
//! SRV  <id>._compeer._tcp.local.   port, compeer-<id, 16 characters>.local.
//! TXT  v=1                         version of this list
//!      n=<nickname>                raw, at most 64 bytes; absent without one
//!      c=7,12                      numbers of codes; absent without any
//! A, AAAA of that host
//! ```
//!
//! What does not look like this is left out whole, or in the part that does not.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use compeer_proto::{Addr, PeerAddr, PeerId};
use if_addrs::IfAddr;
use mdns_sd::{IfKind, ResolvedService, ScopedIp, ServiceInfo, TxtProperty};

use super::{Announcement, DiscoveryError, Nearby, SERVICE};
use crate::limits;

/// As the library wants it.
///
/// # Errors
/// [`DiscoveryError::NoAddress`], or the library does not take it.
pub(super) fn write(announcement: &Announcement, loopback: bool) -> Result<ServiceInfo, DiscoveryError> {
    let alone = loopback || !has_network();
    let reachable = |addr: &&SocketAddr| addr.ip().is_unspecified() || !addr.ip().is_loopback() || alone;
    let listen: Vec<SocketAddr> = announcement.listen.iter().filter(reachable).copied().collect();
    // One announcement has one port. With several, that of the most.
    let count = |port: u16| listen.iter().filter(|addr| addr.port() == port).count();
    let port = listen.iter().map(|addr| addr.port()).max_by_key(|port| count(*port));
    let port = port.ok_or(DiscoveryError::NoAddress)?;
    let at_port = || listen.iter().filter(|addr| addr.port() == port).map(|addr| addr.ip());
    let named: Vec<IpAddr> = at_port().filter(|ip| !ip.is_unspecified()).collect();

    let id = announcement.id.to_string();
    let host = format!("compeer-{}.local.", &id[..16]);
    let numbers: Vec<String> =
        announcement.numbers.iter().take(limits::MAX_CODE_NUMBERS).map(u16::to_string).collect();
    let mut txt = vec![TxtProperty::from(("v", "1"))];
    if let Some(name) = announcement.name.as_ref().filter(|name| name.len() <= limits::MAX_NAME_LEN) {
        txt.push(TxtProperty::from(("n", name)));
    }
    if !numbers.is_empty() {
        txt.push(TxtProperty::from(("c", numbers.join(","))));
    }
    let mut info = ServiceInfo::new(SERVICE, &id, &host, &named[..], port, txt)?;
    let families = [(IfKind::IPv4, true), (IfKind::IPv6, false)];
    let everywhere: Vec<IfKind> = families
        .into_iter()
        .filter(|(_, v4)| at_port().any(|ip| ip.is_unspecified() && ip.is_ipv4() == *v4))
        .map(|(kind, _)| kind)
        .collect();
    if !everywhere.is_empty() {
        info.set_interfaces(everywhere);
        info = info.enable_addr_auto();
    }
    // The name is a key: nobody else has it, so nobody need be asked first.
    info.set_requires_probe(false);
    Ok(info)
}

/// What the library heard; `None` when it is of no use.
pub(super) fn read(service: &ResolvedService, loopback: bool) -> Option<Nearby> {
    let id = id_of(&service.fullname)?;
    let own = if_addrs::get_if_addrs().unwrap_or_default();
    let own: Vec<IfAddr> = own.into_iter().map(|interface| interface.addr).collect();
    let loopback = loopback || own.iter().all(IfAddr::is_loopback);
    let mut addrs: Vec<SocketAddr> = service
        .addresses
        .iter()
        .filter(|ip| is_near(&ip.to_ip_addr(), &own, loopback))
        .map(|ip| with_port(ip, service.port))
        .collect();
    // As people type them: IPv4, then addresses that mean the same everywhere.
    addrs.sort_by_key(|addr| (addr.is_ipv6(), is_link_local(&addr.ip()), *addr));
    addrs.truncate(limits::MAX_ADDRS);
    if addrs.is_empty() || service.port == 0 {
        return None;
    }
    let text = |key: &str| {
        let value = service.txt_properties.get_property_val(key).flatten()?;
        std::str::from_utf8(value).ok().map(str::to_owned)
    };
    let name = text("n").filter(|name| !name.is_empty() && name.len() <= limits::MAX_NAME_LEN);
    let numbers = text("c").map(|list| numbers(&list)).unwrap_or_default();
    Some(Nearby { peer: PeerAddr::new(id, addrs.into_iter().map(Addr::Ip)), name, numbers })
}

/// The id that an instance is called by.
pub(super) fn id_of(fullname: &str) -> Option<PeerId> {
    let (id, rest) = fullname.split_once('.')?;
    rest.eq_ignore_ascii_case(SERVICE).then(|| id.parse().ok()).flatten()
}

fn numbers(list: &str) -> Vec<u16> {
    let numbers = list.split(',').take(limits::MAX_CODE_NUMBERS).filter_map(|number| number.parse().ok());
    numbers.filter(|number| *number != 0).collect()
}

fn with_port(ip: &ScopedIp, port: u16) -> SocketAddr {
    match ip {
        ScopedIp::V6(v6) if v6.addr().is_unicast_link_local() => {
            SocketAddrV6::new(*v6.addr(), port, 0, v6.scope_id().index).into()
        }
        ip => (ip.to_ip_addr(), port).into(),
    }
}

/// Whether an address is on a network that this machine is on. An announcement
/// is not to make us call elsewhere.
fn is_near(ip: &IpAddr, own: &[IfAddr], loopback: bool) -> bool {
    if ip.is_loopback() {
        return loopback;
    }
    let usable = !ip.is_unspecified() && !ip.is_multicast();
    let same = |own: &IfAddr| match (own, ip) {
        (IfAddr::V4(own), IpAddr::V4(ip)) => {
            let mask = own.netmask.to_bits();
            !own.is_loopback() && mask != 0 && own.ip.to_bits() & mask == ip.to_bits() & mask
        }
        (IfAddr::V6(own), IpAddr::V6(ip)) => {
            let mask = own.netmask.to_bits();
            !own.is_loopback() && mask != 0 && own.ip.to_bits() & mask == ip.to_bits() & mask
        }
        _ => false,
    };
    usable && (is_link_local(ip) || own.iter().any(same))
}

fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Whether there is anything but loopback.
pub(super) fn has_network() -> bool {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces.iter().any(|interface| !interface.is_loopback() && !interface.ip().is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn own() -> Vec<IfAddr> {
        let v4 = |ip: [u8; 4], mask: [u8; 4]| {
            IfAddr::V4(if_addrs::Ifv4Addr {
                ip: ip.into(),
                netmask: Ipv4Addr::from(mask),
                prefixlen: 0,
                broadcast: None,
            })
        };
        vec![v4([127, 0, 0, 1], [255, 0, 0, 0]), v4([10, 77, 0, 1], [255, 255, 255, 0])]
    }

    #[test]
    fn only_what_is_on_our_networks_is_near() {
        let near = |ip: &str| is_near(&ip.parse().unwrap(), &own(), false);
        assert!(near("10.77.0.2") && near("169.254.3.4") && near("fe80::1"));
        for far in
            ["10.78.0.2", "8.8.8.8", "127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "224.0.0.251", "2001:db8::1"]
        {
            assert!(!near(far), "{far}");
        }
        assert!(is_near(&"127.0.0.1".parse().unwrap(), &own(), true));
    }

    #[test]
    fn numbers_are_read_as_far_as_they_are_some() {
        assert_eq!(numbers("7,12"), [7, 12]);
        assert_eq!(numbers("7,x,,70000,0,-1,9"), [7, 9]);
        assert_eq!(numbers(""), Vec::<u16>::new());
        let many = vec!["1"; 1000].join(",");
        assert_eq!(numbers(&many).len(), limits::MAX_CODE_NUMBERS);
    }

    #[test]
    fn an_instance_is_called_by_a_key() {
        let id = crate::Identity::from_seed(&[1; 32]).peer_id();
        assert_eq!(id_of(&format!("{id}.{SERVICE}")), Some(id));
        for other in
            [String::new(), SERVICE.into(), format!("{id}._http._tcp.local."), format!("x.{SERVICE}")]
        {
            assert_eq!(id_of(&other), None, "{other}");
        }
    }

    #[test]
    fn nothing_is_announced_that_nobody_can_reach() {
        let id = crate::Identity::from_seed(&[1; 32]).peer_id();
        let announcement = |listen: &[&str]| Announcement {
            id,
            name: Some("bob".into()),
            listen: listen.iter().map(|addr| addr.parse().unwrap()).collect(),
            numbers: (1..=999).collect(),
        };
        assert_eq!(write(&announcement(&[]), true).unwrap_err(), DiscoveryError::NoAddress);
        let info = write(&announcement(&["127.0.0.1:5"]), true).unwrap();
        assert!(!info.is_addr_auto() && info.get_port() == 5);
        // The longest list of numbers fits one string of a TXT record.
        let list = info.get_property_val_str("c").unwrap();
        assert_eq!((list.split(',').count(), list.len() <= 253), (limits::MAX_CODE_NUMBERS, true));
        let info = write(&announcement(&["0.0.0.0:7", "[::]:7", "10.0.0.1:8"]), true).unwrap();
        assert!(info.is_addr_auto() && info.get_port() == 7);
        if has_network() {
            let error = write(&announcement(&["127.0.0.1:5"]), false).unwrap_err();
            assert_eq!(error, DiscoveryError::NoAddress);
        }
    }
}
