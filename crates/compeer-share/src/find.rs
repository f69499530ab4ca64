//! Finding: which public shares there are at connected peers, their neighbours, and so on for a few hops.
//!
//! A search runs along a tree of requests. Each peer that is asked (`compeer/share/find`) answers with what it has
//! itself, asks its own connected peers, relays what they find as it comes, and ends with a [`Summary`]: how
//! many were asked below it, how many answered, and whether that was all. Since every branch ends with one, the asker knows
//! when nothing more can come, and whether somebody did not answer. A peer that gets the same search on two
//! ways answers on the first only. Who searches is not said: a peer knows only who handed it on. Nothing a
//! peer answers is proven but by fetching it.
//!
//! `catalogue` finds words in names, `wire` has the messages, `spread` asks the neighbours, `memory`
//! remembers searches and bounds how many a peer may ask for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use compeer::{BoxFuture, Failure, Peer, PeerAddr, Request, RequestError, ShareTicket};
use futures_util::future::join;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::ContentId;
use crate::classic::Beyond;
use crate::limits::{
    BROWSE_PAGE, FIND_MARGIN, FIND_QUEUE, MAX_BROWSE, MAX_FIND_TIME, MAX_FINDS, MAX_FOUND_HERE, MAX_HOPS,
    MAX_QUERY,
};

mod catalogue;
mod memory;
mod spread;
mod wire;

pub use catalogue::{Catalogue, CatalogueError, Published};
use memory::{Memory, Seen};
use spread::{Relay, To, spread};
use wire::{BROWSE, FIND, Listing, Page, Query, Reply};

/// Where a peer looks up what it has itself. A [`Catalogue`] is one.
pub trait Lookup: Send + Sync + 'static {
    /// Public shares in whose name or file names all these words are; at most `most`, the best first.
    fn search(&self, words: &str, most: usize) -> Vec<Published>;

    /// Public shares in the order of their numbers, those after number `after` (0: from the first); at most `most`.
    fn browse(&self, after: u64, most: usize) -> Vec<Published>;

    /// What old programs have that fits these words, as far as that is known after `left`. Default: nothing, at once.
    fn beyond(&self, words: &str, left: Duration) -> BoxFuture<'static, Vec<Beyond>> {
        let _ = (words, left);
        Box::pin(std::future::ready(Vec::new()))
    }

    /// How many others are known to have this content. Default: none.
    fn others(&self, content: ContentId) -> u32 {
        let _ = content;
        0
    }
}

/// A public share that some peer has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Its content.
    pub content: ContentId,
    /// What its sharer calls it: foreign text, to be escaped when shown.
    pub name: String,
    /// Bytes of all its files.
    pub bytes: u64,
    /// How many files it has.
    pub files: u32,
    /// How many others the provider knows who have it too.
    pub others: u32,
    /// What opens it: fetch it with this. Of what an old program has it is only a promise: see
    /// [`Shares::bring`](crate::Shares::bring).
    pub ticket: ShareTicket,
    /// The old program that has it, if one has: `host:port`, to be escaped when shown. Nothing proves what that gives, and
    /// its size is not known.
    pub classic: Option<String>,
}

impl Found {
    /// Who has it.
    pub fn provider(&self) -> Option<&PeerAddr> {
        self.ticket.peers.first()
    }
}

/// How a search went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Peers that were asked, by us or for us. One that can be reached on two ways counts twice.
    pub asked: u32,
    /// How many of them answered to the end.
    pub answered: u32,
    /// Whether all who are within the hops were asked and answered.
    pub complete: bool,
    /// Whether there was more than may be told.
    pub truncated: bool,
}

/// Searching on a peer. Clones are the same.
#[derive(Clone)]
pub struct Finder {
    peer: Peer,
    inner: Arc<Inner>,
}

/// What handlers share; not the peer, which has them.
struct Inner {
    lookup: Arc<dyn Lookup>,
    memory: Mutex<Memory>,
    places: Semaphore,
}

