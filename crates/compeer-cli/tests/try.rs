//! `try`: the tour succeeds and leaves nothing behind, also when it is interrupted.

#[path = "support/peers.rs"]
mod support;

use support::{Ended, Home, Running, files};

#[test]
fn the_tour_succeeds_and_leaves_nothing() {
    let (home, temp) = (Home::new("ann"), tempfile::tempdir().unwrap());
    let mut command = home.command(&["try"]);
    let ended = Ended::from(command.env("TMPDIR", temp.path()).output().unwrap()).code(0);
    for part in [
        "alice$ compeer up",
        "bob: hello",
        "alice: two",
        "has paired with you too",
        "$ compeer get ",
        "photo.jpg: 1.00 MB",
    ] {
        assert!(ended.out.contains(part), "no {part:?} in {}", ended.out);
    }
    assert_eq!(files(temp.path()), [""; 0]);
    assert!(!home.path().exists());
}

#[test]
fn an_interrupted_tour_leaves_nothing() {
    let (home, temp) = (Home::new("ann"), tempfile::tempdir().unwrap());
    let mut command = home.command(&["--json", "try"]);
    command.env("TMPDIR", temp.path());
    let mut tour = Running::new(command);
    tour.sees("is up");
    tour.signal("INT");
    assert_eq!(tour.end().0, Some(130));
    assert_eq!(files(temp.path()), [""; 0]);
}

#[test]
fn a_killed_tour_takes_its_peers_with_it() {
    let (home, temp) = (Home::new("ann"), tempfile::tempdir().unwrap());
    let mut command = home.command(&["--json", "try"]);
    command.env("TMPDIR", temp.path());
    let mut tour = Running::new(command);
    tour.sees("is up");
    tour.sees("is up");
    let homes = temp.path().join(files(temp.path()).remove(0));
    let alone = |name: &str| {
        let mut command = home.command(&["--json", "status"]);
        let ended = Ended::from(command.env("COMPEER_HOME", homes.join(name)).output().unwrap());
        // A peer that is about to go does not answer.
        ended.code == Some(0) && ended.events()[0]["role"] != "up"
    };
    assert!(!alone("alice") && !alone("bob"));
    tour.kill();
    support::until("alice ends", || alone("alice"));
    support::until("bob ends", || alone("bob"));
}
