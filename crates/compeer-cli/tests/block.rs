//! `block`: live connections close, new ones are refused, `--off` undoes it.

#[path = "support/peers.rs"]
mod support;

use support::Home;

#[test]
fn a_blocked_peer_is_cut_off_until_unblocked() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut alice_up = alice.up(&[]);
    let mut bob_up = bob.up(&[]);
    bob.run(&["say", &alice_up.address, "hello"]).code(0);
    alice_up.sees("bob: hello");
    let blocked = alice.run(&["block", &bob.id()]).code(0);
    assert!(blocked.out.contains("blocked"), "{}", blocked.out);
    alice_up.sees("left");
    bob_up.sees("left");
    let ended = bob.run(&["say", &alice_up.address, "let me in", "--timeout", "5s"]);
    assert_ne!(ended.code, Some(0), "{ended:?}");
    alice.run(&["say", &bob.id(), "hello"]).code(1);
    alice.run(&["block", &bob.id(), "--off"]).code(0);
    bob.run(&["say", &alice_up.address, "thank you"]).code(0);
    alice_up.sees("thank you");
    assert!(alice_up.seen().iter().all(|line| !line.contains("let me in")));
}

#[test]
fn a_block_outlives_the_process() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    bob.run(&["status"]).code(0);
    alice.run(&["block", &bob.id()]).code(0);
    let up = alice.up(&[]);
    let ended = bob.run(&["say", &up.address, "let me in", "--timeout", "5s"]);
    assert_ne!(ended.code, Some(0), "{ended:?}");
}
