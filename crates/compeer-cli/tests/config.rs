//! `config`: one file, beneath environment and flags; what is wrong with it is told and nothing is lost.

#[path = "support/peers.rs"]
mod support;

use support::{Home, Running};

/// The line of a setting in the list.
fn setting(home: &Home, key: &str) -> serde_json::Value {
    let rows = home.run(&["--json", "config"]).code(0).events();
    rows.into_iter().find(|row| row["key"] == key).unwrap()
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let alice = Home::new("alice");
    let row = setting(&alice, "name");
    assert_eq!((&row["source"], &row["value"]), (&"default".into(), &serde_json::Value::Null));
    assert!(!alice.path().exists(), "looking makes no home");
    alice.run(&["config", "set", "name", "from the file"]).code(0);
    alice.run(&["config", "set", "log", "/tmp/a"]).code(0);
    let row = setting(&alice, "name");
    assert_eq!(
        (&row["source"], &row["value"], &row["line"]),
        (&"file".into(), &"from the file".into(), &1.into())
    );
    assert_eq!(row["file"], alice.run(&["config", "path"]).code(0).out.trim());

    let mut command = alice.command(&["config"]);
    command.env("COMPEER_NAME", "from the environment").env("COMPEER_LISTEN", "1,2");
    let shown = support::Ended::from(command.output().unwrap()).code(0).out;
    let line = |key: &str| shown.lines().find(|line| line.starts_with(key)).unwrap().to_string();
    assert!(line("name").contains("\"from the environment\"  (COMPEER_NAME)"), "{shown}");
    assert!(line("listen").contains("[\"1\",\"2\"]  (COMPEER_LISTEN)"), "{shown}");
    assert!(line("max-peers").contains("0  (default)"), "{shown}");
    assert!(line("log").contains("config.toml:2)"), "{shown}");
    let log = alice.temp().join("log");
    let shown = alice.run(&["config", "--log", log.to_str().unwrap()]).code(0).out;
    assert!(shown.contains("(--log)"), "{shown}");

    let named = |command: &[&str], variable: Option<&str>| {
        let mut command = alice.command(command);
        command.env("COMPEER_LOG", &log).envs(variable.map(|name| ("COMPEER_NAME", name)));
        let mut up = Running::new(command);
        let line = up.sees("is up");
        up.signal("TERM");
        up.end();
        line.split(" (").next().unwrap().to_string()
    };
    let up = &["up", "--listen", "127.0.0.1:0"][..];
    assert_eq!(named(up, None), "from the file");
    assert_eq!(named(up, Some("from the environment")), "from the environment");
    let flag = &["up", "--listen", "127.0.0.1:0", "--name", "from the flag"][..];
    assert_eq!(named(flag, Some("from the environment")), "from the flag");
    // The file's again, and with that gone the one that was last asked for.
    assert_eq!(named(up, None), "from the file");
    alice.run(&["config", "unset", "name"]).code(0);
    assert_eq!(named(up, None), "from the flag");
}

#[test]
fn a_switch_is_turned_off_for_once() {
    let alice = Home::new("alice");
    alice.run(&["config", "set", "qr", "true"]).code(0);
    let shows = |more: &[&str]| alice.run(&[&["ticket"], more].concat()).code(0).err.contains('█');
    assert!(shows(&[]) && shows(&["--qr"]) && !shows(&["--qr=false"]));
    let rows = alice.run(&["--json", "config", "--no-discovery=false"]).code(0).events();
    let row = rows.into_iter().find(|row| row["key"] == "no-discovery").unwrap();
    assert_eq!((&row["source"], &row["value"]), (&"flag".into(), &false.into()));
}

#[test]
fn the_file_is_what_options_are_by_default() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.run(&["config", "set", "listen", "127.0.0.1:0"]).code(0);
    let mut up = alice.start(&["up"]);
    let line = up.sees("compeer say 127.0.0.1:");
    let address = line.split("compeer say ").nth(1).unwrap().split(' ').next().unwrap().to_string();
    bob.run(&["say", &address, "hello"]).code(0);

    let to = bob.temp().join("fetched");
    bob.run_in(bob.temp(), &["config", "set", "output", "fetched"]).code(0);
    let file = alice.file("report.pdf", 1000);
    let ticket = alice.run(&["share", file.to_str().unwrap()]).code(0).out;
    bob.run_in(bob.temp(), &["get", ticket.trim()]).code(0);
    assert!(support::same(&to.join("report.pdf"), &file));
    let other = bob.empty("other");
    bob.run(&["get", ticket.trim(), "-o", other.to_str().unwrap()]).code(0);
    assert!(support::same(&other.join("report.pdf"), &file));
}

#[test]
fn a_bad_file_is_an_error_that_says_all_and_changes_nothing() {
    let alice = Home::new("alice");
    alice.run(&["config", "set", "qr", "true"]).code(0);
    let file = alice.path().join("config.toml");
    let text = "# mine\nmax_peers = 3\nlisten = 4000\nqr = true # here\n";
    std::fs::write(&file, text).unwrap();
    for command in [&["status"][..], &["up"], &["config"], &["ticket"]] {
        let ended = alice.run(command).code(2);
        let at = |line: u32| format!("{}:{line}: ", file.display());
        assert!(
            ended
                .err
                .contains(&format!("{}there is no setting \"max_peers\"; did you mean max-peers?", at(2)))
        );
        assert!(ended.err.contains(&format!("{}listen must be a list of texts", at(3))), "{}", ended.err);
    }
    let event = &alice.run(&["status", "--json"]).code(2).events()[0];
    assert_eq!((&event["event"], &event["exit"]), (&"error".into(), &"usage".into()));
    alice.run(&["down"]).code(0);
    alice.run(&["--help"]).code(0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    let ended = alice.run(&["config", "set", "listen", "127.0.0.1:0"]).code(0);
    assert!(ended.err.contains("max_peers"), "{}", ended.err);
    alice.run(&["config", "unset", "max_peers"]).code(0);
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "# mine\nlisten = [\"127.0.0.1:0\"]\nqr = true # here\n"
    );
    alice.run(&["status"]).code(0);
    std::fs::write(&file, "name = \"al").unwrap();
    alice.run(&["config", "set", "name", "alice"]).code(2);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "name = \"al");
    let ended = alice.run(&["config", "set", "nmae", "alice"]).code(2);
    assert!(ended.err.contains("did you mean name?"), "{}", ended.err);
}

#[test]
fn a_file_of_ones_own() {
    use std::os::unix::fs::PermissionsExt;
    let alice = Home::new("alice");
    let file = alice.temp().join("settings.toml");
    let name = file.to_str().unwrap();
    let ended = alice.run(&["--config", name, "status"]).code(2);
    assert!(ended.err.contains(name), "{}", ended.err);
    alice.run(&["--config", name, "config", "set", "name", "al"]).code(0);
    assert!(alice.run(&["--config", name, "config"]).code(0).out.contains("\"al\""));
    assert!(!alice.run(&["config"]).code(0).out.contains("\"al\""));
    let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    let ended = alice.run(&["--config", name, "status"]).code(1);
    assert!(ended.err.contains("chmod o-w"), "{}", ended.err);
}

#[test]
fn a_throw_away_peer_has_a_name_of_its_own() {
    let alice = Home::new("alice");
    alice.run(&["config", "set", "name", "alice"]).code(0);
    alice.run(&["config", "set", "listen", "192.0.2.1:1"]).code(0);
    let mut up = alice.start(&["up", "--temp"]);
    assert!(up.sees("is up").starts_with("temp-"));
}
