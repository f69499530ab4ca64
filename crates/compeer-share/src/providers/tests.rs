//! The book of providers at its bounds, and an exchange among peers in virtual time.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use compeer::transport::memory::MemoryNetwork;
use compeer::{Clock, Identity, Peer, Stabilizer};

use super::*;
use crate::limits::RECORD_LASTS;
use crate::wire;

const NOW: u64 = 1_800_000_000;

fn identity(n: u32) -> Identity {
    let mut seed = [3; 32];
    seed[..4].copy_from_slice(&n.to_le_bytes());
    Identity::from_seed(&seed)
}

fn id(n: u32) -> PeerId {
    identity(n).peer_id()
}

fn record(n: u32, complete: bool, issued: u64) -> Vec<u8> {
    let here = PeerAddr::new(id(n), ["10.0.0.1:5".parse().unwrap()]);
    ProviderRecord::sign(&identity(n), content(), here, complete, issued).bytes().to_vec()
}

fn content() -> ContentId {
    ContentId::of(b"a manifest")
}

/// A book of peer 0.
fn book() -> Providers {
    Providers::new(id(0))
}

#[test]
fn the_newest_record_of_each_peer_is_kept() {
    let mut book = book();
    assert_eq!(book.hear(content(), &record(1, false, NOW), id(9), NOW), Ok(true));
    assert_eq!(book.hear(content(), &record(1, true, NOW - 1), id(9), NOW), Ok(false));
    assert_eq!(book.hear(content(), &record(1, false, NOW), id(9), NOW), Ok(false));
    assert_eq!(book.tell(content(), id(2), NOW), [record(1, false, NOW)], "passed on as it came");
    assert_eq!(book.hear(content(), &record(1, true, NOW + 1), id(9), NOW), Ok(true));
    assert_eq!(book.tell(content(), id(2), NOW), [record(1, true, NOW + 1)]);
    assert_eq!(book.hear(content(), &record(2, false, NOW), id(9), NOW), Ok(true));
    let providers = book.providers(content(), NOW);
    assert_eq!(
        providers.iter().map(|at| at.id).collect::<Vec<_>>(),
        [id(1), id(2)],
        "the complete one first"
    );
}

#[test]
fn what_is_not_for_the_book_is_left_out() {
    let mut book = book();
    assert_eq!(book.hear(content(), &record(0, true, NOW), id(0), NOW), Ok(false), "its own");
    assert_eq!(book.hear(ContentId::of(b"other"), &record(1, true, NOW), id(1), NOW), Ok(false));
    assert_eq!(book.hear(content(), &record(1, true, NOW - 5000), id(1), NOW), Ok(false), "it has ended");
    assert_eq!(book.hear(content(), b"no record", id(1), NOW), Err(RecordError::Malformed));
    assert_eq!(book.count(content(), NOW), 0);
    assert!(book.hear(content(), &record(1, true, NOW), id(1), NOW).unwrap());
    assert_eq!(book.tell(content(), id(1), NOW), [[0u8; 0]; 0], "nobody is told of himself");
    book.forget(content(), id(1));
    assert_eq!(book.count(content(), NOW), 0);
}

#[test]
fn what_has_ended_goes() {
    let mut book = book();
    let later = NOW + RECORD_LASTS.as_secs() + 1000;
    book.hear(content(), &record(1, true, NOW), id(1), NOW).unwrap();
    book.hear(content(), &record(2, true, NOW + 1000), id(2), NOW + 1000).unwrap();
    assert_eq!(book.count(content(), NOW + 3600), 2);
    assert_eq!((book.count(content(), later), book.tell(content(), id(9), later).len()), (1, 1));
    book.expire(later + 1000);
    assert!(book.book.is_empty());
}

#[test]
fn a_full_book_takes_only_those_who_come_themselves() {
    let mut book = book();
    let most = MAX_PROVIDERS as u32;
    for n in 1..=most {
        // The first is told of with the oldest record.
        let from = if n <= 2 { id(999) } else { id(n) };
        assert_eq!(book.hear(content(), &record(n, false, NOW + u64::from(n)), from, NOW), Ok(true));
    }
    assert_eq!(book.hear(content(), &record(500, true, NOW), id(999), NOW), Ok(false), "told of");
    assert_eq!(book.hear(content(), &record(501, true, NOW), id(501), NOW), Ok(true), "itself");
    assert_eq!(book.hear(content(), &record(502, true, NOW), id(502), NOW), Ok(true));
    assert_eq!(book.hear(content(), &record(503, true, NOW), id(503), NOW), Ok(false), "all came themselves");
    assert_eq!(book.count(content(), NOW), MAX_PROVIDERS);
    let known: Vec<_> = book.providers(content(), NOW).iter().map(|at| at.id).collect();
    assert!(!known.contains(&id(1)) && !known.contains(&id(2)) && known.contains(&id(3)));
    assert_eq!(book.tell(content(), id(9), NOW).len(), MAX_RECORDS.min(MAX_PROVIDERS - 1));
    let later = NOW + RECORD_LASTS.as_secs() + 400;
    assert_eq!(book.hear(content(), &record(503, true, later), id(503), later), Ok(true), "they have ended");
}

