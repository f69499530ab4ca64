//! The course of one `get` at the node: find, look, let the client decide, fetch.
//!
//! Everything here ends with the client: the handler's future is dropped when it goes away, and with it the transfer.

use super::{
    DATA, Destination, ENTRIES, EVENT, Entry, FOUND, Found, Get, GetEvent, Go, Got, STEP, Taken, old, whence,
};
use crate::control::{ANSWER, parse, reply, send, within};
use crate::exit::{CommandError, Outcome};
use crate::node::{Node, blame};
use crate::progress::{self, Phase, Step};
use bytes::Bytes;
use compeer::{PeerId, Request};
use compeer_share::staging::{Conflict, Existing, Survey, Target};
use compeer_share::{Fetch, FetchEvent, Look};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// Files in one answer of a list.
const ENTRIES_AT_ONCE: usize = 200;
/// Bytes in one answer for standard output.
const DATA_AT_ONCE: usize = 256 * 1024;
/// Names that are taken, as far as they are told.
const TAKEN_TOLD: usize = 5;

pub(in crate::control) async fn answer(node: Node, mut request: Request) -> Outcome {
    let get: Get = parse(request.body())?;
    if let Some(from) = old::wanted(&get.what) {
        let (at, file) = from?;
        return old::answer(&node, &request, &get, at, &file).await;
    }
    let (mut look, target) = find(&node, &get, &request).await?;
    look.select(&get.only).map_err(|error| blame::fetch(&error))?;
    let target = target.or_else(|| place(&get.to, &look));
    match (&get.to, target) {
        (Destination::List, _) => list(&request, &node, look).await,
        (Destination::Stdout, _) | (_, None) => {
            let found = found_now(&node, &look, None);
            reply(&request, FOUND, &found).await?;
            let _: Go = next(&mut request).await?;
            let look = settled(&request, look).await?;
            stream(&node, &request, look).await
        }
        (_, Some(target)) => {
            let survey = look.survey(&target);
            let mut survey = survey.await.map_err(|error| blame::fetch(&error))?;
            if look.is_draft() && !survey.conflicts().is_empty() {
                // It may be the same: that is known when it is hashed.
                look = settled(&request, look).await?;
                let again = look.survey(&target);
                survey = again.await.map_err(|error| blame::fetch(&error))?;
            }
            let found = found_now(&node, &look, Some((&target, &survey)));
            reply(&request, FOUND, &found).await?;
            let go: Go = next(&mut request).await?;
            let existing = match go.taken {
                Taken::Refuse => Existing::Ask,
                Taken::Overwrite => Existing::Overwrite,
                Taken::Rename => Existing::Rename,
            };
            let (files, named) = (look.selected().count() as u64, look.named());
            let fetch = look.fetch(target, survey, existing).await.map_err(|error| blame::fetch(&error))?;
            watch(&node, &request, fetch, None, files).await?;
            node.state.asked.done(named.as_bytes());
            Ok(())
        }
    }
}

/// What the client says next; if it goes away instead, that is the end.
async fn next(request: &mut Request) -> Outcome<Go> {
    match request.next().await {
        Some(message) => parse(&message.body),
        None => Err(CommandError::interrupted()),
    }
}

async fn find(node: &Node, get: &Get, request: &Request) -> Outcome<(Look, Option<Target>)> {
    if let Some(transfer) = &get.transfer {
        let (mut look, target) = node.shares.resume(transfer).map_err(|error| blame::fetch(&error))?;
        if let Some(from) = &get.from {
            look.add_provider(whence::place(node, from).await?);
        }
        return Ok((look, Some(target)));
    }
    let (ticket, code) = whence::ticket(node, get, request).await?;
    let look = async {
        let ticket = whence::with_place(node, ticket, get.from.as_deref()).await?;
        node.shares.look(&ticket).await.map_err(|error| blame::fetch(&error))
    };
    match tokio::time::timeout(within(get.timeout_ms), look).await {
        Ok(look) => {
            let mut look = look?;
            look.found_by(code.unwrap_or_default());
            Ok((look, None))
        }
        Err(_) => Err(CommandError::unreachable("nobody who has it answered in time")
            .hint("is the sender still running? where it cannot be found, say where it is: --from HOST")),
    }
}

