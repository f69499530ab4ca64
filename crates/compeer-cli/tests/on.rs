//! `on`: a shell command, a text or the screen as a handler; bounded, and gone without a trace when nobody wants it.

#[path = "support/peers.rs"]
mod support;

use compeer::{Addr, Peer, PeerId, Replies, RequestError};
use std::path::Path;
use std::time::Duration;
use support::{Home, PATIENCE, Running, until};

/// Starts `on` without `up`, and waits until it can be called.
#[track_caller]
fn alone(home: &Home, arguments: &[&str]) -> Running {
    let mut all = vec!["on"];
    all.extend(arguments);
    all.extend(["--listen", "127.0.0.1:0"]);
    let mut on = home.start(&all);
    on.address = on.sees("compeer call ").split_whitespace().nth(2).unwrap().to_string();
    on
}

/// Starts `on` beside a running `up`, and waits until it answers.
#[track_caller]
fn beside(home: &Home, arguments: &[&str]) -> Running {
    let mut all = vec!["on"];
    all.extend(arguments);
    let mut on = home.start(&all);
    on.sees("compeer call ");
    on
}

/// The lines of a file that commands write.
fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_inclusive('\n').filter_map(|line| Some(line.strip_suffix('\n')?.to_string())).collect()
}

/// Waits for the process ids a command wrote.
#[track_caller]
fn pids(path: &Path, count: usize) -> Vec<String> {
    until("the command begins", || lines(path).len() >= count);
    lines(path)
}

/// Waits until none of these processes runs. One that nobody has buried yet counts as gone.
#[track_caller]
fn gone(pids: &[String]) {
    until("all are gone", || {
        pids.iter().all(|pid| match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            Err(_) => true,
            Ok(stat) => stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'),
        })
    });
}

/// A command that notes the ids of itself and of a child that it leaves behind, and then hangs.
fn hanging(home: &Home) -> (String, std::path::PathBuf) {
    let file = home.temp().join("pids");
    let path = file.display();
    (format!("sleep 1000 & printf '%s\\n%s\\n' $$ $! >> '{path}'; sleep 1000"), file)
}

#[test]
fn a_command_answers_with_what_it_prints() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let command =
        r#"printf '%s|' "$COMPEER_FROM_ID" "$COMPEER_FROM_NAME" "$COMPEER_KIND"; tr a-z A-Z; echo lost >&2"#;
    let on = alone(&alice, &["SHOUT", "--exec", command, "--anyone"]);
    let body = "it's $(touch /tmp/never) \"x\" \\ `id`\n";
    let out = bob.pipe(&["call", &on.address, "SHOUT", "-", "--raw"], body).code(0).out;
    assert_eq!(out, format!("{}||SHOUT|{}", bob.id(), body.to_uppercase()));
    // A command need not read what it is given, and what it is given may be large.
    let large = "x".repeat(1 << 20);
    let _deaf = beside(&alice, &["DEAF", "--exec", "echo heard", "--anyone"]);
    assert_eq!(bob.pipe(&["call", &on.address, "DEAF", "-"], &large).code(0).out, "heard\n");
}

#[test]
fn a_text_is_a_reply_and_a_print_is_none() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let up = alice.up(&[]);
    let _motd = beside(&alice, &["MOTD", "--reply", "back at noon", "--anyone"]);
    assert_eq!(bob.run(&["call", &up.address, "MOTD"]).code(0).out, "back at noon\n");
    let mut plain = beside(&alice, &["LOG", "--print", "--anyone"]);
    assert_eq!(bob.run(&["call", &up.address, "LOG", "one\u{1b}[2J"]).code(0).out, "");
    plain.sees("one\\u{1b}[2J");
    let mut json = alice.start(&["--json", "on", "JLOG", "--print", "--anyone"]);
    json.sees("handling");
    bob.run(&["call", &up.address, "JLOG", "two\nlines"]).code(0);
    let event: serde_json::Value = serde_json::from_str(&json.sees("request")).unwrap();
    assert_eq!((&event["body"], &event["peer"]), (&"two\nlines".into(), &bob.id().into()));
}

#[test]
fn a_command_that_fails_says_why() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut on =
        alone(&alice, &["FAIL", "--exec", "printf 'no \\033[2J such thing' >&2; exit 7", "--anyone"]);
    let ended = bob.run(&["call", &on.address, "FAIL"]).code(1);
    assert!(ended.err.contains("exit status: 7: no \\u{1b}[2J such thing"), "{}", ended.err);
    assert!(on.complains("exit status").contains("\\u{1b}[2J"));
}

#[test]
fn more_than_a_message_holds_is_an_error() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let on = alone(&alice, &["ZEROS", "--exec", "head -c $(cat) /dev/zero", "--anyone"]);
    let most = bob.run(&["call", &on.address, "ZEROS", "1048576", "--raw"]).code(0);
    assert_eq!(most.out.len(), 1 << 20);
    let ended = bob.run(&["call", &on.address, "ZEROS", "1048577"]).code(1);
    assert!(ended.err.contains("more than 1048576 bytes"), "{}", ended.err);
    // One that never ends is ended.
    let ended = bob.run(&["call", &on.address, "ZEROS", "999999999999"]).code(1);
    assert!(ended.err.contains("more than 1048576 bytes"), "{}", ended.err);
}

