//! Several machines of the overlay, driven by a list of operations.
#![no_main]
#[path = "../../crates/compeer-proto/tests/support/overlay_oplist.rs"]
mod overlay_oplist;

libfuzzer_sys::fuzz_target!(|data: &[u8]| overlay_oplist::run(data));
