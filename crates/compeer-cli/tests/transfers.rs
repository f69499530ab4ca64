//! `transfers`: interrupted ones are listed, gone on with, and discarded; nothing else is touched.

#[path = "support/peers.rs"]
mod support;

use support::{Home, Running, files, same};

/// A slow sender, and a fetch of bob's that was cut off by `signal` after some of it had come; the id of the transfer.
fn interrupted(alice: &Home, bob: &Home, signal: &str) -> (Running, String) {
    let file = alice.file("slow", 3_000_000);
    let (send, ticket) = alice.send(&["--many", file.to_str().unwrap(), "--limit", "1M"]);
    let id = cut_off(bob, &ticket, signal);
    (send, id)
}

/// Fetches and is cut off.
fn cut_off(bob: &Home, what: &str, signal: &str) -> String {
    let mut command = bob.command(&["--json", "get", what]);
    command.current_dir(bob.empty("to"));
    let mut get = Running::new(command);
    let fetching: serde_json::Value = serde_json::from_str(&get.sees("\"fetching\"")).unwrap();
    let some = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        event["done_bytes"].as_u64().unwrap() > 200_000
    };
    while !some(&get.sees("\"progress\"")) {}
    get.signal(signal);
    if signal == "INT" {
        get.complains("compeer transfers --resume");
    }
    drop(get.end());
    fetching["transfer"].as_str().unwrap().to_string()
}

#[test]
fn what_ctrl_c_and_kill_leave_is_gone_on_with() {
    for signal in ["INT", "KILL"] {
        let (alice, bob) = (Home::new("alice"), Home::new("bob"));
        let (_send, id) = interrupted(&alice, &bob, signal);
        let rows = bob.run(&["--json", "transfers"]).code(0).events();
        assert_eq!((&rows[0]["id"], &rows[0]["running"]), (&id.as_str().into(), &false.into()));
        let done = rows[0]["done_bytes"].as_u64().unwrap();
        assert!(done > 0 && done < 3_000_000, "{rows:?}");
        let events = bob.run(&["--json", "transfers", "--resume", &id]).code(0).events();
        let got = events.iter().find(|event| event["event"] == "got").unwrap();
        let received = got["received_bytes"].as_u64().unwrap();
        assert!(received < 3_000_000, "from the beginning again: {got}");
        assert_eq!(files(&bob.temp().join("to")), ["slow"]);
        assert!(same(&alice.temp().join("slow"), &bob.temp().join("to/slow")));
        assert_eq!(bob.run(&["transfers"]).code(0).out, "");
    }
}

#[test]
fn a_discarded_one_is_gone() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let (_send, id) = interrupted(&alice, &bob, "INT");
    let to = bob.temp().join("to");
    std::fs::write(to.join("mine"), "mine").unwrap();
    assert_eq!(files(&to).len(), 2);
    let ended = bob.run(&["transfers", "--discard", &id]).code(0);
    assert!(ended.out.contains(&id) && ended.out.contains("slow"), "{}", ended.out);
    assert_eq!(files(&to), ["mine"]);
    assert_eq!(bob.run(&["transfers"]).code(0).out, "");
    bob.run(&["transfers", "--discard", &id]).code(1);
    let ended = bob.run(&["transfers", "--resume", &id]).code(1);
    assert!(ended.err.contains(&format!("no interrupted transfer {id}")), "{}", ended.err);
    assert!(!ended.err.contains("is kept"), "{}", ended.err);
}

/// The code is used up, but not for what it began.
#[test]
fn the_same_code_goes_on_after_a_kill() {
    let port = support::free_port();
    let (alice, bob) = (Home::new("alice").near(port), Home::new("bob").near(port));
    let file = alice.file("slow", 3_000_000);
    let mut send = alice.start(&["send", file.to_str().unwrap(), "--limit", "1M", "--listen", "127.0.0.1:0"]);
    let line = send.sees("compeer get ");
    let code = line.rsplit(' ').next().unwrap();
    cut_off(&bob, code, "KILL");
    let to = bob.temp().join("to");
    let ended = bob.run_in(&to, &["--json", "get", code]).code(0);
    let got = ended.events().into_iter().find(|event| event["event"] == "got").unwrap();
    assert!(got["received_bytes"].as_u64().unwrap() < 3_000_000, "from the beginning again: {got}");
    assert!(same(&file, &to.join("slow")));
    send.succeeds();
    bob.run_in(&bob.empty("elsewhere"), &["get", code, "--timeout", "1s"]).code(3);
}
