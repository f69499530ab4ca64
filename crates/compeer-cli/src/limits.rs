//! Bounds of what others can make the program hold, beyond those of the libraries.
//!
//! The wire and the framework have theirs in `limits.rs` of their crates, files in that of `compeer-share`. Each has its unit
//! and its reason; a number that is a guess says so.

/// Requests that wait at the desk of one `compeer on`. Unit: requests. A guess: some seconds of work; more would make
/// callers wait for what they could have had elsewhere.
pub(crate) const MAX_WAITING: usize = 64;

/// Those of one paired peer, or of one household of others. Unit: requests. A quarter, so that one caller leaves places to
/// others; a guess.
pub(crate) const MAX_WAITING_EACH: usize = MAX_WAITING / 4;

/// Jobs done for one `compeer on` at a time. Unit: jobs. Each is a request of the command at work, of which there may be
/// 1,024.
pub(crate) const MAX_JOBS: usize = 512;
