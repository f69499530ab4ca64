//! Asking the neighbours: a search goes to every connected peer at once, and what they find comes back as one.
//!
//! Each neighbour is a task that reads its replies into one bounded channel; whoever takes them slowly holds up
//! the neighbours, not our memory. Each gets less time than we have, so that there is time left to say that
//! it did not answer. A program that does not know this kind of request is not part of the search: it neither counts
//! nor makes it incomplete.

use std::collections::BTreeSet;
use std::time::Duration;

use compeer::{Peer, PeerAddr, PeerId, RequestError, Responder};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::wire::{FIND, Listing, Query, Reply};
use super::{Summary, wire};
use crate::ContentId;
use crate::classic::Beyond;
use crate::limits::{FIND_MARGIN, FIND_QUEUE, MAX_FIND_PEERS, MAX_FIND_RESULTS};

/// Where what is found goes.
pub(super) enum To {
    /// To our own program; what is our own is left out.
    Us(PeerId, mpsc::Sender<Listing>),
    /// To the peer that asked.
    Asker(Responder),
}

impl To {
    /// Whether somebody is still there.
    async fn send(&self, listing: Listing) -> bool {
        match self {
            // What old programs have is not ours, though it comes by way of us.
            To::Us(own, _) if listing.at.id == *own && listing.classic().is_none() => true,
            To::Us(_, found) => found.send(listing).await.is_ok(),
            To::Asker(responder) => responder.reply(Reply::Found(listing).encode()).await.is_ok(),
        }
    }
}

/// What has been passed on of one search: each provider of each content once, and not too many.
pub(super) struct Relay {
    to: To,
    passed: BTreeSet<(ContentId, PeerId)>,
    truncated: bool,
}

impl Relay {
    pub(super) fn new(to: To) -> Self {
        Relay { to, passed: BTreeSet::new(), truncated: false }
    }

    /// Passes it on, unless that was done or there have been `most`. Whether there is any use in more.
    pub(super) async fn pass(&mut self, listing: Listing, most: usize) -> bool {
        if self.passed.contains(&(listing.content, listing.at.id)) {
            return true;
        }
        if self.passed.len() >= most {
            self.truncated = true;
            return false;
        }
        self.passed.insert((listing.content, listing.at.id));
        self.to.send(listing.fitted()).await
    }

    /// Passes on what old programs have, as told by the peer at `at`.
    pub(super) async fn pass_beyond(&mut self, beyond: Vec<Beyond>, at: PeerAddr) {
        for one in beyond {
            if !self.pass(Listing::beyond(one, at.clone()), MAX_FIND_RESULTS).await {
                return;
            }
        }
    }

    /// How it went so far, without asking anybody.
    pub(super) fn summary(&self, complete: bool) -> Summary {
        Summary { complete, truncated: self.truncated, ..Summary::default() }
    }
}

/// How one neighbour answered.
enum Answer {
    To(Summary),
    /// Not, or not to its end.
    Not,
    /// It knows of no searches.
    NotInIt,
}

/// Asks every connected peer but one, passes on what comes, and waits for all, `left` at most.
pub(super) async fn spread(
    peer: &Peer,
    query: &Query,
    except: Option<PeerId>,
    left: Duration,
    relay: &mut Relay,
) -> Summary {
    let neighbours = peer.connections().into_iter().map(|connection| connection.peer_id);
    let mut neighbours: Vec<_> = neighbours.filter(|id| Some(*id) != except && *id != peer.id()).collect();
    let all_asked = neighbours.len() <= MAX_FIND_PEERS;
    if !all_asked {
        // Others with each search.
        let by = usize::from(query.id[0]) * neighbours.len() / 256;
        neighbours.rotate_left(by);
        neighbours.truncate(MAX_FIND_PEERS);
    }
    // Time to say how it went, all the way back.
    let left = left.saturating_sub(FIND_MARGIN.max(left / 8));
    let body = wire::encode(query);
    let (found, mut from) = mpsc::channel(FIND_QUEUE);
    let mut asking = JoinSet::new();
    for id in neighbours {
        asking.spawn(ask(peer.clone(), id, body.clone(), left, found.clone()));
    }
    drop(found);
    let mut reading = true;
    while reading && let Some(listing) = from.recv().await {
        reading = relay.pass(listing, MAX_FIND_RESULTS).await;
    }
    // Who is not read any more ends for that.
    drop(from);
    let mut sum = relay.summary(all_asked);
    while let Some(answer) = asking.join_next().await {
        match answer.unwrap_or(Answer::Not) {
            Answer::To(theirs) => {
                sum.asked = sum.asked.saturating_add(theirs.asked).saturating_add(1);
                sum.answered = sum.answered.saturating_add(theirs.answered).saturating_add(1);
                sum.complete &= theirs.complete;
                sum.truncated |= theirs.truncated;
            }
            Answer::Not => {
                sum.asked = sum.asked.saturating_add(1);
                sum.complete = false;
            }
            Answer::NotInIt => {}
        }
    }
    sum
}

async fn ask(peer: Peer, id: PeerId, body: Vec<u8>, left: Duration, found: mpsc::Sender<Listing>) -> Answer {
    let mut replies = match peer.request(id, FIND, body).timeout(left).replies().await {
        Ok(replies) => replies,
        Err(error) => return failed(id, &error),
    };
    for _ in 0..=MAX_FIND_RESULTS {
        match replies.next().await {
            Some(Ok(message)) => match Reply::decode(&message.body) {
                Some(Reply::Found(listing)) => {
                    if found.send(listing).await.is_err() {
                        return Answer::Not;
                    }
                }
                Some(Reply::Done(summary)) => return Answer::To(summary),
                None => return Answer::Not,
            },
            Some(Err(error)) => return failed(id, &error),
            None => return Answer::Not,
        }
    }
    // It sends more than it may.
    Answer::Not
}

fn failed(id: PeerId, error: &RequestError) -> Answer {
    tracing::debug!(peer = %id, %error, "a search was not answered");
    if matches!(error, RequestError::NoHandler) { Answer::NotInIt } else { Answer::Not }
}
