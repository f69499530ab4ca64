//! The connection as a whole: introduction, draining, farewell, life and death.

use super::*;

#[test]
fn nothing_is_asked_before_hello() {
    let mut lone = Lone::silent(config(Role::Dialer));
    let session = &mut lone.side.session;
    assert!(!session.is_ready());
    let early = session.request(message(b""), RequestOptions::default(), lone.now);
    assert_eq!(early, Err(SendError::NotReady));
    assert_eq!(session.notify(message(b"")), Err(SendError::NotReady));
    session.ping(lone.now);
    session.drain();
    let sent: Vec<u8> = frames(&lone.side.drain_wire()).iter().map(|(kind, _)| *kind).collect();
    assert_eq!(sent, [0, 9, 13]);
}

#[test]
fn who_is_turned_away_hears_why_and_nothing_else() {
    let mut away = Session::new(config(Role::Acceptor), Time::ZERO);
    away.turn_away(GoodbyeReason::Full, "");
    let mut guest = Session::new(config(Role::Dialer), Time::ZERO);
    guest.receive(away.transmit(), Time::ZERO).unwrap();
    let (reason, text) = (GoodbyeReason::Full, String::new());
    assert_eq!(guest.poll_event(), Some(Event::Goodbye { reason, text }));
    assert_eq!(guest.poll_event(), None);
}

#[test]
fn limits_that_nobody_would_accept_are_mended() {
    let mut odd = config(Role::Dialer);
    odd.hello.agent = "x".repeat(1_000);
    odd.hello.limits = PeerLimits { max_requests: 0, max_body: u32::MAX, window: 0, notify_window: 0 };
    let mut pair = Pair::with(odd, config(Role::Acceptor));
    let id = pair.b.session.request(message(&body(100_000)), RequestOptions::default(), pair.now).unwrap();
    pair.settle();
    assert_eq!(requests(&pair.a.take())[0].0, id);
}

#[test]
fn both_sides_drain_and_hear_of_it_once() {
    let mut pair = Pair::new();
    let id = pair.ask(b"");
    pair.settle();
    pair.b.take();
    pair.a.session.drain();
    pair.a.session.drain();
    assert_eq!(
        pair.a.session.request(message(b""), RequestOptions::default(), pair.now),
        Err(SendError::Draining)
    );
    pair.settle();
    assert_eq!(pair.b.take(), [Event::PeerDrains]);
    assert_eq!(pair.b.session.notify(message(b"")), Err(SendError::Draining));
    pair.b.session.drain();
    pair.settle();
    assert_eq!(pair.a.take(), [Event::PeerDrains]);
    // What is in flight is answered first, and heard of first.
    pair.b.session.reply(id, message(&body(300_000))).unwrap();
    pair.b.session.end(id, Outcome::Done);
    pair.settle();
    assert_eq!(pair.b.take(), [Event::Drained]);
    let events = pair.a.take();
    assert!(matches!(events[..], [Event::Reply { .. }, Event::Ended { .. }, Event::Drained]), "{events:?}");
    pair.pass(Duration::from_secs(1));
    pair.settle();
    assert_eq!((pair.a.take(), pair.b.take()), (vec![], vec![]));
}

/// DRAIN stands behind every request and one-way request started before it, however large.
#[test]
fn drain_overtakes_nothing_that_was_started() {
    let mut pair = Pair::new();
    pair.b.session.drain();
    let large = pair.ask(&body(200_000));
    // Together they fill the outbox: the next has not left when we drain.
    pair.ask(&body(200_000));
    let second = pair.ask(b"second");
    pair.a.session.drain();
    pair.settle();
    let got: Vec<_> = requests(&pair.b.take()).iter().map(|(id, _)| *id).collect();
    assert!(got.contains(&large) && got.contains(&second));
    for id in got {
        pair.b.session.end(id, Outcome::Done);
    }
    pair.settle();
    assert_eq!(pair.b.take().last(), Some(&Event::Drained));

    let mut pair = Pair::new();
    pair.b.session.drain();
    pair.a.session.notify(message(&body(1_000_000))).unwrap();
    pair.a.session.drain();
    pair.settle();
    let events = pair.b.take();
    assert!(matches!(events[..], [Event::PeerDrains, Event::Notify { .. }, Event::Drained]), "{events:?}");
    assert_eq!(pair.a.take(), [Event::PeerDrains, Event::Drained]);
}

#[test]
fn who_waits_for_room_hears_that_there_will_be_none() {
    let mut pair = Pair::new();
    for _ in 0..limits::MAX_REQUESTS {
        pair.ask(b"");
    }
    let again = |pair: &mut Pair| pair.a.session.request(message(b""), RequestOptions::default(), pair.now);
    assert_eq!(again(&mut pair), Err(SendError::Blocked));
    pair.b.session.drain();
    pair.settle();
    assert_eq!(pair.a.take(), [Event::PeerDrains, Event::Room]);
    assert_eq!(again(&mut pair), Err(SendError::Draining));
}

