//! The stage of the tour: the temporary directory, the two peers, and what they print.
//!
//! A command is shown as it is typed, behind the name of who types it, and its output as it is, standard error
//! included; what a running peer prints meanwhile stands behind its name and a bar.

use crate::console::{Console, Report};
use crate::exit::{CommandError, Outcome};
use serde::Serialize;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// How long a step may take.
const STEP: Duration = Duration::from_secs(10);

/// Where the tour happens. Dropping it kills the peers and removes the directory.
pub(super) struct Stage {
    console: Arc<Console>,
    // The peers are dropped, that is killed, before the directory goes.
    peers: BTreeMap<String, Running>,
    directory: TempDir,
}

struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Stage {
    /// An empty stage.
    pub(super) fn set(console: Arc<Console>) -> Outcome<Stage> {
        let directory = tempfile::Builder::new()
            .prefix("compeer-try-")
            .tempdir()
            .map_err(|error| CommandError::failed(format!("cannot make a temporary directory: {error}")))?;
        Ok(Stage { console, peers: BTreeMap::new(), directory })
    }

    /// Explains the next step.
    pub(super) fn tell(&self, words: &str) {
        self.console.line(&format!("\n{words}"));
    }

    /// Starts a peer and waits until it is up; its address.
    pub(super) async fn up(&mut self, name: &str) -> Outcome<String> {
        let arguments = ["up", "--name", name, "--listen", "127.0.0.1:0"];
        self.type_line(name, &arguments, None);
        let mut child = self
            .command(name, &arguments)?
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| cannot_run(&error))?;
        let Some(out) = child.stdout.take() else { return Err(CommandError::failed("no output")) };
        let lines = BufReader::new(out).lines();
        self.peers.insert(name.to_string(), Running { child, lines });
        let line = self.sees(name, "compeer say ").await?;
        let words: Vec<_> = line.split_whitespace().collect();
        match words.iter().position(|word| *word == "say").and_then(|say| words.get(say + 1)) {
            Some(address) => Ok(address.to_string()),
            None => Err(CommandError::failed("no address in what it printed")),
        }
    }

    /// Shows what a peer prints until a line has `part`; that line.
    pub(super) async fn sees(&mut self, name: &str, part: &str) -> Outcome<String> {
        let Some(running) = self.peers.get_mut(name) else {
            return Err(CommandError::failed("nobody there"));
        };
        let reading = async {
            while let Ok(Some(line)) = running.lines.next_line().await {
                self.console.show(&Printed { event: "printed", who: name, line: &line });
                if line.contains(part) {
                    return Some(line);
                }
            }
            None
        };
        let failed = || CommandError::failed(format!("{name} did not print {part:?}"));
        tokio::time::timeout(STEP, reading).await.ok().flatten().ok_or_else(failed)
    }

    /// Runs a command to its end and shows what it prints; its standard output.
    pub(super) async fn run(
        &mut self,
        name: &str,
        arguments: &[&str],
        input: Option<&str>,
    ) -> Outcome<Vec<String>> {
        self.type_line(name, arguments, input);
        let mut child = self
            .command(name, arguments)?
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| cannot_run(&error))?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            stdin.write_all(input.as_bytes()).await.map_err(|error| cannot_run(&error))?;
        }
        let ended = tokio::time::timeout(STEP, child.wait_with_output()).await;
        let output = ended
            .map_err(|_| CommandError::failed(format!("compeer {} hangs", arguments.join(" "))))?
            .map_err(|error| cannot_run(&error))?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        for line in err.lines().chain(out.lines()) {
            self.console.show(&Printed { event: "output", who: name, line });
        }
        match output.status.success() {
            true => Ok(out.lines().map(str::to_string).collect()),
            false => Err(CommandError::failed(format!(
                "compeer {} ended with {}",
                arguments.join(" "),
                output.status
            ))),
        }
    }

    /// Ends the peers and removes the directory.
    pub(super) async fn clear(mut self) {
        for (_, mut running) in std::mem::take(&mut self.peers) {
            // One that has ended already needs no killing.
            let _ = running.child.kill().await;
        }
        if let Err(error) = self.directory.close() {
            self.console.note(&format!("a temporary directory could not be removed: {error}"));
        }
    }

    fn type_line(&self, name: &str, arguments: &[&str], input: Option<&str>) {
        let quoted: Vec<_> = arguments.iter().map(|argument| quote(argument)).collect();
        let pipe = input.map(|input| format!("printf {} | ", quote(&input.replace('\n', "\\n"))));
        let command = format!("{}compeer {}", pipe.unwrap_or_default(), quoted.join(" "));
        self.console.show(&Typed { event: "typed", who: name, command });
    }

    /// This program in the home of `name`, with nothing of the user's own settings.
    fn command(&self, name: &str, arguments: &[&str]) -> Outcome<Command> {
        let program = std::env::current_exe().map_err(|error| cannot_run(&error))?;
        let mut command = Command::new(program);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("COMPEER_") {
                command.env_remove(variable);
            }
        }
        // Without a runtime directory the control socket lies in the home, and goes with it.
        command.env_remove("XDG_RUNTIME_DIR").env("COMPEER_HOME", self.directory.path().join(name));
        // Each other they may find, and nobody else; below the ports that the system hands out.
        command.env("COMPEER_DISCOVERY_PORT", (20_000 + std::process::id() % 10_000).to_string());
        command.args(arguments).kill_on_drop(true);
        Ok(command)
    }
}

fn quote(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/[]".contains(c);
    if argument.chars().all(plain) { argument.to_string() } else { format!("'{argument}'") }
}

fn cannot_run(error: &std::io::Error) -> CommandError {
    CommandError::failed(format!("cannot run compeer: {error}"))
}

/// A command, as typed.
#[derive(Serialize)]
struct Typed<'a> {
    event: &'static str,
    who: &'a str,
    command: String,
}

impl Report for Typed<'_> {
    fn human(&self) -> String {
        format!("{}$ {}", self.who, self.command)
    }
}

/// A line that a command, or a running peer, printed.
#[derive(Serialize)]
struct Printed<'a> {
    event: &'static str,
    who: &'a str,
    line: &'a str,
}

impl Report for Printed<'_> {
    fn human(&self) -> String {
        match self.event {
            "printed" => format!("  {:>5} | {}", self.who, self.line),
            _ => format!("  {}", self.line),
        }
    }
}
