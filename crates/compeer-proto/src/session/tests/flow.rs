//! Credit: a slow reader holds up itself alone, one-way requests have a window
//! of their own, and control frames go before bulk.

use super::*;

#[test]
fn a_reader_that_does_not_read_stops_its_sender_and_nobody_else() {
    let mut pair = Pair::new();
    let slow = pair.ask(b"");
    pair.settle();
    pair.b.take();
    let mut sent = 0;
    while pair.b.session.reply(slow, message(&[0; 1_000])) == Ok(()) {
        sent += 1;
        pair.settle();
    }
    // A window's worth, one that claimed its rest, and one that waits in the lane.
    let cost = 1_000 + 4 + limits::MESSAGE_OVERHEAD;
    assert_eq!(sent, limits::WINDOW / cost + 2);
    let unread = replies(&pair.a.take());
    assert_eq!(pair.used().0, unread.len() * cost as usize);
    pair.b.take();

    for round in 0..1_000u32 {
        let id = pair.ask(&round.to_be_bytes());
        pair.settle();
        let asked = requests(&pair.b.take());
        pair.b.session.reply(asked[0].0, message(&asked[0].1)).unwrap();
        pair.b.session.end(id, Outcome::Done);
        pair.settle();
        let events = pair.a.take();
        assert_eq!(
            (replies(&events)[0].body[..].to_vec(), outcomes(&events)),
            (round.to_be_bytes().to_vec(), vec![Outcome::Done])
        );
    }

    assert_eq!(pair.b.session.reply(slow, message(b"")), Err(SendError::Blocked));
    for reply in &unread {
        pair.a.session.consumed(slow, reply);
    }
    pair.settle();
    assert_eq!(pair.b.take(), [Event::Writable { id: slow }]);
}

#[test]
fn a_thousand_slow_readers_stop_after_a_window_each() {
    let mut pair = Pair::new();
    let ids: Vec<_> = (0..1_000).map(|_| pair.ask(b"")).collect();
    pair.settle();
    pair.b.take();
    for id in &ids {
        while pair.b.session.reply(*id, message(&[0; 16_000])) == Ok(()) {
            pair.settle();
        }
    }
    pair.settle();
    // Beside what their windows let in, claims are granted within the budget only.
    assert!(pair.used().0 <= 1_000 * limits::WINDOW as usize + limits::CONNECTION_BUDGET);
    assert!(pair.used().0 > 900 * limits::WINDOW as usize);
    for id in ids {
        pair.a.session.cancel(id, pair.now);
    }
    assert_eq!(pair.used().0, 0);
    pair.settle();
    pair.assert_quiet();
}

#[test]
fn every_window_size_keeps_going() {
    for window in [limits::MIN_WINDOW, limits::MIN_WINDOW + 1, 10_000, u32::MAX] {
        for len in [0, 1, 1_983, 1_984, 1_985, 4_000, 4_096, 60_000] {
            let mut a = config(Role::Dialer);
            a.hello.limits.window = window;
            let mut pair = Pair::with(a, config(Role::Acceptor));
            let id = pair.ask(b"");
            pair.settle();
            pair.b.take();
            let mut got = 0;
            let reply = message(&body(len));
            for _ in 0..20 {
                while pair.b.session.reply(id, reply.clone()) == Ok(()) {}
                pair.settle();
                let replies = replies(&pair.a.take());
                assert!(!replies.is_empty(), "window {window}, length {len}: stuck after {got}");
                got += replies.len();
                for reply in replies {
                    pair.a.session.consumed(id, &reply);
                }
                pair.settle();
            }
            pair.a.session.cancel(id, pair.now);
            pair.settle();
            pair.assert_quiet();
        }
    }
}

#[test]
fn control_frames_overtake_bulk() {
    let mut pair = Pair::new();
    for _ in 0..20 {
        pair.ask(&body(100_000));
    }
    let on_the_wire = pair.a.session.transmit().len();
    pair.a.session.advance(on_the_wire);
    pair.ask(&body(100_000));
    pair.a.session.ping(pair.now);
    let kinds: Vec<u8> = frames(pair.a.session.transmit()).iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds[0], 9);
    assert!(kinds[1..].iter().all(|kind| *kind == 1 || *kind == 4));
    assert!(on_the_wire <= limits::OUTBOX_HIGH_WATER + limits::MAX_FRAME);
}

