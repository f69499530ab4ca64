//! The byte stream of a link, and what it is writing.
//!
//! The driver takes it out of the link's state while it reads and writes, so that
//! nobody waits at the lock for the system or the cipher; only a caller who has
//! nobody beside him writes under it. What is to be written goes with it, in a
//! buffer of its own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use compeer_proto::session::Session;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::counters::Tally;
use crate::transport::ByteStream;

/// What is kept of the buffer while the connection is quiet.
const KEPT: usize = 1024;

pub(super) struct Io {
    stream: Box<dyn ByteStream>,
    /// What the stream is taking.
    out: Vec<u8>,
    taken: usize,
    /// What was written may still stand in the stream's own buffer.
    unflushed: bool,
}

impl Io {
    pub(super) fn new(stream: Box<dyn ByteStream>) -> Self {
        Io { stream, out: Vec::new(), taken: 0, unflushed: false }
    }

    /// Whether the stream has taken all that it was given.
    pub(super) fn is_out(&self) -> bool {
        self.taken == self.out.len()
    }

    /// Takes what the session has to write, once all before it is out. Whether there is
    /// anything to [`write`](Self::write) now.
    pub(super) fn fill(&mut self, session: &mut Session) -> bool {
        if self.is_out() {
            self.taken = 0;
            session.transmit_into(&mut self.out);
            if self.out.capacity() > KEPT && session.is_idle() && self.out.is_empty() {
                self.out = Vec::new();
            }
        }
        !self.out.is_empty() || self.unflushed
    }

    /// Writes what there is; `Ready` when all of it is out.
    pub(super) fn write(&mut self, cx: &mut Context<'_>, tally: &Tally) -> Poll<io::Result<()>> {
        while self.taken < self.out.len() {
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out[self.taken..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.taken += n;
            tally.bytes_sent.more(n);
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }

    /// Tells the other side that nothing more comes, if it can be told at once.
    pub(super) fn shut_down(&mut self, cx: &mut Context<'_>) {
        let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
    }
}
