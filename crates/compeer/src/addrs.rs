//! Where this peer can be reached: the addresses of its own interfaces.
//!
//! The system's list of interfaces is read each time it is asked for, so a
//! laptop that moves tells its new address; no outside host is asked, and no
//! packet is sent. Loopback is left out, and so are link-local IPv6 addresses,
//! which mean nothing without the name of an interface on the other machine.
//! All of them count where it is asked whether an address is this machine.

use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use compeer_proto::{Addr, Time, limits};

use crate::{Peer, lock};

/// How old what the system said may be. Unit: time. Interfaces change seldom.
const RECENT: Duration = Duration::from_secs(5);

/// What the system said of interfaces, asked every few seconds at most: a flood of
/// callers is not to be a flood of questions.
#[derive(Debug, Default)]
pub(crate) struct Recent<T>(Mutex<Option<(Time, T)>>);

impl<T: Clone> Recent<T> {
    pub(crate) fn get(&self, now: Time, ask: impl FnOnce() -> T) -> T {
        let mut recent = lock(&self.0);
        match &*recent {
            Some((at, said)) if now.since(*at) < RECENT => said.clone(),
            _ => {
                let said = ask();
                *recent = Some((now, said.clone()));
                said
            }
        }
    }

    /// Asks anew the next time.
    pub(crate) fn forget(&self) {
        lock(&self.0).take();
    }
}

impl Peer {
    /// The addresses of this machine's interfaces, loopback included, as they were a
    /// few seconds ago at most. Empty where the system does not tell.
    ///
    /// A program that calls an address because a stranger said so should know these
    /// from others: behind them may be what is meant for this machine alone.
    pub fn own_ips(&self) -> Vec<IpAddr> {
        self.0.own_ips.get(self.0.clock.now(), || interfaces().collect())
    }
}

fn interfaces() -> impl Iterator<Item = IpAddr> {
    if_addrs::get_if_addrs().unwrap_or_default().into_iter().map(|interface| interface.ip())
}

/// The addresses under which sockets bound to `bound` can be reached from other
/// machines; IPv4 before IPv6, as people type them.
pub(crate) fn usable(bound: &[SocketAddr]) -> Vec<Addr> {
    let mut addrs = Vec::new();
    let interfaces: Vec<IpAddr> = interfaces().filter(reachable).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_is_asked_again_after_a_while_or_when_told_to() {
        let recent = Recent::default();
        let asked = |after: Duration, says| recent.get(Time::ZERO + after, || says);
        assert_eq!(asked(Duration::ZERO, 1), 1);
        assert_eq!(asked(RECENT / 2, 2), 1);
        assert_eq!(asked(RECENT, 3), 3);
        recent.forget();
        assert_eq!(asked(RECENT, 4), 4);
    }

    #[tokio::test]
    async fn this_machine_has_a_loopback_address() {
        let peer = Peer::builder().spawn().await.unwrap();
        assert!(peer.own_ips().iter().any(IpAddr::is_loopback));
        peer.shutdown().await;
    }
}
