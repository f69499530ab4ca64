//! Base32 as people see it: lower case, no padding (RFC 4648 §6 with the letters made small).
//!
//! Chosen for PeerIds and tickets because one double click selects the whole word, it survives
//! being read aloud, and case does not matter when it is typed. Reading accepts either case and
//! refuses a last character with bits to spare, so that each value has one text.

use data_encoding::{BASE32_NOPAD_NOCASE as BASE32, DecodeKind};

/// What is wrong with a base32 text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base32Error {
    /// The character at this place (counted in characters, from 0) is not of the alphabet.
    Character(usize),
    /// No number of bytes has a text of this length, or the last character has bits to spare.
    Length,
}

/// Bytes to lower-case base32 without padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = BASE32.encode(bytes);
    text.make_ascii_lowercase();
    text
}

/// Base32 in either case to bytes. The caller bounds the length of the text.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, Base32Error> {
    // Asked first and by ourselves: positions then count characters, as a person does.
    let foreign = |c: char| !matches!(c, 'a'..='z' | 'A'..='Z' | '2'..='7');
    if let Some(position) = text.chars().position(foreign) {
        return Err(Base32Error::Character(position));
    }
    BASE32.decode(text.as_bytes()).map_err(|error| match error.kind {
        DecodeKind::Symbol => Base32Error::Character(error.position),
        _ => Base32Error::Length,
    })
}
