//! Tests of `addr`: what people type, what is refused, and the wire form with its limits.

use std::net::Ipv4Addr;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::limits::MAX_ADDR_BYTES;

fn parse(text: &str) -> Result<Addr, AddrError> {
    text.parse()
}

fn id() -> PeerId {
    "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkena".parse().unwrap()
}

#[test]
fn what_people_type() {
    for (typed, shown) in [
        ("192.168.1.20", "192.168.1.20:26673"),
        ("192.168.1.20:1", "192.168.1.20:1"),
        ("::1", "[::1]:26673"),
        ("[::1]", "[::1]:26673"),
        ("[::1]:65535", "[::1]:65535"),
        ("fe80::1%2", "[fe80::1%2]:26673"),
        ("[fe80::1%2]:5", "[fe80::1%2]:5"),
        ("2001:DB8::1", "[2001:db8::1]:26673"),
        ("::ffff:10.0.0.1", "10.0.0.1:26673"),
        ("attic", "attic:26673"),
        ("Attic.Example.:80", "attic.example:80"),
        ("my_nas.local", "my_nas.local:26673"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example:26673"),
        ("4chan.example", "4chan.example:26673"),
    ] {
        let addr = parse(typed).unwrap_or_else(|error| panic!("{typed}: {error}"));
        assert_eq!(addr.to_string(), shown);
        assert_eq!(parse(shown), Ok(addr));
    }
}

#[test]
fn a_link_is_one_household_as_any_ipv6_network_is() {
    let prefix = |typed| parse(typed).unwrap().prefix();
    assert_eq!(prefix("fe80::1%2"), prefix("[fe80::a:b:c:d%2]:5"));
    assert_eq!(prefix("fd00::1"), prefix("fd00::ffff:0:0:1"));
    assert_ne!(prefix("169.254.0.1"), prefix("169.254.0.2"));
    assert_eq!(prefix("fe80::1").unwrap(), "fe80::".parse::<std::net::IpAddr>().unwrap());
}

#[test]
fn what_is_refused() {
    use AddrError::{Empty, Host, HostTooLong, Ip, Port};
    for (typed, error) in [
        ("", Empty),
        (":80", Host),
        ("attic:", Port),
        ("attic:0", Port),
        ("attic:+5", Port),
        ("attic:65536", Port),
        ("attic:http", Port),
        ("[::1]80", Port),
        ("[::1", Ip),
        ("[attic]:5", Ip),
        ("fe80::1%eth0", Ip),
        ("a:b:c", Ip),
        ("192.168.1.300", Ip),
        ("192.168.1", Ip),
        ("10.0x1", Ip),
        ("1234", Ip),
        ("a..b", Host),
        (".", Host),
        ("-a", Host),
        ("a-.b", Host),
        ("bücher.example", Host),
        ("a b", Host),
        ("a\u{1b}b", Host),
        ("http//a", Host),
    ] {
        assert_eq!(parse(typed), Err(error), "{typed}");
    }
    let label = "a".repeat(MAX_HOST_LABEL_LEN);
    assert!(parse(&label).is_ok());
    assert_eq!(parse(&format!("{label}a")), Err(HostTooLong));
    let longest = format!("{label}.{label}.{label}.{}", &label[..61]);
    assert_eq!(longest.len(), MAX_HOST_LEN);
    assert!(parse(&longest).is_ok());
    assert_eq!(parse(&format!("{longest}a")), Err(HostTooLong));
}

#[test]
fn loopback_is_known() {
    for text in ["127.0.0.1", "127.9.9.9", "::1", "localhost", "a.localhost"] {
        assert!(parse(text).unwrap().is_loopback(), "{text}");
    }
    for text in ["10.0.0.1", "::2", "localhost.example"] {
        assert!(!parse(text).unwrap().is_loopback(), "{text}");
    }
}

#[test]
fn unusable_entries_are_skipped() {
    // Type 200 with three bytes; IPv4 with port 0; a name.
    let bytes = b"\x03\xc8\x03abc\x00\x06\x00\x00\x0a\x00\x00\x01\x02\x03\x00\x05a";
    assert_eq!(decode_list(bytes), Ok(vec![parse("a:5").unwrap()]));
}

#[test]
fn malformed_lists_are_refused() {
    let cases: [&[u8]; 10] = [
        b"",
        b"\x01",
        b"\x01\x00",
        b"\x01\x00\x05\x00\x05\x0a\x00\x00",         // three bytes of IPv4
        b"\x01\x01\x06\x00\x05\x0a\x00\x00\x01",     // IPv4's bytes as IPv6
        b"\x01\x02\x02\x00\x05",                     // no name
        b"\x01\x02\x03\x00\x05A",                    // a name in capitals
        b"\x01\x02\x09\x00\x0510.0.0.1",             // an IP address as a name
        b"\x01\x00\x06\x00\x05\x0a\x00\x00\x01\x00", // a byte too many
        b"\x01\x00\x01\x00",                         // no port
    ];
    for bytes in cases {
        assert_eq!(decode_list(bytes), Err(AddrError::Malformed), "{bytes:?}");
    }
}

#[test]
fn limits_are_filled_and_not_passed() {
    let addr = |i: usize| Addr::Ip((Ipv4Addr::LOCALHOST, 1 + i as u16).into());
    let addrs: Vec<_> = (0..=MAX_ADDRS).map(addr).collect();
    assert_eq!(decode_list(&encode_list(&addrs)).unwrap(), addrs[..MAX_ADDRS]);
    assert_eq!(PeerAddr::new(id(), addrs.clone()).addrs, addrs[..MAX_ADDRS]);

    let mut one_more = encode_list(&addrs);
    one_more[0] += 1;
    one_more.extend_from_slice(b"\x00\x06\x00\x05\x0a\x00\x00\x01");
    assert_eq!(decode_list(&one_more), Err(AddrError::Malformed));

    let unknown = |len: usize| postcard::to_allocvec(&[(9u8, vec![0u8; len])].to_vec()).unwrap();
    assert_eq!(decode_list(&unknown(MAX_ADDR_BYTES)), Ok(vec![]));
    assert_eq!(decode_list(&unknown(MAX_ADDR_BYTES + 1)), Err(AddrError::Malformed));

    let json = serde_json::to_string(&addrs).unwrap(); // a plain Vec: all seventeen
    let whole = format!(r#"{{"id":"{}","addrs":{json}}}"#, id());
    assert!(serde_json::from_str::<PeerAddr>(&whole).is_err());
}

#[test]
fn a_peer_addr_names_each_address_once() {
    let (a, b) = (parse("a:1").unwrap(), parse("b:1").unwrap());
    let peer = PeerAddr::new(id(), [a.clone(), b.clone(), a.clone()]);
    assert_eq!(peer.addrs, [a, b]);
    assert!(PeerAddr::from(id()).addrs.is_empty());
}

#[test]
fn json_is_what_people_read() {
    let peer = PeerAddr::new(id(), [parse("10.0.0.1:5").unwrap(), parse("attic").unwrap()]);
    let json = serde_json::to_string(&peer).unwrap();
    let expected = format!(r#"{{"id":"{}","addrs":["10.0.0.1:5","attic:26673"]}}"#, id());
    assert_eq!(json, expected);
    assert_eq!(serde_json::from_str::<PeerAddr>(&json).unwrap(), peer);
    let bare = format!(r#"{{"id":"{}"}}"#, id());
    assert_eq!(serde_json::from_str::<PeerAddr>(&bare).unwrap(), id().into());
}

/// Addresses as they travel: no scope, a port that can be dialled.
pub(crate) fn addrs() -> impl Strategy<Value = Addr> {
    let port = 1..=u16::MAX;
    prop_oneof![
        (any::<[u8; 4]>(), port.clone()).prop_map(|(ip, port)| Addr::from(SocketAddr::from((ip, port)))),
        (any::<[u8; 16]>(), port.clone()).prop_map(|(ip, port)| Addr::from(SocketAddr::from((ip, port)))),
        ("[a-z0-9_]{1,20}(\\.[a-z]{2,8}){1,3}", port)
            .prop_map(|(host, port)| Addr::dns(&host, port).unwrap()),
    ]
}

proptest! {
    #[test]
    fn round_trips(addr in addrs()) {
        prop_assert_eq!(&addr.to_string().parse::<Addr>().unwrap(), &addr);
        let wire = postcard::to_allocvec(&addr).unwrap();
        prop_assert_eq!(&postcard::from_bytes::<Addr>(&wire).unwrap(), &addr);
        let json = serde_json::to_string(&addr).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Addr>(&json).unwrap(), &addr);
    }

    #[test]
    fn lists_and_peers_round_trip(addrs in vec(addrs(), 0..=MAX_ADDRS)) {
        let bytes = encode_list(&addrs);
        prop_assert_eq!(&decode_list(&bytes).unwrap(), &addrs);
        let peer = PeerAddr { id: id(), addrs };
        let wire = postcard::to_allocvec(&peer).unwrap();
        prop_assert_eq!(&wire[32..], &bytes);
        prop_assert_eq!(&postcard::from_bytes::<PeerAddr>(&wire).unwrap(), &peer);
    }

    #[test]
    fn any_bytes_decode_or_fail(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(addrs) = decode_list(&bytes) {
            prop_assert_eq!(decode_list(&encode_list(&addrs)).unwrap(), addrs);
        }
        let _ = postcard::from_bytes::<Addr>(&bytes);
        let _ = postcard::from_bytes::<PeerAddr>(&bytes);
    }

    #[test]
    fn any_string_parses_or_fails(text in any::<String>(), near in "[\\[\\]a-f0-9.:%_-]{0,24}") {
        for text in [text, near] {
            if let Ok(addr) = text.parse::<Addr>() {
                prop_assert_eq!(addr.to_string().parse::<Addr>().unwrap(), addr);
            }
        }
    }
}
