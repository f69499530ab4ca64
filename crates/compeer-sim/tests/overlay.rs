//! The figures of `docs/simulation.md`, at a size that every run of the tests can afford.

use compeer_sim::Scenario;
use compeer_sim::overlay::{Summary, World};

fn run(scenario: &str) -> Summary {
    let scenario: Scenario = scenario.parse().unwrap();
    World::new(&scenario).unwrap().run()
}

#[track_caller]
fn assert_found(least: f64, summary: &Summary) {
    assert!(summary.lookups > 0, "{summary:?}");
    assert!(summary.share() >= least, "{} of {}: {summary:?}", summary.found, summary.lookups);
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_one_another() {
    let scenario =
        "peers = 100\nlookups = 60\nsettle = 10\nduration = 40\nloss = 0.02\nchurn_per_minute = 0.2
        hostile = { share = 0.1, act = \"lie\" }\npartition = { share = 0.3, lasts = 20 }\nin_for = 10";
    let (first, second) = (run(scenario), run(scenario));
    assert_eq!(first, second);
    assert_ne!(first.trace_hash, run(&format!("{scenario}\nseed = 2")).trace_hash);
}

#[test]
fn half_killed_at_once() {
    let summary = run("peers = 600\nkill = 0.5\nsettle = 10\nlookups = 300\nduration = 20");
    assert_eq!(summary.live, 300);
    assert_found(0.999, &summary);
}

#[test]
fn a_fifth_hostile_at_random_ids() {
    for act in ["silent", "lie", "drop"] {
        let hostile = format!("hostile = {{ share = 0.2, act = \"{act}\" }}");
        let summary = run(&format!("peers = 500\nsettle = 10\nlookups = 300\nduration = 20\n{hostile}"));
        assert_found(0.99, &summary);
    }
}

#[test]
fn who_joins_over_one_peer_finds_all_others() {
    let summary =
        run("peers = 150\nstart = \"join\"\njoin_seconds = 60\nlookups = 200\nduration = 20\nin_for = 30");
    assert_found(1.0, &summary);
    assert!(summary.table > 50.0, "{summary:?}");
}

#[test]
fn a_tenth_leaves_each_minute() {
    let summary = run("peers = 150\nchurn_per_minute = 0.1\nlookups = 300\nduration = 480\nsettle = 60");
    assert!(summary.live == 150 && summary.left_out < 60, "{summary:?}");
    assert_found(0.99, &summary);
}

#[test]
fn two_parts_find_each_other_again() {
    let parted = "partition = { share = 0.3, lasts = 120 }";
    let summary = run(&format!("peers = 200\nlookups = 400\nduration = 240\nsettle = 10\n{parted}"));
    let healed: Vec<_> = summary.parts.iter().filter(|part| part.from >= 130).collect();
    let (found, all) = healed.iter().fold((0, 0), |(f, a), part| (f + part.found, a + part.lookups));
    assert!(all > 100 && found == all, "{found} of {all} after the parts met: {summary:?}");
}

#[test]
fn loss_makes_a_look_up_slow_and_not_fail() {
    let calm = run("peers = 300\nlookups = 200\nduration = 10\nsettle = 10");
    let lossy = run("peers = 300\nlookups = 200\nduration = 10\nsettle = 10\nloss = 0.05");
    assert_found(0.999, &lossy);
    assert!(lossy.undelivered > 0 && calm.undelivered == 0);
    assert!(lossy.time.p99 > calm.time.p99);
}

#[test]
fn ground_ids_in_one_network_change_less_than_those_of_many() {
    let ground = |networks: u32| {
        let ground = format!("ground = {{ peers = 20, act = \"lie\", networks = {networks} }}");
        run(&format!("peers = 200\nlookups = 100\nduration = 20\nsettle = 40\n{ground}"))
    };
    let (one, many) = (ground(1), ground(20));
    assert!(one.share() >= many.share(), "{} and {}", one.share(), many.share());
    assert_found(0.9, &one);
}
