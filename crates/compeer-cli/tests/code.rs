//! Spoken codes: found near or at an address, right or wrong, on both sides.

#[path = "support/peers.rs"]
mod support;

use support::{Home, Running, nobody};

/// A port for each test, so that they do not hear each other.
fn port(test: u16) -> u16 {
    // Below those that the system hands out.
    10_000 + (std::process::id() % 1000) as u16 * 10 + test
}

fn pair(test: u16) -> (Home, Home) {
    (Home::new("alice").near(port(test)), Home::new("bob").near(port(test)))
}

/// The code that a command printed for the other machine.
fn code(offering: &mut Running) -> String {
    offering.sees("compeer pair ").split("compeer pair ").nth(1).unwrap().to_string()
}

/// The same number and a word that is another.
fn wrong(code: &str) -> String {
    let (start, last) = code.rsplit_once('-').unwrap();
    format!("{start}-{}", if last == "zoo" { "abandon" } else { "zoo" })
}

#[test]
fn two_are_paired_by_a_code_without_anything_else() {
    let (alice, bob) = pair(0);
    let mut offering = alice.start(&["pair"]);
    let code = code(&mut offering);
    // As it is spoken.
    let paired = bob.run(&["pair", &code.replace('-', " ").to_uppercase()]).code(0);
    assert!(
        paired.out.starts_with("alice (") && paired.out.contains("has paired with you too"),
        "{}",
        paired.out
    );
    assert!(paired.err.contains("looking for whoever offers code"), "{}", paired.err);
    assert!(offering.sees("is paired").starts_with("bob ("));
    offering.succeeds();
    for (home, other) in [(&alice, "bob"), (&bob, "alice")] {
        let rows = home.run(&["peers", "--json"]).code(0).events();
        assert_eq!((&rows[0]["name"], &rows[0]["paired"]), (&other.into(), &true.into()));
    }
}

#[test]
fn through_running_peers_and_then_they_stay_connected() {
    let (alice, bob) = pair(1);
    let (mut alice_up, mut bob_up) = (alice.up(&[]), bob.up(&[]));
    let mut offering = alice.start(&["pair", "--code", "--as", "robert"]);
    let code = code(&mut offering);
    bob.run(&["pair", &code]).code(0);
    assert!(offering.sees("is paired").starts_with("robert ("));
    bob.run(&["say", "alice", "hello"]).code(0);
    alice_up.sees("robert: hello");
    alice.run(&["say", "robert", "hello yourself"]).code(0);
    bob_up.sees("alice: hello yourself");
}

#[test]
fn a_wrong_code_is_told_to_both_and_dead() {
    let (alice, bob) = pair(2);
    let mut offering = alice.start(&["pair"]);
    let code = code(&mut offering);
    let refused = bob.run(&["pair", &wrong(&code)]).code(1);
    assert!(refused.err.contains("wrong code; it is dead now, ask for another"), "{}", refused.err);
    offering.complains("tried a wrong code; it is dead now");
    assert_eq!(offering.end().0, Some(1));
    bob.run(&["pair", &code, "--timeout", "1s"]).code(3);
    // A slip of the hand is found before it costs a guess.
    let slip = bob.run(&["pair", "7-lampp-tiger"]).code(2);
    assert!(slip.err.contains("did you mean \"lamp\""), "{}", slip.err);
}

#[test]
fn without_anybody_it_says_what_it_looked_for() {
    let (_, bob) = pair(3);
    let ended = bob.run(&["pair", "7-lamp-tiger", "--timeout", "500ms"]).code(3);
    assert!(ended.err.contains("nobody on this network offers code 7"), "{}", ended.err);
    assert!(ended.err.contains("--from HOST"), "{}", ended.err);
    let events = bob.run(&["pair", "7-lamp-tiger", "--timeout", "100ms", "--json"]).code(3).events();
    assert_eq!(events[0]["event"], "error");
}

#[test]
fn by_its_address_where_there_is_no_multicast() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let alice_up = alice.up(&[]);
    let mut offering = alice.start(&["pair"]);
    let code = code(&mut offering);
    let blind = bob.run(&["pair", &code]).code(2);
    assert!(blind.err.contains("--no-discovery") && blind.err.contains("--from"), "{}", blind.err);
    let elsewhere = bob.run(&["pair", &code, "--from", &nobody()]).code(3);
    assert!(elsewhere.err.contains("cannot reach 127.0.0.1:"), "{}", elsewhere.err);
    let other = format!("{}-lamp-tiger", if code.starts_with("7-") { 8 } else { 7 });
    let unknown = bob.run(&["pair", &other, "--from", &alice_up.address]).code(1);
    assert!(unknown.err.contains("is offered at"), "{}", unknown.err);
    bob.run(&["pair", &code, "--from", &alice_up.address]).code(0);
    offering.sees("bob (");
    let used = bob.run(&["pair", "alice", "--from", "127.0.0.1"]).code(2);
    assert!(used.err.contains("is no code"), "{}", used.err);
}

#[test]
fn a_code_that_is_given_up_is_offered_no_more() {
    let (alice, bob) = pair(4);
    let _up = alice.up(&[]);
    let mut offering = alice.start(&["pair", "--json"]);
    let offered = offering.sees("pair_code");
    let offered: serde_json::Value = serde_json::from_str(&offered).unwrap();
    assert_eq!(offered["line"], format!("compeer pair {}", offered["code"].as_str().unwrap()));
    offering.signal("INT");
    assert_eq!(offering.end().0, Some(130));
    bob.run(&["pair", offered["code"].as_str().unwrap(), "--timeout", "1s"]).code(3);
}
