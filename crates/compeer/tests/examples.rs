//! The examples as people run them: programs of their own, talking over loopback,
//! judged by what they print.
//!
//! `cargo test` builds them beside this test. Every port is one the system chose.
//! Nothing here sleeps: each step waits for a line, with a deadline.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// How long any one line may take. Generous: the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(60);

/// An example that runs; killed when dropped.
struct Run {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Run {
    fn start(example: &str, args: &[&str]) -> Self {
        let test = std::env::current_exe().unwrap();
        let program = test.parent().unwrap().with_file_name("examples").join(example);
        let mut child = Command::new(&program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}; `cargo build --examples` makes it", program.display()));
        let (tx, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| tx.send(line)));
        Run { stdin: child.stdin.take(), child, lines }
    }

    /// The next line it prints; `None` when it has ended.
    fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(DEADLINE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line within {DEADLINE:?}"),
        }
    }

    fn expect(&self, line: &str) {
        assert_eq!(self.line().as_deref(), Some(line));
    }

    /// The rest of a line that begins with `start`.
    fn after(&self, start: &str) -> String {
        let line = self.line().unwrap_or_default();
        line.strip_prefix(start)
            .unwrap_or_else(|| panic!("{line:?} does not begin with {start:?}"))
            .to_owned()
    }

    fn types(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// What it printed until it ended, and whether it ended well.
    fn end(mut self) -> (Vec<String>, bool) {
        let lines = std::iter::from_fn(|| self.line()).collect();
        (lines, self.child.wait().unwrap().success())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn echo_gives_fifty_peers_at_once_an_answer_of_their_own() {
    let server = Run::start("echo", &["serve"]);
    let ticket = server.after("ticket: ");
    let words: Vec<String> = (0..50).map(|n| format!("hello {n}")).collect();
    let peers: Vec<Run> = words.iter().map(|words| Run::start("echo", &["ask", &ticket, words])).collect();
    let mut callers = Vec::new();
    for (peer, words) in peers.into_iter().zip(&words) {
        let id = peer.after("I am ");
        peer.expect(&format!("{id}, you said: {words}"));
        assert_eq!(peer.end(), (vec![], true));
        callers.push(format!("{id} said: {words}"));
    }
    let mut seen: Vec<String> = (0..50).filter_map(|_| server.line()).collect();
    callers.sort();
    seen.sort();
    assert_eq!(seen, callers);
}

#[test]
fn chat_carries_ten_thousand_bytes_of_korean_whole() {
    let mut alice = Run::start("chat", &["alice"]);
    let ticket = alice.after("ticket: ");
    let mut bob = Run::start("chat", &["bob", &ticket]);
    bob.after("ticket: ");
    bob.expect("connected to alice");
    let mut message = "안녕하세요, 동무! ".repeat(500);
    while message.len() > 9_999 {
        message.pop();
    }
    message.push_str(&"!".repeat(10_000 - message.len()));
    assert_eq!(message.len(), 10_000);
    bob.types(&format!("{message}\nsecond\n"));
    let from_bob = |line: Option<String>| {
        let line = line.unwrap();
        assert!(line.starts_with("bob ("), "{line}");
        line.split_once("): ").unwrap().1.to_owned()
    };
    assert_eq!(from_bob(alice.line()), message);
    assert_eq!(from_bob(alice.line()), "second");
    alice.types("반갑습니다\n");
    let answer = bob.line().unwrap();
    assert!(answer.starts_with("alice (") && answer.ends_with("): 반갑습니다"), "{answer}");
    drop(bob.stdin.take());
    assert_eq!(bob.end(), (vec![], true), "bob leaves when nothing more is typed");
}

#[test]
fn relay_passes_five_quick_sends_as_five_and_survives_a_kill() {
    let relay = Run::start("relay", &["serve"]);
    let ticket = relay.after("ticket: ");
    let join = |name| {
        let member = Run::start("relay", &["join", name, &ticket]);
        member.expect("joined");
        member
    };
    let (mut alice, bob, carol) = (join("alice"), join("bob"), join("carol"));
    alice.types("one\ntwo\nthree\nfour\nfive\n");
    for member in [&bob, &carol] {
        for words in ["one", "two", "three", "four", "five"] {
            member.expect(&format!("alice: {words}"));
        }
    }

    // One who never stops speaking is killed in the middle of it.
    let mut mallory = join("mallory");
    let long = "words ".repeat(30_000);
    let mut stdin = mallory.stdin.take().unwrap();
    let line = format!("{long}\n");
    let speaking = thread::spawn(move || while stdin.write_all(line.as_bytes()).is_ok() {});
    let whole = format!("mallory: {long}");
    bob.expect(&whole);
    drop(mallory);
    speaking.join().unwrap();

    alice.types("still here\n");
    for member in [&bob, &carol] {
        loop {
            match member.line().unwrap().as_str() {
                "alice: still here" => break,
                line => assert!(line == whole || line.ends_with(" missed)"), "{} bytes", line.len()),
            }
        }
    }
    // Nobody hears themselves: the first line alice gets is somebody else's.
    let mut dave = join("dave");
    dave.types("good evening\n");
    loop {
        match alice.line().unwrap().as_str() {
            "dave: good evening" => break,
            line => assert!(line == whole || line.ends_with(" missed)"), "{} bytes", line.len()),
        }
    }
}

#[test]
fn framework_routes_learns_and_outlives_a_panic() {
    let node = |args: &[&str]| {
        let node = Run::start("framework", args);
        let (id, ticket) = (node.after("id: "), node.after("ticket: "));
        (node, id, ticket)
    };
    let (_alice, alice_id, alice) = node(&["alice"]);
    let (bob, bob_id, _) = node(&["bob", &alice]);
    let (_carol, carol_id, _) = node(&["carol", &alice]);

    // The stabilizer: bob, who knew only alice, learns of carol.
    bob.expect(&format!("learnt of {carol_id}"));

    // The router: dave knows only alice.
    let ask = |id: &str, kind: &str| Run::start("framework", &["dave", &alice, id, kind]);
    assert_eq!(ask(&bob_id, "NAME").end(), (vec!["bob".to_owned()], true));
    let nobody = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkena";
    assert_eq!(ask(nobody, "NAME").end(), (vec![], false));

    // A handler that panics fails its own request; another one runs on and tells of it.
    let watcher = ask(&alice_id, "WATCH");
    watcher.expect("watching");
    assert_eq!(ask(&alice_id, "BOOM").end(), (vec![], false));
    watcher.expect("BOOM panicked: a defect in this handler");
    assert_eq!(ask(&alice_id, "NAME").end(), (vec!["alice".to_owned()], true));
}

#[test]
fn custom_router_reaches_who_listens_nowhere() {
    let carrier = Run::start("custom_router", &["carry"]);
    let ticket = carrier.after("ticket: ");
    let carol = Run::start("custom_router", &["serve", &ticket]);
    let id = carol.after("id: ");
    let (lines, well) = Run::start("custom_router", &["ask", &ticket, &id, "hello"]).end();
    assert!(well && lines.len() == 1, "{lines:?}");
    assert!(lines[0].contains(", you said: hello (over "), "{lines:?}");
    drop(carol);
    // Nobody is there any more, and the carrier says so.
    let (lines, _) = Run::start("custom_router", &["ask", &ticket, &id, "hello"]).end();
    assert!(lines.iter().all(|line| line.starts_with("failed: no circuit: ")), "{lines:?}");
}

#[test]
fn nosy_carrier_finds_nothing_and_changes_nothing_unnoticed() {
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    for flip in [false, true] {
        let mut carrier = Run::start("nosy_carrier", if flip { &["--flip"][..] } else { &[] });
        let ticket = carrier.after("ticket: ");
        let carol = Run::start("custom_router", &["serve", &ticket]);
        let id = carol.after("id: ");
        let words = "a word that nobody else is to know";
        let (lines, _) = Run::start("custom_router", &["ask", &ticket, &id, words]).end();
        if flip {
            let altered = lines[0].starts_with("failed: ") && lines[0].contains("altered on the way by ");
            assert!(altered && lines.len() == 1, "{lines:?}");
        } else {
            assert!(lines[0].contains(words), "{lines:?}");
        }
        drop(carol);
        // What it passed on it had printed before.
        carrier.child.kill().unwrap();
        let (lines, _) = carrier.end();
        let seen: String = lines.iter().filter_map(|line| Some(line.split_once(": ")?.1)).collect();
        assert!(seen.len() > 2000, "the handshake at least is seen");
        for secret in [words, "ECHO"] {
            assert!(!seen.contains(&hex(secret)), "{secret} was seen");
        }
    }
}
