//! Real `compeer` processes with homes of their own, read with deadlines.
//!
//! A [`Home`] is a temporary directory with its own runtime directory, so that nothing of the user's is touched and
//! tests run side by side. A [`Running`] is a process whose output is read line by line; dropping it kills it.
#![allow(dead_code, reason = "each test file uses its part of this")]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine; a test that gets here has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// A home of one peer.
pub(crate) struct Home {
    dir: tempfile::TempDir,
    name: String,
    /// Where it looks for others within this machine; `None`: nowhere.
    near: Option<u16>,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Home {
    /// A new home of a peer that calls itself `name`.
    pub(crate) fn new(name: &str) -> Home {
        Home {
            dir: tempfile::Builder::new().prefix("cli-").tempdir().unwrap(),
            name: name.to_string(),
            near: None,
        }
    }

    /// The same, among others of this test that are near.
    pub(crate) fn near(mut self, port: u16) -> Home {
        self.near = Some(port);
        self
    }

    /// The directory.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// A directory for temporary files.
    pub(crate) fn temp(&self) -> &Path {
        self.dir.path()
    }

    /// A command in this home.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_compeer"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("COMPEER_") {
                command.env_remove(name);
            }
        }
        let runtime = self.dir.path().join("run");
        std::fs::create_dir_all(&runtime).unwrap();
        command.env("XDG_RUNTIME_DIR", runtime).env("USER", &self.name).env("COMPEER_HOME", self.path());
        match self.near {
            Some(port) => command.env("COMPEER_DISCOVERY_PORT", port.to_string()),
            None => command.env("COMPEER_NO_DISCOVERY", "1"),
        };
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        finish(self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap(), "")
    }

    /// Runs a command with this on its standard input.
    pub(crate) fn pipe(&self, arguments: &[&str], input: &str) -> Ended {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().unwrap(), input)
    }

    /// Starts a command that runs on.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::new(self.command(arguments))
    }

    /// Starts `up` on a free port of loopback and waits until it is ready.
    pub(crate) fn up(&self, arguments: &[&str]) -> Running {
        self.up_at("127.0.0.1:0", arguments)
    }

    /// Starts `up` at an address and waits until it is ready.
    pub(crate) fn up_at(&self, listen: &str, arguments: &[&str]) -> Running {
        let mut all = vec!["up", "--listen", listen];
        all.extend(arguments);
        let mut up = self.start(&all);
        let line = up.sees("compeer say ");
        let rest = line.split("compeer say ").nth(1).unwrap();
        up.address = rest.split([' ', '"']).next().unwrap().to_string();
        up
    }

    /// Starts `send` on loopback and waits until the files can be fetched; the ticket.
    pub(crate) fn send(&self, arguments: &[&str]) -> (Running, String) {
        let mut all = vec!["send", "--listen", "127.0.0.1:0"];
        all.extend(arguments);
        let mut send = self.start(&all);
        let line = send.sees("compeer get share");
        (send, line.rsplit(' ').next().unwrap().to_string())
    }

    /// A file beside the home, with so many bytes that repeat nowhere.
    pub(crate) fn file(&self, name: &str, size: usize) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut bytes = vec![0; size];
        blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A file beside the home, with so many zeros that take no room.
    pub(crate) fn sparse(&self, name: &str, size: u64) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::File::create(&path).unwrap().set_len(size).unwrap();
        path
    }

    /// An empty directory beside the home, to work in.
    pub(crate) fn empty(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// Runs a command to its end in a directory.
    pub(crate) fn run_in(&self, directory: &Path, arguments: &[&str]) -> Ended {
        let mut command = self.command(arguments);
        command.current_dir(directory).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().unwrap(), "")
    }

    /// The id of this home's peer.
    pub(crate) fn id(&self) -> String {
        let key = std::fs::read_to_string(self.path().join("key")).unwrap();
        key.split_whitespace().nth(2).unwrap().to_string()
    }
}

