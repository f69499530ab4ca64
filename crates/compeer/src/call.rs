//! Asking: a request and the stream of its replies.
//!
//! [`Peer::request`](crate::Peer::request) gives a [`Call`], which does nothing
//! until it is awaited. Awaited, it connects if need be, sends, and gives
//! [`Replies`]; [`Call::one`] and [`Call::all`] are shorter ways. A request runs
//! at most once: it is never sent a second time, and
//! [`RequestError::Disconnected`] says that it may have run. Dropping the
//! replies cancels the request.

use std::future::{Future, IntoFuture, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use compeer_proto::session::{Message, RequestId, RequestOptions, SendError};
use compeer_proto::{Kind, PeerAddr, Time};
use futures_core::Stream;

use crate::link::Link;
use crate::local::Closing;
use crate::peer::{Inner, connect};
use crate::{Clock, ConnectError, RequestError};

/// How to find the connection to ask on.
#[derive(Clone)]
pub(crate) enum Way {
    /// The one with a peer, made if need be.
    Peer(Arc<Inner>, PeerAddr),
    /// The same, for a look-up: made at the addresses given and nowhere else, and not told of.
    InPassing(Arc<Inner>, PeerAddr),
    /// This one, which lives as long as somebody holds it.
    Local(Arc<Closing>),
}

/// How often another connection is looked for when one was closed under a
/// request that had not left.
pub(crate) const ATTEMPTS: usize = 5;

impl Way {
    /// The connection there is. It may be about to close.
    fn here(&self) -> Option<Arc<Link>> {
        match self {
            Way::Peer(inner, to) | Way::InPassing(inner, to) => inner.links.latest(to.id),
            Way::Local(closing) => Some(closing.0.clone()),
        }
    }

    pub(crate) async fn find(&self) -> Result<Arc<Link>, ConnectError> {
        match self {
            Way::Peer(inner, to) => connect::to_peer(inner, to.clone()).await,
            Way::InPassing(inner, to) => connect::in_passing(inner, to.clone()).await,
            Way::Local(closing) => Ok(closing.0.clone()),
        }
    }

    /// What keeps a local link from closing while replies are waited for.
    fn held(&self) -> Option<Arc<Closing>> {
        match self {
            Way::Peer(..) | Way::InPassing(..) => None,
            Way::Local(closing) => Some(closing.clone()),
        }
    }

    /// Does what `send` does on a connection that takes it. A connection that
    /// is being closed takes nothing, so nothing is done twice.
    async fn send<T>(
        &self,
        mut send: impl FnMut(&Link, &mut Context<'_>) -> Poll<Result<T, SendError>>,
    ) -> Result<(T, Arc<Link>), RequestError> {
        for _ in 0..ATTEMPTS {
            let link = self.find().await?;
            match poll_fn(|cx| send(&link, cx)).await {
                Ok(done) => return Ok((done, link)),
                // There is no other one to look for.
                Err(SendError::Draining | SendError::NotReady) if self.held().is_some() => {
                    return Err(RequestError::Disconnected);
                }
                Err(SendError::Draining | SendError::NotReady) => {}
                Err(error) => return Err(RequestError::from_send(error)),
            }
        }
        Err(RequestError::Unreachable(ConnectError::Refused("each connection was closed at once".into())))
    }
}

/// A request about to be made.
#[must_use = "a call does nothing until it is awaited"]
pub struct Call {
    way: Way,
    clock: Clock,
    message: Result<Message, RequestError>,
    timeout: Option<Duration>,
    open: bool,
}

impl Call {
    pub(crate) fn new(
        way: Way,
        clock: Clock,
        message: Result<Message, RequestError>,
        timeout: Duration,
    ) -> Self {
        Call { way, clock, message, timeout: Some(timeout), open: false }
    }

    /// Gives up after `timeout`, connecting and all replies included. Default:
    /// the peer's, 30 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Waits without end, as long as the connection lives.
    pub fn no_timeout(mut self) -> Self {
        self.timeout = None;
        self
    }

    /// Further messages will follow: see [`Replies::send`].
    pub fn open(mut self) -> Self {
        self.open = true;
        self
    }

    /// The replies, one by one as they come: the same as awaiting the call.
    ///
    /// # Errors
    /// [`RequestError`], when the request could not be sent.
    pub async fn replies(self) -> Result<Replies, RequestError> {
        self.start().await
    }

    /// The first reply.
    ///
    /// # Errors
    /// [`RequestError`]; [`RequestError::NoReply`] when there is none.
    pub async fn one(self) -> Result<Message, RequestError> {
        let mut replies = self.start().await?;
        poll_fn(|cx| replies.poll_only(cx)).await
    }

    /// All replies.
    ///
    /// # Errors
    /// [`RequestError`]; the replies before an error are lost. Read
    /// [`Replies`] one by one to keep them.
    pub async fn all(self) -> Result<Vec<Message>, RequestError> {
        let mut replies = self.start().await?;
        let mut all = Vec::new();
        while let Some(reply) = replies.next().await {
            all.push(reply?);
        }
        Ok(all)
    }

    async fn start(self) -> Result<Replies, RequestError> {
        let Call { way, clock, message, timeout, open } = self;
        let message = message?;
        let now = clock.now();
        // Nearly all requests leave at once and need neither a timer nor a
        // place among those who wait.
        if let Some(link) = way.here() {
            match link.request(&message, RequestOptions { timeout, open }, now) {
                Ok(id) => return Ok(Replies { link, id: Some(id), held: way.held() }),
                Err(SendError::Blocked | SendError::Draining | SendError::NotReady) => {}
                Err(error) => return Err(RequestError::from_send(error)),
            }
        }
        let deadline = timeout.map(|timeout| now + timeout);
        Box::pin(wait_and_start(way, clock, message, deadline, open)).await
    }
}

/// Starts a request that has to wait for a connection, or for room on it.
async fn wait_and_start(
    way: Way,
    clock: Clock,
    message: Message,
    deadline: Option<Time>,
    open: bool,
) -> Result<Replies, RequestError> {
    let until = |deadline: Time| tokio::time::sleep_until(clock.instant(deadline));
    let send = way.send(|link, cx| {
        let timeout = deadline.map(|deadline| deadline.since(clock.now()));
        link.poll_request(cx, &message, RequestOptions { timeout, open })
    });
    let (id, link) = match deadline {
        None => send.await?,
        Some(deadline) => tokio::select! {
            biased;
            sent = send => sent?,
            // It has not left, so it has not run.
            () = until(deadline) => return Err(ConnectError::TimedOut.into()),
        },
    };
    let held = way.held();
    Ok(Replies { link, id: Some(id), held })
}

impl IntoFuture for Call {
    type Output = Result<Replies, RequestError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

/// The replies of one request, as they come. Dropping them cancels it.
///
/// A [`Stream`] of `Result<Message, RequestError>`: it ends after an error, and
/// with `None` when the handler is done. Who does not read holds up only this
/// one request.
pub struct Replies {
    link: Arc<Link>,
    id: Option<RequestId>,
    held: Option<Arc<Closing>>,
}

impl Replies {
    /// The next reply; `None` when there are no more.
    pub async fn next(&mut self) -> Option<Result<Message, RequestError>> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Sends a further message of a request made with [`Call::open`]. Waits
    /// while the handler reads slowly. To send and read at the same time, use a
    /// [`sender`](Self::sender).
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn send<K: TryInto<Kind>>(&self, kind: K, body: impl Into<Bytes>) -> Result<(), RequestError> {
        self.sender().send(kind, body).await
    }

    /// Says that no further messages follow.
    pub fn finish(&self) {
        self.sender().finish();
    }

    /// The other direction of a request made with [`Call::open`], to send
    /// further messages while the replies are read.
    ///
    /// ```
    /// use compeer::{Failure, Peer, Request};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// async fn shout(mut request: Request) -> Result<(), Failure> {
    ///     while let Some(message) = request.next().await {
    ///         request.reply(message.text().to_uppercase()).await?;
    ///     }
    ///     Ok(())
    /// }
    /// let peer = Peer::builder().handle("SHOUT", shout).spawn().await?;
    ///
    /// let mut replies = peer.request(peer.id(), "SHOUT", "").open().await?;
    /// let sender = replies.sender();
    /// tokio::spawn(async move {
    ///     for word in ["a", "b", "c"] {
    ///         sender.send("WORD", word).await?;
    ///     }
    ///     sender.finish();
    ///     Ok::<(), compeer::RequestError>(())
    /// });
    /// let mut heard = String::new();
    /// while let Some(reply) = replies.next().await {
    ///     heard += &reply?.text();
    /// }
    /// assert_eq!(heard, "ABC");
    /// # peer.shutdown().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn sender(&self) -> Sender {
        Sender { link: self.link.clone(), id: self.id, _held: self.held.clone() }
    }

    /// The first reply, and the end of all.
    fn poll_only(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, RequestError>> {
        let Some(id) = self.id else { return Poll::Ready(Err(RequestError::NoReply)) };
        let reply = std::task::ready!(self.link.poll_only(cx, id));
        self.id = None;
        Poll::Ready(reply.map_err(|outcome| match outcome {
            Some(outcome) => RequestError::from_outcome(outcome).unwrap_or(RequestError::NoReply),
            None => self.link.lost(),
        }))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, RequestError>>> {
        let Some(id) = self.id else { return Poll::Ready(None) };
        Poll::Ready(match std::task::ready!(self.link.poll_reply(cx, id)) {
            Ok(message) => Some(Ok(message)),
            Err(outcome) => {
                self.id = None;
                let error = outcome.map_or_else(|| Some(self.link.lost()), RequestError::from_outcome);
                error.map(Err)
            }
        })
    }
}

impl Stream for Replies {
    type Item = Result<Message, RequestError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.link.cancel(id);
        }
    }
}

/// Sends further messages of a request: see [`Replies::sender`]. Clones send to
/// the same request; messages of one that waits may come after those of another.
/// It keeps no request alive: that is over when its [`Replies`] are dropped, and
/// who still sends for it is told.
#[derive(Clone)]
pub struct Sender {
    link: Arc<Link>,
    id: Option<RequestId>,
    _held: Option<Arc<Closing>>,
}

impl Sender {
    /// Sends a further message. Waits while the handler reads slowly.
    ///
    /// # Errors
    /// [`RequestError::Cancelled`] when the request is over or was not open,
    /// [`RequestError::Disconnected`] when the connection broke,
    /// [`RequestError::TooLarge`], [`RequestError::Kind`].
    pub async fn send<K: TryInto<Kind>>(&self, kind: K, body: impl Into<Bytes>) -> Result<(), RequestError> {
        let kind = kind.try_into().map_err(|_| RequestError::Kind)?;
        let Some(id) = self.id else { return Err(RequestError::Cancelled) };
        let mut message = Some(Message { kind, body: body.into() });
        let sent = poll_fn(|cx| self.link.poll_send(cx, id, false, &mut message)).await;
        sent.map_err(RequestError::from_send)
    }

    /// Says that no further messages follow, from any clone.
    pub fn finish(&self) {
        if let Some(id) = self.id {
            self.link.finish(id);
        }
    }
}

/// Sends a one-way request.
pub(crate) async fn notify(way: Way, message: Result<Message, RequestError>) -> Result<(), RequestError> {
    let message = message?;
    if let Some(link) = way.here() {
        match link.notify(&message) {
            Ok(()) => return Ok(()),
            Err(SendError::Blocked | SendError::Draining | SendError::NotReady) => {}
            Err(error) => return Err(RequestError::from_send(error)),
        }
    }
    Box::pin(way.send(|link, cx| link.poll_notify(cx, &message))).await.map(drop)
}
