//! Tests of `ext`: bounds, unknown tags kept in order, anything else refused.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

#[test]
fn the_number_of_entries_is_bounded() {
    let mut ext = Ext::new();
    for tag in 0..MAX_EXT_ENTRIES as u32 {
        ext.push(tag, b"").unwrap();
    }
    assert_eq!(ext.push(1000, b""), Err(ExtError::TooMany));
    let mut bytes = ext.encode();
    assert_eq!(Ext::decode(&bytes), Ok(ext));

    bytes[0] += 1;
    bytes.extend_from_slice(&[100, 0]);
    assert_eq!(Ext::decode(&bytes), Err(ExtError::Malformed));
}

#[test]
fn the_size_of_all_values_is_bounded() {
    let half = vec![0; MAX_EXT_BYTES / 2];
    let mut ext = Ext::new();
    ext.push(1, &half).unwrap();
    ext.push(2, &half).unwrap();
    assert_eq!(ext.push(3, b"x"), Err(ExtError::TooLarge));
    assert_eq!(ext.push(3, b""), Ok(()));
    assert_eq!(Ext::decode(&ext.encode()), Ok(ext));

    let too_large = vec![(1u32, half.clone()), (2, half), (3, b"x".to_vec())];
    let bytes = postcard::to_allocvec(&too_large).unwrap();
    assert_eq!(Ext::decode(&bytes), Err(ExtError::Malformed));
}

#[test]
fn a_claimed_size_is_not_believed() {
    // Four thousand million entries; one entry of as many bytes.
    assert_eq!(Ext::decode(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Err(ExtError::CutShort));
    assert_eq!(Ext::decode(&[1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f]), Err(ExtError::CutShort));
}

#[test]
fn a_tag_appears_once() {
    let mut ext = Ext::new();
    ext.push(1, b"a").unwrap();
    assert_eq!(ext.push(1, b"b"), Err(ExtError::Twice(1)));
    assert_eq!(ext.get(1), Some(&b"a"[..]));
    assert_eq!(Ext::decode(b"\x02\x01\x01a\x01\x01b"), Err(ExtError::Malformed));
}

#[test]
fn what_follows_is_given_back_or_refused() {
    let bytes = b"\x01\x07\x01xrest";
    let (ext, rest) = Ext::decode_prefix(bytes).unwrap();
    assert_eq!((ext.len(), rest), (1, &b"rest"[..]));
    assert_eq!(Ext::decode(bytes), Err(ExtError::Malformed));
    assert_eq!(Ext::decode(b""), Err(ExtError::CutShort));
    assert_eq!(Ext::decode(&bytes[..3]), Err(ExtError::CutShort));
    assert!(Ext::decode(b"\x00").unwrap().is_empty());
}

/// Lists with tags and sizes of every length of varint.
pub(crate) fn exts() -> impl Strategy<Value = Ext> {
    btree_map(any::<u32>(), vec(any::<u8>(), 0..200), 0..8).prop_map(|entries| {
        let mut ext = Ext::new();
        // Falling, so that order is not by accident the sorted one.
        for (tag, value) in entries.iter().rev() {
            ext.push(*tag, value).unwrap();
        }
        ext
    })
}

proptest! {
    #[test]
    fn round_trips(ext in exts()) {
        let bytes = ext.encode();
        prop_assert_eq!(&Ext::decode(&bytes).unwrap(), &ext);
        prop_assert_eq!(Ext::decode(&bytes).unwrap().encode(), bytes);
    }

    #[test]
    fn any_bytes_decode_or_fail(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(ext) = Ext::decode(&bytes) {
            prop_assert_eq!(Ext::decode(&ext.encode()).unwrap(), ext);
        }
        let _ = Ext::decode_prefix(&bytes);
    }
}
