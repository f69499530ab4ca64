//! Old programs: `up --classic`, `call classic:…` and `get classic:…`, against the real listener and one of 2007.

#[path = "support/peers.rs"]
mod support;

use std::io::{Read, Write};
use std::net::TcpListener;

use support::{Home, Running, nobody};

/// The address of old programs that `up` prints.
fn classic(up: &mut Running) -> String {
    let line = up.sees("old programs");
    format!("classic:{}", line.rsplit(' ').next().unwrap())
}

fn frame(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [kind, &(body.len() as u32).to_be_bytes()[..], body].concat()
}

/// An old program that has one file and answers so many requests; where it is, and what it was asked for.
fn old_program(answers: Vec<Vec<u8>>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("classic:{}", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        let asked = answers.into_iter().map(|answer| {
            let (mut tcp, _) = listener.accept().unwrap();
            let mut header = [0; 8];
            tcp.read_exact(&mut header).unwrap();
            let len = u32::from_be_bytes(header[4..].try_into().unwrap());
            let mut body = vec![0; len as usize];
            tcp.read_exact(&mut body).unwrap();
            tcp.write_all(&answer).unwrap();
            String::from_utf8_lossy(&header[..4]).into_owned() + " " + &String::from_utf8_lossy(&body)
        });
        asked.collect()
    });
    (at, serving)
}

#[test]
fn an_old_program_is_answered_where_that_was_asked_for() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut up = alice.up(&["--classic", "127.0.0.1:0"]);
    let at = classic(&mut up);
    assert_eq!(bob.run(&["call", &at, "ECHO", "hello"]).code(0).out, "hello\n");
    assert_eq!(bob.run(&["call", &at, "echo", "hello"]).code(0).out, "hello\n");
    // What is for proven peers is not there.
    assert_eq!(bob.run(&["call", &at, "compeer/say", "x"]).code(2).out, "");
    let unknown = bob.run(&["call", &at, "NOPE"]).code(1);
    assert!(unknown.err.contains("no reply") && unknown.err.contains("--no-reply"), "{}", unknown.err);
    bob.run(&["call", &at, "NOPE", "--no-reply"]).code(0);
    let status = alice.run(&["status", "--json"]).code(0).events().remove(0);
    assert_eq!(format!("classic:{}", status["classic"][0].as_str().unwrap()), at);

    let quiet = Home::new("quiet");
    let _up = quiet.up(&[]);
    let status = quiet.run(&["status", "--json"]).code(0).events().remove(0);
    assert_eq!(status["classic"], serde_json::json!([]), "off by default");
}

#[test]
fn replies_of_an_old_program_are_printed_as_they_come() {
    let bob = Home::new("bob");
    let two = [frame(b"REPL", b"one"), frame(b"AB\0\0", b"two\x1b")].concat();
    let (at, asked) = old_program(vec![two.clone(), two]);
    assert_eq!(bob.run(&["call", &at, "LIST", "x"]).code(0).out, "one\ntwo\\u{1b}\n");
    let events = bob.run(&["call", &at, "Q", "--json"]).code(0).events();
    assert_eq!((&events[0]["kind"], &events[1]["kind"]), (&"REPL".into(), &"AB".into()));
    assert_eq!(asked.join().unwrap(), ["LIST x", "Q\0\0\0 "]);
    bob.run(&["call", &format!("classic:{}", nobody()), "ECHO"]).code(3);
    for wrong in ["classic:", "classic:host", "classic:host:0"] {
        bob.run(&["call", wrong, "ECHO"]).code(2);
    }
    // A reply that is cut off is none.
    let (at, asked) = old_program(vec![frame(b"REPL", b"whole")[..9].to_vec()]);
    assert!(bob.run(&["call", &at, "ECHO"]).code(1).err.contains("ended within a reply"));
    asked.join().unwrap();
}

