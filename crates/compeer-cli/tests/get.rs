//! `get`: where files go, what is not replaced, what a script sees, and how it fails.

#[path = "support/peers.rs"]
mod support;

use std::fs;
use support::{Home, files, same};

#[test]
fn a_folder_lands_here_and_the_result_says_so() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let one = alice.file("album/one.jpg", 100_000);
    alice.file("album/deep/two words 안녕.jpg", 5);
    alice.file("album/empty", 0);
    let (_send, ticket) = alice.send(&["--many", alice.temp().join("album").to_str().unwrap()]);
    let to = bob.empty("to");
    let ended = bob.run_in(&to, &["get", &ticket]).code(0);
    assert!(ended.out.starts_with("album: 100 kB, ") && ended.out.contains("1 source"), "{}", ended.out);
    assert!(ended.err.contains("album (3 files, 100 kB), from alice"), "{}", ended.err);
    assert!(!ended.err.contains('\r'), "no progress where there is no terminal");
    assert_eq!(files(&to), ["album"]);
    assert_eq!(files(&to.join("album")), ["deep", "empty", "one.jpg"]);
    assert!(same(&one, &to.join("album/one.jpg")));
}

#[test]
fn the_output_may_be_a_directory_a_file_or_standard_output() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let file = alice.file("x.bin", 3_000_000);
    let (_send, ticket) = alice.send(&["--many", file.to_str().unwrap()]);
    let to = bob.empty("to");
    bob.run_in(&to, &["get", &ticket, "-o", "new.bin"]).code(0);
    assert!(same(&file, &to.join("new.bin")));
    bob.run_in(&to, &["get", &ticket, "-o", "dir/"]).code(0);
    assert!(same(&file, &to.join("dir/x.bin")));
    bob.run_in(&to, &["get", &ticket, "-o", "dir/../dir"]).code(0);
    let output = bob.command(&["get", &ticket, "-o", "-"]).current_dir(&to).output().unwrap();
    assert!(output.status.success());
    assert!(output.stdout == fs::read(&file).unwrap());
    assert_eq!(files(&to), ["dir", "new.bin"]);
}

#[test]
fn a_list_fetches_nothing_and_a_pattern_fetches_some() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.file("album/one.jpg", 1000);
    alice.file("album/two.txt", 1000);
    let (_send, ticket) = alice.send(&["--many", alice.temp().join("album").to_str().unwrap()]);
    let to = bob.empty("to");
    let ended = bob.run_in(&to, &["get", &ticket, "--list"]).code(0);
    assert_eq!(ended.out, "  1.00 kB  album/one.jpg\n  1.00 kB  album/two.txt\n");
    assert_eq!(files(&to), [""; 0]);
    bob.run_in(&to, &["get", &ticket, "--only", "*.jpg"]).code(0);
    assert_eq!(files(&to.join("album")), ["one.jpg"]);
    bob.run_in(&to, &["get", &ticket, "--only", "*.mp3"]).code(2);
    bob.run_in(&to, &["get", &ticket, "--only", "["]).code(2);
}

#[test]
fn what_is_there_is_skipped_if_the_same_and_never_replaced_unasked() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let file = alice.file("x", 40_000);
    let (_send, ticket) = alice.send(&["--many", file.to_str().unwrap()]);
    let to = bob.empty("to");
    bob.run_in(&to, &["get", &ticket]).code(0);
    let ended = bob.run_in(&to, &["get", &ticket]).code(0);
    assert!(ended.out.contains("there already"), "{}", ended.out);
    fs::write(to.join("x"), "mine").unwrap();
    let ended = bob.run_in(&to, &["get", &ticket]).code(1);
    assert!(
        ended.err.contains("x is there already and differs") && ended.err.contains("--rename"),
        "{}",
        ended.err
    );
    assert_eq!(fs::read(to.join("x")).unwrap(), b"mine");
    let ended = bob.run_in(&to, &["get", &ticket, "--rename"]).code(0);
    assert!(ended.out.starts_with("x (1)"), "{}", ended.out);
    assert_eq!(fs::read(to.join("x")).unwrap(), b"mine");
    assert_eq!(files(&to).len(), 2);
    bob.run_in(&to, &["get", &ticket, "--overwrite"]).code(0);
    assert!(same(&file, &to.join("x")));
}

#[test]
fn the_secret_need_not_be_on_the_command_line() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let file = alice.file("x", 10);
    let (_send, ticket) = alice.send(&["--many", file.to_str().unwrap()]);
    let line = format!("compeer get {ticket}\n");
    bob.pipe(&["get", "-", "-o", bob.empty("pipe").to_str().unwrap()], &line).code(0);
    let kept = bob.temp().join("ticket");
    fs::write(&kept, &line).unwrap();
    bob.run(&["get", &format!("@{}", kept.display()), "-o", bob.empty("file").to_str().unwrap()]).code(0);
    let mut command = bob.command(&["get"]);
    command.env("COMPEER_CODE", &ticket).current_dir(bob.empty("variable"));
    assert!(command.output().unwrap().status.success());
    for place in ["pipe", "file", "variable"] {
        assert!(same(&file, &bob.temp().join(place).join("x")), "{place}");
    }
    let ended = bob.run(&["get"]).code(2);
    assert!(ended.err.contains("@FILE"), "{}", ended.err);
}

