//! Fetching what its sender has not hashed yet.
//!
//! By a draft all of it comes from the sender, unverified, into the staging directory, and the hashes of what came are
//! kept. Then the sender is asked what the content is. Its manifest must list the same files; those whose hashes lead to the
//! roots it names are right, whatever has been sent, and the transfer becomes one of that content. What is not right, or
//! was changed while it was hashed, is fetched again as ever: verified, from whoever has it. Only that part puts files in
//! their places.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use compeer::{PeerId, ShareTicket, text};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::job::{Job, lock};
use super::lane::Lane;
use super::opened::{NoWelcome, Opened};
use super::sink::Sink;
use super::{FetchError, FetchEvent, Fetched, Look, Run, resume, sources};
use crate::ContentId;
use crate::limits;
use crate::manifest::Manifest;
use crate::shares::Inner;
use crate::transfers::Record;
use crate::wire::{Tell, Why};

/// Pauses before a sender that cannot be reached is asked again.
pub(super) const AGAIN_FIRST: Duration = Duration::from_millis(250);
pub(super) const AGAIN_MOST: Duration = Duration::from_secs(10);
/// The least time between two questions how far hashing is.
const ASK_PAUSE: Duration = Duration::from_millis(50);

/// What a provider's answer says of its draft: the content; `None`: not yet.
pub(super) fn told(told: &Tell, peer: PeerId, draft: &Manifest) -> Result<Option<ContentId>, FetchError> {
    let Tell::Never { why, file } = told else {
        return Ok(match told {
            Tell::Final { content } => Some(ContentId::from_bytes(*content)),
            _ => None,
        });
    };
    let entry = usize::try_from(*file).ok().and_then(|file| draft.entries().get(file));
    let file = entry.map_or("a file".into(), |entry| text::escape(&entry.path));
    let why = match why {
        Why::Changed | Why::Missing => format!("{file} was changed there while it was hashed"),
        Why::Unreadable => format!("{file} cannot be read there"),
        Why::Stopped => "it was stopped".into(),
    };
    Err(FetchError::NotHashed { peer, why })
}

/// Waits for the content of a draft. `hashed` is kept at what the sender has hashed. Gives the stream too, which shows
/// the sender that we are still there; `before` are those that did so until then.
pub(super) async fn content(
    inner: &Inner,
    ticket: &ShareTicket,
    draft: &Manifest,
    hashed: &AtomicU64,
    mut before: Vec<Lane>,
) -> Result<(ContentId, Opened), FetchError> {
    let mut pause = AGAIN_FIRST;
    let mut wait = Wait { draft, hashed, still: 0, most: 0, until: Instant::now() + limits::PATIENCE };
    loop {
        let mut refused = Vec::new();
        for at in ticket.peers.iter().filter(|at| at.id != inner.peer.id()) {
            match Opened::open(&inner.peer, at.clone(), ticket, Vec::new(), false).await {
                Ok(mut opened) => {
                    before.clear();
                    match wait.at(&mut opened).await? {
                        Ok(content) => return Ok((content, opened)),
                        Err(error) => refused.push((at.id, error.into())),
                    }
                }
                Err(why) => refused.push((at.id, why)),
            }
        }
        if refused.iter().all(|(_, why)| *why == NoWelcome::Unknown) {
            return Err(FetchError::Unknown);
        }
        if Instant::now() + pause > wait.until {
            return Err(FetchError::Nobody(
                refused.into_iter().map(|(peer, why)| (peer, why.words())).collect(),
            ));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(AGAIN_MOST);
    }
}

/// How long a sender is waited for.
struct Wait<'a> {
    draft: &'a Manifest,
    hashed: &'a AtomicU64,
    /// Answers since hashing got on.
    still: u32,
    /// How far it was then.
    most: u64,
    /// Until when it may be out of reach.
    until: Instant,
}

