//! Any list of calls and crashes leaves a journal as a model is, and no damage adds anything to it.
#![no_main]
#[path = "../../crates/compeer-share/tests/support/journal_oplist.rs"]
mod journal_oplist;

libfuzzer_sys::fuzz_target!(|data: &[u8]| journal_oplist::run(data));
