//! A peer that dies without a word: noticed, whichever way, and found again when it is back.

#[path = "support/peers.rs"]
mod support;

use support::Home;

#[test]
fn a_stopped_peer_is_noticed_and_welcome_again() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let up = alice.up(&[]);
    let mut bob_up = bob.up(&[]);
    bob.run(&["pair", &up.address]).code(0);
    bob_up.sees("alice connected");
    // Its sockets stay open; only its silence tells.
    up.signal("STOP");
    bob_up.sees("alice left");
    up.signal("CONT");
    bob_up.sees("alice connected");
}

#[test]
fn one_key_on_two_machines_is_told_to_both() {
    let (alice, bob, copy) = (Home::new("alice"), Home::new("bob"), Home::new("copy"));
    let bob_up = bob.up(&[]);
    alice.run(&["pair", &bob_up.address]).code(0);
    copy.run(&["pair", &bob_up.address]).code(0);
    std::fs::copy(alice.path().join("key"), copy.path().join("key")).unwrap();
    let mut first = alice.up(&[]);
    let mut second = copy.up(&[]);
    first.sees("on another machine too");
    second.sees("on another machine too");
}
