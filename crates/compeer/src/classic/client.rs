//! Asking an old program: one connection, one request, its replies until the connection ends.
//!
//! BTPeer's `connectandsend` gave an empty list for everything that went wrong. Here each way of failing has a name,
//! there is a time-out, and what a stranger may make us keep is bounded.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use compeer_proto::classic::{HEADER_LEN, KIND_LEN, Reader, encode};
use compeer_proto::session::Message;
use compeer_proto::{Addr, Kind};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::wire::{ReadError, Taken, Wire};
use crate::{Clock, limits};

/// Why an old program could not be asked, or did not answer to the end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody answers there; nothing was asked.
    #[error("nobody answers at {0}: {1}")]
    Unreachable(Addr, io::Error),
    /// The time was over. It may have been asked.
    #[error("no answer in time")]
    TimedOut,
    /// The connection broke. It may have been asked.
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    /// It ended within a reply.
    #[error("the connection ended within a reply")]
    Cut,
    /// The replies are more than was allowed.
    #[error("the replies are longer than {0} bytes")]
    TooLarge(u32),
    /// What is to be sent is too long for a frame.
    #[error("the body is too long")]
    Body,
    /// There was no reply where one was needed. Old programs end so for whatever they do not know.
    #[error("no reply: the program there does not know this request, or has nothing to say to it")]
    NoReply,
}

/// A classic request about to be made.
#[must_use = "a call does nothing until it is used"]
pub struct Call {
    at: Addr,
    kind: [u8; KIND_LEN],
    body: Bytes,
    timeout: Duration,
    most: u32,
    clock: Clock,
}

impl Call {
    pub(super) fn new(at: Addr, kind: [u8; KIND_LEN], body: Bytes, timeout: Duration, clock: Clock) -> Self {
        Call { at, kind, body, timeout, most: limits::CLASSIC_MAX_REPLY, clock }
    }

    /// Gives up after this time, connecting and all replies included. Default: the peer's, 30 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Takes no more than this many bytes of replies, the headers of all but one included. Default and most:
    /// [`CLASSIC_MAX_REPLY`](limits::CLASSIC_MAX_REPLY).
    pub fn max_bytes(mut self, most: u32) -> Self {
        self.most = most.min(limits::CLASSIC_MAX_REPLY);
        self
    }

    /// Asks; the replies are read one by one.
    ///
    /// # Errors
    /// [`Error`], when it could not be sent.
    pub async fn replies(self) -> Result<Replies, Error> {
        let Call { at, kind, body, timeout, most, clock } = self;
        let deadline = clock.instant(clock.now() + timeout);
        let frame = encode(&kind, &body).ok_or(Error::Body)?;
        let begun = async {
            let tcp = match &at {
                Addr::Ip(ip) => TcpStream::connect(ip).await,
                _ => TcpStream::connect((at.host(), at.port())).await,
            };
            let wire = tcp.and_then(Wire::new).map_err(|error| Error::Unreachable(at.clone(), error))?;
            wire.send(&frame).await.map_err(Error::Broken)?;
            Ok(wire)
        };
        let wire = timeout_at(deadline, begun).await.unwrap_or(Err(Error::TimedOut))?;
        let left = u64::from(most) + HEADER_LEN as u64;
        Ok(Replies { wire, reader: Reader::new(most), deadline, most, left })
    }

    /// The first reply.
    ///
    /// # Errors
    /// [`Error`]; [`Error::NoReply`] when there is none.
    pub async fn one(self) -> Result<Message, Error> {
        self.replies().await?.next().await.unwrap_or(Err(Error::NoReply))
    }