impl Wait<'_> {
    /// Waits at one sender; the inner error: its stream broke.
    async fn at(&mut self, opened: &mut Opened) -> Result<std::io::Result<ContentId>, FetchError> {
        loop {
            let asked = Instant::now();
            let answer = match opened.becomes(true).await {
                Ok(answer) => answer,
                Err(error) => return Ok(Err(error)),
            };
            if let Some(content) = told(&answer, opened.peer, self.draft)? {
                return Ok(Ok(content));
            }
            let Tell::Hashing { done } = answer else { continue };
            self.until = Instant::now() + limits::PATIENCE;
            self.still += 1;
            let done = done.min(self.draft.total());
            if done >= self.most + limits::HASHING_LEAST {
                (self.most, self.still) = (done, 0);
            }
            self.hashed.store(done, Ordering::Relaxed);
            // An honest one takes its time; who answers at once is asked no more often for it.
            tokio::time::sleep_until(asked + ASK_PAUSE).await;
            if self.still >= limits::HASHING_STILL {
                let why = "hashing does not get on there".into();
                return Err(FetchError::NotHashed { peer: opened.peer, why });
            }
        }
    }
}

/// Fetches a draft, and then what it has become. `current` is what runs at a time, for who watches; `ended` is closed
/// when nobody does.
pub(super) async fn fetch(
    mut look: Look,
    mut run: Run,
    events: mpsc::Sender<FetchEvent>,
    current: &Mutex<Option<Arc<Job>>>,
    ended: &watch::Sender<Option<Result<Fetched, FetchError>>>,
) -> Result<Fetched, FetchError> {
    let job = run.job.clone();
    let fetched = sources::run(&job, &look.ticket, std::mem::take(&mut look.opened)).await;
    let settled = match fetched {
        Ok(lanes) => tokio::select! {
            biased;
            () = ended.closed() => Err(FetchError::Unread),
            settled = settle(look, &mut run, lanes, events) => settled,
        },
        Err(error @ (FetchError::NoProvider { .. } | FetchError::Changed { .. })) => {
            Err(reason(look).await.unwrap_or(error))
        }
        Err(error) => Err(error),
    };
    let (look, mut next) = match settled {
        Ok(settled) => settled,
        Err(error) => {
            job.fail(error.clone());
            run.keep().await;
            return Err(error);
        }
    };
    next.job.go_on_from(&job);
    next.began = run.began;
    match &mut *lock(current) {
        Some(current) => *current = next.job.clone(),
        None => next.job.fail(FetchError::Unread),
    }
    next.through(look.ticket, look.opened).await
}

/// Why a draft is not to be had any more, if its sender says so.
async fn reason(look: Look) -> Option<FetchError> {
    let sender = look.ticket.peers.first()?.clone();
    let opened = Opened::open(&look.inner.peer, sender, &look.ticket, Vec::new(), false).await;
    let mut opened = opened.ok()?;
    told(&opened.becomes(false).await.ok()?, opened.peer, &look.manifest).err()
}

/// All of a draft has come: finds out what of it is right, and what runs from here on. `lanes` are those it came by.
async fn settle(
    look: Look,
    run: &mut Run,
    lanes: Vec<Lane>,
    events: mpsc::Sender<FetchEvent>,
) -> Result<(Look, Run), FetchError> {
    let job = run.job.clone();
    let (content, _open) = content(&look.inner, &look.ticket, &look.manifest, &job.hashed, lanes).await?;
    let look = look.completed(content).await?;
    let place = run.place.take();
    let work = tokio::task::spawn_blocking(move || {
        let (Sink::Disk(disk), Some((placement, directory))) = (&job.sink, place) else {
            return Err(FetchError::Draft);
        };
        let (before, _) = directory.record()?;
        let record = Record { ticket: look.ticket.to_string(), draft: false, ..before };
        let wanted = look.wanted(&placement);
        let settled = resume::settle(disk, &directory, &record, &look.manifest, &wanted)?;
        for file in settled.changed {
            let path = look.manifest.entries()[file].path.clone();
            job.tell(FetchEvent::Changed { peer: look.provider().unwrap_or(job.shares.peer.id()), path });
        }
        let hashes = (settled.pack, settled.journal);
        let prepared = look.prepared(placement, directory, disk.staging.clone(), hashes, settled.have);
        Ok((look, prepared))
    });
    let (look, prepared) = work.await.map_err(|panic| FetchError::Disk(panic.to_string()))??;
    // Not before: from here on it is served, until it is run to its end.
    let run = look.run(prepared, events);
    Ok((look, run))
}