#[test]
fn a_file_of_an_old_program_is_fetched_and_nothing_is_overwritten() {
    let bob = Home::new("bob");
    let here = bob.empty("here");
    let song = || frame(b"REPL", b"la la la\n");
    let (at, asked) = old_program(vec![song(), song(), song(), frame(b"ERRO", b"File not found")]);
    let got = bob.run_in(&here, &["get", &at, "song.txt"]).code(0);
    assert!(got.out.starts_with("song.txt: 9 bytes"), "{}", got.out);
    assert!(got.err.contains("unverified"), "{}", got.err);
    assert_eq!(std::fs::read(here.join("song.txt")).unwrap(), b"la la la\n");

    std::fs::write(here.join("song.txt"), "mine").unwrap();
    let again = bob.run_in(&here, &["get", &at, "song.txt"]).code(2);
    assert!(again.err.contains("is there already"), "{}", again.err);
    assert_eq!(std::fs::read(here.join("song.txt")).unwrap(), b"mine");

    assert_eq!(bob.run_in(&here, &["get", &at, "song.txt", "-o", "-"]).code(0).out, "la la la\n");
    // Folders of the name are left out, and a name that leads elsewhere is none.
    bob.run_in(&here, &["get", &at, "../../other folder/other.txt"]).code(0);
    assert_eq!(support::files(&here), ["other.txt", "song.txt"]);
    for wrong in
        [&["get", &at, ".."][..], &["get", &at], &["get", &at, "x", "--list"], &["get", &at, "x", "--rename"]]
    {
        bob.run_in(&here, wrong).code(2);
    }
    let missing = bob.run_in(&here, &["get", &at, "nothere"]).code(1);
    assert!(missing.err.contains("File not found"), "{}", missing.err);
    assert_eq!(support::files(&here), ["other.txt", "song.txt"]);
    let asked = asked.join().unwrap();
    assert_eq!(
        asked,
        ["FGET song.txt", "FGET song.txt", "FGET ../../other folder/other.txt", "FGET nothere"]
    );
}

/// The most memory that a process has had. Unit: bytes.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// All but the last byte of the longest file there can be has come, and is on the disk and not in memory.
#[test]
fn a_file_of_an_old_program_is_written_as_it_comes_and_stays_only_when_it_is_whole() {
    const LEN: usize = 64 * 1024 * 1024;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("classic:{}", listener.local_addr().unwrap());
    let (go, gone) = std::sync::mpsc::channel::<bool>();
    let serving = std::thread::spawn(move || {
        for whole in gone.iter() {
            let (mut tcp, _) = listener.accept().unwrap();
            tcp.read_exact(&mut [0; 8 + "song".len()]).unwrap();
            let file = frame(b"REPL", &vec![7; LEN]);
            tcp.write_all(&file[..file.len() - 1]).unwrap();
            gone.recv().unwrap();
            if whole {
                tcp.write_all(&file[file.len() - 1..]).unwrap();
            }
        }
    });
    let bob = Home::new("bob");
    let here = bob.empty("here");
    for whole in [false, true] {
        go.send(whole).unwrap();
        let get = bob.start(&["get", &at, "song", "-o", here.join("song").to_str().unwrap()]);
        let on_disk = || {
            let files = std::fs::read_dir(&here).unwrap().flatten();
            files.filter_map(|file| Some(file.metadata().ok()?.len())).sum::<u64>()
        };
        support::until("it is on the disk", || on_disk() == LEN as u64 - 1);
        assert!(!here.join("song").exists());
        let peak = peak(get.pid());
        assert!(peak < LEN as u64, "{peak} bytes of memory");
        go.send(whole).unwrap();
        assert_eq!(get.end().0, Some(if whole { 0 } else { 1 }));
        assert_eq!(support::files(&here), if whole { vec!["song"] } else { vec![] });
    }
    assert_eq!(std::fs::metadata(here.join("song")).unwrap().len(), LEN as u64);
    drop(go);
    serving.join().unwrap();
}

