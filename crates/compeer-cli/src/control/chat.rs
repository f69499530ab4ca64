//! `chat`: lines of the client said to one peer in order, and what comes from that peer meanwhile.
//!
//! The first message names the peer; each further one is a line. Replies: one answer (who it is), then events, and for
//! each line that could not be said why. The request ends when the client sends no more and all lines are said.

use super::{ANSWER, parse, reply, say};
use crate::exit::{CommandError, Outcome};
use crate::node::Node;
use crate::node::feed::Delivery;
use compeer::{Kind, PeerId, Request};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

pub(crate) const KIND: &str = "chat";
/// Something happened that concerns the peer.
pub(crate) const EVENT: Kind = Kind::from_static("event");
/// A line was shown there.
pub(crate) const SAID: Kind = Kind::from_static("said");
/// A line was not shown, and why.
pub(crate) const UNSAID: Kind = Kind::from_static("unsaid");

/// Lines that wait to be said. When there are more, the client's wait with it.
const LINES: usize = 16;

/// Talk with that peer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Chat {
    pub(crate) peer: String,
}

/// Who it is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct With {
    pub(crate) peer: PeerId,
    /// Ready for the screen.
    pub(crate) name: String,
    /// This side's name.
    pub(crate) own: String,
}

pub(super) async fn answer(node: Node, mut request: Request) -> Outcome {
    let chat: Chat = parse(request.body())?;
    let reached = node.reach(&chat.peer).await?;
    let mut feed = node.state.feed.read(Some(reached.id));
    let with = With { peer: reached.id, name: reached.name, own: node.state.name.clone() };
    reply(&request, ANSWER, &with).await?;
    let (lines, mut waiting) = mpsc::channel::<String>(LINES);
    let (outcomes, mut said) = mpsc::channel(1);
    let speaker = tokio::spawn(async move {
        while let Some(line) = waiting.recv().await {
            if outcomes.send(say_again(&node, &chat.peer, &with, &line).await).await.is_err() {
                return;
            }
        }
    });
    // Dropped with this handler when the client goes away.
    let _speaker = AbortOnDrop(speaker);
    let mut lines = Some(lines);
    loop {
        let open = lines.is_some();
        tokio::select! {
            biased;
            outcome = said.recv() => match outcome {
                Some(Ok(())) => super::send(&request, SAID, Vec::new()).await?,
                Some(Err(error)) => reply(&request, UNSAID, &error).await?,
                None => return Ok(()),
            },
            delivery = feed.recv() => match delivery {
                Some(delivery) => pass_on(&request, delivery).await?,
                None => return Err(CommandError::failed("the running peer was stopped")),
            },
            message = request.next(), if open => match (message, &lines) {
                (Some(message), Some(lines)) => {
                    let line = String::from_utf8_lossy(&message.body).into_owned();
                    if lines.send(line).await.is_err() {
                        return Ok(());
                    }
                }
                _ => lines = None,
            },
        }
    }
}

async fn pass_on(request: &Request, delivery: Delivery) -> Outcome {
    reply(request, EVENT, &*delivery.event).await?;
    delivery.shown();
    Ok(())
}

/// Says a line; connects again first if the connection was lost meanwhile.
async fn say_again(node: &Node, typed: &str, with: &With, line: &str) -> Outcome {
    let reached = node.reach(typed).await?;
    if reached.id != with.peer {
        return Err(CommandError::verification(format!("{typed} is somebody else now")));
    }
    say::said(node, with.peer, &with.name, line).await
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
