//! Peers that were each told of one other find each other by id, as processes: the first and every third are
//! killed, one moves to another port, one starts again and remembers. Every `up` is on loopback.

#[path = "support/peers.rs"]
mod support;

use support::{Home, Running, until};

/// Each joined to the one before it.
fn chain(n: usize) -> Vec<(Home, Option<Running>)> {
    let mut peers: Vec<(Home, Option<Running>)> = Vec::new();
    for n in 0..n {
        let home = Home::new(&format!("peer{n}"));
        let before = peers.last().and_then(|(_, up)| Some(up.as_ref()?.address.clone()));
        let mut arguments = vec!["--max-peers", "8"];
        if let Some(before) = &before {
            arguments.extend(["--join", before]);
        }
        let up = home.up(&arguments);
        peers.push((home, Some(up)));
    }
    peers
}

#[test]
fn they_find_each_other_by_id_also_when_a_third_is_killed() {
    let mut peers = chain(9);
    let ids: Vec<String> = peers.iter().map(|(home, _)| home.id()).collect();
    let says = |from: &Home, to: &str| from.run(&["say", to, "hello"]).code == Some(0);
    until("the last finds the first", || says(&peers[8].0, &ids[0]));
    for n in 0..9 {
        until("everybody is found", || says(&peers[n].0, &ids[(n + 4) % 9]));
    }
    for (n, (_, up)) in peers.iter_mut().enumerate() {
        if n % 3 == 0 {
            up.take().unwrap().kill();
        }
    }
    for (from, to) in [(1, 5), (2, 8), (4, 1), (5, 7), (7, 2), (8, 4)] {
        until("who is left is found", || says(&peers[from].0, &ids[to]));
    }
    // A command alone finds whom the last run knew.
    peers[8].0.run(&["down"]).code(0);
    peers[8].1.take().unwrap().end();
    until("a command alone finds by id", || says(&peers[8].0, &ids[1]));
    let traced = peers[8].0.run(&["trace", &ids[4]]);
    assert!(traced.out.contains("hop 1") && traced.out.contains("found"), "{}", traced.out);
}

#[test]
fn who_takes_no_part_is_told_so() {
    let home = Home::new("alice");
    let _up = home.up(&["--no-overlay"]);
    let ended = home.run(&["peers", "--map"]).code(2);
    assert!(ended.err.contains("--no-overlay"), "{}", ended.err);
    let ended = home.run(&["trace", "nobody-at-all"]).code(2);
    assert!(!ended.err.is_empty());
}
