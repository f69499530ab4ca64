//! The frames of `compeer/1`, to and from bytes.
//!
//! A frame is a two-byte big-endian length of all that follows it, one byte of
//! type, a postcard header, then the raw body:
//!
//! ```text
//! +--------+------+-----------------+------------------+
//! | len:u16| type | header (postcard)| body (the rest)  |
//! +--------+------+-----------------+------------------+
//! ```
//!
//! A whole frame is at most [`limits::MAX_FRAME`] bytes, so that it fits one
//! TLS record. Types 0–127 are those of this version and an unknown one is an
//! error; types from 128 on are extensions and are skipped by who does not
//! know them. Header structs never change (DESIGN §4.5). Nothing here keeps
//! state: what a frame means, and when it is allowed, is the
//! [`session`](crate::session)'s affair. `docs/protocol.md` shows every byte.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits;

mod hello;
#[cfg(test)]
mod tests;

pub use hello::{EXT_NAME, Hello, PeerLimits};

/// The request wants no reply and gets no END.
pub const FLAG_NO_REPLY: u8 = 1;
/// The caller will send further messages and then FINISH.
pub const FLAG_OPEN: u8 = 2;

/// One decoded frame, borrowing its body from the input.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Frame<'a> {
    /// Who speaks; first frame of either side.
    Hello(Hello),
    /// Starts a request; the body may go on in [`Frame::Data`].
    Request {
        /// Request id: even from who dialled, odd from who accepted, rising.
        id: u64,
        /// [`FLAG_NO_REPLY`], [`FLAG_OPEN`]; other bits are ignored.
        flags: u8,
        /// Time left for all of it, in milliseconds; 0 for no deadline.
        timeout_ms: u64,
        /// Bytes in the whole body.
        len: u32,
        /// Message kind, 1–64 bytes.
        kind: &'a [u8],
        /// The first bytes of the body.
        body: &'a [u8],
    },
    /// A further message of the caller of an open request.
    Message {
        /// Request id.
        id: u64,
        /// Bytes in the whole body.
        len: u32,
        /// Message kind.
        kind: &'a [u8],
        /// The first bytes of the body.
        body: &'a [u8],
    },
    /// A reply.
    Reply {
        /// Request id.
        id: u64,
        /// Bytes in the whole body.
        len: u32,
        /// Reply kind.
        kind: &'a [u8],
        /// The first bytes of the body.
        body: &'a [u8],
    },
    /// More bytes of the sender's unfinished message of this request.
    Data {
        /// Request id.
        id: u64,
        /// The bytes; never empty.
        body: &'a [u8],
    },
    /// The caller sends no further messages.
    Finish {
        /// Request id.
        id: u64,
    },
    /// The caller wants no more replies; answered by END like any request.
    Cancel {
        /// Request id.
        id: u64,
    },
    /// The last frame of a request from who served it.
    End {
        /// Request id.
        id: u64,
        /// How it ended: see [`crate::session::Outcome`].
        status: u8,
        /// Words for a person; empty when done.
        text: &'a [u8],
    },
    /// The other side may send this many more bytes (request 0: one-way requests).
    Credit {
        /// Request id, or 0.
        id: u64,
        /// Additional bytes of cost.
        bytes: u32,
    },
    /// Asks for a PONG at once.
    Ping {
        /// Echoed in the PONG.
        nonce: u64,
    },
    /// Answers a PING.
    Pong {
        /// From the PING.
        nonce: u64,
    },
    /// The side that accepted asks the side that dialled to dial a stream.
    OpenStream {
        /// Stream id, odd.
        stream: u64,
        /// What it is for.
        kind: &'a [u8],
    },
    /// The stream asked for will not come.
    RefuseStream {
        /// Stream id.
        stream: u64,
        /// Why: a status as that of END, see [`crate::session::Outcome`].
        status: u8,
        /// Words for a person.
        text: &'a [u8],
    },
    /// No new requests will be started here; close when all is answered.
    Drain,
    /// The last frame: why the connection is closed.
    Goodbye {
        /// See [`crate::session::GoodbyeReason`].
        reason: u8,
        /// Words for a person.
        text: &'a [u8],
    },
}

/// What can be wrong with the bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The length field is zero or beyond the limit.
    #[error("a frame of {0} bytes is outside 1..={max}", max = limits::MAX_FRAME - 2)]
    Length(usize),
    /// The type is below 128 and not one of this version.
    #[error("unknown frame type {0}")]
    Type(u8),
    /// The header does not decode, or a body stands where none belongs.
    #[error("malformed header in a frame of type {0}")]
    Header(u8),
}

/// Bytes as a length-prefixed string of bytes, borrowed both ways.
pub(crate) struct Raw<'a>(pub(crate) &'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        <&'a [u8]>::deserialize(d).map(Raw)
    }
}

