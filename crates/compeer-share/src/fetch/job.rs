//! What the lanes of one fetch share: the plan, the sink, the counters, and what is told to whoever watches.
//!
//! Lanes run on threads of their own; every lock in here is held for a few lines and never over a wait. A fetch is
//! running, arrived or failed, and changes once.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use compeer::{PeerId, Time};
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use super::sink::Sink;
use super::{FetchError, FetchEvent};
use crate::holding::Holding;
use crate::layout::{Layout, Segment};
use crate::limits;
use crate::manifest::Manifest;
use crate::plan::{Plan, Source};
use crate::ranges::RangeSet;
use crate::shares::Inner;
use crate::tree::GROUP;
use crate::wire::Why;

/// Events that wait for a reader that does not read; further ones are left out.
pub(super) const EVENTS: usize = 256;

/// Groups between two words on what has arrived, to those who fetch from us: 4 MiB.
const HAVE_EVERY: u64 = 256;

/// How a fetch stands.
#[derive(Clone, Debug)]
pub(crate) enum State {
    Running,
    /// Every group has arrived.
    Arrived,
    Failed(Arc<FetchError>),
}

/// Why a provider does not give a part.
#[derive(Clone)]
pub(super) struct Refusal {
    pub(super) why: Why,
    /// As in the manifest.
    pub(super) path: String,
}

