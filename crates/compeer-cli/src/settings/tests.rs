//! The table against the command line, and files that are wrong in every way.

use super::*;
use crate::cli::Cli;
use clap::Parser;

fn parse(text: &str) -> Outcome<Settings> {
    Settings::parse(text, Path::new("config.toml"))
}

/// A value for each setting that is not its default.
fn example(setting: &Setting) -> &'static str {
    match setting.key {
        "name" => "\"bob\"",
        "listen" => "[\"4000\", \"[::1]:5\"]",
        "advertise" => "[\"host.example:5\"]",
        "classic" => "[\"127.0.0.1:5\"]",
        "join" => "[\"192.168.1.20\"]",
        "max-peers" => "7",
        "limit" => "\"10M\"",
        "exclude" => "[\"*.tmp\"]",
        "output" | "log" => "\"/some/where\"",
        _ => "true",
    }
}

/// Every argument of every command.
fn arguments() -> Vec<(String, Arg)> {
    let mut cli = Cli::command();
    cli.build();
    let all = std::iter::once(&cli).chain(cli.get_subcommands());
    all.flat_map(|command| {
        command.get_arguments().map(|arg| (command.get_name().to_string(), arg.clone())).collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn every_setting_is_an_option_of_its_name_wherever_its_variable_is() {
    for setting in SETTINGS {
        let of_it: Vec<_> = arguments().into_iter().filter(|(_, arg)| setting.is(arg)).collect();
        assert!(!of_it.is_empty(), "{} is no option", setting.key);
        for (command, arg) in of_it {
            assert_eq!(arg.get_long(), Some(setting.key), "{command}");
        }
    }
}

#[test]
fn every_setting_reaches_its_options_and_gives_way_to_them() {
    for setting in SETTINGS {
        let settings = parse(&format!("{} = {}", setting.key, example(setting))).unwrap();
        let wanted = &settings.get(setting.key).unwrap().values;
        for (command, arg) in arguments().into_iter().filter(|(_, arg)| setting.is(arg)) {
            let mut cli = settings.apply(Cli::command(), false);
            cli.build();
            let of = cli.find_subcommand(&command).unwrap_or(&cli);
            let applied = of.get_arguments().find(|other| other.get_id() == arg.get_id()).unwrap();
            let defaults: Vec<_> =
                applied.get_default_values().iter().map(|value| value.to_str().unwrap()).collect();
            assert_eq!(&defaults, wanted, "{command} --{}", setting.key);
        }
    }
    let settings = parse("listen = [\"4000\", \"4001\"]\nmax-peers = 7\nname = 'bob'").unwrap();
    let up = |words: &[&str]| {
        let matches = settings.apply(Cli::command(), false).try_get_matches_from(words).unwrap();
        match Cli::from_arg_matches(&matches).unwrap().command {
            Some(Command::Up(up)) => up,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(up(&["compeer", "up"]).listen, ["4000", "4001"]);
    let flags = up(&["compeer", "up", "--listen", "5", "--max-peers", "8"]);
    assert_eq!((flags.listen, flags.max_peers, flags.name), (vec!["5".to_string()], 8, Some("bob".into())));
}

#[test]
fn a_switch_of_the_file_can_be_turned_off_again() {
    for setting in SETTINGS.iter().filter(|setting| matches!(setting.shape, Shape::Switch)) {
        for file in ["true", "false"] {
            let settings = parse(&format!("{} = {file}", setting.key)).unwrap();
            let of_it = arguments().into_iter().filter(|(_, arg)| setting.is(arg));
            // An option of every command is looked at once.
            for (command, arg) in of_it.filter(|(command, arg)| !arg.is_global_set() || command == "compeer")
            {
                let flag = |words: &[&str]| {
                    let root = settings.apply(Cli::command(), false);
                    let mut all = vec!["compeer"];
                    all.extend(Some(command.as_str()).filter(|command| *command != "compeer"));
                    all.extend(words);
                    // An argument that some commands need.
                    all.extend(["send", "share"].contains(&command.as_str()).then_some("file"));
                    let matches = root.try_get_matches_from(&all).unwrap();
                    let of = matches.subcommand().map_or(&matches, |(_, of)| of);
                    of.get_one::<bool>(arg.get_id().as_str()).copied().unwrap()
                };
                let long = format!("--{}", setting.key);
                let (on, off) = (format!("{long}=true"), format!("{long}=false"));
                assert_eq!(flag(&[]).to_string(), file, "{command} {long}");
                assert!(flag(&[&long]) && flag(&[&on]) && !flag(&[&off]), "{command} {long}");
            }
        }
    }
}

#[test]
fn a_throw_away_peer_is_another_one() {
    let settings = parse("name = 'bob'\nno-discovery = true").unwrap();
    let matches =
        settings.apply(Cli::command(), true).try_get_matches_from(["compeer", "up", "--temp"]).unwrap();
    let line = Cli::from_arg_matches(&matches).unwrap();
    assert!(line.global.no_discovery);
    assert!(matches!(line.command, Some(Command::Up(up)) if up.name.is_none()));
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_its_line() {
    let error =
        parse("# mine\nmax-peer = 3\n\nname = 5\nlisten = ['x']\noutput = 'here'\n[up]\nx = 1").unwrap_err();
    let lines: Vec<_> = error.message.lines().collect();
    let wanted = [
        "config.toml:2: there is no setting \"max-peer\"; did you mean max-peers?",
        "config.toml:4: name must be a text: \"…\", not an integer",
        "config.toml:5: listen: ",
        "config.toml:6: output: \"here\" must begin with / or ~/",
        "config.toml:7: there is no setting \"up\"",
    ];
    assert_eq!(lines.len(), wanted.len(), "{error}");
    for (line, wanted) in lines.iter().zip(wanted) {
        assert!(line.starts_with(wanted), "{line}\n{wanted}");
    }
    let error = parse("name = 'bob'\nlisten = [").unwrap_err();
    assert!(error.message.starts_with("config.toml:2: this is not TOML"), "{error}");
    assert!(parse("name = 'a'\nname = 'b'").is_err());
}

#[test]
fn wrong_types_say_what_is_expected() {
    for (text, expected) in [
        ("max-peers = '20'", "a whole number from 0 on, without quotes"),
        ("max-peers = -1", "not a negative number"),
        ("no-discovery = 'yes'", "true or false"),
        ("listen = 4000", "a list of texts"),
        ("listen = [4000]", "a list of texts"),
        ("limit = 10", "a text"),
        ("limit = '10'", "needs a unit"),
        ("name = ''", "1 to"),
        ("advertise = ['a b']", "advertise"),
        ("exclude = ['[']", "[ is no pattern"),
        ("log = true", "the path of a file"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.message.contains(expected), "{text}: {error}");
    }
}

#[test]
fn the_nearest_key_is_the_one_that_was_meant() {
    for (typed, meant) in [
        ("discovery", "no-discovery"),
        ("maxpeers", "max-peers"),
        ("max_peers", "max-peers"),
        ("Name", "name"),
        ("nickname", "name"),
        ("lsiten", "listen"),
        ("rate-limit", "limit"),
    ] {
        let told = Setting::of(typed).err().unwrap();
        assert!(told.contains(&format!("did you mean {meant}?")), "{typed}: {told}");
    }
    assert!(Setting::of("zzz").err().unwrap().contains("compeer config"));
}

fn edited(text: &str, edit: impl FnOnce(&Place)) -> String {
    let directory = tempfile::tempdir().unwrap();
    let place = Place { path: directory.path().join(FILE), named: false };
    fs::write(&place.path, text).unwrap();
    edit(&place);
    fs::read_to_string(&place.path).unwrap()
}

#[test]
fn a_change_leaves_all_else_as_it_is() {
    let text = "# top\n\nname  =  'bob'   # me\n# addresses\nlisten = [\n  '4000', # one\n]\n\n# end";
    let set = |key: &str, values: &[&str]| {
        let values: Vec<_> = values.iter().map(ToString::to_string).collect();
        edited(text, |place| assert_eq!(edit::set(place, key, &values).unwrap(), None))
    };
    assert_eq!(set("name", &["ann"]), text.replace("'bob'", "\"ann\""));
    let listen = "[\n  '4000', # one\n]";
    assert_eq!(set("listen", &["1", "2"]), text.replace(listen, "[\"1\", \"2\"]"));
    assert_eq!(set("max-peers", &["3"]), format!("{text}\nmax-peers = 3\n"));
    let unset = edited(text, |place| assert_eq!(edit::unset(place, "listen").unwrap(), (true, None)));
    assert_eq!(unset, text.replace(&format!("listen = {listen}\n"), ""));
    let same = edited(text, |place| assert_eq!(edit::unset(place, "qr").unwrap(), (false, None)));
    assert_eq!(same, text);
}

#[test]
fn a_bad_file_is_mended_and_never_lost() {
    let text = "nam = 'bob'\nqr = true\n[table]\nx = 1\n";
    let added = edited(text, |place| {
        let left = edit::set(place, "max-peers", &["3".to_string()]).unwrap().unwrap();
        assert!(left.message.contains("\"nam\"") && left.message.contains("\"table\""), "{left}");
    });
    assert_eq!(added, "nam = 'bob'\nqr = true\nmax-peers = 3\n[table]\nx = 1\n");
    let mended = edited("nam = 'bob'\nqr = true\n", |place| {
        assert_eq!(edit::unset(place, "nam").unwrap(), (true, None));
    });
    assert_eq!(mended, "qr = true\n");
    for broken in ["name = ", "name = 'x'\nname = 'y'"] {
        let kept = edited(broken, |place| {
            assert!(edit::set(place, "qr", &["true".to_string()]).is_err());
            assert!(edit::unset(place, "name").is_err());
        });
        assert_eq!(kept, broken);
    }
}

#[test]
fn a_value_that_is_none_is_not_written() {
    let kept = edited("qr = true\n", |place| {
        for (key, values) in [
            ("max-peers", &["many"][..]),
            ("max-peers", &["1", "2"]),
            ("qr", &["perhaps"]),
            ("listen", &["localhost"]),
            ("limit", &["10"]),
            ("exclude", &["*.tmp", "["]),
            ("nam", &["x"]),
        ] {
            let values: Vec<_> = values.iter().map(ToString::to_string).collect();
            assert!(edit::set(place, key, &values).is_err(), "{key}");
        }
    });
    assert_eq!(kept, "qr = true\n");
}

#[test]
fn a_command_line_is_read_without_the_file_first() {
    assert!(Cli::try_parse_from(["compeer", "--config", "x", "status"]).is_ok());
}
