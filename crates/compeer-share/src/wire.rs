//! What is said on a stream of kind `compeer/share`.
//!
//! The fetcher opens the stream and speaks in [`Ask`]s, the provider answers in [`Tell`]s. Each is a
//! big-endian `u32` length and that many bytes of postcard; where a frame announces raw bytes (a manifest, a
//! proof and its data) they follow it. Order: HELLO first, answered by WELCOME or UNKNOWN; then any number
//! of WANTs, answered in order, each by segments and LACKs that cover it from start to end. `HAVE` and
//! `PROVIDERS` come in between when there is news. Everything is bounded before memory is taken.
//!
//! Where the manifest is a draft, segments have no proof, and FINAL asks what the content is now that its files are
//! hashed.
//!
//! Never changed, only added to: unknown frames are an error in this version, new things come by `ext`.

use std::io;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::limits;

/// The kind of the streams.
pub const STREAM: &str = "compeer/share";

/// What a fetcher says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// First: which share, and the proof that one may have it (of any content when it is public).
    Hello {
        /// The content id.
        content: [u8; 32],
        /// See [`proof`].
        proof: [u8; 32],
        /// The fetcher's own provider record, if it can be reached; else empty.
        record: Vec<u8>,
        /// Later versions say more here; ignored.
        ext: Vec<u8>,
    },
    /// Send the manifest.
    Manifest,
    /// Send these groups of the line.
    Want {
        /// First group.
        start: u64,
        /// How many; at most [`limits::MAX_WANT`].
        count: u32,
    },
    /// Everything has arrived, is whole and lies where it belongs.
    Finished,
    /// Of a draft: what is the content? Answered by HASHING, FINAL or NEVER.
    Final {
        /// Answer when hashing has ended, or after [`limits::SAY_HASHING`]; else at once.
        wait: bool,
    },
}

/// What a provider answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tell {
    /// No such share, or not for you; the same bytes in both cases. The stream ends.
    Unknown,
    /// Too many fetch already; come again. The stream ends.
    Busy,
    /// The share is here.
    Welcome {
        /// Bytes of the manifest.
        manifest: u32,
        /// What this provider has, as [`RangeSet::encode`](crate::ranges::RangeSet::encode); empty: everything.
        have: Vec<u8>,
        /// Records of other providers.
        records: Vec<Vec<u8>>,
        /// Whether who has fetched it may give it to others who hold the ticket.
        pass_on: bool,
        /// Later versions say more here; ignored.
        ext: Vec<u8>,
    },
    /// The manifest follows, as long as WELCOME said.
    Manifest,
    /// Part of a file: `proof` bytes of nodes follow, then the content, then one byte: [`SOUND`] or [`CHANGED`].
    Segment {
        /// First group in the line; segments are cut as [`Layout::segments`](crate::layout::Layout::segments) does.
        start: u64,
        /// Groups.
        count: u32,
        /// Bytes of proof.
        proof: u32,
    },
    /// These groups cannot be had here (any more).
    Lack {
        /// First group.
        start: u64,
        /// Groups.
        count: u32,
        /// Why.
        why: Why,
    },
    /// What this provider has by now.
    Have(Vec<u8>),
    /// Records of further providers.
    Providers(Vec<Vec<u8>>),
    /// The files of this draft are still being hashed.
    Hashing {
        /// Bytes that are hashed.
        done: u64,
    },
    /// The files of this draft are hashed.
    Final {
        /// The content id of what the draft has become, under the same secret.
        content: [u8; 32],
    },
    /// The files of this draft could not be hashed.
    Never {
        /// Why.
        why: Why,
        /// Which file was the reason, by its place in the manifest; beyond its end: none of them.
        file: u64,
    },
}

/// Why groups cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// Not here (yet).
    Missing,
    /// The file was changed since it was shared.
    Changed,
    /// The file cannot be read.
    Unreadable,
    /// The share was stopped.
    Stopped,
}

/// After a segment: it is what it was when it was hashed.
pub const SOUND: u8 = 1;
/// After a segment: the file was changed while it was read; throw the segment away.
pub const CHANGED: u8 = 2;

/// What proves that one holds the secret of a share: a MAC of the session and of who proves it, so that nobody can
/// use it elsewhere. `binding` is the channel binding of the session, `prover` the id of the fetcher.
pub fn proof(secret: &[u8; 16], content: &[u8; 32], binding: &[u8; 32], prover: &[u8; 32]) -> blake3::Hash {
    let key = blake3::derive_key("compeer 2026 share proof key", secret);
    let mut mac = blake3::Hasher::new_keyed(&key);
    mac.update(content).update(binding).update(prover);
    mac.finalize()
}

/// A frame with its length before it.
pub fn encode(frame: &impl Serialize) -> Vec<u8> {
    // Numbers and bytes can always be written to memory.
    let body = postcard::to_allocvec(frame).unwrap_or_default();
    let mut bytes = Vec::with_capacity(4 + body.len());
    bytes.extend((body.len() as u32).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// Reads one frame from its bytes, the length left out.
///
/// # Errors
/// It is none.
pub fn decode<'de, T: Deserialize<'de>>(body: &'de [u8]) -> io::Result<T> {
    match postcard::take_from_bytes(body) {
        Ok((frame, [])) => Ok(frame),
        _ => Err(malformed("a frame that is none")),
    }
}

/// Reads frames from a stream, never a byte beyond one.
#[derive(Debug, Default)]
pub struct Frames {
    /// The length and the body, as far as they have come.
    part: Vec<u8>,
    filled: usize,
}

impl Frames {
    /// The next frame; `None` at the end of the stream. What has come is kept when the future is dropped.
    ///
    /// # Errors
    /// The stream breaks, ends within a frame, or what comes is no frame.
    pub async fn next<T: for<'de> Deserialize<'de>>(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<Option<T>> {
        loop {
            let need = match self.part[..self.filled].first_chunk() {
                None => 4,
                Some(len) => 4 + u32::from_be_bytes(*len) as usize,
            };
            if need > limits::MAX_FRAME {
                return Err(malformed("a frame that is too long"));
            }
            if self.filled >= 4 && self.filled == need {
                self.filled = 0;
                return decode(&self.part[4..need]).map(Some);
            }
            if self.part.len() < need {
                self.part.resize(need, 0);
            }
            match from.read(&mut self.part[self.filled..need]).await? {
                0 if self.filled == 0 => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.filled += read,
            }
        }
    }
}

/// A range of the line, if it is one.
///
/// # Errors
/// Empty, longer than may be wanted at once, or beyond the end.
pub fn range(start: u64, count: u32, end: u64) -> io::Result<Range<u64>> {
    let range = start..start.saturating_add(u64::from(count));
    match count > 0 && u64::from(count) <= limits::MAX_WANT && range.end <= end {
        true => Ok(range),
        false => Err(malformed("a range that is none")),
    }
}

/// The other side broke the protocol.
pub fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the other side sent {what}"))
}
