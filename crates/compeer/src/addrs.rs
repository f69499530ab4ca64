//! Where this peer can be reached: the addresses of its own interfaces.
//!
//! The system's list of interfaces is read each time it is asked for, so a
//! laptop that moves tells its new address; no outside host is asked, and no
//! packet is sent. Loopback is left out, and so are link-local IPv6 addresses,
//! which mean nothing without the name of an interface on the other machine.

use std::net::{IpAddr, SocketAddr};

use compeer_proto::{Addr, limits};

/// The addresses under which sockets bound to `bound` can be reached from other
/// machines; IPv4 before IPv6, as people type them.
pub(crate) fn usable(bound: &[SocketAddr]) -> Vec<Addr> {
    let mut addrs = Vec::new();
    let interfaces: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .map(|interface| interface.ip())
        .filter(reachable)
        .collect();
    for socket in bound {
        if !socket.ip().is_unspecified() {
            push(&mut addrs, *socket);
            continue;
        }
        for ip in interfaces.iter().filter(|ip| ip.is_ipv4() == socket.is_ipv4()) {
            push(&mut addrs, SocketAddr::new(*ip, socket.port()));
        }
    }
    addrs.sort_by_key(|addr| addr.is_ipv6());
    addrs.truncate(limits::MAX_ADDRS);
    addrs.into_iter().map(Addr::Ip).collect()
}

fn push(addrs: &mut Vec<SocketAddr>, addr: SocketAddr) {
    if !addrs.contains(&addr) {
        addrs.push(addr);
    }
}

fn reachable(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unspecified() && !v6.is_unicast_link_local(),
    }
}