/// A program written on the old framework, as `python/classic_peer.py` has it. `None`, and a word about it, where there
/// is no Python.
#[allow(clippy::print_stdout, reason = "why a test does nothing")]
fn filer(room: usize) -> Option<(Running, String)> {
    if let Err(error) = std::process::Command::new("python3").arg("--version").output() {
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        println!("skipped: there is no python3 here");
        return None;
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = std::process::Command::new("python3");
    command.arg(root.join("tests/classic/filer.py")).arg(root.join("../../python")).arg(room.to_string());
    let mut filer = Running::new(command);
    let id = filer.sees("filer ").split(' ').nth(1).unwrap().to_string();
    Some((filer, id))
}

/// What the program says to a command.
fn says(filer: &mut Running, command: &str) -> String {
    filer.types(command);
    let word = command.split(' ').next().unwrap();
    filer.sees(&format!("{word}: ")).split_once(": ").unwrap().1.to_string()
}

/// Alice and bob know no old programs; the bridge speaks with both. An old program finds what only alice has, two hops on,
/// and alice finds and fetches what only the old program has.
#[test]
fn an_old_program_and_a_peer_two_hops_on_share_through_a_bridge() {
    let Some((mut old, id)) = filer(5) else { return };
    let (alice, bob, bridge) = (Home::new("alice"), Home::new("bob"), Home::new("bridge"));
    let alice_up = alice.up(&[]);
    let mut bob_up = bob.up(&["--join", &alice_up.address]);
    bob_up.sees("alice connected");
    let mut bridge_up = bridge.up(&["--classic", "127.0.0.1:0", "--join", &bob_up.address]);
    let at = classic(&mut bridge_up);
    let (host, port) = at.strip_prefix("classic:").unwrap().split_once(':').unwrap();
    bridge_up.sees("bob connected");
    let song = alice.temp().join("adagio.txt");
    std::fs::write(&song, "la la la").unwrap();
    alice.run(&["share", "--public", song.to_str().unwrap()]).code(0);

    let here = format!("{host}:{port}");
    assert_eq!(says(&mut old, &format!("join {host} {port}")), format!("Join: peer added: {id}"));
    assert_eq!(says(&mut old, "find adagio"), format!("adagio.txt at {here}"));
    assert_eq!(says(&mut old, &format!("get adagio.txt {host} {port}")), "REPL la la la");
    // Nothing leaves that nobody shared, whatever is said about it.
    says(&mut old, &format!("resp {host} {port} /etc/hostname {id}"));
    assert_eq!(says(&mut old, &format!("get /etc/hostname {host} {port}")), "ERRO Error reading file");

    // It is listed as what it is, apart from peers that proved who they are.
    let peers = bridge.run(&["peers"]).code(0).out;
    let line = peers.lines().find(|line| line.starts_with(&id)).unwrap_or_else(|| panic!("{peers}"));
    assert!(line.contains("unverified"), "{line}");

    says(&mut old, "share tuned-bolero.txt ta-ta");
    let (to, deadline) = (alice.empty("to"), std::time::Instant::now() + support::PATIENCE);
    // Until the bridge has seen that the old program answers to its name.
    let found = loop {
        let found = alice.run(&["find", "bolero"]).code(0).out;
        if !found.is_empty() {
            break found;
        }
        assert!(std::time::Instant::now() < deadline, "the old program is not found");
    };
    assert!(found.contains(&format!("tuned-bolero.txt, at the old program {id}, unverified")), "{found}");
    let got = alice.run_in(&to, &["get", "1", "--yes"]).code(0);
    assert!(got.out.starts_with("tuned-bolero.txt: 5 bytes"), "{}", got.out);
    assert_eq!(std::fs::read(to.join("tuned-bolero.txt")).unwrap(), b"ta-ta");
    // The bridge itself as well, and from the old program by name.
    let (to, own) = (bridge.empty("to"), bridge.run(&["find", "bolero"]).code(0).out);
    assert!(own.contains("tuned-bolero.txt"), "{own}");
    bridge.run_in(&to, &["get", "1", "--yes"]).code(0);
    assert_eq!(support::files(&to), ["tuned-bolero.txt"]);
    let to = bob.empty("to");
    bob.run_in(&to, &["get", &format!("classic:{id}"), "tuned-bolero.txt"]).code(0);

    // Leaving is said, on either side.
    assert_eq!(says(&mut old, "peers"), here);
    assert_eq!(says(&mut old, "quit"), format!("['Quit: peer removed: {id}']"));
    assert!(!bridge.run(&["peers"]).code(0).out.contains(&id));
}

#[test]
fn up_joins_old_programs_and_says_so_when_it_leaves() {
    let Some((mut first, first_id)) = filer(1) else { return };
    let Some((mut second, second_id)) = filer(5) else { return };
    // The first one is full, and knows the second.
    let (host, port) = second_id.split_once(':').unwrap();
    says(&mut first, &format!("join {host} {port}"));
    let home = Home::new("home");
    let contact = format!("classic:{first_id}");
    let refused = home.run(&["up", "--temp", "--join", &contact]).code(2);
    assert!(refused.err.contains("--classic"), "{}", refused.err);
    let mut up = home.up(&["--classic", "127.0.0.1:0", "--join", &contact, "--hops", "2"]);
    let at = classic(&mut up);
    up.sees("joined the old program");
    let id = at.strip_prefix("classic:").unwrap();
    assert_eq!(says(&mut second, "peers"), format!("{first_id}, {id}"));
    home.run(&["down"]).code(0);
    up.succeeds();
    assert_eq!(says(&mut second, "peers"), first_id);
}

#[test]
fn old_programs_are_joined_again_when_nobody_of_them_is_left() {
    let Some((mut old, id)) = filer(5) else { return };
    let home = Home::new("home");
    let mut up = home.up(&["--classic", "127.0.0.1:0", "--join", &format!("classic:{id}")]);
    up.sees("joined the old program");
    assert!(says(&mut old, "quit").contains("Quit: peer removed"));
    up.sees("nobody is left");
    up.sees("joined the old program");
    assert!(home.run(&["peers"]).code(0).out.contains(&id));
}

/// Whoever joins us fills the roster: one line says that there is no room, however often it is tried, until something changes.
#[test]
fn that_the_roster_is_full_is_told_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let id = listener.local_addr().unwrap().to_string();
    let (name, (named, tries)) = (id.clone(), std::sync::mpsc::channel());
    std::thread::spawn(move || {
        // The first one comes when nobody has joined yet.
        for (n, mut tcp) in listener.incoming().flatten().enumerate() {
            let mut header = [0; 8];
            tcp.read_exact(&mut header).unwrap();
            let len = u32::from_be_bytes(header[4..].try_into().unwrap());
            tcp.read_exact(&mut vec![0; len as usize]).unwrap();
            if n > 0 {
                tcp.write_all(&frame(b"REPL", name.as_bytes())).unwrap();
            }
            if &header[..4] == b"NAME" {
                named.send(()).unwrap();
            }
        }
    });
    let home = Home::new("home");
    let join = format!("classic:{id}");
    let mut up = home.up(&["--classic", "127.0.0.1:0", "--max-peers", "1", "--join", &join]);
    let at = classic(&mut up);
    up.sees("does not say its name");
    let joined = raw(&at, &frame(b"JOIN", b"somebody 127.0.0.1 4444"));
    assert_eq!(joined, frame(b"REPL", b"Join: peer added: somebody"));
    up.sees("there is no room for it here");
    // One that failed, one that was told of, and one more; it is over when the next one is begun.
    (0..3).for_each(|_| tries.recv_timeout(support::PATIENCE).unwrap());
    let left = raw(&at, &frame(b"QUIT", b"somebody"));
    assert_eq!(left, frame(b"REPL", b"Quit: peer removed: somebody"));
    up.sees("joined the old program");
    let told = up.seen().iter().filter(|line| line.contains("there is no room")).count();
    assert_eq!((told, up.seen().iter().filter(|line| line.contains("joined the old")).count()), (1, 1));
}