/// Waits until the sender has hashed the files, and tells how far that is.
async fn settled(request: &Request, look: Look) -> Outcome<Look> {
    if !look.is_draft() {
        return Ok(look);
    }
    let (done, total) = (AtomicU64::new(0), look.manifest().total());
    let work = look.settled(&done);
    tokio::pin!(work);
    let mut ticks = tokio::time::interval(progress::EVERY);
    loop {
        tokio::select! {
            biased;
            look = &mut work => return look.map_err(|error| blame::fetch(&error)),
            _ = ticks.tick() => {
                reply(request, STEP, &hashing(done.load(Ordering::Relaxed), total)).await?;
            }
        }
    }
}

/// Where to put what was found.
fn place(to: &Destination, look: &Look) -> Option<Target> {
    let into = |dir: &Path| Some(Target { dir: dir.to_path_buf(), file_name: None });
    match to {
        Destination::List | Destination::Stdout => None,
        Destination::Directory(dir) => into(dir),
        Destination::Either(path) => {
            let mut entries = look.selected();
            let single =
                entries.next().is_some_and(|entry| !entry.path.contains('/')) && entries.next().is_none();
            match (single && !path.is_dir(), path.parent(), path.file_name().and_then(|name| name.to_str())) {
                (true, Some(dir), Some(name)) => {
                    Some(Target { dir: dir.to_path_buf(), file_name: Some(name.to_string()) })
                }
                _ => into(path),
            }
        }
    }
}

async fn list(request: &Request, node: &Node, look: Look) -> Outcome {
    let found = found_now(node, &look, None);
    let entry = |entry: &compeer_share::Entry| Entry {
        event: "file".into(),
        path: entry.path.clone(),
        size: entry.size,
        executable: entry.executable,
        modified: entry.modified,
    };
    let entries: Vec<_> = look.selected().map(entry).collect();
    drop(look);
    reply(request, FOUND, &found).await?;
    for some in entries.chunks(ENTRIES_AT_ONCE) {
        reply(request, ENTRIES, &some).await?;
    }
    Ok(())
}

/// What to tell of what was found.
fn found_now(node: &Node, look: &Look, there: Option<(&Target, &Survey)>) -> Found {
    let entries = look.manifest().entries();
    let same: Vec<_> = there.map(|(_, survey)| survey.equal().collect()).unwrap_or_default();
    let same_bytes: u64 = same.iter().map(|file| entries[*file].size).sum();
    let conflicts = there.map(|(_, survey)| survey.conflicts()).unwrap_or_default();
    let short = |conflict: &Conflict| {
        let base = there.and_then(|(target, _)| conflict.path.strip_prefix(&target.dir).ok());
        base.unwrap_or(&conflict.path).display().to_string()
    };
    Found {
        event: "found".into(),
        content: look.content().to_string(),
        name: look.manifest().title(),
        files: entries.len() as u64,
        bytes: look.manifest().total(),
        wanted_files: (look.selected().count() - same.len()) as u64,
        wanted_bytes: look.bytes() - same_bytes,
        peers: look.provider().map(|peer| name(node, peer)).into_iter().collect(),
        target: there.map(|(target, _)| match &target.file_name {
            Some(name) => target.dir.join(name).display().to_string(),
            None => target.dir.display().to_string(),
        }),
        same_files: same.len() as u64,
        taken_files: conflicts.len() as u64,
        taken: conflicts.iter().take(TAKEN_TOLD).map(short).collect(),
    }
}

fn name(node: &Node, peer: PeerId) -> String {
    let nickname = node.connection(peer).and_then(|connection| connection.name);
    node.state.shown_name(peer, nickname.as_deref())
}

async fn stream(node: &Node, request: &Request, look: Look) -> Outcome {
    let files = look.selected().count() as u64;
    let (fetch, bytes) = look.stream().map_err(|error| blame::fetch(&error))?;
    watch(node, request, fetch, Some(bytes), files).await
}

