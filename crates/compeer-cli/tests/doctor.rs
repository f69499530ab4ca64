//! `doctor`: a line for each thing, what to do where it is not as it should be, and the exit code. The network's own troubles
//! are in `tests/doctor.sh`.

#[path = "support/peers.rs"]
mod support;

use serde_json::Value;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use support::{Ended, Home, free_port};

/// The findings of one check.
fn of<'a>(events: &'a [Value], check: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["check"] == check).collect()
}

fn text(finding: &Value) -> String {
    finding["message"].as_str().unwrap().to_string()
}

#[test]
fn a_peer_that_is_well() {
    let port = free_port();
    let (alice, bob) = (Home::new("alice").near(port), Home::new("bob").near(port));
    let up = alice.up(&[]);
    let _bob_up = bob.up(&[]);
    let ended = bob.run(&["doctor", &up.address, "--json"]).code(0);
    let events = ended.events();
    assert!(
        events.iter().all(|event| event["event"] == "finding" && event["level"] != "problem"),
        "{}",
        ended.out
    );
    assert!(text(of(&events, "peer")[0]).contains("bob is up"));
    assert!(text(of(&events, "reach")[0]).contains("answers, and it is this peer"));
    assert!(text(of(&events, "descriptors")[0]).contains("room for"));
    assert!(
        of(&events, "near").iter().any(|near| text(near).contains("our own announcement is heard")),
        "{}",
        ended.out
    );
    assert!(text(of(&events, "this machine")[0]).contains("/s over loopback"));
    assert!(text(of(&events, "way")[0]).contains("alice is at 127.0.0.1:"));
    assert!(text(of(&events, "round trip")[0]).contains(" ms"));
    let speeds: Vec<_> = of(&events, "speed").into_iter().map(text).collect();
    assert!(speeds[0].starts_with("to alice: ") && speeds[1].starts_with("from alice: "), "{speeds:?}");
    assert!(speeds.iter().all(|speed| speed.contains("sets it (processor here ")), "{speeds:?}");
}

#[test]
fn alone_it_says_so_and_what_to_type() {
    let alice = Home::new("alice");
    alice.run(&["config", "set", "listen", "127.0.0.1:0"]).code(0);
    let ended = alice.run(&["doctor"]).code(0);
    assert!(
        ended.out.contains("warning  peer") && ended.out.contains("what to do: compeer up"),
        "{}",
        ended.out
    );
    assert!(ended.out.contains("--no-discovery is set"), "{}", ended.out);
    assert!(ended.out.contains("ok       settings    1 in "), "{}", ended.out);
}

#[test]
fn a_problem_is_exit_code_1() {
    let alice = Home::new("alice");
    alice.run(&["status"]).code(0);
    std::fs::write(alice.path().join("config.toml"), "nmae = 'x'\n").unwrap();
    let nobody = support::nobody();
    let mut command = alice.command(&["doctor", &nobody]);
    let ended = Ended::from(command.env("COMPEER_LISTEN", "127.0.0.1:0").output().unwrap()).code(1);
    assert!(
        ended.out.contains("problem  settings") && ended.out.contains("did you mean name?"),
        "{}",
        ended.out
    );
    assert!(ended.out.contains("problem  way") && ended.err.contains("there are 2 problems"), "{ended:?}");
    let events = alice.run(&["doctor", "--json"]).code(1).events();
    assert_eq!(events.last().unwrap()["exit"], "failed");
}

#[test]
fn programs_of_the_system_inherit_no_passphrase() {
    let alice = Home::new("alice");
    let (bin, seen) = (alice.empty("bin"), alice.temp().join("seen"));
    for tool in ["nft", "iptables-save", "ip6tables-save", "timedatectl"] {
        let script = format!("#!/bin/sh\nenv >> '{}'\nexit 1\n", seen.display());
        std::fs::write(bin.join(tool), script).unwrap();
        std::fs::set_permissions(bin.join(tool), Permissions::from_mode(0o700)).unwrap();
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = alice.command(&["doctor"]);
    command.env("PATH", path).env("COMPEER_LISTEN", "127.0.0.1:0").env("COMPEER_PASSPHRASE", "four words");
    Ended::from(command.output().unwrap()).code(0);
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(seen.matches("LC_ALL=C").count() >= 4 && !seen.contains("PASSPHRASE"), "{seen}");
}

#[test]
fn too_few_descriptors_are_named() {
    let alice = Home::new("alice");
    let up = alice.command(&["up", "--listen", "127.0.0.1:0"]);
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]).arg(up.get_program()).args(up.get_args());
    for (name, value) in up.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    let mut up = support::Running::new(limited);
    up.sees("compeer say");
    let ended: Ended = alice.run(&["doctor"]).code(1);
    assert!(
        ended.out.contains("problem  descriptors") && ended.out.contains(" of 64 in use"),
        "{}",
        ended.out
    );
    assert!(ended.out.contains("ulimit -n"), "{}", ended.out);
}
