//! Whatever is thrown at a real listener: it hangs up in bounded time, keeps little of
//! it, and an honest peer still gets in and talks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use compeer::transport::Purpose;
use compeer::transport::tls::TlsTransport;
use compeer::{Failure, Identity, Kind, Peer, Request, Stream, limits};
use compeer_proto::frame::{self, FLAG_NO_REPLY, FLAG_OPEN, Frame, Hello};
use compeer_proto::opening::{Answer, Opening};
use compeer_proto::session::{GoodbyeReason, Outcome};
use raw::{PATIENCE, Raw, wire};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[path = "support/raw.rs"]
#[allow(dead_code, reason = "others use the rest")]
mod raw;

async fn echo(request: Request) -> Result<bytes::Bytes, Failure> {
    Ok(request.body().clone())
}

/// Never ends a request.
async fn wait(mut request: Request) -> Result<(), Failure> {
    while request.next().await.is_some() {}
    std::future::pending().await
}

async fn hold(mut stream: Stream) {
    let _ = stream.read(&mut [0]).await;
}

async fn hub() -> (Peer, SocketAddr) {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let hub = Peer::builder()
        .listen(any)
        .max_connections(32)
        .handle("ECHO", echo)
        .handle("WAIT", wait)
        .handle_stream("HOLD", hold);
    let hub = hub.spawn().await.unwrap();
    let at = hub.local_addrs()[0];
    (hub, at)
}

fn somebody() -> TlsTransport {
    TlsTransport::new(&Identity::generate()).unwrap()
}

/// An honest peer gets in and talks, with words and in bulk.
async fn a_guest_is_served(hub: &Peer) {
    let guest = Peer::builder().spawn().await.unwrap();
    let served = async {
        let reply = guest.request(hub.addr(), "ECHO", "x").one().await.unwrap();
        assert_eq!(&reply.body[..], b"x");
        guest.open_stream(hub.id(), "HOLD").await.unwrap();
    };
    tokio::time::timeout(PATIENCE, served).await.expect("served in time");
    guest.shutdown().await;
}

/// Waits until nobody is connected or about to be.
async fn deserted(hub: &Peer) {
    let empty = async {
        while hub.link_count() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, empty).await.expect("all are gone in time");
}

/// Reads to the end; a reset is one too.
async fn hung_up(mut tcp: TcpStream) {
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, tcp.read_to_end(&mut rest)).await.expect("hung up in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_peer_is_hung_up_on() {
    let (hub, at) = hub().await;
    // A byte a second of something that could become a handshake.
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut tcp = TcpStream::connect(at).await.unwrap();
        slow.push(tokio::spawn(async move {
            let drip = async {
                for byte in [0x16, 3, 1, 0x40, 0].into_iter().chain(std::iter::repeat(1)) {
                    if tcp.write_all(&[byte]).await.is_err() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            };
            tokio::time::timeout(PATIENCE, drip).await.expect("hung up on in time");
        }));
    }
    let silent: Vec<_> = (0..20).map(|_| TcpStream::connect(at)).collect();
    let silent = futures_util::future::try_join_all(silent).await.unwrap();
    // Port scans: gone at once, in good order or not.
    for n in 0..400 {
        let tcp = TcpStream::connect(at).await.unwrap();
        if n % 2 == 0 {
            tcp.set_zero_linger().unwrap();
        }
    }
    let words: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"EHLO x\r\n",
        // A record of TLS that is longer than any may be, and an alert.
        &[0x16, 3, 3, 0xff, 0xff, 1, 2, 3],
        &[0x15, 3, 3, 0, 2, 2, 40],
    ];
    for words in words.into_iter().chain([&[0; 60_000][..], &[0xff; 60_000]]) {
        let mut tcp = TcpStream::connect(at).await.unwrap();
        // It may hang up before all of it is said.
        let _ = tcp.write_all(words).await;
        hung_up(tcp).await;
    }
    // TLS to somewhere else.
    let mut other = rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    other.alpn_protocols = vec![b"h2".to_vec()];
    let other = tokio_rustls::TlsConnector::from(Arc::new(other));
    let name = ServerName::try_from("example.org").unwrap();
    let tcp = TcpStream::connect(at).await.unwrap();
    let handshake = tokio::time::timeout(PATIENCE, other.connect(name, tcp)).await.unwrap();
    assert!(handshake.is_err());
    a_guest_is_served(&hub).await;
    // Who says nothing at all goes first.
    for tcp in silent {
        hung_up(tcp).await;
    }
    assert!(slow.iter().any(|slow| !slow.is_finished()));
    for slow in slow {
        slow.await.unwrap();
    }
    deserted(&hub).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_a_handshake_has_to_be_the_protocol() {
    let (hub, at) = hub().await;
    let ping: &[u8] = &[0, 2, 9, 7];
    let not_hello: [&[u8]; 6] = [
        // An empty frame, one too long, no type of ours, another one first, a HELLO that is none.
        &[0, 0],
        &[0xff, 0xff],
        &[0, 1, 77],
        ping,
        &[0, 3, 0, 0xff, 0xff],
        b"GET / HTTP/1.1\r\n\r\n",
    ];
    for bytes in not_hello {
        let mut raw = Raw::dial(&somebody(), at).await;
        raw.bytes(bytes).await;
        assert_eq!(raw.hung_up().await, Some(GoodbyeReason::Protocol), "{bytes:?}");
    }
    let later: [&[u8]; 4] = [&[0, 0], &[0x40, 0], &[0, 1, 77], &[0xff; 40_000]];
    for bytes in later {
        let mut raw = Raw::introduced(&somebody(), at).await;
        raw.bytes(ping).await;
        raw.bytes(bytes).await;
        assert_eq!(raw.hung_up().await, Some(GoodbyeReason::Protocol), "{bytes:?}");
    }
    // Cut short, in the middle of a frame and of its length.
    for bytes in [&[0x20, 0, 2, 4, 0][..], &[0]] {
        let mut raw = Raw::introduced(&somebody(), at).await;
        raw.bytes(bytes).await;
    }
    // Once more HELLO.
    let mut twice = Raw::introduced(&somebody(), at).await;
    twice.say(&Frame::Hello(Hello::default())).await;
    assert_eq!(twice.hung_up().await, Some(GoodbyeReason::Protocol));
    // Unknown frames that may be skipped are.
    let mut newer = Raw::introduced(&somebody(), at).await;
    newer.bytes(&[0, 3, 200, 1, 2]).await;
    newer.bytes(ping).await;
    assert_eq!(newer.heard().await.as_deref(), Some(&[0, 2, 10, 7][..]));
    drop(newer);
    a_guest_is_served(&hub).await;
    deserted(&hub).await;
}

