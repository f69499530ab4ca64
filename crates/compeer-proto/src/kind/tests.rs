//! Tests of `kind`: bounds, exact match, and that order and hash are those of the bytes.

use std::borrow::Borrow;
use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[test]
fn bounds_are_one_and_sixty_four() {
    assert_eq!(Kind::new(""), Err(KindError::Empty));
    assert_eq!(Kind::new("k").unwrap().as_bytes(), b"k");
    assert_eq!(Kind::new([7; MAX_KIND_LEN]).unwrap().as_bytes(), [7; MAX_KIND_LEN]);
    assert_eq!(Kind::new([7; MAX_KIND_LEN + 1]), Err(KindError::TooLong { len: MAX_KIND_LEN + 1 }));
}

#[test]
fn match_is_exact() {
    let kind = Kind::from_static("ECHO");
    for other in ["echo", "ECH", "ECHO ", "ECHO\0"] {
        assert_ne!(kind, Kind::new(other).unwrap());
    }
    assert_eq!(kind, "ECHO");
}

#[test]
#[should_panic(expected = "1 to 64 bytes")]
fn from_static_panics_on_the_empty_text() {
    Kind::from_static("");
}

#[test]
fn shown_escaped_but_given_raw() {
    let kind = Kind::new("a\u{1b}b").unwrap();
    assert_eq!(kind.to_string(), r"a\u{1b}b");
    assert_eq!(kind.as_str(), "a\u{1b}b");
    assert_eq!(format!("{:>6}|", Kind::from_static("ok")), "    ok|");
    assert_eq!(format!("{kind:?}"), r"Kind(a\u{1b}b)");
}

#[test]
fn every_source_converts() {
    fn kind_of<T>(from: T) -> Result<Kind, KindError>
    where
        T: TryInto<Kind>,
        KindError: From<T::Error>,
    {
        Ok(from.try_into()?)
    }
    let expected = Kind::from_static("NAME");
    let owned = String::from("NAME");
    assert_eq!(kind_of("NAME"), Ok(expected));
    assert_eq!(kind_of(&owned), Ok(expected));
    assert_eq!(kind_of(owned), Ok(expected));
    assert_eq!(kind_of(&b"NAME"[..]), Ok(expected));
    assert_eq!(kind_of(expected), Ok(expected));
    assert_eq!(kind_of(""), Err(KindError::Empty));
}

#[test]
fn a_set_of_kinds_is_searched_by_bytes() {
    let kinds = BTreeSet::from([Kind::from_static("A"), Kind::from_static("B")]);
    assert!(kinds.contains(&b"A"[..]));
    assert!(!kinds.contains(&b"A\0"[..]));
}

#[test]
fn json_is_a_string_where_it_can_be() {
    let kind = Kind::from_static("NAME");
    assert_eq!(serde_json::to_string(&kind).unwrap(), r#""NAME""#);
    let raw = Kind::new([0xff, 1]).unwrap();
    assert_eq!(serde_json::to_string(&raw).unwrap(), "[255,1]");
    for refused in [r#""""#, "[]", "7", "[256]"] {
        assert!(serde_json::from_str::<Kind>(refused).is_err(), "{refused}");
    }
}

proptest! {
    #[test]
    fn round_trips(bytes in vec(any::<u8>(), 1..=MAX_KIND_LEN)) {
        let kind = Kind::new(&bytes).unwrap();
        prop_assert_eq!(kind.as_bytes(), &bytes);
        let wire = postcard::to_allocvec(&kind).unwrap();
        prop_assert_eq!(wire.len(), 1 + bytes.len());
        prop_assert_eq!(postcard::from_bytes::<Kind>(&wire).unwrap(), kind);
        let json = serde_json::to_string(&kind).unwrap();
        prop_assert_eq!(serde_json::from_str::<Kind>(&json).unwrap(), kind);
    }

    #[test]
    fn ordered_as_bytes(a in vec(0..3u8, 1..4), b in vec(0..3u8, 1..4)) {
        let (x, y) = (Kind::new(&a).unwrap(), Kind::new(&b).unwrap());
        prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        prop_assert_eq!(x == y, a == b);
        prop_assert_eq!(Borrow::<[u8]>::borrow(&x), &a[..]);
    }

    #[test]
    fn any_bytes_decode_or_fail(bytes in vec(any::<u8>(), 0..100)) {
        if let Ok(kind) = postcard::from_bytes::<Kind>(&bytes) {
            prop_assert!((1..=MAX_KIND_LEN).contains(&kind.as_bytes().len()));
        }
    }
}
