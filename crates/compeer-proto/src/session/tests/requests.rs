//! Requests from start to END: bodies, order, replies, open ones, giving up, deadlines.

use super::*;

/// Everything the server got so far is answered with its own body.
fn echo(pair: &mut Pair) {
    for (id, body) in requests(&pair.b.take()) {
        pair.b.session.reply(id, message(&body)).unwrap();
        pair.b.session.end(id, Outcome::Done);
    }
}

#[test]
fn a_request_is_replied_to_and_ends_once() {
    let mut pair = Pair::new();
    let id = pair.ask(b"hello");
    pair.settle();
    let events = pair.b.take();
    let [Event::Request { id: theirs, message: asked, deadline: None, open: false }] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!((theirs.get(), &asked.body[..]), (id.get(), &b"hello"[..]));
    pair.b.session.reply(*theirs, message(b"world")).unwrap();
    pair.b.session.end(*theirs, Outcome::Done);
    pair.b.session.end(*theirs, Outcome::Busy);
    assert_eq!(pair.b.session.reply(*theirs, message(b"late")), Err(SendError::Over));
    pair.settle();
    assert_eq!(
        pair.a.take(),
        [Event::Reply { id, message: message(b"world") }, Event::Ended { id, outcome: Outcome::Done }]
    );
    pair.assert_quiet();
}

#[test]
fn both_sides_ask_at_once_with_ids_of_their_own() {
    let mut pair = Pair::new();
    let even = pair.ask(b"a");
    let odd = pair.b.session.request(message(b"b"), RequestOptions::default(), pair.now).unwrap();
    assert_eq!((even.get(), odd.get()), (2, 1));
    pair.settle();
    for side in [&mut pair.a, &mut pair.b] {
        for (id, _) in requests(&side.take()) {
            side.session.end(id, Outcome::NoHandler);
        }
    }
    pair.settle();
    assert_eq!(outcomes(&pair.a.take()), [Outcome::NoHandler]);
    assert_eq!(outcomes(&pair.b.take()), [Outcome::NoHandler]);
    pair.assert_quiet();
}

#[test]
fn largest_bodies_arrive_whole_however_the_bytes_are_split() {
    for split in [0, 1, 2, 3] {
        let mut pair = Pair::new();
        pair.split = split;
        let sent = body(limits::MAX_BODY as usize);
        let id = pair.ask(&sent);
        pair.settle();
        let got = requests(&pair.b.take());
        assert!(got.len() == 1 && got[0].1 == sent);
        pair.b.session.reply(got[0].0, message(&sent)).unwrap();
        pair.b.session.end(got[0].0, Outcome::Done);
        pair.settle();
        let events = pair.a.take();
        assert!(replies(&events)[0].body == sent);
        assert_eq!(events.last(), Some(&Event::Ended { id, outcome: Outcome::Done }));
        pair.assert_quiet();
    }
}

#[test]
fn bytes_one_at_a_time_are_the_same() {
    let mut pair = Pair::new();
    pair.ask(&body(20_000));
    let wire = pair.a.drain_wire();
    for byte in &wire {
        pair.b.session.receive(std::slice::from_ref(byte), pair.now).unwrap();
    }
    assert!(requests(&pair.b.take())[0].1 == body(20_000));
}

#[test]
fn many_replies_stream_beyond_the_window() {
    let mut pair = Pair::new();
    pair.ask(b"list");
    pair.settle();
    let id = requests(&pair.b.take())[0].0;
    let (mut sent, mut got) = (0u32, 0u32);
    while got < 200 {
        while sent < 200 && pair.b.session.reply(id, message(&[sent as u8; 3_000])) == Ok(()) {
            sent += 1;
        }
        pair.settle();
        let events = pair.a.take();
        assert!(!replies(&events).is_empty(), "stuck after {got} replies");
        for reply in replies(&events) {
            assert_eq!(reply.body[..], [got as u8; 3_000]);
            pair.a.session.consumed(id, &reply);
            got += 1;
        }
        pair.settle();
    }
    pair.b.session.end(id, Outcome::Done);
    pair.settle();
    assert_eq!(outcomes(&pair.a.take()), [Outcome::Done]);
    pair.assert_quiet();
}

