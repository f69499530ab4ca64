//! `peers`: who is paired and who is connected; `--forget`.

#[path = "support/peers.rs"]
mod support;

use support::Home;

#[test]
fn lists_paired_and_connected() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut up = alice.up(&[]);
    assert_eq!(alice.run(&["peers"]).code(0).out, "");
    let bob_up = bob.up(&[]);
    bob.run(&["pair", &up.address]).code(0);
    up.sees("asks to be paired");
    let list = alice.run(&["peers"]).code(0).out;
    assert!(
        list.contains("bob") && list.contains("connected") && list.contains("asks to be paired"),
        "{list}"
    );
    let rows = bob.run(&["peers", "--json"]).code(0).events();
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0]["name"], &rows[0]["paired"]), (&"alice".into(), &true.into()));
    assert_eq!(rows[0]["connected"], true);
    drop(bob_up);
    let list = bob.run(&["peers"]).code(0).out;
    assert!(list.contains("alice") && list.contains("last seen"), "{list}");
}

#[test]
fn a_forgotten_peer_is_a_stranger() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let up = alice.up(&[]);
    bob.run(&["pair", &up.address]).code(0);
    bob.run(&["peers", "--forget", "alice"]).code(0);
    assert_eq!(bob.run(&["peers"]).code(0).out, "");
    bob.run(&["peers", "--forget", "192.0.2.1"]).code(1);
}
