//! Streams: one authenticated byte stream each, for bulk.
//!
//! A stream is a wire of its own beside the message connection, so loss or load
//! on one does not hold up the other (DESIGN §4.1). It belongs to the session
//! of the two peers and dies with it. Whoever dialled the message connection
//! dials the streams, to the same address; the other side asks for one by
//! message. At most [`MAX_STREAMS_PER_PEER`](crate::limits::MAX_STREAMS_PER_PEER)
//! at a time with one peer.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use compeer_proto::opening::{self, Answer, Opening};
use compeer_proto::{Kind, PeerId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Fuse};
use tokio::sync::oneshot;

use crate::link::Link;
use crate::peer::Inner;
use crate::transport::{ByteStream, Purpose, Wire};
use crate::{ConnectError, RequestError, limits, lock};

/// A byte stream with a proven peer: [`AsyncRead`] and [`AsyncWrite`].
///
/// Call `shutdown` (of [`AsyncWriteExt`]) after the last write: dropping a
/// stream throws away what is still on its way.
pub struct Stream {
    io: Box<dyn ByteStream>,
    kind: Kind,
    /// One each for reading and writing: the halves may be in two tasks.
    deaths: [Fuse<BoxFuture<'static, ()>>; 2],
    dead: bool,
    place: Place,
}

/// One of the streams that a link may have.
struct Place(Arc<Link>);

impl Place {
    fn take(link: &Arc<Link>) -> Option<Place> {
        let most = limits::MAX_STREAMS_PER_PEER;
        let taken = link.streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < most).then_some(n + 1));
        taken.is_ok().then(|| Place(link.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.touch(self.0.clock.now());
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Stream {
    fn new(io: Box<dyn ByteStream>, kind: Kind, place: Place) -> Self {
        let deaths = [(); 2].map(|()| {
            let mut closed = place.0.closed();
            let death: BoxFuture<'static, ()> = Box::pin(async move { drop(closed.wait_for(|closed| *closed).await) });
            death.fuse()
        });
        Stream { io, kind, deaths, dead: false, place }
    }

    /// Who is at the other end, proven.
    pub fn peer_id(&self) -> PeerId {
        self.place.0.peer
    }

    /// What the stream is for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    fn poll_death(&mut self, half: usize, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.dead = self.dead || Pin::new(&mut self.deaths[half]).poll(cx).is_ready();
        if !self.dead {
            return Poll::Pending;
        }
        Poll::Ready(io::Error::new(io::ErrorKind::ConnectionAborted, "the session ended"))
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.io).poll_read(cx, buf) {
            Poll::Pending => self.poll_death(0, cx).map(Err),
            ready => ready,
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.io).poll_write(cx, bytes) {
            Poll::Pending => self.poll_death(1, cx).map(Err),
            ready => ready,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.io).poll_flush(cx) {
            Poll::Pending => self.poll_death(1, cx).map(Err),
            ready => ready,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Who waits for a stream, or for the words with which it is refused.
type Waiter = oneshot::Sender<Result<Box<dyn ByteStream>, String>>;

/// Streams asked for by OPEN_STREAM and not here yet, by session and id.
#[derive(Default)]
pub(crate) struct Awaited(Mutex<BTreeMap<([u8; 16], u64), Waiter>>);

impl Awaited {
    pub(crate) fn refused(&self, link: &Link, stream: u64, text: String) {
        if let Some(waiter) = lock(&self.0).remove(&(link.session_id, stream)) {
            let _ = waiter.send(Err(text));
        }
    }
}

/// Opens a stream on a link, from whichever side dialled it.
pub(crate) async fn open(inner: &Arc<Inner>, link: Arc<Link>, kind: Kind) -> Result<Stream, RequestError> {
    let place = Place::take(&link).ok_or(RequestError::Busy)?;
    let opened = async {
        if link.dialled {
            let id = link.new_stream_id();
            let io = dial(inner, &link, id, kind).await?;
            return Ok(Stream::new(io, kind, place));
        }
        let (tx, rx) = oneshot::channel();
        let id = link.ask_for_stream(&kind, |id| {
            lock(&inner.awaited.0).insert((link.session_id, id), tx);
        });
        let _forget = Forget(inner, link.session_id, id);
        match rx.await {
            Ok(Ok(io)) => Ok(Stream::new(io, kind, place)),
            Ok(Err(text)) => Err(RequestError::Unreachable(ConnectError::Refused(text))),
            Err(_) => Err(RequestError::Disconnected),
        }
    };
    let mut closed = link.closed();
    tokio::select! {
        biased;
        opened = opened => opened,
        _ = closed.wait_for(|closed| *closed) => Err(RequestError::Disconnected),
        () = tokio::time::sleep(limits::STREAM_TIMEOUT) => Err(RequestError::TimedOut),
    }
}

struct Forget<'a>(&'a Arc<Inner>, [u8; 16], u64);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(&self.0.awaited.0).remove(&(self.1, self.2));
    }
}

/// Dials a stream of a link that this side dialled.
async fn dial(inner: &Arc<Inner>, link: &Arc<Link>, id: u64, kind: Kind) -> Result<Box<dyn ByteStream>, RequestError> {
    let Some(addr) = link.addr.clone() else {
        let why = "streams need a connection that was dialled, not one that was handed in";
        return Err(RequestError::Unreachable(ConnectError::Refused(why.into())));
    };
    let wire = inner.transport.dial(addr, Some(link.peer), Purpose::Stream).await?;
    let mut io = wire.io;
    let refused = |why: String| RequestError::Unreachable(ConnectError::Refused(why));
    let opening = Opening { session: link.session_id, stream: id, kind };
    let answer = async {
        io.write_all(&opening.encode()).await?;
        io.flush().await?;
        let body = read_framed(&mut io).await?;
        Answer::decode(&body).map_err(io::Error::other)
    };
    match answer.await {
        Ok(Answer::Accepted) => Ok(io),
        Ok(Answer::Refused(text)) => Err(refused(text)),
        Err(error) => Err(refused(error.to_string())),
    }
}

/// The other side asked for a stream: dial it and serve it.
pub(crate) async fn dial_asked(inner: Arc<Inner>, link: Arc<Link>, id: u64, kind: Kind) {
    let refuse = |text: &str| link.refuse_stream(id, text);
    let Some(handler) = inner.stream_handler(&kind) else { return refuse("no handler for this kind of stream") };
    let Some(place) = Place::take(&link) else { return refuse("too many streams") };
    match dial(&inner, &link, id, kind).await {
        Ok(io) => handler.call(Stream::new(io, kind, place)).await,
        Err(error) => refuse(&error.to_string()),
    }
}

/// A stream wire has come in: find its session, answer, hand it over or give
/// what is to serve it.
pub(crate) async fn answer(inner: &Arc<Inner>, wire: Wire) -> Option<BoxFuture<'static, ()>> {
    let Wire { mut io, peer, .. } = wire;
    let opening = async {
        let body = read_framed(&mut io).await?;
        Opening::decode(&body).map_err(io::Error::other)
    };
    let Ok(Ok(opening)) = tokio::time::timeout(limits::STREAM_TIMEOUT, opening).await else { return None };
    let reply = match accept(inner, peer, &opening) {
        Ok(accepted) => accepted,
        Err(why) => {
            let _ = io.write_all(&Answer::Refused(why.into()).encode()).await;
            let _ = io.shutdown().await;
            return None;
        }
    };
    let answered = async {
        io.write_all(&Answer::Accepted.encode()).await?;
        io.flush().await
    };
    answered.await.ok()?;
    match reply {
        Accepted::Asked(waiter) => {
            let _ = waiter.send(Ok(io));
            None
        }
        Accepted::Served(handler, place) => Some(handler.call(Stream::new(io, opening.kind, place))),
    }
}

enum Accepted {
    Asked(Waiter),
    Served(Arc<dyn crate::handler::StreamHandler>, Place),
}

fn accept(inner: &Inner, peer: PeerId, opening: &Opening) -> Result<Accepted, &'static str> {
    // The key just proven must own the session that is named.
    let link = inner.links.by_session(peer, opening.session).ok_or("no such session")?;
    if opening.stream % 2 == 1 {
        let waiter = lock(&inner.awaited.0).remove(&(opening.session, opening.stream));
        return waiter.map(Accepted::Asked).ok_or("that stream was not asked for");
    }
    let handler = inner.stream_handler(&opening.kind).ok_or("no handler for this kind of stream")?;
    let place = Place::take(&link).ok_or("too many streams")?;
    Ok(Accepted::Served(handler, place))
}

async fn read_framed(io: &mut Box<dyn ByteStream>) -> io::Result<Vec<u8>> {
    let mut prefix = [0; 2];
    io.read_exact(&mut prefix).await?;
    let len = opening::body_len(prefix).map_err(io::Error::other)?;
    let mut body = vec![0; len];
    io.read_exact(&mut body).await?;
    Ok(body)
}
