//! The first words on a stream: which session it belongs to, and the answer.
//!
//! A bulk stream is a wire of its own (ALPN `compeer-stream/1`). Who dialled it
//! sends an [`Opening`]; the other side checks that the key just proven owns
//! that live session (DESIGN §4.2) and sends an [`Answer`]. After an accepting
//! answer the wire is the application's, byte for byte. Both are a two-byte
//! big-endian length and a postcard struct.

use serde::{Deserialize, Serialize};

use crate::frame::{Raw, cut_text};
use crate::session::Outcome;
use crate::{Kind, limits};

#[cfg(test)]
mod tests;

/// Longest opening or answer with its length field. Unit: bytes. A text of
/// [`limits::MAX_TEXT`] and its header fit.
pub const MAX_OPENING: usize = limits::MAX_TEXT + 64;

/// What the dialling side says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Names the live session of the two peers.
    pub session: [u8; 16],
    /// Stream id: even when it is the dialling side's wish, odd when it was
    /// asked for by OPEN_STREAM.
    pub stream: u64,
    /// What it is for.
    pub kind: Kind,
}

/// What the accepting side says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Go ahead.
    Accepted,
    /// No, and why; never [`Outcome::Done`]. [`Outcome::Cancelled`]: the session
    /// that the opening names is over or never was.
    Refused(Outcome),
}

/// The bytes are no opening or answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a stream opening of this version")]
pub struct OpeningError;

#[derive(Serialize, Deserialize)]
struct WireOpening<'a> {
    session: [u8; 16],
    stream: u64,
    #[serde(borrow)]
    kind: Raw<'a>,
}

#[derive(Serialize, Deserialize)]
struct WireAnswer<'a> {
    status: u8,
    text: &'a str,
}

/// How many bytes follow a length field.
///
/// # Errors
/// More than [`MAX_OPENING`], or none.
pub fn body_len(prefix: [u8; 2]) -> Result<usize, OpeningError> {
    let len = usize::from(u16::from_be_bytes(prefix));
    if len == 0 || len + 2 > MAX_OPENING { Err(OpeningError) } else { Ok(len) }
}

/// A struct that is all of `body`.
fn all_of<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, OpeningError> {
    match postcard::take_from_bytes(body) {
        Ok((wire, [])) => Ok(wire),
        _ => Err(OpeningError),
    }
}

fn framed(body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).expect("openings and answers are short");
    [&len.to_be_bytes(), body].concat()
}

impl Opening {
    /// With its length field.
    pub fn encode(&self) -> Vec<u8> {
        let kind = Raw(self.kind.as_bytes());
        let wire = WireOpening { session: self.session, stream: self.stream, kind };
        framed(&postcard::to_allocvec(&wire).expect("numbers and bytes always serialise"))
    }

    /// From what follows the length field.
    ///
    /// # Errors
    /// [`OpeningError`].
    pub fn decode(body: &[u8]) -> Result<Self, OpeningError> {
        let wire: WireOpening<'_> = all_of(body)?;
        let kind = Kind::new(wire.kind.0).map_err(|_| OpeningError)?;
        Ok(Opening { session: wire.session, stream: wire.stream, kind })
    }
}

impl Answer {
    /// With its length field.
    pub fn encode(&self) -> Vec<u8> {
        let (status, text) = match self {
            Answer::Accepted => (Outcome::Done.status(), ""),
            Answer::Refused(why) => (why.status(), why.text()),
        };
        let wire = WireAnswer { status, text: cut_text(text, limits::MAX_TEXT) };
        framed(&postcard::to_allocvec(&wire).expect("a number and a text always serialise"))
    }

    /// From what follows the length field.
    ///
    /// # Errors
    /// [`OpeningError`].
    pub fn decode(body: &[u8]) -> Result<Self, OpeningError> {
        let wire: WireAnswer<'_> = all_of(body)?;
        if wire.text.len() > limits::MAX_TEXT {
            return Err(OpeningError);
        }
        Ok(match Outcome::from_wire(wire.status, wire.text.as_bytes()) {
            Outcome::Done => Answer::Accepted,
            why => Answer::Refused(why),
        })
    }
}
