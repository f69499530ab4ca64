//! Budgets, and what a peer that only takes can make us keep.

use super::*;

const MIB: usize = 1024 * 1024;

#[test]
fn a_connection_beyond_its_budget_is_busy() {
    let mut pair = Pair::new();
    let ids: Vec<_> = (0..8).map(|_| pair.ask(&body(MIB))).collect();
    pair.settle();
    assert_eq!(outcomes(&pair.a.take()), [Outcome::Busy]);
    let served = requests(&pair.b.take());
    assert_eq!(served.len(), 7);
    assert!(pair.used().1 <= limits::CONNECTION_BUDGET);
    // Small ones still have room, and the large one when others are done.
    let small = pair.ask(b"small");
    pair.settle();
    assert_eq!(requests(&pair.b.take())[0].0, small);
    pair.b.session.end(served[0].0, Outcome::Done);
    pair.settle();
    pair.ask(&body(MIB));
    pair.settle();
    assert_eq!(requests(&pair.b.take()).len(), 1);
    assert_eq!(ids.len(), 8);
}

#[test]
fn the_budget_of_a_connection_is_kept_to_the_byte() {
    for over in [0, 1] {
        let mut lone = Lone::new(Role::Acceptor);
        let cost = 64 + 4 + limits::MAX_BODY as usize;
        let rest = limits::CONNECTION_BUDGET - 7 * cost - 68 + over;
        for n in 1..=7 {
            lone.say(&request_frame(2 * n, limits::MAX_BODY, b"x")).unwrap();
        }
        lone.side.drain_wire();
        lone.say(&request_frame(16, rest as u32, b"x")).unwrap();
        let ended = frames(&lone.side.drain_wire()).iter().any(|(kind, _)| *kind == 7);
        assert_eq!(ended, over == 1);
        assert_eq!(lone.side.session.held as usize, limits::CONNECTION_BUDGET - over * (rest + 67));
    }
}

#[test]
fn the_budget_of_the_process_is_kept_to_the_byte() {
    for over in [0, 1] {
        let shared = budget(1_000);
        let mut lone = Lone::with(Config { budget: shared.clone(), ..config(Role::Acceptor) });
        lone.say(&request_frame(2, 1_000 - 68 + over, b"x")).unwrap();
        assert_eq!(shared.used(), if over == 0 { 1_000 } else { 0 });
    }
}

#[test]
fn requests_of_ours_are_bounded_whatever_the_peer_offers() {
    let mut b = config(Role::Acceptor);
    b.hello.limits.max_requests = u32::MAX;
    let mut pair = Pair::with(config(Role::Dialer), b);
    for _ in 0..limits::MAX_REQUESTS_SENT {
        pair.ask(b"");
    }
    let one_more = pair.a.session.request(message(b""), RequestOptions::default(), pair.now);
    assert_eq!(one_more, Err(SendError::Blocked));
}

#[test]
fn an_open_request_without_memory_for_more_ends_busy() {
    let mut pair = Pair::new();
    let id = pair.ask_open(b"");
    pair.settle();
    pair.b.take();
    for _ in 0..7 {
        pair.ask(&body(MIB));
    }
    pair.settle();
    pair.b.take();
    pair.a.session.send(id, message(&body(MIB))).unwrap();
    pair.settle();
    assert_eq!(pair.b.take(), [Event::Cancelled { id, outcome: Outcome::Busy }]);
    assert_eq!(pair.a.take(), [Event::Ended { id, outcome: Outcome::Busy }]);
}

#[test]
fn the_process_budget_is_shared_and_nobody_gets_all_of_it() {
    let shared = budget(4 * MIB);
    let acceptor = || Config { budget: shared.clone(), ..config(Role::Acceptor) };
    let mut one = Pair::with(config(Role::Dialer), acceptor());
    let mut two = Pair::with(config(Role::Dialer), acceptor());
    for _ in 0..4 {
        one.ask(&body(MIB - 100));
    }
    one.settle();
    // No more than is left for the others.
    assert_eq!(requests(&one.b.take()).len(), 2);
    assert_eq!(outcomes(&one.a.take()), [Outcome::Busy, Outcome::Busy]);
    two.ask(&body(MIB - 100));
    two.ask(&body(MIB - 100));
    two.settle();
    assert_eq!(requests(&two.b.take()).len(), 1);
    assert_eq!(outcomes(&two.a.take()), [Outcome::Busy]);
    // A one-way request that finds no room is lost, its credit is not.
    for _ in 0..20 {
        two.a.session.notify(message(&body(MIB - 100))).unwrap();
        two.settle();
    }
    assert_eq!(two.b.take(), []);
    drop(one);
    two.a.session.notify(message(&body(MIB - 100))).unwrap();
    two.settle();
    assert!(matches!(two.b.take()[..], [Event::Notify { .. }]));
    drop(two);
    assert_eq!(shared.used(), 0);
}

