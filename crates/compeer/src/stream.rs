//! Streams: one authenticated byte stream each, for bulk.
//!
//! A stream is a wire of its own beside the message connection, so loss or load
//! on one does not hold up the other (DESIGN §4.1). It belongs to the session
//! of the two peers and dies with it; a session that gives way to its twin lasts
//! until its streams have ended. Whoever dialled the message connection
//! dials the streams, to the same address; the other side asks for one by
//! message; over others each is a circuit of its own. At most [`MAX_STREAMS_PER_PEER`](crate::limits::MAX_STREAMS_PER_PEER)
//! at a time with one peer.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use compeer_proto::circuit::{self, Why};
use compeer_proto::opening::{self, Answer, Opening};
use compeer_proto::session::Outcome;
use compeer_proto::{Addr, Kind, PeerId};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::Sleep;

use crate::call::{ATTEMPTS, Way};
use crate::handler::StreamHandler;
use crate::link::driver::panic_text;
use crate::link::{Link, Of, Over};
use crate::peer::{Inner, spawn_until_down};
use crate::transport::{ByteStream, Purpose, Wire};
use crate::{ConnectError, Event, RequestError, limits, lock};

/// A byte stream with a proven peer: [`AsyncRead`] and [`AsyncWrite`].
///
/// Call `shutdown` (of [`AsyncWriteExt`]) after the last write: dropping a
/// stream throws away what is still on its way.
pub struct Stream {
    io: Box<dyn ByteStream>,
    kind: Kind,
    /// One each for reading and writing: the halves may be in two tasks.
    fates: [Fate; 2],
    dead: bool,
    place: Arc<Place>,
}

/// What the session lets become of one half of a stream.
enum Fate {
    /// The session lives. Gives whether it gave way to its twin.
    Bound(BoxFuture<'static, bool>),
    /// The session gave way to its twin. The other side ends a session so only
    /// when it has no streams left: what it sent may be read for a while, and no
    /// longer, since nothing else bounds how many such streams there are.
    Lingers(Option<Pin<Box<Sleep>>>),
    Dead,
}

impl Fate {
    fn of(link: &Arc<Link>) -> Self {
        let link = link.clone();
        Fate::Bound(Box::pin(async move {
            let _ = link.closed().wait_for(|closed| *closed).await;
            link.gave_way()
        }))
    }

    /// Ready when this half is at its end, asked when nothing moves.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Fate::Bound(over) = self {
            let gave_way = std::task::ready!(over.as_mut().poll(cx));
            *self = if gave_way { Fate::Lingers(None) } else { Fate::Dead };
        }
        if let Fate::Lingers(end) = self {
            let end = end.get_or_insert_with(|| Box::pin(tokio::time::sleep(limits::STREAM_LINGER)));
            std::task::ready!(end.as_mut().poll(cx));
            *self = Fate::Dead;
        }
        Poll::Ready(())
    }
}

/// One of the streams that a link may have.
struct Place(Arc<Link>, Of);

