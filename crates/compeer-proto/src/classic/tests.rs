//! Frames in any pieces, bounds, and types that are no four letters.

use super::*;

/// Feeds bytes in pieces of at most `piece`; gives the frames and how many bytes were not taken.
fn read(mut bytes: &[u8], piece: usize, most: u32) -> Result<Vec<Message>, TooLong> {
    let (mut reader, mut frames) = (Reader::new(most), Vec::new());
    while !bytes.is_empty() {
        let (now, rest) = bytes.split_at(reader.wants().min(piece).min(bytes.len()));
        bytes = rest;
        frames.extend(reader.feed(now)?);
    }
    Ok(frames)
}

#[test]
fn frames_read_as_they_were_written_in_any_pieces() {
    let bodies = [&b""[..], b"hi", &[0xff; 70_000]];
    let bytes: Vec<u8> = bodies.iter().flat_map(|body| encode(b"ECHO", body).unwrap()).collect();
    for piece in [1, 3, 8, 4096, usize::MAX] {
        let frames = read(&bytes, piece, 100_000).unwrap();
        assert_eq!(frames.len(), 3);
        for (frame, body) in frames.iter().zip(bodies) {
            assert_eq!((frame.kind.as_bytes(), &frame.body[..]), (&b"ECHO"[..], body));
        }
    }
}

#[test]
fn the_examples_of_the_protocol() {
    assert_eq!(encode(b"ECHO", b"hi").unwrap(), [0x45, 0x43, 0x48, 0x4f, 0, 0, 0, 2, 0x68, 0x69]);
    assert_eq!(encode(b"PING", b"").unwrap(), [0x50, 0x49, 0x4e, 0x47, 0, 0, 0, 0]);
    assert_eq!(encode(b"AB", b"short").unwrap()[..8], [0x41, 0x42, 0, 0, 0, 0, 0, 5]);
    assert_eq!(encode(b"ABCDEFG", b"long").unwrap()[..8], [0x41, 0x42, 0x43, 0x44, 0, 0, 0, 4]);
}

#[test]
fn a_frame_takes_what_it_may_and_not_one_byte_more() {
    let fits = encode(b"FILL", &[7; 1000]).unwrap();
    assert_eq!(read(&fits, usize::MAX, 1000).unwrap().len(), 1);
    let error = read(&fits, usize::MAX, 999).unwrap_err();
    assert_eq!(error, TooLong { len: 1000, most: 999 });
    // The length alone is enough to refuse it: nothing is kept for it.
    let mut reader = Reader::new(1000);
    assert!(reader.feed(&header(b"HUGE", u32::MAX)).is_err());
}

#[test]
fn what_follows_a_frame_is_not_wanted() {
    let mut reader = Reader::new(10);
    assert_eq!(reader.wants(), 8);
    assert_eq!(reader.feed(&header(b"ECHO", 2)).unwrap(), None);
    assert_eq!((reader.wants(), reader.payload(), reader.is_begun()), (2, Some(2), true));
    assert_eq!(&reader.feed(b"hi and more").unwrap().unwrap().body[..], b"hi");
    assert_eq!((reader.wants(), reader.is_begun()), (8, false));
}

#[test]
fn a_payload_may_be_taken_as_it_comes() {
    let mut reader = Reader::new(10);
    assert_eq!((reader.kind(), reader.part().len()), (None, 0));
    assert_eq!(reader.feed(&header(b"REPL", 5)).unwrap(), None);
    assert_eq!(reader.kind(), Kind::new(b"REPL").ok());
    assert_eq!(reader.feed(b"so").unwrap(), None);
    assert_eq!((reader.kept(), &reader.part()[..], reader.kept(), reader.wants()), (2, &b"so"[..], 0, 3));
    assert_eq!(&reader.feed(b"on!").unwrap().unwrap().body[..], b"on!");
    // The next one is whole.
    assert_eq!(read(&encode(b"ECHO", b"hi").unwrap(), 1, 10).unwrap()[0].body, "hi");
    assert_eq!((reader.kind(), reader.wants()), (None, 8));
}

#[test]
fn types_of_requests_are_upper_cased_in_ascii_only() {
    let kind = |bytes: &[u8]| Kind::new(bytes).unwrap();
    assert_eq!(dispatched(kind(b"eChO")), kind(b"ECHO"));
    assert_eq!(dispatched(kind(b"12!\xff")), kind(b"12!\xff"));
    assert_eq!(dispatched(kind(b"a\0\0\0")), kind(b"A\0\0\0"));
}

proptest::proptest! {
    /// As the fuzz target has it: what was read is written as it came, and no more is kept than a frame.
    #[test]
    fn any_bytes_in_any_pieces(data: Vec<u8>, piece in 1..20usize) {
        let mut again = Vec::new();
        match read(&data, piece, 1000) {
            Ok(frames) => {
                for frame in frames {
                    again.extend(encode(frame.kind.as_bytes(), &frame.body).unwrap());
                }
                assert!(data.starts_with(&again) && data.len() - again.len() < HEADER_LEN + 1000);
            }
            Err(error) => assert!(error.len > 1000),
        }
    }
}