/// Twenty replies of the largest size on one connection, more than its budget.
#[test]
fn replies_too_large_for_the_moment_go_on_one_by_one() {
    for (limit, width) in [(limits::PROCESS_BUDGET, 20), (MIB / 2, 5)] {
        let a = Config { budget: budget(limit), ..config(Role::Dialer) };
        let mut pair = Pair::with(a, config(Role::Acceptor));
        let ids: Vec<_> = (0..width).map(|_| pair.ask(b"")).collect();
        pair.settle();
        pair.b.take();
        for id in &ids {
            pair.b.session.reply(*id, message(&body(MIB))).unwrap();
            pair.b.session.end(*id, Outcome::Done);
        }
        let mut got = 0;
        while got < width {
            pair.settle();
            let events = pair.a.take();
            assert!(!replies(&events).is_empty(), "stuck after {got}");
            let windows = width * limits::WINDOW as usize;
            assert!(pair.used().0 <= limit.max(MIB) + windows + MIB);
            for event in events {
                if let Event::Reply { id, message } = event {
                    assert!(message.body == body(MIB));
                    pair.a.session.consumed(id, &message);
                    got += 1;
                }
            }
        }
        pair.settle();
        pair.assert_quiet();
    }
}

/// As before, but nobody reads what came: then no more comes, until somebody does.
#[test]
fn unread_large_replies_stop_further_ones_and_cancel_frees_them() {
    let mut pair = Pair::new();
    let ids: Vec<_> = (0..20).map(|_| pair.ask(b"")).collect();
    pair.settle();
    pair.b.take();
    for id in &ids {
        pair.b.session.reply(*id, message(&body(MIB))).unwrap();
    }
    pair.settle();
    let come = replies(&pair.a.take()).len();
    assert!((7..=8).contains(&come), "{come}");
    let windows = 20 * limits::WINDOW as usize;
    assert!(pair.used().0 <= limits::CONNECTION_BUDGET + windows);
    for id in &ids {
        pair.a.session.cancel(*id, pair.now);
        pair.settle();
    }
    assert_eq!(replies(&pair.a.take()).len(), 20 - come);
    pair.assert_quiet();
}

/// A waiting reply whose window opens again needs its claim no more, and is counted all the same.
#[test]
fn credit_that_comes_back_may_do_what_a_claim_waited_for() {
    let a = Config { budget: budget(MIB), ..config(Role::Dialer) };
    let mut pair = Pair::with(a, config(Role::Acceptor));
    let [unread, id] = [pair.ask(b""), pair.ask(b"")];
    pair.settle();
    pair.b.session.reply(unread, message(&body(MIB))).unwrap();
    for _ in 0..2 {
        pair.settle();
        pair.b.session.reply(id, message(&body(40_000))).unwrap();
    }
    pair.settle();
    let come = replies(&pair.a.take());
    assert_eq!((come.len(), pair.a.session.claims.len()), (2, 1));
    pair.a.session.consumed(id, &come[1]);
    pair.settle();
    assert_eq!((replies(&pair.a.take()).len(), pair.a.session.claims.len()), (1, 0));
    assert_eq!(pair.a.session.held as usize, MIB + 68 + 40_000 + 68);
}

#[test]
fn a_claim_hears_of_room_that_another_session_left() {
    let shared = budget(3 * MIB);
    let dialer = || Config { budget: shared.clone(), ..config(Role::Dialer) };
    let mut one = Pair::with(dialer(), config(Role::Acceptor));
    let mut two = Pair::with(dialer(), config(Role::Acceptor));
    let mut come = [0, 0];
    for (pair, come) in [&mut one, &mut two].into_iter().zip(&mut come) {
        for id in [pair.ask(b""), pair.ask(b"")] {
            pair.settle();
            pair.b.session.reply(id, message(&body(900_000))).unwrap();
            pair.settle();
            *come += replies(&pair.a.take()).len();
        }
    }
    assert_eq!((come, two.a.session.claims.len()), ([2, 1], 1));
    drop(one);
    // What waits here is told at the next timer.
    two.pass(limits::PING_AFTER);
    two.settle();
    assert_eq!((replies(&two.a.take()).len(), two.a.session.claims.len()), (1, 0));
}

