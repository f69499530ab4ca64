//! Files of old programs for native peers: found with a search of theirs, brought over when somebody fetches one.
//!
//! A search that comes by here is asked of the old programs too, and what they answer is told as a listing of this peer. Its
//! content is not known before the file is here, so the listing says that it is a promise (an entry of its `ext`),
//! and in place of a content it has a name for itself. Who wants it asks for it to be brought
//! (`compeer/share/bring`): then it is fetched, hashed and shared under a ticket that only he is given. From here on every
//! byte is verified; what the old program gave is what it gave.

use std::sync::Arc;
use std::time::Duration;

use compeer::{Failure, Request, RequestError, ShareTicket};

use super::words::{self, Query};
use super::{Inner, Told, cache::Brought, lock};
use crate::hash::Progress;
use crate::shares::{Offer, Shares};
use crate::{Access, ContentId, limits, names};

/// The kind of the request: the name of a promise, 32 bytes. The reply is a ticket.
const KIND: &str = "compeer/share/bring";

/// Longest ticket that is read.
const MAX_TICKET: usize = compeer::limits::MAX_TICKET_TEXT_LEN;

/// A file that an old program has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beyond {
    /// Stands for a content that is not known yet.
    pub promise: ContentId,
    /// What it is called there. Foreign text.
    pub name: String,
    /// The old program, `host:port`. Foreign text.
    pub owner: String,
}

pub(super) fn register(inner: &Arc<Inner>) -> Result<(), RequestError> {
    let weak = Arc::downgrade(inner);
    inner.peer.handle(KIND, move |request: Request| {
        let inner = weak.upgrade();
        async move {
            let inner = inner.ok_or_else(|| Failure::new("sharing with old programs has ended"))?;
            inner.brought(&request).await
        }
    })
}

/// See [`Shares::bring`].
pub(crate) async fn bring(shares: &Shares, promised: &ShareTicket) -> Result<ShareTicket, RequestError> {
    let no_ticket = || RequestError::Body("no ticket".into());
    let from = promised.peers.first().cloned().ok_or_else(no_ticket)?;
    let asked = shares.peer().request(from, KIND, promised.root.to_vec()).timeout(limits::CLASSIC_FETCH_TIME);
    let reply = asked.one().await?;
    let text = std::str::from_utf8(&reply.body).ok().filter(|text| text.len() <= MAX_TICKET);
    let ticket = text.and_then(|text| text.parse::<compeer::Ticket>().ok());
    ticket.and_then(|ticket| ticket.into_share().ok()).ok_or_else(no_ticket)
}

impl Inner {
    /// What old programs have that fits all these words, as far as they say so within `left`.
    pub(crate) async fn beyond(&self, words: &str, left: Duration) -> Vec<Beyond> {
        let words: Vec<_> = words.split_whitespace().collect();
        // Their searches are for one word.
        let Some(key) = words.iter().max_by_key(|word| word.len()) else { return Vec::new() };
        if key.len() > limits::MAX_CLASSIC_WORD || self.roster().searchable().is_empty() {
            return Vec::new();
        }
        let query = Query { back: self.own.id.clone(), key: (*key).into(), ttl: limits::CLASSIC_TTL };
        if lock(&self.seen).is_new(&query, self.now()) {
            self.note_asked(&query.key);
            let waited = async {
                self.spread(&query).await;
                // Nobody says that there are no more answers.
                std::future::pending::<()>().await;
            };
            let _ = tokio::time::timeout(limits::CLASSIC_WAIT.min(left), waited).await;
        }
        let told = self.told();
        let fits = told.into_iter().filter(|(name, _)| words::fits(name, words.iter().copied()));
        fits.map(|(name, told)| self.promise(&name, &told.owner)).take(limits::MAX_FOUND_HERE).collect()
    }

    /// What old programs have told lately, asked by us.
    fn told(&self) -> Vec<(String, Told)> {
        let now = self.now();
        let told = lock(&self.told);
        let lately = told.iter().filter(|(_, told)| now.since(told.when) < limits::CLASSIC_TOLD_FOR);
        lately.map(|(name, told)| (name.clone(), told.clone())).collect()
    }

    fn promise(&self, name: &str, owner: &str) -> Beyond {
        let mut hasher = blake3::Hasher::new_derive_key("compeer 2026 classic promise");
        hasher
            .update(self.peer.id().as_bytes())
            .update(owner.as_bytes())
            .update(b"\n")
            .update(name.as_bytes());
        let promise = ContentId::from_bytes(*hasher.finalize().as_bytes());
        Beyond { promise, name: name.into(), owner: owner.into() }
    }

    fn note_asked(&self, key: &str) {
        let mut asked = lock(&self.asked);
        let now = self.now();
        asked.retain(|(when, _)| now.since(*when) < limits::CLASSIC_LOOK_TIME);
        if asked.len() < limits::CLASSIC_SEEN {
            asked.push((now, key.into()));
        }
    }

    /// Whether a file answers a search of ours.
    pub(super) fn is_wanted(&self, file: &str) -> bool {
        let now = self.now();
        let asked = lock(&self.asked);
        let mut lately = asked.iter().filter(|(when, _)| now.since(*when) < limits::CLASSIC_LOOK_TIME);
        lately.any(|(_, key)| words::fits(file, [key.as_str()]))
    }

    /// Brings a promised file.
    async fn brought(&self, request: &Request) -> Result<String, Failure> {
        if !lock(&self.bringers).may(request.sender(), self.now()) {
            return Err(Failure::busy());
        }
        let mut promises =
            self.told().into_iter().map(|(name, told)| (self.promise(&name, &told.owner), told.at));
        let promised = promises.find(|(beyond, _)| request.body()[..] == beyond.promise.as_bytes()[..]);
        let Some((Beyond { promise, name, .. }, owner)) = promised else {
            return Err(Failure::new("that is not promised any more: search again"));
        };
        let key = promise.to_string();
        let one = self.one_at_a_time(&key);
        let _only = one.lock().await;
        if let Some(ticket) = self.cache.ticket(&key) {
            return Ok(ticket);
        }
        let _place = self.fetches.acquire().await?;
        let asked = self.peer.classic_request(owner, "FGET", name.clone());
        let asked = asked.timeout(limits::CLASSIC_FETCH_TIME).max_bytes(limits::CLASSIC_FILE);
        let reply = asked.one().await?;
        if reply.kind != "REPL" {
            return Err(Failure::new(reply.text()));
        }
        // Only now is it to be the name of a file.
        names::check(&name, names::native())?;
        let (size, path) = (reply.body.len() as u64, self.cache.dir_of(&key).join(name.replace('/', "_")));
        let written = path.clone();
        tokio::task::spawn_blocking(move || std::fs::write(written, &reply.body)).await??;
        let offer = Offer { paths: vec![path], name: Some(name), access: Access::Ticket, ..Offer::default() };
        let (ticket, holding) = self.shares.hold(offer, Arc::<Progress>::default()).await?;
        let brought = Brought { shares: self.shares.clone(), holding, ticket: ticket.clone() };
        self.cache.add(&key, size, Some(brought))?;
        Ok(ticket)
    }
}
