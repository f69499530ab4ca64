//! The control protocol: what commands ask of the node that holds the home.
//!
//! It is the session protocol over the control socket (or over a pipe in memory, when a command runs its own node),
//! with a registry of its own, so that no peer can reach it. Each family of requests has a file: the request and
//! its answer as types, the kind, the handler. Bodies are JSON; the two sides are one program of one version.
//!
//! A reply of the kind [`ERROR`] ends a request and holds a [`CommandError`]: the client leaves with it. All other
//! replies are answers. A handler answers while the client waits; if the client goes away, the handler's future is
//! dropped and with it what it was doing.

pub(crate) mod block;
pub(crate) mod call;
pub(crate) mod chat;
pub(crate) mod doctor;
pub(crate) mod down;
pub(crate) mod find;
pub(crate) mod get;
pub(crate) mod offer;
pub(crate) mod on;
pub(crate) mod pair;
pub(crate) mod peers;
pub(crate) mod say;
pub(crate) mod shares;
pub(crate) mod spread;
pub(crate) mod status;
pub(crate) mod ticket;
pub(crate) mod trace;
pub(crate) mod transfers;

use crate::exit::{CommandError, Outcome};
use crate::node::Node;
use bytes::Bytes;
use compeer::local::Handlers;
use compeer::{Kind, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// A reply that holds why it did not work.
pub(crate) const ERROR: Kind = Kind::from_static("error");
/// A reply that holds an answer.
pub(crate) const ANSWER: Kind = Kind::from_static("answer");

/// Everything a node does for commands.
pub(crate) fn handlers(node: &Node) -> Handlers {
    let mut handlers = Handlers::new();
    handlers = answering(handlers, node, block::KIND, block::answer);
    handlers = answering(handlers, node, doctor::PORTS, doctor::ports);
    handlers = answering(handlers, node, doctor::PEER, doctor::peer);
    handlers = answering(handlers, node, down::KIND, down::answer);
    handlers = answering(handlers, node, pair::KIND, pair::answer);
    handlers = answering(handlers, node, pair::FORGET, pair::forget);
    handlers = answering(handlers, node, pair::code::FIND, pair::code::find);
    handlers = replying(handlers, node, pair::code::OFFER, pair::code::offer);
    handlers = answering(handlers, node, peers::KIND, peers::answer);
    handlers = answering(handlers, node, say::KIND, say::answer);
    handlers = answering(handlers, node, find::KIND, find::answer);
    handlers = answering(handlers, node, shares::KIND, shares::answer);
    handlers = answering(handlers, node, shares::STOP, shares::stop);
    handlers = answering(handlers, node, status::KIND, status::answer);
    handlers = answering(handlers, node, ticket::KIND, ticket::answer);
    handlers = answering(handlers, node, trace::KIND, trace::answer);
    handlers = answering(handlers, node, trace::MAP, trace::map);
    handlers = answering(handlers, node, transfers::KIND, transfers::answer);
    handlers = answering(handlers, node, transfers::DISCARD, transfers::discard);
    handlers = replying(handlers, node, call::KIND, call::answer);
    handlers = replying(handlers, node, get::KIND, get::answer);
    handlers = replying(handlers, node, offer::KIND, offer::answer);
    handlers = replying(handlers, node, on::KIND, on::answer);
    handlers = replying(handlers, node, on::JOB, on::job);
    handlers = replying(handlers, node, spread::KIND, spread::answer);
    replying(handlers, node, chat::KIND, chat::answer)
}

/// Adds a handler that gives one answer.
fn answering<Q, A, F, Fut>(handlers: Handlers, node: &Node, kind: &'static str, answer: F) -> Handlers
where
    Q: DeserializeOwned + Send + 'static,
    A: Serialize + Send + Sync + 'static,
    F: Fn(Node, Q) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Outcome<A>> + Send + 'static,
{
    replying(handlers, node, kind, move |node, request: Request| async move {
        let question = parse(request.body())?;
        let answered = answer(node, question).await?;
        reply(&request, ANSWER, &answered).await
    })
}

/// Adds a handler that replies as it likes; its error is sent to the client.
fn replying<F, Fut>(handlers: Handlers, node: &Node, kind: &'static str, answer: F) -> Handlers
where
    F: Fn(Node, Request) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Outcome> + Send + 'static,
{
    let node = node.clone();
    handlers.handle(kind, move |request: Request| {
        let (node, responder) = (node.clone(), request.responder());
        async move {
            if let Err(error) = answer(node, request).await {
                responder.reply_kind(ERROR, serde_json::to_vec(&error)?).await?;
            }
            Ok(())
        }
    })
}

/// Sends a reply as JSON.
pub(crate) async fn reply(request: &Request, kind: Kind, body: &impl Serialize) -> Outcome {
    let body = serde_json::to_vec(body).map_err(|error| CommandError::failed(error.to_string()))?;
    send(request, kind, body).await
}

/// Sends a reply as it is.
pub(crate) async fn send(request: &Request, kind: Kind, body: impl Into<Bytes>) -> Outcome {
    request.reply_kind(kind, body.into()).await.map_err(|_| CommandError::interrupted())
}

/// Reads a JSON body.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Outcome<T> {
    serde_json::from_slice(body).map_err(|error| {
        CommandError::failed(format!(
            "this compeer and the running one do not understand each other: {error}"
        ))
        .hint("was it updated meanwhile? stop the running one with: compeer down")
    })
}

/// Milliseconds, as durations travel here.
pub(crate) fn within(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
