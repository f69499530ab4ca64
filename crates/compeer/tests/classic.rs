//! The classic protocol against the real listener: recorded exchanges of the original, floods, and our own client.

#![allow(clippy::disallowed_methods, reason = "real sockets and real time")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use compeer::{Event, Failure, Peer, SpawnError, classic, limits};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(40);

async fn echo(request: classic::Request) -> Result<Bytes, Failure> {
    Ok(request.body().clone())
}

async fn many(request: classic::Request) -> Result<(), Failure> {
    for n in 0..request.text().parse::<u32>()? {
        request.reply(format!("m{n}")).await?;
    }
    Ok(())
}

async fn read_them_all(mut request: classic::Request) -> Result<(), Failure> {
    while let Some(frame) = request.next().await {
        let text = frame.text();
        request.reply(format!("got {} '{text}'", frame.kind.as_str())).await?;
    }
    Ok(())
}

async fn boom(request: classic::Request) -> Result<(), Failure> {
    request.reply("partial").await?;
    Err(Failure::new("boom"))
}

async fn types(request: classic::Request) -> Result<(), Failure> {
    request.reply_kind("AB", "short").await?;
    request.reply_kind("ABCDEFG", "long").await?;
    Ok(())
}

async fn panics(_: classic::Request) -> Result<(), Failure> {
    panic!("classic panic")
}

async fn framework() -> (Peer, SocketAddr) {
    let peer = Peer::builder()
        .classic("127.0.0.1:0")
        .handle_classic("ECHO", echo)
        .handle_classic(&b"12!\xff"[..], echo)
        .handle_classic("MANY", many)
        .handle_classic("RDTW", read_them_all)
        .handle_classic("BOOM", boom)
        .handle_classic("UNIC", types)
        .handle_classic("PNIC", panics)
        .spawn()
        .await
        .unwrap();
    let at = peer.classic_addrs()[0];
    (peer, at)
}

fn bytes(hex: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap()
}

