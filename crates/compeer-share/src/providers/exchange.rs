//! Hearing of more providers: each share here asks some of those who have it too, now and then, and tells them
//! of itself.
//!
//! The request `compeer/share/providers` names a content, proves its secret and carries the asker's own record;
//! the reply is a list of records, that of the provider who answers among them. Who proves nothing gets the
//! empty list, the same as for a content that is not here.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use compeer::{ConnectError, Failure, Identity, Peer, PeerAddr, PeerId, Request, RequestError, Stabilizer};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::Providers;
use crate::limits::{
    EXCHANGE_AT_ONCE, EXCHANGE_CONTENTS, EXCHANGE_PEERS, EXCHANGE_WITHIN, MAX_FRAME, MAX_RECORDS,
};
use crate::record::{ProviderRecord, seconds};
use crate::{ContentId, wire};

/// The kind of the request.
const KIND: &str = "compeer/share/providers";

/// How often records are exchanged: several times in the life of one.
pub const EXCHANGE: Duration = Duration::from_secs(600);

/// A share that is here.
#[derive(Clone)]
pub struct Held {
    /// Its content.
    pub content: ContentId,
    /// Its secret.
    pub secret: [u8; 16],
    /// Whether all of it is here.
    pub complete: bool,
}

/// Without its secret.
impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("content", &self.content).finish_non_exhaustive()
    }
}

/// What this peer shares.
pub trait Holdings: Send + Sync + 'static {
    /// All shares that others may fetch from here.
    fn held(&self) -> Vec<Held>;

    /// The share of this content, if `peer` may know that it is here: it proved the secret
    /// ([`wire::proof`]) on the connection with this binding, or the share is public.
    fn admits(&self, content: ContentId, peer: PeerId, proof: &[u8; 32], binding: &[u8; 32]) -> Option<Held>;
}

#[derive(Serialize, Deserialize)]
struct Ask {
    content: ContentId,
    proof: [u8; 32],
    record: Vec<u8>,
    ext: Vec<u8>,
}

#[derive(Default, Serialize, Deserialize)]
struct Tell {
    records: Vec<Vec<u8>>,
    ext: Vec<u8>,
}

/// This peer's own record of a share; empty when it has no address to name.
pub fn own_record(peer: &Peer, identity: &Identity, content: ContentId, complete: bool) -> Vec<u8> {
    let here = peer.addr();
    if here.addrs.is_empty() {
        return Vec::new();
    }
    let now = seconds(peer.clock().wall());
    ProviderRecord::sign(identity, content, here, complete, now).bytes().to_vec()
}

/// Answers others who exchange records.
///
/// # Errors
/// None that can happen: the kind is one.
pub fn register(
    peer: &Peer,
    identity: Identity,
    holdings: Arc<dyn Holdings>,
    book: Arc<Mutex<Providers>>,
) -> Result<(), RequestError> {
    peer.handle(KIND, move |request: Request| {
        let answer = answer(&request, &identity, &*holdings, &book);
        async move { answer }
    })
}

fn answer(
    request: &Request,
    identity: &Identity,
    holdings: &dyn Holdings,
    book: &Mutex<Providers>,
) -> Result<Vec<u8>, Failure> {
    let ask: Ask = decode(request.body()).ok_or_else(|| Failure::new("no request for providers"))?;
    let (peer, sender) = (request.peer(), request.sender());
    let binding = request.connection().channel_binding();
    let mut tell = Tell::default();
    if let Some(held) = holdings.admits(ask.content, sender, &ask.proof, &binding) {
        let now = seconds(peer.clock().wall());
        let mut book = lock(book);
        hear(&mut book, ask.content, sender, &ask.record, now);
        tell.records = book.tell(ask.content, sender, now);
        tell.records.truncate(MAX_RECORDS - 1);
        let own = own_record(peer, identity, held.content, held.complete);
        tell.records.extend(Some(own).filter(|own| !own.is_empty()));
    }
    Ok(encode(&tell))
}

