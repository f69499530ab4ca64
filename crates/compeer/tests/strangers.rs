//! Peers that do not behave: they hoard connections, never introduce
//! themselves, lie about keys; and honest ones whose words cross.

#![allow(clippy::disallowed_methods, reason = "the virtual time of a paused runtime")]

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use compeer::transport::memory::MemoryNetwork;
use compeer::transport::{ByteStream, Purpose, Transport, Wire};
use compeer::{Event, Failure, Identity, Kind, Message, Peer, PeerAddr, Request, Stream, Time, limits};
use compeer_proto::frame::Hello;
use compeer_proto::opening::Opening;
use compeer_proto::session::{Config, Event as SessionEvent, GoodbyeReason, RequestOptions, Role, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

async fn echo(request: Request) -> Result<bytes::Bytes, Failure> {
    Ok(request.body().clone())
}

async fn wait(mut request: Request) -> Result<(), Failure> {
    while request.next().await.is_some() {}
    Ok(())
}

fn ip(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

fn at(n: u8) -> SocketAddr {
    SocketAddr::new(ip(n), 1)
}

async fn member(network: &MemoryNetwork, n: u8, most: usize) -> Peer {
    let identity = Identity::from_seed(&[n; 32]);
    Peer::builder()
        .transport(network.transport(identity.peer_id(), ip(n)))
        .identity(identity)
        .listen(at(n))
        .seed(n.into())
        .max_connections(most)
        .handle("ECHO", echo)
        .handle("WAIT", wait)
        .spawn()
        .await
        .unwrap()
}

async fn wire(network: &MemoryNetwork, n: u8, to: u8) -> Wire {
    let id = Identity::from_seed(&[n; 32]).peer_id();
    network.transport(id, ip(n)).dial(at(to).into(), None, Purpose::Messages).await.unwrap()
}

/// Says HELLO, answers PINGs, never drains, and with `ask` never ends a request.
async fn misbehave(mut io: Box<dyn ByteStream>, role: Role, ask: bool) {
    let start = Instant::now();
    let now = || Time::from_micros(u64::try_from(start.elapsed().as_micros()).unwrap());
    let hello = Hello { instance: [1; 16], ..Hello::default() };
    let mut session = Session::new(Config::new(role, hello), now());
    let (mut buf, mut asked) = (vec![0; 16_384], !ask);
    loop {
        if session.is_ready() && !std::mem::replace(&mut asked, true) {
            let message = Message { kind: Kind::from_static("WAIT"), body: bytes::Bytes::new() };
            session.request(message, RequestOptions { timeout: None, open: true }, now()).unwrap();
        }
        let bytes = session.transmit().to_vec();
        if io.write_all(&bytes).await.is_err() {
            return;
        }
        session.advance(bytes.len());
        while session.poll_event().is_some() {}
        match io.read(&mut buf).await {
            Ok(n) if n > 0 && session.receive(&buf[..n], now()).is_ok() => {}
            _ => return,
        }
    }
}

async fn rude(network: &MemoryNetwork, n: u8, to: u8, ask: bool) {
    let io = wire(network, n, to).await.io;
    tokio::spawn(misbehave(io, Role::Dialer, ask));
}

async fn echoes(from: &Peer, to: &Peer) -> bool {
    from.request(to.addr(), "ECHO", "x").one().await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn one_key_holds_its_few_links_and_no_more() {
    let network = MemoryNetwork::new(1);
    let hub = member(&network, 1, 10).await;
    let guest = member(&network, 2, 10).await;
    assert!(echoes(&guest, &hub).await);
    for i in 0..15 {
        rude(&network, 66, 1, i % 2 == 0).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(hub.link_count() <= limits::MAX_LINKS_PER_PEER + 2, "{}", hub.link_count());
    }
    assert!(echoes(&member(&network, 3, 10).await, &hub).await, "a newcomer gets in");
    assert_eq!(hub.connections().len(), 3, "and the guest was not pushed out");
}

#[tokio::test(start_paused = true)]
async fn strangers_that_are_always_busy_make_room_too() {
    let network = MemoryNetwork::new(2);
    let hub = member(&network, 1, 10).await;
    for n in 50..65 {
        rude(&network, n, 1, true).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(hub.link_count() <= 11);
    }
    assert!(echoes(&member(&network, 3, 10).await, &hub).await);
}

#[tokio::test(start_paused = true)]
async fn who_comes_again_takes_his_own_place() {
    let network = MemoryNetwork::new(12);
    let hub = member(&network, 1, 2).await;
    let guest = member(&network, 2, 10).await;
    assert!(echoes(&guest, &hub).await);
    let connected = || hub.connections().iter().map(|connection| connection.peer_id).collect::<Vec<_>>();
    for i in 0..10 {
        rude(&network, 66, 1, i % 2 == 0).await;
        tokio::time::sleep(limits::GOODBYE_TIMEOUT * 2).await;
        assert!(connected().contains(&guest.id()), "the guest was pushed out at attempt {i}");
        assert_eq!((connected().len(), hub.link_count()), (2, 2), "at attempt {i}");
    }
    assert_eq!(hub.counters().limit_connections, 0);
    assert!(echoes(&member(&network, 3, 10).await, &hub).await, "a newcomer gets in");
    assert_eq!(hub.counters().limit_connections, 1);
}

#[tokio::test(start_paused = true)]
async fn who_never_introduces_itself_pushes_nobody_out_and_goes() {
    let network = MemoryNetwork::new(3);
    let hub = member(&network, 1, 10).await;
    let guest = member(&network, 2, 10).await;
    assert!(echoes(&guest, &hub).await);
    let mut silent = Vec::new();
    for n in 50..70 {
        silent.push(wire(&network, n, 1).await);
    }
    assert!(echoes(&member(&network, 3, 10).await, &hub).await);
    assert_eq!(hub.connections().len(), 2);
    tokio::time::sleep(limits::HANDSHAKE_TIMEOUT * 2).await;
    assert_eq!(hub.link_count(), 2, "silence is over after the time of a handshake");
}

#[tokio::test(start_paused = true)]
async fn a_stranger_is_not_believed_about_our_key() {
    let network = MemoryNetwork::new(4);
    let (a, b) = (member(&network, 1, 10).await, member(&network, 2, 10).await);
    let mut events = a.events();
    a.keep(b.addr());
    let mut io = wire(&network, 66, 1).await.io;
    let mut session = Session::new(Config::new(Role::Dialer, Hello::default()), Time::ZERO);
    session.turn_away(GoodbyeReason::KeyRunsTwice, "");
    io.write_all(session.transmit()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    network.cut(ip(1), ip(2));
    loop {
        match tokio::time::timeout(Duration::from_secs(60), events.recv()).await.unwrap().unwrap() {
            Event::KeyRunsTwice { .. } => panic!("a stranger was believed"),
            Event::Retrying { after, .. } => {
                assert!(after < Duration::from_secs(1), "called again soon, not after {after:?}");
                break;
            }
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_joins_a_dial_still_gets_his_own_addresses_tried() {
    let network = MemoryNetwork::new(5);
    let (a, b) = (member(&network, 1, 10).await, member(&network, 2, 10).await);
    network.cut(ip(1), ip(9));
    a.keep(PeerAddr::new(b.id(), [at(9).into()]));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(echoes(&a, &b).await, "the new address was tried");
}

#[tokio::test(start_paused = true)]
async fn coming_and_going_are_told_in_turn() {
    let network = MemoryNetwork::new(6);
    for round in 0..100u8 {
        let (a, b) = (member(&network, round, 10).await, member(&network, round + 100, 10).await);
        let mut events = [a.events(), b.events()];
        let (x, y) = tokio::join!(echoes(&a, &b), echoes(&b, &a));
        assert!(x && y);
        tokio::time::sleep(Duration::from_secs(3)).await;
        a.shutdown().await;
        b.shutdown().await;
        for events in &mut events {
            let mut there = false;
            while let Some(event) = events.recv().await {
                match event {
                    Event::Connected { .. } => assert!(!std::mem::replace(&mut there, true), "round {round}"),
                    Event::Disconnected { .. } => assert!(std::mem::take(&mut there), "round {round}"),
                    _ => {}
                }
            }
            assert!(!there, "round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_one_side_at_once_leave_one_connection() {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    for round in 0..100 {
        let b = Peer::builder().listen(any).handle("ECHO", echo).spawn().await.unwrap();
        let a = Peer::builder().spawn().await.unwrap();
        let to = b.local_addrs()[0];
        let calls: Vec<_> = (0..4)
            .map(|_| {
                let a = a.clone();
                tokio::spawn(async move { a.connect(to).await.map(drop) })
            })
            .collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        // By id alone: on the connection there is.
        assert!(a.request(b.id(), "ECHO", "x").one().await.is_ok(), "round {round}");
        let settled = async {
            while a.link_count() != 1 || b.link_count() != 1 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), settled).await.expect("one connection is left");
        a.shutdown().await;
        b.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_crosses_the_farewell_of_an_unused_connection_is_answered() {
    for seed in 0..20 {
        let network =
            MemoryNetwork::new(seed).latency(Duration::from_millis(200), Duration::from_millis(200));
        let (a, b) = (member(&network, 1, 10).await, member(&network, 2, 10).await);
        a.connect(b.addr()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(50)).await;
        while a.connections().len() == 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        b.request(a.addr(), "ECHO", "x").one().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn one_way_requests_keep_a_connection_in_use() {
    let network = MemoryNetwork::new(7);
    let (a, b) = (member(&network, 1, 10).await, member(&network, 2, 10).await);
    let mut events = a.events();
    for _ in 0..60 {
        a.notify(b.addr(), "ECHO", "x").await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert!(matches!(events.recv().await, Some(Event::Connected { .. })));
    a.shutdown().await;
    assert!(matches!(events.recv().await, Some(Event::Disconnected { .. })), "once, at the end");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_a_farewell_is_left() {
    let network = MemoryNetwork::new(8);
    let a = member(&network, 1, 10).await;
    let id = Identity::from_seed(&[66; 32]).peer_id();
    let mut listener = network.transport(id, ip(66)).listen(at(66)).unwrap();
    tokio::spawn(async move {
        let io = listener.accept().await.unwrap().handshake.await.unwrap().io;
        misbehave(io, Role::Acceptor, false).await;
    });
    let mut events = a.events();
    a.connect(at(66)).await.unwrap();
    assert!(matches!(events.recv().await, Some(Event::Connected { .. })));
    let left = tokio::time::timeout(limits::PASSING_IDLE * 4, events.recv()).await;
    assert!(matches!(left, Ok(Some(Event::Disconnected { .. }))), "{left:?}");
    assert_eq!(a.link_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_does_not_outlive_its_session_byte_by_byte() {
    let (ended, mut end) = tokio::sync::oneshot::channel();
    let ended = std::sync::Mutex::new(Some(ended));
    let hold = move |mut stream: Stream| {
        let ended = ended.lock().unwrap().take();
        async move {
            while stream.read_u8().await.is_ok() {}
            let _ = ended.map(|ended| ended.send(()));
        }
    };
    let network = MemoryNetwork::new(9);
    let hub = member(&network, 1, 10).await;
    hub.handle_stream("HOLD", hold).unwrap();
    let mut events = hub.events();
    let Wire { mut io, session: name, .. } = wire(&network, 66, 1).await;
    let mut session = Session::new(Config::new(Role::Dialer, Hello::default()), Time::ZERO);
    io.write_all(session.transmit()).await.unwrap();
    assert!(matches!(events.recv().await, Some(Event::Connected { .. })));
    let id = Identity::from_seed(&[66; 32]).peer_id();
    let dialled = network.transport(id, ip(66)).dial(at(1).into(), None, Purpose::Stream).await;
    let mut bulk = dialled.unwrap().io;
    let opening = Opening { session: name, stream: 2, kind: Kind::from_static("HOLD") };
    bulk.write_all(&opening.encode()).await.unwrap();
    // The answer: from now on the stream is served.
    bulk.read_u8().await.unwrap();
    let told = session.transmit().len();
    session.advance(told);
    // In good order: the hub's HELLO and DRAIN come before the farewell goes.
    let mut buf = vec![0; 16_384];
    let n = io.read(&mut buf).await.unwrap();
    session.receive(&buf[..n], Time::ZERO).unwrap();
    session.drain();
    let bytes = session.transmit().to_vec();
    io.write_all(&bytes).await.unwrap();
    session.advance(bytes.len());
    while !std::iter::from_fn(|| session.poll_event()).any(|event| event == SessionEvent::Drained) {
        let n = io.read(&mut buf).await.unwrap();
        session.receive(&buf[..n], Time::ZERO).unwrap();
    }
    session.goodbye(GoodbyeReason::Duplicate, "");
    io.write_all(session.transmit()).await.unwrap();
    // The session is over in good order, and the stream is not: it lingers.
    assert!(matches!(events.recv().await, Some(Event::Disconnected { .. })));
    bulk.write_u8(0).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(end.try_recv().is_err(), "what is on its way may still be read");
    let drip = async {
        while bulk.write_u8(0).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        std::future::pending::<()>().await
    };
    tokio::select! {
        biased;
        ended = &mut end => ended.unwrap(),
        () = drip => {}
        () = tokio::time::sleep(limits::STREAM_LINGER * 3) => panic!("it lives on"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_waits_for_nobody_who_reads_nothing() {
    let network = MemoryNetwork::new(10);
    let hub = member(&network, 1, 10).await;
    let mut events = hub.events();
    let Wire { mut io, peer: _, .. } = wire(&network, 66, 1).await;
    let mut session = Session::new(Config::new(Role::Dialer, Hello::default()), Time::ZERO);
    io.write_all(session.transmit()).await.unwrap();
    let sent = session.transmit().len();
    session.advance(sent);
    assert!(matches!(events.recv().await, Some(Event::Connected { .. })));
    // Only the HELLO is read; then more is asked for than fits what lies between them.
    let mut buf = vec![0; 16_384];
    let n = io.read(&mut buf).await.unwrap();
    session.receive(&buf[..n], Time::ZERO).unwrap();
    for _ in 0..8 {
        let message = Message { kind: Kind::from_static("ECHO"), body: vec![7; 60_000].into() };
        session.request(message, RequestOptions::default(), Time::ZERO).unwrap();
    }
    while !session.transmit().is_empty() {
        let bytes = session.transmit().to_vec();
        io.write_all(&bytes).await.unwrap();
        session.advance(bytes.len());
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let blocked = Instant::now();
    hub.block(Identity::from_seed(&[66; 32]).peer_id());
    let gone = tokio::time::timeout(limits::GOODBYE_TIMEOUT * 2, events.recv()).await;
    assert!(matches!(gone, Ok(Some(Event::Disconnected { .. }))), "{gone:?}");
    assert!(blocked.elapsed() >= limits::GOODBYE_TIMEOUT && hub.link_count() == 0);
}
