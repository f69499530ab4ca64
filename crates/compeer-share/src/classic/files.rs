//! Files for old programs: ours, and those of native peers, fetched and verified when somebody asks for one.
//!
//! A file goes by the last part of its path in a public share. What is ours is read where it lies, if it is what it was when
//! it was shared. What a native peer has was found by a search of an old program before; it is looked up under the name that
//! was told then, fetched into the cache, and sent from there. A name that others told us of is answered without
//! looking for it anywhere.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use compeer::{Failure, ShareTicket, classic};
use tokio::fs::File;
use tokio::sync::mpsc;

use super::words::{fits, name, scope};
use super::{Inner, lock};
use crate::fetch::Look;
use crate::holding::Holding;
use crate::limits;

/// A file of a public share of ours.
pub(super) struct Public {
    pub(super) name: String,
    holding: Arc<Holding>,
    index: usize,
}

/// A file of a share of somebody else.
#[derive(Clone, Debug)]
pub(super) struct Elsewhere {
    ticket: ShareTicket,
    /// Its path in the share.
    path: String,
}

/// FGET: the whole file in one frame.
pub(super) async fn get(inner: Arc<Inner>, request: classic::Request) -> Result<(), Failure> {
    let unreadable = "Error reading file";
    // No text is the name of no file.
    let wanted = std::str::from_utf8(request.body()).unwrap_or_default();
    if let Some(public) = inner.public_file(|path| path == wanted) {
        return match public.open().await {
            Ok((file, len)) => Ok(request.reply_from("REPL", len, file).await?),
            Err(_) => Ok(request.reply_kind("ERRO", unreadable).await?),
        };
    }
    let elsewhere = lock(&inner.elsewhere).get(wanted).cloned();
    if let Some(elsewhere) = elsewhere {
        return match inner.fetch(&elsewhere, request.remote_addr().ip()).await {
            Ok((file, len)) => Ok(request.reply_from("REPL", len, file).await?),
            Err(error) => {
                tracing::debug!(%error, "a file of a peer cannot be had for an old program");
                Ok(request.reply_kind("ERRO", unreadable).await?)
            }
        };
    }
    let heard = lock(&inner.heard).get(wanted).is_some();
    Ok(request.reply_kind("ERRO", if heard { unreadable } else { "File not found" }).await?)
}

impl Public {
    async fn open(self) -> io::Result<(File, u32)> {
        let size = self.holding.manifest.entries()[self.index].size;
        let size = u32::try_from(size).ok().filter(|size| *size <= limits::CLASSIC_FILE);
        let size = size.ok_or(io::ErrorKind::FileTooLarge)?;
        let open = tokio::task::spawn_blocking(move || self.holding.open(self.index)).await?;
        let open = open.map_err(|_| io::ErrorKind::NotFound)?;
        Ok((File::from_std(open.file), size))
    }
}

impl Inner {
    /// The first file of ours that is public and has such a name.
    pub(super) fn public_file(&self, is: impl Fn(&str) -> bool) -> Option<Public> {
        self.shares.public().into_iter().find_map(|holding| {
            let named = |entry: &crate::Entry| {
                let name = name(&entry.path);
                // Somebody may know it by the name it really has.
                let last = entry.path.rsplit('/').next().unwrap_or_default();
                (is(&name) || is(last)).then_some(name)
            };
            let (index, name) = holding
                .manifest
                .entries()
                .iter()
                .enumerate()
                .find_map(|(index, entry)| Some((index, named(entry)?)))?;
            Some(Public { name, holding: holding.clone(), index })
        })
    }

    /// The name of the first file of native peers that fits, which can be fetched under that name from now on.
    pub(super) async fn find_elsewhere(&self, key: &str, from: IpAddr) -> Option<String> {
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
                let Ok(look) = self.shares.look(&found.ticket).await else { continue };
                let fitting = look.manifest().entries().iter().find(|entry| {
                    entry.size <= limits::CLASSIC_FILE.into() && fits(&name(&entry.path), [key])
                });
                if let Some(entry) = fitting {
                    let name = name(&entry.path);
                    let path = entry.path.clone();
                    lock(&self.elsewhere).add(name.clone(), Elsewhere { ticket: found.ticket, path });
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
        let (now, mut called) = (self.now(), lock(&self.called));
        addrs.all(|addr| {
            let ip = addr.map(|addr| addr.ip().to_canonical());
            ip.is_some_and(|ip| scope(ip) >= scope(from) && called.may(ip, now))
        })
    }

    /// A file of somebody else, from the cache or fetched into it.
    async fn fetch(&self, wanted: &Elsewhere, from: IpAddr) -> Result<(File, u32), Failure> {
        let mut key = blake3::Hasher::new_derive_key("compeer 2026 classic cached file");
        key.update(&wanted.ticket.root).update(wanted.path.as_bytes());
        let key = key.finalize().to_hex().to_string();
        let one = self.one_at_a_time(&key);
        let _only = one.lock().await;
        if let Some((file, len)) = self.cache.open(&key) {
            return Ok((File::from_std(file), len));
        }
        if !self.may_dial(&wanted.ticket, from) {
            return Err(Failure::busy());
        }
        let _place = self.fetches.acquire().await?;
        let fetched = tokio::time::timeout(limits::CLASSIC_FETCH_TIME, async {
            let look = self.shares.look(&wanted.ticket).await?;
            self.fetch_to_cache(look, &wanted.path, &key).await
        });
        fetched.await??;
        let (file, len) = self.cache.open(&key).ok_or_else(|| Failure::new("it was let go again"))?;
        Ok((File::from_std(file), len))
    }

    async fn fetch_to_cache(&self, mut look: Look, path: &str, key: &str) -> Result<(), Failure> {
        let at = look.manifest().entries().iter().position(|entry| entry.path == path);
        look.choose(at.into_iter().collect())?;
        let size = look.bytes();
        if size > limits::CLASSIC_FILE.into() {
            return Err(Failure::new("it is too large for an old program"));
        }
        let new = self.cache.path(key, true);
        let (fetch, bytes) = look.stream()?;
        let writing = tokio::task::spawn_blocking(move || write(new, bytes));
        // The bytes end when the fetch is done, and dropped.
        let (written, done) = tokio::join!(writing, fetch.done());
        let written = written??;
        done?;
        if written != size {
            return Err(Failure::new("it is not as long as it should be"));
        }
        self.cache.add(key, size, None)?;
        Ok(())
    }

    /// Held while a file is fetched.
    pub(super) fn one_at_a_time(&self, key: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut fetching = lock(&self.fetching);
        fetching.retain(|_, fetch| fetch.strong_count() > 0);
        if let Some(fetch) = fetching.get(key).and_then(std::sync::Weak::upgrade) {
            return fetch;
        }
        let fetch = Arc::default();
        fetching.insert(key.into(), Arc::downgrade(&fetch));
        fetch
    }
}

/// Writes what comes to a file; how many bytes it was.
fn write(path: PathBuf, mut bytes: mpsc::Receiver<bytes::Bytes>) -> io::Result<u64> {
    let mut file = std::fs::File::create(path)?;
    let mut written = 0;
    while let Some(some) = bytes.blocking_recv() {
        io::Write::write_all(&mut file, &some)?;
        written += some.len() as u64;
    }
    Ok(written)
}