/// A request as an old program makes it, and all that comes back.
fn raw(at: &str, request: &[u8]) -> Vec<u8> {
    let mut tcp = std::net::TcpStream::connect(at.strip_prefix("classic:").unwrap()).unwrap();
    tcp.set_read_timeout(Some(support::PATIENCE)).unwrap();
    tcp.write_all(request).unwrap();
    let mut got = Vec::new();
    tcp.read_to_end(&mut got).unwrap();
    got
}

#[test]
fn a_command_answers_old_programs_where_it_says_so() {
    let alice = Home::new("alice");
    let mut up = alice.up(&["--classic", "127.0.0.1:0"]);
    let at = classic(&mut up);
    let on = |arguments: &[&str]| {
        let mut on = alice.start(&[&["on"][..], arguments].concat());
        on.sees("is answered here");
        on
    };
    let command = r#"printf '%s|' "$COMPEER_FROM_ID" "$COMPEER_FROM_ADDR" "$COMPEER_KIND"; cat"#;
    let mut shout = on(&["SHOU", "--exec", command, "--classic"]);
    // Types are in upper case on arrival.
    let got = String::from_utf8(raw(&at, &frame(b"shou", b"hello"))).unwrap();
    let (head, said) = got.split_at(8);
    assert!(head.starts_with("REPL") && said.starts_with("|127.0.0.1:"), "{got}");
    assert!(said.ends_with("|SHOU|hello"), "{got}");
    // One that does not say so is out of reach, also when it takes the place of one that did.
    let _quiet = on(&["QUIE", "--reply", "x", "--anyone"]);
    assert_eq!(raw(&at, &frame(b"QUIE", b"")), b"");
    let mut second = on(&["SHOU", "--reply", "for friends", "--replace"]);
    shout.complains("has taken SHOU over");
    assert_eq!(raw(&at, &frame(b"SHOU", b"")), b"");
    let mut third = on(&["SHOU", "--exec", "cat; exit 3", "--classic", "--replace"]);
    second.complains("has taken SHOU over");
    assert_eq!(raw(&at, &frame(b"SHOU", b"hello")), b"", "a failure has no reply");
    third.complains("the old program at 127.0.0.1:");
    let list = raw(&at, &frame(b"LIST", b""));
    assert_eq!(list, frame(b"REPL", b"0"), "the file-sharing program has its own");
    for (kind, why) in [("LIST", "are taken"), ("shou", "upper case"), ("SHOUT", "upper case")] {
        let refused = alice.run(&["on", kind, "--reply", "x", "--classic"]).code(2);
        assert!(refused.err.contains(why), "{}", refused.err);
    }
    let bob = Home::new("bob");
    let _up = bob.up(&[]);
    let refused = bob.run(&["on", "SHOU", "--reply", "x", "--classic"]).code(2);
    assert!(refused.err.contains("up --classic"), "{}", refused.err);
}