/// See the module.
pub(crate) struct Job {
    pub(crate) shares: Arc<Inner>,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) layout: Arc<Layout>,
    pub(crate) sink: Sink,
    pub(super) state: watch::Sender<State>,
    pub(super) holding: Option<Arc<Holding>>,
    /// Bytes of content that are here, those of earlier runs included.
    pub(super) done: AtomicU64,
    /// Bytes of content received in this run, those that came twice or were wrong included.
    pub(super) received: Arc<AtomicU64>,
    plan: Mutex<Plan>,
    who: Mutex<BTreeMap<Source, PeerId>>,
    /// Who gave what was new.
    gave: Mutex<BTreeSet<PeerId>>,
    /// Providers that are connected.
    pub(super) connected: AtomicUsize,
    /// Bytes that the sender has hashed, while a draft waits for that.
    pub(super) hashed: AtomicU64,
    /// Providers that have a part and may come to have more.
    growing: Mutex<BTreeSet<Source>>,
    /// Segments that wait for the reader of a stream.
    pub(super) unread: AtomicUsize,
    /// Providers that are being called, or will be.
    pub(super) calling: AtomicUsize,
    /// Until when something must arrive.
    pub(super) until: Mutex<Instant>,
    /// Why the last part that was refused was.
    refusal: Mutex<Option<Refusal>>,
    /// Files of which it was told that they were changed, and at whom.
    changed: Mutex<BTreeSet<(PeerId, usize)>>,
    news: Notify,
    checkpointing: AtomicBool,
    events: mpsc::Sender<FetchEvent>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Job {
    #[allow(clippy::too_many_arguments, reason = "made in one place")]
    pub(super) fn new(
        shares: Arc<Inner>,
        manifest: Arc<Manifest>,
        layout: Arc<Layout>,
        sink: Sink,
        holding: Option<Arc<Holding>>,
        plan: Plan,
        done: u64,
        events: mpsc::Sender<FetchEvent>,
    ) -> Arc<Self> {
        let state = if plan.is_done() { State::Arrived } else { State::Running };
        Arc::new(Job {
            shares,
            manifest,
            layout,
            sink,
            state: watch::Sender::new(state),
            holding,
            done: AtomicU64::new(done),
            received: Arc::default(),
            plan: Mutex::new(plan),
            who: Mutex::default(),
            gave: Mutex::default(),
            connected: AtomicUsize::new(0),
            hashed: AtomicU64::new(0),
            growing: Mutex::default(),
            unread: AtomicUsize::new(0),
            calling: AtomicUsize::new(0),
            until: Mutex::new(Instant::now() + limits::PATIENCE),
            refusal: Mutex::default(),
            changed: Mutex::default(),
            news: Notify::new(),
            checkpointing: AtomicBool::new(false),
            events,
        })
    }

    fn now(&self) -> Time {
        self.shares.peer.clock().now()
    }

    /// Wakes when there may be something new to ask for. Taken before one looks, so that none is missed.
    pub(super) fn news(&self) -> Notified<'_> {
        self.news.notified()
    }

    pub(super) fn is_over(&self) -> bool {
        !matches!(*self.state.borrow(), State::Running)
    }

    /// Ends the fetch with an error, unless it is over already.
    pub(super) fn fail(&self, error: FetchError) {
        self.state.send_if_modified(|state| {
            let running = matches!(state, State::Running);
            if running {
                *state = State::Failed(Arc::new(error));
            }
            running
        });
        self.news.notify_waiters();
    }

    /// Tells whoever watches, if they keep up.
    pub(super) fn tell(&self, event: FetchEvent) {
        let _ = self.events.try_send(event);
    }

    /// A further provider, under a number of its own.
    pub(super) fn add(&self, source: Source, peer: PeerId, have: &RangeSet) {
        lock(&self.who).insert(source, peer);
        self.offered(source, have);
    }

    /// A provider is gone, with what it was asked for.
    pub(super) fn gone(&self, source: Source) {
        lock(&self.plan).gone(source);
        lock(&self.growing).remove(&source);
        self.news.notify_waiters();
    }

    pub(super) fn offered(&self, source: Source, have: &RangeSet) {
        lock(&self.plan).offer(source, have);
        if have.len() < self.layout.groups() {
            lock(&self.growing).insert(source);
        } else {
            lock(&self.growing).remove(&source);
        }
        self.news.notify_waiters();
    }

    /// A provider told of others. Of a draft there are none.
    pub(super) fn heard_of(&self, from: PeerId, records: &[Vec<u8>]) {
        if !self.manifest.is_draft() {
            self.shares.heard(self.manifest.id(), from, records);
        }
    }

    pub(super) fn next_want(&self, source: Source) -> Option<Range<u64>> {
        let now = self.now();
        lock(&self.plan).next(source, now)
    }

    /// Whether nobody has brought this meanwhile.
    pub(super) fn is_wanted(&self, line: &Range<u64>) -> bool {
        lock(&self.plan).is_wanted(line)
    }

    /// What nobody has brought yet of a part of the line.
    pub(super) fn missing_of(&self, line: &Range<u64>) -> RangeSet {
        lock(&self.plan).missing().clip(line)
    }

    /// Takes over what an earlier part of the same fetch has brought, for the tally.
    pub(super) fn go_on_from(&self, before: &Job) {
        self.count(before.received.load(Ordering::Relaxed));
        lock(&self.gave).extend(before.gave());
    }

    pub(super) fn count(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A verified segment is where it belongs.
    pub(super) fn arrived(&self, source: Source, segment: &Segment) {
        let now = self.now();
        let (new, done) = {
            let mut plan = lock(&self.plan);
            let new = plan.arrived(source, segment.line.clone(), now);
            (new, plan.is_done())
        };
        if !new.is_empty()
            && let Some(peer) = lock(&self.who).get(&source)
        {
            lock(&self.gave).insert(*peer);
        }
        let bytes: u64 = new.iter().map(|range| self.layout.byte_len(&range)).sum();
        self.done.fetch_add(bytes, Ordering::Relaxed);
        if let Some(holding) = &self.holding {
            // Told to those who fetch from us when there is enough of it to be worth a frame.
            let whole = segment.line.end.is_multiple_of(HAVE_EVERY) || done;
            holding.have.send_if_modified(|have| {
                if let Some(have) = have {
                    have.insert(segment.line.clone());
                }
                whole
            });
        }
        if done {
            self.state.send_if_modified(|state| {
                let running = matches!(state, State::Running);
                if running {
                    *state = State::Arrived;
                }
                running
            });
            self.news.notify_waiters();
        }
    }

    /// A segment came that another provider had brought already.
    pub(super) fn came_twice(&self, source: Source, segment: &Segment) {
        let now = self.now();
        lock(&self.plan).arrived(source, segment.line.clone(), now);
    }

    /// A provider has not got this.
    pub(super) fn lacks(&self, source: Source, segment: &Segment, why: Why) {
        lock(&self.plan).refused(source, segment.line.clone());
        let path = self.manifest.entries()[segment.file].path.clone();
        let mut refusal = lock(&self.refusal);
        // What was changed is shared anew, and the old share stopped for that.
        if why != Why::Stopped || refusal.as_ref().is_none_or(|before| before.why != Why::Changed) {
            *refusal = Some(Refusal { why, path: path.clone() });
        }
        drop(refusal);
        if why == Why::Changed
            && let Some(peer) = lock(&self.who).get(&source).copied()
            && lock(&self.changed).insert((peer, segment.file))
        {
            self.tell(FetchEvent::Changed { peer, path });
        }
        self.news.notify_waiters();
    }

    /// How long a provider is still waited for, if none is connected.
    pub(super) fn waits(&self) -> Option<Duration> {
        let alone = self.connected.load(Ordering::Relaxed) == 0 && !self.is_over();
        alone.then(|| lock(&self.until).saturating_duration_since(Instant::now()))
    }

    /// Groups that are asked for and not here yet.
    pub(super) fn window(&self) -> u64 {
        lock(&self.plan).in_flight() * GROUP
    }

    /// Whether something is missing that nobody we know has or will have.
    pub(super) fn is_hopeless(&self) -> bool {
        // The plan first: who is gone counts as being called before the plan knows that he is gone, and until it knows that
        // he is back.
        let plan = lock(&self.plan);
        self.calling.load(Ordering::Relaxed) == 0
            && lock(&self.growing).is_empty()
            && plan.in_flight() == 0
            && !plan.unavailable().is_empty()
    }

    /// Who gave what was new.
    pub(super) fn gave(&self) -> Vec<PeerId> {
        lock(&self.gave).iter().copied().collect()
    }

    /// Why the last part that was refused was.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        lock(&self.refusal).clone()
    }

    pub(super) fn missing(&self) -> RangeSet {
        lock(&self.plan).missing().clone()
    }

    /// Syncs what has arrived so far, beside the lanes.
    pub(super) fn checkpoint_due(self: &Arc<Self>) {
        if self.checkpointing.swap(true, Ordering::AcqRel) {
            return; // The next one covers this too.
        }
        let job = self.clone();
        tokio::task::spawn_blocking(move || {
            if let Sink::Disk(disk) = &job.sink
                && let Err(error) = disk.checkpoint()
            {
                job.fail(failed(error));
            }
            job.checkpointing.store(false, Ordering::Release);
        });
    }
}

/// What our own disk had to say.
pub(super) fn failed(error: io::Error) -> FetchError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FetchError::DiskFull,
        io::ErrorKind::BrokenPipe => FetchError::Unread,
        _ => FetchError::Disk(error.to_string()),
    }
}
