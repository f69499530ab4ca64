//! The file-sharing program of 2007: every recorded exchange, joining, floods, and the bridge between the two networks.

#[path = "support/old.rs"]
mod old;
#[path = "support/people.rs"]
mod people;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use compeer::{Identity, classic};
use compeer_share::classic::{Classic, JoinError};
use compeer_share::{Access, Offer, limits};
use old::{ask, frame, heard, listener, old, publish, read, reply, until};
use people::{Person, SOON, noise, within};
use serde_json::Value;

fn bytes(hex: &Value) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(hex.as_str().unwrap().as_bytes()).unwrap()
}

/// Plays one recorded exchange and compares.
fn play(at: SocketAddr, vector: &Value) {
    let mut tcp = TcpStream::connect(at).unwrap();
    tcp.set_read_timeout(Some(SOON)).unwrap();
    for segment in vector["send"].as_array().unwrap() {
        tcp.write_all(&bytes(segment)).unwrap();
    }
    if vector["half_close"].as_bool().unwrap() {
        tcp.shutdown(Shutdown::Write).unwrap();
    }
    let mut got = Vec::new();
    tcp.read_to_end(&mut got).unwrap();
    assert_eq!(got, bytes(&vector["recv"]), "{vector}");
    assert_eq!(vector["end"], "eof");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_exchange_of_the_program_is_the_same() {
    let (filer, _classic, at) = old(2, Some("127.0.0.1:19201")).await;
    publish(&filer, "song.txt", b"la la la\n").await;
    publish(&filer, "missing.txt", b"gone").await;
    std::fs::remove_file(filer.files.path().join("missing.txt")).unwrap();
    let all = include_str!("../../compeer/tests/classic/vectors.jsonl").lines();
    let all: Vec<Value> = all.map(|line| serde_json::from_str(line).unwrap()).collect();
    let played = tokio::task::spawn_blocking(move || {
        let of_program = all.iter().filter(|vector| vector["role"] == "filer");
        of_program.map(|vector| play(at, vector)).count()
    });
    assert!(played.await.unwrap() > 20, "the exchanges are not where they were");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_shared_with_everybody_does_not_leave() {
    let (filer, _classic, at) = old(0, None).await;
    let secret = filer.write("secret.txt", b"for friends");
    filer.offer(&secret).await;
    publish(&filer, "album/a song.txt", b"la").await;
    // A name that a stranger gave is no path, whoever shares it and however often it is said.
    let secret = secret.display().to_string();
    for name in ["/etc/hostname", "../../../../etc/hostname", "secret.txt", secret.as_str()] {
        assert_eq!(ask(&filer, at, "FGET", name).await, reply("ERRO", "File not found"), "{name}");
        ask(&filer, at, "RESP", &format!("{name} x:1")).await;
        assert_eq!(ask(&filer, at, "FGET", name).await, reply("ERRO", "Error reading file"), "{name}");
    }
    // By its last name, with or without the space in it.
    assert_eq!(ask(&filer, at, "FGET", "a_song.txt").await, reply("REPL", "la"));
    assert_eq!(ask(&filer, at, "FGET", "a song.txt").await, reply("REPL", "la"));
    assert_eq!(ask(&filer, at, "FGET", "album/a song.txt").await, reply("ERRO", "File not found"));
    // What was changed since is not what was shared.
    filer.write("album/a song.txt", b"something else");
    assert_eq!(ask(&filer, at, "FGET", "a_song.txt").await, reply("ERRO", "Error reading file"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_is_answered_once_and_a_flood_of_them_hardly() {
    let (filer, _classic, at) = old(0, None).await;
    publish(&filer, "song.txt", b"la").await;
    let (back, calls) = listener();
    for _ in 0..5 {
        assert_eq!(
            ask(&filer, at, "QUER", &format!("{back} song 0")).await,
            reply("REPL", "Query ACK: song")
        );
    }
    until(async || calls.load(Ordering::SeqCst) > 0).await;
    // Others with each key; what one address may ask for is over soon, and what one is told sooner.
    let mut acknowledged = 5;
    for n in 0..2 * limits::CLASSIC_BURST as usize {
        let key = &"song.txt"[n % 3..4 + n % 5];
        let back = SocketAddr::from(([127, 0, 0, 1], back.port()));
        acknowledged += ask(&filer, at, "QUER", &format!("{back} {key} {}", n % 2)).await.len();
    }
    let burst = limits::CLASSIC_BURST as usize;
    assert!(acknowledged >= burst && acknowledged < 2 * burst, "{acknowledged}");
    assert!(calls.load(Ordering::SeqCst) <= 15, "each search is worked on once");
    // An address that nobody there could mean is not called.
    let (filer, _classic, at) = old(0, None).await;
    publish(&filer, "song.txt", b"la").await;
    let (near, calls) = listener();
    ask(&filer, at, "QUER", &format!("localhost:{} song 0", near.port())).await;
    ask(&filer, at, "QUER", &format!("{near} song 0")).await;
    until(async || calls.load(Ordering::SeqCst) > 0).await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_goes_on_where_one_is_full_or_has_seen_us_before() {
    let (full, full_classic, full_at) = old(1, None).await;
    let (roomy, roomy_classic, roomy_at) = old(0, None).await;
    let (other, other_classic, other_at) = old(0, None).await;
    // The first contact knows one, and has no room for more.
    let known = |at: SocketAddr| format!("{at} {} {}", at.ip(), at.port());
    assert_eq!(ask(&full, full_at, "JOIN", &known(roomy_at)).await[0].0, "REPL");
    ask(&roomy, roomy_at, "JOIN", &known(other_at)).await;

    let (_new, new, new_at) = old(0, None).await;
    let error = within(new.join(full_at, 1)).await.unwrap_err();
    assert!(matches!(error, JoinError::NoRoom), "{error}");
    assert_eq!(within(new.join(full_at, 3)).await.unwrap(), 2);
    let ids = |classic: &Classic| classic.members().into_iter().map(|member| member.id).collect::<Vec<_>>();
    assert_eq!(ids(&new), [roomy_at.to_string(), other_at.to_string()]);
    assert!(
        ids(&roomy_classic).contains(&new_at.to_string())
            && ids(&other_classic).contains(&new_at.to_string())
    );
    assert_eq!(ids(&full_classic), [roomy_at.to_string()]);

    // After a restart they know us, and are known again.
    let (_again, again, _) = old(0, Some(&new_at.to_string())).await;
    assert_eq!(within(again.join(full_at, 3)).await.unwrap(), 2);
    // QUIT is said on leaving.
    within(again.leave()).await;
    assert!(!ids(&roomy_classic).contains(&new_at.to_string()));
    drop((full, roomy, other));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roster_has_its_limit_and_no_keys_for_names() {
    let (filer, classic, at) = old(3, None).await;
    for n in 1..=3 {
        ask(&filer, at, "JOIN", &format!("p{n} 127.0.0.1 {n}")).await;
    }
    assert_eq!(ask(&filer, at, "JOIN", "p4 127.0.0.1 4").await, reply("ERRO", "Join: too many peers"));
    assert_eq!(classic.members().len(), 3);
    ask(&filer, at, "QUIT", "p1").await;
    let key = Identity::generate().peer_id();
    assert!(ask(&filer, at, "JOIN", &format!("{key} 127.0.0.1 5")).await.is_empty());
    assert_eq!(classic.members().len(), 2);
    assert!(!filer.peer.addr().addrs.iter().any(|addr| classic.id() == addr.to_string()));
}

/// Old programs on both sides of two bridges; in between, native peers only.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_network_has_the_other_finds_and_fetches() {
    let (bridge, classic, at) = old(0, None).await;
    let (near, far) = (Person::new().await, Person::new().await);
    // An old program, as far as anybody can see.
    let (program, _program_classic, program_at) = old(0, None).await;
    let song = noise(300_000, 1);
    publish(&far, "far-song.txt", &song).await;
    publish(&program, "program-tune.txt", b"tune").await;
    let secret = far.write("far-secret-song.txt", b"no");
    far.offer(&secret).await;
    near.peer.connect(bridge.peer.addr()).await.unwrap();
    near.peer.connect(far.peer.addr()).await.unwrap();
    assert_eq!(within(classic.join(program_at, 1)).await.unwrap(), 1);

    // The old one hears of a file that only a native peer two hops on has, and fetches it from the bridge.
    let (reader, told) = heard();
    ask(&program, at, "QUER", &format!("{reader} far-song 2")).await;
    let (name, owner) = tokio::task::spawn_blocking(move || told.recv_timeout(SOON).unwrap()).await.unwrap();
    assert_eq!((name.as_str(), owner), ("far-song.txt", at.to_string()));
    for _ in 0..2 {
        let fetched = program.peer.classic_request(at, "FGET", name.clone()).one().await.unwrap();
        assert!(fetched.kind == "REPL" && fetched.body == song);
    }
    assert_eq!(ask(&program, at, "FGET", "far-secret-song.txt").await, reply("ERRO", "File not found"));

    // A native peer two hops on finds what the old one has, and fetches it by way of the bridge.
    let mut search = far.shares.search("tune", 2, Duration::from_secs(10)).unwrap();
    let found = within(search.next()).await.expect("a result");
    assert_eq!(
        (found.name.as_str(), found.classic.clone()),
        ("program-tune.txt", Some(program_at.to_string()))
    );
    let ticket = within(far.shares.bring(&found.ticket)).await.unwrap();
    far.get(&ticket).await.unwrap();
    assert_eq!(far.read("program-tune.txt"), b"tune");
    assert!(bridge.shares.shares().is_empty(), "what was brought is not listed as shared");
    // Whoever searches at once again hears the same, and a promise of nobody is none.
    let mut search = near.shares.search("tune program", 2, Duration::from_secs(10)).unwrap();
    assert_eq!(within(search.next()).await.map(|found| found.content), Some(found.content));
    let mut nobody = found.ticket.clone();
    nobody.root = [7; 32];
    assert!(within(far.shares.bring(&nobody)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_too_large_for_an_old_program_is_not_begun() {
    let (filer, _classic, at) = old(0, None).await;
    let path = filer.write("huge.bin", b"");
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(u64::from(limits::CLASSIC_FILE) + 1).unwrap();
    filer.offer_as(Offer { paths: vec![path], access: Access::Public, ..Offer::default() }).await;
    assert_eq!(ask(&filer, at, "FGET", "huge.bin").await, reply("ERRO", "Error reading file"));
    let error = filer.peer.classic_request(at, "NAME", "").max_bytes(3).one().await.unwrap_err();
    assert!(matches!(error, classic::Error::TooLarge(3)), "{error}");
}

/// One that has no room and lists more than anybody can be, all of them itself.
fn crowd() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (at, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = asked.clone();
    std::thread::spawn(move || {
        for mut tcp in listener.incoming().flatten() {
            let Some((kind, _)) = read(&mut tcp) else { continue };
            let answer = match kind.as_str() {
                "NAME" => {
                    let n = counted.fetch_add(1, Ordering::SeqCst);
                    frame("REPL", &format!("one-of-us-{n}"))
                }
                "LIST" => {
                    let n = counted.load(Ordering::SeqCst);
                    let all =
                        (0..1000).map(|m| frame("REPL", &format!("p{n}-{m} {} {}", at.ip(), at.port())));
                    [frame("REPL", "1000")].into_iter().chain(all).flatten().collect()
                }
                _ => frame("ERRO", "Join: too many peers"),
            };
            let _ = tcp.write_all(&answer);
        }
    });
    (at, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_ends_however_many_there_are() {
    let (_new, new, _) = old(0, None).await;
    let (at, asked) = crowd();
    let error = within(new.join(at, u8::MAX)).await.unwrap_err();
    assert!(matches!(error, JoinError::NoRoom), "{error}");
    assert_eq!(asked.load(Ordering::SeqCst), limits::CLASSIC_VISITS);
}
