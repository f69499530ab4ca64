//! `send`: what it prints, when it ends, what it takes, and what it leaves.

#[path = "support/peers.rs"]
mod support;

use support::{Home, files, same};

#[test]
fn ends_when_one_receiver_has_it() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let report = alice.file("report.pdf", 300_000);
    let (mut send, ticket) = alice.send(&[report.to_str().unwrap()]);
    send.complains("report.pdf (300 kB)");
    let to = bob.empty("to");
    bob.run_in(&to, &["get", &ticket]).code(0);
    send.complains("* bob has come for it");
    send.complains("* bob has it");
    assert_eq!(send.end().0, Some(0));
    assert!(same(&report, &to.join("report.pdf")));
}

#[test]
fn many_are_served_until_ctrl_c() {
    let alice = Home::new("alice");
    let slides = alice.file("slides.pdf", 50_000);
    let (mut send, ticket) = alice.send(&["--many", slides.to_str().unwrap()]);
    for name in ["bob", "carol"] {
        let home = Home::new(name);
        let to = home.empty("to");
        home.run_in(&to, &["get", &ticket]).code(0);
        send.complains(&format!("* {name} has it"));
    }
    send.signal("INT");
    assert_eq!(send.end().0, Some(0));
}

#[test]
fn standard_input_is_kept_while_it_is_sent_and_no_longer() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut send = alice.start(&["send", "-", "--name", "notes.txt", "--listen", "127.0.0.1:0"]);
    send.types("from a pipe");
    drop(send.stdin.take());
    let line = send.sees("compeer get share");
    let to = bob.empty("to");
    bob.run_in(&to, &["get", line.rsplit(' ').next().unwrap()]).code(0);
    send.succeeds();
    assert_eq!(std::fs::read_to_string(to.join("notes.txt")).unwrap(), "from a pipe\n");
    assert_eq!(files(&alice.path().join("spool")), [""; 0]);
}

#[test]
fn an_interrupted_one_leaves_nothing_to_fetch() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let file = alice.file("x", 1000);
    let (send, ticket) = alice.send(&[file.to_str().unwrap()]);
    send.signal("INT");
    assert_eq!(send.end().0, Some(130));
    let ended = bob.run_in(&bob.empty("to"), &["get", &ticket]).code(3);
    assert!(ended.err.contains("still running"), "{}", ended.err);
}

#[test]
fn through_a_running_up_it_ends_with_its_command() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let up = alice.up(&[]);
    let file = alice.file("x", 1000);
    let mut send = alice.start(&["send", file.to_str().unwrap()]);
    let line = send.sees("compeer get share");
    let ticket = line.rsplit(' ').next().unwrap();
    send.complains("through the running peer");
    bob.run_in(&bob.empty("one"), &["get", ticket]).code(0);
    send.succeeds();
    let ended = bob.run_in(&bob.empty("two"), &["get", ticket]).code(1);
    assert!(ended.err.contains("ask for a new ticket"), "{}", ended.err);
    drop(up);
}

#[test]
fn what_is_left_out_and_what_it_is_called() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    for name in ["src/main.rs", "src/main.o", "src/deep/other.o"] {
        alice.file(name, 10);
    }
    let src = alice.temp().join("src");
    let (mut send, ticket) = alice.send(&[src.to_str().unwrap(), "--exclude", "*.o", "--name", "the source"]);
    send.complains("the source (10 bytes)");
    let to = bob.empty("to");
    bob.run_in(&to, &["get", &ticket]).code(0);
    assert_eq!(files(&to.join("src")), ["main.rs"]);
}

#[test]
fn what_is_not_there_is_told_before_the_network() {
    let alice = Home::new("alice");
    let ended = alice.run(&["send", "/does/not/exist"]).code(2);
    assert!(ended.err.contains("/does/not/exist"), "{}", ended.err);
    assert!(!alice.path().join("key").exists());
    alice.run(&["send"]).code(2);
    alice.run(&["send", "x", "--limit", "fast"]).code(2);
}

#[test]
fn the_ticket_can_be_a_picture() {
    let alice = Home::new("alice");
    let file = alice.file("x", 1000);
    let (mut send, _) = alice.send(&[file.to_str().unwrap(), "--qr"]);
    send.complains("▄");
    assert!(send.seen().iter().all(|line| line.starts_with("compeer get ")), "{:?}", send.seen());
}

