//! Frames on a socket: read to their end and no further, each written in one piece.
//!
//! The socket is not split in two halves, so that dropping it with bytes unread resets the connection, as the original
//! did. A frame that was written in part, because its writer was dropped or the caller read too slowly, is the last one.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use compeer_proto::classic::{Reader, TooLong, encode, header};
use compeer_proto::session::Message;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;

use super::room::{Held, Room};
use crate::error::ReplyError;
use crate::limits;

/// One classic connection.
pub(super) struct Wire {
    tcp: TcpStream,
    /// Held while a frame is written.
    writing: tokio::sync::Mutex<()>,
    /// A frame was not written to its end.
    torn: AtomicBool,
}

impl Wire {
    pub(super) fn new(tcp: TcpStream) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        Ok(Wire { tcp, writing: tokio::sync::Mutex::new(()), torn: AtomicBool::new(false) })
    }

    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        self.tcp.local_addr().ok()
    }

    /// The next frame; `None` at the end, wherever in a frame it comes. A payload longer than [`limits::CLASSIC_READ`]
    /// waits for room as it comes, where that is counted; what is held is to be kept as long as the frame.
    ///
    /// # Errors
    /// [`ReadError`].
    pub(super) async fn read(
        &self,
        reader: &mut Reader,
        room: Option<&Room>,
    ) -> Result<Option<(Message, Held)>, ReadError> {
        let mut held = Held::default();
        loop {
            if let Some(room) = room
                && reader.payload().is_some_and(|len| len > limits::CLASSIC_READ)
            {
                room.hold(&mut held, reader.kept() + reader.wants()).await;
            }
            match self.some(reader).await? {
                Taken::Frame(frame) => return Ok(Some((frame, held))),
                Taken::Some => {}
                Taken::End => return Ok(None),
            }
        }
    }

    /// Waits for more of a frame.
    ///
    /// # Errors
    /// [`ReadError`].
    pub(super) async fn some(&self, reader: &mut Reader) -> Result<Taken, ReadError> {
        loop {
            self.tcp.readable().await?;
            match self.take(reader) {
                Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                taken => return taken,
            }
        }
    }

    /// Waits until the other side has closed, or closed its way of writing, which looks the same. Who has sent more than was
    /// read has not, as far as can be seen.
    pub(super) async fn hung_up(&self) {
        if matches!(self.tcp.peek(&mut [0]).await, Ok(1..)) {
            std::future::pending().await
        }
    }

    /// Takes what has come, at most what belongs to the frame.
    fn take(&self, reader: &mut Reader) -> Result<Taken, ReadError> {
        let mut space = [0; limits::CLASSIC_READ];
        let n = self.tcp.try_read(&mut space[..reader.wants()])?;
        if n == 0 {
            return Ok(Taken::End);
        }
        Ok(match reader.feed(&space[..n])? {
            Some(frame) => Taken::Frame(frame),
            None => Taken::Some,
        })
    }

    /// Writes one frame.
    ///
    /// # Errors
    /// [`ReplyError::TooLarge`]; [`ReplyError::Gone`], also when nothing of it could be written for
    /// [`limits::CLASSIC_WRITE_TIMEOUT`].
    pub(super) async fn reply(&self, kind: &[u8], body: &[u8]) -> Result<(), ReplyError> {
        let fits = body.len() <= limits::CLASSIC_MAX_REPLY as usize;
        let frame = encode(kind, body).filter(|_| fits).ok_or(ReplyError::TooLarge)?;
        self.send(&frame).await.map_err(|_| ReplyError::Gone)
    }

    /// Writes one frame that is bytes already.
    ///
    /// # Errors
    /// It could not be written, at all or in time.
    pub(super) async fn send(&self, frame: &[u8]) -> io::Result<()> {
        let mut writing = self.begin().await?;
        writing.write(frame).await?;
        writing.done();
        Ok(())
    }

    /// Writes one frame of `len` bytes that are read as they are sent; the first of them leave with the header.
    ///
    /// # Errors
    /// As [`reply`](Self::reply); [`ReplyError::Gone`] when the source fails or ends early: what has been sent
    /// then is of no use.
    pub(super) async fn reply_from(
        &self,
        kind: &[u8],
        len: u32,
        source: &mut (impl AsyncRead + Unpin),
    ) -> Result<(), ReplyError> {
        if len > limits::CLASSIC_MAX_REPLY {
            return Err(ReplyError::TooLarge);
        }
        let mut chunk = header(kind, len).to_vec();
        let mut left = u64::from(len);
        let sent = async {
            let mut writing = self.begin().await?;
            loop {
                let some = left.min(CHUNK);
                let read = (&mut *source).take(some).read_to_end(&mut chunk).await?;
                if read as u64 != some {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                writing.write(&chunk).await?;
                left -= some;
                if left == 0 {
                    writing.done();
                    return Ok(());
                }
                chunk.clear();
            }
        };
        sent.await.map_err(|_: io::Error| ReplyError::Gone)
    }

    /// Says that no more will be written; the other side's frames can still be read.
    pub(super) fn finish(&self) {
        // It may be closed already.
        let _ = socket2::SockRef::from(&self.tcp).shutdown(Shutdown::Write);
    }

    /// Ends it both ways, whoever still holds it.
    pub(super) fn end(&self) {
        let _ = socket2::SockRef::from(&self.tcp).shutdown(Shutdown::Both);
    }

    async fn begin(&self) -> io::Result<Writing<'_>> {
        let turn = self.writing.lock().await;
        if self.torn.swap(true, Ordering::Relaxed) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(Writing { wire: self, _turn: turn })
    }
}

/// Bytes of a file that are written at a time.
const CHUNK: u64 = 64 * 1024;

/// What reading gave.
pub(super) enum Taken {
    /// A whole frame, or what was not taken of it before.
    Frame(Message),
    /// A part of one.
    Some,
    /// The end.
    End,
}

/// A frame being written. Until it is done the connection counts as torn.
struct Writing<'a> {
    wire: &'a Wire,
    _turn: tokio::sync::MutexGuard<'a, ()>,
}

impl Writing<'_> {
    async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.wire.tcp.try_write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let writable = self.wire.tcp.writable();
                    tokio::time::timeout(limits::CLASSIC_WRITE_TIMEOUT, writable).await??;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn done(self) {
        self.wire.torn.store(false, Ordering::Relaxed);
    }
}

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    TooLong(#[from] TooLong),
}
