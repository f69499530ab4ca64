//! Who is near: shown, gone again, and found at another address than the last time.

#[path = "support/peers.rs"]
mod support;

use support::{Home, PATIENCE};

use std::time::Instant;

/// A port for each test, so that they do not hear each other.
fn port(test: u16) -> u16 {
    // Below those that the system hands out, and beside those of `code.rs`.
    20_000 + (std::process::id() % 1000) as u16 * 10 + test
}

/// Asks again until it is so.
#[track_caller]
fn until(mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "never");
    }
}

#[test]
fn who_is_up_is_near_until_he_leaves() {
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| Home::new(name).near(port(0)));
    let (_alice_up, bob_up) = (alice.up(&[]), bob.up(&[]));
    // Through a running peer, and without one.
    until(|| alice.run(&["peers"]).code(0).out.contains("bob"));
    let mut rows = Vec::new();
    until(|| {
        rows = carol.run(&["peers", "--json"]).code(0).events();
        rows.len() == 2
    });
    let names: Vec<_> = rows.iter().map(|row| (row["name"].as_str().unwrap(), row["near"] == true)).collect();
    assert_eq!(names, [("alice", true), ("bob", true)]);
    assert!(rows.iter().all(|row| row["paired"] == false && row["connected"] == false));
    let overview = carol.run(&[]).code(0).out;
    assert!(overview.contains("near (127.0.0.1:"), "{overview}");
    // What it says to type next can be typed.
    let next = overview.lines().find(|line| line.contains("compeer say")).unwrap();
    let address = next.split_whitespace().nth(2).unwrap();
    carol.run(&["say", address, "hello"]).code(0);

    bob_up.signal("TERM");
    assert_eq!(bob_up.end().0, Some(0));
    until(|| !alice.run(&["peers"]).code(0).out.contains("bob"));
}

#[test]
fn with_no_discovery_nobody_is_told_and_nobody_looked_for() {
    let alice = Home::new("alice").near(port(1));
    let bob = Home::new("bob").near(port(1));
    let _alice_up = alice.up(&["--no-discovery"]);
    let _bob_up = bob.up(&[]);
    assert_eq!(alice.run(&["peers"]).code(0).out, "");
    let carol = Home::new("carol").near(port(1));
    let rows = carol.run(&["peers", "--json"]).code(0).events();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["name"], "bob");
    assert_eq!(carol.run(&["peers", "--no-discovery"]).code(0).out, "");
}

#[test]
fn a_paired_peer_that_moved_is_found_again() {
    let (alice, bob) = (Home::new("alice").near(port(2)), Home::new("bob").near(port(2)));
    let alice_up = alice.up(&[]);
    let mut bob_up = bob.up(&[]);
    // One-sided: alice does not call.
    bob.run(&["pair", &alice_up.address]).code(0);
    let before = alice_up.address.clone();
    alice_up.kill();
    bob_up.sees("alice left");
    let alice_up = alice.up(&[]);
    assert_ne!(alice_up.address, before);
    bob_up.sees(&format!("alice connected ({})", alice_up.address));
    // And by name, without a peer that runs.
    drop(bob_up);
    let alice_up = {
        drop(alice_up);
        alice.up(&[])
    };
    until(|| bob.run(&["peers"]).code(0).out.contains(&alice_up.address));
}
