//! What stands behind a link's lock: the session, the byte stream, and who
//! waits for what.
//!
//! The session's events are sorted here: those that somebody waits for go to
//! him at once (`absorb`), the others are kept for the driver. After every verb
//! `kick` sees that bytes go out, either here or by waking the driver.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use compeer_proto::Time;
use compeer_proto::session::{
    Event, GoodbyeReason, Message, Outcome, RequestId, RequestOptions, SendError, Session,
};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::Over;
use super::io::Io;
use super::one_way::OneWay;
use crate::counters::Tally;
use crate::transport::ByteStream;

/// A request of ours that somebody waits for.
#[derive(Default)]
pub(super) struct Call {
    pub(super) replies: VecDeque<Message>,
    pub(super) ended: Option<Outcome>,
    pub(super) reader: Option<Waker>,
    /// Clones of a sender may wait side by side.
    pub(super) writers: Vec<Waker>,
}

impl Call {
    /// All who wait.
    pub(super) fn wakers(&mut self) -> impl Iterator<Item = Waker> {
        self.reader.take().into_iter().chain(std::mem::take(&mut self.writers))
    }
}

/// Enters a waker among those that wait, once.
pub(super) fn wait(waiting: &mut Vec<Waker>, waker: &Waker) {
    if !waiting.iter().any(|w| w.will_wake(waker)) {
        waiting.push(waker.clone());
    }
}

/// A request of the other side that a handler serves.
#[derive(Default)]
pub(super) struct Served {
    pub(super) messages: VecDeque<Message>,
    pub(super) finished: bool,
    pub(super) reader: Option<Waker>,
    /// Clones of a responder may wait side by side.
    pub(super) writers: Vec<Waker>,
    pub(super) task: Option<AbortHandle>,
}

/// How far the driver is in letting callers go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gather {
    No,
    Wanted,
    Done,
}

pub(super) struct State {
    pub(super) session: Session,
    /// While nobody else has it: see `driving`.
    pub(super) io: Option<Io>,
    pub(super) tally: Arc<Tally>,
    pub(super) driver: Option<Waker>,
    pub(super) calls: BTreeMap<RequestId, Call>,
    pub(super) served: BTreeMap<RequestId, Served>,
    /// One-way requests of the other side.
    pub(super) one_way: OneWay,
    /// Those who wait for [`Event::Room`].
    pub(super) waiting: Vec<Waker>,
    pub(super) pings: Vec<oneshot::Sender<Duration>>,
    /// Events that the driver has to act on.
    pub(super) events: VecDeque<Event>,
    /// Goodbye was said; close when it is out, or at this time.
    pub(super) closing: Option<(Over, Time)>,
    pub(super) over: Option<Over>,
    /// The stream ended; the link is over when the events are acted on.
    pub(super) broken: Option<Over>,
    /// The driver is in its turn or runs handlers, and looks here once more before
    /// it sleeps.
    pub(super) driving: bool,
    /// Nothing is left to answer on either side: close when no stream is left.
    pub(super) drained: bool,
    /// When the driver's timer wakes it.
    pub(super) alarm: Time,
    /// Whether the driver was woken to gather what callers put in, or has just
    /// let them go first.
    pub(super) gather: Gather,
    /// Those who are to be woken when the lock is free: woken before, they
    /// would run into it on another core.
    pub(super) wakes: Vec<Waker>,
}

