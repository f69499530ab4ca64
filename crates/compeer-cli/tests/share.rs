//! `share`: in a running `up` over restarts, in the foreground, listed, stopped, and for whom.

#[path = "support/peers.rs"]
mod support;

use support::{Home, Running, same};

#[test]
fn in_a_running_peer_it_stays_over_restarts() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let up = alice.up(&[]);
    let address = up.address.clone();
    let file = alice.file("album/one.jpg", 100_000);
    let album = alice.temp().join("album");
    let shared = alice.run(&["share", album.to_str().unwrap()]).code(0);
    let ticket = shared.out.trim().to_string();
    assert!(ticket.starts_with("share") && !ticket.contains('\n'), "{}", shared.out);
    bob.run_in(&bob.empty("one"), &["get", &ticket]).code(0);
    up.signal("INT");
    assert_eq!(up.end().0, Some(0));
    let listed = alice.run(&["share"]).code(0);
    assert!(listed.out.contains("album"), "known without a running peer too: {}", listed.out);
    let _up = alice.up_at(&address, &[]);
    let listed = alice.run(&["share"]).code(0);
    assert!(listed.out.contains("album  1 file, 100 kB, for who has the ticket"), "{}", listed.out);
    bob.run_in(&bob.empty("two"), &["get", &ticket]).code(0);
    assert!(same(&file, &bob.temp().join("two/album/one.jpg")));
    let stopped = alice.run(&["share", "--stop", "album"]).code(0);
    assert_eq!(stopped.out, "album is shared no longer\n");
    bob.run_in(&bob.empty("three"), &["get", &ticket]).code(1);
    alice.run(&["share", "--stop", "album"]).code(1);
    assert_eq!(alice.run(&["share"]).code(0).out, "");
}

#[test]
fn without_a_running_peer_it_lasts_until_ctrl_c() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let file = alice.file("x", 1000);
    let mut share = alice.start(&["share", file.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    let ticket = share.sees("share");
    share.complains("until ctrl-c");
    bob.run_in(&bob.empty("to"), &["get", &ticket]).code(0);
    share.complains("* bob has it");
    let listed = alice.run(&["--json", "share"]).code(0).events();
    assert_eq!((&listed[0]["name"], &listed[0]["kept"]), (&"x".into(), &false.into()));
    share.signal("INT");
    assert_eq!(share.end().0, Some(0));
    assert_eq!(alice.run(&["share"]).code(0).out, "");
}

#[test]
fn for_some_peers_the_ticket_alone_is_not_enough() {
    let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
    let _up = alice.up(&[]);
    let file = alice.file("x", 1000);
    bob.run(&["status"]).code(0);
    let shared = alice.run(&["share", file.to_str().unwrap(), "--to", &bob.id()]).code(0);
    bob.run_in(&bob.empty("to"), &["get", shared.out.trim()]).code(0);
    let ended = carol.run_in(&carol.empty("to"), &["get", shared.out.trim()]).code(1);
    assert!(ended.err.contains("not for this peer"), "{}", ended.err);
    alice.run(&["share", file.to_str().unwrap(), "--to", "192.0.2.1"]).code(2);
    let ended = alice.run(&["share", "-"]).code(2);
    assert!(ended.err.contains("compeer send -"), "{}", ended.err);
}

#[test]
fn who_is_sent_what_is_public_already_is_seen_all_the_same() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _up = alice.up(&[]);
    let file = alice.file("x", 1000);
    alice.run(&["share", "--public", file.to_str().unwrap()]).code(0);
    let mut send = alice.start(&["send", file.to_str().unwrap()]);
    let line = send.sees("compeer get share");
    bob.run_in(&bob.empty("to"), &["get", line.rsplit(' ').next().unwrap()]).code(0);
    send.complains("* bob has it");
    send.succeeds();
}

/// Two peers that are up and paired with each other.
fn paired() -> (Home, Running, Home, Running) {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let (alice_up, mut bob_up) = (alice.up(&[]), bob.up(&[]));
    alice.run(&["pair", &bob_up.address]).code(0);
    bob_up.sees("asks to be paired");
    bob.run(&["pair", &alice.id()]).code(0);
    (alice, alice_up, bob, bob_up)
}

#[test]
fn a_paired_peer_is_asked_and_takes_it_by_name() {
    let (alice, _alice_up, bob, mut bob_up) = paired();
    let file = alice.file("report.pdf", 50_000);
    let mut send = alice.start(&["send", "--to", "bob", file.to_str().unwrap()]);
    send.complains("bob was asked to take it");
    let line = bob_up.sees("would like to send");
    assert!(line.contains("report.pdf (50.0 kB)") && line.ends_with("compeer get alice"), "{line}");
    let to = bob.empty("to");
    bob.run_in(&to, &["get", "alice"]).code(0);
    send.succeeds();
    assert!(same(&file, &to.join("report.pdf")));
    let ended = bob.run_in(&to, &["get", "alice"]).code(1);
    assert!(ended.err.contains("alice"), "{}", ended.err);
}

#[test]
fn strangers_cannot_ask() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let bob_up = bob.up(&[]);
    let file = alice.file("x", 10);
    alice.run(&["pair", &bob_up.address]).code(0);
    let ended =
        alice.run(&["send", "--to", "bob", file.to_str().unwrap(), "--listen", "127.0.0.1:0"]).code(1);
    assert!(ended.err.contains("paired with this peer too"), "{}", ended.err);
}

#[test]
fn what_a_trusted_peer_sends_comes_by_itself() {
    let (alice, _alice_up, bob, mut bob_up) = paired();
    let inbox = bob.empty("inbox");
    std::fs::write(inbox.join("x"), "mine").unwrap();
    let ended = bob.run(&["pair", "alice", "--accept", inbox.to_str().unwrap()]).code(0);
    assert!(ended.out.contains("without asking"), "{}", ended.out);
    let file = alice.file("x", 1000);
    let mut send = alice.start(&["send", "--to", "bob", file.to_str().unwrap()]);
    send.complains("bob takes it by itself");
    send.succeeds();
    bob_up.sees("x from alice is there");
    assert!(same(&file, &inbox.join("x (1)")));
    assert_eq!(std::fs::read_to_string(inbox.join("x")).unwrap(), "mine");
    bob.run(&["pair", "alice", "--accept", "-"]).code(0);
    let mut send = alice.start(&["send", "--to", "bob", file.to_str().unwrap()]);
    send.complains("was asked to take it");
    bob.run(&["pair", "alice", "--accept", "/does/not/exist"]).code(2);
}