#[test]
fn what_takes_too_long_is_killed_with_all_it_started() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let (command, file) = hanging(&alice);
    let on = alone(&alice, &["HANG", "--exec", &command, "--anyone", "--timeout", "1s"]);
    let ended = bob.run(&["call", &on.address, "HANG"]).code(1);
    assert!(ended.err.contains("longer than 1 s"), "{}", ended.err);
    gone(&pids(&file, 2));
}

#[test]
fn what_a_command_leaves_behind_ends_with_it() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let file = alice.temp().join("pids");
    let command = format!("sleep 1000 & echo $! >> '{}'; echo done", file.display());
    let on = alone(&alice, &["LEAVE", "--exec", &command, "--anyone"]);
    assert_eq!(bob.run(&["call", &on.address, "LEAVE"]).code(0).out, "done\n");
    gone(&pids(&file, 1));
}

#[test]
fn a_caller_that_goes_away_ends_it() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let (command, file) = hanging(&alice);
    let on = alone(&alice, &["HANG", "--exec", &command, "--anyone"]);
    let call = bob.start(&["call", &on.address, "HANG"]);
    let first = pids(&file, 2);
    call.signal("INT");
    gone(&first);
    let call = bob.start(&["call", &on.address, "HANG"]);
    let both = pids(&file, 4);
    call.kill();
    gone(&both);
}

#[test]
fn no_end_of_on_leaves_anything_running() {
    for signal in ["INT", "TERM", "KILL"] {
        let (alice, bob) = (Home::new("alice"), Home::new("bob"));
        let (command, file) = hanging(&alice);
        let up = alice.up(&[]);
        let on = beside(&alice, &["HANG", "--exec", &command, "--anyone"]);
        let call = bob.start(&["call", &up.address, "HANG"]);
        let all = pids(&file, 2);
        on.signal(signal);
        gone(&all);
        assert_eq!(call.end().0, Some(1), "SIG{signal}: the caller is told");
        until("nobody answers", || bob.run(&["call", &up.address, "HANG"]).err.contains("no handler"));
    }
}

#[test]
fn it_ends_with_the_running_peer() {
    let alice = Home::new("alice");
    let _up = alice.up(&[]);
    let mut on = beside(&alice, &["MOTD", "--reply", "hi"]);
    alice.run(&["down"]).code(0);
    on.complains("was stopped");
    assert_eq!(on.end().0, Some(1));
}

#[test]
fn paired_peers_may_ask_and_others_only_if_they_may() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let up = alice.up(&[]);
    let mut on = alice.start(&["on", "WHO", "--exec", "echo $COMPEER_FROM_NAME"]);
    on.sees("no peer is paired yet");
    on.sees("compeer call ");
    let ended = bob.run(&["call", &up.address, "WHO"]).code(1);
    assert!(ended.err.contains("does not let us ask"), "{}", ended.err);
    let bob_up = bob.up(&[]);
    alice.run(&["pair", &bob_up.address, "--as", "robert"]).code(0);
    assert_eq!(bob.run(&["call", &up.address, "WHO"]).code(0).out, "robert\n");
}

#[test]
fn a_second_one_has_to_say_that_it_replaces_the_first() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let up = alice.up(&[]);
    let (go, began) = (alice.temp().join("go"), alice.temp().join("began"));
    let slow = format!(
        "echo >> '{}'; while [ ! -e '{}' ]; do sleep 0.02; done; echo one",
        began.display(),
        go.display()
    );
    let mut first = beside(&alice, &["KIND", "--exec", &slow, "--anyone"]);
    let call = bob.start(&["call", &up.address, "KIND"]);
    until("it begins", || lines(&began).len() == 1);
    let ended = alice.run(&["on", "KIND", "--reply", "two"]).code(1);
    assert!(ended.err.contains("answers KIND already") && ended.err.contains("--replace"), "{}", ended.err);
    let _second = beside(&alice, &["KIND", "--reply", "two", "--anyone", "--replace"]);
    assert_eq!(bob.run(&["call", &up.address, "KIND"]).code(0).out, "two\n");
    std::fs::write(&go, "").unwrap();
    assert_eq!(call.end(), (Some(0), vec!["one".to_string()]), "what was begun is finished");
    first.complains("has taken KIND over");
    assert_eq!(first.end().0, Some(1));
    assert_eq!(bob.run(&["call", &up.address, "KIND"]).code(0).out, "two\n");
}

