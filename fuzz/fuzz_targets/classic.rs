//! Any bytes in any pieces are frames or too long a frame, and what was read is written as it came.
#![no_main]
use compeer_proto::classic::{Reader, encode};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((piece, data)) = data.split_first() else { return };
    let (mut reader, mut rest, mut again) = (Reader::new(1000), data, Vec::new());
    while !rest.is_empty() {
        let (now, later) = rest.split_at(reader.wants().min(usize::from(*piece) + 1).min(rest.len()));
        rest = later;
        match reader.feed(now) {
            Ok(Some(frame)) => again.extend(encode(frame.kind.as_bytes(), &frame.body).unwrap()),
            Ok(None) => {}
            Err(error) => return assert!(error.len > 1000),
        }
    }
    assert!(data.starts_with(&again) && data.len() - again.len() < 1008);
});
