//! `call`: replies as they come, bytes as they are, errors by their codes.

#[path = "support/peers.rs"]
mod support;

use support::{Home, nobody};

#[test]
fn a_running_peer_answers_echo_and_name() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let up = alice.up(&["--name", "Alice in the attic"]);
    assert_eq!(bob.run(&["call", &up.address, "ECHO", "hello"]).code(0).out, "hello\n");
    assert_eq!(bob.run(&["call", &up.address, "NAME"]).code(0).out, "Alice in the attic\n");
    assert_eq!(bob.pipe(&["call", &up.address, "ECHO", "-"], "from a pipe\n").code(0).out, "from a pipe\n");
}

#[test]
fn bytes_come_as_they_are_if_wanted() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let up = alice.up(&[]);
    let text = "a\u{1b}[2Jb";
    assert_eq!(bob.run(&["call", &up.address, "ECHO", text]).code(0).out, "a\\u{1b}[2Jb\n");
    assert_eq!(bob.run(&["call", &up.address, "ECHO", text, "--raw"]).code(0).out, text);
    let events = bob.run(&["call", &up.address, "ECHO", text, "--json"]).code(0).events();
    assert_eq!((&events[0]["event"], &events[0]["body"]), (&"reply".into(), &text.into()));
    let big = "x".repeat(1 << 20);
    assert_eq!(bob.pipe(&["call", &up.address, "ECHO", "-", "--raw"], &big).code(0).out.len(), big.len());
    bob.pipe(&["call", &up.address, "ECHO", "-"], &(big + "x")).code(2);
}

#[test]
fn an_error_reply_is_exit_code_1() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let up = alice.up(&[]);
    let ended = bob.run(&["call", &up.address, "FROBNICATE"]).code(1);
    assert!(ended.err.contains("no handler"), "{}", ended.err);
    bob.run(&["call", &up.address, "compeer/say", "x", "--no-reply"]).code(0);
}

#[test]
fn nobody_and_nothing_in_time_are_exit_code_3() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    bob.run(&["call", &nobody(), "ECHO"]).code(3);
    let up = alice.up(&[]);
    up.signal("STOP");
    let ended = bob.run(&["call", &up.address, "ECHO", "--timeout", "500ms"]).code(3);
    up.signal("CONT");
    assert!(ended.err.contains("in time"), "{}", ended.err);
}

#[test]
fn ctrl_c_is_exit_code_130() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let up = alice.up(&[]);
    up.signal("STOP");
    let mut call = bob.start(&["call", &up.address, "ECHO", "--timeout", "1h"]);
    call.complains("alone");
    call.signal("INT");
    assert_eq!(call.end().0, Some(130));
    up.signal("CONT");
}

#[test]
fn a_peer_may_call_itself() {
    let alice = Home::new("alice");
    let _up = alice.up(&[]);
    assert_eq!(alice.run(&["call", &alice.id(), "ECHO", "me"]).code(0).out, "me\n");
}