#[test]
fn what_joining_needs_is_told_before_anything_is_begun() {
    let home = Home::new("alice");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().to_string();
    let ended = home.run(&["up", "--listen", "127.0.0.1:0", "--classic", &port]).code(1);
    assert!(ended.err.contains("with --classic") && !ended.err.contains("--listen"), "{}", ended.err);
    let ended = home.run(&["up", "--join", "classic:127.0.0.1:9"]).code(2);
    assert!(ended.out.is_empty() && ended.err.contains("--classic 4444"), "{ended:?}");
    let ended = home.run(&["up", "--hops", "3"]).code(2);
    assert!(ended.err.contains("--join classic:"), "{}", ended.err);
}

#[test]
fn the_program_of_the_page_runs() {
    // One is here if the other tests' is.
    let Some(_) = filer(1) else { return };
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/classic.md")).unwrap();
    let program = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let alice = Home::new("alice");
    let mut up = alice.up(&["--classic", "127.0.0.1:0"]);
    let at = classic(&mut up);
    let file = alice.temp().join("square.py");
    std::fs::write(&file, program).unwrap();
    let nobody = nobody();
    let port = nobody.rsplit(':').next().unwrap();
    let mut command = std::process::Command::new("python3");
    command.env("PYTHONPATH", root.join("python")).arg(&file).arg(port).args(at.split(':').skip(1));
    let mut square = Running::new(command);
    square.sees("REPL hello");
    let own = format!("classic:127.0.0.1:{port}");
    support::until("it answers", || alice.run(&["call", &own, "SQUA", "12"]).out == "144\n");
}
