//! Files for old programs: ours, and those of native peers, fetched and verified when somebody asks for one.
//!
//! A file goes by the last part of its path in a public share. What is ours is read where it lies, if it is what it was when
//! it was shared. What a native peer has was found by a search of an old program before; it is looked up under the name that
//! was told then, fetched into the cache, and sent from there. A name that others told us of is answered without
//! looking for it anywhere. A fetch that nobody waits for any more is given up.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use compeer::{Failure, ShareTicket, classic};
use tokio::fs::File;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::roster::Provider;
use super::words::{fits, household, name, scope};
use super::{Inner, lock};
use crate::fetch::{FetchError, Look};
use crate::{Manifest, limits};

/// A file of a share of somebody else.
#[derive(Clone, Debug)]
pub(super) struct Elsewhere {
    ticket: ShareTicket,
    /// Its path in the share.
    path: String,
}

/// FGET: the whole file in one frame.
pub(super) async fn get(inner: Arc<Inner>, request: classic::Request) -> Result<(), Failure> {
    inner.count(&request)?;
    let unreadable = "Error reading file";
    // No text is the name of no file.
    let wanted = std::str::from_utf8(request.body()).unwrap_or_default();
    if let Some(public) = inner.public_named(wanted).await? {
        return match public.open().await {
            Ok((file, len)) => Ok(request.reply_from("REPL", len, file).await?),
            Err(_) => Ok(request.reply_kind("ERRO", unreadable).await?),
        };
    }
    let providers = lock(&inner.elsewhere).providers(wanted);
    for provider in &providers {
        let fetched = tokio::select! {
            biased;
            fetched = inner.fetch(provider, request.remote_addr().ip()) => fetched,
            () = request.hung_up() => return Err(Failure::new("nobody waits for the file any more")),
        };
        match fetched {
            Ok((file, len)) => return Ok(request.reply_from("REPL", len, file).await?),
            // Not for this caller, or not now.
            Err(error) if error.is_busy() => {}
            // It may be for now, or ours.
            Err(error) => {
                tracing::debug!(%error, "a file of a peer cannot be had for an old program");
                lock(&inner.elsewhere).failed(wanted, provider);
            }
        }
    }
    let known = !providers.is_empty() || lock(&inner.heard).get(wanted).is_some();
    Ok(request.reply_kind("ERRO", if known { unreadable } else { "File not found" }).await?)
}

impl Provider for Elsewhere {
    fn same(&self, other: &Self) -> bool {
        let ids = |one: &Self| one.ticket.peers.iter().map(|peer| peer.id).collect::<BTreeSet<_>>();
        ids(self) == ids(other)
    }
}

impl Inner {
    /// The name of the first file of native peers that fits, which can be fetched under that name from now on.
    pub(super) async fn find_elsewhere(&self, key: &str, from: IpAddr) -> Option<String> {
        if !lock(&self.allowance).may_find(from, self.now()) {
            return None;
        }
        let found = async {
            let (hops, left) = (limits::CLASSIC_NATIVE_HOPS, limits::CLASSIC_LOOK_TIME);
            let mut search = self.shares.search_peers(key, hops, left)?;
            let mut looks = 0;
            while let Some(found) = search.next().await {
                // What old programs have they find themselves.
                if found.classic.is_some() {
                    continue;
                }
                looks += 1;
                if looks > limits::CLASSIC_LOOKS {
                    break;
                }
                if !self.may_dial(&found.ticket, from) {
                    continue;
                }
                let _place = self.looks.take(Some(from)).await.ok()?;
                if !self.may_fetch(Some(from)) {
                    break;
                }
                // One that says nothing does not keep the others from their turn.
                let each = limits::CLASSIC_LOOK_TIME / limits::CLASSIC_LOOKS as u32;
                let look = tokio::time::timeout(each, self.look(&found.ticket, from)).await;
                let Ok(Ok(look)) = look else { continue };
                let key = key.to_owned();
                // A list may be very long; it is dropped there too.
                let path = spawn_blocking(move || fitting(look.manifest(), &key)).await.ok()?;
                if let Some(path) = path {
                    let name = name(&path);
                    lock(&self.elsewhere).put(&name, Elsewhere { ticket: found.ticket, path });
                    return Some(name);
                }
            }
            None
        };
        tokio::time::timeout(limits::CLASSIC_LOOK_TIME, found).await.ok().flatten()
    }

    /// Whether its providers may be called for somebody at `from` who proved nothing: those that are connected, and others
    /// not too often, at addresses that need not be looked up and are no nearer to us than he is. Their addresses are what
    /// some peer said.
    fn may_dial(&self, ticket: &ShareTicket, from: IpAddr) -> bool {
        let connected: Vec<_> = self.peer.connections().iter().map(|connection| connection.peer_id).collect();
        let strangers = ticket.peers.iter().filter(|peer| !connected.contains(&peer.id));
        let mut addrs = strangers.flat_map(|peer| &peer.addrs).map(|addr| addr.socket_addr());
        let (now, own, mut called) = (self.now(), self.peer.own_ips(), lock(&self.called));
        addrs.all(|addr| {
            let ip = addr.map(|addr| addr.ip());
            ip.is_some_and(|ip| scope(ip, &own) >= scope(from, &own) && called.may(household(ip), now))
        })
    }

    /// Looks at a share for somebody at `from`, to whom the list of its files counts.
    pub(super) async fn look(&self, ticket: &ShareTicket, from: IpAddr) -> Result<Look, FetchError> {
        let meter = self.meter(Some(from), Arc::default());
        self.shares.look_counted(ticket, meter.come.clone()).await
    }

