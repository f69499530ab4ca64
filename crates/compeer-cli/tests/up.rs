//! `up`: what it prints, ports, one per home, ends in order, comes back after being killed.

#[path = "support/peers.rs"]
mod support;

use std::net::TcpListener;
use support::{Home, files};

#[test]
fn says_who_it_is_and_what_to_type() {
    let alice = Home::new("alice");
    let up = alice.up(&[]);
    assert_eq!(up.seen()[0], format!("alice ({}) is up", &alice.id()[..8]));
    assert!(up.seen()[1].starts_with("only this machine"), "{:?}", up.seen());
}

#[test]
fn gives_a_ticket_for_the_address_it_is_told() {
    let alice = Home::new("alice");
    let mut up = alice.start(&["up", "--listen", "127.0.0.1:0", "--advertise", "attic.example"]);
    up.sees("compeer say attic.example hello");
    let ticket = up.sees("    peer").trim().to_string();
    assert!(ticket.starts_with("peer") && ticket.len() > 60, "{ticket}");
}

#[test]
fn a_second_one_in_one_home_is_an_error() {
    let alice = Home::new("alice");
    let up = alice.up(&[]);
    let ended = alice.run(&["up", "--listen", "127.0.0.1:0"]).code(1);
    assert!(ended.err.contains("already") && ended.err.contains(&up.pid().to_string()), "{}", ended.err);
    let ended = alice.run(&["up", "--detach", "--listen", "127.0.0.1:0"]).code(1);
    assert!(ended.err.contains("already"), "{}", ended.err);
}

#[test]
fn ends_in_order_at_a_signal_and_its_port_is_free_at_once() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut address = "127.0.0.1:0".to_string();
    for signal in ["INT", "TERM", "INT"] {
        let up = alice.up_at(&address, &[]);
        address = up.address.clone();
        bob.run(&["say", &address, "hello"]).code(0);
        up.signal(signal);
        let (code, lines) = up.end();
        assert_eq!(code, Some(0), "{lines:?}");
    }
    assert_eq!(files(&alice.path()), ["key", "lock", "peer.db"]);
}

#[test]
fn comes_back_after_it_was_killed() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let up = alice.up(&[]);
    let (id, address) = (alice.id(), up.address.clone());
    bob.run(&["pair", &address]).code(0);
    up.kill();
    let mut up = alice.up_at(&address, &[]);
    assert_eq!(alice.id(), id);
    bob.run(&["say", "alice", "you are back"]).code(0);
    up.sees("bob: you are back");
}

#[test]
fn a_taken_port_is_said_and_the_other_one_kept() {
    let alice = Home::new("alice");
    // Whoever has the documented port on this machine, it is taken now.
    let taken = TcpListener::bind("0.0.0.0:26673");
    let mut first = alice.start(&["up"]);
    let said = first.sees("another program has port 26673");
    let port = said.split("listening on ").nth(1).unwrap().split(' ').next().unwrap().to_string();
    first.sees("compeer say ");
    first.signal("TERM");
    assert_eq!(first.end().0, Some(0));
    drop(taken);
    let mut second = alice.start(&["up"]);
    let line = second.sees("compeer say ");
    assert!(line.contains(&format!(":{port} hello")), "{line}, not {port}");
}

#[test]
fn a_port_asked_for_is_not_exchanged() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = Home::new("alice").run(&["up", "--listen", &address]).code(1);
    assert!(ended.err.contains(&address) && ended.err.contains("--listen"), "{}", ended.err);
}

#[test]
fn a_temporary_peer_leaves_nothing() {
    let alice = Home::new("alice");
    let temp = tempfile::tempdir().unwrap();
    let mut command = alice.command(&["up", "--temp"]);
    command.env("TMPDIR", temp.path());
    let mut up = support::Running::new(command);
    let line = up.sees("is up");
    assert!(line.starts_with("temp-"), "{line}");
    assert_eq!(files(temp.path()).len(), 1);
    up.signal("INT");
    assert_eq!(up.end().0, Some(0));
    assert_eq!(files(temp.path()), [""; 0]);
    assert!(!alice.path().exists());
}

