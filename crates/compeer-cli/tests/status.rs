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
