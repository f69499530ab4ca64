//! `call --spread`: the lines of one pipe, worked on by whoever has room, none lost and none out of order.

#[path = "support/peers.rs"]
mod support;

use compeer::{Failure, Peer, Request};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use support::{Ended, Home, Running, until};

/// A machine that works on lines.
struct Worker {
    home: Home,
    on: Running,
}

impl Worker {
    /// Starts `on WORK` without `up`.
    fn new(name: &str, command: &str, more: &[&str]) -> Worker {
        let home = Home::new(name);
        let on = Worker::on(&home, command, more);
        Worker { home, on }
    }

    fn on(home: &Home, command: &str, more: &[&str]) -> Running {
        let mut all = vec!["on", "WORK", "--exec", command, "--listen", "127.0.0.1:0"];
        all.extend(more);
        let mut on = home.start(&all);
        on.address = on.sees("compeer call ").split_whitespace().nth(2).unwrap().to_string();
        on
    }
}

/// Files by which a test and its commands talk.
struct Signs {
    dir: tempfile::TempDir,
}

impl Signs {
    fn new() -> Signs {
        Signs { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A command that notes each line it begins, holds lines from `from` on until told to go, and gives them back.
    fn command(&self, name: &str, from: usize) -> String {
        let (began, go) = (self.path(name), self.path("go"));
        format!(
            "read n; echo $n >> '{}'; [ $n -lt {from} ] || while [ ! -e '{}' ]; do sleep 0.02; done; echo $n",
            began.display(),
            go.display()
        )
    }

    fn go(&self) {
        std::fs::write(self.path("go"), "").unwrap();
    }

    /// The lines that a worker has begun. One that was killed just then was given none.
    fn began(&self, name: &str) -> Vec<usize> {
        lines(&self.path(name)).iter().filter_map(|line| line.parse().ok()).collect()
    }
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_inclusive('\n').filter_map(|line| Some(line.strip_suffix('\n')?.to_string())).collect()
}

fn numbers(count: usize) -> String {
    (0..count).map(|number| format!("{number}\n")).collect()
}

#[test]
fn four_peers_share_the_lines_and_one_may_die() {
    const LINES: usize = 120;
    let signs = Signs::new();
    let names = ["ann", "ben", "cat", "dan"];
    // So few that one alone cannot hold all lines, however many cores it has.
    let more = &["--anyone", "--jobs", "4"];
    let mut workers: Vec<_> =
        names.iter().map(|name| Worker::new(name, &signs.command(name, LINES / 2), more)).collect();
    let alice = Home::new("alice");
    let mut spread = vec!["call", "--spread", "WORK", "-", "--overdue", "1h"];
    workers.iter().for_each(|worker| spread.extend(["--to", worker.on.address.as_str()]));
    let mut call = alice.start(&spread);
    call.stdin.take().unwrap().write_all(numbers(LINES).as_bytes()).unwrap();
    // The first half is done, all four stand in the second; one is killed there.
    call.sees(&(LINES / 2 - 1).to_string());
    until("all are busy", || {
        names.iter().all(|name| signs.began(name).iter().any(|line| *line >= LINES / 2))
    });
    workers.pop().unwrap().on.kill();
    signs.go();
    let (code, out) = call.end();
    assert_eq!((code, out), (Some(0), (0..LINES).map(|line| line.to_string()).collect()));
    // What it had begun of the second half it cannot have finished.
    let dan = signs.began("dan");
    let half_way: Vec<_> = dan.iter().copied().filter(|line| *line >= LINES / 2).collect();
    let others: Vec<_> = names[..3].iter().flat_map(|name| signs.began(name)).collect();
    assert!(half_way.iter().all(|line| others.contains(line)), "{half_way:?} went to others");
    let mut all = [others, dan].concat();
    all.retain(|line| !half_way.contains(line));
    all.sort_unstable();
    let rest: Vec<_> = (0..LINES).filter(|line| !half_way.contains(line)).collect();
    assert_eq!(all, rest, "all others ran once");
}

#[test]
fn paired_peers_are_asked_through_up_and_without_it() {
    let signs = Signs::new();
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let bob_up = bob.up(&[]);
    let _on = {
        let mut on = bob.start(&["on", "WORK", "--exec", &signs.command("bob", 99)]);
        on.sees("compeer call ");
        on
    };
    alice.run(&["pair", &bob_up.address]).code(0);
    let alice_up = alice.up(&[]);
    bob.run(&["pair", &alice_up.address]).code(0);
    let asked = &["call", "--spread", "WORK", "-"];
    assert_eq!(alice.pipe(asked, "1\n2\n").code(0).out, "1\n2\n");
    alice.run(&["down"]).code(0);
    assert_eq!(alice.pipe(asked, "3\n4").code(0).out, "3\n4\n");
    assert_eq!(alice.pipe(asked, "").code(0).out, "");
}

#[test]
fn what_comes_comes_in_order_or_as_it_comes() {
    let signs = Signs::new();
    // Only the first line has to wait.
    let command = format!(
        "read n; [ $n != 0 ] || while [ ! -e '{}' ]; do sleep 0.02; done; echo $n",
        signs.path("go").display()
    );
    let worker = Worker::new("bob", &command, &["--anyone", "--jobs", "2"]);
    let alice = Home::new("alice");
    let spread = ["--json", "call", "--spread", "WORK", "-", "--to", &worker.on.address];
    let mut unordered = alice.start(&[&spread[..], &["--unordered"]].concat());
    unordered.stdin.take().unwrap().write_all(numbers(3).as_bytes()).unwrap();
    let first: serde_json::Value = serde_json::from_str(&unordered.sees("result")).unwrap();
    assert_eq!((&first["line"], &first["body"]), (&2.into(), &"1\n".into()));
    assert_eq!(first["peer"], worker.home.id());
    let mut ordered = alice.start(&spread);
    ordered.stdin.take().unwrap().write_all(numbers(3).as_bytes()).unwrap();
    unordered.sees("\"line\":3");
    signs.go();
    unordered.sees("\"line\":1");
    unordered.succeeds();
    let (code, out) = ordered.end();
    let order =
        out.iter().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["line"].clone());
    assert_eq!((code, order.collect::<Vec<_>>()), (Some(0), vec![1.into(), 2.into(), 3.into()]));
}

#[test]
fn large_answers_that_come_at_once_all_arrive() {
    const AT_ONCE: usize = 32;
    let signs = Signs::new();
    // More together than a connection may hold, all in the same moment; before, the peer earns that many at a time.
    let hold = signs.command("bob", AT_ONCE);
    let command = format!("{hold}; [ $n -lt {AT_ONCE} ] || head -c 1000000 /dev/zero | tr '\\0' x");
    let worker = Worker::new("bob", &command, &["--anyone", "--jobs", &AT_ONCE.to_string()]);
    let alice = Home::new("alice");
    let mut call = alice.start(&["call", "--spread", "WORK", "-", "--to", &worker.on.address]);
    call.stdin.take().unwrap().write_all(numbers(2 * AT_ONCE).as_bytes()).unwrap();
    until("all wait", || signs.began("bob").len() == 2 * AT_ONCE);
    signs.go();
    let (code, out) = call.end();
    // The command's `echo` comes first.
    let lengths: Vec<_> = out.iter().map(String::len).filter(|length| *length > 2).collect();
    assert_eq!((code, lengths), (Some(0), vec![1_000_000; AT_ONCE]));
}

#[test]
fn a_line_that_fails_is_told_and_the_others_go_on() {
    let command = "read n; [ $n != 1 ] || { echo 'no \u{1b} such' >&2; exit 3; }; echo $n";
    let worker = Worker::new("bob", command, &["--anyone"]);
    let alice = Home::new("alice");
    let spread = ["call", "--spread", "WORK", "-", "--to", &worker.on.address];
    let ended = alice.pipe(&spread, &numbers(3)).code(1);
    assert_eq!(ended.out, "0\n\n2\n");
    assert!(ended.err.contains("line 2 (bob): exit status: 3: no \\u{1b} such"), "{}", ended.err);
    assert!(ended.err.contains("1 of 3 lines failed"), "{}", ended.err);
    let events = alice.pipe(&[&["--json"], &spread[..]].concat(), &numbers(3)).code(1).events();
    assert_eq!(events[1]["error"], "exit status: 3: no \u{1b} such");
    assert_eq!((&events[2]["body"], events.len()), (&"2\n".into(), 4));
}

#[test]
fn nobody_who_answers_is_exit_code_3() {
    let alice = Home::new("alice");
    let spread = ["call", "--spread", "WORK", "-", "--timeout", "500ms"];
    let ended = alice.pipe(&spread, "1\n").code(3);
    assert!(ended.err.contains("no peer answers WORK") && ended.err.contains("--to"), "{}", ended.err);
    let there = support::nobody();
    let ended = alice.pipe(&[&spread[..], &["--to", &there]].concat(), "1\n").code(3);
    assert!(ended.err.contains(&there), "{}", ended.err);
    alice.pipe(&[&spread[..], &["--to", "no such name!"]].concat(), "1\n").code(2);
    // There, but it answers something else.
    let worker = Worker::new("bob", "cat", &["--anyone"]);
    let other = ["call", "--spread", "OTHER", "-", "--timeout", "500ms", "--to", &worker.on.address];
    assert!(alice.pipe(&other, "1\n").code(3).err.contains("no peer answers OTHER"));
}

#[test]
fn strangers_see_no_lines_unless_told() {
    let alice = Home::new("alice");
    let mut up = alice.up(&[]);
    let mallory = Home::new("mallory");
    let _mallory_up = mallory.up(&["--join", &up.address]);
    up.sees("mallory connected");
    let mut on = mallory.start(&["on", "WORK", "--reply", "I saw it", "--anyone"]);
    on.sees("compeer call ");
    let spread = ["call", "--spread", "WORK", "-"];
    alice.pipe(&[&spread[..], &["--timeout", "1500ms"]].concat(), "secret\n").code(3);
    let ended = alice.pipe(&[&spread[..], &["--anyone"]].concat(), "secret\n").code(0);
    assert_eq!(ended.out, "I saw it\n");
}

#[test]
fn who_comes_later_is_taken_in() {
    let signs = Signs::new();
    let alice = Home::new("alice");
    let first = Worker::new("ann", &signs.command("ann", 2), &["--anyone", "--jobs", "1"]);
    let _up = alice.up(&["--join", &first.on.address]);
    let mut call = alice.start(&["call", "--spread", "WORK", "-", "--overdue", "1h"]);
    call.stdin.take().unwrap().write_all(numbers(8).as_bytes()).unwrap();
    until("the first one works", || signs.began("ann") == [0, 1, 2]);
    // A peer of this very home counts too.
    let mut own = alice.start(&["on", "WORK", "--exec", &signs.command("own", 99)]);
    own.sees("compeer call ");
    until("the second one takes the rest", || signs.began("own").len() == 5);
    signs.go();
    assert_eq!(call.end(), (Some(0), (0..8).map(|line| line.to_string()).collect()));
}

#[test]
fn a_line_is_never_asked_twice_of_one_peer() {
    let signs = Signs::new();
    let (alice, command) = (Home::new("alice"), signs.command("bob", 1));
    let worker = Worker::new("bob", &command, &["--anyone", "--jobs", "1"]);
    let port = worker.on.address.clone();
    // Longer than a peer takes to come back.
    let mut call = alice.start(&["call", "--spread", "WORK", "-", "--to", &port, "--timeout", "20s"]);
    call.stdin.take().unwrap().write_all(b"0\n1\n2\n").unwrap();
    until("it is half-way", || signs.began("bob") == [0, 1]);
    let Worker { home, on } = worker;
    on.kill();
    signs.go();
    // It comes back, answers what it has not had, and is not given the other again.
    let mut again =
        home.start(&["on", "WORK", "--exec", &command, "--anyone", "--jobs", "1", "--listen", &port]);
    again.sees("compeer call ");
    let told = call.complains("line 2");
    assert!(told.contains("did not finish it, and may have run it"), "{told}");
    assert_eq!(call.end(), (Some(1), vec!["0".to_string(), String::new(), "2".to_string()]));
    assert_eq!(signs.began("bob"), [0, 1, 2]);
}

#[test]
fn a_named_peer_that_stays_away_answers_no_more() {
    let signs = Signs::new();
    let alice = Home::new("alice");
    let worker = Worker::new("bob", &signs.command("bob", 1), &["--anyone", "--jobs", "1"]);
    let to = ["--to", worker.on.address.as_str(), "--timeout", "2s"];
    let mut call = alice.start(&[&["call", "--spread", "WORK", "-"], &to[..]].concat());
    call.stdin.take().unwrap().write_all(numbers(4).as_bytes()).unwrap();
    until("it is half-way", || signs.began("bob") == [0, 1]);
    worker.on.kill();
    let (code, out) = call.end();
    assert_eq!((code, out), (Some(3), ["0", "", "", ""].map(String::from).to_vec()));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let alice = Home::new("alice");
    for arguments in [
        &["call", "--spread", "WORK", "bob"][..],
        &["call", "--spread", "WORK", "-", "KIND"],
        &["call", "--spread", "WORK", "-", "--to", "-"],
        &["call", "bob", "KIND", "--unordered"],
        &["call", "bob", "KIND", "--to", "ann"],
        &["call", "bob"],
    ] {
        alice.run(arguments).code(2);
    }
}

#[test]
fn an_on_that_ends_beside_its_up_loses_no_line() {
    for signal in ["TERM", "KILL"] {
        let signs = Signs::new();
        let (alice, bob) = (Home::new("alice"), Home::new("bob"));
        let ann = Worker::new("ann", &signs.command("ann", 1), &["--anyone", "--jobs", "1"]);
        let up = bob.up(&[]);
        let mut on =
            bob.start(&["on", "WORK", "--exec", &signs.command("bob", 1), "--anyone", "--jobs", "1"]);
        on.sees("compeer call ");
        let to = ["--to", ann.on.address.as_str(), "--to", up.address.as_str(), "--overdue", "1h"];
        let mut call = alice.start(&[&["--json", "call", "--spread", "WORK", "-"], &to[..]].concat());
        call.stdin.take().unwrap().write_all(numbers(5).as_bytes()).unwrap();
        until("both are at work", || {
            ["ann", "bob"].iter().all(|who| signs.began(who).iter().any(|n| *n > 0))
        });
        on.signal(signal);
        on.end();
        signs.go();
        let (code, out) = call.end();
        let told: Vec<serde_json::Value> =
            out.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let bodies: Vec<_> = told.iter().map(|event| event["body"].as_str().unwrap()).collect();
        assert_eq!((code, bodies), (Some(0), vec!["0\n", "1\n", "2\n", "3\n", "4\n"]), "{signal}");
    }
}

#[test]
fn a_line_that_is_too_long_fails_alone() {
    let worker = Worker::new("bob", "cat", &["--anyone"]);
    let alice = Home::new("alice");
    let spread = ["call", "--spread", "WORK", "-", "--to", &worker.on.address];
    let lines = format!("one\n{}\nthree\n", "x".repeat((1 << 20) + 1));
    let ended = alice.pipe(&spread, &lines).code(1);
    assert_eq!(ended.out, "one\n\nthree\n");
    assert!(ended.err.contains("line 2: it is longer than 1048576 bytes"), "{}", ended.err);
    assert!(ended.err.contains("1 of 3 lines failed"), "{}", ended.err);
}

/// What was read before is worked on.
#[test]
fn input_that_breaks_off_with_an_error_is_no_success() {
    let worker = Worker::new("bob", "cat", &["--anyone"]);
    let alice = Home::new("alice");
    let (mut mine, mut theirs) = UnixStream::pair().unwrap();
    mine.write_all(b"1\n2\n").unwrap();
    // Bytes that nobody has read when it is closed: the other end is told that it was reset, after the lines.
    theirs.write_all(b"unread").unwrap();
    let mut command = alice.command(&["call", "--spread", "WORK", "-", "--to", &worker.on.address]);
    command.stdin(OwnedFd::from(theirs));
    drop(mine);
    let ended = Ended::from(command.output().unwrap()).code(1);
    assert_eq!(ended.out, "1\n2\n");
    assert!(ended.err.contains("cannot read standard input"), "{}", ended.err);
}

#[test]
fn a_peer_that_makes_no_sense_leaves_the_others_at_work() {
    let worker = Worker::new("bob", "cat", &["--anyone"]);
    let alice = Home::new("alice");
    let to = ["--to", "no such name!", "--to", &worker.on.address];
    let ended = alice.pipe(&[&["call", "--spread", "WORK", "-"], &to[..]].concat(), "1\n2\n").code(0);
    assert_eq!(ended.out, "1\n2\n");
    assert!(ended.err.contains("no such name!"), "{}", ended.err);
}

/// A peer of the library, which answers WORK as it likes and does not say how many at a time: it gets one.
async fn peer<F, Fut>(handler: F) -> (Peer, String)
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let peer = Peer::builder().listen("127.0.0.1:0").handle("WORK", handler).spawn().await.unwrap();
    let address = peer.local_addrs()[0].to_string();
    (peer, address)
}