impl Place {
    /// # Errors
    /// [`Outcome::Busy`] when all are taken, [`Outcome::Cancelled`] when the
    /// link is being closed.
    fn take(link: &Arc<Link>, kind: &Kind) -> Result<Arc<Place>, Outcome> {
        let of = if *kind == circuit::KIND { Of::Circuits } else { Of::Streams };
        link.take_place(of)?;
        Ok(Arc::new(Place(link.clone(), of)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.leave_place(self.1);
    }
}

impl Stream {
    fn new(io: Box<dyn ByteStream>, kind: Kind, place: Arc<Place>) -> Self {
        let fates = [(); 2].map(|()| Fate::of(&place.0));
        Stream { io, kind, fates, dead: false, place }
    }

    /// Who is at the other end, proven.
    pub fn peer_id(&self) -> PeerId {
        self.place.0.peer
    }

    /// 32 bytes that only the two ends know, the same at both: those of the
    /// connection that the stream belongs to
    /// ([`Connection::channel_binding`](crate::Connection::channel_binding)).
    /// What is bound to them cannot be passed on.
    pub fn channel_binding(&self) -> [u8; 32] {
        self.place.0.binding
    }

    /// Where the connection is that it belongs to; `None` for a byte stream that was
    /// handed in.
    pub fn path(&self) -> Option<&Addr> {
        self.place.0.addr.as_ref()
    }

    /// Who carried that connection when the stream was opened, the neighbour first, as they say;
    /// empty when nobody did.
    pub fn over(&self) -> &[PeerId] {
        &self.place.0.over
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.place.0
    }

    /// Why nothing comes any more.
    pub(crate) fn why_lost(&self) -> Why {
        why_lost(self.link())
    }

    /// What the stream is for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What a half gives for what its byte stream gave.
    fn unless_dead<T>(
        &mut self,
        half: usize,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(ready) = polled {
            // Where a circuit broke is said in every case.
            let broken = |e: io::Error| crate::circuit::broken(&e, self.over()).map_or(e, io::Error::other);
            return Poll::Ready(ready.map_err(broken));
        }
        self.dead = self.dead || self.fates[half].poll_end(cx).is_ready();
        if !self.dead {
            return Poll::Pending;
        }
        Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the session ended")))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if read.is_ready() {
            self.place.0.tally.stream_bytes_received.more(buf.filled().len() - before);
        }
        self.unless_dead(0, cx, read)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        if let Poll::Ready(Ok(n)) = &written {
            self.place.0.tally.stream_bytes_sent.more(*n);
        }
        self.unless_dead(1, cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.unless_dead(1, cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Why a neighbour is lost.
pub(crate) fn why_lost(link: &Link) -> Why {
    match link.over() {
        Some(Over::Dead) => Why::Silent,
        _ => Why::Gone,
    }
}

/// Who waits for a stream, or hears why it does not come.
type Waiter = oneshot::Sender<Result<Box<dyn ByteStream>, Outcome>>;

/// Streams asked for by OPEN_STREAM and not here yet, by session and id.
#[derive(Default)]
pub(crate) struct Awaited(Mutex<BTreeMap<([u8; 16], u64), Waiter>>);

impl Awaited {
    pub(crate) fn refused(&self, link: &Link, stream: u64, why: Outcome) {
        if let Some(waiter) = lock(&self.0).remove(&(link.session_id, stream)) {
            let _ = waiter.send(Err(why));
        }
    }
}

/// Why a stream did not come about on one link.
enum NotOpened {
    /// The link was closed before the other side could have begun it: another
    /// link will do.
    Again,
    For(RequestError),
}

impl From<Outcome> for NotOpened {
    fn from(why: Outcome) -> Self {
        let refused = |why: String| RequestError::Unreachable(ConnectError::Refused(why));
        match why {
            Outcome::Cancelled => NotOpened::Again,
            Outcome::Failed(text) => NotOpened::For(refused(text)),
            why => NotOpened::For(RequestError::from_outcome(why).unwrap_or_else(|| refused(String::new()))),
        }
    }
}

impl From<RequestError> for NotOpened {
    fn from(error: RequestError) -> Self {
        NotOpened::For(error)
    }
}

/// Opens a stream with a peer, on whatever link there is or comes about.
pub(crate) async fn open(inner: &Arc<Inner>, way: &Way, kind: Kind) -> Result<Stream, RequestError> {
    for _ in 0..ATTEMPTS {
        let link = way.find().await?;
        match open_on(inner, &link, kind).await {
            Ok(stream) => {
                link.tally.streams_opened.one();
                return Ok(stream);
            }
            Err(NotOpened::For(error)) => return Err(error),
            Err(NotOpened::Again) => {}
        }
    }
    Err(RequestError::Unreachable(ConnectError::Refused("each connection was closed at once".into())))
}

/// Opens a stream on this link and no other.
pub(crate) async fn open_on_link(
    inner: &Arc<Inner>,
    link: &Arc<Link>,
    kind: Kind,
) -> Result<Stream, RequestError> {
    open_on(inner, link, kind).await.map_err(|error| match error {
        NotOpened::For(error) => error,
        NotOpened::Again => RequestError::Disconnected,
    })
}

/// Opens a stream on a link, from whichever side dialled it.
async fn open_on(inner: &Arc<Inner>, link: &Arc<Link>, kind: Kind) -> Result<Stream, NotOpened> {
    let place = Place::take(link, &kind)?;
    if link.peer == inner.id {
        return with_oneself(inner, kind, place);
    }
    let begun = AtomicBool::new(false);
    let opened = async {
        if link.dialled {
            dial(inner, link, link.new_stream_id(), kind, &begun).await
        } else {
            ask(inner, link, kind).await
        }
    };
    let in_time = tokio::time::timeout(limits::STREAM_TIMEOUT, opened).await;
    let not_in_time = |_| match begun.load(Ordering::Relaxed) || !link.dialled {
        true => NotOpened::For(RequestError::TimedOut),
        false => NotOpened::For(RequestError::Unreachable(ConnectError::TimedOut)),
    };
    Ok(Stream::new(in_time.map_err(not_in_time)??, kind, place))
}

/// Asks the other side to dial a stream.
async fn ask(inner: &Inner, link: &Arc<Link>, kind: Kind) -> Result<Box<dyn ByteStream>, NotOpened> {
    let (tx, mut rx) = oneshot::channel();
    let id = link.ask_for_stream(&kind, |id| {
        lock(&inner.awaited.0).insert((link.session_id, id), tx);
    });
    let forget = Forget(inner, (link.session_id, id));
    let mut closed = link.closed();
    let answered = tokio::select! {
        biased;
        answered = &mut rx => Some(answered),
        _ = closed.wait_for(|closed| *closed) => None,
    };
    let answered = match answered {
        Some(answered) => answered,
        // Who has not been let in has begun nothing.
        None if forget.now() => return Err(NotOpened::Again),
        None => rx.await,
    };
    Ok(answered.map_err(|_| RequestError::Disconnected)??)
}

struct Forget<'a>(&'a Inner, ([u8; 16], u64));

impl Forget<'_> {
    /// Whether it was still waited for.
    fn now(&self) -> bool {
        lock(&self.0.awaited.0).remove(&self.1).is_some()
    }
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.now();
    }
}

/// Dials a stream of a link that this side dialled. `begun` tells whether the
/// other side can have heard of it.
async fn dial(
    inner: &Arc<Inner>,
    link: &Arc<Link>,
    id: u64,
    kind: Kind,
    begun: &AtomicBool,
) -> Result<Box<dyn ByteStream>, NotOpened> {
    let refused = |why: String| NotOpened::For(RequestError::Unreachable(ConnectError::Refused(why)));
    let wire = match link.addr.clone() {
        Some(addr) => inner.transport.dial(addr, Some(link.peer), Purpose::Stream),
        None if link.is_carried() => {
            let first =
                link.over.first().map(|first| crate::Hop::from(compeer_proto::PeerAddr::from(*first)));
            crate::circuit::dial(inner, link.peer.into(), Purpose::Stream, first)
        }
        None => {
            return Err(refused(
                "streams need a connection that was dialled, not one that was handed in".into(),
            ));
        }
    };
    let dialled = async {
        let wire = wire.await;
        let mut io = wire.map_err(RequestError::from)?.io;
        begun.store(true, Ordering::Relaxed);
        let opening = Opening { session: link.session_id, stream: id, kind };
        let answer = async {
            io.write_all(&opening.encode()).await?;
            io.flush().await?;
            let body = read_framed(&mut io).await?;
            Answer::decode(&body).map_err(io::Error::other)
        };
        match answer.await {
            Ok(Answer::Accepted) => Ok(io),
            Ok(Answer::Refused(why)) => Err(why.into()),
            Err(error) => Err(refused(error.to_string())),
        }
    };
    let mut closed = link.closed();
    let broken = async {
        let _ = closed.wait_for(|closed| *closed).await;
        if link.gave_way() {
            // If the other side has begun it, it has ended it since, and its
            // bytes may be on their way; if not, it says so.
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        dialled = dialled => dialled,
        () = broken => Err(match begun.load(Ordering::Relaxed) {
            true => NotOpened::For(RequestError::Disconnected),
            false => NotOpened::Again,
        }),
    }
}

/// A stream with ourselves, inside the process.
fn with_oneself(inner: &Arc<Inner>, kind: Kind, place: Arc<Place>) -> Result<Stream, NotOpened> {
    let handler = inner.stream_handler(inner.id, &kind)?;
    let (near, far) = tokio::io::duplex(limits::WINDOW as usize);
    let served = Stream::new(Box::new(far), kind, place.clone());
    spawn_until_down(inner, serve(inner.clone(), handler, served));
    Ok(Stream::new(Box::new(near), kind, place))
}

/// Runs a handler; a panic ends its own stream only.
async fn serve(inner: Arc<Inner>, handler: Arc<dyn StreamHandler>, stream: Stream) {
    let kind = stream.kind;
    stream.place.0.tally.streams_served.one();
    let served = AssertUnwindSafe(async { handler.call(stream).await });
    if let Err(panic) = served.catch_unwind().await {
        inner.tell(Event::HandlerPanicked { kind, text: panic_text(&*panic) });
    }
}

/// The other side asked for a stream: dial it and serve it. Its place is taken
/// at once, so that a link that drains waits for it.
pub(crate) fn dial_asked(
    inner: Arc<Inner>,
    link: Arc<Link>,
    id: u64,
    kind: Kind,
) -> impl Future<Output = ()> + Send {
    let wanted = inner.stream_handler(link.peer, &kind);
    let wanted = wanted.and_then(|handler| Ok((handler, Place::take(&link, &kind)?)));
    async move {
        let (handler, place) = match wanted {
            Ok(wanted) => wanted,
            Err(why) => return link.refuse_stream(id, &why),
        };
        let begun = AtomicBool::new(false);
        let dialled = tokio::time::timeout(limits::STREAM_TIMEOUT, dial(&inner, &link, id, kind, &begun));
        match dialled.await.unwrap_or(Err(NotOpened::For(RequestError::TimedOut))) {
            Ok(io) => serve(inner, handler, Stream::new(io, kind, place)).await,
            Err(NotOpened::Again) => link.refuse_stream(id, &Outcome::Cancelled),
            Err(NotOpened::For(error)) => link.refuse_stream(id, &Outcome::Failed(error.to_string())),
        }
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
            let _ = io.write_all(&Answer::Refused(why).encode()).await;
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
        Accepted::Served(handler, place) => {
            Some(serve(inner.clone(), handler, Stream::new(io, opening.kind, place)).boxed())
        }
    }
}

enum Accepted {
    Asked(Waiter),
    Served(Arc<dyn StreamHandler>, Arc<Place>),
}

fn accept(inner: &Inner, peer: PeerId, opening: &Opening) -> Result<Accepted, Outcome> {
    // The key just proven must own the session that is named.
    let link = inner.links.by_session(peer, opening.session).ok_or(Outcome::Cancelled)?;
    if opening.stream % 2 == 1 {
        let waiter = lock(&inner.awaited.0).remove(&(opening.session, opening.stream));
        // Who asked for it may have given up.
        return waiter.map(Accepted::Asked).ok_or(Outcome::Cancelled);
    }
    let handler = inner.stream_handler(peer, &opening.kind)?;
    Ok(Accepted::Served(handler, Place::take(&link, &opening.kind)?))
}

async fn read_framed(io: &mut Box<dyn ByteStream>) -> io::Result<Vec<u8>> {
    let mut prefix = [0; 2];
    io.read_exact(&mut prefix).await?;
    let len = opening::body_len(prefix).map_err(io::Error::other)?;
    let mut body = vec![0; len];
    io.read_exact(&mut body).await?;
    Ok(body)
}
