//! `transfers`: interrupted ones are listed, gone on with, and discarded; nothing else is touched.

#[path = "support/peers.rs"]
mod support;

use support::{Home, Running, files, same};

/// A slow sender, and a fetch of bob's that was cut off by `signal` after some of it had come; the id of the transfer.
fn interrupted(alice: &Home, bob: &Home, signal: &str) -> (Running, String) {
    let file = alice.file("slow", 3_000_000);
    let (send, ticket) = alice.send(&["--many", file.to_str().unwrap(), "--limit", "1M"]);
    let mut command = bob.command(&["--json", "get", &ticket]);
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
    (send, fetching["transfer"].as_str().unwrap().to_string())
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
fn the_same_command_goes_on_too_and_a_discarded_one_is_gone() {
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
    bob.run(&["transfers", "--resume", &id]).code(1);
}
