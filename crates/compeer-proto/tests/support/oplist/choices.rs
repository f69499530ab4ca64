//! What the bytes of an operation list choose: operations, lengths, and the bodies that go with them.
//!
//! No randomness of its own, so that the same bytes are the same run anywhere.

use compeer_proto::Kind;
use compeer_proto::session::Message;

/// Bytes read as choices; when they are used up, the run ends.
pub(crate) struct Choices<'a> {
    pub(crate) bytes: &'a [u8],
    /// So many bytes of bodies, then they are short: a list is to do much, not to copy much.
    ample: usize,
}

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Choices { bytes, ample: 2 << 20 }
    }

    pub(crate) fn len(&mut self) -> usize {
        let len = self.of(&LENGTHS);
        self.ample = self.ample.saturating_sub(len);
        if self.ample > 0 { len } else { len % 5_000 }
    }

    pub(crate) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    /// One of these, the first when there are no more bytes.
    pub(crate) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.next().unwrap_or(0)) % choices.len()]
    }

    pub(crate) fn one_in(&mut self, n: u8) -> bool {
        self.next().is_some_and(|byte| byte % n == n - 1)
    }
}

/// Lengths at which something changes: frames, fragments, windows, limits.
pub(crate) const LENGTHS: [usize; 16] = [
    0,
    1,
    7,
    100,
    1_000,
    3_900,
    4_096,
    8_191,
    8_192,
    16_287,
    16_288,
    16_289,
    33_000,
    70_000,
    200_000,
    1 << 20,
];

/// A body that only this message has.
pub(crate) fn body(direction: u8, id: u64, number: u64, len: usize) -> Vec<u8> {
    let seed = (id << 20) ^ (number << 2) ^ u64::from(direction);
    let mut bytes = Vec::with_capacity(len + 8);
    let mut word = seed;
    while bytes.len() < len {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seed | 1);
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    bytes.truncate(len);
    bytes
}

pub(crate) fn message(body: Vec<u8>) -> Message {
    Message { kind: Kind::from_static("OP"), body: body.into() }
}
