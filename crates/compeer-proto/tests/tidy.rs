//! Habits of the house that no compiler checks: layering, essays, sizes, no printing.
//!
//! Each test lists everything it finds, with file and line, so that one run shows all there is to
//! mend. The rules are those of `docs/decisions/` and CONTRIBUTING; the reason stands beside each
//! test. What clippy and rustc can check is not repeated here, only that they are told to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Longest file under `src`, in lines. Beyond it, a second concept is hiding in there.
const MAX_LINES: usize = 500;
/// Shortest essay at the head of a file, in lines.
const MIN_ESSAY: usize = 3;

/// A source file: its path from the root of the workspace, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// `path:line: message` for every line that `wrong` finds fault with. Comments are not lines.
    fn complain(&self, message: &str, wrong: impl Fn(&str) -> bool) -> Vec<String> {
        let code = |line: &&str| !line.trim_start().starts_with("//");
        let lines = self.text.lines().enumerate().filter(|(_, line)| code(line));
        lines
            .filter(|(_, line)| wrong(line))
            .map(|(number, _)| format!("{}:{}: {message}", self.path, number + 1))
            .collect()
    }

    /// Unit tests and their parts: `tests.rs` and what is under a `tests` directory.
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    fn is_in(&self, place: &str) -> bool {
        self.path.contains(&format!("/{place}/"))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn crates() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("crates")).unwrap();
    let mut dirs: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    dirs.retain(|dir| dir.join("Cargo.toml").exists());
    dirs.sort();
    assert!(dirs.len() >= 3, "the crates are not where they were");
    dirs
}

fn name(dir: &Path) -> &str {
    dir.file_name().and_then(|name| name.to_str()).unwrap()
}

/// Every Rust file of every crate.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let mut dirs: Vec<_> = crates();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root()).unwrap().display().to_string().replace('\\', "/");
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 20, "the sources are not where they were");
    found
}

#[track_caller]
fn assert_tidy(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// A reader who opens a file is told first what it is and what it is not.
#[test]
fn every_file_opens_with_an_essay() {
    let mut complaints = Vec::new();
    for source in sources() {
        if source.is_test() || !(source.is_in("src") || source.is_in("examples")) {
            continue;
        }
        let essay = source.text.lines().take_while(|line| line.starts_with("//!")).count();
        if essay < MIN_ESSAY {
            complaints.push(format!("{}: its essay has {essay} lines, not {MIN_ESSAY}", source.path));
        }
    }
    assert_tidy(complaints);
}

#[test]
fn files_are_short() {
    let mut complaints = Vec::new();
    for source in sources().iter().filter(|source| source.is_in("src")) {
        let lines = source.text.lines().count();
        if lines > MAX_LINES {
            complaints
                .push(format!("{}: {lines} lines, more than {MAX_LINES}: split it by concept", source.path));
        }
    }
    assert_tidy(complaints);
}

/// `foo.rs` beside `foo/`: a tab in an editor then says which module it is.
#[test]
fn no_file_is_called_mod_rs() {
    let called_mod = |source: &&Source| source.path.ends_with("/mod.rs");
    assert_tidy(sources().iter().filter(called_mod).map(|source| source.path.clone()).collect());
}

/// Libraries return values and send events; the program renders them.
#[test]
fn libraries_do_not_print() {
    let macros = ["print!(", "println!(", "eprint!(", "eprintln!(", "dbg!("];
    let mut complaints = Vec::new();
    for source in sources() {
        let library = !source.path.starts_with("crates/compeer-cli/") && source.is_in("src");
        if library && !source.is_test() {
            complaints
                .extend(source.complain("a library prints", |line| macros.iter().any(|m| line.contains(m))));
        }
    }
    assert_tidy(complaints);
}

/// What is on `main` works, and every test of it runs.
#[test]
fn nothing_is_left_open() {
    // In two parts each, or this file would complain of itself.
    let marks = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[", "ignore")];
    let mut complaints = Vec::new();
    for source in sources() {
        for mark in marks {
            complaints.extend(source.complain(mark, |line| line.contains(mark)));
        }
    }
    assert_tidy(complaints);
}

/// A bound without a reason cannot be judged by who wants another.
#[test]
fn every_limit_says_its_unit_and_reason() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/limits.rs");
    let text = fs::read_to_string(path).unwrap();
    let mut complaints = Vec::new();
    let (mut doc, mut limits) = (String::new(), 0);
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("///") {
            doc.push_str(comment);
        } else if let Some(limit) = line.strip_prefix("pub const ") {
            limits += 1;
            // A `Duration` carries its unit; anything else has to say it.
            if doc.is_empty() || !(doc.contains("Unit: ") || limit.contains("Duration")) {
                complaints.push(format!("limits.rs: {limit}: no unit, or no word about it"));
            }
            doc.clear();
        } else if !line.starts_with("#[") {
            doc.clear();
        }
    }
    assert!(limits > 10, "the limits are not where they were");
    assert_tidy(complaints);
}

/// Missing documentation, unsafe code and the rest are lints; here only that nobody is exempt.
#[test]
fn every_crate_obeys_the_lints_of_the_workspace() {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut complaints = Vec::new();
    for lint in ["missing_docs", "unsafe_code"] {
        let set = ["\"warn\"", "\"deny\"", "\"forbid\""].map(|level| format!("{lint} = {level}"));
        if !set.iter().any(|line| workspace.contains(line)) {
            complaints.push(format!("Cargo.toml: the lint {lint} is not set"));
        }
    }
    for dir in crates() {
        let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap();
        if !manifest.contains("[lints]\nworkspace = true") {
            complaints.push(format!("{}: no `[lints] workspace = true`", name(&dir)));
        }
    }
    let allowed = concat!("allow(", "missing_docs");
    for source in sources() {
        complaints
            .extend(source.complain("documentation is missing on purpose", |line| line.contains(allowed)));
    }
    assert_tidy(complaints);
}

/// The names of the packages that a crate is built from for use, itself left out.
fn dependencies(of: &str) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--offline", "--locked", "--edges", "normal", "--prefix", "none", "--package", of])
        .current_dir(root())
        .output()
        .unwrap();
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{errors}");
    let names = text.lines().filter_map(|line| line.split(' ').next());
    names.filter(|name| *name != of).map(String::from).collect()
}

/// Arrows point down only, and what is pure stays pure: no runtime, sockets, TLS or randomness
/// of the system in the lowest layer, and nothing that only a program needs in a library.
#[test]
fn layers_point_down() {
    let impure = ["tokio", "mio", "socket2", "rustls", "tokio-rustls", "getrandom", "rand", "rustix"];
    let program = ["clap", "clap_builder", "ratatui", "indicatif", "tracing-subscriber"];
    let mut complaints = Vec::new();
    for dir in crates() {
        let of = name(&dir);
        let below: &[&str] = match of {
            "compeer-proto" => &[],
            "compeer" => &["compeer-proto"],
            // Programs and applications: whatever is no program.
            _ => &["compeer-proto", "compeer", "compeer-share", "compeer-rooms", "compeer-sim"],
        };
        for package in dependencies(of) {
            let ours = package == "compeer" || package.starts_with("compeer-");
            if ours && !below.contains(&package.as_str())
                || of == "compeer-proto" && impure.contains(&package.as_str())
                || of != "compeer-cli" && program.contains(&package.as_str())
            {
                complaints.push(format!("{of} depends on {package}"));
            }
        }
    }
    assert_tidy(complaints);
}