/// A stabilizer, to be run every [`EXCHANGE`]: asks some providers of each share here, others each time.
pub fn exchange(
    identity: Identity,
    holdings: Arc<dyn Holdings>,
    book: Arc<Mutex<Providers>>,
) -> impl Stabilizer {
    let round = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    move |peer: Peer| {
        let round = round.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (identity, book) = (identity.clone(), book.clone());
        let mut held = holdings.held();
        async move {
            let turn = round * EXCHANGE_CONTENTS % held.len().max(1);
            held.rotate_left(turn);
            lock(&book).expire(seconds(peer.clock().wall()));
            let mut asking = JoinSet::new();
            for held in held.into_iter().take(EXCHANGE_CONTENTS) {
                let mut known = lock(&book).providers(held.content, seconds(peer.clock().wall()));
                let turn = round * EXCHANGE_PEERS % known.len().max(1);
                known.rotate_left(turn);
                for at in known.into_iter().take(EXCHANGE_PEERS) {
                    if asking.len() >= EXCHANGE_AT_ONCE {
                        asking.join_next().await;
                    }
                    asking.spawn(ask(peer.clone(), identity.clone(), held.clone(), at, book.clone()));
                }
            }
            while asking.join_next().await.is_some() {}
            Ok(())
        }
    }
}

async fn ask(peer: Peer, identity: Identity, held: Held, at: PeerAddr, book: Arc<Mutex<Providers>>) {
    let asked = at.id;
    let told = tokio::time::timeout(EXCHANGE_WITHIN, request(&peer, &identity, &held, at)).await;
    match told {
        Ok(Ok(records)) if records.is_empty() => lock(&book).forget(held.content, asked),
        Ok(Ok(records)) => {
            let now = seconds(peer.clock().wall());
            let mut book = lock(&book);
            records.iter().for_each(|record| hear(&mut book, held.content, asked, record, now));
        }
        // It may be back before its record ends.
        Ok(Err(error)) => tracing::debug!(peer = %asked, %error, "no exchange of providers"),
        Err(_) => tracing::debug!(peer = %asked, "no exchange of providers in time"),
    }
}

async fn request(
    peer: &Peer,
    identity: &Identity,
    held: &Held,
    at: PeerAddr,
) -> Result<Vec<Vec<u8>>, RequestError> {
    let connection =
        peer.connect(at.clone()).await.map_err(|error: ConnectError| RequestError::from(error))?;
    let (binding, content) = (connection.channel_binding(), held.content);
    let proof = wire::proof(&held.secret, content.as_bytes(), &binding, peer.id().as_bytes());
    let record = own_record(peer, identity, content, held.complete);
    let ask = Ask { content, proof: *proof.as_bytes(), record, ext: Vec::new() };
    let reply = peer.request(at, KIND, encode(&ask)).timeout(EXCHANGE_WITHIN).one().await?;
    let tell: Option<Tell> = decode(&reply.body);
    let tell = tell.filter(|tell| tell.records.len() <= MAX_RECORDS);
    tell.map(|tell| tell.records).ok_or_else(|| RequestError::Body("no list of providers".into()))
}

/// A record that came from `from`: its own counts for more.
fn hear(book: &mut Providers, content: ContentId, from: PeerId, record: &[u8], now: u64) {
    if !record.is_empty() {
        // What is no record is left out; the rest may be good.
        let _ = book.hear(content, record, from, now);
    }
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    // Numbers and bytes can always be written to memory.
    postcard::to_allocvec(value).unwrap_or_default()
}

fn decode<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Option<T> {
    if body.len() > MAX_FRAME {
        return None;
    }
    postcard::take_from_bytes(body).ok().filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value)
}

fn lock(book: &Mutex<Providers>) -> std::sync::MutexGuard<'_, Providers> {
    book.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A request as a stranger may make it.
#[cfg(test)]
pub(super) fn test_ask(content: ContentId, proof: [u8; 32], record: Vec<u8>) -> Vec<u8> {
    encode(&Ask { content, proof, record, ext: Vec::new() })
}
