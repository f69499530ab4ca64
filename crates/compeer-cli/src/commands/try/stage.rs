//! The stage of the tour: the temporary directory, the two peers, and what they print.
//!
//! A command is shown as it is typed, behind the name of who types it, and its output as it is, standard error
//! included; what a running peer prints meanwhile stands behind its name and a bar.

use crate::console::{Console, Report};
use crate::exit::{CommandError, Outcome};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
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
    /// Commands that run on, by who typed them.
    commands: BTreeMap<String, Running>,
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
        Ok(Stage { console, peers: BTreeMap::new(), commands: BTreeMap::new(), directory })
    }

    /// Explains the next step.
    pub(super) fn tell(&self, words: &str) {
        self.console.line(&format!("\n{words}"));
    }

    /// Starts a peer and waits until it is up; its address.
    pub(super) async fn up(&mut self, name: &str) -> Outcome<String> {
        let arguments = ["up", "--name", name, "--listen", "127.0.0.1:0"];
        let running = self.start(name, &arguments)?;
        self.peers.insert(name.to_string(), running);
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
        running.sees(&self.console, "printed", name, part).await
    }

    /// Starts a command and shows what it prints until a line has `part`; that line. It runs on.
    pub(super) async fn begin(&mut self, name: &str, arguments: &[&str], part: &str) -> Outcome<String> {
        let mut running = self.start(name, arguments)?;
        let line = running.sees(&self.console, "output", name, part).await?;
        self.commands.insert(name.to_string(), running);
        Ok(line)
    }

    /// Waits for the end of the command that was begun, which must be a good one.
    pub(super) async fn finish(&mut self, name: &str) -> Outcome {
        let Some(mut running) = self.commands.remove(name) else {
            return Err(CommandError::failed("nothing was begun"));
        };
        match tokio::time::timeout(STEP, running.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(CommandError::failed(format!("{name}'s command ended with {status}"))),
            Ok(Err(error)) => Err(cannot_run(&error)),
            Err(_) => Err(CommandError::failed(format!("{name}'s command does not end"))),
        }
    }

    /// Puts a file of so many bytes where somebody works.
    pub(super) fn file(&self, name: &str, file: &str, size: usize) -> Outcome {
        let mut bytes = vec![0; size];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        std::fs::write(self.desk(name)?.join(file), bytes)
            .map_err(|error| CommandError::failed(format!("cannot write {file}: {error}")))
    }

    /// Fails unless both have a file of this name with the same bytes.
    pub(super) fn same(&self, file: &str) -> Outcome {
        let read =
            |name: &str| std::fs::read(self.desk(name)?.join(file)).map_err(|error| cannot_run(&error));
        match read("alice")? == read("bob")? {
            true => Ok(()),
            false => Err(CommandError::failed(format!("{file} is not what was sent"))),
        }
    }

    /// Where somebody works: the directory in which the commands run.
    fn desk(&self, name: &str) -> Outcome<PathBuf> {
        let desk = self.directory.path().join(format!("{name}s-desk"));
        std::fs::create_dir_all(&desk).map_err(|error| cannot_run(&error))?;
        Ok(desk)
    }

    fn start(&self, name: &str, arguments: &[&str]) -> Outcome<Running> {
        self.type_line(name, arguments, None);
        let mut command = self.command(name, arguments)?;
        match arguments {
            // Its pipe ends with this process, also when that is killed, and the peer with the pipe.
            ["up", ..] => command.arg("--leashed").stdin(Stdio::piped()),
            _ => command.stdin(Stdio::null()),
        };
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| cannot_run(&error))?;
        let Some(out) = child.stdout.take() else { return Err(CommandError::failed("no output")) };
        if let Some(err) = child.stderr.take() {
            let (console, who) = (self.console.clone(), name.to_string());
            // Ends with the command.
            tokio::spawn(async move {
                let mut lines = BufReader::new(err).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    // What happens meanwhile begins with a star.
                    let event = if line.starts_with("* ") { "printed" } else { "output" };
                    console.show(&Printed { event, who: &who, line: &line });
                }
            });
        }
        Ok(Running { child, lines: BufReader::new(out).lines() })
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
        for (_, mut running) in
            std::mem::take(&mut self.commands).into_iter().chain(std::mem::take(&mut self.peers))
        {
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
        command.current_dir(self.desk(name)?);
        command.args(arguments).kill_on_drop(true);
        Ok(command)
    }
}

impl Running {
    /// Shows what it prints until a line has `part`; that line.
    async fn sees(
        &mut self,
        console: &Console,
        event: &'static str,
        who: &str,
        part: &str,
    ) -> Outcome<String> {
        let reading = async {
            while let Ok(Some(line)) = self.lines.next_line().await {
                console.show(&Printed { event, who, line: &line });
                if line.contains(part) {
                    return Some(line);
                }
            }
            None
        };
        let failed = || CommandError::failed(format!("{who} did not print {part:?}"));
        tokio::time::timeout(STEP, reading).await.ok().flatten().ok_or_else(failed)
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
    fn prose(&self) -> bool {
        true
    }

    fn human(&self) -> String {
        match self.event {
            "printed" => format!("  {:>5} | {}", self.who, self.line),
            _ => format!("  {}", self.line),
        }
    }
}