fn request<'a>(id: u64, flags: u8, len: u32, kind: &'a [u8], body: &'a [u8]) -> Frame<'a> {
    Frame::Request { id, flags, timeout_ms: 0, len, kind, body }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_more_than_was_agreed_is_hung_up_on() {
    let (hub, at) = hub().await;
    let body = vec![7; limits::MAX_FRAME_BODY];
    // A body longer than its credit: nobody reads what comes for WAIT before it is whole.
    let mut credit = Raw::introduced(&somebody(), at).await;
    credit.say(&request(2, FLAG_OPEN, 0, b"WAIT", b"")).await;
    for _ in 0..=limits::WINDOW as usize / body.len() + 1 {
        credit.say(&Frame::Message { id: 2, len: limits::MAX_BODY, kind: b"K", body: &body }).await;
    }
    assert_eq!(credit.hung_up().await, Some(GoodbyeReason::Protocol));
    // A body longer than it said, and longer than any may be.
    let mut longer = Raw::introduced(&somebody(), at).await;
    longer.say(&request(2, 0, 10, b"ECHO", b"0123456789ab")).await;
    assert_eq!(longer.hung_up().await, Some(GoodbyeReason::Protocol));
    let mut huge = Raw::introduced(&somebody(), at).await;
    huge.say(&request(2, 0, limits::MAX_BODY + 1, b"ECHO", &body)).await;
    assert_eq!(huge.hung_up().await, Some(GoodbyeReason::Protocol));
    // More requests at a time than were agreed.
    let mut many = Raw::introduced(&somebody(), at).await;
    for n in 0..=u64::from(limits::MAX_REQUESTS) {
        many.say(&request(2 * n + 2, 0, 0, b"WAIT", b"")).await;
    }
    assert_eq!(many.hung_up().await, Some(GoodbyeReason::Protocol));
    // One-way requests without end, and in pieces.
    let mut one_way = Raw::introduced(&somebody(), at).await;
    for n in 0..=u64::from(limits::NOTIFY_WINDOW / limits::MAX_FRAME_BODY as u32) + 1 {
        let len = limits::MAX_FRAME_BODY as u32 + 1;
        one_way.say(&request(2 * n + 2, FLAG_NO_REPLY, len, b"WAIT", &body)).await;
    }
    assert_eq!(one_way.hung_up().await, Some(GoodbyeReason::Protocol));
    // Frames of requests that never were, of the other side's, and of streams.
    for frame in [
        Frame::Data { id: 40, body: b"x" },
        Frame::Finish { id: 40 },
        Frame::Reply { id: 3, len: 0, kind: b"R", body: b"" },
        Frame::OpenStream { stream: 2, kind: b"HOLD" },
    ] {
        let mut raw = Raw::introduced(&somebody(), at).await;
        raw.say(&frame).await;
        assert_eq!(raw.hung_up().await, Some(GoodbyeReason::Protocol), "{frame:?}");
    }
    a_guest_is_served(&hub).await;
    deserted(&hub).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_finished_requests_hold_up_only_who_sent_them() {
    let (hub, at) = hub().await;
    let body = vec![7; limits::MAX_FRAME_BODY];
    let mut raw = Vec::new();
    for _ in 0..4 {
        let mut half = Raw::introduced(&somebody(), at).await;
        // As much as one connection may have us keep, and a request more: that one is told so.
        let most = (limits::CONNECTION_BUDGET / body.len()) as u64;
        for n in 0..=most {
            half.say(&request(2 * n + 2, 0, limits::MAX_BODY, b"ECHO", &body)).await;
        }
        loop {
            let heard = half.heard().await.expect("an answer");
            match frame::decode(&heard).unwrap() {
                Some(Frame::Credit { .. }) => {}
                heard => break assert!(matches!(heard, Some(Frame::End { .. })), "{heard:?}"),
            }
        }
        raw.push(half);
    }
    a_guest_is_served(&hub).await;
    drop(raw);
    deserted(&hub).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fresh_keys_one_after_the_other_take_turns_in_what_there_is() {
    let (hub, at) = hub().await;
    let flood: Vec<_> = (0..2)
        .map(|_| {
            tokio::spawn(async move {
                let mut kept = Vec::new();
                for _ in 0..100 {
                    // Who comes after may have pushed it out already.
                    let mut raw = Raw::dial(&somebody(), at).await;
                    raw.say(&Frame::Hello(Hello::default())).await;
                    kept.push(raw);
                }
                kept
            })
        })
        .collect();
    while flood.iter().any(|flood| !flood.is_finished()) {
        a_guest_is_served(&hub).await;
        assert!(hub.connections().len() <= 32);
    }
    for flood in flood {
        drop(flood.await.unwrap());
    }
    a_guest_is_served(&hub).await;
    deserted(&hub).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_for_who_has_the_session_and_says_what_for() {
    async fn answer(io: &mut (impl AsyncReadExt + Unpin)) -> Option<Answer> {
        let mut all = Vec::new();
        let read = tokio::time::timeout(PATIENCE, io.read_to_end(&mut all)).await.expect("in time");
        read.ok()?;
        all.get(2..).and_then(|body| Answer::decode(body).ok())
    }
    let (hub, at) = hub().await;
    let (owner, thief) = (somebody(), somebody());
    let owned = Raw::introduced(&owner, at).await;
    let _thief = Raw::introduced(&thief, at).await;
    let kind = Kind::from_static("HOLD");
    for (who, session, stream) in [
        // A session of somebody else, none at all, and one that nobody here asked for.
        (&thief, owned.session, 2),
        (&thief, [7; 16], 2),
        (&owner, owned.session, 3),
    ] {
        let mut io = wire(who, at, Purpose::Stream, Some(hub.id())).await.io;
        io.write_all(&Opening { session, stream, kind }.encode()).await.unwrap();
        io.flush().await.unwrap();
        assert_eq!(answer(&mut io).await, Some(Answer::Refused(Outcome::Cancelled)));
    }
    for nonsense in [&[0, 0][..], &[0xff, 0xff], &[0, 3, 1, 2, 3], b"GET / HTTP/1.1\r\n\r\n"] {
        let mut io = wire(&owner, at, Purpose::Stream, Some(hub.id())).await.io;
        io.write_all(nonsense).await.unwrap();
        io.flush().await.unwrap();
        assert_eq!(answer(&mut io).await, None);
    }
    // More than one may have, without a byte: the rest is busy, for this one only.
    let mut open = Vec::new();
    for n in 0..=limits::MAX_STREAMS_PER_PEER as u64 {
        let mut io = wire(&owner, at, Purpose::Stream, Some(hub.id())).await.io;
        io.write_all(&Opening { session: owned.session, stream: 2 * n + 2, kind }.encode()).await.unwrap();
        io.flush().await.unwrap();
        if n < limits::MAX_STREAMS_PER_PEER as u64 {
            let mut accepted = vec![0; Answer::Accepted.encode().len()];
            tokio::time::timeout(PATIENCE, io.read_exact(&mut accepted)).await.unwrap().unwrap();
            open.push(io);
        } else {
            assert_eq!(answer(&mut io).await, Some(Answer::Refused(Outcome::Busy)));
        }
    }
    // And streams of which nothing is said at all.
    let mut squatters = Vec::new();
    for _ in 0..40 {
        squatters.push(wire(&thief, at, Purpose::Stream, Some(hub.id())).await.io);
    }
    a_guest_is_served(&hub).await;
    for mut io in squatters {
        assert_eq!(answer(&mut io).await, None, "hung up on in time");
    }
    drop((owned, _thief, open));
    deserted(&hub).await;
}
