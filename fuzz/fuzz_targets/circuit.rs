//! Circuits: a line of carriers and the book of one by lists of operations, and any bytes as frames.
#![no_main]
#[path = "../../crates/compeer-proto/tests/support/circuit_oplist.rs"]
mod oplist;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    oplist::line(data);
    oplist::book(data);
    oplist::frames(data);
});