#[test]
fn in_the_background_it_prints_the_same() {
    let alice = Home::new("alice");
    let ended = alice.run(&["up", "--detach", "--listen", "127.0.0.1:0"]).code(0);
    assert!(ended.out.starts_with("alice ("), "{}", ended.out);
    let address = ended.out.split("compeer say ").nth(1).unwrap().split(' ').next().unwrap().to_string();
    let bob = Home::new("bob");
    bob.run(&["say", &address, "hello"]).code(0);
    alice.run(&["down"]).code(0);
    let log = std::fs::read_to_string(alice.path().join("up.log")).unwrap();
    assert!(log.contains("bob: hello"), "{log}");
    let ended = alice.run(&["up", "--detach", "--listen", "192.0.2.1:1"]).code(1);
    assert!(ended.err.contains("192.0.2.1"), "{}", ended.err);
}

#[test]
fn joins_whom_it_is_told_to() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let address = support::nobody();
    let mut bob_up = bob.up(&["--join", &address]);
    bob_up.sees("next try in");
    let mut up = alice.up_at(&address, &[]);
    up.sees("bob connected");
    bob_up.sees("alice connected");
}

#[test]
fn every_line_of_json_is_an_event() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut up = alice.up(&["--json"]);
    bob.run(&["say", &up.address, "hello"]).code(0);
    up.sees("\"event\":\"message\"");
    up.sees("\"event\":\"left\"");
    up.signal("INT");
    let (code, lines) = up.end();
    assert_eq!(code, Some(0));
    for line in &lines {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(event["event"].is_string(), "{line}");
    }
    assert!(lines[0].contains("\"event\":\"up\""));
}

#[test]
fn a_key_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let alice = Home::new("alice");
    alice.run(&["status"]).code(0);
    let key = alice.path().join("key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ended = alice.run(&["up", "--listen", "127.0.0.1:0"]).code(1);
    assert!(ended.err.contains("chmod 600"), "{}", ended.err);
}

#[test]
fn a_home_with_a_long_path_works() {
    let alice = Home::new("alice");
    let long = alice.path().join("x".repeat(200));
    let mut command = alice.command(&["up", "--listen", "127.0.0.1:0"]);
    let mut up = support::Running::new({
        command.env("COMPEER_HOME", &long).env_remove("XDG_RUNTIME_DIR").env("TMPDIR", alice.temp());
        command
    });
    up.sees("compeer say ");
    let mut status = alice.command(&["status"]);
    // Started elsewhere, with a runtime directory that the first one did not have.
    let ended = support::Ended::from(status.env("COMPEER_HOME", &long).output().unwrap()).code(0);
    assert!(ended.err.starts_with("through the running peer"), "{}", ended.err);
}

#[test]
fn what_cannot_be_printed_is_not_acknowledged() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let up = alice.up(&[]);
    let address = up.address.clone();
    let up = up.deaf();
    // The reader goes away when it has read one more line.
    let refused = (0..50).any(|_| {
        let ended = bob.run(&["say", &address, "hello"]);
        ended.code == Some(1) && ended.err.contains("not shown")
    });
    assert!(refused);
    drop(up);
}

#[test]
fn the_log_of_a_background_peer_is_bounded() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.run(&["up", "--detach", "--listen", "127.0.0.1:0"]).code(0);
    let status = alice.run(&["status", "--json"]).code(0).events();
    let address = status[0]["listening"][0].as_str().unwrap();
    let line = "x".repeat(60_000);
    let lines: String = (0..40).map(|_| line.clone() + "\n").collect();
    bob.pipe(&["chat", address], &lines).code(0);
    alice.run(&["down"]).code(0);
    let size = |name: &str| std::fs::metadata(alice.path().join(name)).unwrap().len();
    assert!(size("up.log") < 1_200_000 && size("up.log.1") < 1_200_000);
}
