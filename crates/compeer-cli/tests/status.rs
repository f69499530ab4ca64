//! `status`: whether a peer runs in this home, for people and for programs.

#[path = "support/peers.rs"]
mod support;

use support::Home;

#[test]
fn status_says_whether_a_peer_runs() {
    let alice = Home::new("alice");
    let ended = alice.run(&["status"]).code(0);
    assert!(ended.out.contains("is not up") && ended.err.starts_with("alone"), "{ended:?}");
    let up = alice.up(&[]);
    let ended = alice.run(&["status"]).code(0);
    assert!(ended.out.contains("is up") && ended.out.contains(&up.address), "{}", ended.out);
    let events = alice.run(&["status", "--json"]).code(0).events();
    assert_eq!(events[0]["event"], "status");
    assert_eq!(events[0]["peer"], alice.id());
    assert_eq!(events[0]["pid"], up.pid());
}

#[test]
fn a_running_peer_counts() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let up = alice.up(&[]);
    let counted = |home: &Home| home.run(&["status", "--json"]).code(0).events()[0]["counters"].clone();
    assert_eq!(counted(&alice)["requests_served"], 0, "what commands ask is not counted");
    bob.run(&["call", &up.address, "ECHO", "hello"]).code(0);
    bob.run(&["call", &up.address, "NOTHING"]).code(1);
    let file = alice.file("photo.jpg", 300_000);
    let ticket = alice.run(&["share", file.to_str().unwrap(), "--advertise", &up.address]).code(0).out;
    bob.run(&["get", ticket.trim(), "-o", bob.empty("to").to_str().unwrap()]).code(0);
    let counters = counted(&alice);
    assert_eq!((&counters["accepted"], &counters["dialled"]), (&3.into(), &0.into()), "{counters}");
    assert_eq!(
        (&counters["requests_refused"], &counters["limit_connections"]),
        (&1.into(), &0.into()),
        "{counters}"
    );
    assert!(counters["requests_served"].as_u64() >= Some(1), "{counters}");
    assert!(counters["stream_bytes_sent"].as_u64() >= Some(300_000), "{counters}");
    let shown = alice.run(&["status"]).code(0).out;
    assert!(
        shown.contains("1 refused") && shown.contains("shares   1") && shown.contains("none hit"),
        "{shown}"
    );
}
