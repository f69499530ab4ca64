//! What is kept comes back, over another opening of the same directory; what is old goes; what is newer is refused.

use super::*;
use std::io::Write;

fn hashed(path: &Path, root: u8) -> Hashed {
    Hashed { root: [root; 32], stamp: Stamp::of(&File::open(path).unwrap()).unwrap() }
}

fn file(dir: &Path, name: &str, size: u64) -> PathBuf {
    let path = dir.join(name);
    File::create(&path).unwrap().set_len(size).unwrap();
    path
}

#[test]
fn an_unchanged_file_is_known_and_a_changed_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (small, big) = (file(dir.path(), "small", 20_000), file(dir.path(), "big", WORTH_KEEPING));
    let home = dir.path().join("home");
    let store = Store::at(&home);
    let (id, pack) = store.new_pack().unwrap();
    let layout = Layout::new([20_000, WORTH_KEEPING]);
    let files = [(small.clone(), 20_000), (big.clone(), WORTH_KEEPING)];
    let both = crate::hash::hash(&files, &pack, &(), &crate::hash::Progress::default()).unwrap();
    store.keep_hashes(id, &layout, &both).unwrap();
    // In another process, so to speak.
    let store = Store::at(&home);
    let mut outboard = Vec::new();
    assert_eq!(store.get(&both[1].stamp, &mut outboard), Some(both[1].root));
    assert_eq!(outboard.len(), 15 * 64);
    // A pack with a hole, as a loss of power may leave it.
    pack.write_all_at(&[0; 64], layout.outboard(1) + 64).unwrap();
    assert_eq!(store.get(&both[1].stamp, &mut Vec::new()), None);
    assert_eq!(store.get(&both[0].stamp, &mut outboard), None, "hashed faster than looked up");
    File::options().append(true).open(&big).unwrap().write_all(b"more").unwrap();
    assert_eq!(store.get(&hashed(&big, 2).stamp, &mut outboard), None);
}

#[test]
fn packs_that_were_not_used_for_longest_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    // Two of these fit. The files are never written: their sizes are what counts.
    let layout = Layout::new([limits::MAX_PACKS / NODE * tree::GROUP / 3]);
    let mut packs = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let path = file(dir.path(), name, WORTH_KEEPING);
        let (id, _) = store.new_pack().unwrap();
        store.keep_hashes(id, &layout, &[hashed(&path, 1)]).unwrap();
        packs.push(store.pack_path(id).exists());
        if name == "c" {
            // Used: so it is b that goes next.
            let stamp = hashed(&dir.path().join("a"), 1).stamp;
            // Its outboard was never written, so it is not believed; asked for it was.
            assert_eq!(store.get(&stamp, &mut Vec::new()), None);
        }
    }
    assert_eq!(packs, [true; 4]);
    let there: Vec<_> = (1..=4).map(|id| store.pack_path(id).exists()).collect();
    assert_eq!(there, [true, false, true, true]);
}

#[test]
fn shares_are_kept_until_they_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path().join("home"));
    assert!(store.kept_shares().unwrap().is_empty());
    assert!(!dir.path().join("home").exists(), "nothing is made before it is needed");
    let mut kept = Kept {
        id: 0,
        name: "album".into(),
        secret: [3; 16],
        access: "\"public\"".into(),
        paths: vec![dir.path().into()],
        exclude: vec!["*.tmp".into()],
        limit: Some(5),
    };
    kept.id = store.keep_share(&kept).unwrap();
    let again = Store::at(dir.path().join("home"));
    assert_eq!(again.kept_shares().unwrap(), [kept.clone()]);
    again.forget_share(kept.id).unwrap();
    assert!(again.kept_shares().unwrap().is_empty());
}

#[test]
fn a_database_of_a_later_version_is_refused_by_its_number() {
    let dir = tempfile::tempdir().unwrap();
    Store::at(dir.path()).new_pack().unwrap();
    let database = Connection::open(dir.path().join("share.db")).unwrap();
    database.pragma_update(None, "user_version", SCHEMA + 1).unwrap();
    let refused = Store::at(dir.path()).new_pack().unwrap_err();
    assert!(matches!(refused, StoreError::Newer(version) if version == SCHEMA + 1), "{refused}");
}
