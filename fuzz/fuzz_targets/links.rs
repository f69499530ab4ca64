//! Any comings and goings leave the table of connections as a simple model is.
#![no_main]
#![allow(dead_code, reason = "the framework uses the rest")]
#[path = "../../crates/compeer/tests/support/link.rs"]
mod link;
#[path = "../../crates/compeer/src/links.rs"]
mod links;
#[path = "../../crates/compeer/tests/support/links_oplist.rs"]
mod links_oplist;
#[path = "../../crates/compeer/src/strangers.rs"]
mod strangers;

use compeer::limits;
use link::lock;

libfuzzer_sys::fuzz_target!(|data: &[u8]| links_oplist::run(data));