/// Lets others search and browse here, and gives what it takes to search elsewhere.
///
/// # Errors
/// None that can happen: the kinds are such.
pub fn register(peer: &Peer, lookup: Arc<dyn Lookup>) -> Result<Finder, RequestError> {
    let places = Semaphore::new(MAX_FINDS);
    let inner = Arc::new(Inner { lookup, memory: Mutex::default(), places });
    let of_find = inner.clone();
    peer.handle(FIND, move |request| of_find.clone().find(request))?;
    let of_browse = inner.clone();
    peer.handle(BROWSE, move |request: Request| {
        let page = of_browse.page(&request);
        async move { page }
    })?;
    Ok(Finder { peer: peer.clone(), inner })
}

impl Finder {
    /// Searches for shares in whose names all these words are (the last may be the beginning of one). `hops` is
    /// how often the search is handed on: 0 asks connected peers only, 1 their neighbours too, at most
    /// [`MAX_HOPS`]. After `timeout` (at most [`MAX_FIND_TIME`]) it ends with what there is. What this peer
    /// shares itself is not found.
    pub fn search(&self, words: &str, hops: u8, timeout: Duration) -> Search {
        self.begin(words, hops, timeout, true)
    }

    /// The same, without asking the old programs that this peer speaks with.
    pub(crate) fn search_peers(&self, words: &str, hops: u8, timeout: Duration) -> Search {
        self.begin(words, hops, timeout, false)
    }

    fn begin(&self, words: &str, hops: u8, timeout: Duration, beyond: bool) -> Search {
        let query = Query {
            id: random(),
            words: wire::clip(words, MAX_QUERY).to_owned(),
            hops: hops.min(MAX_HOPS),
            ext: Vec::new(),
        };
        let (found, from) = mpsc::channel(FIND_QUEUE);
        let (done, ended) = oneshot::channel();
        // If it comes back to us, it is over.
        self.inner.memory().note(query.id, u8::MAX, self.peer.clock().now());
        let (peer, lookup) = (self.peer.clone(), self.inner.lookup.clone());
        let task = tokio::spawn(async move {
            let mut relay = Relay::new(To::Us(peer.id(), found));
            let left = timeout.min(MAX_FIND_TIME);
            let beyond = async {
                match beyond {
                    true => lookup.beyond(&query.words, left).await,
                    false => Vec::new(),
                }
            };
            let (mut summary, beyond) = join(spread(&peer, &query, None, left, &mut relay), beyond).await;
            relay.pass_beyond(beyond, peer.addr()).await;
            summary.truncated |= relay.summary(true).truncated;
            let _ = done.send(summary);
        });
        Search { from, ended, task: task.abort_handle() }
    }

    /// The public shares of one peer, connecting if need be; at most [`MAX_BROWSE`].
    ///
    /// # Errors
    /// [`RequestError`]; [`RequestError::NoHandler`] when that peer shares nothing in public.
    pub async fn browse(&self, of: impl Into<PeerAddr>) -> Result<Vec<Found>, RequestError> {
        let of = of.into();
        let (mut all, mut after) = (Vec::new(), 0);
        while all.len() < MAX_BROWSE {
            let reply = self.peer.request(of.clone(), BROWSE, wire::encode(&after)).one().await?;
            let page =
                Page::decode(&reply.body).ok_or_else(|| RequestError::Body("no list of shares".into()))?;
            all.extend(page.listings.into_iter().map(Found::from));
            match page.next {
                Some(next) if next > after => after = next,
                _ => break,
            }
        }
        all.truncate(MAX_BROWSE);
        Ok(all)
    }
}

/// A search that is going on. Dropping it ends it.
pub struct Search {
    from: mpsc::Receiver<Listing>,
    ended: oneshot::Receiver<Summary>,
    task: tokio::task::AbortHandle,
}

impl Search {
    /// The next share found, as they come; each provider of each content once. `None`: no more will come.
    pub async fn next(&mut self) -> Option<Found> {
        self.from.recv().await.map(Found::from)
    }

