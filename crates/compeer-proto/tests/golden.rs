//! The wire, pinned: bytes that must never change within `compeer/1`.
//!
//! Each file under `golden/` holds lines `name: bytes in hex` or `name: text`. The test makes the
//! same values and compares. A difference means that peers of yesterday no longer understand us:
//! mend the code. Where the change is meant, it needs a page in `docs/decisions/`, and then
//!
//! ```text
//! COMPEER_BLESS=1 cargo test -p compeer-proto --test golden
//! ```
//!
//! writes the files anew. Every line is also read back, so that the files pin the decoders too.

use std::fmt::Write as _;
use std::path::PathBuf;

use compeer_proto::addr::{decode_list, encode_list};
use compeer_proto::ext::Ext;
use compeer_proto::overlay::{Answer, Find, Key, Record, Subject};
use compeer_proto::peer_id::signing_input;
use compeer_proto::{Addr, Kind, PeerAddr, PeerId, ShareTicket, Ticket};

/// Compares with the file, or writes it when blessed.
fn check(file: &str, lines: &[(&str, String)]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    let mut text = String::new();
    for (name, value) in lines {
        writeln!(text, "{name}: {value}").unwrap();
    }
    if std::env::var("COMPEER_BLESS").is_ok_and(|v| v == "1") {
        std::fs::write(&path, &text).unwrap();
        return;
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(text, golden, "{file} has changed: see the head of tests/golden.rs");
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn postcard<T: serde::Serialize>(value: &T) -> String {
    hex(postcard::to_allocvec(value).unwrap())
}

/// The public key of RFC 8032 §7.1, test 1.
fn rfc_id() -> PeerId {
    "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkena".parse().unwrap()
}

fn addr(text: &str) -> Addr {
    text.parse().unwrap()
}

#[test]
fn ids_and_kinds() {
    let id = rfc_id();
    let kind = Kind::from_static("ECHO");
    check(
        "ids.txt",
        &[
            ("key", hex(id.as_bytes())),
            ("text", id.to_string()),
            ("short", id.short()),
            ("wire", postcard(&id)),
            ("json", serde_json::to_string(&id).unwrap()),
            (
                "signing input of domain 'compeer/1 test', message 'hello'",
                hex(signing_input("compeer/1 test", b"hello")),
            ),
            ("kind ECHO on the wire", postcard(&kind)),
            ("kind ECHO in json", serde_json::to_string(&kind).unwrap()),
        ],
    );
}

#[test]
fn addresses() {
    let v4 = addr("192.168.1.20");
    let v6 = addr("[2001:db8::1]:5000");
    let scoped = addr("[fe80::1%7]:5000"); // the scope stays at home
    let name = addr("attic.example:5000");
    let all = [v4.clone(), v6.clone(), name.clone()];
    let list = encode_list(&all);
    assert_eq!(decode_list(&list).unwrap(), all);
    // What a later version may send: type 3 before an address that we know.
    let newer = b"\x02\x03\x04\xde\xad\xbe\xef\x00\x06\x68\x31\xc0\xa8\x01\x14";
    assert_eq!(decode_list(newer).unwrap(), std::slice::from_ref(&v4));
    let peer = PeerAddr::new(rfc_id(), all);
    assert_eq!(postcard::from_bytes::<PeerAddr>(&postcard::to_allocvec(&peer).unwrap()).unwrap(), peer);
    check(
        "addrs.txt",
        &[
            ("192.168.1.20:26673", postcard(&v4)),
            ("[2001:db8::1]:5000", postcard(&v6)),
            ("[fe80::1%7]:5000", postcard(&scoped)),
            ("attic.example:5000", postcard(&name)),
            ("no addresses", hex(encode_list(&[]))),
            ("192.168.1.20:26673, [2001:db8::1]:5000, attic.example:5000", hex(&list)),
            ("an unknown type, then 192.168.1.20:26673", hex(newer)),
            ("a peer at those three", postcard(&peer)),
            ("the same in json", serde_json::to_string(&peer).unwrap()),
        ],
    );
}

#[test]
fn extension_lists() {
    let mut two = Ext::new();
    two.push(300, b"later").unwrap();
    two.push(1, b"").unwrap();
    assert_eq!(Ext::decode(&two.encode()).unwrap(), two);
    check(
        "ext.txt",
        &[("empty", hex(Ext::new().encode())), ("tag 300 'later', tag 1 ''", hex(two.encode()))],
    );
}

#[test]
fn tickets() {
    let bare = Ticket::Peer(rfc_id().into());
    let one = Ticket::Peer(PeerAddr::new(rfc_id(), [addr("192.168.1.20")]));
    let three = Ticket::Peer(PeerAddr::new(
        rfc_id(),
        ["192.168.1.20", "[2001:db8::1]:5000", "attic.example:5000"].map(addr),
    ));
    let mut ext = Ext::new();
    ext.push(300, b"later").unwrap();
    let extended = one.encode(&ext);
    assert_eq!(extended.parse::<Ticket>().unwrap(), one);
    assert_eq!(Ticket::decode(&extended).unwrap(), (one.clone(), ext));
    let peers = [PeerAddr::new(rfc_id(), [addr("192.168.1.20")]), rfc_id().into()];
    let share = Ticket::Share(ShareTicket::new(peers, [0xab; 32], [0xcd; 16]));
    for ticket in [&bare, &one, &three, &share] {
        assert_eq!(ticket.to_string().parse::<Ticket>().unwrap(), *ticket);
    }
    check(
        "tickets.txt",
        &[
            ("no address", bare.to_string()),
            ("192.168.1.20:26673", one.to_string()),
            ("the same with an unknown extension", extended),
            ("three addresses", three.to_string()),
            ("a share at two peers", share.to_string()),
        ],
    );
}

#[test]
fn the_overlay() {
    let id = rfc_id();
    let find = Find { key: Key::of_peer(&id), records: true };
    // The secret key of RFC 8032 §7.1, test 1.
    let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let secret: Vec<u8> = data_encoding::HEXLOWER.decode(secret.as_bytes()).unwrap();
    let secret = ed25519_dalek::SigningKey::from_bytes(&secret.try_into().unwrap());
    let sign = |domain: &str, bytes: &[u8]| {
        use ed25519_dalek::Signer;
        secret.sign(&signing_input(domain, bytes)).to_bytes()
    };
    let here = PeerAddr::new(id, [addr("192.168.1.20"), addr("attic.example")]);
    let over = vec![PeerAddr::new(id, [addr("[2001:db8::1]:5")])];
    let record = Record::sign(Subject::Peer(id), here.clone(), over, 1_700_000_000, sign);
    let content = Record::sign(Subject::Content([7; 32]), here.clone(), vec![], 1_700_000_000, sign);
    let answer = Answer { closer: vec![here], records: vec![record.clone().into()] };
    check(
        "overlay.txt",
        &[
            ("key of the peer", hex(Key::of_peer(&id).as_bytes())),
            ("key of content 07…", hex(Key::of_content(&[7; 32]).as_bytes())),
            ("key of the name lunch", hex(Key::of_name("lunch").as_bytes())),
            ("find", hex(find.encode())),
            ("record of a peer", hex(record.bytes())),
            ("record of a content", hex(content.bytes())),
            ("answer", hex(answer.encode())),
        ],
    );
    assert_eq!(Find::decode(&find.encode()), Ok(find));
    assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
    assert_eq!(Record::read(record.bytes()), Ok(record));
}