async fn endless(request: Request) -> Result<(), Failure> {
    loop {
        request.reply("").await?;
    }
}

async fn busy(_: Request) -> Result<(), Failure> {
    Err(Failure::busy())
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_without_end_are_a_line_that_fails() {
    let (peer, address) = peer(endless).await;
    let ended = tokio::task::spawn_blocking(move || {
        Home::new("alice").pipe(&["call", "--spread", "WORK", "-", "--to", &address], "1\n").code(1)
    });
    let ended = ended.await.unwrap();
    assert!(ended.err.contains("more than 16384 replies"), "{}", ended.err);
    peer.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_only_given_back_have_an_end() {
    let (peer, address) = peer(busy).await;
    let ended = tokio::task::spawn_blocking(move || {
        let spread = ["call", "--spread", "WORK", "-", "--timeout", "2s", "--to", &address];
        Home::new("alice").pipe(&spread, "1\n2\n").code(3)
    });
    let ended = ended.await.unwrap();
    assert!(ended.err.contains("nobody has answered WORK for 2 s"), "{}", ended.err);
    assert_eq!(ended.out, "\n\n", "each line is told");
    peer.shutdown().await;
}

/// Longer than a peer has to say that it is busy, which is half of the time that is waited for anybody.
async fn busy_late(_: Request) -> Result<(), Failure> {
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    Err(Failure::busy())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_holds_lines_is_left_out_and_each_line_is_told() {
    let (peer, address) = peer(busy_late).await;
    let ended = tokio::task::spawn_blocking(move || {
        let spread = ["call", "--spread", "WORK", "-", "--timeout", "2s", "--to", &address];
        Home::new("alice").pipe(&spread, "1\n2\n").code(3)
    });
    let ended = ended.await.unwrap();
    assert_eq!(ended.err.matches("it gets no more").count(), 1, "{}", ended.err);
    assert_eq!(ended.out, "\n\n", "each line is told");
    peer.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_never_answers_holds_no_line_for_ever() {
    const LINES: usize = 10;
    let (had, mut silent_has) = tokio::sync::mpsc::unbounded_channel();
    let (silent, address) = peer(move |request: Request| {
        had.send(request.text()).unwrap();
        std::future::pending()
    })
    .await;
    let signs = Signs::new();
    let ann = Worker::new("ann", &signs.command("ann", 0), &["--anyone", "--jobs", "1"]);
    let alice = Home::new("alice");
    let to = ["--to", address.as_str(), "--to", ann.on.address.as_str(), "--overdue", "500ms"];
    let mut call = alice.start(&[&["call", "--spread", "WORK", "-"], &to[..]].concat());
    call.stdin.take().unwrap().write_all(numbers(LINES).as_bytes()).unwrap();
    // The other one works on only when it has a line.
    let held: usize = silent_has.recv().await.unwrap().parse().unwrap();
    signs.go();
    let (code, out) = tokio::task::spawn_blocking(|| call.end()).await.unwrap();
    assert_eq!((code, out), (Some(0), (0..LINES).map(|line| line.to_string()).collect()));
    let mut began = signs.began("ann");
    assert!(began.contains(&held));
    began.sort_unstable();
    assert_eq!(began, (0..LINES).collect::<Vec<_>>(), "none twice");
    silent.shutdown().await;
}
