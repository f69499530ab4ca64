//! `down`: stops the running peer and waits until it is gone.

#[path = "support/peers.rs"]
mod support;

use support::Home;

#[test]
fn down_stops_it_and_waits() {
    let alice = Home::new("alice");
    let up = alice.up(&[]);
    let ended = alice.run(&["down"]).code(0);
    assert!(ended.out.contains(&up.pid().to_string()), "{}", ended.out);
    assert_eq!(up.end().0, Some(0));
    assert!(alice.run(&["down"]).code(0).out.contains("no peer was running"));
}

#[test]
fn after_down_the_next_one_can_start_at_once() {
    let alice = Home::new("alice");
    let mut address = "127.0.0.1:0".to_string();
    for _ in 0..3 {
        let up = alice.up_at(&address, &[]);
        address = up.address.clone();
        alice.run(&["down"]).code(0);
        drop(up);
    }
}
