//! Tests of `peer_id`: what is an id and what is none, one text per id, signatures.

use ed25519_dalek::{Signer, SigningKey};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// RFC 8032 §7.1, test 1.
const RFC_KEY: [u8; 32] = [
    0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e,
    0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
];

fn key(seed: u8) -> (SigningKey, PeerId) {
    let secret = SigningKey::from_bytes(&[seed; 32]);
    let id = PeerId::from_bytes(secret.verifying_key().as_bytes()).unwrap();
    (secret, id)
}

#[test]
fn the_key_of_the_rfc_is_an_id() {
    let id = PeerId::from_bytes(&RFC_KEY).unwrap();
    assert_eq!(id.as_bytes(), &RFC_KEY);
    assert_eq!(id.to_string().len(), PEER_ID_TEXT_LEN);
    assert_eq!(format!("{id:?}"), "PeerId(25njqamc)");
}

/// The field prime p = 2^255 − 19 plus `k`, which is `k` written a second way, with a sign bit.
fn unreduced(k: u8, sign: bool) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    bytes[0] = 0xed + k;
    bytes[31] = if sign { 0xff } else { 0x7f };
    bytes
}

#[test]
fn a_second_spelling_of_a_key_is_refused() {
    let mut caught = 0;
    for k in 0..19 {
        for sign in [false, true] {
            let bytes = unreduced(k, sign);
            assert!(PeerId::from_bytes(&bytes).is_err(), "{k} {sign}");
            caught += usize::from(VerifyingKey::from_bytes(&bytes).is_ok_and(|key| !key.is_weak()));
        }
    }
    assert!(caught > 0, "the library decodes none of these any more: is the check still needed?");
}

#[test]
fn weak_keys_are_refused() {
    let y = |first: u8, last: u8| {
        let mut bytes = [0; 32];
        (bytes[0], bytes[31]) = (first, last);
        bytes
    };
    let mut minus_one = unreduced(0, false);
    minus_one[0] = 0xec;
    // Identity; order 2; order 4, both signs.
    for bytes in [y(1, 0), minus_one, y(0, 0), y(0, 0x80)] {
        assert_eq!(PeerId::from_bytes(&bytes), Err(PeerIdError::Weak));
    }
    // y = 2 is on no point.
    assert_eq!(PeerId::from_bytes(&y(2, 0)), Err(PeerIdError::NotAKey));
}

#[test]
fn mistakes_in_the_text_are_told_apart() {
    let text = PeerId::from_bytes(&RFC_KEY).unwrap().to_string();
    assert_eq!(text[..51].parse::<PeerId>(), Err(PeerIdError::Length { found: 51 }));
    assert_eq!("".parse::<PeerId>(), Err(PeerIdError::Length { found: 0 }));
    let foreign = format!("25njq1{}", &text[6..]);
    assert_eq!(foreign.parse::<PeerId>(), Err(PeerIdError::Character { position: 5 }));
    let beyond_ascii = format!("é{}", &text[1..]);
    assert_eq!(beyond_ascii.parse::<PeerId>(), Err(PeerIdError::Character { position: 0 }));
    // The last character has four bits to spare, which must be zero.
    assert!(text.ends_with('a'));
    assert_eq!(format!("{}b", &text[..51]).parse::<PeerId>(), Err(PeerIdError::NotAKey));
}

#[test]
fn a_signature_holds_for_its_message_domain_and_peer_only() {
    let (secret, id) = key(1);
    let (_, other) = key(2);
    let signature = secret.sign(&signing_input("compeer/1 test", b"hello")).to_bytes();
    assert_eq!(id.verify("compeer/1 test", b"hello", &signature), Ok(()));
    assert!(id.verify("compeer/1 test", b"hello!", &signature).is_err());
    assert!(id.verify("compeer/1 tes", b"thello", &signature).is_err());
    assert!(other.verify("compeer/1 test", b"hello", &signature).is_err());
    let mut changed = signature;
    changed[63] ^= 0x80;
    assert!(id.verify("compeer/1 test", b"hello", &changed).is_err());
}

#[test]
fn serde_writes_text_for_people_and_bytes_for_the_wire() {
    let id = PeerId::from_bytes(&RFC_KEY).unwrap();
    assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{id}\""));
    assert_eq!(postcard::to_allocvec(&id).unwrap(), RFC_KEY);
    assert!(postcard::from_bytes::<PeerId>(&[0; 32]).is_err());
}

proptest! {
    #[test]
    fn round_trips(seed in any::<u8>()) {
        let (_, id) = key(seed);
        let text = id.to_string();
        prop_assert_eq!(text.parse::<PeerId>().unwrap(), id);
        prop_assert_eq!(text.to_uppercase().parse::<PeerId>().unwrap(), id);
        prop_assert!(text.starts_with(&id.short()));
        prop_assert_eq!(postcard::from_bytes::<PeerId>(id.as_bytes()).unwrap(), id);
        let json = serde_json::to_string(&id).unwrap();
        prop_assert_eq!(serde_json::from_str::<PeerId>(&json).unwrap(), id);
    }

    #[test]
    fn any_bytes_are_an_id_with_one_text_or_none(bytes in any::<[u8; 32]>()) {
        if let Ok(id) = PeerId::from_bytes(&bytes) {
            prop_assert_eq!(id.to_string().parse::<PeerId>().unwrap(), id);
        }
    }

    #[test]
    fn any_string_parses_or_fails(text in any::<String>(), near in "[a-z2-7]{52}") {
        let _ = text.parse::<PeerId>();
        if let Ok(id) = near.parse::<PeerId>() {
            prop_assert_eq!(id.to_string(), near);
        }
    }

    #[test]
    fn made_up_signatures_fail(signature in vec(any::<u8>(), 64), message in vec(any::<u8>(), 0..32)) {
        let signature: [u8; 64] = signature.try_into().unwrap();
        prop_assert!(key(1).1.verify("compeer/1 test", &message, &signature).is_err());
    }
}
