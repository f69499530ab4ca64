//! Handlers: what a peer does when asked.
//!
//! A handler is an async function from a [`Request`] to a reply, nothing, or a
//! [`Failure`]. Handlers live in a registry by exact kind, one per kind; a later
//! one replaces an earlier one. Who may call is part of the registration:
//! anyone who proved a key, or only peers that are known here
//! ([`Peer::know`](crate::Peer::know)). A handler is first polled in place, on
//! the task that reads the connection, and becomes a task of its own only when
//! it has to wait: short handlers cost no task, and one that computes for long
//! should yield or use a thread.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, RwLock};

use compeer_proto::Kind;
use futures_util::future::BoxFuture;

use crate::error::{Failure, IntoReply};
use crate::{Request, Stream};

/// What is done with requests of one kind. Any
/// `Fn(Request) -> impl Future<Output = Result<impl IntoReply, Failure>>` is one.
///
/// ```
/// use compeer::{Failure, Peer, Request};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// async fn twice(request: Request) -> Result<String, Failure> {
///     let n: u64 = std::str::from_utf8(request.body())?.parse()?;
///     Ok((2 * n).to_string())
/// }
/// let peer = Peer::builder().handle("TWICE", twice).spawn().await?;
/// let reply = peer.request(peer.id(), "TWICE", "21").one().await?;
/// assert_eq!(&reply.body[..], b"42");
/// # peer.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Serves one request. Dropping the future is cancellation: the caller went
    /// away or its deadline passed.
    fn call(&self, request: Request) -> BoxFuture<'static, Result<(), Failure>>;
}

impl<F, Fut, R> Handler for F
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, Failure>> + Send + 'static,
    R: IntoReply + 'static,
{
    fn call(&self, request: Request) -> BoxFuture<'static, Result<(), Failure>> {
        let responder = request.responder();
        let served = self(request);
        Box::pin(async move {
            if let Some(body) = served.await?.into_reply() {
                // A caller that is gone needs no reply.
                let _ = responder.reply(body).await;
            }
            Ok(())
        })
    }
}

/// What is done with streams of one kind. Any `Fn(Stream) -> impl Future` is one.
pub trait StreamHandler: Send + Sync + 'static {
    /// Serves one stream.
    fn call(&self, stream: Stream) -> BoxFuture<'static, ()>;
}

impl<F, Fut> StreamHandler for F
where
    F: Fn(Stream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    fn call(&self, stream: Stream) -> BoxFuture<'static, ()> {
        Box::pin(self(stream))
    }
}

/// Who may call a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Whoever proved a key.
    Proven,
    /// Peers that are known here.
    Known,
}

#[derive(Clone)]
pub(crate) struct Registered {
    pub(crate) access: Access,
    pub(crate) handler: Arc<dyn Handler>,
}

/// Handlers of streams by kind.
pub(crate) type StreamHandlers = BTreeMap<Kind, (Access, Arc<dyn StreamHandler>)>;

/// A registry of handlers by kind.
#[derive(Clone, Default)]
pub(crate) struct Registry(Arc<RwLock<BTreeMap<Kind, Registered>>>);

impl Registry {
    pub(crate) fn insert(&self, kind: Kind, access: Access, handler: Arc<dyn Handler>) {
        let mut map = self.0.write().unwrap_or_else(|e| e.into_inner());
        map.insert(kind, Registered { access, handler });
    }

    pub(crate) fn remove(&self, kind: &Kind) -> bool {
        self.0.write().unwrap_or_else(|e| e.into_inner()).remove(kind).is_some()
    }

    pub(crate) fn get(&self, kind: &Kind) -> Option<Registered> {
        self.0.read().unwrap_or_else(|e| e.into_inner()).get(kind).cloned()
    }
}