/// Waits for the end of a process, however much it prints.
fn finish(mut child: Child, input: &str) -> Ended {
    if let Some(mut stdin) = child.stdin.take() {
        // A command that ends before it has read all is told about by its exit code.
        let _ = stdin.write_all(input.as_bytes());
    }
    let reader = |source: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            source.unwrap().read_to_end(&mut text).unwrap();
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let out = reader(child.stdout.take().map(|out| Box::new(out) as _));
    let err = reader(child.stderr.take().map(|err| Box::new(err) as _));
    let code = wait(&mut child);
    Ended { code, out: out.join().unwrap(), err: err.join().unwrap() }
}

/// The exit code of a process, which ends in time or is killed.
pub(crate) fn wait(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("a command did not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Ended {
    /// Fails unless the command ended with this code.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Ended {
        assert_eq!(self.code, Some(code), "\nstdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// The JSON events printed.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.out.lines().map(parse).collect()
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Ended {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// A process that runs on.
pub(crate) struct Running {
    child: Child,
    lines: Option<Receiver<String>>,
    errors: Receiver<String>,
    seen: Vec<String>,
    /// Its standard input, until taken.
    pub(crate) stdin: Option<ChildStdin>,
    /// What to type to reach it, once it is up.
    pub(crate) address: String,
}

impl Running {
    /// Starts it.
    pub(crate) fn new(mut command: Command) -> Running {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = read(child.stdout.take().unwrap());
        let errors = read(child.stderr.take().unwrap());
        let stdin = child.stdin.take();
        Running { child, lines: Some(lines), errors, seen: Vec::new(), stdin, address: String::new() }
    }

    /// Waits for a line of standard output that contains `part`.
    #[track_caller]
    pub(crate) fn sees(&mut self, part: &str) -> String {
        let line = await_line(self.lines.as_ref().unwrap(), &mut self.seen, part);
        line.unwrap_or_else(|| {
            let errors: Vec<_> = self.errors.try_iter().collect();
            panic!("no line with {part:?}\nstdout: {:#?}\nstderr: {errors:#?}", self.seen)
        })
    }

    /// Waits for a line of standard error that contains `part`.
    #[track_caller]
    pub(crate) fn complains(&mut self, part: &str) -> String {
        let mut seen = Vec::new();
        await_line(&self.errors, &mut seen, part)
            .unwrap_or_else(|| panic!("no line with {part:?} in {seen:#?}"))
    }

    /// The lines of standard output read so far.
    pub(crate) fn seen(&self) -> &[String] {
        &self.seen
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, as kill(1) does.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Kills it as `kill -9` does and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Closes the reading end of its output, once one more line has come.
    pub(crate) fn deaf(mut self) -> Running {
        self.lines = None;
        self
    }

    /// Types a line.
    pub(crate) fn types(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for its end, which must be a good one.
    #[track_caller]
    pub(crate) fn succeeds(mut self) {
        drop(self.stdin.take());
        let code = wait(&mut self.child);
        let (out, err): (Vec<_>, Vec<_>) =
            (self.lines.iter().flatten().collect(), self.errors.iter().collect());
        assert_eq!(code, Some(0), "\nstdout: {out:#?}\nstderr: {err:#?}");
    }

    /// Waits for its end; its code and the lines it printed.
    #[track_caller]
    pub(crate) fn end(mut self) -> (Option<i32>, Vec<String>) {
        drop(self.stdin.take());
        let code = wait(&mut self.child);
        let mut seen = std::mem::take(&mut self.seen);
        seen.extend(self.lines.iter().flatten());
        (code, seen)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(source: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn await_line(lines: &Receiver<String>, seen: &mut Vec<String>, part: &str) -> Option<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                seen.push(line.clone());
                if line.contains(part) {
                    return Some(line);
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// The address a closed port had a moment ago: nobody is there.
pub(crate) fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// A UDP port for looking around, which nobody else on this machine uses.
pub(crate) fn free_port() -> u16 {
    std::net::UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

/// Whether two files have the same bytes.
pub(crate) fn same(one: &Path, other: &Path) -> bool {
    std::fs::read(one).unwrap() == std::fs::read(other).unwrap()
}

/// The files below a directory.
pub(crate) fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Waits until it is so; what happens does so in a process of its own, which tells nobody.
#[track_caller]
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
