use std::collections::BTreeSet;
use std::time::Duration;

use super::carrier::{Carrier, Quota, Taken};
use super::*;
use crate::Time;
use crate::limits::{MAX_CIRCUIT_HOPS, MAX_CIRCUIT_TRIES};

/// Ids, made from keys of one byte.
fn id(n: u8) -> PeerId {
    let key = ed25519_dalek::SigningKey::from_bytes(&[n; 32]);
    PeerId::from_bytes(key.verifying_key().as_bytes()).unwrap()
}

fn open() -> Open {
    Open {
        circuit: *b"0123456789abcdef",
        target: id(3),
        stream: false,
        hops: 7,
        tries: 4,
        within: 12_000,
        path: vec![id(1)],
        ext: Ext::new(),
    }
}

/// The bytes that `docs/protocol.md` shows.
#[test]
fn bytes_are_the_golden_ones() {
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let mut data = Vec::new();
    assert_eq!(put_data(&mut data, b"hi"), 2);
    let broken = Broken { who: id(2), why: Why::Silent };
    let lines = [
        ("open", open().encode()),
        ("opened", Opened { carriers: vec![id(2)], ext: Ext::new() }.encode()),
        ("refused", Broken { who: id(2), why: Why::NotCarrying }.encode_refused()),
        ("data", data),
        ("fin", FIN.to_vec()),
        ("broken", broken.encode()),
    ]
    .map(|(name, bytes)| format!("{name}: {}\n", hex(&bytes)));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/circuit.txt");
    if std::env::var("COMPEER_BLESS").is_ok_and(|v| v == "1") {
        std::fs::write(path, lines.concat()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), lines.concat());
}

fn body(frame: &[u8]) -> (Type, &[u8]) {
    let (head, body) = frame.split_first_chunk().unwrap();
    let head = Head::decode(*head).unwrap();
    assert_eq!(head.len, body.len());
    (head.what, body)
}

#[test]
fn frames_read_as_they_were_written() {
    let (what, bytes) = (Type::Open, open().encode());
    assert_eq!((what, Ok(open())), (body(&bytes).0, Open::decode(body(&bytes).1)));
    let opened = Opened { carriers: vec![id(2), id(4)], ext: Ext::new() };
    let bytes = opened.encode();
    assert_eq!(Answer::decode(body(&bytes).0, body(&bytes).1), Ok(Answer::Opened(opened)));
    for code in 0..=255 {
        let broken = Broken { who: id(2), why: Why::from_code(code) };
        assert_eq!(broken.why.code(), code);
        let (refused, said) = (broken.encode_refused(), broken.encode());
        assert_eq!(Answer::decode(body(&refused).0, body(&refused).1), Ok(Answer::Refused(broken.clone())));
        assert_eq!((body(&said).0, Broken::decode(body(&said).1)), (Type::Broken, Ok(broken)));
    }
}

#[test]
fn what_is_too_long_is_refused() {
    for type_ in 0..=255u8 {
        let decode = |len: usize| {
            let len = u16::try_from(len).unwrap().to_be_bytes();
            Head::decode([type_, len[0], len[1]])
        };
        let most = match type_ {
            3 => MAX_CIRCUIT_DATA,
            4 => 0,
            0..=5 | 128.. => MAX_CIRCUIT_CONTROL,
            _ => {
                assert!(decode(0).is_err(), "{type_} means nothing");
                continue;
            }
        };
        assert_eq!(decode(most).unwrap().len, most);
        assert!(decode(most + 1).is_err());
    }
    let read = |open: &Open| Open::decode(body(&open.encode()).1);
    let full = Open { path: (1..=8).map(id).collect(), hops: 0, tries: MAX_CIRCUIT_TRIES, ..open() };
    assert_eq!(full.path.len(), MAX_CIRCUIT_HOPS);
    assert_eq!(read(&full), Ok(full.clone()));
    assert!(full.onward(id(9), 0, 0).is_none());
    assert!(read(&Open { hops: 1, ..full.clone() }).is_err());
    assert!(read(&Open { tries: MAX_CIRCUIT_TRIES + 1, ..full.clone() }).is_err());
    assert!(read(&Open { path: (1..=9).map(id).collect(), ..full.clone() }).is_err());
    assert!(read(&Open { path: vec![], ..full }).is_err());
}

