//! `completions` and `man`: there for every shell, and every command is in them.

#[path = "support/peers.rs"]
mod support;

use support::Home;

/// The commands, as `--help` lists them.
fn commands(home: &Home) -> Vec<String> {
    let help = home.run(&["--help"]).code(0).out;
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<_> = names.map(|line| line.split_whitespace().next().unwrap().to_string()).collect();
    assert!(names.len() > 15 && names.contains(&"send".to_string()), "{names:?}");
    names
}

#[test]
fn completions_of_every_shell_name_every_command() {
    let home = Home::new("ann");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.run(&["completions", shell]).code(0).out;
        for command in commands(&home) {
            assert!(script.contains(&command), "{shell} does not know {command}");
        }
        assert!(script.contains("max-peers"), "{shell}");
    }
    home.run(&["completions", "cmd"]).code(2);
    assert!(!home.path().exists());
}

#[test]
fn bash_completes_a_command() {
    let home = Home::new("ann");
    let file = home.temp().join("compeer.bash");
    std::fs::write(&file, home.run(&["completions", "bash"]).code(0).out).unwrap();
    let script = format!(
        "source {}; COMP_WORDS=(compeer tra); COMP_CWORD=1; _compeer compeer tra compeer; echo ${{COMPREPLY[@]}}",
        file.display()
    );
    let output = std::process::Command::new("bash").args(["--norc", "-c", &script]).output();
    let ended = support::Ended::from(output.unwrap()).code(0);
    assert_eq!(ended.out.trim(), "transfers trace", "{}", ended.err);
}

#[test]
fn every_command_has_a_manual_page() {
    let home = Home::new("ann");
    let page = home.run(&["man"]).code(0).out;
    let dir = home.temp().join("man1");
    home.run(&["man", dir.to_str().unwrap()]).code(0);
    let pages = support::files(&dir);
    for command in commands(&home) {
        assert!(page.contains(&format!("compeer\\-{command}(1)")), "{command} is not on the first page");
        if command != "help" {
            assert!(pages.contains(&format!("compeer-{command}.1")), "{command} has no page: {pages:?}");
        }
    }
    let up = std::fs::read_to_string(dir.join("compeer-up.1")).unwrap();
    assert!(up.contains("COMPEER_LISTEN") && up.contains("compeer up \\-\\-temp"), "{up}");
}
