//! Every [`Violation`], by the frame that is one, and its honest neighbour.

use super::*;
use crate::frame::{FLAG_NO_REPLY, FLAG_OPEN, FrameError};

fn open_frame(id: u64) -> Frame<'static> {
    Frame::Request { id, flags: FLAG_OPEN, timeout_ms: 0, len: 0, kind: b"TEST", body: b"" }
}

fn oneway_frame(id: u64, len: u32, body: &[u8]) -> Frame<'_> {
    Frame::Request { id, flags: FLAG_NO_REPLY, timeout_ms: 0, len, kind: b"TEST", body }
}

/// A server that got these frames, the last of which it answers like this.
fn served(frames: &[Frame<'_>]) -> Result<(), Violation> {
    let mut lone = Lone::new(Role::Acceptor);
    let (last, before) = frames.split_last().unwrap();
    for frame in before {
        lone.say(frame).unwrap();
    }
    lone.say(last)
}

/// The same for a caller with one open request, 2.
fn called(frames: &[Frame<'_>]) -> Result<(), Violation> {
    let mut lone = Lone::new(Role::Dialer);
    let options = RequestOptions { open: true, timeout: None };
    lone.side.session.request(message(b""), options, lone.now).unwrap();
    let (last, before) = frames.split_last().unwrap();
    for frame in before {
        lone.say(frame).unwrap();
    }
    lone.say(last)
}

#[test]
fn bytes_that_are_no_frame() {
    let mut lone = Lone::new(Role::Acceptor);
    let got = lone.side.session.receive(&[0, 0], lone.now);
    assert_eq!(got, Err(Violation::Frame(FrameError::Length(0))));
    let mut lone = Lone::new(Role::Acceptor);
    let got = lone.side.session.receive(&[0x3f, 0xff], lone.now);
    assert_eq!(got, Err(Violation::Frame(FrameError::Length(0x3fff))));
    let mut lone = Lone::new(Role::Acceptor);
    assert_eq!(lone.side.session.receive(&[0, 1, 99], lone.now), Err(Violation::Frame(FrameError::Type(99))));
    let mut lone = Lone::new(Role::Acceptor);
    let got = lone.side.session.receive(&[0, 2, 9, 0x80], lone.now);
    assert_eq!(got, Err(Violation::Frame(FrameError::Header(9))));
    // The largest frame of a type to be skipped is skipped.
    let mut largest = vec![0; limits::MAX_FRAME];
    largest[..3].copy_from_slice(&[0x3f, 0xfe, 200]);
    assert_eq!(lone.side.session.receive(&[], lone.now), Ok(()));
    assert_eq!(Lone::new(Role::Acceptor).side.session.receive(&largest, lone.now), Ok(()));
}

#[test]
fn hello_first_and_once() {
    for bytes in [&[0, 2, 9, 7][..], &[0, 1, 200]] {
        let mut lone = Lone::silent(config(Role::Acceptor));
        assert_eq!(lone.side.session.receive(bytes, lone.now), Err(Violation::Hello));
    }
    assert_eq!(served(&[Frame::Hello(Hello::default())]), Err(Violation::Hello));
}

#[test]
fn hello_names_enough() {
    let least = PeerLimits {
        max_requests: 1,
        max_body: limits::MIN_WINDOW,
        window: limits::MIN_WINDOW,
        notify_window: limits::MIN_NOTIFY_WINDOW,
    };
    let hello = |limits| {
        Lone::silent(config(Role::Acceptor)).say(&Frame::Hello(Hello { limits, ..Hello::default() }))
    };
    assert_eq!(hello(least), Ok(()));
    let bad = [
        PeerLimits { max_requests: 0, ..least },
        PeerLimits { max_body: limits::MIN_WINDOW - 1, ..least },
        PeerLimits { window: limits::MIN_WINDOW - 1, ..least },
        PeerLimits { notify_window: limits::MIN_NOTIFY_WINDOW - 1, ..least },
    ];
    for limits in bad {
        assert_eq!(hello(limits), Err(Violation::Limits), "{limits:?}");
    }
}

#[test]
fn request_ids_rise_and_are_of_the_right_side() {
    for id in [0, 1, 3] {
        assert_eq!(served(&[request_frame(id, 0, b"")]), Err(Violation::RequestId(id)));
    }
    assert_eq!(served(&[request_frame(4, 0, b""), request_frame(4, 0, b"")]), Err(Violation::RequestId(4)));
    assert_eq!(served(&[request_frame(4, 0, b""), request_frame(2, 0, b"")]), Err(Violation::RequestId(2)));
    assert_eq!(served(&[request_frame(4, 0, b""), request_frame(u64::MAX - 1, 0, b"")]), Ok(()));
}

#[test]
fn frames_name_requests_that_were() {
    let unknown = |id| {
        [
            Frame::Message { id, len: 0, kind: b"K", body: b"" },
            Frame::Reply { id, len: 0, kind: b"K", body: b"" },
            Frame::Data { id, body: b"x" },
            Frame::Finish { id },
            Frame::Cancel { id },
            Frame::End { id, status: 0, text: b"" },
            Frame::Credit { id, bytes: 1 },
        ]
    };
    for id in [1, 4] {
        for frame in unknown(id) {
            assert_eq!(served(std::slice::from_ref(&frame)), Err(Violation::RequestId(id)), "{frame:?}");
        }
    }
    // Of the caller's own requests, only the server's frames, and the other way round.
    for frame in [
        Frame::Message { id: 2, len: 0, kind: b"K", body: b"" },
        Frame::Finish { id: 2 },
        Frame::Cancel { id: 2 },
    ] {
        assert_eq!(called(&[frame]), Err(Violation::RequestId(2)));
    }
    for frame in
        [Frame::Reply { id: 2, len: 0, kind: b"K", body: b"" }, Frame::End { id: 2, status: 0, text: b"" }]
    {
        assert_eq!(served(&[open_frame(2), frame]), Err(Violation::RequestId(2)));
    }
    // Of one that is over they may have crossed its END.
    for frame in unknown(2) {
        let ours = matches!(frame, Frame::Reply { .. } | Frame::End { .. });
        if !ours {
            assert_eq!(served(&[open_frame(2), Frame::Cancel { id: 2 }, frame]), Ok(()));
        }
    }
}

#[test]
fn kinds_have_1_to_64_bytes() {
    for kind in [&b""[..], &[b'k'; 65]] {
        let request = Frame::Request { id: 2, flags: 0, timeout_ms: 0, len: 0, kind, body: b"" };
        assert_eq!(served(&[request]), Err(Violation::Kind));
        assert_eq!(
            served(&[open_frame(2), Frame::Message { id: 2, len: 0, kind, body: b"" }]),
            Err(Violation::Kind)
        );
        assert_eq!(called(&[Frame::Reply { id: 2, len: 0, kind, body: b"" }]), Err(Violation::Kind));
        assert_eq!(called(&[Frame::OpenStream { stream: 1, kind }]), Err(Violation::Kind));
    }
    let kind = &[b'k'; 64];
    assert_eq!(served(&[Frame::Request { id: 2, flags: 0, timeout_ms: 0, len: 0, kind, body: b"" }]), Ok(()));
}

#[test]
fn bodies_keep_to_the_limit() {
    let (most, beyond) = (limits::MAX_BODY, limits::MAX_BODY + 1);
    let big = Err(Violation::BodyTooLarge(beyond));
    assert_eq!(served(&[request_frame(2, most, b"x")]), Ok(()));
    assert_eq!(served(&[request_frame(2, beyond, b"x")]), big);
    assert_eq!(served(&[open_frame(2), Frame::Message { id: 2, len: most, kind: b"K", body: b"" }]), Ok(()));
    assert_eq!(served(&[open_frame(2), Frame::Message { id: 2, len: beyond, kind: b"K", body: b"" }]), big);
    assert_eq!(called(&[Frame::Reply { id: 2, len: beyond, kind: b"K", body: b"" }]), big);
    assert_eq!(served(&[oneway_frame(2, beyond, &[0; 9_000])]), big);
}

#[test]
fn a_message_has_no_more_bytes_than_it_said() {
    assert_eq!(served(&[request_frame(2, 1, b"xy")]), Err(Violation::Excess(2)));
    assert_eq!(
        served(&[request_frame(2, 3, b"xy"), Frame::Data { id: 2, body: b"zz" }]),
        Err(Violation::Excess(2))
    );
    assert_eq!(served(&[request_frame(2, 3, b"xy"), Frame::Data { id: 2, body: b"z" }]), Ok(()));
    assert_eq!(served(&[oneway_frame(2, 1, b"xy")]), Err(Violation::Excess(2)));
    let first = [0; limits::MIN_FRAGMENT];
    let len = limits::MIN_FRAGMENT as u32 + 1;
    assert_eq!(
        served(&[oneway_frame(2, len, &first), Frame::Data { id: 2, body: b"zz" }]),
        Err(Violation::Excess(2))
    );
}

#[test]
fn frames_of_a_message_come_in_order() {
    let more = Frame::Message { id: 2, len: 5, kind: b"K", body: b"x" };
    let order = Err(Violation::Order(2));
    assert_eq!(served(&[open_frame(2), Frame::Data { id: 2, body: b"x" }]), order);
    assert_eq!(served(&[open_frame(2), more.clone(), more.clone()]), order);
    assert_eq!(served(&[open_frame(2), more.clone(), Frame::Finish { id: 2 }]), order);
    assert_eq!(served(&[open_frame(2), Frame::Finish { id: 2 }, Frame::Finish { id: 2 }]), order);
    assert_eq!(served(&[open_frame(2), Frame::Finish { id: 2 }, more.clone()]), order);
    assert_eq!(served(&[request_frame(2, 0, b""), more]), order);
    assert_eq!(served(&[request_frame(2, 0, b""), Frame::Finish { id: 2 }]), order);
    let reply = Frame::Reply { id: 2, len: 5, kind: b"K", body: b"x" };
    assert_eq!(called(&[reply.clone(), reply]), order);
    // Of a one-way request that is over nothing is kept to judge by.
    assert_eq!(served(&[oneway_frame(2, 0, b""), Frame::Data { id: 2, body: b"x" }]), Ok(()));
}

#[test]
fn credit_is_kept_to_the_byte() {
    let mut config = config(Role::Acceptor);
    config.hello.limits.window = limits::MIN_WINDOW;
    let room = limits::MIN_WINDOW as usize - 64 - 4;
    let full = body(room + 1);
    let mut lone = Lone::with(config.clone());
    assert_eq!(lone.say(&request_frame(2, room as u32, &full[..room])), Ok(()));
    let mut lone = Lone::with(config.clone());
    assert_eq!(lone.say(&request_frame(2, room as u32 + 1, &full)), Err(Violation::Credit(2)));
    // A claim is for this message and no more.
    let mut lone = Lone::with(config);
    lone.say(&Frame::Request { id: 2, flags: FLAG_OPEN, timeout_ms: 0, len: 0, kind: b"TEST", body: b"" })
        .unwrap();
    lone.say(&Frame::Message { id: 2, len: 5_000, kind: b"TEST", body: b"x" }).unwrap();
    lone.say(&Frame::Data { id: 2, body: &body(4_999) }).unwrap();
    let next = Frame::Message { id: 2, len: 0, kind: b"K", body: b"" };
    assert_eq!(lone.say(&next), Err(Violation::Credit(2)));
}

#[test]
fn credit_of_one_way_requests_is_kept_to_the_byte() {
    let mut config = config(Role::Acceptor);
    config.hello.limits.notify_window = limits::MIN_NOTIFY_WINDOW;
    let mut lone = Lone::with(config);
    let large = body(16_000);
    lone.say(&oneway_frame(2, limits::MAX_BODY, &large)).unwrap();
    let left = limits::MIN_WINDOW as usize - 2 * 68;
    assert_eq!(lone.say(&oneway_frame(4, left as u32, &large[..left])), Ok(()));
    assert_eq!(lone.say(&oneway_frame(6, 0, b"")), Err(Violation::Credit(0)));
}

#[test]
fn no_more_requests_at_a_time_than_agreed() {
    let mut lone = Lone::new(Role::Acceptor);
    for n in 1..=u64::from(limits::MAX_REQUESTS) {
        lone.say(&request_frame(2 * n, 0, b"")).unwrap();
    }
    lone.say(&oneway_frame(5_000, 0, b"")).unwrap();
    lone.side.session.end(RequestId(2), Outcome::Done);
    // Its END has not left, so its place is not free.
    assert_eq!(lone.say(&request_frame(6_000, 0, b"")), Err(Violation::TooManyRequests));
    lone.side.drain_wire();
    assert_eq!(lone.say(&request_frame(6_002, 0, b"")), Ok(()));
}

#[test]
fn one_way_requests_are_not_cut_too_small() {
    let first = [0; limits::MIN_FRAGMENT];
    let len = limits::MIN_FRAGMENT as u32 + 1;
    assert_eq!(served(&[oneway_frame(2, len, &first)]), Ok(()));
    assert_eq!(served(&[oneway_frame(2, len, &first[1..])]), Err(Violation::Fragment));
    // So many can be unfinished, and no more.
    let mut lone = Lone::new(Role::Acceptor);
    let fits = u64::from(limits::NOTIFY_WINDOW) / (u64::from(len) + 68);
    for n in 1..=fits {
        lone.say(&oneway_frame(2 * n, len, &first)).unwrap();
    }
    assert_eq!(lone.say(&oneway_frame(2 * fits + 2, len, &first)), Err(Violation::Credit(0)));
}

#[test]
fn nothing_is_started_after_drain() {
    assert_eq!(served(&[Frame::Drain, Frame::Drain]), Ok(()));
    assert_eq!(served(&[Frame::Drain, request_frame(2, 0, b"")]), Err(Violation::AfterDrain));
    assert_eq!(served(&[Frame::Drain, oneway_frame(2, 0, b"")]), Err(Violation::AfterDrain));
}

#[test]
fn streams_are_asked_of_who_dialled() {
    let ask = |stream| Frame::OpenStream { stream, kind: b"FILE" };
    assert_eq!(called(&[ask(1)]), Ok(()));
    assert_eq!(called(&[ask(2)]), Err(Violation::StreamId));
    assert_eq!(served(&[ask(1)]), Err(Violation::StreamId));
    let refuse = |stream| Frame::RefuseStream { stream, status: 1, text: b"no" };
    let mut lone = Lone::new(Role::Acceptor);
    let stream = lone.side.session.ask_for_stream(&kind("FILE"));
    assert_eq!(lone.say(&refuse(stream)), Ok(()));
    assert_eq!(lone.side.take(), [Event::StreamRefused { stream, why: Outcome::Failed("no".into()) }]);
    assert_eq!(lone.say(&refuse(stream + 2)), Err(Violation::StreamId));
    assert_eq!(called(&[refuse(1)]), Err(Violation::StreamId));
}
