//! `sim`: a scenario runs, twice the same; what is wrong in one is told; what was expected decides the exit code.

#[path = "support/peers.rs"]
mod support;

use support::Home;

const SMALL: &str = "peers = 30\nlookups = 10\nsettle = 2\nduration = 2\nexpect = { found = 1.0 }\n";

#[test]
fn the_same_scenario_gives_the_same_trace() {
    let home = Home::new("ann");
    let (file, picture) = (home.temp().join("small.toml"), home.temp().join("small.svg"));
    std::fs::write(&file, SMALL).unwrap();
    let file = file.to_str().unwrap();
    let run = |more: &[&str]| {
        let events = home.run(&[&["sim", file, "--json"], more].concat()).code(0).events();
        assert_eq!(events.len(), 1);
        events[0].clone()
    };
    let (first, second) = (run(&["--svg", picture.to_str().unwrap()]), run(&[]));
    assert_eq!(first["found"], 10);
    assert_eq!(first["trace_hash"], second["trace_hash"]);
    assert_ne!(first["trace_hash"], run(&["--seed", "2"])["trace_hash"]);
    assert_eq!(run(&["--peers", "40"])["live"], 40);
    assert!(std::fs::read_to_string(picture).unwrap().starts_with("<svg"));
    let shown = home.run(&["sim", file]).code(0).out;
    assert!(shown.contains("found     10 of 10 look-ups, 100.00 %"), "{shown}");
    assert!(!home.path().exists(), "it needs no home");
}

#[test]
fn what_does_not_come_out_is_exit_code_1_and_nonsense_2() {
    let home = Home::new("ann");
    let file = home.temp().join("wrong.toml");
    let run = |text: &str| {
        std::fs::write(&file, text).unwrap();
        home.run(&["sim", file.to_str().unwrap()])
    };
    let ended = run(&SMALL.replace("found = 1.0", "hops = 0.1")).code(1);
    assert!(ended.err.contains("not as the scenario expects") && ended.err.contains("hops"), "{}", ended.err);
    assert!(ended.out.contains("trace "), "{}", ended.out);
    let ended = run("pears = 30").code(2);
    assert!(ended.err.contains("pears"), "{}", ended.err);
    assert!(run("peers = 1").code(2).err.contains("2 to 1000000"));
    home.run(&["sim", "nowhere.toml"]).code(1);
}
