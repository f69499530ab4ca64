//! `pair`: one-sided, then mutual; names unique; nothing a stranger does pairs him.

#[path = "support/peers.rs"]
mod support;

use support::Home;

#[test]
fn afterwards_the_name_suffices() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut alice_up = alice.up(&[]);
    let mut bob_up = bob.up(&[]);
    let paired = bob.run(&["pair", &alice_up.address]).code(0);
    assert!(paired.out.starts_with("alice ("), "{}", paired.out);
    let asked = alice_up.sees("asks to be paired");
    let typed = asked.split("compeer ").nth(1).unwrap();
    assert_eq!(typed, format!("pair {}", bob.id()));
    let early = alice.run(&["say", "bob", "too early"]).code(3);
    assert!(early.err.contains(&format!("compeer pair {}", bob.id())), "{}", early.err);
    alice.run(&typed.split(' ').collect::<Vec<_>>()).code(0);
    bob_up.sees("alice has paired with you too");
    alice.run(&["say", "bob", "hello"]).code(0);
    bob_up.sees("alice: hello");
    bob.run(&["say", "alice", "hello yourself"]).code(0);
    alice_up.sees("bob: hello yourself");
    bob.run(&["say", &alice.id()[..8], "by the beginning of the id"]).code(0);
    alice_up.sees("bob: by the beginning");
}

#[test]
fn paired_peers_find_each_other_again() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let alice_up = alice.up(&[]);
    let address = alice_up.address.clone();
    let mut bob_up = bob.up(&[]);
    bob.run(&["pair", &address]).code(0);
    alice_up.kill();
    assert!(bob_up.sees("alice left").ends_with("called again until it is back"));
    let mut alice_up = alice.up_at(&address, &[]);
    alice_up.sees("bob connected");
    bob_up.sees("alice connected");
    assert!(!bob_up.seen().iter().any(|line| line.contains("next try")), "{:?}", bob_up.seen());
    bob_up.signal("TERM");
    assert_eq!(bob_up.end().0, Some(0));
    alice_up.sees("bob left");
    let _bob_up = bob.up(&[]);
    alice_up.sees("bob connected");
}

#[test]
fn names_are_made_unique_or_chosen() {
    let (ann, bob, other) = (Home::new("ann"), Home::new("bob"), Home::new("bob"));
    let (bob_up, other_up) = (bob.up(&[]), other.up(&[]));
    ann.run(&["pair", &bob_up.address]).code(0);
    let second = ann.run(&["pair", &other_up.address]).code(0).out;
    assert!(
        second.starts_with("bob-2 (") && second.contains("another peer is called bob already"),
        "{second}"
    );
    assert!(ann.run(&["pair", &other_up.address, "--as", "robert"]).code(0).out.starts_with("robert ("));
    assert_eq!(ann.run(&["call", "robert", "ECHO", "x"]).code(0).out, "x\n");
}

#[test]
fn a_mistyped_name_is_told_which_one_was_meant() {
    let (ann, robert) = (Home::new("ann"), Home::new("robert"));
    let up = robert.up(&[]);
    ann.run(&["pair", &up.address]).code(0);
    let ended = ann.run(&["say", "rboert", "hello"]).code(3);
    assert!(ended.err.contains("did you mean robert?"), "{}", ended.err);
}

#[test]
fn whoever_calls_himself_like_a_friend_is_not_he() {
    let (alice, bob, mallory) = (Home::new("alice"), Home::new("bob"), Home::new("mallory"));
    let mut up = alice.up(&[]);
    let bob_up = bob.up(&[]);
    alice.run(&["pair", &bob_up.address]).code(0);
    let mut disguised = mallory.command(&["say", &up.address, "it is me, bob"]);
    disguised.env("USER", "bob");
    assert!(disguised.status().unwrap().success());
    assert_eq!(up.sees("it is me"), format!("bob ({}): it is me, bob", &mallory.id()[..8]));
}

#[test]
fn a_stranger_who_asks_again_and_again_is_one_line() {
    let (alice, mallory) = (Home::new("alice"), Home::new("mallory"));
    let mut up = alice.up(&[]);
    for _ in 0..3 {
        mallory.run(&["pair", &up.address]).code(0);
    }
    mallory.run(&["say", &up.address, "please"]).code(0);
    up.sees("mallory: please");
    assert_eq!(up.seen().iter().filter(|line| line.contains("asks to be paired")).count(), 1);
    let peers = alice.run(&["peers", "--json"]).code(0).events();
    assert!(peers.iter().all(|row| row["paired"] == false), "{peers:?}");
}
