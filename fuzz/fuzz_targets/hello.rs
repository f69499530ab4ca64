//! HELLO, behind a length and a type that are right.
#![no_main]
use compeer_proto::frame::decode;

libfuzzer_sys::fuzz_target!(|data: &[u8]| if let Ok(len) = u16::try_from(data.len() + 1) {
    let _ = decode(&[&len.to_be_bytes()[..], &[0], data].concat());
});