/// Further messages beyond the window, small ones and such as claim.
#[test]
fn an_open_request_goes_on_as_long_as_messages_are_consumed() {
    for len in [0, 1_000, 100_000, limits::MAX_BODY as usize] {
        let mut pair = Pair::new();
        let id = pair.ask_open(&body(len));
        let (mut sent, mut got, mut finished) = (0, 0, false);
        let (next, count) = (message(&body(len)), if len > 500_000 { 8 } else { 80 });
        while !finished {
            while sent < count && pair.a.session.send(id, next.clone()) == Ok(()) {
                sent += 1;
                if sent == count {
                    pair.a.session.finish(id);
                }
            }
            pair.settle();
            let events = pair.b.take();
            assert!(!events.is_empty(), "stuck at {got} of {len}");
            for event in events {
                match event {
                    Event::Request { message, open, .. } => assert!(open && message.body.len() == len),
                    Event::Message { id, message } => {
                        assert!(message == next);
                        pair.b.session.consumed(id, &message);
                        got += 1;
                    }
                    Event::Finished { .. } => finished = true,
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(got, count);
        pair.b.session.end(id, Outcome::Done);
        pair.settle();
        assert_eq!(pair.a.session.send(id, message(b"")), Err(SendError::Over));
        pair.assert_quiet();
    }
}

#[test]
fn what_is_blocked_hears_writable_also_when_nothing_more_can_be_said() {
    let mut pair = Pair::new();
    let id = pair.ask_open(&body(200_000));
    assert_eq!(pair.a.session.send(id, message(b"next")), Err(SendError::Blocked));
    pair.a.session.finish(id);
    assert_eq!(pair.a.session.send(id, message(b"next")), Err(SendError::Over));
    pair.settle();
    assert_eq!(pair.a.take(), [Event::Writable { id }]);
    assert!(matches!(pair.b.take()[..], [Event::Request { .. }, Event::Finished { .. }]));
    let large = message(&body(200_000));
    pair.b.session.reply(id, large.clone()).unwrap();
    assert_eq!(pair.b.session.reply(id, large.clone()), Err(SendError::Blocked));
    pair.b.session.end(id, Outcome::Done);
    assert_eq!(pair.b.session.reply(id, large), Err(SendError::Over));
    pair.settle();
    assert_eq!(pair.b.take(), [Event::Writable { id }]);
    pair.a.take();
    pair.assert_quiet();
}

#[test]
fn who_ended_a_request_hears_no_more_of_it_but_that_it_need_not_wait() {
    let mut pair = Pair::new();
    let id = pair.ask_open(b"");
    pair.settle();
    pair.b.take();
    let large = message(&body(500_000));
    pair.b.session.reply(id, large.clone()).unwrap();
    assert_eq!(pair.b.session.reply(id, large), Err(SendError::Blocked));
    pair.b.session.end(id, Outcome::Done);
    pair.a.session.send(id, message(&body(100_000))).unwrap();
    pair.a.session.finish(id);
    pair.deliver(true);
    pair.a.session.cancel(id, pair.now);
    pair.settle();
    assert_eq!(pair.b.take(), [Event::Writable { id }]);
    pair.assert_quiet();
}

#[test]
fn a_request_cancelled_before_it_left_is_never_heard_of() {
    let mut pair = Pair::new();
    // The outbox is full, so that the second has no turn.
    let first = pair.ask(&body(500_000));
    pair.ask(&body(500_000));
    let second = pair.ask(b"never");
    pair.a.session.cancel(second, pair.now);
    let third = pair.ask(b"later");
    pair.settle();
    let got: Vec<_> = requests(&pair.b.take()).iter().map(|(id, _)| *id).collect();
    assert_eq!(got.len(), 3);
    assert!(got.contains(&first) && got.contains(&third));
    for id in got {
        pair.b.session.end(id, Outcome::Done);
    }
    pair.settle();
    pair.assert_quiet();
}

#[test]
fn a_request_cancelled_half_way_through_its_body_ends() {
    let mut pair = Pair::new();
    let id = pair.ask_open(&body(1_000_000));
    assert_eq!(pair.a.session.send(id, message(b"next")), Err(SendError::Blocked));
    pair.deliver(true);
    pair.a.session.cancel(id, pair.now);
    pair.a.session.cancel(id, pair.now);
    pair.a.session.finish(id);
    assert_eq!(pair.a.session.send(id, message(b"next")), Err(SendError::Over));
    assert_eq!(pair.a.session.requests_in_flight(), 1);
    pair.settle();
    // Nobody hears of it, on either side.
    assert_eq!((pair.a.take(), pair.b.take()), (vec![], vec![]));
    pair.assert_quiet();
}

#[test]
fn a_request_cancelled_after_replies_began_stops_the_server() {
    let mut pair = Pair::new();
    let id = pair.ask(b"");
    pair.settle();
    pair.b.take();
    pair.b.session.reply(id, message(&body(1_000_000))).unwrap();
    assert_eq!(pair.b.session.reply(id, message(b"")), Err(SendError::Blocked));
    pair.deliver(false);
    assert!(pair.a.session.held > 0);
    pair.a.session.cancel(id, pair.now);
    assert_eq!(pair.a.session.held, 0);
    pair.settle();
    assert_eq!(pair.a.take(), []);
    assert_eq!(pair.b.take(), [Event::Cancelled { id, outcome: Outcome::Cancelled }]);
    assert_eq!(pair.b.session.reply(id, message(b"")), Err(SendError::Over));
    pair.assert_quiet();
}

#[test]
fn cancel_and_end_may_cross() {
    let mut pair = Pair::new();
    let id = pair.ask(b"");
    pair.settle();
    pair.b.take();
    pair.b.session.reply(id, message(b"done")).unwrap();
    pair.b.session.end(id, Outcome::Done);
    pair.a.session.cancel(id, pair.now);
    pair.settle();
    assert_eq!((pair.a.take(), pair.b.take()), (vec![], vec![]));
    pair.assert_quiet();
}

#[test]
fn an_end_stops_the_rest_of_the_body() {
    let mut pair = Pair::new();
    let id = pair.ask_open(b"");
    pair.settle();
    pair.b.take();
    pair.a.session.send(id, message(&body(1_000_000))).unwrap();
    pair.deliver(true);
    pair.b.session.end(id, Outcome::Denied);
    pair.settle();
    assert_eq!(pair.a.take(), [Event::Ended { id, outcome: Outcome::Denied }]);
    assert_eq!(pair.b.take(), []);
    pair.assert_quiet();
}

#[test]
fn the_caller_gives_up_at_its_deadline() {
    let mut pair = Pair::new();
    let options = RequestOptions { timeout: Some(Duration::from_millis(300)), open: false };
    let id = pair.a.session.request(message(b""), options, pair.now).unwrap();
    assert_eq!(pair.a.session.next_timeout(), pair.now + Duration::from_millis(300));
    pair.now = pair.now + Duration::from_millis(300);
    pair.a.session.handle_timeout(pair.now).unwrap();
    assert_eq!(pair.a.take(), [Event::Ended { id, outcome: Outcome::TimedOut }]);
    pair.settle();
    // The request was in the outbox: it comes, and is cancelled behind itself.
    assert!(matches!(pair.b.take()[..], [Event::Request { .. }, Event::Cancelled { .. }]));
    assert_eq!(pair.a.take(), []);
    pair.assert_quiet();
}

#[test]
fn the_server_stops_at_the_deadline_it_was_told() {
    let mut pair = Pair::new();
    let options = RequestOptions { timeout: Some(Duration::from_millis(300)), open: false };
    let id = pair.a.session.request(message(b""), options, pair.now).unwrap();
    pair.settle();
    let told = pair.now + Duration::from_millis(300);
    assert!(matches!(pair.b.take()[..], [Event::Request { deadline: Some(at), .. }] if at == told));
    assert_eq!(pair.b.session.next_timeout(), told);
    pair.now = told;
    pair.b.session.handle_timeout(pair.now).unwrap();
    assert_eq!(pair.b.take(), [Event::Cancelled { id, outcome: Outcome::TimedOut }]);
    pair.settle();
    assert_eq!(pair.a.take(), [Event::Ended { id, outcome: Outcome::TimedOut }]);
    pair.assert_quiet();
}

#[test]
fn a_timeout_of_nothing_is_a_deadline_and_one_of_for_ever_is_none_too_late() {
    let mut pair = Pair::new();
    for timeout in [Duration::ZERO, Duration::MAX] {
        let options = RequestOptions { timeout: Some(timeout), open: false };
        pair.a.session.request(message(b""), options, pair.now).unwrap();
    }
    pair.settle();
    let events = pair.b.take();
    assert!(events.iter().all(|event| matches!(event, Event::Request { deadline: Some(_), .. })));
    pair.pass(Duration::from_secs(1));
    assert_eq!(outcomes(&pair.a.take()), [Outcome::TimedOut]);
    assert_eq!(pair.a.session.requests_in_flight(), 2);
}

#[test]
fn ids_rise_on_the_wire_whatever_the_order_of_verbs() {
    let mut pair = Pair::new();
    for round in 0..40 {
        pair.ask(&body(round * 4_000));
        let small = pair.a.session.notify(message(b"small"));
        let large = pair.a.session.notify(message(&body(20_000)));
        assert!([small, large].iter().all(|sent| matches!(sent, Ok(()) | Err(SendError::Blocked))));
        let unheard = pair.ask(b"");
        if round % 3 == 0 {
            pair.a.session.cancel(unheard, pair.now);
        }
        pair.deliver(true);
    }
    // `deliver` asserts it: an id that does not rise is a violation.
    pair.settle();
    assert!(requests(&pair.b.take()).len() >= 40);
}

#[test]
fn a_short_request_is_not_stuck_behind_a_long_one() {
    let mut pair = Pair::new();
    pair.ask(&body(1_000_000));
    pair.deliver(true);
    let short = pair.ask(b"short");
    pair.deliver(true);
    pair.deliver(true);
    assert_eq!(requests(&pair.b.take()), [(short, Bytes::from_static(b"short"))]);
}

#[test]
fn words_are_cut_and_unknown_status_reads_as_failure() {
    let mut pair = Pair::new();
    let id = pair.ask(b"");
    pair.settle();
    pair.b.take();
    pair.b.session.end(id, Outcome::Failed("ä".repeat(2_000)));
    pair.settle();
    assert_eq!(outcomes(&pair.a.take()), [Outcome::Failed("ä".repeat(limits::MAX_TEXT / 2))]);
    assert_eq!(Outcome::from_wire(200, b"new"), Outcome::Failed("new".into()));
    let long = Outcome::from_wire(1, &[b'x'; 5_000]);
    assert_eq!(long, Outcome::Failed("x".repeat(limits::MAX_TEXT)));
}

#[test]
fn an_echo_of_a_thousand_at_once() {
    let mut pair = Pair::new();
    pair.split = 7;
    for i in 0..limits::MAX_REQUESTS {
        pair.ask(&i.to_be_bytes());
    }
    assert_eq!(
        pair.a.session.request(message(b""), RequestOptions::default(), pair.now),
        Err(SendError::Blocked)
    );
    pair.settle();
    echo(&mut pair);
    pair.settle();
    let events = pair.a.take();
    assert_eq!(outcomes(&events).len(), limits::MAX_REQUESTS as usize);
    assert_eq!(replies(&events).len(), limits::MAX_REQUESTS as usize);
    assert_eq!(events.iter().filter(|event| **event == Event::Room).count(), 1);
    pair.assert_quiet();
}
