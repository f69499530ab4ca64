//! What `--help` says, word for word: a change of the command line shows up in a review as a change of these files.
//! To accept one: `UPDATE_GOLDEN=1 cargo test -p compeer-cli --test help`.

#[path = "support/peers.rs"]
mod support;

use std::path::Path;
use support::Home;

const COMMANDS: &[&str] = &[
    "",
    "up",
    "send",
    "get",
    "share",
    "find",
    "transfers",
    "say",
    "chat",
    "call",
    "on",
    "ticket",
    "peers",
    "pair",
    "block",
    "status",
    "try",
    "down",
    "doctor",
    "sim",
    "config",
    "identity",
    "completions",
    "man",
];

#[test]
fn every_help_text_is_as_recorded() {
    let home = Home::new("ann");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut different = Vec::new();
    for command in COMMANDS {
        let arguments: Vec<_> = [*command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        let mut shown = home.command(&arguments);
        let shown = support::Ended::from(shown.env_remove("COMPEER_HOME").output().unwrap()).code(0).out;
        let file = golden.join(format!("help{}{command}.txt", if command.is_empty() { "" } else { "-" }));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &shown).unwrap();
        } else if std::fs::read_to_string(&file).unwrap_or_default() != shown {
            different.push(format!("{}:\n{shown}", file.display()));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn help_touches_no_home() {
    let home = Home::new("ann");
    home.run(&["--help"]).code(0);
    home.run(&["--version"]).code(0);
    assert!(!home.path().exists());
}
