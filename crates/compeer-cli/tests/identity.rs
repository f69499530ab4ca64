//! `identity`: a key goes to another home and is the same peer there; nothing is lost on the way.

#[path = "support/peers.rs"]
mod support;

use std::os::unix::fs::PermissionsExt;
use support::{Ended, Home, files};

const PASSPHRASE: &str = "four words of mine";

/// Runs a command with the passphrase in the environment.
fn with(passphrase: &str, home: &Home, arguments: &[&str]) -> Ended {
    let mut command = home.command(arguments);
    Ended::from(command.env("COMPEER_PASSPHRASE", passphrase).output().unwrap())
}

#[test]
fn a_peer_moves_to_another_machine() {
    let (alice, attic, bob) = (Home::new("alice"), Home::new("attic"), Home::new("bob"));
    let ended = with(PASSPHRASE, &alice, &["identity", "export"]).code(1);
    assert!(ended.err.contains("compeer up"), "{}", ended.err);
    let up = alice.up(&[]);
    bob.run(&["say", &up.address, "hello"]).code(0);
    let (id, address) = (alice.id(), up.address.clone());
    let file = alice.temp().join("me.key");
    let exported = with(PASSPHRASE, &alice, &["identity", "export", file.to_str().unwrap()]).code(0);
    assert!(exported.err.contains("one key is one device"), "{}", exported.err);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(&format!("compeer-identity-1 {id} ")) && text.is_ascii(), "{text}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let ended = with(PASSPHRASE, &alice, &["identity", "export", file.to_str().unwrap()]).code(1);
    assert!(ended.err.contains("me.key is there already"), "{}", ended.err);
    // What is in the file is not printed as well.
    let again = alice.temp().join("again.key");
    let exported =
        with(PASSPHRASE, &alice, &["identity", "export", again.to_str().unwrap(), "--json"]).code(0);
    assert!(exported.events()[0]["text"].is_null() && !exported.out.contains("compeer-identity-1"));
    drop(up);

    let imported = with(PASSPHRASE, &attic, &["identity", "import", file.to_str().unwrap()]).code(0);
    assert!(imported.out.contains(&id), "{}", imported.out);
    assert_eq!(attic.id(), id);
    let mut up = attic.up_at(&address, &[]);
    // Whoever learnt the key of old finds it unchanged.
    bob.run(&["say", &address, "it is you"]).code(0);
    up.sees("it is you");
}

#[test]
fn no_other_key_is_lost() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    for home in [&alice, &bob] {
        home.run(&["status"]).code(0);
    }
    let (of_alice, of_bob) = (alice.id(), bob.id());
    let exported = with(PASSPHRASE, &alice, &["identity", "export", "--json"]).code(0);
    let text = exported.events()[0]["text"].as_str().unwrap().to_string();
    let file = bob.temp().join("key");
    std::fs::write(&file, &text).unwrap();
    let import = ["identity", "import", file.to_str().unwrap()];
    let refused = with(PASSPHRASE, &bob, &import).code(1);
    assert!(refused.err.contains("--replace") && refused.err.contains(&of_bob), "{}", refused.err);
    let replace = [&import[..], &["--replace"]].concat();
    let wrong = with("some other words", &bob, &replace).code(4);
    assert!(wrong.err.contains("the passphrase is wrong"), "{}", wrong.err);
    assert_eq!(bob.id(), of_bob);
    let up = bob.up(&[]);
    let running = with(PASSPHRASE, &bob, &replace).code(1);
    assert!(running.err.contains("compeer down"), "{}", running.err);
    up.signal("TERM");
    up.end();
    let event = &with(PASSPHRASE, &bob, &[&replace[..], &["--json"]].concat()).code(0).events()[0];
    assert_eq!((&event["peer"], &event["replaced"]), (&of_alice.as_str().into(), &of_bob.as_str().into()));
    assert_eq!(bob.id(), of_alice);
    let kept = format!("key.{}", &of_bob[..8]);
    assert!(files(&bob.path()).contains(&kept), "{:?}", files(&bob.path()));
    assert!(std::fs::read_to_string(bob.path().join(kept)).unwrap().contains(&of_bob));
    // The same once more changes nothing.
    with(PASSPHRASE, &bob, &import).code(0);
}

#[test]
fn the_passphrase_is_not_taken_from_the_command_line() {
    let alice = Home::new("alice");
    alice.run(&["status"]).code(0);
    let ended = alice.run(&["identity", "export", "--passphrase", PASSPHRASE]).code(2);
    assert!(ended.err.contains("every user") && ended.err.contains("@FILE"), "{}", ended.err);
    let ended = alice.run(&["identity", "export"]).code(2);
    assert!(ended.err.contains("COMPEER_PASSPHRASE"), "{}", ended.err);
    with("too short", &alice, &["identity", "export"]).code(2);
    let file = alice.temp().join("secret");
    std::fs::write(&file, format!("{PASSPHRASE}\n")).unwrap();
    let at_file = format!("@{}", file.display());
    let text = alice.run(&["identity", "export", "--passphrase", &at_file]).code(0).out;
    let other = Home::new("other");
    let ended = other.pipe(&["identity", "import", "-", "--passphrase", &at_file], &text).code(0);
    assert!(ended.out.contains(&alice.id()), "{}", ended.out);
    for text in ["", "compeer-identity-9 x y", &text[..text.len() - 9], "# nothing"] {
        other.pipe(&["identity", "import", "-", "--replace", "--passphrase", &at_file], text).code(2);
    }
    other.pipe(&["identity", "import", "-", "--passphrase", &at_file], &"x".repeat(20_000)).code(2);
    assert_eq!(other.id(), alice.id());
}