#[derive(Serialize, Deserialize)]
struct RequestHeader<'a> {
    id: u64,
    flags: u8,
    timeout_ms: u64,
    len: u32,
    #[serde(borrow)]
    kind: Raw<'a>,
}

#[derive(Serialize, Deserialize)]
struct MessageHeader<'a> {
    id: u64,
    len: u32,
    #[serde(borrow)]
    kind: Raw<'a>,
}

/// Of END and REFUSE_STREAM.
#[derive(Serialize, Deserialize)]
struct EndHeader<'a> {
    id: u64,
    status: u8,
    #[serde(borrow)]
    text: Raw<'a>,
}

#[derive(Serialize, Deserialize)]
struct CreditHeader {
    id: u64,
    bytes: u32,
}

#[derive(Serialize, Deserialize)]
struct StreamHeader<'a> {
    stream: u64,
    #[serde(borrow)]
    kind: Raw<'a>,
}

#[derive(Serialize, Deserialize)]
struct GoodbyeHeader<'a> {
    reason: u8,
    #[serde(borrow)]
    text: Raw<'a>,
}

const HELLO: u8 = 0;
const REQUEST: u8 = 1;
const MESSAGE: u8 = 2;
const REPLY: u8 = 3;
const DATA: u8 = 4;
const FINISH: u8 = 5;
const CANCEL: u8 = 6;
const END: u8 = 7;
const CREDIT: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const OPEN_STREAM: u8 = 11;
const REFUSE_STREAM: u8 = 12;
const DRAIN: u8 = 13;
const GOODBYE: u8 = 14;

/// The first type that who does not know it skips.
pub const FIRST_SKIPPABLE_TYPE: u8 = 128;

/// The length of the frame that starts `input`, with its length field, once two
/// bytes of it are there.
///
/// # Errors
/// [`FrameError::Length`] when the length field is outside the limit.
pub fn frame_len(input: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(prefix) = input.first_chunk::<2>() else { return Ok(None) };
    let len = usize::from(u16::from_be_bytes(*prefix));
    if len == 0 || len + 2 > limits::MAX_FRAME {
        return Err(FrameError::Length(len));
    }
    Ok(Some(len + 2))
}

/// Decodes one whole frame, length field included; `None` for a skippable type.
///
/// # Errors
/// [`FrameError`] when the bytes are not a frame of this version.
///
/// ```
/// use compeer_proto::frame::{decode, encode, Frame};
///
/// let mut bytes = Vec::new();
/// encode(&Frame::Ping { nonce: 7 }, &mut bytes);
/// assert_eq!(bytes, [0, 2, 9, 7]);
/// assert_eq!(decode(&bytes), Ok(Some(Frame::Ping { nonce: 7 })));
/// ```
pub fn decode(frame: &[u8]) -> Result<Option<Frame<'_>>, FrameError> {
    match frame_len(frame)? {
        Some(len) if len == frame.len() => {}
        _ => return Err(FrameError::Length(frame.len())),
    }
    let (kind_of_frame, rest) = (frame[2], &frame[3..]);
    let bad = FrameError::Header(kind_of_frame);
    let (decoded, left) = match kind_of_frame {
        HELLO => {
            let (hello, left) = Hello::take(rest).ok_or(bad)?;
            (Frame::Hello(hello), left)
        }
        REQUEST => {
            let (h, body) = take::<RequestHeader<'_>>(rest).ok_or(bad)?;
            let (id, kind) = (h.id, h.kind.0);
            let frame =
                Frame::Request { id, flags: h.flags, timeout_ms: h.timeout_ms, len: h.len, kind, body };
            (frame, &[][..])
        }
        MESSAGE | REPLY => {
            let (h, body) = take::<MessageHeader<'_>>(rest).ok_or(bad)?;
            let (id, len, kind) = (h.id, h.len, h.kind.0);
            let message = kind_of_frame == MESSAGE;
            let frame = if message {
                Frame::Message { id, len, kind, body }
            } else {
                Frame::Reply { id, len, kind, body }
            };
            (frame, &[][..])
        }
        DATA => {
            let (id, body) = take::<u64>(rest).ok_or(bad)?;
            if body.is_empty() {
                return Err(bad);
            }
            (Frame::Data { id, body }, &[][..])
        }
        FINISH => take::<u64>(rest).map(|(id, left)| (Frame::Finish { id }, left)).ok_or(bad)?,
        CANCEL => take::<u64>(rest).map(|(id, left)| (Frame::Cancel { id }, left)).ok_or(bad)?,
        END => {
            let (h, left) = take::<EndHeader<'_>>(rest).ok_or(bad)?;
            (Frame::End { id: h.id, status: h.status, text: h.text.0 }, left)
        }
        CREDIT => {
            let (h, left) = take::<CreditHeader>(rest).ok_or(bad)?;
            (Frame::Credit { id: h.id, bytes: h.bytes }, left)
        }
        PING => take::<u64>(rest).map(|(nonce, left)| (Frame::Ping { nonce }, left)).ok_or(bad)?,
        PONG => take::<u64>(rest).map(|(nonce, left)| (Frame::Pong { nonce }, left)).ok_or(bad)?,
        OPEN_STREAM => {
            let (h, left) = take::<StreamHeader<'_>>(rest).ok_or(bad)?;
            (Frame::OpenStream { stream: h.stream, kind: h.kind.0 }, left)
        }
        REFUSE_STREAM => {
            let (h, left) = take::<EndHeader<'_>>(rest).ok_or(bad)?;
            (Frame::RefuseStream { stream: h.id, status: h.status, text: h.text.0 }, left)
        }
        DRAIN => (Frame::Drain, rest),
        GOODBYE => {
            let (h, left) = take::<GoodbyeHeader<'_>>(rest).ok_or(bad)?;
            (Frame::Goodbye { reason: h.reason, text: h.text.0 }, left)
        }
        unknown if unknown >= FIRST_SKIPPABLE_TYPE => return Ok(None),
        unknown => return Err(FrameError::Type(unknown)),
    };
    if left.is_empty() { Ok(Some(decoded)) } else { Err(bad) }
}

