//! Who is fetched from: finding providers, greeting them, running their lanes, and trying again those who
//! vanish.
//!
//! Each provider has a task. It opens a stream; when much is left, a second one, since one stream does not fill
//! two cores. A provider that breaks off is called again with growing pauses as long as the fetch lasts; one that
//! lied is not. Providers come from the ticket, and from records that providers tell of each other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use compeer::{PeerAddr, PeerId, ShareTicket, text};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::job::{Job, Refusal, State, failed, lock};
use super::lane::{End, Lane};
use super::opened::{NoWelcome, Opened};
use super::{FetchError, FetchEvent};
use crate::ContentId;
use crate::limits;
use crate::plan::Source;
use crate::tree::GROUP;
use crate::wire::Why;

/// Streams with one provider. Two use both cores of a small machine; the framework permits eight.
const LANES: usize = 2;
/// Less than this, and a second stream is not worth its handshake.
const SECOND_LANE: u64 = 4 * 1024 * 1024;
/// Pauses between two calls of one provider.
const AGAIN_FIRST: Duration = Duration::from_millis(250);
const AGAIN_MOST: Duration = Duration::from_secs(10);
/// How often a provider may welcome us and give nothing before it is left alone. A guess.
const FRUITLESS: u32 = 3;

/// How it has been with a provider so far.
#[derive(Clone, Copy)]
struct Past {
    pause: Duration,
    fruitless: u32,
}

impl Past {
    const NONE: Past = Past { pause: AGAIN_FIRST, fruitless: 0 };
}

/// How a provider's task ended.
enum Left {
    /// All is here: the lane by which to say so.
    Done(Option<Box<Lane>>),
    /// Not to be called again.
    Never,
    /// It does not know the share, or not for us: not to be called again.
    Refused {
        /// Until this is told it counts as being called.
        _calling: Calling,
    },
    /// It lied: not to be called again either.
    Lied,
    /// Call it again.
    Again {
        at: PeerAddr,
        why: String,
        /// It welcomed us and then gave nothing.
        fruitless: bool,
        /// Until then it counts as being called.
        calling: Calling,
    },
}

/// A provider that is being called, or will be: as long as there is one, what is missing may yet be had.
struct Calling(Arc<Job>);