#[test]
fn goodbye_is_the_last_frame_and_tells_why() {
    let mut pair = Pair::new();
    pair.ask(&body(10_000));
    pair.a.session.goodbye(GoodbyeReason::Replaced, "bye");
    let sent = frames(&pair.a.drain_wire());
    assert_eq!(sent.last().map(|(kind, _)| *kind), Some(14));
    for (_, bytes) in &sent {
        pair.b.session.receive(bytes, pair.now).unwrap();
    }
    let last = pair.b.take().pop();
    assert_eq!(last, Some(Event::Goodbye { reason: GoodbyeReason::Replaced, text: "bye".into() }));
    for code in 0..=255 {
        let reason = GoodbyeReason::from_code(code);
        assert_eq!(reason.code(), code.min(8));
    }
}

#[test]
fn silence_brings_a_ping_and_then_death_once() {
    let mut pair = Pair::new();
    let start = pair.now;
    assert_eq!(pair.a.session.next_timeout(), start + limits::PING_AFTER);
    pair.pass(Duration::from_millis(4_999));
    assert!(pair.a.session.transmit().is_empty());
    pair.pass(Duration::from_millis(1));
    assert_eq!(frames(&pair.a.drain_wire())[0].0, 9);
    assert_eq!(pair.a.session.next_timeout(), start + limits::PING_AFTER + limits::PONG_WITHIN);
    pair.pass(limits::PONG_WITHIN - Duration::from_millis(1));
    assert_eq!(pair.a.take(), []);
    pair.pass(Duration::from_millis(1));
    assert_eq!(pair.a.take(), [Event::Dead]);
    pair.pass(Duration::from_secs(60));
    assert_eq!(pair.a.take(), []);
    assert_eq!(pair.a.session.next_timeout(), Time::from_micros(u64::MAX));
}

#[test]
fn one_byte_is_proof_of_life() {
    let mut pair = Pair::new();
    pair.pass(Duration::from_secs(5));
    pair.b.session.ping(pair.now);
    let byte = pair.b.drain_wire()[0];
    pair.pass(Duration::from_secs(6));
    pair.a.session.receive(&[byte], pair.now).unwrap();
    pair.pass(Duration::from_secs(2));
    assert_eq!(pair.a.take(), []);
    assert_eq!(pair.a.session.next_timeout(), pair.now + Duration::from_secs(3));
}

#[test]
fn who_was_stopped_for_long_asks_before_it_buries() {
    let mut pair = Pair::new();
    pair.pass(Duration::from_secs(3_600));
    assert_eq!(pair.a.take(), []);
    pair.settle();
    assert!(matches!(pair.a.take()[..], [Event::Pong { .. }]));
    pair.pass(Duration::from_secs(4));
    assert_eq!((pair.a.take(), pair.b.take().len()), (vec![], 1));
}

#[test]
fn idle_pairs_live_for_ever() {
    let mut pair = Pair::new();
    for _ in 0..1_000 {
        pair.pass(Duration::from_secs(1));
        pair.settle();
    }
    let alive = |event: &Event| matches!(event, Event::Pong { .. });
    assert!(pair.a.take().iter().all(alive) && pair.b.take().iter().all(alive));
}

#[test]
fn a_round_trip_is_measured() {
    let mut pair = Pair::new();
    assert_eq!(pair.a.session.rtt(), None);
    pair.a.session.ping(pair.now);
    pair.deliver(true);
    pair.now = pair.now + Duration::from_millis(30);
    pair.deliver(false);
    let rtt = Duration::from_millis(30);
    assert_eq!(pair.a.take(), [Event::Pong { rtt }]);
    assert_eq!(pair.a.session.rtt(), Some(rtt));
    // Of two at once the later counts; a PONG nobody asked for does not.
    pair.a.session.ping(pair.now);
    pair.a.session.ping(pair.now);
    pair.settle();
    assert_eq!(pair.a.take().len(), 1);
    let mut lone = Lone::new(Role::Dialer);
    lone.say(&Frame::Pong { nonce: 1 }).unwrap();
    assert_eq!(lone.side.take(), []);
}

#[test]
fn stream_ids_are_of_each_side() {
    let mut pair = Pair::new();
    assert_eq!((pair.a.session.new_stream_id(), pair.a.session.new_stream_id()), (2, 4));
    let stream = pair.b.session.ask_for_stream(&kind("FILE"));
    assert_eq!(stream, 1);
    pair.settle();
    assert_eq!(pair.a.take(), [Event::OpenStream { stream: 1, kind: kind("FILE") }]);
    pair.a.session.refuse_stream(stream, &Outcome::Failed("n".repeat(5_000)));
    pair.settle();
    assert_eq!(
        pair.b.take(),
        [Event::StreamRefused { stream: 1, why: Outcome::Failed("n".repeat(limits::MAX_TEXT)) }]
    );
}
