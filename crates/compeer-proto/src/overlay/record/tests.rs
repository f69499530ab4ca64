//! What is signed comes back as it was; what is changed, made for another, without end or out of
//! bounds does not. How long a record holds is tried at the edges of its time, with clocks that
//! differ.

use super::*;
use crate::limits::MAX_HOST_LEN;
use crate::overlay::testing::{DAWN, contact, id, key, record};
use crate::peer_id::signing_input;
use ed25519_dalek::Signer;

fn signed(n: u64, body: &Body) -> Vec<u8> {
    let mut bytes = postcard::to_allocvec(body).unwrap();
    let signature = key(n).sign(&signing_input(DOMAIN, &bytes)).to_bytes();
    bytes.extend(signature);
    bytes
}

#[test]
fn what_is_signed_comes_back_and_what_is_changed_does_not() {
    let subject = Subject::Content([3; 32]);
    let made = record(1, subject, DAWN);
    assert_eq!(Record::read(made.bytes()), Ok(made.clone()));
    for place in 0..made.bytes().len() {
        let mut bytes = made.bytes().to_vec();
        bytes[place] ^= 1;
        assert!(Record::read(&bytes).is_err(), "byte {place}");
    }
    assert!(Record::read(&made.bytes()[1..]).is_err());
}

#[test]
fn nobody_says_where_another_is_or_for_ever() {
    let body = record(1, Subject::Peer(id(1)), DAWN).body;
    let foreign = Body { publisher: contact(2).to_peer_addr(), ..body.clone() };
    assert_eq!(Record::read(&signed(2, &foreign)), Err(RecordError::Foreign));
    assert_eq!(Record::read(&signed(2, &body)), Err(RecordError::Signature));
    for expires in [DAWN - 1, body.expires + 1, u64::MAX] {
        assert_eq!(Record::read(&signed(1, &Body { expires, ..body.clone() })), Err(RecordError::Times));
    }
    assert_eq!(Record::read(&signed(1, &Body { what: 9, ..body.clone() })), Err(RecordError::Unknown));
    let carriers = vec![contact(3).to_peer_addr(); MAX_CARRIERS + 1];
    assert_eq!(Record::read(&signed(1, &Body { carriers, ..body })), Err(RecordError::Malformed));
}

#[test]
fn it_lasts_for_its_time_whatever_the_clock_of_the_reader() {
    let made = record(1, Subject::Peer(id(1)), DAWN);
    let lasts = OVERLAY_RECORD_LASTS.as_secs();
    assert_eq!(made.lasts(DAWN), Some(lasts));
    assert_eq!(made.lasts(DAWN - CLOCKS_DIFFER.as_secs()), Some(lasts));
    assert_eq!(made.lasts(DAWN - CLOCKS_DIFFER.as_secs() - 1), None);
    assert_eq!(made.lasts(DAWN + lasts), Some(CLOCKS_DIFFER.as_secs()));
    assert_eq!(made.lasts(DAWN + lasts + CLOCKS_DIFFER.as_secs()), None);
    assert_eq!(made.lasts(u64::MAX), None);
}

#[test]
fn what_is_too_long_is_left_out_when_signing() {
    let long = |n: u64| {
        let label = "a".repeat(60);
        let name = format!("{label}.{label}.{label}.{n}.example");
        assert!(name.len() <= MAX_HOST_LEN);
        crate::Addr::dns(&name, 7).unwrap()
    };
    let here = PeerAddr::new(id(1), (0..16).map(long));
    let over = (2..9).map(|n| PeerAddr::new(id(n), (0..16).map(long))).collect();
    let key = key(1);
    let sign = |domain: &str, bytes: &[u8]| key.sign(&signing_input(domain, bytes)).to_bytes();
    let made = Record::sign(Subject::Peer(id(1)), here, over, DAWN, sign);
    assert!(made.bytes().len() <= MAX_OVERLAY_RECORD);
    assert_eq!(made.publisher().addrs.len(), MAX_CONTACT_ADDRS);
    assert_eq!(Record::read(made.bytes()), Ok(made));
}
