use proptest::prelude::*;

use super::*;

fn samples() -> Vec<Frame<'static>> {
    let mut ext = crate::ext::Ext::new();
    ext.push(EXT_NAME, b"bob").unwrap();
    vec![
        Frame::Hello(Hello {
            agent: "compeer/0.1.0".into(),
            instance: *b"0123456789abcdef",
            listen: vec!["192.168.1.20:26673".parse().unwrap()],
            ext,
            ..Hello::default()
        }),
        Frame::Request { id: 2, flags: FLAG_OPEN, timeout_ms: 30_000, len: 5, kind: b"ECHO", body: b"hel" },
        Frame::Message { id: 2, len: 1, kind: b"MORE", body: b"x" },
        Frame::Reply { id: 2, len: 0, kind: b"REPL", body: b"" },
        Frame::Data { id: 2, body: b"lo" },
        Frame::Finish { id: 2 },
        Frame::Cancel { id: 300 },
        Frame::End { id: 2, status: 1, text: b"no such song" },
        Frame::Credit { id: 0, bytes: 65_536 },
        Frame::Ping { nonce: 1 },
        Frame::Pong { nonce: 1 },
        Frame::OpenStream { stream: 1, kind: b"FILE" },
        Frame::RefuseStream { stream: 1, status: 1, text: b"no" },
        Frame::Drain,
        Frame::Goodbye { reason: 0, text: b"bye" },
    ]
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[test]
fn every_frame_reads_as_it_was_written() {
    for frame in samples() {
        let mut bytes = Vec::new();
        encode(&frame, &mut bytes);
        assert_eq!(decode(&bytes), Ok(Some(frame)));
    }
}

/// The wire is pinned: a change here is a decision with a page.
#[test]
fn bytes_are_the_golden_ones() {
    let mut lines = String::new();
    for frame in samples() {
        let mut bytes = Vec::new();
        encode(&frame, &mut bytes);
        lines.push_str(&hex(&bytes));
        lines.push('\n');
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/frames.txt");
    if std::env::var_os("COMPEER_BLESS").is_some() {
        std::fs::write(path, &lines).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), lines);
}

#[test]
fn types_from_128_are_skipped_and_others_refused() {
    assert_eq!(decode(&[0, 3, 200, 1, 2]), Ok(None));
    assert_eq!(decode(&[0, 1, 127]), Err(FrameError::Type(127)));
}

#[test]
fn lengths_outside_the_limit_are_refused() {
    assert_eq!(frame_len(&[0, 0]), Err(FrameError::Length(0)));
    assert_eq!(frame_len(&[0x40, 0]), Err(FrameError::Length(0x4000)));
    assert_eq!(frame_len(&[0x3f, 0xfe]), Ok(Some(limits::MAX_FRAME)));
    assert_eq!(frame_len(&[0]), Ok(None));
}

#[test]
fn the_largest_header_leaves_room_for_a_full_body() {
    let body = vec![0; limits::MAX_FRAME_BODY];
    let kind = [b'k'; 64];
    let frame = Frame::Request {
        id: u64::MAX,
        flags: 255,
        timeout_ms: u64::MAX,
        len: u32::MAX,
        kind: &kind,
        body: &body,
    };
    let mut bytes = Vec::new();
    encode(&frame, &mut bytes);
    assert_eq!(decode(&bytes), Ok(Some(frame)));
}

/// Found by the fuzzer: the session refuses such a kind, but it is a frame.
#[test]
fn a_kind_that_is_too_long_is_written_as_it_was_read() {
    let frame = Frame::Message { id: 2, len: 0, kind: &[b'k'; 103], body: b"" };
    let mut bytes = Vec::new();
    encode(&frame, &mut bytes);
    assert_eq!(decode(&bytes), Ok(Some(frame)));
}

#[test]
fn the_largest_hello_fits_a_frame() {
    let mut ext = crate::ext::Ext::new();
    ext.push(EXT_NAME, &[b'n'; limits::MAX_EXT_BYTES]).unwrap();
    let host = format!("{0}.{0}.{0}.{1}", "h".repeat(63), "h".repeat(61));
    let listen = vec![Addr::dns(&host, 1).unwrap(); limits::MAX_ADDRS];
    let hello = Hello { agent: "a".repeat(limits::MAX_AGENT), listen, ext, ..Hello::default() };
    let mut bytes = Vec::new();
    encode(&Frame::Hello(hello.clone()), &mut bytes);
    assert_eq!(decode(&bytes), Ok(Some(Frame::Hello(hello))));
}

#[test]
fn an_agent_beyond_the_limit_is_cut_here_and_refused_there() {
    let hello = |len| Hello { agent: "a".repeat(len), ..Hello::default() };
    let mut bytes = Vec::new();
    encode(&Frame::Hello(hello(limits::MAX_AGENT + 1)), &mut bytes);
    assert_eq!(decode(&bytes), Ok(Some(Frame::Hello(hello(limits::MAX_AGENT)))));
    bytes.insert(4, b'a');
    bytes[1] += 1;
    bytes[3] += 1;
    assert_eq!(decode(&bytes), Err(FrameError::Header(0)));
}

use crate::Addr;

proptest! {
    #[test]
    fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn a_frame_with_any_header_bytes_is_safe(kind in 0u8..20, rest in proptest::collection::vec(any::<u8>(), 0..100)) {
        let mut bytes = vec![0, u8::try_from(rest.len() + 1).unwrap(), kind];
        bytes.extend(rest);
        if let Ok(Some(frame)) = decode(&bytes) {
            let mut again = Vec::new();
            encode(&frame, &mut again);
            prop_assert_eq!(decode(&again), Ok(Some(frame)));
        }
    }
}