#[test]
fn one_way_requests_block_when_unhandled_and_go_on() {
    let mut pair = Pair::new();
    let (mut sent, mut owed, mut got) = (0u32, 0u64, 0u32);
    for _ in 0..20 {
        while pair.a.session.notify(message(&sent.to_be_bytes().repeat(1_000))) == Ok(()) {
            sent += 1;
            pair.settle();
        }
        pair.settle();
        let events = pair.b.take();
        assert!(!events.is_empty(), "stuck after {got}");
        for event in events {
            let Event::Notify { message, cost } = event else { panic!("{event:?}") };
            assert!(message.body[..] == got.to_be_bytes().repeat(1_000));
            got += 1;
            owed += u64::from(cost);
        }
        assert!(owed <= u64::from(limits::NOTIFY_WINDOW));
        assert_eq!(pair.used().1 as u64, owed);
        assert_eq!(pair.a.session.notify(message(&[0; 4_000])), Err(SendError::Blocked));
        pair.a.take();
        pair.b.session.notify_done(owed);
        owed = 0;
        pair.settle();
        assert_eq!(pair.a.take(), [Event::Room]);
    }
    assert_eq!(sent, got);
    pair.assert_quiet();
}

#[test]
fn the_largest_one_way_request_always_has_its_turn() {
    for window in [0, limits::MIN_NOTIFY_WINDOW + 1, limits::NOTIFY_WINDOW] {
        for handled in [1, 64, 5_000, 300_000] {
            let mut b = config(Role::Acceptor);
            // Below the least: raised to it.
            b.hello.limits.notify_window = window;
            let mut pair = Pair::with(config(Role::Dialer), b);
            for len in [handled, limits::MAX_BODY as usize, handled, limits::MAX_BODY as usize] {
                pair.a.session.notify(message(&body(len))).unwrap();
                pair.settle();
                let events = pair.b.take();
                let [Event::Notify { message, cost }] = &events[..] else { panic!("{events:?}") };
                assert!(message.body == body(len));
                pair.b.session.notify_done(u64::from(*cost));
                pair.settle();
            }
            pair.assert_quiet();
        }
    }
}

#[test]
fn a_one_way_request_waits_for_the_socket() {
    let mut pair = Pair::new();
    pair.ask(&body(500_000));
    pair.ask(&body(500_000));
    assert_eq!(pair.a.session.notify(message(b"")), Err(SendError::Blocked));
    pair.deliver(true);
    assert!(pair.a.take().contains(&Event::Room));
    while pair.a.session.notify(message(b"")) == Err(SendError::Blocked) {
        assert!(pair.deliver(true) + pair.deliver(false) > 0);
        assert!(pair.a.take().contains(&Event::Room));
    }
}

#[test]
fn bodies_beyond_the_peers_limit_are_refused_here() {
    let mut b = config(Role::Acceptor);
    b.hello.limits.max_body = 5_000;
    let mut pair = Pair::with(config(Role::Dialer), b);
    let large = SendError::TooLarge { len: 5_001, max: 5_000 };
    let options = RequestOptions { open: true, timeout: None };
    assert_eq!(pair.a.session.request(message(&[0; 5_001]), options, pair.now), Err(large));
    assert_eq!(pair.a.session.notify(message(&[0; 5_001])), Err(large));
    let id = pair.ask_open(&[0; 5_000]);
    assert_eq!(pair.a.session.send(id, message(&[0; 5_001])), Err(large));
    pair.settle();
    pair.b.take();
    pair.b.session.reply(id, message(&[0; 5_001])).unwrap();
    let beyond = SendError::TooLarge { len: 1_048_577, max: 1_048_576 };
    assert_eq!(pair.b.session.reply(id, message(&[0; 1_048_577])), Err(beyond));
}