    /// The first reply, to be read as it comes: a long one takes no more memory than a part of it.
    ///
    /// # Errors
    /// [`Error`]; [`Error::NoReply`] when there is none.
    pub async fn stream(self) -> Result<Reply, Error> {
        let mut replies = self.replies().await?;
        loop {
            let (kind, len) = match replies.some().await? {
                // The header comes first, alone; a frame that is whole then is empty.
                Taken::Some => match (replies.reader.kind(), replies.reader.payload()) {
                    (Some(kind), Some(len)) => (kind, len),
                    _ => continue,
                },
                Taken::Frame(message) => (message.kind, 0),
                Taken::End if replies.reader.is_begun() => return Err(Error::Cut),
                Taken::End => return Err(Error::NoReply),
            };
            return Ok(Reply { replies, kind, len, left: len });
        }
    }

    /// All replies.
    ///
    /// # Errors
    /// [`Error`]; the replies before it are lost. Read [`Replies`] one by one to keep them.
    pub async fn all(self) -> Result<Vec<Message>, Error> {
        let mut replies = self.replies().await?;
        let mut all = Vec::new();
        while let Some(reply) = replies.next().await {
            all.push(reply?);
        }
        Ok(all)
    }
}

/// The replies to a classic request, as they come. Dropping them closes the connection.
pub struct Replies {
    wire: Wire,
    reader: Reader,
    deadline: Instant,
    most: u32,
    /// Bytes that may still come, headers included: a flood of empty frames ends too.
    left: u64,
}

impl Replies {
    /// The next reply, its type as it came; `None` when the other side has closed the connection.
    pub async fn next(&mut self) -> Option<Result<Message, Error>> {
        let read = timeout_at(self.deadline, self.wire.read(&mut self.reader, None));
        match read.await {
            Err(_) => Some(Err(Error::TimedOut)),
            Ok(Ok(Some((message, _)))) => {
                let cost = (HEADER_LEN + message.body.len()) as u64;
                let Some(left) = self.left.checked_sub(cost) else {
                    return Some(Err(Error::TooLarge(self.most)));
                };
                self.left = left;
                let next = left.saturating_sub(HEADER_LEN as u64);
                self.reader.limit(u32::try_from(next).unwrap_or(self.most));
                Some(Ok(message))
            }
            Ok(Ok(None)) if self.reader.is_begun() => Some(Err(Error::Cut)),
            Ok(Ok(None)) => None,
            Ok(Err(error)) => Some(Err(self.failed(error))),
        }
    }

    /// Waits for more of a frame.
    async fn some(&mut self) -> Result<Taken, Error> {
        let some = timeout_at(self.deadline, self.wire.some(&mut self.reader)).await;
        some.map_err(|_| Error::TimedOut)?.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: ReadError) -> Error {
        match error {
            ReadError::TooLong(_) => Error::TooLarge(self.most),
            ReadError::Io(error) => Error::Broken(error),
        }
    }

    /// Sends a further frame, for a handler that reads them.
    ///
    /// # Errors
    /// [`Error::Broken`], [`Error::Body`], [`Error::TimedOut`].
    pub async fn send(&self, kind: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Result<(), Error> {
        let frame = encode(kind.as_ref(), body.as_ref()).ok_or(Error::Body)?;
        let sent = timeout_at(self.deadline, self.wire.send(&frame)).await;
        sent.map_err(|_| Error::TimedOut)?.map_err(Error::Broken)
    }

    /// Says that no further frames follow. Not needed for a request of one frame, and some old programs take it for
    /// the end of everything.
    pub fn finish(&self) {
        self.wire.finish();
    }
}

/// A reply that is read as it comes. Dropping it closes the connection.
pub struct Reply {
    replies: Replies,
    kind: Kind,
    len: usize,
    /// Bytes that have not been read.
    left: usize,
}

impl Reply {
    /// Its type, as it came.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How long its payload is. Unit: bytes.
    pub fn payload_len(&self) -> usize {
        self.len
    }

    /// The next part of its payload; `None` when that was all.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        if self.left == 0 {
            return None;
        }
        let part = match self.replies.some().await {
            Ok(Taken::Some) => self.replies.reader.part(),
            Ok(Taken::Frame(message)) => message.body,
            Ok(Taken::End) => return Some(Err(Error::Cut)),
            Err(error) => return Some(Err(error)),
        };
        self.left -= part.len();
        Some(Ok(part))
    }
}