#[test]
fn json_tells_all_of_it() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let file = alice.file("x", 1000);
    let mut send = alice.start(&["--json", "send", file.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    let offered: serde_json::Value = serde_json::from_str(&send.sees("\"offered\"")).unwrap();
    assert_eq!((&offered["name"], &offered["bytes"]), (&"x".into(), &1000.into()));
    bob.run_in(&bob.empty("to"), &["get", offered["ticket"].as_str().unwrap()]).code(0);
    let received: serde_json::Value = serde_json::from_str(&send.sees("\"received\"")).unwrap();
    assert_eq!(received["name"], "bob");
    send.succeeds();
}

#[test]
fn the_code_is_found_near_and_is_for_one() {
    let port = support::free_port();
    let (alice, bob) = (Home::new("alice").near(port), Home::new("bob").near(port));
    let file = alice.file("report.pdf", 300_000);
    let mut send = alice.start(&["send", file.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    let line = send.sees("compeer get ");
    assert_eq!(line.split('-').count(), 3, "the code comes first: {line}");
    let to = bob.empty("to");
    let ended = bob.run_in(&to, &["get", line.rsplit(' ').next().unwrap()]).code(0);
    assert!(ended.err.contains("looking for whoever offers code"), "{}", ended.err);
    send.succeeds();
    assert!(same(&file, &to.join("report.pdf")));
}

#[test]
fn a_big_file_is_offered_before_it_is_hashed() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let big = alice.sparse("disk.img", 300 << 20);
    let mut send = alice.start(&["--json", "send", big.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    let offered: serde_json::Value = serde_json::from_str(&send.sees("\"offered\"")).unwrap();
    assert_eq!(offered["hashed"], false);
    // In this order.
    let hashed: serde_json::Value = serde_json::from_str(&send.sees("\"event\":\"hashed\"")).unwrap();
    assert_ne!(hashed["content"], offered["content"]);
    let ticket = offered["ticket"].as_str().unwrap();
    let listed = bob.run(&["--json", "get", ticket, "--list"]).code(0);
    assert!(listed.out.contains(hashed["content"].as_str().unwrap()), "{}", listed.out);
    send.signal("INT");
    assert_eq!(send.end().0, Some(130));
    // It is known from now on.
    let mut send = alice.start(&["--json", "send", big.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    let offered: serde_json::Value = serde_json::from_str(&send.sees("\"offered\"")).unwrap();
    assert_eq!((&offered["hashed"], &offered["content"]), (&true.into(), &hashed["content"]));
}

#[test]
fn what_is_fetched_while_it_is_hashed_is_whole_and_a_stream_waits() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let big = alice.sparse("disk.img", 80 << 20);
    let (mut send, ticket) = alice.send(&["--many", big.to_str().unwrap()]);
    let to = bob.empty("to");
    bob.run_in(&to, &["get", &ticket]).code(0);
    send.complains("* bob has it");
    assert!(same(&big, &to.join("disk.img")));
    // It is there already: that shows when it is hashed.
    let ended = bob.run_in(&to, &["get", &ticket]).code(0);
    assert!(ended.err.contains("there already") || ended.out.contains("there already"), "{ended:?}");
    let carol = Home::new("carol");
    let mut stream = carol.command(&["get", &ticket, "-o", "-"]);
    let output = stream.output().unwrap();
    assert!(output.status.success() && output.stdout.len() == 80 << 20);
    send.signal("INT");
    assert_eq!(send.end().0, Some(0));
}

#[test]
fn a_file_that_changes_while_it_is_hashed_ends_the_send_and_both_are_told() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.file("d/notes", 40_000_000);
    // Hashing it takes longer than what follows.
    let big = alice.sparse("d/disk.img", 64 << 30);
    let folder = big.parent().unwrap().to_str().unwrap();
    let (send, ticket) = alice.send(&[folder, "--limit", "4M"]);
    let to = bob.empty("to");
    let get = ["--json", "get", &ticket, "--only", "notes", "-o", to.to_str().unwrap()];
    let mut get = bob.start(&get);
    get.sees("\"source\"");
    std::fs::File::options().write(true).open(&big).unwrap().set_len(1).unwrap();
    let (code, lines) = get.end();
    assert_eq!(code, Some(1));
    assert!(
        lines.iter().any(|line| line.contains("d/disk.img was changed there while it was hashed")),
        "{lines:?}"
    );
    assert_eq!(send.end().0, Some(1));
    assert!(!to.join("d").exists());
}

/// Another code with the same number.
fn wrong(line: &str) -> String {
    let code = line.rsplit(' ').next().unwrap();
    let number = code.split('-').next().unwrap();
    let guess = format!("{number}-lamp-tiger");
    if guess == code { format!("{number}-tiger-lamp") } else { guess }
}

#[test]
fn a_wrong_guess_kills_the_code_and_both_sides_are_told() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let up = alice.up(&[]);
    let file = alice.file("x", 1000);
    let mut send = alice.start(&["send", file.to_str().unwrap()]);
    let line = send.sees("compeer get ");
    let ended = bob.run_in(&bob.empty("to"), &["get", &wrong(&line), "--from", &up.address]).code(1);
    assert!(ended.err.contains("wrong"), "{}", ended.err);
    send.complains("bob tried a wrong code: this code is dead now");
    assert_eq!(send.end().0, Some(1));
    assert_eq!(files(&bob.temp().join("to")), [""; 0]);
}

#[test]
fn many_come_with_one_code() {
    let alice = Home::new("alice");
    let up = alice.up(&[]);
    let file = alice.file("x", 1000);
    let mut send = alice.start(&["send", "--many", file.to_str().unwrap()]);
    let line = send.sees("compeer get ");
    let code = line.rsplit(' ').next().unwrap().replace('-', " ").to_uppercase();
    let spoken: Vec<_> = code.split(' ').collect();
    for name in ["bob", "carol"] {
        let home = Home::new(name);
        let mut arguments = vec!["get"];
        arguments.extend(&spoken);
        arguments.extend(["--from", up.address.as_str()]);
        home.run_in(&home.empty("to"), &arguments).code(0);
        send.complains(&format!("* {name} has it"));
    }
}

#[test]
fn nobody_near_is_exit_code_3_and_says_what_is_looked_for() {
    let bob = Home::new("bob").near(support::free_port());
    let ended = bob.run_in(&bob.empty("to"), &["get", "7-lamp-tiger", "--timeout", "1s"]).code(3);
    assert!(ended.err.contains("code 7") && ended.err.contains("--from"), "{}", ended.err);
    let ended = bob.run_in(&bob.empty("to"), &["get", "7-lampp-tiger"]).code(2);
    assert!(ended.err.contains("did you mean \"lamp\""), "{}", ended.err);
}