#[test]
fn kinds_of_the_programs_own_are_refused() {
    let alice = Home::new("alice");
    for kind in ["ECHO", "NAME", "compeer/say", "compeer/anything"] {
        let ended = alice.run(&["on", kind, "--reply", "x", "--listen", "127.0.0.1:0"]).code(2);
        assert!(ended.err.contains("the program's own"), "{}", ended.err);
    }
    alice.run(&["on", "KIND"]).code(2);
    alice.run(&["on", "KIND", "--print", "--reply", "x"]).code(2);
    alice.run(&["on", "KIND", "--reply", "x", "--jobs", "0", "--listen", "127.0.0.1:0"]).code(2);
}

#[test]
fn a_command_inherits_no_passphrase() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let on = ["on", "ENV", "--exec", "env | grep -c PASSPHRASE", "--anyone", "--listen", "127.0.0.1:0"];
    let mut command = alice.command(&on);
    command.env("COMPEER_PASSPHRASE", "four words of mine");
    let mut on = Running::new(command);
    let address = on.sees("compeer call ").split_whitespace().nth(2).unwrap().to_string();
    // It counts none, and grep(1) says so by its exit code.
    let ended = bob.run(&["call", &address, "ENV"]).code(1);
    assert!(ended.err.contains("exit status: 1"), "{}", ended.err);
}

#[test]
fn a_job_whose_command_is_gone_was_given_up_and_did_not_fail() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let (command, file) = hanging(&alice);
    let up = alice.up(&[]);
    let on = beside(&alice, &["HANG", "--exec", &command, "--anyone"]);
    let mut call = bob.start(&["call", &up.address, "HANG"]);
    pids(&file, 2);
    on.kill();
    call.complains("gave it up before it was done");
    assert_eq!(call.end().0, Some(1));
}

/// Some requests to one handler that hold on, each at its place.
async fn ask(of: &Peer, to: PeerId, count: usize) -> Vec<Replies> {
    let mut begun = Vec::new();
    for _ in 0..count {
        begun.push(of.request(to, "SLOW", "").timeout(PATIENCE).await.unwrap());
    }
    // What comes at once has come by the time another request is answered.
    of.request(to, "compeer/answers", "SLOW").one().await.unwrap();
    for replies in &mut begun {
        let now = tokio::time::timeout(Duration::ZERO, replies.next()).await;
        assert!(now.is_err(), "it waits: {now:?}");
    }
    begun
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_at_a_time_so_many_wait_and_the_next_is_told_to_come_again() {
    const EACH: usize = 16;
    let alice = Home::new("alice");
    let (go, began) = (alice.temp().join("go"), alice.temp().join("began"));
    let slow =
        format!("echo >> '{}'; while [ ! -e '{}' ]; do sleep 0.02; done", began.display(), go.display());
    let on = alone(&alice, &["SLOW", "--exec", &slow, "--anyone", "--jobs", "2"]);
    let mut callers = Vec::new();
    for _ in 0..5 {
        let caller = Peer::builder().spawn().await.unwrap();
        let to = caller.connect(on.address.parse::<Addr>().unwrap()).await.unwrap().peer_id();
        callers.push((caller, to));
    }
    let (bob, to) = &callers[0];
    let mut begun = ask(bob, *to, 2).await;
    until("two run", || lines(&began).len() == 2);
    begun.extend(ask(bob, *to, EACH).await);
    let busy = async |of: &Peer| of.request(*to, "SLOW", "").one().await.unwrap_err();
    assert_eq!(busy(bob).await, RequestError::Busy, "one caller leaves places to others");
    for (caller, to) in &callers[1..3] {
        begun.extend(ask(caller, *to, EACH).await);
    }
    assert_eq!(busy(&callers[4].0).await, RequestError::Busy, "all places of strangers are taken");
    // A paired peer has places of its own.
    let friend = &callers[3].0;
    alice.run(&["pair", &friend.id().to_string(), "--as", "friend"]).code(0);
    drop(begun.splice(0..0, ask(friend, *to, EACH).await));
    assert_eq!(lines(&began).len(), 2, "no more than two at a time");
    // One that gives up waiting makes room for another.
    drop(begun.pop());
    let answering = bob.request(*to, "compeer/answers", "SLOW").one().await.unwrap();
    assert_eq!(&answering.body[..], br#"{"jobs":2,"free":0}"#);
    // Soon: giving up takes its way there.
    let (last_caller, _) = &callers[4];
    let last = async {
        loop {
            let mut last = last_caller.request(*to, "SLOW", "").timeout(PATIENCE).await.unwrap();
            // What comes at once has come by the time another request is answered.
            last_caller.request(*to, "compeer/answers", "SLOW").one().await.unwrap();
            match tokio::time::timeout(Duration::ZERO, last.next()).await {
                Ok(Some(Err(RequestError::Busy))) => {}
                Ok(other) => panic!("{other:?}"),
                Err(_) => break last,
            }
        }
    };
    begun.push(tokio::time::timeout(PATIENCE, last).await.unwrap());
    std::fs::write(&go, "").unwrap();
    for mut replies in begun {
        assert_eq!(replies.next().await.unwrap().unwrap().body.len(), 0);
    }
    assert_eq!(lines(&began).len(), 2 + 4 * EACH, "and each once");
    for (caller, _) in callers {
        caller.shutdown().await;
    }
}