/// Passes on what comes of a fetch, and tells how it goes.
async fn watch(
    node: &Node,
    request: &Request,
    mut fetch: Fetch,
    mut bytes: Option<mpsc::Receiver<Bytes>>,
    files: u64,
) -> Outcome {
    if let Some(id) = fetch.id() {
        let transfer = id.to_string();
        reply(request, EVENT, &GetEvent::Fetching { transfer }).await?;
    }
    let mut ticks = tokio::time::interval(progress::EVERY);
    // Who was lost, until somebody gives again.
    let mut lost = BTreeMap::new();
    loop {
        let data = async {
            match &mut bytes {
                Some(bytes) => bytes.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = ticks.tick() => {
                let now = fetch.snapshot();
                reply(request, STEP, &step(&now)).await?;
            }
            event = fetch.next() => match event {
                Some(event) => {
                    if let Some(event) = told(node, event).await {
                        reply(request, EVENT, &event).await?;
                        if let Some(waiting) = waiting(&mut lost, &event, &fetch) {
                            reply(request, EVENT, &waiting).await?;
                        }
                    }
                }
                None => break,
            },
            data = data => match data {
                Some(data) => pass_on(request, data).await?,
                None => bytes = None,
            },
        }
    }
    // All is in the queue when it has ended.
    while let Some(data) = bytes.as_mut().and_then(|bytes| bytes.try_recv().ok()) {
        pass_on(request, data).await?;
    }
    let last = fetch.snapshot();
    let fetched = fetch.done().await.map_err(|error| blame::fetch(&error))?;
    reply(request, STEP, &step(&last)).await?;
    let took_ms = fetched.took.as_millis() as u64;
    let got = Got {
        event: "got".into(),
        paths: fetched.placed.iter().map(|path| path.display().to_string()).collect(),
        files,
        bytes: fetched.bytes,
        received_bytes: fetched.received,
        took_ms,
        rate: (u128::from(fetched.received) * 1000 / u128::from(took_ms.max(1))) as u64,
        sources: fetched.sources.len() as u32,
        same_files: fetched.equal as u64,
    };
    reply(request, ANSWER, &got).await
}

pub(super) async fn pass_on(request: &Request, mut data: Bytes) -> Outcome {
    while !data.is_empty() {
        let some = data.split_to(data.len().min(DATA_AT_ONCE));
        send(request, DATA, some).await?;
    }
    Ok(())
}

/// How far the sender is, who is waited for.
fn hashing(done_bytes: u64, total_bytes: u64) -> Step {
    Step { phase: Phase::Hashing, done_bytes, total_bytes, sources: 1, window_bytes: 0, wait_s: None }
}

fn step(now: &compeer_share::Snapshot) -> Step {
    if let Some((done, total)) = now.hashed {
        return hashing(done, total);
    }
    Step {
        phase: Phase::Fetching,
        done_bytes: now.done,
        total_bytes: now.total,
        sources: now.sources as u32,
        window_bytes: now.window,
        wait_s: now.waits.map(|waits| waits.as_secs()),
    }
}

/// Who is waited for when the last one who gave is lost. `lost`: those who are.
fn waiting(lost: &mut BTreeMap<PeerId, String>, event: &GetEvent, fetch: &Fetch) -> Option<GetEvent> {
    match event {
        GetEvent::SourceLost { peer, name, .. } => {
            lost.insert(*peer, name.clone());
            let wait_s = fetch.snapshot().waits?.as_secs();
            Some(GetEvent::Waiting { names: lost.values().cloned().collect(), wait_s })
        }
        GetEvent::Source { peer, .. } | GetEvent::SourceRefused { peer, .. } => {
            lost.remove(peer);
            None
        }
        _ => None,
    }
}

async fn told(node: &Node, event: FetchEvent) -> Option<GetEvent> {
    let (FetchEvent::Source { peer }
    | FetchEvent::Lost { peer, .. }
    | FetchEvent::Refused { peer }
    | FetchEvent::Liar { peer }
    | FetchEvent::Changed { peer, .. }) = event
    else {
        return None;
    };
    let name = node.state.name_of(peer).await;
    Some(match event {
        FetchEvent::Lost { why, .. } => GetEvent::SourceLost { peer, name, reason: why },
        FetchEvent::Refused { .. } => GetEvent::SourceRefused { peer, name },
        FetchEvent::Liar { .. } => GetEvent::Liar { peer, name },
        FetchEvent::Changed { path, .. } => GetEvent::SourceChanged { peer, name, path },
        _ => GetEvent::Source { peer, name },
    })
}
