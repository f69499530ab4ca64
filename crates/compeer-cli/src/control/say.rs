//! `say`: one text to a peer, answered when the peer has shown it.
//!
//! The answer means shown, not sent: the other side's handler replies only when its screen, or a chat, has printed the
//! text. `chat` says its lines through here too.

use super::within;
use crate::exit::{CommandError, Outcome};
use crate::node::{Node, answers, blame};
use crate::target;
use compeer::PeerId;
use serde::{Deserialize, Serialize};

pub(crate) const KIND: &str = "say";

/// Say this to that peer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Say {
    pub(crate) peer: String,
    pub(crate) text: String,
    pub(crate) timeout_ms: u64,
}

/// It was shown there.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Said {
    pub(crate) peer: PeerId,
    /// Ready for the screen.
    pub(crate) name: String,
}

pub(super) async fn answer(node: Node, say: Say) -> Outcome<Said> {
    let done = async {
        let reached = node.reach(&say.peer).await?;
        said(&node, reached.id, &reached.name, &say.text).await?;
        Ok(Said { peer: reached.id, name: reached.name })
    };
    tokio::time::timeout(within(say.timeout_ms), done).await.unwrap_or_else(|_| {
        Err(CommandError::unreachable(format!("{} did not answer in time", target::brief(&say.peer))))
    })
}

/// Says a text to a connected peer and waits until it is shown.
pub(super) async fn said(node: &Node, id: PeerId, name: &str, text: &str) -> Outcome {
    if text.len() > answers::MAX_SAY {
        let most = answers::MAX_SAY;
        return Err(CommandError::usage(format!("a text has at most {most} bytes, this has {}", text.len())));
    }
    let call = node.peer.request(id, answers::SAY, text.to_string());
    call.all().await.map(drop).map_err(|error| blame::request(name, &error))
}
