//! `chat`: lines in, arrivals shown, from a pipe and with two people at once.

#[path = "support/peers.rs"]
mod support;

use support::{Home, nobody};

#[test]
fn lines_from_a_pipe_arrive_in_order() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut up = alice.up(&[]);
    let lines: Vec<_> = (0..20).map(|n| format!("line {n}")).collect();
    bob.pipe(&["chat", &up.address], &(lines.join("\n") + "\n")).code(0);
    for line in &lines {
        assert_eq!(up.sees("line "), format!("bob: {line}"));
    }
}

#[test]
fn two_talk_with_each_other() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let alice_up = alice.up(&[]);
    let bob_up = bob.up(&[]);
    let mut alices = alice.start(&["chat", &bob_up.address]);
    alices.complains("talking with bob");
    let mut bobs = bob.start(&["chat", &alice_up.address]);
    bobs.complains("talking with alice");
    alices.types("hello");
    assert_eq!(bobs.sees("hello"), "alice: hello");
    bobs.types("안녕 \u{1b}[2J");
    assert_eq!(alices.sees("안녕"), r"bob: 안녕 \u{1b}[2J");
    assert_eq!(alices.end().0, Some(0));
    bobs.signal("INT");
    assert_eq!(bobs.end().0, Some(130));
}

#[test]
fn a_chat_alone_shows_what_comes() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let up = alice.up(&[]);
    let mut bobs = bob.start(&["chat", &up.address]);
    bobs.complains("talking with alice");
    bobs.types("hello");
    alice.run(&["say", &bob.id(), "hello yourself"]).code(0);
    bobs.sees("alice: hello yourself");
}

#[test]
fn a_long_message_of_many_bytes_a_letter_arrives_whole() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut up = alice.up(&[]);
    let text = "안녕하세요".repeat(700);
    bob.pipe(&["chat", &up.address], &format!("{text}\n")).code(0);
    assert_eq!(up.sees("안녕"), format!("bob: {text}"));
}

#[test]
fn nobody_there_is_exit_code_3() {
    Home::new("bob").pipe(&["chat", &nobody()], "hello\n").code(3);
}

#[test]
fn a_chat_ends_with_the_running_peer() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let alice_up = alice.up(&[]);
    let bob_up = bob.up(&[]);
    let mut bobs = bob.start(&["chat", &alice_up.address]);
    bobs.complains("talking with alice");
    bob.run(&["down"]).code(0);
    assert_eq!(bob_up.end().0, Some(0));
    bobs.complains("stopped");
}
