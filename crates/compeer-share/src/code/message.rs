//! What passes between the two who meet, as bytes.
//!
//! On a stream of kind `compeer/meet`, each message is a length (two bytes, big-endian), a type and postcard:
//!
//! ```text
//! 1  BEGIN    version u8 (1), number varint, share bytes     guesser
//! 2  SHARE    share bytes                                    offerer
//! 3  CONFIRM  mac [32]                                       guesser
//! 4  RIGHT    mac [32], payload bytes                        offerer
//! 5  NO       reason u8, guesses left u8                     offerer, in place of 2 or 4
//! ```
//!
//! Bytes after what is known are skipped, so that later versions can say more.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::guess::MeetFailure;
use crate::limits::{MAX_MEET_MESSAGE, MAX_MEET_SHARE};

/// The kind of stream.
pub const KIND: &str = "compeer/meet";

/// The version of the exchange.
pub const VERSION: u8 = 1;

/// A proof that one has the key.
pub type Mac = [u8; 32];

/// A message of either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Asks for the offer of a number.
    Begin {
        /// Of the exchange.
        version: u8,
        /// Which offer.
        number: u16,
        /// Of SPAKE2.
        share: Vec<u8>,
    },
    /// Goes along.
    Share(Vec<u8>),
    /// Proves first.
    Confirm(Mac),
    /// Proves, too, and gives what was offered.
    Right(Mac, Bytes),
    /// Does not go along.
    No {
        /// Why: see [`MeetFailure`].
        reason: u8,
        /// Guesses that the code still bears.
        left: u8,
    },
}

/// The bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no message of a meeting")]
pub struct Malformed;

#[derive(Serialize, Deserialize)]
struct Begin<'a> {
    version: u8,
    number: u16,
    #[serde(borrow)]
    share: &'a [u8],
}

impl Message {
    pub(crate) fn no(failure: &MeetFailure) -> Message {
        let (reason, left) = failure.to_wire();
        Message::No { reason, left }
    }

    /// The type and what follows, without the length.
    pub fn encode(&self) -> Vec<u8> {
        let with = |kind: u8, rest: postcard::Result<Vec<u8>>| {
            let mut bytes = vec![kind];
            // Writing numbers and bytes to a Vec cannot fail.
            bytes.extend(rest.unwrap_or_default());
            bytes
        };
        match self {
            Message::Begin { version, number, share } => {
                with(1, postcard::to_allocvec(&Begin { version: *version, number: *number, share }))
            }
            Message::Share(share) => with(2, postcard::to_allocvec(&share[..])),
            Message::Confirm(mac) => with(3, postcard::to_allocvec(mac)),
            Message::Right(mac, payload) => with(4, postcard::to_allocvec(&(mac, &payload[..]))),
            Message::No { reason, left } => with(5, postcard::to_allocvec(&(reason, left))),
        }
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// [`Malformed`]; a share of more than [`MAX_MEET_SHARE`] bytes is, too.
    pub fn decode(bytes: &[u8]) -> Result<Message, Malformed> {
        fn take<'a, T: Deserialize<'a>>(rest: &'a [u8]) -> Result<T, Malformed> {
            postcard::take_from_bytes(rest).map(|(value, _)| value).map_err(|_| Malformed)
        }
        let share = |share: &[u8]| match share.len() {
            1..=MAX_MEET_SHARE => Ok(share.to_vec()),
            _ => Err(Malformed),
        };
        if bytes.len() > MAX_MEET_MESSAGE {
            return Err(Malformed);
        }
        let (kind, rest) = bytes.split_first().ok_or(Malformed)?;
        Ok(match kind {
            1 => {
                let begin: Begin<'_> = take(rest)?;
                let share = share(begin.share)?;
                Message::Begin { version: begin.version, number: begin.number, share }
            }
            2 => Message::Share(share(take(rest)?)?),
            3 => Message::Confirm(take(rest)?),
            4 => {
                let (mac, payload): (Mac, &[u8]) = take(rest)?;
                Message::Right(mac, Bytes::copy_from_slice(payload))
            }
            5 => {
                let (reason, left) = take(rest)?;
                Message::No { reason, left }
            }
            _ => return Err(Malformed),
        })
    }
}