impl Calling {
    fn new(job: &Arc<Job>) -> Calling {
        job.calling.fetch_add(1, Ordering::Relaxed);
        Calling(job.clone())
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        self.0.calling.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs a fetch until every group has arrived, or it cannot. Gives the lanes that are still open.
pub(super) async fn run(
    job: &Arc<Job>,
    ticket: &ShareTicket,
    first: Vec<Opened>,
) -> Result<Vec<Lane>, FetchError> {
    let content = ContentId::from_bytes(ticket.root);
    let mut tasks = JoinSet::new();
    let mut next: Source = 0;
    // Known providers, and how long to wait before each is called again.
    let mut known: BTreeMap<PeerId, Past> = BTreeMap::new();
    let mut start = |tasks: &mut JoinSet<Left>,
                     at: PeerAddr,
                     opened: Option<Opened>,
                     after: Duration,
                     calling: Calling| {
        let source = next;
        next += 1;
        tasks.spawn(provider(job.clone(), ticket.clone(), source, at, opened, after, calling));
    };
    for opened in first {
        known.insert(opened.peer, Past::NONE);
        let at = ticket.peers.iter().find(|at| at.id == opened.peer).cloned();
        job.heard_of(opened.peer, &opened.records);
        start(
            &mut tasks,
            at.unwrap_or_else(|| opened.peer.into()),
            Some(opened),
            Duration::ZERO,
            Calling::new(job),
        );
    }
    for at in &ticket.peers {
        if at.id != job.shares.peer.id() && !known.contains_key(&at.id) {
            known.insert(at.id, Past::NONE);
            start(&mut tasks, at.clone(), None, Duration::ZERO, Calling::new(job));
        }
    }
    let mut state = job.state.subscribe();
    let mut heard = job.shares.news.subscribe();
    // Those we know of already count as news.
    heard.mark_changed();
    let mut lanes = Vec::new();
    let mut why = String::new();
    let mut patience = Patience::new(job);
    let (mut lied, mut refused) = (false, false);
    let arrived = 'fetching: loop {
        tokio::select! {
            biased;
            over = state.wait_for(|state| !matches!(state, State::Running)) => {
                let over = over.map(|state| state.clone()).unwrap_or(State::Arrived);
                if let State::Failed(error) = over {
                    return Err((*error).clone());
                }
                break 'fetching true;
            }
            _ = heard.changed() => {
                for at in job.shares.providers(content) {
                    if at.id != job.shares.peer.id()
                        && !known.contains_key(&at.id)
                        && known.len() < limits::MAX_SOURCES
                    {
                        known.insert(at.id, Past::NONE);
                        start(&mut tasks, at, None, Duration::ZERO, Calling::new(job));
                    }
                }
            }
            Some(left) = tasks.join_next() => match left {
                Ok(Left::Done(lane)) => lanes.extend(lane.map(|lane| *lane)),
                Ok(Left::Again { at, why: reason, fruitless, calling }) => {
                    why = reason;
                    let past = known.entry(at.id).or_insert(Past::NONE);
                    past.fruitless = if fruitless { past.fruitless + 1 } else { 0 };
                    let after = past.pause;
                    past.pause = (past.pause * 2).min(AGAIN_MOST);
                    if past.fruitless < FRUITLESS {
                        start(&mut tasks, at, None, after, calling);
                    }
                }
                Ok(Left::Never) => {}
                Ok(Left::Refused { .. }) => refused = true,
                Ok(Left::Lied) => lied = true,
                Err(panic) => return Err(FetchError::Disk(panic.to_string())),
            },
            () = patience.over(job) => break 'fetching false,
        }
        if tasks.is_empty() && !job.is_over() {
            break 'fetching false;
        }
    };
    if arrived {
        return Ok(lanes_of(tasks, lanes).await);
    }
    if lied {
        return Err(FetchError::Lies);
    }
    let missing = job.missing().iter().map(|range| job.layout.byte_len(&range)).sum();
    let called = job.calling.load(Ordering::Relaxed) > 0;
    let why = match job.refusal() {
        // As long as somebody is called who may have it all, one who has not says nothing.
        Some(Refusal { why: Why::Changed, path }) if !called => {
            return Err(FetchError::Changed { path, missing });
        }
        Some(Refusal { why: Why::Unreadable, path }) => {
            format!("{} cannot be read there", text::escape(&path))
        }
        Some(Refusal { why: Why::Changed, .. }) => "the files were changed there".into(),
        Some(Refusal { why: Why::Stopped, .. }) => "the share was stopped".into(),
        Some(Refusal { why: Why::Missing, .. }) => "the others do not have it either".into(),
        None if refused && !called => return Err(FetchError::NoMore { missing }),
        None if why.is_empty() => "nothing came for too long".into(),
        None => why,
    };
    Err(FetchError::NoProvider { missing, why })
}

/// Waits for what is still open.
async fn lanes_of(mut tasks: JoinSet<Left>, mut lanes: Vec<Lane>) -> Vec<Lane> {
    while let Some(left) = tasks.join_next().await {
        if let Ok(Left::Done(lane)) = left {
            lanes.extend(lane.map(|lane| *lane));
        }
    }
    lanes
}

/// How long nothing may arrive.
struct Patience {
    seen: u64,
    until: Instant,
}

impl Patience {
    fn new(job: &Job) -> Self {
        Patience { seen: job.received.load(Ordering::Relaxed), until: Instant::now() + limits::PATIENCE }
    }

