//! What the messages of the file-sharing program say: words between white space, read and written.
//!
//! Pure. What the original closes the connection for is `None` here: too few or too many words, a port that is none,
//! bytes that are no text, and what is longer than a name can be.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use compeer::{Addr, PeerId};

use crate::limits::{CLASSIC_MAX_TTL, MAX_CLASSIC_WORD};

/// A program of the classic protocol, as it calls itself and as it may be called. Nothing of it is proven.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its id, `host:port` as a rule. Foreign text, to be escaped when shown.
    pub id: String,
    /// Its host. Foreign text as well.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Member {
    /// Where it may be called; `None` when its host is none.
    pub fn addr(&self) -> Option<Addr> {
        Addr::dns(&self.host, self.port).ok()
    }

    /// `id host port`, as JOIN has it and each reply to LIST.
    pub(super) fn read(text: &str) -> Option<Member> {
        let [id, host, port] = words(text)?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        // What could be taken for a key is no name for somebody who proved none.
        let honest = id.parse::<PeerId>().is_err();
        honest.then(|| Member { id: id.into(), host: host.into(), port })
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.id, self.host, self.port)
    }
}

/// A search.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Query {
    /// Where answers are to go: `host:port`, the id of who searches.
    pub(super) back: String,
    pub(super) key: String,
    /// How often it may still be handed on.
    pub(super) ttl: i64,
}

impl Query {
    pub(super) fn read(text: &str) -> Option<Query> {
        let [back, key, ttl] = words(text)?;
        let ttl: i64 = ttl.parse().ok()?;
        Some(Query { back: back.into(), key: key.into(), ttl: ttl.clamp(0, CLASSIC_MAX_TTL) })
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.back, self.key, self.ttl)
    }
}

/// `file id`: who has a file.
pub(super) fn response(text: &str) -> Option<(String, String)> {
    let [file, owner] = words(text)?;
    Some((file.into(), owner.into()))
}

/// Exactly so many words, none too long.
fn words<const N: usize>(text: &str) -> Option<[&str; N]> {
    let mut words = text.split_ascii_whitespace();
    let mut all = [""; N];
    for word in &mut all {
        *word = words.next().filter(|word| word.len() <= MAX_CLASSIC_WORD)?;
    }
    words.next().is_none().then_some(all)
}

/// What a file of a share is called towards old programs: its last part, with `_` for white space, at which their
/// messages would be cut.
pub(super) fn name(path: &str) -> String {
    spaceless(path.rsplit('/').next().unwrap_or(path))
}

/// A name with `_` for white space.
pub(super) fn spaceless(name: &str) -> String {
    name.chars().map(|letter| if letter.is_whitespace() { '_' } else { letter }).collect()
}

/// Whether all of `words` are in a name, without regard to case.
pub(super) fn fits<'a>(name: &str, words: impl IntoIterator<Item = &'a str>) -> bool {
    let name = name.to_lowercase();
    words.into_iter().all(|word| name.contains(&word.to_lowercase()))
}

/// The address that stands in an id, if it may be called because somebody at `from` said so: `from` itself, or an IPv4
/// address no nearer to us than `from` is, so that nobody outside has us call what only we can reach. `own`: the addresses
/// of this machine. No name of a host: looking it up would be a message to others already.
pub(super) fn plausible(id: &str, from: IpAddr, own: &[IpAddr]) -> Option<SocketAddr> {
    let addr: SocketAddr = id.parse().ok()?;
    let (IpAddr::V4(ip), IpAddr::V4(from)) = (addr.ip().to_canonical(), from.to_canonical()) else {
        return (addr.ip() == from && addr.port() != 0).then_some(addr);
    };
    let anybody = !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast() && addr.port() != 0;
    // Below 1024 are the services that would be worth flooding.
    let other = addr.port() >= 1024 && scope(ip.into(), own) >= scope(from.into(), own);
    (anybody && (ip == from || other)).then_some(SocketAddr::from((ip, addr.port())))
}

