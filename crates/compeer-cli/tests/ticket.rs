//! `ticket`: one word, never with loopback alone.

#[path = "support/peers.rs"]
mod support;

use support::Home;

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
fn a_picture_of_it_is_for_cameras_and_the_word_for_pipes() {
    let alice = Home::new("alice");
    let _up = alice.up(&[]);
    let plain = alice.run(&["ticket", "--advertise", "attic.example:4000"]).code(0).out;
    let drawn = alice.run(&["ticket", "--advertise", "attic.example:4000", "--qr"]).code(0);
    assert_eq!(drawn.out, plain);
    assert!(drawn.err.lines().filter(|line| line.contains('█')).count() > 10, "{}", drawn.err);
}

#[test]
fn alone_it_names_the_port_that_up_will_have() {
    let alice = Home::new("alice");
    // Detection finds what this machine has, which may be nothing but loopback.
    let ended = alice.run(&["ticket"]);
    assert!(ended.err.starts_with("alone"), "{}", ended.err);
    match ended.code {
        Some(0) => assert!(ended.out.starts_with("peer"), "{}", ended.out),
        _ => assert!(ended.err.contains("--advertise"), "{}", ended.err),
    }
}
