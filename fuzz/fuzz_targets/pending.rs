//! Any list of callers leaves the table of handshakes as a simple model is.
#![no_main]
#[allow(dead_code, reason = "the framework uses the rest")]
#[path = "../../crates/compeer/src/peer/accept/pending.rs"]
mod pending;
#[path = "../../crates/compeer/tests/support/pending_oplist.rs"]
mod pending_oplist;

libfuzzer_sys::fuzz_target!(|data: &[u8]| pending_oplist::run(data));
