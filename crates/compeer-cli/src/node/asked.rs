//! What paired peers would like us to fetch: `send --to` on their side.
//!
//! A paired peer tells what it is and gives a ticket; strangers cannot ask. The user sees a line and types
//! `compeer get NAME`, or has said beforehand (`compeer pair NAME --accept DIR`) that what this peer sends is fetched
//! into a directory by itself, under a free name where one is taken. Asked are remembered while this node runs, the
//! last [`MAX_ASKED`] of them.

use super::event::NodeEvent;
use super::{Node, Role};
use crate::exit::{CommandError, Outcome};
use compeer::{Failure, Kind, PeerId, Request, ShareTicket};
use compeer_share::staging::{Existing, Target};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// "Please fetch this": an [`Ask`]; the reply, a [`Reply`], says that the user was told, or that it is being fetched.
pub(crate) const ASK: Kind = Kind::from_static("compeer/send");

/// What is remembered at a time. A guess: more than a person would answer.
const MAX_ASKED: usize = 64;
/// Bytes of a name that are shown.
const MAX_NAME: usize = 256;

/// Please fetch this.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ask {
    pub(crate) name: String,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) ticket: String,
}

/// The user was told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// It is being fetched, by a rule.
    pub(crate) accepted: bool,
}

/// Begins to listen to paired peers.
pub(super) fn register(node: &Node) -> Outcome {
    if node.state.role != Role::Up {
        return Ok(());
    }
    let asked = node.clone();
    let handler = move |request: Request| {
        let node = asked.clone();
        async move { on_ask(node, request).await }
    };
    node.peer
        .handle_known(ASK, handler)
        .map_err(|error| CommandError::failed(format!("cannot start: {error}")))
}

async fn on_ask(node: Node, request: Request) -> Result<Vec<u8>, Failure> {
    let ask: Ask = request.parse()?;
    let ticket: ShareTicket = ask.ticket.parse().map_err(|_| Failure::new("the ticket is none"))?;
    if ask.name.len() > MAX_NAME {
        return Err(Failure::new(format!("a name has at most {MAX_NAME} bytes")));
    }
    let peer = request.sender();
    let rule = rule(&node, peer).map_err(|_| Failure::new("cannot look that up"))?;
    let event = NodeEvent::FilesOffered {
        peer,
        name: node.state.shown_name(peer, request.sender_name().as_deref()),
        share: ask.name.clone(),
        files: ask.files,
        bytes: ask.bytes,
        accepted: rule.is_some(),
    };
    let accepted = rule.is_some();
    match rule {
        Some(directory) => {
            node.state.feed.tell(event);
            tokio::spawn(accept(node, peer, ask.name, ticket, directory));
        }
        None => {
            node.state.asked.keep(peer, ask.ticket);
            if !node.state.feed.show(event).await {
                return Err(Failure::new("nobody is reading here: it was not shown"));
            }
        }
    }
    serde_json::to_vec(&Reply { accepted }).map_err(|error| Failure::new(error.to_string()))
}

/// Where to fetch what a peer sends, if the user said so.
pub(crate) fn rule(node: &Node, peer: PeerId) -> Outcome<Option<PathBuf>> {
    let directory = node.state.store.setting(&key(peer))?;
    Ok(directory.filter(|directory| !directory.is_empty()).map(PathBuf::from))
}

/// From now on what a peer sends is fetched to this directory; with an empty one the user is asked again.
pub(crate) fn set_rule(node: &Node, peer: PeerId, directory: &str) -> Outcome {
    Ok(node.state.store.set(&key(peer), directory)?)
}

fn key(peer: PeerId) -> String {
    format!("accept {peer}")
}

async fn accept(node: Node, peer: PeerId, share: String, ticket: ShareTicket, directory: PathBuf) {
    let name = node.state.shown_name(peer, None);
    let fetched = async {
        let mut look = node.shares.look(&ticket).await?;
        let target = Target { dir: directory.clone(), file_name: None };
        let survey = look.survey(&target);
        let mut survey = survey.await?;
        if look.is_draft() && !survey.conflicts().is_empty() {
            // It may be the same.
            look = look.settled(&AtomicU64::new(0)).await?;
            let again = look.survey(&target);
            survey = again.await?;
        }
        look.fetch(target, survey, Existing::Rename).await?.done().await
    };
    node.state.feed.tell(match fetched.await {
        Ok(fetched) => {
            let path = fetched.placed.first().unwrap_or(&directory).display().to_string();
            NodeEvent::FilesCame { peer, name, share, path, bytes: fetched.bytes }
        }
        Err(error) => {
            NodeEvent::Trouble { message: format!("{share} from {name} could not be fetched: {error}") }
        }
    });
}

/// Tickets that paired peers asked us to fetch from, the latest last.
#[derive(Debug, Default)]
pub(crate) struct Asked(Mutex<Vec<(PeerId, String)>>);

impl Asked {
    fn keep(&self, peer: PeerId, ticket: String) {
        let mut asked = self.lock();
        asked.retain(|(_, known)| *known != ticket);
        if asked.len() >= MAX_ASKED {
            asked.remove(0);
        }
        asked.push((peer, ticket));
    }

    /// What came is no longer asked for.
    pub(crate) fn done(&self, content: &[u8; 32]) {
        let other = |ticket: &str| ticket.parse().is_ok_and(|ticket: ShareTicket| ticket.root != *content);
        self.lock().retain(|(_, ticket)| other(ticket));
    }

    /// The last ticket of a peer.
    pub(crate) fn last_of(&self, peer: PeerId) -> Option<String> {
        let asked = self.lock();
        asked.iter().rev().find(|(asker, _)| *asker == peer).map(|(_, ticket)| ticket.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(PeerId, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
