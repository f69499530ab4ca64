//! One session and a peer that says whatever it likes.
#![no_main]
#[allow(dead_code, unused_imports, reason = "the other target runs the rest")]
#[path = "../../crates/compeer-proto/tests/support/oplist.rs"]
mod oplist;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oplist::hostile(data));
