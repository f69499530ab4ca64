//! Bounds of what others can make the program hold, beyond those of the libraries.
//!
//! The wire and the framework have theirs in `limits.rs` of their crates, files in that of `compeer-share`. Each has its unit
//! and its reason; a number that is a guess says so.

/// Requests that wait at the desk of one `compeer on`. Unit: requests. A guess: some seconds of work; more would make
/// callers wait for what they could have had elsewhere.
pub(crate) const MAX_WAITING: usize = 64;

/// Those of paired peers alone. Unit: requests. However many households of strangers there are, they leave these free. A
/// quarter; a guess.
pub(crate) const MAX_WAITING_PAIRED: usize = MAX_WAITING / 4;

/// Those of one paired peer, or of one household of others. Unit: requests. A quarter, so that one caller leaves places to
/// others; a guess.
pub(crate) const MAX_WAITING_EACH: usize = MAX_WAITING / 4;

/// Jobs done for one `compeer on` at a time. Unit: jobs. Each is a request of the command at work, of which there may be
/// 1,024.
pub(crate) const MAX_JOBS: usize = 512;

/// Lines of a `call --spread` that were read and not handed over. Unit: lines. A guess: enough to keep the largest peers busy
/// beside a slow one.
pub(crate) const SPREAD_LINES: usize = 4096;

/// Lines and answers of a spread that are held, and the answers that are expected. Unit: bytes. A guess.
pub(crate) const SPREAD_HELD: usize = 32 * 1024 * 1024;

/// Held beyond which no line is read. Unit: bytes. Half, so that there is room for answers.
pub(crate) const SPREAD_READ: usize = SPREAD_HELD / 2;

/// What an answer is expected to have. Unit: bytes. So at most 512 lines are asked at a time, however small their answers
/// have been, and what comes is 512 MiB at most if all of them turn out as large as can be.
pub(crate) const SPREAD_LEAST_ANSWER: usize = 64 * 1024;

/// Answers of which the largest is what another is expected to have. Unit: answers. A guess: as many as tell how long lines
/// take.
pub(crate) const SPREAD_REMEMBERED: usize = 64;

/// Peers of a spread beyond which none that has gone is remembered. Unit: peers. A guess: some times as many as are asked at
/// once.
pub(crate) const SPREAD_SEATS: usize = 1024;

/// The most that one peer is given at a time, whatever it says. Unit: lines. What all together are asked with the smallest
/// answers.
pub(crate) const SPREAD_WINDOW: usize = 512;

/// How often a peer may hold lines as if at work and then say that it did not begin, without answering any in between.
/// Unit: times. Each time the others are waited for anew, so there is an end to it. A guess: a desk that is opened again does it
/// once.
pub(crate) const SPREAD_REFUSALS: u32 = 3;

/// Replies to one line of a spread. Unit: replies. They are put together to one answer of 1 MiB at most; a peer that sends
/// empty ones without end is stopped by this. A guess: replies of 64 bytes that make up such an answer.
pub(crate) const SPREAD_REPLIES: usize = 16 * 1024;
