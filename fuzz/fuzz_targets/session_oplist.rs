//! Two sessions that keep the rules, driven by a list of operations.
#![no_main]
#[allow(dead_code, unused_imports, reason = "the other target runs the rest")]
#[path = "../../crates/compeer-proto/tests/support/oplist.rs"]
mod oplist;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oplist::honest(data));
