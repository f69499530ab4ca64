//! The end of a circuit as a byte stream: what is written becomes DATA, what is DATA is read.
//!
//! What is written is copied once, into the frames; what is read goes from the hop's stream into
//! the reader's buffer. When a hop was lost, reading and writing fail with the
//! [`CircuitError`] that names it, inside the [`io::Error`]. Who only writes hears of it when the
//! carrier has gone, and from reading what it has said before.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use compeer_proto::PeerId;
use compeer_proto::circuit::flow::{Heard, Reader, Want};
use compeer_proto::circuit::{Broken, FIN, HEAD, Why, put_data};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::runtime::Handle;

use super::{Booked, CircuitError};
use crate::{Stream, limits};

/// Frames gathered before the hop's stream has to take them. Four TLS records.
const GATHERED: usize = 64 * 1024;

/// What is kept of their buffer when all is out.
const KEPT: usize = 4 * 1024;

struct CircuitIo {
    stream: Stream,
    /// Who carries it, the neighbour first; the neighbour is the other end when there is nobody.
    over: Vec<PeerId>,
    reader: Reader,
    finished: bool,
    out: Vec<u8>,
    sent: usize,
    said_fin: bool,
    broken: Option<CircuitError>,
    _booked: Option<Booked>,
}

/// An end that is let go in good order, but not before the carrier has hung up: what it has not
/// read yet would be lost with a socket that is closed while something unread stands in it.
pub(super) struct End {
    io: Option<CircuitIo>,
    runtime: Handle,
}

impl End {
    pub(super) fn new(runtime: &Handle, stream: Stream, over: Vec<PeerId>, booked: Option<Booked>) -> Self {
        End { io: Some(CircuitIo::new(stream, over, booked)), runtime: runtime.clone() }
    }

    fn io(&mut self) -> Pin<&mut CircuitIo> {
        Pin::new(self.io.as_mut().expect("it is there until it is dropped"))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(mut io) = self.io.take().filter(|io| io.said_fin && io.broken.is_none()) {
            self.runtime.spawn(async move {
                let last_words = async {
                    io.shutdown().await?;
                    let mut rest = [0; 1024];
                    while io.stream.read(&mut rest).await? > 0 {}
                    Ok::<_, io::Error>(())
                };
                drop(tokio::time::timeout(limits::CIRCUIT_LAST_WORDS, last_words).await);
            });
        }
    }
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.io().poll_read(cx, buf)
    }
}

impl AsyncWrite for End {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.io().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_shutdown(cx)
    }
}

impl CircuitIo {
    fn new(stream: Stream, over: Vec<PeerId>, booked: Option<Booked>) -> Self {
        CircuitIo {
            stream,
            over,
            reader: Reader::default(),
            finished: false,
            out: Vec::new(),
            sent: 0,
            said_fin: false,
            broken: None,
            _booked: booked,
        }
    }

    fn check(&self) -> io::Result<()> {
        self.broken.clone().map_or(Ok(()), |broken| Err(io::Error::other(broken)))
    }

    fn breaks(&mut self, broken: Broken) -> io::Error {
        let broken = self.broken.insert(CircuitError::at(self.over.clone(), broken));
        io::Error::other(broken.clone())
    }

    /// The neighbour is lost, or breaks the protocol.
    fn lost(&mut self, why: Why) -> io::Error {
        let who = self.stream.peer_id();
        self.breaks(Broken { who, why })
    }

    /// Reads a little of a frame that is not DATA.
    fn poll_frame(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<()>> {
        let mut space = [0; 256];
        let most = most.min(space.len());
        let mut buf = ReadBuf::new(&mut space[..most]);
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf));
        if read.is_err() || buf.filled().is_empty() {
            let why = self.stream.why_lost();
            return Poll::Ready(Err(self.lost(why)));
        }
        Poll::Ready(match self.reader.feed(buf.filled()) {
            Ok(None) => Ok(()),
            Ok(Some(Heard::Fin)) => {
                self.finished = true;
                Ok(())
            }
            Ok(Some(Heard::Broken(broken))) => Err(self.breaks(broken)),
            Err(_) => Err(self.lost(Why::Protocol)),
        })
    }

    /// Gives the hop's stream what was gathered.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.out.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out[self.sent..])) {
                Ok(n) if n > 0 => self.sent += n,
                // Not kept: why it takes nothing any more may be on its way to who reads.
                _ => {
                    let broken = Broken { who: self.stream.peer_id(), why: self.stream.why_lost() };
                    let broken = CircuitError::at(self.over.clone(), broken);
                    return Poll::Ready(Err(io::Error::other(broken)));
                }
            }
        }
        self.sent = 0;
        self.out.clear();
        if self.out.capacity() > GATHERED + KEPT {
            self.out.shrink_to(KEPT);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for CircuitIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            this.check()?;
            if this.finished || buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            match this.reader.want() {
                Want::Frame(most) => ready!(this.poll_frame(cx, most))?,
                Want::Data(most) => {
                    let most = most.min(buf.remaining());
                    let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
                    let read = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut part));
                    let n = part.filled().len();
                    if read.is_err() || n == 0 {
                        let why = this.stream.why_lost();
                        return Poll::Ready(Err(this.lost(why)));
                    }
                    buf.advance(n);
                    this.reader.took(n);
                    return Poll::Ready(Ok(()));
                }
                Want::Nothing => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl AsyncWrite for CircuitIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.check()?;
        if this.said_fin {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if this.out.len() + HEAD >= GATHERED {
            ready!(this.poll_out(cx))?;
        }
        let n = put_data(&mut this.out, bytes);
        // What it does not take now is taken at the next call, or at a flush.
        if let Poll::Ready(Err(error)) = this.poll_out(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        if !std::mem::replace(&mut self.said_fin, true) {
            self.out.extend_from_slice(&FIN);
        }
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
