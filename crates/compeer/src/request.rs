//! What a handler is given: a request of a proven peer.
//!
//! It carries the sender, the kind, the body and the deadline; further messages
//! of the caller come from [`Request::next`], and replies go out as they arise
//! with [`Request::reply`]. When the caller goes away or the deadline passes,
//! the handler's future is dropped. That of a one-way request
//! ([`Request::wants_reply`]) was delivered, and may finish: after its sender
//! has gone it goes on for [`ONE_WAY_GRACE`](crate::limits::ONE_WAY_GRACE), and
//! is dropped at once only when this peer blocks the sender or shuts down.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use compeer_proto::session::{Message, RequestId, SendError};
use compeer_proto::{Kind, PeerId, Time};
use serde::de::DeserializeOwned;

use crate::error::{Failure, ReplyError};
use crate::link::Link;
use crate::{Connection, Peer};

/// The kind of a reply for which no other was given, as BTPeer programs have it.
pub(crate) const REPLY: Kind = Kind::from_static("REPL");

/// A request, as its handler sees it.
pub struct Request {
    responder: Responder,
    peer: Peer,
    message: Message,
    deadline: Option<Time>,
}

impl Request {
    pub(crate) fn new(
        link: Arc<Link>,
        peer: Peer,
        id: Option<RequestId>,
        message: Message,
        deadline: Option<Time>,
    ) -> Self {
        Request { responder: Responder { link, id }, peer, message, deadline }
    }

    /// Who asks, proven.
    pub fn sender(&self) -> PeerId {
        self.responder.link.peer
    }

    /// The nickname the sender gave itself: a claim, not to be trusted, to be
    /// escaped when shown.
    pub fn sender_name(&self) -> Option<String> {
        self.responder.link.name()
    }

    /// The connection it came on.
    pub fn connection(&self) -> Connection {
        Connection(self.responder.link.clone())
    }

    /// The kind of message.
    pub fn kind(&self) -> Kind {
        self.message.kind
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        &self.message.body
    }

    /// The body as text, with what is no UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.message.body).into_owned()
    }

    /// The body as a value, from JSON.
    ///
    /// # Errors
    /// It is not of that type; with `?` the caller is told so.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        Ok(serde_json::from_slice(&self.message.body)?)
    }

    /// How long the caller still waits; `None` when it set no deadline.
    pub fn time_left(&self) -> Option<Duration> {
        Some(self.deadline?.since(self.responder.link.clock.now()))
    }

    /// When the caller stops waiting, on this peer's [`Clock`](crate::Clock).
    pub fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// The peer that was asked, to go on asking others.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Whether the caller wants replies; those to a one-way request go nowhere.
    pub fn wants_reply(&self) -> bool {
        self.responder.id.is_some()
    }

    /// The caller's next further message; `None` when no more come.
    pub async fn next(&mut self) -> Option<Message> {
        let id = self.responder.id?;
        poll_fn(|cx| self.responder.link.poll_message(cx, id)).await
    }

    /// Sends a reply of kind `REPL`. Waits while the caller reads slowly.
    ///
    /// # Errors
    /// [`ReplyError::Gone`], [`ReplyError::TooLarge`].
    pub async fn reply(&self, body: impl Into<Bytes>) -> Result<(), ReplyError> {
        self.responder.reply(body).await
    }

    /// Sends a reply of any kind.
    ///
    /// # Errors
    /// As [`reply`](Self::reply), and [`ReplyError::Kind`].
    pub async fn reply_kind<K: TryInto<Kind>>(
        &self,
        kind: K,
        body: impl Into<Bytes>,
    ) -> Result<(), ReplyError> {
        self.responder.reply_kind(kind, body).await
    }

    /// The way back to the caller, to be kept apart from the request.
    pub fn responder(&self) -> Responder {
        self.responder.clone()
    }
}

/// The way back to a caller. Clones send to the same caller.
#[derive(Clone)]
pub struct Responder {
    link: Arc<Link>,
    id: Option<RequestId>,
}

impl Responder {
    /// Sends a reply of kind `REPL`.
    ///
    /// # Errors
    /// As [`Request::reply`].
    pub async fn reply(&self, body: impl Into<Bytes>) -> Result<(), ReplyError> {
        self.send(Message { kind: REPLY, body: body.into() }).await
    }

    /// Sends a reply of any kind.
    ///
    /// # Errors
    /// As [`Request::reply_kind`].
    pub async fn reply_kind<K: TryInto<Kind>>(
        &self,
        kind: K,
        body: impl Into<Bytes>,
    ) -> Result<(), ReplyError> {
        let kind = kind.try_into().map_err(|_| ReplyError::Kind)?;
        self.send(Message { kind, body: body.into() }).await
    }

    async fn send(&self, message: Message) -> Result<(), ReplyError> {
        let Some(id) = self.id else { return Ok(()) };
        let mut message = Some(message);
        let sent = poll_fn(|cx| self.link.poll_send(cx, id, true, &mut message)).await;
        sent.map_err(|error| match error {
            SendError::TooLarge { .. } => ReplyError::TooLarge,
            _ => ReplyError::Gone,
        })
    }
}
