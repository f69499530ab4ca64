//! `call`: a request of any kind to a peer, its replies passed on as they come.
//!
//! The first message says what to do, the second is the body. Each reply of the peer becomes two: its kind, then its
//! body, both as they came.

use super::{parse, send, within};
use crate::exit::{CommandError, Outcome};
use crate::node::{Node, blame, classic};
use crate::target;
use bytes::Bytes;
use compeer::{Addr, Kind, Request, limits};
use serde::{Deserialize, Serialize};

pub(crate) const KIND: &str = "call";
/// The kind of the peer's next reply.
pub(crate) const REPLY_KIND: Kind = Kind::from_static("reply-kind");
/// The body of the peer's reply.
pub(crate) const REPLY_BODY: Kind = Kind::from_static("reply-body");

/// Ask that peer this; the body follows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) peer: String,
    pub(crate) kind: String,
    pub(crate) no_reply: bool,
    pub(crate) timeout_ms: u64,
}

pub(super) async fn answer(node: Node, mut request: Request) -> Outcome {
    let call: Call = parse(request.body())?;
    let body = request.next().await.map(|message| message.body).unwrap_or_default();
    let done = pass_on(&node, &call, body, &request);
    tokio::time::timeout(within(call.timeout_ms), done).await.unwrap_or_else(|_| {
        Err(CommandError::unreachable(format!("{} did not answer in time", target::brief(&call.peer))))
    })
}

async fn pass_on(node: &Node, call: &Call, body: Bytes, request: &Request) -> Outcome {
    if let Some(at) = classic::address(&call.peer) {
        return pass_on_classic(node, at?, call, body, request).await;
    }
    let kind = Kind::new(&call.kind).map_err(|error| CommandError::usage(format!("KIND: {error}")))?;
    let reached = node.reach(&call.peer).await?;
    let blamed = |error| blame::request(&reached.name, &error);
    if call.no_reply {
        return node.peer.notify(reached.id, kind, body).await.map_err(blamed);
    }
    let asked = node.peer.request(reached.id, kind, body).timeout(within(call.timeout_ms));
    let mut replies = asked.await.map_err(blamed)?;
    while let Some(reply) = replies.next().await {
        let reply = reply.map_err(blamed)?;
        send(request, REPLY_KIND, reply.kind.as_bytes().to_vec()).await?;
        send(request, REPLY_BODY, reply.body).await?;
    }
    Ok(())
}

/// The same with a program of the classic protocol.
async fn pass_on_classic(node: &Node, at: Addr, call: &Call, body: Bytes, request: &Request) -> Outcome {
    if call.kind.is_empty() || call.kind.len() > classic::KIND_LEN {
        return Err(CommandError::usage("KIND: the classic protocol has kinds of 1 to 4 bytes"));
    }
    let blamed = |error: compeer::classic::Error| blame::classic(&call.peer, &error);
    let asked = node.peer.classic_request(at, &call.kind, body).timeout(within(call.timeout_ms));
    let mut replies = asked.replies().await.map_err(blamed)?;
    let mut any = call.no_reply;
    while !call.no_reply
        && let Some(reply) = replies.next().await
    {
        let reply = reply.map_err(blamed)?;
        if reply.body.len() > limits::MAX_BODY as usize {
            return Err(CommandError::failed("a reply of more than 1 MiB")
                .hint("a file is fetched with:  compeer get classic:HOST:PORT FILE"));
        }
        any = true;
        // Short types were padded on the way.
        let kind = reply.kind.as_bytes();
        let end = kind.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
        send(request, REPLY_KIND, kind[..end].to_vec()).await?;
        send(request, REPLY_BODY, reply.body).await?;
    }
    match any {
        true => Ok(()),
        false => Err(blamed(compeer::classic::Error::NoReply).hint("to want none:  --no-reply")),
    }
}
