//! Command lines that make no sense: exit code 2, and a word about it.

#[path = "support/peers.rs"]
mod support;

use support::Home;

#[test]
fn what_makes_no_sense_is_exit_code_2() {
    let home = Home::new("ann");
    for arguments in [
        &["frobnicate"][..],
        &["say"],
        &["say", "127.0.0.1"],
        &["say", "127.0.0.1", " "],
        &["say", "no such name!", "hello"],
        &["say", "peeraaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "hello"],
        &["say", "127.0.0.1", "hello", "--timeout", "5"],
        &["say", "@/does/not/exist", "hello"],
        &["call", "127.0.0.1", ""],
        &["call", "-", "ECHO", "-"],
        &["up", "--listen", "nonsense"],
        &["up", "--advertise", "a b"],
        &["up", "--temp", "--detach"],
        &["pair", "127.0.0.1", "--as", "two words"],
        &["call", "--spread", "KIND"],
        &["send", "x", "--limit", "0M"],
    ] {
        let ended = home.run(arguments).code(2);
        assert!(ended.err.contains("error"), "{arguments:?}: {}", ended.err);
    }
}

#[test]
fn an_error_is_an_event_too() {
    let home = Home::new("ann");
    let ended = home.run(&["--json", "say", "no such name!", "hello"]).code(2);
    let events = ended.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["event"], "error");
    assert_eq!(events[0]["code"], 2);
}

#[test]
fn a_home_that_cannot_be_is_an_error() {
    let home = Home::new("ann");
    let ended = home.run(&["status", "--home", "/dev/null/home"]).code(1);
    assert!(ended.err.contains("/dev/null/home") && ended.err.contains("--home"), "{}", ended.err);
}

#[test]
fn a_mistake_says_what_was_meant_and_what_must_be_given() {
    let home = Home::new("ann");
    let ended = home.run(&["sya", "bob", "hello"]).code(2);
    assert!(ended.err.contains("'say'"), "{}", ended.err);
    // The home is given, by a variable.
    let ended = home.run(&["say"]).code(2);
    assert!(ended.err.contains("Usage: compeer say [OPTIONS] <PEER>"), "{}", ended.err);
    let ended = home.run(&["call", "--spread", "FACTOR"]).code(2);
    assert!(ended.err.contains("compeer call --spread FACTOR - < lines"), "{}", ended.err);
}
