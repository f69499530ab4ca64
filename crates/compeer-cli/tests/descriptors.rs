//! A peer that runs out of file descriptors: it says so, keeps what it has, still serves its own commands and
//! database, and lets others in again.

#[path = "support/peers.rs"]
mod support;

use std::net::TcpStream;
use std::process::Command;
use support::{Home, Running};

/// A command with so few descriptors.
fn limited(command: &Command, descriptors: u32) -> Command {
    let mut shell = Command::new("sh");
    let limit = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
    shell.arg("-c").arg(limit).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

#[test]
fn goes_on_without_descriptors_and_says_so() {
    let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
    // Carol has a key.
    carol.run(&["status"]).code(0);
    let up = alice.command(&["up", "--listen", "127.0.0.1:0"]);
    let mut up = Running::new(limited(&up, 64));
    let line = up.sees("compeer say ");
    let address = line.split("compeer say ").nth(1).unwrap().split(' ').next().unwrap().to_string();
    // Bob is connected and stays so, although all that call come from where he is.
    let bob_up = bob.up(&["--join", &address]);
    up.sees("bob");
    // Callers who never say a word, again and again, for as long as the test lasts.
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let flood = std::thread::spawn({
        let address = address.clone();
        move || {
            let mut silent = Vec::new();
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                silent.extend(TcpStream::connect(&address));
                // More than Alice has descriptors for, and fewer than we have.
                if silent.len() > 200 {
                    silent.remove(0);
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            }
        }
    });
    up.sees("nobody new can connect for a moment");
    // Her own commands reach her and her database, and Bob his friend.
    alice.run(&["status"]).code(0);
    // By her key, over the connection there is: at her address he would be one more caller.
    bob.run(&["say", &alice.id(), "still here"]).code(0);
    up.sees("bob: still here");
    alice.run(&["block", &carol.id()]).code(0);
    alice.run(&["block", &carol.id(), "--off"]).code(0);
    drop(stop);
    flood.join().unwrap();
    // And others get in again.
    carol.run(&["say", &address, "hello"]).code(0);
    up.sees("carol: hello");
    bob_up.signal("TERM");
    let (code, lines) = bob_up.end();
    assert_eq!((code, lines.iter().find(|line| line.contains("alice left"))), (Some(0), None), "{lines:#?}");
    up.signal("TERM");
    assert_eq!(up.end().0, Some(0));
}
