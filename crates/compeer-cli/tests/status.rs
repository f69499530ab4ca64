//! `status`, `ticket`, `down` and `compeer` alone: short questions about this home.

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
fn alone_it_takes_at_most_15_lines() {
    let alice = Home::new("alice");
    let ended = alice.run(&[]).code(0);
    assert!(ended.out.lines().count() + ended.err.lines().count() <= 15, "{ended:?}");
    assert!(ended.out.contains("compeer up") && ended.out.contains("compeer try"), "{}", ended.out);
    let _up = alice.up(&[]);
    let others: Vec<_> = (0..10).map(|n| Home::new(&format!("peer{n}"))).collect();
    for other in &others {
        let up = other.up(&[]);
        alice.run(&["pair", &up.address]).code(0);
    }
    let ended = alice.run(&[]).code(0);
    assert!(ended.out.lines().count() + ended.err.lines().count() <= 15, "{ended:?}");
    assert!(ended.out.contains("compeer say peer"), "{}", ended.out);
}

#[test]
fn a_ticket_never_has_loopback_alone() {
    let alice = Home::new("alice");
    let _up = alice.up(&[]);
    let ended = alice.run(&["ticket"]).code(1);
    assert!(ended.err.contains("--advertise"), "{}", ended.err);
    let ticket = alice.run(&["ticket", "--advertise", "attic.example:4000"]).code(0).out;
    assert!(ticket.starts_with("peer") && ticket.lines().count() == 1, "{ticket}");
    let events = alice.run(&["ticket", "--advertise", "attic.example:4000", "--json"]).code(0).events();
    assert_eq!(events[0]["ticket"], ticket.trim());
}

#[test]
fn down_stops_it_and_waits() {
    let alice = Home::new("alice");
    let up = alice.up(&[]);
    let ended = alice.run(&["down"]).code(0);
    assert!(ended.out.contains(&up.pid().to_string()), "{}", ended.out);
    assert_eq!(up.end().0, Some(0));
    assert!(alice.run(&["down"]).code(0).out.contains("no peer was running"));
}
