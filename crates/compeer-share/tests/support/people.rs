//! People with a peer, a home and files: what the tests of this crate begin with.
//!
//! Everything is real: TLS over loopback, files in temporary directories. `Liar` is a provider that speaks the
//! protocol by hand and sends what a test wants.

#![allow(dead_code, reason = "each test uses its part")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use compeer::{Identity, Peer};
use compeer_share::staging::{Existing, Target};
use compeer_share::{
    Fetch, FetchError, FetchEvent, Fetched, Offer, Progress, ShareInfo, ShareTicket, Shares, Store,
};
use tempfile::TempDir;

/// How long anything in a test may take.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Somebody.
pub(crate) struct Person {
    pub(crate) peer: Peer,
    pub(crate) shares: Shares,
    pub(crate) home: TempDir,
    pub(crate) files: TempDir,
}

impl Person {
    pub(crate) async fn new() -> Person {
        Person::with(Identity::generate(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()).await
    }

    /// With a key that is the same in every run.
    pub(crate) async fn seeded(seed: u8) -> Person {
        let identity = Identity::from_seed(&[seed; 32]);
        Person::with(identity, tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()).await
    }

    pub(crate) async fn with(identity: Identity, home: TempDir, files: TempDir) -> Person {
        let peer = Peer::builder().identity(identity.clone()).listen("127.0.0.1:0").spawn().await.unwrap();
        let shares = Shares::attach(&peer, identity, Store::at(home.path()));
        Person { peer, shares, home, files }
    }

    /// Writes a file in this person's directory.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.files.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) async fn offer(&self, path: &Path) -> ShareInfo {
        self.offer_as(Offer { paths: vec![path.to_path_buf()], ..Offer::default() }).await
    }

    pub(crate) async fn offer_as(&self, offer: Offer) -> ShareInfo {
        self.shares.offer(offer, Arc::new(Progress::default())).await.unwrap()
    }

    pub(crate) fn target(&self) -> Target {
        Target { dir: self.files.path().to_path_buf(), file_name: None }
    }

    pub(crate) async fn begin(&self, ticket: &ShareTicket) -> Result<Fetch, FetchError> {
        let look = self.shares.look(ticket).await?;
        let survey = look.survey(&self.target()).await?;
        look.fetch(self.target(), survey, Existing::Ask).await
    }

    /// Fetches everything into this person's directory.
    pub(crate) async fn get(&self, ticket: &ShareTicket) -> Result<Fetched, FetchError> {
        within(async { self.begin(ticket).await?.done().await }).await
    }

    /// Fetches, and what happened meanwhile.
    pub(crate) async fn watch(&self, ticket: &ShareTicket) -> (Result<Fetched, FetchError>, Vec<FetchEvent>) {
        within(async {
            let mut fetch = self.begin(ticket).await.unwrap();
            let mut events = Vec::new();
            while let Some(event) = fetch.next().await {
                events.push(event);
            }
            (fetch.done().await, events)
        })
        .await
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.files.path().join(name)).unwrap()
    }

    /// The names in this person's directory.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.files.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

pub(crate) fn ticket(info: &ShareInfo) -> ShareTicket {
    info.ticket.parse().unwrap()
}

/// Bytes that no compression and no luck would make.
pub(crate) fn noise(len: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

/// With a deadline.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, work).await.expect("it takes too long")
}