#[test]
fn what_is_no_word_for_files_is_a_mistake() {
    let bob = Home::new("bob");
    let up = bob.up(&[]);
    let ticket = bob.run(&["ticket", "--advertise", &up.address]).code(0).out;
    let ended = bob.run(&["get", ticket.trim()]).code(2);
    assert!(ended.err.contains("share"), "{}", ended.err);
    for wrong in [
        "nonsense!",
        "7",
        "7-amberr-tiger",
        "shareaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ] {
        let ended = bob.run(&["get", wrong]).code(2);
        assert!(ended.err.contains("error"), "{}", ended.err);
    }
    bob.run(&["get", "--json", "-o", "-", ticket.trim()]).code(2);
}

#[test]
fn the_sender_may_be_elsewhere_than_the_ticket_says() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let up = alice.up(&[]);
    let file = alice.file("x", 10);
    let mut send =
        alice.start(&["send", "--many", file.to_str().unwrap(), "--advertise", &support::nobody()]);
    let line = send.sees("compeer get share");
    let ticket = line.rsplit(' ').next().unwrap();
    let to = bob.empty("to");
    bob.run_in(&to, &["get", ticket, "--timeout", "5s"]).code(3);
    bob.run_in(&to, &["get", ticket, "--from", &up.address]).code(0);
    assert!(same(&file, &to.join("x")));
}

#[test]
fn json_tells_how_far_it_is() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let file = alice.file("x", 2_000_000);
    let (_send, ticket) = alice.send(&[file.to_str().unwrap(), "--limit", "1M"]);
    let to = bob.empty("to");
    let events = bob.run_in(&to, &["--json", "get", &ticket]).code(0).events();
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
    assert_eq!(of("found")[0]["bytes"], 2_000_000);
    let steps = of("progress");
    assert!(steps.len() > 2 && steps.iter().all(|step| step["total_bytes"] == 2_000_000), "{steps:?}");
    assert_eq!(steps.last().unwrap()["done_bytes"], 2_000_000);
    assert_eq!(of("got")[0]["paths"][0], to.join("x").to_str().unwrap());
}

#[test]
fn two_commands_of_one_home_fetch_at_once_and_the_first_waits_for_the_second() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let slow = alice.file("slow", 3_000_000);
    let (_send, ticket) = alice.send(&["--many", slow.to_str().unwrap(), "--limit", "1M"]);
    let start = |name: &str| {
        let mut command = bob.command(&["get", &ticket, "-o", bob.empty(name).to_str().unwrap()]);
        support::Running::new({
            command.env("COMPEER_VERBOSE", "0");
            command
        })
    };
    let mut first = start("one");
    first.complains("slow (3.00 MB), from alice");
    let mut second = start("two");
    second.complains("through another command's peer");
    first.succeeds();
    second.succeeds();
    for name in ["one", "two"] {
        assert!(same(&slow, &bob.temp().join(name).join("slow")));
    }
}

#[test]
fn who_is_killed_is_waited_for_and_what_has_come_counts_when_it_is_sent_again() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let file = alice.file("big", 8_000_000);
    let file = file.to_str().unwrap();
    let (mut send, ticket) = alice.send(&[file, "--limit", "2M"]);
    let line = send.complains("--from ");
    let at = line.rsplit(' ').next().unwrap();
    let to = bob.empty("to");
    let mut get = bob.start(&["--json", "get", &ticket, "-o", to.to_str().unwrap()]);
    let done = |line: &str| {
        let step: serde_json::Value = serde_json::from_str(line).unwrap();
        step["done_bytes"].as_u64().unwrap()
    };
    while done(&get.sees("\"progress\"")) == 0 {}
    send.kill();
    let waiting: serde_json::Value = serde_json::from_str(&get.sees("\"waiting\"")).unwrap();
    assert_eq!(waiting["names"], serde_json::json!(["alice"]));
    assert!((1..=60).contains(&waiting["wait_s"].as_u64().unwrap()), "{waiting}");
    // The same peer, and another offer.
    let mut again = alice.start(&["send", file, "--listen", at]);
    let line = again.sees("compeer get share");
    let error: serde_json::Value = serde_json::from_str(&get.sees("\"error\"")).unwrap();
    assert!(error["message"].as_str().unwrap().contains("does not offer this any more"), "{error}");
    assert_eq!((get.end().0, &error["for_good"]), (Some(1), &true.into()));
    let ended = bob.run_in(&to, &["get", line.rsplit(' ').next().unwrap()]).code(0);
    assert!(ended.out.contains("of 8.00 MB were here already"), "{}", ended.out);
    again.succeeds();
}

#[test]
fn a_file_that_was_changed_is_told_once_and_no_resuming_is_proposed() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let file = alice.file("x", 9_000_000);
    let (mut send, ticket) = alice.send(&["--many", file.to_str().unwrap()]);
    fs::write(&file, "something else").unwrap();
    let ended = bob.run_in(&bob.empty("to"), &["get", &ticket]).code(1);
    assert_eq!(ended.err.matches("was changed at alice").count(), 1, "{}", ended.err);
    assert!(ended.err.contains("ask for it to be sent again"), "{}", ended.err);
    assert!(!ended.err.contains("--resume"), "{}", ended.err);
    send.complains("was changed and is no longer what was offered");
    send.complains("* it was hashed anew");
}