/// Plays one exchange; what came and how it ended. Where the original waited for ever, we close at our time-out.
fn play(at: SocketAddr, vector: &Value) -> (Vec<u8>, &'static str) {
    let mut tcp = TcpStream::connect(at).unwrap();
    tcp.set_nodelay(true).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    for segment in vector["send"].as_array().unwrap() {
        tcp.write_all(&bytes(segment.as_str().unwrap())).unwrap();
        std::thread::sleep(Duration::from_secs_f64(vector["delay_s"].as_f64().unwrap()));
    }
    if vector["half_close"].as_bool().unwrap() {
        tcp.shutdown(Shutdown::Write).unwrap();
    }
    let (mut got, mut space) = (Vec::new(), [0; 4096]);
    loop {
        match tcp.read(&mut space) {
            Ok(0) => return (got, "eof"),
            Ok(n) => got.extend_from_slice(&space[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return (got, "reset"),
            Err(error) => panic!("{vector}: {error}"),
        }
    }
}

fn vectors(role: &str) -> Vec<Value> {
    let all = include_str!("classic/vectors.jsonl").lines().map(|line| serde_json::from_str(line).unwrap());
    let some: Vec<Value> = all.filter(|vector: &Value| vector["role"] == role).collect();
    assert!(some.len() > 20, "the exchanges are not where they were");
    some
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_exchange_of_the_framework_is_the_same() {
    let (peer, at) = framework().await;
    // Each on a thread of its own: those that end at a time-out wait for it together.
    let playing: Vec<_> = vectors("framework")
        .into_iter()
        .map(|vector| tokio::task::spawn_blocking(move || (play(at, &vector), vector)))
        .collect();
    for played in playing {
        let ((got, end), vector) = played.await.unwrap();
        assert_eq!(got, bytes(vector["recv"].as_str().unwrap()), "{vector}");
        match vector["end"].as_str().unwrap() {
            "open" => {}
            // A close with bytes unread is a reset on this system.
            wanted => assert_eq!(end, wanted, "{vector}"),
        }
    }
    peer.shutdown().await;
}

#[tokio::test]
async fn our_client_gets_what_was_recorded() {
    let (peer, at) = framework().await;
    let replies = peer.classic_request(at, "many", "3").all().await.unwrap();
    let texts: Vec<_> = replies.iter().map(|reply| reply.text()).collect();
    assert_eq!(texts, ["m0", "m1", "m2"]);
    assert!(peer.classic_request(at, "MANY", "0").all().await.unwrap().is_empty());
    let replies = peer.classic_request(at, "UNIC", "").all().await.unwrap();
    assert_eq!([replies[0].kind.as_bytes(), replies[1].kind.as_bytes()], [b"AB\0\0", b"ABCD"]);
    let error = peer.classic_request(at, "NOPE", "").one().await.unwrap_err();
    assert!(matches!(error, classic::Error::NoReply), "{error}");

    let mut talk = peer.classic_request(at, "RDTW", "").replies().await.unwrap();
    talk.send("AAAA", "1").await.unwrap();
    assert_eq!(talk.next().await.unwrap().unwrap().text(), "got AAAA '1'");
    talk.send("bbbb", "2").await.unwrap();
    assert_eq!(talk.next().await.unwrap().unwrap().text(), "got bbbb '2'");
    talk.finish();
    assert!(talk.next().await.is_none());

    let mut replies = peer.classic_request(at, "BOOM", "").replies().await.unwrap();
    assert_eq!(replies.next().await.unwrap().unwrap().text(), "partial");
    assert!(replies.next().await.is_none());
    peer.shutdown().await;
    let error = peer.classic_request(at, "ECHO", "").one().await.unwrap_err();
    assert!(matches!(error, classic::Error::Unreachable(..)), "{error}");
}

#[tokio::test]
async fn a_handler_that_panics_closes_its_connection_and_no_other() {
    let (peer, at) = framework().await;
    let mut events = peer.events();
    assert!(peer.classic_request(at, "PNIC", "").all().await.unwrap().is_empty());
    loop {
        if let Event::HandlerPanicked { kind, text } = events.recv().await.unwrap() {
            assert_eq!((kind.as_bytes(), text.as_str()), (&b"PNIC"[..], "classic panic"));
            break;
        }
    }
    assert_eq!(&peer.classic_request(at, "ECHO", "on").one().await.unwrap().body[..], b"on");
    peer.shutdown().await;
}

#[tokio::test]
async fn a_kind_that_cannot_arrive_is_refused() {
    for kind in ["lowr", "ABC", "ABCDE"] {
        let error = Peer::builder().handle_classic(kind, echo).spawn().await.err().unwrap();
        assert!(matches!(error, SpawnError::ClassicKind), "{kind}: {error}");
        let peer = Peer::builder().spawn().await.unwrap();
        assert!(peer.handle_classic(kind, echo).is_err(), "{kind}");
        peer.shutdown().await;
    }
}

#[tokio::test]
async fn what_is_for_proven_peers_is_out_of_reach() {
    let peer = Peer::builder()
        .listen("127.0.0.1:0")
        .classic("127.0.0.1:0")
        .handle("ECHO", |request: compeer::Request| async move { Ok(request.body().clone()) })
        .spawn()
        .await
        .unwrap();
    let at = peer.classic_addrs()[0];
    assert!(peer.classic_request(at, "ECHO", "hi").all().await.unwrap().is_empty());
    assert!(!peer.addr().addrs.contains(&at.into()), "native peers are not told of it");
    assert!(Peer::builder().spawn().await.unwrap().classic_addrs().is_empty(), "off by default");
    peer.shutdown().await;
}

#[tokio::test]
async fn a_payload_may_have_its_limit_and_not_one_byte_more() {
    let (peer, at) = framework().await;
    let most = limits::CLASSIC_MAX_BODY as usize;
    let reply = peer.classic_request(at, "ECHO", vec![7; most]).one().await.unwrap();
    assert_eq!(reply.body.len(), most);
    let answer = peer.classic_request(at, "ECHO", vec![7; most + 1]).one().await;
    assert!(answer.is_err(), "closed without a reply");
    // And of what comes back, as much as the caller allows.
    let reply = peer.classic_request(at, "ECHO", vec![7; 1000]).max_bytes(1000).one().await;
    assert_eq!(reply.unwrap().body.len(), 1000);
    let error = peer.classic_request(at, "ECHO", vec![7; 1000]).max_bytes(999).one().await.unwrap_err();
    assert!(matches!(error, classic::Error::TooLarge(999)), "{error}");
    let error = peer.classic_request(at, "MANY", "1000").max_bytes(2000).all().await.unwrap_err();
    assert!(matches!(error, classic::Error::TooLarge(2000)), "{error}");
    peer.shutdown().await;
}

#[tokio::test]
async fn a_file_is_sent_as_it_is_read() {
    let file = |request: classic::Request| async move {
        let len: u32 = request.text().parse()?;
        // A source that ends early is a reply that is cut off.
        let source = tokio::io::AsyncReadExt::take(tokio::io::repeat(5), 300_000);
        request.reply_from("REPL", len, source).await?;
        Ok::<_, Failure>(())
    };
    let peer = Peer::builder().classic("127.0.0.1:0").handle_classic("FILE", file).spawn().await.unwrap();
    let at = peer.classic_addrs()[0];
    for len in [0, 1, 65_536, 65_537, 300_000] {
        let reply = peer.classic_request(at, "FILE", len.to_string()).one().await.unwrap();
        assert_eq!(reply.body, vec![5; len]);
    }
    let error = peer.classic_request(at, "FILE", "300001").one().await.unwrap_err();
    assert!(matches!(error, classic::Error::Cut), "{error}");
    peer.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_256_at_once_all_are_answered() {
    let (peer, at) = framework().await;
    let asking: Vec<_> = (0..256)
        .map(|n| {
            let peer = peer.clone();
            tokio::spawn(async move { peer.classic_request(at, "ECHO", n.to_string()).one().await })
        })
        .collect();
    for (n, asked) in asking.into_iter().enumerate() {
        assert_eq!(asked.await.unwrap().unwrap().text(), n.to_string());
    }
    peer.shutdown().await;
}

/// Room for both ends of many connections, where the system gives a process little by default.
fn many_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// Every place is taken by the silent, and as many again come; whoever has something to say is answered, here and among
/// native peers, and the silent go when their time is over.
#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_idle_connections_disturb_nobody() {
    many_descriptors();
    let (peer, at) = framework().await;
    let idle = tokio::task::spawn_blocking(move || {
        (0..2000).map(|_| TcpStream::connect(at).unwrap()).collect::<Vec<_>>()
    });
    let idle = idle.await.unwrap();
    assert!(idle.len() > limits::CLASSIC_CONNECTIONS);
    for n in 0..50 {
        assert_eq!(
            peer.classic_request(at, "ECHO", n.to_string()).one().await.unwrap().text(),
            n.to_string()
        );
    }
    let (bob, native) = (Peer::builder().spawn().await.unwrap(), peer.listen("127.0.0.1:0").unwrap()[0]);
    assert_eq!(bob.connect(native).await.unwrap().peer_id(), peer.id());
    let oldest_gone = tokio::task::spawn_blocking(move || {
        let since = Instant::now();
        for mut tcp in idle {
            tcp.set_read_timeout(Some(PATIENCE)).unwrap();
            // Closed, one way or the other.
            assert!(matches!(tcp.read(&mut [0; 1]), Ok(0) | Err(_)));
            assert!(since.elapsed() < PATIENCE, "the silent are closed in time");
        }
    });
    oldest_gone.await.unwrap();
    bob.shutdown().await;
    peer.shutdown().await;
}

/// Who announces long payloads and sends nothing takes no room from those who send theirs.
#[tokio::test(flavor = "multi_thread")]
async fn room_for_long_payloads_is_taken_as_they_come_and_comes_back() {
    let (peer, at) = framework().await;
    let each = limits::CLASSIC_MAX_BODY;
    let holders = limits::CLASSIC_ROOM_KIB / (each as usize / 1024) + 1;
    let held = tokio::task::spawn_blocking(move || {
        let begin = |_| {
            let mut tcp = TcpStream::connect(at).unwrap();
            tcp.write_all(&compeer_proto::classic::header(b"ECHO", each)).unwrap();
            tcp
        };
        (0..holders).map(begin).collect::<Vec<_>>()
    });
    let held = held.await.unwrap();
    // More than there is room for, at once, each in parts: none waits for ever for what another has.
    let long = vec![1; each as usize];
    let asking: Vec<_> = (0..holders + 10)
        .map(|_| {
            let (peer, long) = (peer.clone(), long.clone());
            tokio::spawn(async move { peer.classic_request(at, "ECHO", long).one().await })
        })
        .collect();
    assert_eq!(peer.classic_request(at, "ECHO", "short").one().await.unwrap().text(), "short");
    for asked in asking {
        assert_eq!(asked.await.unwrap().unwrap().body, long);
    }
    drop(held);
    peer.shutdown().await;
}

#[tokio::test]
async fn a_reply_may_be_read_as_it_comes() {
    let (peer, at) = framework().await;
    for len in [0, 1, 100_000] {
        let body = vec![3; len];
        let mut reply = peer.classic_request(at, "ECHO", body.clone()).stream().await.unwrap();
        assert_eq!((reply.kind().as_bytes(), reply.payload_len()), (&b"REPL"[..], len));
        let mut all = Vec::new();
        while let Some(part) = reply.next().await {
            let part = part.unwrap();
            assert!(!part.is_empty() && part.len() <= limits::CLASSIC_READ);
            all.extend_from_slice(&part);
        }
        assert_eq!(all, body);
    }
    let error = peer.classic_request(at, "ECHO", vec![3; 1000]).max_bytes(999).stream().await.err();
    assert!(matches!(error, Some(classic::Error::TooLarge(999))), "{error:?}");
    let error = peer.classic_request(at, "MANY", "0").stream().await.err();
    assert!(matches!(error, Some(classic::Error::NoReply)), "{error:?}");
    peer.shutdown().await;
}

/// A Python program with these arguments, and the line it begins with; `None`, and a word about it, without Python.
#[allow(clippy::print_stdout, reason = "why a test does nothing")]
fn python(arguments: &[&str]) -> Option<(std::process::Child, String)> {
    use std::io::BufRead;
    let mut command = std::process::Command::new("python3");
    command.args(arguments).stdout(std::process::Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: there is no python3 here");
            return None;
        }
        Err(error) => panic!("python3: {error}"),
    };
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    Some((child, line.trim().to_owned()))
}

/// `python/classic_peer.py` was written apart from this: our client has from it what was recorded from the original, and
/// it itself answers every exchange as that did.
#[tokio::test(flavor = "multi_thread")]
async fn our_client_and_the_python_framework_understand_each_other() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let (script, place) =
        (format!("{root}/crates/compeer/tests/classic/framework.py"), format!("{root}/python"));
    let Some((mut child, at)) = python(&[&script, &place]) else { return };
    let at: SocketAddr = at.parse().unwrap();
    let peer = Peer::builder().spawn().await.unwrap();
    for vector in vectors("framework") {
        let name = vector["name"].as_str().unwrap();
        // What is one request and its replies is played by our client too.
        let sent: Vec<u8> =
            vector["send"].as_array().unwrap().iter().flat_map(|hex| bytes(hex.as_str().unwrap())).collect();
        let len = sent.get(4..8).map(|len| u32::from_be_bytes(len.try_into().unwrap()) as usize);
        if len == Some(sent.len().saturating_sub(8)) {
            let replies = peer.classic_request(at, &sent[..4], sent[8..].to_vec()).all().await.unwrap();
            let frames = replies.iter().flat_map(|reply| {
                compeer_proto::classic::encode(reply.kind.as_bytes(), &reply.body).unwrap()
            });
            assert_eq!(frames.collect::<Vec<_>>(), bytes(vector["recv"].as_str().unwrap()), "{name}");
        }
        // Those the original waits for have no end.
        if vector["end"] != "open" {
            let vector = vector.clone();
            let (got, end) = tokio::task::spawn_blocking(move || {
                let played = play(at, &vector);
                assert_eq!(played.0, bytes(vector["recv"].as_str().unwrap()), "{vector}");
                (played.1, vector["end"].as_str().unwrap().to_owned())
            })
            .await
            .unwrap();
            assert_eq!(got, end, "{name}");
        }
    }
    peer.shutdown().await;
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_does_not_say_a_whole_frame_in_time_is_left() {
    let (peer, at) = framework().await;
    let frame = |kind| compeer_proto::classic::encode(kind, b"hello").unwrap();
    let next_one = [frame(b"RDTW"), frame(b"ECHO")[..10].to_vec()].concat();
    for begun in [&[][..], &frame(b"ECHO")[..3], &frame(b"ECHO")[..10], &next_one] {
        let began = peer.clock().now();
        let mut tcp = TcpStream::connect(at).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.write_all(begun).unwrap();
        let (tell, told) = tokio::sync::oneshot::channel();
        // Beside the runtime, so that its time goes on.
        std::thread::spawn(move || tell.send(tcp.read(&mut [0; 1])));
        assert!(matches!(told.await.unwrap(), Ok(0)), "it was closed, and nothing said");
        assert!(peer.clock().now().since(began) >= limits::CLASSIC_FRAME_TIMEOUT, "{begun:?}");
    }
    peer.shutdown().await;
}
