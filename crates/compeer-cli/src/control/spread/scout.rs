//! Who answers a kind: asks the peers that may be given lines, again and again, so that those who come are taken in.
//!
//! Whom to ask is the user's choice: those named by `--to`, wherever they are; else connected peers that are paired or
//! that this node was told to join, with `--anyone` every connected one; and this peer itself. Each has a task of its
//! own that asks [`ANSWERS`](crate::node::work::ANSWERS) once a second, so one that is slow to answer holds up nobody. A
//! peer of `--to` that does not know the question gets one line at a time.

use crate::duration;
use crate::exit::{CommandError, Exit, Outcome};
use crate::node::Node;
use crate::node::work::{ANSWERS, Answering};
use compeer::{Event, Kind, PeerId, RequestError};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Peers asked. A guess: more than a person knows.
const MAX_ASKED: usize = 256;
/// Pause between two questions to the same peer.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a peer has for its answer.
const WITHIN: Duration = Duration::from_secs(5);

/// What was found out about a peer.
pub(super) enum Found {
    /// How many lines it takes.
    Answers(PeerId, Answering),
    /// It cannot be reached, for now.
    Unreachable(CommandError),
    /// It makes no sense to ask it again.
    Hopeless(CommandError),
}

/// Whom to ask, and for what.
#[derive(Clone)]
pub(super) struct Scout {
    pub(super) node: Node,
    pub(super) kind: Kind,
    pub(super) found: mpsc::Sender<Found>,
}

impl Scout {
    /// Asks those named, as long as somebody listens.
    pub(super) async fn named(self, to: Vec<String>) {
        let mut asking = JoinSet::new();
        for typed in to {
            asking.spawn(self.clone().ask_named(typed));
        }
        while asking.join_next().await.is_some() {}
    }

    async fn ask_named(self, typed: String) {
        let mut last = None;
        loop {
            let reached = self.node.reach(&typed).await;
            let now = reached.as_ref().ok().map(|reached| reached.id);
            if let Some(gone) = std::mem::replace(&mut last, now).filter(|gone| now != Some(*gone)) {
                // Whoever listens no more need not know.
                let _ = self.found.send(Found::Answers(gone, Answering::default())).await;
            }
            let found = match reached {
                Ok(reached) => match self.question(reached.id).await {
                    Ok(answering) => Found::Answers(reached.id, answering),
                    Err(RequestError::NoHandler) => {
                        Found::Answers(reached.id, Answering { jobs: 1, free: 1 })
                    }
                    Err(_) => Found::Answers(reached.id, Answering::default()),
                },
                Err(error) if error.exit == Exit::Unreachable => Found::Unreachable(error),
                Err(error) => Found::Hopeless(error),
            };
            let hopeless = matches!(found, Found::Hopeless(_));
            if self.found.send(found).await.is_err() || hopeless {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Asks this peer and those connected that are fit, as long as somebody listens.
    pub(super) async fn connected(self, anyone: bool) {
        let (mut asking, mut asked) = (JoinSet::new(), BTreeSet::new());
        let mut events = self.node.peer.events();
        let own = self.node.state.id;
        loop {
            let connections = self.node.peer.connections().into_iter();
            let fit = connections.filter(|connection| {
                anyone || connection.kept || self.node.peer.is_known(connection.peer_id)
            });
            let fit = fit.map(|connection| connection.peer_id).chain([own]);
            for peer in fit.filter(|peer| !asked.contains(peer)).collect::<Vec<_>>() {
                if asked.len() < MAX_ASKED {
                    asked.insert(peer);
                    asking.spawn(self.clone().ask_connected(peer));
                }
            }
            tokio::select! {
                biased;
                () = self.found.closed() => return,
                Some(Ok(gone)) = asking.join_next() => drop(asked.remove(&gone)),
                () = came(&mut events) => {}
                // Pairing and joining tell nobody.
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Asks a peer until it is no longer connected.
    async fn ask_connected(self, peer: PeerId) -> PeerId {
        let own = self.node.state.id;
        while peer == own || self.node.connection(peer).is_some() {
            let answering = match peer == own {
                true => self.node.own_answering(&self.kind),
                false => self.question(peer).await.unwrap_or_default(),
            };
            if self.found.send(Found::Answers(peer, answering)).await.is_err() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        // Whoever listens no more need not know.
        let _ = self.found.send(Found::Answers(peer, Answering::default())).await;
        peer
    }

    async fn question(&self, peer: PeerId) -> Result<Answering, RequestError> {
        let call = self.node.peer.request(peer, ANSWERS, self.kind.as_bytes().to_vec()).timeout(WITHIN);
        let reply = call.one().await?;
        serde_json::from_slice(&reply.body).map_err(|error| RequestError::Body(error.to_string()))
    }
}

/// Waits until somebody connects.
async fn came(events: &mut compeer::Events) {
    loop {
        match events.recv().await {
            Some(Event::Connected { .. } | Event::Missed { .. }) => return,
            Some(_) => {}
            // The peer stops, and this task with it.
            None => std::future::pending().await,
        }
    }
}

/// What there is to say when nobody answered in time.
pub(super) fn nobody(kind: &Kind, named: bool, trouble: Option<CommandError>) -> CommandError {
    let error = CommandError::unreachable(format!("no peer answers {kind}"));
    match (trouble, named) {
        (Some(trouble), _) => CommandError { message: format!("{}: {}", error.message, trouble.message), ..trouble },
        (None, true) => error.hint(format!("is `compeer on {kind}` running there, and may this peer ask it?")),
        (None, false) => error.hint(format!(
            "only peers that are paired here or joined are asked: name others with --to PEER; there it takes: compeer on {kind} …"
        )),
    }
}

/// What there is to say of a peer that is left out.
pub(super) fn refuses(name: &str, kind: &Kind) -> CommandError {
    CommandError::unreachable(format!(
        "{name} says that it answers {kind}, and gives every line back after a while: it gets no more"
    ))
}

/// What there is to say when there are some who answer, and none of them did in time.
pub(super) fn in_vain(kind: &Kind, within: Duration, trouble: Option<CommandError>) -> CommandError {
    let message = format!("nobody has answered {kind} for {}", duration::show(within));
    match trouble {
        Some(trouble) => CommandError { message: format!("{message}: {}", trouble.message), ..trouble },
        None => CommandError::unreachable(message)
            .hint("those who answer it are busy or have gone; for how long to wait for them, see --timeout"),
    }
}

/// Gets ready to find paired peers for a node that keeps no connections by itself.
///
/// # Errors
///
/// The database cannot be read.
pub(super) fn call_paired(node: &Node) -> Outcome {
    if node.state.role == crate::node::Role::Alone {
        node.keep_paired()?;
        node.be_near();
    }
    Ok(())
}
