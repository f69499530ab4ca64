//! The frame of the classic protocol: that of the 2007 BTPeer framework in Python and its Java sister.
//!
//! Four bytes of type, four of length (big-endian), then the payload; no handshake, no version, nothing
//! proven and nothing encrypted. A type that is shorter is padded with NUL, a longer one is cut, as the
//! original does. [`Reader`] is told the bytes of a connection and says how many of them may be read, so
//! that what follows a frame stays in the socket: an old client that sent more than it should is reset
//! when it is closed, as it was by the original.
//!
//! What this is not: who may ask what, and what the types of the file-sharing program mean.

use bytes::{Bytes, BytesMut};

use crate::Kind;
use crate::limits::CLASSIC_READ;
use crate::session::Message;

/// Length of a type. Unit: bytes.
pub const KIND_LEN: usize = 4;

/// Length of what stands before a payload. Unit: bytes.
pub const HEADER_LEN: usize = 8;

/// The four bytes that stand for a kind: padded with NUL, or cut.
///
/// ```
/// use compeer_proto::classic::four;
/// assert_eq!(four(b"ECHO"), *b"ECHO");
/// assert_eq!(four(b"AB"), *b"AB\0\0");
/// assert_eq!(four(b"ABCDEFG"), *b"ABCD");
/// ```
pub fn four(kind: &[u8]) -> [u8; KIND_LEN] {
    let mut four = [0; KIND_LEN];
    four.iter_mut().zip(kind).for_each(|(to, from)| *to = *from);
    four
}

/// The type of a request as its handler is found by: ASCII letters in upper case.
pub fn dispatched(kind: Kind) -> Kind {
    Kind::new(kind.as_bytes().to_ascii_uppercase()).unwrap_or(kind)
}

/// What stands before a payload of `len` bytes.
pub fn header(kind: &[u8], len: u32) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..KIND_LEN].copy_from_slice(&four(kind));
    header[KIND_LEN..].copy_from_slice(&len.to_be_bytes());
    header
}

/// A whole frame, to be written at once: some programs read no frame that comes in two parts.
/// `None` for a payload whose length does not fit.
pub fn encode(kind: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    let len = u32::try_from(body.len()).ok()?;
    let mut frame = Vec::with_capacity(HEADER_LEN + body.len());
    frame.extend_from_slice(&header(kind, len));
    frame.extend_from_slice(body);
    Some(frame)
}

/// A frame is longer than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {len} bytes, where {most} are the most")]
pub struct TooLong {
    /// What its header says.
    pub len: u32,
    /// What it may be.
    pub most: u32,
}

/// Reads frames from the bytes of one direction of a connection.
///
/// ```
/// use compeer_proto::classic::{Reader, encode};
///
/// let mut bytes = &encode(b"ECHO", b"hi").unwrap()[..];
/// let mut reader = Reader::new(1024);
/// let frame = loop {
///     let (now, rest) = bytes.split_at(reader.wants());
///     bytes = rest;
///     if let Some(frame) = reader.feed(now)? {
///         break frame;
///     }
/// };
/// assert_eq!((frame.kind.as_bytes(), &frame.body[..]), (&b"ECHO"[..], &b"hi"[..]));
/// # Ok::<(), compeer_proto::classic::TooLong>(())
/// ```
#[derive(Debug)]
pub struct Reader {
    most: u32,
    header: [u8; HEADER_LEN],
    have: usize,
    body: BytesMut,
    /// Bytes of the payload that were dealt with already.
    parted: usize,
}

impl Reader {
    /// Takes payloads of at most `most` bytes.
    pub fn new(most: u32) -> Self {
        Reader { most, header: [0; HEADER_LEN], have: 0, body: BytesMut::new(), parted: 0 }
    }

    /// Takes payloads of at most `most` bytes from the next frame on.
    pub fn limit(&mut self, most: u32) {
        self.most = most;
    }

    /// How many bytes to read next, at most; never 0, and never beyond the end of the frame. At most
    /// [`CLASSIC_READ`], so that the memory that a frame takes is what has come of it.
    pub fn wants(&self) -> usize {
        match self.payload() {
            None => HEADER_LEN - self.have,
            Some(len) => (len - self.parted - self.body.len()).min(CLASSIC_READ),
        }
    }

    /// How long the payload of the frame that has begun is, once that is known.
    pub fn payload(&self) -> Option<usize> {
        let (_, len) = self.header.split_at(KIND_LEN);
        let len = u32::from_be_bytes([len[0], len[1], len[2], len[3]]);
        (self.have == HEADER_LEN).then_some(len as usize)
    }

    /// The type of the frame that has begun, once that is known.
    pub fn kind(&self) -> Option<Kind> {
        // Four bytes are a kind.
        Kind::new(&self.header[..KIND_LEN]).ok().filter(|_| self.have == HEADER_LEN)
    }

    /// How many bytes of a payload are kept until the rest has come.
    pub fn kept(&self) -> usize {
        self.body.len()
    }

    /// What has come of a payload that is not whole yet, for who deals with it as it comes. The frame that
    /// [`feed`](Self::feed) gives in the end has what was not taken so.
    pub fn part(&mut self) -> Bytes {
        self.parted += self.body.len();
        self.body.split().freeze()
    }

    /// Whether a part of a frame has come.
    pub fn is_begun(&self) -> bool {
        self.have > 0
    }

    /// Takes bytes as they came, as many as were wanted or fewer; gives the frame they complete. Bytes
    /// beyond what was wanted are left out.
    ///
    /// # Errors
    /// The frame is longer than it may be; nothing of its payload is taken.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<Message>, TooLong> {
        let bytes = &bytes[..bytes.len().min(self.wants())];
        if self.have < HEADER_LEN {
            self.header[self.have..self.have + bytes.len()].copy_from_slice(bytes);
            self.have += bytes.len();
        } else {
            self.body.extend_from_slice(bytes);
        }
        let Some(len) = self.payload() else { return Ok(None) };
        if len > self.most as usize {
            return Err(TooLong { len: u32::try_from(len).unwrap_or(u32::MAX), most: self.most });
        }
        if self.parted + self.body.len() < len {
            return Ok(None);
        }
        let kind = self.kind();
        (self.have, self.parted) = (0, 0);
        let body: Bytes = std::mem::take(&mut self.body).freeze();
        Ok(kind.map(|kind| Message { kind, body }))
    }
}

#[cfg(test)]
mod tests;