    /// Ready when nothing has arrived for [`limits::PATIENCE`], or nothing more can.
    async fn over(&mut self, job: &Job) {
        loop {
            tokio::time::sleep_until(self.until.min(Instant::now() + limits::LOOK_AROUND)).await;
            if job.is_hopeless() {
                return;
            }
            let now = job.received.load(Ordering::Relaxed);
            // A reader of a stream may take its time.
            if now != self.seen || job.unread.load(Ordering::Relaxed) > 0 {
                *self = Patience::new(job);
                *lock(&job.until) = self.until;
            } else if Instant::now() >= self.until {
                return;
            }
        }
    }
}

/// One provider: waits, greets, runs its lanes.
async fn provider(
    job: Arc<Job>,
    ticket: ShareTicket,
    source: Source,
    at: PeerAddr,
    opened: Option<Opened>,
    after: Duration,
    calling: Calling,
) -> Left {
    let peer = at.id;
    let mut state = job.state.subscribe();
    let over = async {
        let _ = state.wait_for(|state| !matches!(state, State::Running)).await;
    };
    let greet = async {
        match opened {
            // Also when nothing is missing: it is to hear that we have everything.
            Some(opened) => Ok(opened),
            None => {
                tokio::time::sleep(after).await;
                let record = job.shares.own_record(ContentId::from_bytes(ticket.root));
                Opened::open(&job.shares.peer, at.clone(), &ticket, record, false).await
            }
        }
    };
    let opened = tokio::select! {
        biased;
        opened = greet => opened,
        () = over => return Left::Done(None),
    };
    let opened = match opened {
        Ok(opened) => opened,
        Err(NoWelcome::Unknown) => {
            job.shares.forget_provider(ContentId::from_bytes(ticket.root), peer);
            job.tell(FetchEvent::Refused { peer });
            return Left::Refused { _calling: calling };
        }
        Err(why) => return Left::Again { at, why: why.words(), fruitless: false, calling },
    };
    let Some(have) = opened.has(job.layout.groups()) else { return Left::Never };
    job.add(source, peer, &have);
    drop(calling);
    job.heard_of(opened.peer, &opened.records);
    // One that gave the draft just now was told of.
    if !(after.is_zero() && job.gave().contains(&peer)) {
        job.tell(FetchEvent::Source { peer });
    }
    let connected = Counted::new(&job.connected);
    let stop = watch::Sender::new(false);
    let mut lanes = JoinSet::new();
    lanes.spawn(on_thread(Lane::new(job.clone(), source, opened.stream, stop.subscribe())));
    if job.missing().len() * GROUP > SECOND_LANE {
        for _ in 1..LANES {
            let (job, ticket, at, stop) = (job.clone(), ticket.clone(), at.clone(), stop.subscribe());
            lanes.spawn(async move {
                match Opened::open(&job.shares.peer, at, &ticket, Vec::new(), false).await {
                    Ok(more) => on_thread(Lane::new(job, source, more.stream, stop)).await,
                    // One will do.
                    Err(_) => Ok(None),
                }
            });
        }
    }
    let mut done = None;
    let mut left = None;
    while let Some(ended) = lanes.join_next().await {
        match ended.unwrap_or(Ok(None)) {
            Ok(lane) => done = done.or(lane),
            Err(End::Lied) => {
                if !matches!(left, Some(Left::Lied)) {
                    job.tell(FetchEvent::Liar { peer });
                    job.shares.forget_provider(ContentId::from_bytes(ticket.root), peer);
                }
                left = Some(Left::Lied);
            }
            Err(End::Gone { why, gave }) => {
                // Before what it had is given up.
                let calling = Calling::new(&job);
                let again = Left::Again { at: at.clone(), why, fruitless: !gave, calling };
                left = left.or(Some(again));
            }
            Err(End::Failed(error)) => job.fail(failed(error)),
            Err(End::Done(_)) => {}
        }
        if left.is_some() {
            job.gone(source);
            // The others end too: with one that lied nothing more is fetched, and one that is gone is gone.
            stop.send_replace(true);
        }
    }
    match left {
        Some(left) if !job.is_over() => {
            // What a lane asked for in its last moments.
            job.gone(source);
            // Whoever hears of it looks who is connected.
            drop(connected);
            if let Left::Again { why, .. } = &left {
                job.tell(FetchEvent::Lost { peer, why: why.clone() });
            }
            left
        }
        _ => Left::Done(done),
    }
}

/// Counts, until dropped.
pub(super) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    pub(super) fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

type Ended = Result<Option<Box<Lane>>, End>;

/// Runs a lane on a thread of its own.
async fn on_thread(lane: Lane) -> Ended {
    let runtime = tokio::runtime::Handle::current();
    let ended = tokio::task::spawn_blocking(move || runtime.block_on(lane.run())).await;
    match ended {
        Ok(End::Done(lane)) => Ok(Some(lane)),
        Ok(end) => Err(end),
        Err(_) => Err(End::Gone { why: "the lane ended in a panic, which is a defect".into(), gave: false }),
    }
}