    /// Waits for the end and tells how it went; what was found and not read is dropped.
    pub async fn summary(mut self) -> Summary {
        while self.from.recv().await.is_some() {}
        (&mut self.ended).await.unwrap_or_default()
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What was found, by content: the best name, all providers (at most four are in a ticket), and how many there are.
/// In the order in which each content was first found.
pub fn by_content(found: Vec<Found>) -> Vec<(Found, usize)> {
    let mut all: Vec<(Found, Vec<PeerAddr>)> = Vec::new();
    for found in found {
        let providers = found.ticket.peers.clone();
        // Another secret is another share, though of the same content.
        let same = |(known, _): &&mut (Found, Vec<PeerAddr>)| {
            known.content == found.content && known.ticket.secret == found.ticket.secret
        };
        match all.iter_mut().find(same) {
            Some((_, known)) => known.extend(providers),
            None => all.push((found, providers)),
        }
    }
    let merge = |(mut found, providers): (Found, Vec<PeerAddr>)| {
        let count = providers.len().max(found.others as usize + 1);
        found.ticket = ShareTicket::new(providers, found.ticket.root, found.ticket.secret);
        (found, count)
    };
    all.into_iter().map(merge).collect()
}

impl From<Listing> for Found {
    fn from(listing: Listing) -> Self {
        let classic = listing.classic();
        let Listing { content, name, bytes, files, others, at, secret, .. } = listing;
        let ticket = ShareTicket::new([at], *content.as_bytes(), secret);
        Found { content, name, bytes, files, others, ticket, classic }
    }
}

impl Inner {
    /// A search of somebody else.
    async fn find(self: Arc<Self>, request: Request) -> Result<(), Failure> {
        let query = Query::decode(request.body()).ok_or_else(|| Failure::new("no search"))?;
        let now = request.peer().clock().now();
        if self.memory().seen(&query.id, query.hops, now) == Seen::Again {
            let summary = Summary { complete: true, ..Summary::default() };
            return Ok(request.reply(Reply::Done(summary).encode()).await?);
        }
        let Ok(_place) = self.places.try_acquire() else { return Err(Failure::busy()) };
        let seen = {
            let mut memory = self.memory();
            if !memory.may_ask(request.sender(), now) {
                return Err(Failure::busy());
            }
            memory.note(query.id, query.hops, now)
        };
        let mut relay = Relay::new(To::Asker(request.responder()));
        if seen == Seen::Never {
            let at = request.peer().addr();
            for share in self.lookup.search(&query.words, MAX_FOUND_HERE + 1) {
                relay.pass(self.listing(share, &at), MAX_FOUND_HERE).await;
            }
        }
        let left = request.time_left().unwrap_or(MAX_FIND_TIME).min(MAX_FIND_TIME);
        // Time to say what came of it.
        let beyond = self.lookup.beyond(&query.words, left.saturating_sub(FIND_MARGIN.max(left / 8)));
        let spread = async {
            match query.hops.checked_sub(1) {
                Some(hops) => {
                    let query = Query { hops, ..query };
                    spread(request.peer(), &query, Some(request.sender()), left, &mut relay).await
                }
                None => relay.summary(true),
            }
        };
        let (mut summary, beyond) = match seen {
            Seen::Never => join(spread, beyond).await,
            _ => (spread.await, Vec::new()),
        };
        relay.pass_beyond(beyond, request.peer().addr()).await;
        summary.truncated |= relay.summary(true).truncated;
        Ok(request.reply(Reply::Done(summary).encode()).await?)
    }

    fn page(&self, request: &Request) -> Result<Vec<u8>, Failure> {
        let after = wire::decode::<u64>(request.body()).ok_or_else(|| Failure::new("no number"))?;
        let now = request.peer().clock().now();
        if !self.memory().may_ask(request.sender(), now) {
            return Err(Failure::busy());
        }
        let mut found = self.lookup.browse(after, BROWSE_PAGE + 1);
        let more = found.len() > BROWSE_PAGE;
        found.truncate(BROWSE_PAGE);
        let next = found.last().map(|share| share.id).filter(|_| more);
        let at = request.peer().addr();
        let listings = found.into_iter().map(|share| self.listing(share, &at).fitted()).collect();
        Ok(Page { listings, next, ext: Vec::new() }.encode())
    }

    /// How a share of ours is told of.
    fn listing(&self, share: Published, at: &PeerAddr) -> Listing {
        let Published { content, secret, name, bytes, files, .. } = share;
        let others = self.lookup.others(content);
        Listing { content, name, bytes, files, others, at: at.clone(), secret, ext: Vec::new() }
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The id of a search: nobody else's is the same.
#[expect(clippy::disallowed_methods, reason = "ids of searches must not repeat between peers of one seed")]
fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    // Without randomness a search finds nothing where another with the id 0 has been.
    let _ = getrandom::fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests;
