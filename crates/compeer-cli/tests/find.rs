//! `find`: what others share with everybody, numbered for `get`, and whether that is all.

#[path = "support/peers.rs"]
mod support;

use support::{Home, same};

#[test]
fn what_is_public_is_found_and_fetched_by_its_number() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let alice_up = alice.up(&[]);
    let talk = alice.file("holiday talks/one.ogg", 10_000);
    let secret = alice.file("holiday secret", 10);
    alice.run(&["share", "--public", talk.parent().unwrap().to_str().unwrap()]).code(0);
    alice.run(&["share", secret.to_str().unwrap()]).code(0);
    bob.run(&["pair", &alice_up.address]).code(0);
    let ended = bob.run(&["find", "holi"]).code(0);
    assert_eq!(ended.out, "  1  holiday talks, 1 file, 10.0 kB, 1 peer\n");
    assert!(ended.err.contains("complete: 1 peer asked, and all have answered"), "{}", ended.err);
    let to = bob.empty("to");
    bob.run_in(&to, &["get", "1"]).code(0);
    assert!(same(&talk, &to.join("holiday talks/one.ogg")));
    let ended = bob.run_in(&to, &["get", "2"]).code(2);
    assert!(ended.err.contains("had 1"), "{}", ended.err);
    let ended = bob.run(&["find", "nothing", "like", "that"]).code(0);
    assert!(ended.out.is_empty() && ended.err.contains("nothing found; complete"), "{}", ended.err);
}

#[test]
fn those_near_are_asked_without_any_set_up() {
    let port = support::free_port();
    let (alice, bob) = (Home::new("alice").near(port), Home::new("bob").near(port));
    let _up = alice.up(&[]);
    let file = alice.file("slides.pdf", 1000);
    alice.run(&["share", "--public", file.to_str().unwrap()]).code(0);
    let ended = bob.run(&["find", "slides"]).code(0);
    assert!(ended.out.contains("slides.pdf"), "{ended:?}");
}

#[test]
fn one_peer_is_browsed_and_nobody_is_nobody() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let up = alice.up(&[]);
    for name in ["one", "two"] {
        alice.run(&["share", "--public", alice.file(name, 5).to_str().unwrap()]).code(0);
    }
    let ended = bob.run(&["find", "--on", &up.address]).code(0);
    assert_eq!(ended.out.lines().count(), 2, "{}", ended.out);
    let ended = bob.run(&["find", "--on", &up.address, "TWO"]).code(0);
    assert_eq!(ended.out, "  1  two, 1 file, 5 bytes, 1 peer\n");
    bob.run(&["find", "--on", &support::nobody()]).code(3);
    let ended = Home::new("carol").run(&["find", "x"]).code(0);
    assert!(ended.err.contains("nobody is around"), "{}", ended.err);
    bob.run(&["find"]).code(2);
}
