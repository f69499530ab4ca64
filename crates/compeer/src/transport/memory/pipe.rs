//! Two ends of a cable with a length: bytes arrive after the latency.
//!
//! Each direction is a queue of chunks with the moment of their arrival. The
//! queue is bounded, so a reader that does not read stops the writer, as a TCP
//! window does. On a cut cable bytes wait, as TCP would send them again later.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::{Observer, Sent};
use crate::lock;

/// Bytes under way in one direction. As a socket buffer of the usual size.
const CAPACITY: usize = 256 * 1024;

#[derive(Default)]
struct Lane {
    chunks: VecDeque<(Instant, Bytes)>,
    queued: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// The writer is gone; what is queued still arrives.
    closed: bool,
    /// The reader is gone.
    broken: bool,
    cut: bool,
}

impl Lane {
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

/// One end of the cable.
pub struct End {
    from: Arc<Mutex<Lane>>,
    to: Arc<Mutex<Lane>>,
    latency: Duration,
    arrival: Option<Pin<Box<Sleep>>>,
    seen: Option<Seen>,
}

/// Who sees what is written into one end, and whose ends these are.
struct Seen {
    observer: Observer,
    from: SocketAddr,
    to: SocketAddr,
}

impl End {
    pub(super) fn seen_by(mut self, observer: Option<Observer>, from: SocketAddr, to: SocketAddr) -> End {
        self.seen = observer.map(|observer| Seen { observer, from, to });
        self
    }
}

/// A grip on the cable from outside, to cut it.
#[derive(Clone)]
pub struct Link(Arc<Mutex<Lane>>, Arc<Mutex<Lane>>);

impl Link {
    pub(super) fn cut(&self, cut: bool) {
        for lane in [&self.0, &self.1] {
            let mut lane = lock(lane);
            lane.cut = cut;
            lane.wake();
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        // Each lane is held by both ends, and by this.
        Arc::strong_count(&self.0) > 1
    }
}

/// A cable on which bytes take `latency`.
pub fn pipe(latency: Duration) -> (End, End, Link) {
    let (a, b) = (Arc::new(Mutex::new(Lane::default())), Arc::new(Mutex::new(Lane::default())));
    let near = End { from: a.clone(), to: b.clone(), latency, arrival: None, seen: None };
    let far = End { from: b.clone(), to: a.clone(), latency, arrival: None, seen: None };
    (near, far, Link(a, b))
}

impl AsyncRead for End {
    #[allow(clippy::disallowed_methods, reason = "the cable is where this network's time passes")]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let mut lane = lock(&this.from);
            let now = Instant::now();
            if lane.cut {
                lane.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let Some((arrival, chunk)) = lane.chunks.front_mut() else {
                if lane.closed {
                    return Poll::Ready(Ok(()));
                }
                lane.reader = Some(cx.waker().clone());
                return Poll::Pending;
            };
            if *arrival <= now {
                let n = chunk.len().min(buf.remaining());
                buf.put_slice(&chunk[..n]);
                chunk.advance(n);
                if chunk.is_empty() {
                    lane.chunks.pop_front();
                }
                lane.queued -= n;
                if let Some(writer) = lane.writer.take() {
                    writer.wake();
                }
                return Poll::Ready(Ok(()));
            }
            let arrival = *arrival;
            lane.reader = Some(cx.waker().clone());
            drop(lane);
            let sleep = this.arrival.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(arrival)));
            if sleep.deadline() != arrival {
                sleep.as_mut().reset(arrival);
            }
            std::task::ready!(sleep.as_mut().poll(cx));
        }
    }
}

impl AsyncWrite for End {
    #[allow(clippy::disallowed_methods, reason = "the cable is where this network's time passes")]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut lane = lock(&self.to);
        if lane.broken || lane.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = CAPACITY - lane.queued;
        if room == 0 {
            lane.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = room.min(bytes.len());
        lane.chunks.push_back((Instant::now() + self.latency, Bytes::copy_from_slice(&bytes[..n])));
        lane.queued += n;
        if let Some(reader) = lane.reader.take() {
            reader.wake();
        }
        drop(lane);
        if let Some(Seen { observer, from, to }) = &self.seen {
            lock(observer)(&Sent { from: *from, to: *to, bytes: &bytes[..n] });
        }
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut lane = lock(&self.to);
        lane.closed = true;
        lane.wake();
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut to = lock(&self.to);
        to.closed = true;
        to.wake();
        drop(to);
        let mut from = lock(&self.from);
        from.broken = true;
        from.wake();
    }
}