impl State {
    pub(super) fn new(session: Session, io: Box<dyn ByteStream>, tally: Arc<Tally>) -> Self {
        State {
            session,
            io: Some(Io::new(io)),
            tally,
            driver: None,
            calls: BTreeMap::new(),
            served: BTreeMap::new(),
            one_way: OneWay::default(),
            waiting: Vec::new(),
            pings: Vec::new(),
            events: VecDeque::new(),
            closing: None,
            over: None,
            broken: None,
            driving: false,
            drained: false,
            alarm: Time::ZERO,
            gather: Gather::No,
            wakes: Vec::new(),
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.over.is_some() || self.closing.is_some()
    }

    pub(super) fn wait(&mut self, waker: &Waker) {
        wait(&mut self.waiting, waker);
    }

    pub(super) fn goodbye(&mut self, reason: GoodbyeReason, text: &str, now: Time) {
        if self.is_closing() {
            return;
        }
        self.session.goodbye(reason, text);
        self.close(reason, text, now);
        self.kick(false);
    }

    pub(super) fn turn_away(&mut self, reason: GoodbyeReason, now: Time) {
        self.session.turn_away(reason, "");
        self.close(reason, "", now);
    }

    fn close(&mut self, reason: GoodbyeReason, text: &str, now: Time) {
        let over = Over::WeSaid(reason, text.to_owned());
        self.closing = Some((over, now + crate::limits::GOODBYE_TIMEOUT));
    }

    pub(super) fn request(
        &mut self,
        message: &Message,
        options: RequestOptions,
        now: Time,
    ) -> Result<RequestId, SendError> {
        if self.is_closing() {
            return Err(SendError::Draining);
        }
        let id = self.session.request(message.clone(), options, now)?;
        self.calls.insert(id, Call::default());
        self.tally.requests_sent.one();
        // Alone, the caller writes itself; in company, the driver gathers what
        // all of them have put in.
        self.kick(self.session.requests_in_flight() == 1);
        Ok(id)
    }

    pub(super) fn notify(&mut self, message: &Message) -> Result<(), SendError> {
        if self.is_closing() {
            return Err(SendError::Draining);
        }
        let sent = self.session.notify(message.clone());
        if sent.is_ok() {
            self.tally.requests_sent.one();
        }
        self.kick(false);
        sent
    }

    /// After a verb: sees that its bytes go out and its events are acted on.
    pub(super) fn kick(&mut self, write_here: bool) {
        self.absorb();
        self.write_or_wake(write_here);
        self.wakes.drain(..).for_each(Waker::wake);
    }

    fn write_or_wake(&mut self, write_here: bool) {
        if self.driving {
            return;
        }
        let Some(driver) = self.driver.take() else { return };
        let mut failed = false;
        if write_here && self.events.is_empty() {
            failed = matches!(self.flush(&mut Context::from_waker(&driver)), Poll::Ready(Err(_)));
            self.absorb();
        }
        // A failed write is found by the driver's own.
        if failed || self.needs_driver() {
            if !write_here && self.gather == Gather::No {
                self.gather = Gather::Wanted;
            }
            driver.wake_by_ref();
        }
        self.driver = Some(driver);
    }

    /// There is something that only the driver does. Waking it for nothing
    /// would cost a turn, and that at every reply that is read.
    fn needs_driver(&self) -> bool {
        self.session.has_output()
            || !self.events.is_empty()
            || self.closing.is_some()
            || self.session.next_timeout() < self.alarm
    }

    /// No request is under way either way, and all that was said is written.
    pub(super) fn is_idle(&self) -> bool {
        self.session.is_idle() && self.one_way.is_idle() && self.io.as_ref().is_some_and(Io::is_out)
    }

    /// Writes what there is to write; `Ready` when all of it is out.
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let State { session, io: Some(io), tally, .. } = self else { return Poll::Ready(Ok(())) };
        while io.fill(session) {
            std::task::ready!(io.write(cx, tally))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Hands the session's events to those who wait, and notes them in `wakes`;
    /// keeps the others. Whether
    /// there were any that tell of use, and not only of life.
    pub(super) fn absorb(&mut self) -> bool {
        let mut used = false;
        while let Some(event) = self.session.poll_event() {
            used |= !matches!(event, Event::Pong { .. });
            match event {
                Event::Reply { id, message } => {
                    if let Some(call) = self.calls.get_mut(&id) {
                        call.replies.push_back(message);
                        self.wakes.extend(call.reader.take());
                    }
                }
                Event::Ended { id, outcome } => {
                    if let Some(call) = self.calls.get_mut(&id) {
                        call.ended = Some(outcome);
                        self.wakes.extend(call.wakers());
                    }
                }
                Event::Message { id, message } => {
                    if let Some(served) = self.served.get_mut(&id) {
                        served.messages.push_back(message);
                        self.wakes.extend(served.reader.take());
                    }
                }
                Event::Finished { id } => {
                    if let Some(served) = self.served.get_mut(&id) {
                        served.finished = true;
                        self.wakes.extend(served.reader.take());
                    }
                }
                Event::Writable { id } => {
                    let call = self.calls.get_mut(&id).map(|call| &mut call.writers);
                    let served = self.served.get_mut(&id).map(|served| &mut served.writers);
                    self.wakes.extend(call.into_iter().chain(served).flat_map(std::mem::take));
                }
                Event::Room => self.wakes.append(&mut self.waiting),
                Event::Pong { rtt } => {
                    for ping in self.pings.drain(..) {
                        let _ = ping.send(rtt);
                    }
                }
                Event::Cancelled { id, .. } => self.stop(id),
                Event::Request { id, open, .. } => {
                    // Entered here, so that messages right behind it find it.
                    self.served.insert(id, Served { finished: !open, ..Served::default() });
                    self.events.push_back(event);
                }
                event => self.events.push_back(event),
            }
        }
        used
    }

    /// The request of the other side is over: its handler stops where it is.
    pub(super) fn stop(&mut self, id: RequestId) {
        let Some(served) = self.served.remove(&id) else { return };
        self.tally.requests_cancelled.one();
        if let Some(task) = served.task {
            task.abort();
        }
        served.reader.into_iter().chain(served.writers).for_each(Waker::wake);
    }

    /// Ends everything that waits on this link.
    pub(super) fn end_all(&mut self, over: Over) {
        self.tally.requests_cancelled.more(self.one_way.end(&over));
        self.over = Some(over);
        self.io = None;
        self.calls.values_mut().flat_map(Call::wakers).for_each(Waker::wake);
        while let Some((&id, _)) = self.served.first_key_value() {
            self.stop(id);
        }
        self.wakes.drain(..).chain(self.waiting.drain(..)).for_each(Waker::wake);
        self.pings.clear();
        self.events.clear();
    }
}
