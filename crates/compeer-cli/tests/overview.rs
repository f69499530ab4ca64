//! `compeer` alone: few lines that say where one stands and what to type.

#[path = "support/peers.rs"]
mod support;

use support::Home;

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