/// Appends `frame` to `out`.
///
/// # Panics
/// When the frame is larger than [`limits::MAX_FRAME`]: the caller cuts bodies
/// by [`limits::MAX_FRAME_BODY`] and texts by [`limits::MAX_TEXT`].
pub fn encode(frame: &Frame<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0, 0]);
    match *frame {
        Frame::Hello(ref hello) => {
            out.push(HELLO);
            hello.put(out);
        }
        Frame::Request { id, flags, timeout_ms, len, kind, body } => {
            put(REQUEST, &RequestHeader { id, flags, timeout_ms, len, kind: Raw(kind) }, body, out);
        }
        Frame::Message { id, len, kind, body } => {
            put(MESSAGE, &MessageHeader { id, len, kind: Raw(kind) }, body, out)
        }
        Frame::Reply { id, len, kind, body } => {
            put(REPLY, &MessageHeader { id, len, kind: Raw(kind) }, body, out)
        }
        Frame::Data { id, body } => put(DATA, &id, body, out),
        Frame::Finish { id } => put(FINISH, &id, &[], out),
        Frame::Cancel { id } => put(CANCEL, &id, &[], out),
        Frame::End { id, status, text } => put_text(END, &EndHeader { id, status, text: Raw(text) }, out),
        Frame::Credit { id, bytes } => put(CREDIT, &CreditHeader { id, bytes }, &[], out),
        Frame::Ping { nonce } => put(PING, &nonce, &[], out),
        Frame::Pong { nonce } => put(PONG, &nonce, &[], out),
        Frame::OpenStream { stream, kind } => {
            put(OPEN_STREAM, &StreamHeader { stream, kind: Raw(kind) }, &[], out);
        }
        Frame::RefuseStream { stream, status, text } => {
            put_text(REFUSE_STREAM, &EndHeader { id: stream, status, text: Raw(text) }, out);
        }
        Frame::Drain => out.push(DRAIN),
        Frame::Goodbye { reason, text } => put_text(GOODBYE, &GoodbyeHeader { reason, text: Raw(text) }, out),
    }
    let len = out.len() - start;
    assert!(len <= limits::MAX_FRAME, "a frame of {len} bytes was to be sent");
    let prefix = u16::try_from(len - 2).unwrap_or(u16::MAX).to_be_bytes();
    out[start..start + 2].copy_from_slice(&prefix);
}

fn take<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<(T, &'a [u8])> {
    postcard::take_from_bytes(bytes).ok()
}

/// A header of numbers and a kind: at most 10 + 1 + 10 + 5 + 1 + 64 bytes.
fn put<T: Serialize>(kind_of_frame: u8, header: &T, body: &[u8], out: &mut Vec<u8>) {
    let mut space = [0; 96];
    out.push(kind_of_frame);
    match postcard::to_slice(header, &mut space) {
        Ok(header) => out.extend_from_slice(header),
        // A kind longer than a kind may be: the session sends none, but refuses
        // those it gets, so what was decoded can be written again.
        Err(_) => out.extend(postcard::to_allocvec(header).expect("numbers and bytes always serialise")),
    }
    out.extend_from_slice(body);
}

fn put_text<T: Serialize>(kind_of_frame: u8, header: &T, out: &mut Vec<u8>) {
    out.push(kind_of_frame);
    let header = postcard::to_allocvec(header).expect("numbers and bytes always serialise");
    out.extend_from_slice(&header);
}

/// The longest beginning of `text` that takes at most `max` bytes.
pub(crate) fn cut_text(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