    /// Whether somebody may have us fetch something. Of whom no address is known is one of ours.
    pub(super) fn may_fetch(&self, from: Option<IpAddr>) -> bool {
        from.is_none_or(|from| lock(&self.allowance).may_fetch(from, self.now()))
    }

    pub(super) fn meter(&self, from: Option<IpAddr>, come: Arc<AtomicU64>) -> Meter<'_> {
        Meter { inner: self, from, come }
    }

    /// Waits for the fetch that is under way, or begins it; once more in his own name, if who began it may not have more.
    pub(super) async fn joined<F>(
        &self,
        key: &str,
        from: Option<IpAddr>,
        begin: impl Fn() -> F,
    ) -> Result<(), Failure>
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let _waiting = self.fetching.wait();
        match self.fetching.join(key, begin()).await {
            Err(error) if error.is_busy() && self.may_fetch(from) => self.fetching.join(key, begin()).await,
            fetched => fetched,
        }
    }

    /// A file of somebody else, from the cache or fetched into it.
    async fn fetch(self: &Arc<Self>, wanted: &Elsewhere, from: IpAddr) -> Result<(File, u32), Failure> {
        let key = wanted.key();
        if let Some((file, len)) = self.cached(&key).await? {
            return Ok((file, len));
        }
        // Others may join what he begins.
        if !self.may_fetch(Some(from)) {
            return Err(Failure::busy());
        }
        let begin = || self.clone().fetch_to_cache(wanted.clone(), key.clone(), from);
        self.joined(&key, Some(from), begin).await?;
        // It may have been let go again.
        self.cached(&key).await?.ok_or_else(Failure::busy)
    }

    async fn cached(&self, key: &str) -> Result<Option<(File, u32)>, Failure> {
        let (cache, key) = (self.cache.clone(), key.to_owned());
        let open = spawn_blocking(move || cache.open(&key)).await?;
        Ok(open.map(|(file, len)| (File::from_std(file), len)))
    }

    /// Fetches a file for somebody at `from`; when it is dropped, nothing stays of it.
    pub(super) async fn fetch_to_cache(
        self: Arc<Self>,
        wanted: Elsewhere,
        key: String,
        from: IpAddr,
    ) -> Result<(), Failure> {
        if !self.may_dial(&wanted.ticket, from) {
            return Err(Failure::busy());
        }
        let _place = self.fetches.take(Some(from)).await?;
        if !self.may_fetch(Some(from)) {
            return Err(Failure::busy());
        }
        let fetched = async {
            let look = self.look(&wanted.ticket, from).await;
            let mut look = look.inspect_err(|error| self.judge(&wanted, error))?;
            // They are sorted.
            let entries = look.manifest().entries();
            let at = entries.binary_search_by(|entry| entry.path.as_bytes().cmp(wanted.path.as_bytes()));
            look.choose(at.into_iter().collect())?;
            let size = look.bytes();
            if size > limits::CLASSIC_FILE.into() {
                return Err(Failure::new("it is too large for an old program"));
            }
            let cache = self.cache.clone();
            let (place, file) = spawn_blocking(move || cache.begin("file", size)).await??;
            let (fetch, bytes) = look.stream()?;
            let _meter = self.meter(Some(from), fetch.received());
            let writing = spawn_blocking(move || write(file, bytes));
            // The bytes end when the fetch is done, and dropped.
            let (written, done) = tokio::join!(writing, fetch.done());
            let written = written??;
            done.inspect_err(|error| self.judge(&wanted, error))?;
            if written != size {
                return Err(Failure::new("it is not as long as it should be"));
            }
            let cache = self.cache.clone();
            Ok(spawn_blocking(move || cache.keep(&key, place, None)).await?)
        };
        tokio::time::timeout(limits::CLASSIC_FETCH_TIME, fetched).await?
    }

    /// Forgets a provider that has shown that it does not have the file. Whatever else went wrong may pass.
    pub(super) fn judge(&self, provider: &Elsewhere, error: &FetchError) {
        if let FetchError::Manifest { .. } | FetchError::Unknown | FetchError::Lies = error {
            lock(&self.elsewhere).forget(&name(&provider.path), provider);
        }
    }
}

/// The path of the first file with this in its name that an old program can be given.
fn fitting(manifest: &Manifest, key: &str) -> Option<String> {
    let mut entries = manifest.entries().iter();
    let fitting =
        entries.find(|entry| entry.size <= limits::CLASSIC_FILE.into() && fits(&name(&entry.path), [key]))?;
    Some(fitting.path.clone())
}

impl Elsewhere {
    #[cfg(test)]
    pub(super) fn new(ticket: ShareTicket, path: String) -> Self {
        Elsewhere { ticket, path }
    }

    /// What it is called in the cache.
    fn key(&self) -> String {
        let mut key = blake3::Hasher::new_derive_key("compeer 2026 classic cached file");
        key.update(&self.ticket.root).update(self.path.as_bytes());
        key.finalize().to_hex().to_string()
    }
}

/// Counts what comes for somebody; it is charged to him when this is dropped, whatever has come of it.
pub(super) struct Meter<'a> {
    inner: &'a Inner,
    from: Option<IpAddr>,
    /// Unit: bytes.
    pub(super) come: Arc<AtomicU64>,
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        if let Some(from) = self.from {
            let come = self.come.load(Ordering::Relaxed) as usize;
            lock(&self.inner.allowance).fetched(from, come, self.inner.now());
        }
    }
}

/// Writes what comes to a file; how many bytes it was.
fn write(mut file: std::fs::File, mut bytes: mpsc::Receiver<bytes::Bytes>) -> io::Result<u64> {
    let mut written = 0;
    while let Some(some) = bytes.blocking_recv() {
        io::Write::write_all(&mut file, &some)?;
        written += some.len() as u64;
    }
    Ok(written)
}
