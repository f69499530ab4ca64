//! The store on real files: names made unique, pins that stay, schema numbers.

use super::*;

/// A valid id: RFC 8032 test keys are real curve points, and these come from those or are generated.
fn id(seed: u8) -> PeerId {
    compeer::Identity::from_seed(&[seed; 32]).peer_id()
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("peer.db")).unwrap();
    (dir, store)
}

#[test]
fn names_are_made_unique() {
    let (_dir, store) = store();
    assert_eq!(store.pair(id(1), "bob", false).unwrap(), "bob");
    assert_eq!(store.pair(id(2), "bob", false).unwrap(), "bob-2");
    assert_eq!(store.pair(id(3), "bob", false).unwrap(), "bob-3");
    assert_eq!(store.pair(id(2), "robert", false).unwrap(), "bob-2", "keeps its name");
    assert_eq!(store.pair(id(2), "robert", true).unwrap(), "robert");
    assert_eq!(store.by_petname("robert").unwrap().unwrap().id, id(2));
    assert_eq!(store.by_petname("bob-2").unwrap(), None);
    let long = "ö".repeat(MAX_PETNAME / 2);
    assert_eq!(store.pair(id(4), &long, false).unwrap(), long);
    let shortened = store.pair(id(5), &long, false).unwrap();
    assert!(shortened.ends_with("-2") && shortened.len() <= MAX_PETNAME);
}

#[test]
fn no_name_captures_the_prefix_of_a_paired_id() {
    let (_dir, store) = store();
    store.pair(id(1), "alice", false).unwrap();
    let prefix = &id(1).to_string()[..8];
    assert_ne!(store.pair(id(2), prefix, false).unwrap(), prefix);
}

#[test]
fn a_blocked_peer_stays_blocked_when_it_is_unpaired() {
    let (_dir, store) = store();
    store.pair(id(1), "bob", false).unwrap();
    store.block(id(1), true).unwrap();
    store.unpair(id(1)).unwrap();
    assert!(store.peer(id(1)).unwrap().unwrap().blocked);
    store.block(id(1), false).unwrap();
    assert_eq!(store.peer(id(1)).unwrap(), None, "nothing left to remember");
}

#[test]
fn a_pin_is_learnt_once() {
    let (_dir, store) = store();
    store.set_pin("192.168.1.20:26673", id(1)).unwrap();
    store.set_pin("192.168.1.20:26673", id(2)).unwrap();
    assert_eq!(store.pin("192.168.1.20:26673").unwrap(), Some(id(1)));
    assert!(store.unpin("192.168.1.20:26673").unwrap());
    assert!(!store.unpin("192.168.1.20:26673").unwrap());
}

#[test]
fn strangers_leave_no_trace_and_known_peers_few() {
    let (_dir, store) = store();
    store.seen(id(1), Some("mallory"), &["1.2.3.4:5".into()], 7).unwrap();
    assert_eq!(store.peers().unwrap(), vec![]);
    store.pair(id(2), "bob", false).unwrap();
    for port in 0..100 {
        store.seen(id(2), Some("Bob"), &[format!("1.2.3.4:{port}")], 7).unwrap();
    }
    store.seen(id(2), None, &[], 8).unwrap();
    let known = store.peer(id(2)).unwrap().unwrap();
    assert_eq!(known.addrs.len(), compeer::limits::MAX_ADDRS);
    assert_eq!(known.addrs[0], "1.2.3.4:99");
    assert_eq!((known.nickname.as_deref(), known.last_seen), (Some("Bob"), Some(8)));
}

#[test]
fn what_was_written_is_there_again() {
    let (dir, store) = store();
    store.pair(id(1), "bob", false).unwrap();
    store.set("port", "4000").unwrap();
    drop(store);
    let store = Store::open(&dir.path().join("peer.db")).unwrap();
    assert_eq!(store.peers().unwrap().len(), 1);
    assert_eq!(store.setting("port").unwrap().as_deref(), Some("4000"));
}

#[test]
fn a_newer_schema_is_refused_by_its_number() {
    let (dir, store) = store();
    drop(store);
    let path = dir.path().join("peer.db");
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let Err(error) = Store::open(&path) else { panic!("opened") };
    assert!(error.to_string().contains("schema 99"), "{error}");
}

#[test]
fn a_migration_leaves_a_copy_of_what_was() {
    let (dir, store) = store();
    store.pair(id(1), "bob", false).unwrap();
    drop(store);
    let path = dir.path().join("peer.db");
    let mut steps = schema::MIGRATIONS.to_vec();
    steps.push("ALTER TABLE peers ADD COLUMN shoe_size INTEGER");
    let opened = schema::open(&path, &steps).unwrap();
    let version: i64 = opened.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, steps.len() as i64);
    let copy = Store::open(&dir.path().join(format!("peer.db.schema-{}", steps.len() - 1))).unwrap();
    assert_eq!(copy.by_petname("bob").unwrap().unwrap().id, id(1));
    steps.push("this is no SQL");
    assert!(schema::open(&path, &steps).is_err());
    let version: i64 = opened.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, steps.len() as i64 - 1, "a failed migration changes nothing");
}

#[test]
fn a_file_that_is_no_database_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("peer.db");
    std::fs::write(&path, "this is no database, but what somebody wrote").unwrap();
    assert!(Store::open(&path).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "this is no database, but what somebody wrote");
}
