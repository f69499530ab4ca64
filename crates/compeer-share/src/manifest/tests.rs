use proptest::prelude::*;

use super::*;
use crate::limits::MAX_PATH;

fn file(path: &str) -> Entry {
    Entry {
        path: path.into(),
        size: 10,
        root: *blake3::hash(path.as_bytes()).as_bytes(),
        executable: path.ends_with(".sh"),
        modified: -5,
        modified_nanos: 999_999_999,
    }
}

fn of(paths: &[&str]) -> Result<Manifest, ManifestError> {
    Manifest::new(paths.iter().map(|path| file(path)).collect())
}

fn written(entry: &Entry, before: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    entry.write(&mut bytes, before);
    bytes
}

/// The bytes are part of the wire: changing them is a decision.
#[test]
fn bytes_are_pinned() {
    let mut a = file("b/사.sh");
    let mut b = file("b/상");
    (a.root, b.root) = ([1; 32], [2; 32]);
    (b.size, b.modified, b.modified_nanos) = (300, 1 << 33, 0);
    let bytes = Manifest::new(vec![b, a]).unwrap().encode();
    let one = [&b"\x00\x08b/\xec\x82\xac.sh\x0a"[..], &[1; 32], b"\x01\x09\xff\x93\xeb\xdc\x03"].concat();
    // Two letters that share their first byte share no letter.
    let two = [&b"\x02\x03\xec\x83\x81\xac\x02"[..], &[2; 32], b"\x00\x80\x80\x80\x80\x40\x00"].concat();
    assert_eq!(bytes, [&b"\x01\x02"[..], &one, &two, b"\x00"].concat());
}

#[test]
fn promises_are_kept() {
    assert_eq!(of(&["a", "a"]), Err(ManifestError::Twice("a".into())));
    // With a name between the file and what it is a folder of.
    let clash = Err(ManifestError::FileAndFolder("a".into()));
    assert_eq!(of(&["a", "a-b", "a.x", "a/b/c"]), clash);
    assert_eq!(of(&["a/b", "a/b-c", "a/b/c"]), Err(ManifestError::FileAndFolder("a/b".into())));
    assert!(of(&["a-b", "a/b", "ab"]).is_ok());
    assert!(matches!(of(&["a", "../b"]), Err(ManifestError::Name(NameError::Dots(_)))));
    let mut big = file("x");
    big.size = i64::MAX as u64;
    assert!(Manifest::new(vec![big.clone()]).is_ok());
    assert_eq!(Manifest::new(vec![file("w"), big.clone()]), Err(ManifestError::Number("x".into())));
    big.size += 1;
    assert_eq!(Manifest::new(vec![big]), Err(ManifestError::Number("x".into())));
    let mut late = file("x");
    late.modified_nanos += 1;
    assert_eq!(Manifest::new(vec![late]), Err(ManifestError::Number("x".into())));
    assert_eq!(of(&[]).unwrap().total(), 0);
}

#[test]
fn a_title_is_the_one_name_or_a_number() {
    assert_eq!(of(&["a.pdf"]).unwrap().title(), "a.pdf");
    assert_eq!(of(&["photos/a", "photos/b/c"]).unwrap().title(), "photos");
    assert_eq!(of(&["a", "b"]).unwrap().title(), "2 files");
    assert_eq!(of(&["a/1", "a-b", "a/2"]).unwrap().title(), "2 files and folders");
}

#[test]
fn other_bytes_are_refused() {
    let good = of(&["a/1", "a/2"]).unwrap().encode();
    assert!(Manifest::decode(&good).is_ok());
    assert_eq!(Manifest::decode(&[]), Err(ManifestError::Malformed));
    assert_eq!(Manifest::decode(&[2]), Err(ManifestError::Version(2)));
    for len in 1..good.len() {
        assert!(Manifest::decode(&good[..len]).is_err(), "cut at {len}");
    }
    assert_eq!(Manifest::decode(&[&good[..], b"\0"].concat()), Err(ManifestError::Malformed));
    // The same number in more bytes, and a path that could share more: another id for the same files.
    let long_varint = [b"\x01\x82\x00", &good[2..]].concat();
    assert_eq!(Manifest::decode(&long_varint), Err(ManifestError::Malformed));
    let shy = [&b"\x01\x02"[..], &written(&file("ab"), ""), &written(&file("ac"), ""), b"\0"].concat();
    assert_eq!(Manifest::decode(&shy), Err(ManifestError::Malformed));
    // A path that goes back, or shares bytes that are not there.
    let swapped = [&b"\x01\x02"[..], &written(&file("b"), ""), &written(&file("a"), ""), b"\0"].concat();
    assert_eq!(Manifest::decode(&swapped), Err(ManifestError::Malformed));
    let mut beyond = good.clone();
    beyond[2] = 9;
    assert_eq!(Manifest::decode(&beyond), Err(ManifestError::Malformed));
}

#[test]
fn unknown_extensions_are_kept() {
    let mut manifest = of(&["a"]).unwrap();
    manifest.ext.push(77, b"later").unwrap();
    let bytes = manifest.encode();
    let again = Manifest::decode(&bytes).unwrap();
    assert_eq!(again.encode(), bytes);
    assert_ne!(again.id(), of(&["a"]).unwrap().id());
}

/// Filled to the brim and one over.
#[test]
fn bounds_hold() {
    let many: Vec<Entry> = (0..=MAX_ENTRIES).map(|n| file(&format!("a/folder of many/{n:07}"))).collect();
    let brim = Manifest::new(many[1..].to_vec()).unwrap();
    let bytes = brim.encode();
    assert!(bytes.len() < MAX_MANIFEST_BYTES * 2 / 3, "{}", bytes.len());
    assert_eq!(Manifest::decode(&bytes).unwrap(), brim);
    assert_eq!(Manifest::new(many), Err(ManifestError::TooMany));
    let claim = [&[VERSION][..], b"\x91\xa1\x0f"].concat(); // 250,001
    assert_eq!(Manifest::decode(&claim), Err(ManifestError::TooMany));

    // Few bytes that would be long paths.
    let folders = vec!["n".repeat(250); 15].join("/");
    let fill = MAX_PATH_BYTES / (folders.len() + 6);
    let long: Vec<Entry> = (0..=fill).map(|n| file(&format!("{folders}/{n:05}"))).collect();
    assert!(folders.len() < MAX_PATH);
    assert!(Manifest::new(long[1..].to_vec()).is_ok());
    assert_eq!(Manifest::new(long), Err(ManifestError::TooLarge));
    assert_eq!(Manifest::decode(&vec![VERSION; MAX_MANIFEST_BYTES + 1]), Err(ManifestError::TooLarge));
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(paths in proptest::collection::btree_set("[a-c가-깋]{1,3}(/[a-c.-]{1,2}x){0,3}", 0..20)) {
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        if let Ok(manifest) = of(&paths) {
            let again = Manifest::decode(&manifest.encode());
            prop_assert_eq!(again.as_ref(), Ok(&manifest));
        }
    }

    #[test]
    fn one_byte_changed_is_another_manifest_or_none(at in 0usize..120, to: u8) {
        let mut bytes = of(&["dir/a", "dir/b", "x"]).unwrap().encode();
        let id = ContentId::of(&bytes);
        let at = at % bytes.len();
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        if let Ok(other) = Manifest::decode(&bytes) {
            prop_assert_ne!(other.id(), id);
            prop_assert_eq!(other.encode(), bytes);
        }
    }
}