#[test]
fn budgets_are_given_back_when_sessions_drop() {
    let (mine, theirs) = (budget(limits::PROCESS_BUDGET), budget(limits::PROCESS_BUDGET));
    let a = Config { budget: mine.clone(), ..config(Role::Dialer) };
    let b = Config { budget: theirs.clone(), ..config(Role::Acceptor) };
    let mut pair = Pair::with(a, b);
    let id = pair.ask_open(&body(300_000));
    pair.a.session.notify(message(&body(500))).ok();
    pair.settle();
    pair.a.session.send(id, message(&body(5_000))).unwrap();
    pair.a.session.notify(message(&body(MIB))).unwrap();
    pair.b.session.reply(id, message(&body(MIB))).unwrap();
    pair.deliver(true);
    pair.deliver(false);
    assert!(mine.used() > 0 && theirs.used() > 300_000);
    drop(pair);
    assert_eq!((mine.used(), theirs.used()), (0, 0));
}

#[test]
fn pings_unread_make_nothing_grow() {
    let mut lone = Lone::new(Role::Acceptor);
    for nonce in 0..100_000 {
        lone.say(&Frame::Ping { nonce }).unwrap();
    }
    let wire = lone.side.drain_wire();
    assert_eq!(frame::decode(&wire), Ok(Some(Frame::Pong { nonce: 99_999 })));
}

#[test]
fn ends_unread_are_bounded_by_the_requests_allowed() {
    let mut lone = Lone::new(Role::Acceptor);
    let mut id = 2;
    let refused = loop {
        match lone.say(&request_frame(id, 0, b"")) {
            Ok(()) => lone.side.session.end(RequestId(id), Outcome::Failed("x".repeat(5_000))),
            Err(violation) => break violation,
        }
        id += 2;
    };
    assert_eq!((refused, id / 2 - 1), (Violation::TooManyRequests, u64::from(limits::MAX_REQUESTS)));
    let wire = lone.side.drain_wire().len();
    assert!(wire < limits::OUTBOX_WORDS + 64 * limits::MAX_REQUESTS as usize, "{wire}");
}

#[test]
fn turns_and_claims_of_cancelled_requests_do_not_pile_up() {
    let mut lone = Lone::new(Role::Acceptor);
    for id in (2..200_000).step_by(2) {
        if lone.say(&request_frame(id, 0, b"")).is_err() {
            break;
        }
        lone.side.session.reply(RequestId(id), message(&body(60_000))).unwrap();
        lone.say(&Frame::Cancel { id }).unwrap();
        assert!(lone.side.session.ready.len() <= limits::MAX_REQUESTS as usize);
    }
    assert!(lone.side.session.ready.is_empty());
    assert!(lone.side.session.exchanges.is_empty());
}

#[test]
fn a_server_that_never_ends_what_was_cancelled_holds_no_memory() {
    let mut lone = Lone::new(Role::Dialer);
    let session = &mut lone.side.session;
    for _ in 0..limits::MAX_REQUESTS {
        session.request(message(b""), RequestOptions::default(), lone.now).unwrap();
    }
    lone.side.drain_wire();
    for id in (2..).step_by(2).take(limits::MAX_REQUESTS as usize) {
        let half = body(10_000);
        lone.say(&Frame::Reply { id, len: 1 << 20, kind: b"R", body: &half }).unwrap();
        lone.side.session.cancel(RequestId(id), lone.now);
        // Whatever else it says of it is dropped, and no credit is needed for that.
        for _ in 0..10 {
            lone.say(&Frame::Data { id, body: &half }).unwrap();
        }
        lone.say(&Frame::Reply { id, len: 1 << 20, kind: b"R", body: &half }).unwrap();
        lone.say(&Frame::Credit { id, bytes: 1 }).unwrap();
    }
    assert_eq!((lone.side.session.held, lone.side.session.debts), (0, 0));
    assert!(lone.side.session.claims.is_empty() && lone.side.session.ready.is_empty());
    let again = lone.side.session.request(message(b""), RequestOptions::default(), lone.now);
    assert_eq!(again, Err(SendError::Blocked));
    let due = lone.now + limits::CANCEL_ANSWERED_WITHIN;
    lone.now = due + limits::LATE_TIMER;
    // Woken late: they get their time once more.
    lone.side.session.handle_timeout(lone.now).unwrap();
    let due = lone.now + limits::CANCEL_ANSWERED_WITHIN;
    lone.side.session.handle_timeout(Time::from_micros(due.as_micros() - 1)).unwrap();
    assert_eq!(lone.side.session.handle_timeout(due), Err(Violation::CancelIgnored));
}

