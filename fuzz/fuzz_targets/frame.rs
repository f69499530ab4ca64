//! Any bytes are a frame or an error, and a frame that is written again reads the same.
#![no_main]
use compeer_proto::frame::{decode, encode};

libfuzzer_sys::fuzz_target!(|data: &[u8]| if let Ok(Some(frame)) = decode(data) {
    let mut again = Vec::new();
    encode(&frame, &mut again);
    assert_eq!(decode(&again), Ok(Some(frame)));
});