#[test]
fn an_answer_has_to_name_those_who_pass_it_on() {
    let opened =
        |carriers: &[u8]| Opened { carriers: carriers.iter().map(|n| id(*n)).collect(), ext: Ext::new() };
    let path = [id(1), id(2)];
    assert!(opened(&[2, 3, 4]).answers(&path, id(5), id(3)));
    assert!(opened(&[2]).answers(&path, id(5), id(5)));
    assert!(opened(&[]).answers(&path[..1], id(5), id(5)));
    for wrong in [&[2][..], &[3], &[2, 4], &[2, 5], &[]] {
        assert!(!opened(wrong).answers(&path, id(5), id(3)), "{wrong:?}");
    }
}

#[test]
fn quotas_hold_and_are_given_back() {
    let quota = Quota { circuits: 3, per_peer: 2, bytes: 10, time: Duration::from_secs(5) };
    let mut carrier = Carrier::new(id(9), Some(quota));
    let none = BTreeSet::new();
    let take = |carrier: &mut Carrier, from: u8, name: u8| {
        let open = Open { circuit: [name; 16], path: vec![id(from)], ..open() };
        carrier.take(id(from), &open, &none, Time::ZERO)
    };
    let taken = Ok(Taken::Carried(Time::ZERO + quota.time));
    assert_eq!(take(&mut carrier, 1, 1), taken);
    assert_eq!(take(&mut carrier, 1, 1), Err(Why::Protocol), "the same name twice");
    assert_eq!(take(&mut carrier, 1, 2), taken);
    assert_eq!(take(&mut carrier, 1, 3), Err(Why::Full), "of one peer");
    assert_eq!(take(&mut carrier, 2, 1), taken, "names are the asker's own");
    assert_eq!(take(&mut carrier, 4, 1), Err(Why::Full), "of all");
    let key = (id(1), [1; 16]);
    assert_eq!(carrier.spend(&key, 10), Ok(()));
    assert_eq!(carrier.spend(&key, 1), Err(Why::Spent));
    assert!(carrier.end(&key) && !carrier.end(&key));
    assert_eq!(take(&mut carrier, 4, 1), taken);
    assert_eq!((carrier.carried(), carrier.len()), (3, 3));
}

#[test]
fn what_leads_nowhere_good_is_refused() {
    let quota = Quota { circuits: 9, per_peer: 9, bytes: 10, time: Duration::from_secs(5) };
    let (mut carrier, mut idle) = (Carrier::new(id(9), Some(quota)), Carrier::new(id(9), None));
    let mut take = |open: Open, blocked: &[u8]| {
        let from = *open.path.last().unwrap();
        carrier.take(from, &open, &blocked.iter().map(|n| id(*n)).collect(), Time::ZERO)
    };
    let path = |peers: &[u8]| Open { path: peers.iter().map(|n| id(*n)).collect(), ..open() };
    assert_eq!(take(path(&[9, 2]), &[]), Err(Why::Loop), "it came by already");
    assert_eq!(take(path(&[3, 2]), &[]), Err(Why::Loop), "with oneself");
    for blocked in [1, 2, 3] {
        assert_eq!(take(path(&[1, 2]), &[blocked]), Err(Why::Blocked));
    }
    assert_eq!(take(Open { hops: 0, ..open() }, &[]), Err(Why::HopLimit));
    assert_eq!(take(Open { hops: 0, target: id(9), ..open() }, &[]), Ok(Taken::Ends));
    let none = BTreeSet::new();
    assert_eq!(idle.take(id(2), &path(&[1]), &none, Time::ZERO), Err(Why::Protocol), "somebody else's path");
    assert_eq!(idle.take(id(1), &path(&[1]), &none, Time::ZERO), Err(Why::NotCarrying));
    let here = Open { target: id(9), ..open() };
    assert_eq!(idle.take(id(1), &here, &none, Time::ZERO), Ok(Taken::Ends));
    assert_eq!((idle.carried(), idle.len()), (0, 1));
}
