//! Any list of calls leaves a plan as a simple model is, and it comes to its end.
#![no_main]
#[path = "../../crates/compeer-share/tests/support/plan_oplist.rs"]
mod plan_oplist;

libfuzzer_sys::fuzz_target!(|data: &[u8]| plan_oplist::run(data));
