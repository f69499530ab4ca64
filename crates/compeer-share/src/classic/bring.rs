//! Files of old programs for native peers: found with a search of theirs, brought over when somebody fetches one.
//!
//! A search that comes by here is asked of the old programs too, and what they answer is told as a listing of this peer. Its
//! content is not known before the file is here, so the listing says that it is a promise (an entry of its `ext`),
//! and in place of a content it has a name for itself. Who wants it asks for it to be brought
//! (`compeer/share/bring`): then it is fetched, hashed and shared under a ticket that only he is given. From here on every
//! byte is verified; what the old program gave is what it gave.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use compeer::{Addr, Failure, Request, RequestError, ShareTicket};
use tokio::io::AsyncWriteExt;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::roster::Sight;
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

/// The household of those of whom none is known.
const NOWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

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
        if lock(&self.seen).note(&query, self.now()) == Sight::New {
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

    pub(super) fn promise(&self, name: &str, owner: &str) -> Beyond {
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
    async fn brought(self: &Arc<Self>, request: &Request) -> Result<String, Failure> {
        if !lock(&self.bringers).may(request.sender(), self.now()) {
            return Err(Failure::busy());
        }
        let mut promises =
            self.told().into_iter().map(|(name, told)| (self.promise(&name, &told.owner), told.at));
        let promised = promises.find(|(beyond, _)| request.body()[..] == beyond.promise.as_bytes()[..]);
        let Some((promised, owner)) = promised else {
            return Err(Failure::new("that is not promised any more: search again"));
        };
        let key = promised.promise.to_string();
        if let Some(ticket) = self.cache.ticket(&key) {
            return Ok(ticket);
        }
        // Who is paired is one of ours, of whom nothing is counted.
        let ours = self.peer.is_known(request.sender());
        let connection = request.connection();
        // Who comes over others counts with the neighbour that carries, or with all of whom nothing is known.
        let carried = || (!connection.over().is_empty()).then(|| connection.household().unwrap_or(NOWHERE));
        let path = connection.path().and_then(Addr::socket_addr).map(|from| from.ip());
        let from = path.or_else(carried).filter(|_| !ours);
        let begin = || self.clone().bring_to_cache(promised.name.clone(), owner.clone(), key.clone(), from);
        self.joined(&key, from, begin).await?;
        self.cache.ticket(&key).ok_or_else(|| Failure::new("it was let go again"))
    }

    /// Brings a file for somebody at `from`; when it is dropped, nothing stays of it.
    pub(super) async fn bring_to_cache(
        self: Arc<Self>,
        name: String,
        owner: Addr,
        key: String,
        from: Option<IpAddr>,
    ) -> Result<(), Failure> {
        let _place = self.fetches.take(from).await?;
        if !self.may_fetch(from) {
            return Err(Failure::busy());
        }
        let asked = self.peer.classic_request(owner, "FGET", name.clone());
        let asked = asked.timeout(limits::CLASSIC_FETCH_TIME).max_bytes(limits::CLASSIC_FILE);
        let mut reply = timeout(limits::CLASSIC_BEGIN_TIME, asked.stream()).await??;
        if reply.kind() != "REPL" {
            return Err(Failure::new("the old program does not give it"));
        }
        // Only now is it to be the name of a file.
        names::check(&name, names::native())?;
        let size = reply.payload_len();
        let (cache, file_name) = (self.cache.clone(), name.replace('/', "_"));
        let (place, file) = spawn_blocking(move || cache.begin(&file_name, size as u64)).await??;
        let mut file = tokio::fs::File::from_std(file);
        let meter = self.meter(from, Arc::default());
        while let Some(part) = timeout(limits::CLASSIC_SILENCE, reply.next()).await? {
            let part = part?;
            meter.come.fetch_add(part.len() as u64, Ordering::Relaxed);
            file.write_all(&part).await?;
        }
        file.flush().await?;
        drop(meter);
        let paths = vec![place.path().to_owned()];
        let offer = Offer { paths, name: Some(name), access: Access::Ticket, ..Offer::default() };
        let inner = self.clone();
        // Not to be dropped half-way, which would leave a share that nobody knows of.
        let keeping = tokio::spawn(async move {
            let (ticket, holding) = inner.shares.hold(offer, Arc::<Progress>::default()).await?;
            let brought = Brought { shares: inner.shares.clone(), holding, ticket };
            let cache = inner.cache.clone();
            Ok(spawn_blocking(move || cache.keep(&key, place, Some(brought))).await?)
        });
        keeping.await?
    }
}