/// How far away an address is: this machine, which has the addresses `own`; this network; anywhere.
pub(super) fn scope(ip: IpAddr, own: &[IpAddr]) -> u8 {
    let here = match ip.to_canonical() {
        ip if ip.is_loopback() || own.contains(&ip) => return 0,
        // 100.64/10 is shared by those behind one provider, or one overlay (RFC 6598).
        IpAddr::V4(ip) => {
            ip.is_private() || ip.is_link_local() || ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    if here { 1 } else { 2 }
}

/// Whom we count and bound as one: an IPv4 address, or the /56 of IPv6 that one household gets.
pub(super) fn household(ip: IpAddr) -> IpAddr {
    Addr::from(SocketAddr::new(ip, 0)).prefix().unwrap_or(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_three_words_with_a_port() {
        let read = |text: &str| Member::read(text).map(|member| member.to_string());
        assert_eq!(read("  anyname\t victim.example   80 \n").as_deref(), Some("anyname victim.example 80"));
        for wrong in ["", "two args", "a b notaport", "a b 0", "a b 99999", "a b -1", "a b 5 c"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
        let long = "x".repeat(MAX_CLASSIC_WORD);
        assert!(read(&format!("{long} b 5")).is_some());
        assert!(read(&format!("{long}x b 5")).is_none());
        let key = compeer::Identity::from_seed(&[1; 32]).peer_id();
        assert!(read(&format!("{key} b 5")).is_none(), "an id that is a key is refused");
    }

    #[test]
    fn searches_and_responses() {
        let query = Query::read("127.0.0.1:19999 song 3").unwrap();
        assert_eq!(query.to_string(), "127.0.0.1:19999 song 3");
        assert_eq!(Query::read("a b 999999").unwrap().ttl, CLASSIC_MAX_TTL);
        assert_eq!(Query::read("a b -5").unwrap().ttl, 0);
        assert!(Query::read("bad").is_none() && Query::read("a b c").is_none());
        assert_eq!(response("song.txt evil:1"), Some(("song.txt".into(), "evil:1".into())));
        assert_eq!(response("a b c"), None);
    }

    #[test]
    fn names_have_no_folders_and_no_spaces() {
        assert_eq!(name("album/my new song.flac"), "my_new_song.flac");
        assert!(fits("My_Song.txt", ["song", "MY"]) && !fits("song.txt", ["song", "tiger"]));
    }

    #[test]
    fn who_is_far_cannot_have_us_call_who_is_near() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let called = |id, from| plausible(id, ip(from), &[]).is_some();
        assert!(called("203.0.113.7:80", "203.0.113.7"), "itself, at any port");
        assert!(called("203.0.113.8:4444", "203.0.113.7"));
        assert!(called("203.0.113.8:4444", "127.0.0.1") && called("127.0.0.1:4444", "127.0.0.1"));
        assert!(called("10.0.0.8:4444", "10.0.0.7") && called("10.0.0.8:4444", "::ffff:10.0.0.7"));
        for id in [
            "100.64.0.1:4444",
            "10.0.0.8:4444",
            "127.0.0.1:4444",
            "169.254.1.1:4444",
            "203.0.113.8:80",
            "224.0.0.1:4444",
        ] {
            assert!(!called(id, "203.0.113.7"), "{id}");
        }
        for id in ["host:4444", "0.0.0.0:4444", "255.255.255.255:4444", "10.0.0.7:0", "nothing", "[::1]:4444"]
        {
            assert!(!called(id, "10.0.0.7"), "{id}");
        }
    }

    #[test]
    fn our_own_addresses_are_this_machine_and_not_the_network() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let own = [ip("10.0.0.1"), ip("203.0.113.1")];
        let called = |id, from| plausible(id, ip(from), &own).is_some();
        assert!(!called("10.0.0.1:4444", "10.0.0.7") && !called("203.0.113.1:4444", "198.51.100.7"));
        assert!(!called("127.0.0.1:4444", "10.0.0.7") && called("10.0.0.8:4444", "10.0.0.7"));
        // Who calls from here.
        for from in ["127.0.0.1", "10.0.0.1", "::ffff:10.0.0.1", "203.0.113.1"] {
            assert!(called("10.0.0.1:4444", from) && called("127.0.0.1:4444", from), "{from}");
        }
    }

    #[test]
    fn a_household_is_an_ipv4_address_or_a_56() {
        let of = |text: &str| household(text.parse().unwrap());
        assert_eq!(of("2001:db8:0:1::7"), of("2001:db8:0:ff::9"));
        assert_ne!(of("2001:db8:0:1::7"), of("2001:db8:0:101::7"));
        assert_ne!(of("203.0.113.7"), of("203.0.113.8"));
        assert_eq!(of("203.0.113.7"), of("::ffff:203.0.113.7"));
    }
}