#[test]
fn a_peer_that_takes_nothing_in_is_backlogged() {
    let mut lone = Lone::new(Role::Dialer);
    let mut stream = 1;
    for in_flight in [0, 100] {
        for _ in 0..in_flight {
            lone.side.session.request(message(b""), RequestOptions::default(), lone.now).unwrap();
        }
        lone.side.drain_wire();
        while !lone.side.session.is_backlogged() {
            lone.say(&Frame::OpenStream { stream, kind: b"FILE" }).unwrap();
            lone.side.session.refuse_stream(stream, &Outcome::NoHandler);
            stream += 2;
            lone.side.take();
        }
        // To the brim, and one refusal over.
        let brim = limits::OUTBOX_BACKLOG + in_flight * limits::OUTBOX_PER_REQUEST;
        let waiting = lone.side.drain_wire().len();
        assert!((brim + 1..brim + 16).contains(&waiting), "{waiting}, not {brim}");
        assert!(!lone.side.session.is_backlogged());
    }
}

/// What an honest pair can have waiting is below what makes a peer stop reading.
#[test]
fn an_honest_pair_is_never_backlogged() {
    let mut pair = Pair::new();
    let ids: Vec<_> = (0..limits::MAX_REQUESTS).map(|_| pair.ask_open(b"")).collect();
    pair.settle();
    pair.b.take();
    for id in &ids {
        while pair.a.session.send(*id, message(&[0; 2_000])) == Ok(()) {}
    }
    for _ in 0..4 {
        pair.settle();
        // Everything is consumed while nothing leaves, and then all fail with many words.
        for event in pair.b.take() {
            if let Event::Message { id, message } = event {
                pair.b.session.consumed(id, &message);
            }
        }
        assert!(!pair.b.session.is_backlogged());
        for id in &ids {
            while pair.a.session.send(*id, message(&[0; 20_000])) == Ok(()) {}
        }
    }
    for id in &ids {
        pair.b.session.end(*id, Outcome::Failed("x".repeat(2_000)));
        pair.a.session.cancel(*id, pair.now);
    }
    assert!(!pair.b.session.is_backlogged() && !pair.a.session.is_backlogged());
    pair.settle();
    pair.assert_quiet();
}

#[test]
fn an_unfinished_body_takes_no_more_than_its_length() {
    let (mut partial, whole) = (Vec::new(), 1 << 20);
    let lane::Begun::Partial(mut lane) = lane::Partial::begin(2, kind("K"), whole, b"x").unwrap() else {
        panic!()
    };
    partial.push(b'x');
    while partial.len() < whole as usize {
        let more = vec![b'y'; 16_000.min(whole as usize - partial.len())];
        partial.extend_from_slice(&more);
        let message = lane.push(2, &more).unwrap();
        assert!(lane.capacity() <= (2 * partial.len()).min(whole as usize));
        assert_eq!(message.is_some(), partial.len() == whole as usize);
    }
}

#[test]
fn a_quiet_session_keeps_little() {
    let mut pair = Pair::new();
    for _ in 0..50 {
        pair.ask(&body(100_000));
    }
    pair.settle();
    for (id, _) in requests(&pair.b.take()) {
        pair.b.session.end(id, Outcome::Done);
    }
    pair.settle();
    pair.a.take();
    pair.pass(limits::PING_AFTER);
    assert!(pair.a.session.out.capacity() < 1_024);
    assert!(pair.a.session.ready.capacity() <= 64 && pair.a.session.events.capacity() <= 64);
}
