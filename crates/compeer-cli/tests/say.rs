//! `say`: shown by who is up, and exit codes for all that can go wrong.

#[path = "support/peers.rs"]
mod support;

use support::{Home, nobody};

#[test]
fn what_is_said_is_shown_on_the_other_side() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut up = alice.up(&[]);
    let ended = bob.run(&["say", &up.address, "hello"]).code(0);
    assert!(ended.err.starts_with("alone"), "{}", ended.err);
    assert_eq!(up.sees("bob: "), "bob: hello");
    assert!(
        up.seen().iter().any(|line| line.starts_with("* bob connected")),
        "first he comes, then he speaks"
    );
    bob.run(&["say", &up.address, "more", "words"]).code(0);
    assert_eq!(up.sees("more"), "bob: more words");
    bob.pipe(&["say", &up.address, "-"], "one\nbob: two\n").code(0);
    assert_eq!(up.sees("one"), "bob: one");
    assert_eq!(up.sees("two"), "bob: bob: two", "each line has its author");
}

#[test]
fn a_ticket_from_standard_input_or_a_file_will_do() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut up = alice.up(&[]);
    let ticket = alice.run(&["ticket", "--advertise", &up.address]).code(0).out;
    bob.pipe(&["say", "-", "by ticket"], &ticket).code(0);
    up.sees("bob: by ticket");
    let file = bob.path().join("alice.ticket");
    std::fs::write(&file, ticket).unwrap();
    bob.run(&["say", &format!("@{}", file.display()), "by file"]).code(0);
    up.sees("bob: by file");
}

#[test]
fn control_characters_are_shown_not_obeyed() {
    let (alice, bob) = (Home::new("alice"), Home::new("\u{1b}[31mmallory\u{202e}"));
    let mut up = alice.up(&[]);
    bob.run(&["say", &up.address, "\u{1b}[2J\u{7}\u{202e}gone"]).code(0);
    let line = up.sees("gone");
    assert!(
        line.contains(r"\u{1b}[31mmallory\u{202e}") && line.contains(r"\u{1b}[2J\u{7}\u{202e}gone"),
        "{line}"
    );
    assert!(up.seen().iter().all(|line| !line.contains(['\u{1b}', '\u{7}', '\u{202e}'])));
}

#[test]
fn a_name_already_shown_for_another_has_its_id_behind_it() {
    let (alice, bob, mallory) = (Home::new("alice"), Home::new("bob"), Home::new("bob"));
    let mut up = alice.up(&[]);
    bob.run(&["say", &up.address, "it is me"]).code(0);
    assert_eq!(up.sees("it is me"), "bob: it is me");
    mallory.run(&["say", &up.address, "no, me"]).code(0);
    assert_eq!(up.sees("no, me"), format!("bob ({}): no, me", &mallory.id()[..8]));
}

#[test]
fn nobody_there_is_exit_code_3() {
    let bob = Home::new("bob");
    let ended = bob.run(&["say", &nobody(), "hello"]).code(3);
    assert!(ended.err.contains("cannot reach"), "{}", ended.err);
}

#[test]
fn another_key_than_before_is_exit_code_4_with_both_shown() {
    let (alice, bob, mallory) = (Home::new("alice"), Home::new("bob"), Home::new("alice"));
    let up = alice.up(&[]);
    let address = up.address.clone();
    bob.run(&["say", &address, "hello"]).code(0);
    up.kill();
    let mut other = mallory.up_at(&address, &[]);
    let ended = bob.run(&["say", &address, "secret"]).code(4);
    assert!(ended.err.contains(&alice.id()) && ended.err.contains(&mallory.id()), "{}", ended.err);
    bob.run(&["peers", "--forget", &address]).code(0);
    bob.run(&["say", &address, "hello again"]).code(0);
    other.sees("bob: hello again");
    assert!(other.seen().iter().all(|line| !line.contains("secret")));
}

#[test]
fn a_peer_that_shows_nothing_does_not_acknowledge() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let up = alice.up(&[]);
    // Her terminal stands still: nothing can be shown.
    up.signal("STOP");
    let ended = bob.run(&["say", &up.address, "hello", "--timeout", "1s"]).code(3);
    up.signal("CONT");
    assert!(ended.err.contains("in time") || ended.err.contains("cannot reach"), "{}", ended.err);
}

#[test]
fn two_commands_of_one_home_at_once_both_succeed() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut up = alice.up(&[]);
    let running: Vec<_> = (0..4).map(|n| bob.start(&["say", &up.address, &format!("at once {n}")])).collect();
    for command in running {
        command.succeeds();
    }
    for _ in 0..4 {
        up.sees("bob: at once");
    }
}

#[test]
fn through_the_running_peer_if_there_is_one() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut up = alice.up(&[]);
    let _bob_up = bob.up(&[]);
    let ended = bob.run(&["say", &up.address, "hello"]).code(0);
    assert!(ended.err.starts_with("through the running peer"), "{}", ended.err);
    up.sees("bob: hello");
    let ended = bob.run(&["-q", "say", &up.address, "hush"]).code(0);
    assert_eq!((ended.out.as_str(), ended.err.as_str()), ("", ""));
}

#[test]
fn json_tells_who_was_told() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut up = alice.up(&["--json"]);
    let events = bob.run(&["say", "--json", &up.address, "\u{1b}x"]).code(0).events();
    assert_eq!(events[0]["event"], "said");
    assert_eq!(events[0]["peer"], alice.id());
    let message: serde_json::Value = serde_json::from_str(&up.sees("\"message\"")).unwrap();
    assert_eq!(message["text"], "\u{1b}x");
    assert_eq!(message["peer"], bob.id());
}