#[test]
fn a_full_book_takes_no_further_content() {
    let mut book = book();
    let about = |n: usize| {
        let here = PeerAddr::new(id(1), ["10.0.0.1:5".parse().unwrap()]);
        let content = ContentId::of(&n.to_le_bytes());
        (content, ProviderRecord::sign(&identity(1), content, here, true, NOW))
    };
    for n in 0..=MAX_BOOK {
        let (content, record) = about(n);
        assert_eq!(book.hear(content, record.bytes(), id(1), NOW), Ok(n < MAX_BOOK));
    }
    book.forget_content(about(0).0);
    let (content, record) = about(MAX_BOOK);
    assert_eq!(book.hear(content, record.bytes(), id(1), NOW), Ok(true));
}

/// One share of a known secret.
struct OneShare;

const SECRET: [u8; 16] = *b"sixteen letters.";

impl Holdings for OneShare {
    fn held(&self) -> Vec<Held> {
        vec![Held { content: content(), secret: SECRET, complete: true }]
    }

    fn admits(&self, of: ContentId, peer: PeerId, proof: &[u8; 32], binding: &[u8; 32]) -> Option<Held> {
        let right = wire::proof(&SECRET, content().as_bytes(), binding, peer.as_bytes());
        (of == content() && right == *proof).then(|| self.held().remove(0))
    }
}

/// A peer of a network, with its book.
async fn peer(network: &MemoryNetwork, n: u32) -> (Peer, Arc<Mutex<Providers>>) {
    let transport = network.transport(id(n), [10, 0, 0, n as u8].into());
    let peer = Peer::builder()
        .transport(transport)
        .identity(identity(n))
        .clock(Clock::starting_at(UNIX_EPOCH + Duration::from_secs(NOW)))
        .listen(SocketAddr::from(([10, 0, 0, n as u8], 1)))
        .advertise(SocketAddr::from(([10, 0, 0, n as u8], 1)))
        .spawn()
        .await
        .unwrap();
    let book = Arc::new(Mutex::new(Providers::new(id(n))));
    register(&peer, identity(n), Arc::new(OneShare), book.clone()).unwrap();
    (peer, book)
}

fn known(book: &Mutex<Providers>) -> Vec<PeerId> {
    let mut ids: Vec<_> = book.lock().unwrap().providers(content(), NOW).iter().map(|at| at.id).collect();
    ids.sort();
    ids
}

#[tokio::test(start_paused = true)]
async fn those_who_know_one_provider_come_to_know_all() {
    let network = MemoryNetwork::new(1);
    let mut peers = Vec::new();
    for n in 1..=4 {
        peers.push(peer(&network, n).await);
    }
    // Each knows only the first.
    let first = own_record(&peers[0].0, &identity(1), content(), true);
    for (_, book) in &peers[1..] {
        book.lock().unwrap().hear(content(), &first, id(1), NOW).unwrap();
    }
    for _ in 0..2 {
        for (n, (peer, book)) in (1..).zip(&peers) {
            exchange(identity(n), Arc::new(OneShare), book.clone()).run(peer.clone()).await.unwrap();
        }
    }
    for (n, (_, book)) in (1..).zip(&peers) {
        let mut others: Vec<_> = (1..=4).filter(|other| *other != n).map(id).collect();
        others.sort();
        assert_eq!(known(book), others, "peer {n}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_know_the_secret_hears_what_he_hears_of_unknown_content() {
    let network = MemoryNetwork::new(2);
    let (asked, book) = peer(&network, 1).await;
    let (stranger, _) = peer(&network, 2).await;
    book.lock().unwrap().hear(content(), &record(3, true, NOW), id(3), NOW).unwrap();
    let mut answers = Vec::new();
    for of in [content(), ContentId::of(b"unknown")] {
        let body = exchange::test_ask(of, [1; 32], record(2, true, NOW));
        let reply = stranger.request(asked.addr(), "compeer/share/providers", body).one().await.unwrap();
        answers.push(reply.body);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(known(&book), [id(3)], "nor is he noted");
}
