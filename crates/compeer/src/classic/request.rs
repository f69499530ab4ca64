//! What a classic handler is given: a request of somebody who proved nothing.
//!
//! Unlike a [`Request`](crate::Request) of a peer it has no sender, only the address its connection came from. Whoever
//! decides by that address decides by what anybody on the way can forge.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use compeer_proto::Kind;
use compeer_proto::classic::Reader;
use compeer_proto::session::Message;
use tokio::io::AsyncRead;

use super::room::Held;
use super::wire::Wire;
use crate::error::ReplyError;
use crate::{Peer, limits};

/// A classic request, as its handler sees it. Dropped when the handler ends; then the connection is closed, which tells
/// the caller that there are no more replies.
pub struct Request {
    wire: Arc<Wire>,
    reader: Reader,
    peer: Peer,
    from: SocketAddr,
    kind: Kind,
    body: Bytes,
    /// Room for the frame that was read last, if it is a long one.
    held: Held,
}

impl Request {
    pub(super) fn new(
        wire: Arc<Wire>,
        reader: Reader,
        peer: Peer,
        from: SocketAddr,
        kind: Kind,
        body: Bytes,
        held: Held,
    ) -> Self {
        Request { wire, reader, peer, from, kind, body, held }
    }

    /// Where the connection came from. Unverified: it says nothing about who asks.
    pub fn remote_addr(&self) -> SocketAddr {
        self.from
    }

    /// The address of this machine that was called.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.wire.local_addr()
    }

    /// The type, with ASCII letters in upper case.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The payload.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The payload as text, with what is no UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The peer that was asked.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The next frame on this connection, its type as it came; `None` at the end of them, and when none is whole within
    /// [`CLASSIC_FRAME_TIMEOUT`](limits::CLASSIC_FRAME_TIMEOUT).
    pub async fn next(&mut self) -> Option<Message> {
        self.held = Held::default();
        let next = self.wire.read(&mut self.reader, Some(&self.peer.0.classic.room));
        let next = tokio::time::timeout(limits::CLASSIC_FRAME_TIMEOUT, next).await;
        let (message, held) = next.ok()?.ok()??;
        self.held = held;
        Some(message)
    }

    /// Waits until the caller has hung up, so that a handler can stop what takes long. A caller that only says that it will
    /// write no more cannot be told from one; old programs say nothing of the kind before they have their replies.
    pub async fn hung_up(&self) {
        self.wire.hung_up().await;
    }

    /// Sends a reply of type `REPL`. Waits while the caller reads slowly.
    ///
    /// # Errors
    /// [`ReplyError::Gone`], also when the caller takes nothing for
    /// [`CLASSIC_WRITE_TIMEOUT`](limits::CLASSIC_WRITE_TIMEOUT); [`ReplyError::TooLarge`].
    pub async fn reply(&self, body: impl AsRef<[u8]>) -> Result<(), ReplyError> {
        self.reply_kind("REPL", body).await
    }

    /// Sends a reply of any type: a shorter one is padded with NUL, a longer one cut to four bytes.
    ///
    /// # Errors
    /// As [`reply`](Self::reply).
    pub async fn reply_kind(&self, kind: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Result<(), ReplyError> {
        self.wire.reply(kind.as_ref(), body.as_ref()).await
    }

    /// Sends a reply of `len` bytes that are read from `source` as they are sent, which needs no memory for them.
    ///
    /// # Errors
    /// As [`reply`](Self::reply), and when `source` fails or ends early; then the reply is cut off, which a caller
    /// takes for none.
    pub async fn reply_from(
        &self,
        kind: impl AsRef<[u8]>,
        len: u32,
        mut source: impl AsyncRead + Unpin,
    ) -> Result<(), ReplyError> {
        self.wire.reply_from(kind.as_ref(), len, &mut source).await
    }

    pub(super) fn wire(&self) -> Arc<Wire> {
        self.wire.clone()
    }
}
