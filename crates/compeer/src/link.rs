//! A link: one live message connection, and what waits on it.
//!
//! The session machine, the byte stream and all who wait for something on this
//! connection stand behind one mutex; the driver takes the stream out of it to use it. There are no channels in between: a
//! caller puts its request into the session and, when nothing else is in
//! flight, writes to the socket itself; the [`driver`] task reads, hands
//! replies to those who wait, and runs handlers. The lock is never held while a
//! handler runs.
//!
//! Writes by callers poll the stream with the *driver's* waker, so that when
//! the socket is full it is the driver that is woken and goes on.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use compeer_proto::frame::Hello;
use compeer_proto::session::{
    GoodbyeReason, Message, Outcome, RequestId, RequestOptions, SendError, Session,
};
use compeer_proto::{Addr, Kind, PeerId, Time};
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

use crate::counters::Tally;
use crate::strangers::Look;
use crate::transport::Wire;
use crate::{Clock, lock};

pub(crate) mod driver;
mod io;
mod one_way;
mod over;
mod places;
mod state;

pub(crate) use over::Over;
pub(crate) use places::Of;
use places::Places;
use state::State;

/// What became of a link once both sides had introduced themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decided {
    /// It is the connection of the pair.
    Stays,
    /// Another one is.
    Drains,
}

/// One live message connection.
pub(crate) struct Link {
    /// A number of its own within the process.
    pub(crate) number: u64,
    pub(crate) peer: PeerId,
    pub(crate) addr: Option<Addr>,
    pub(crate) dialled: bool,
    /// This side dialled it in passing.
    passing: bool,
    pub(crate) binding: [u8; 32],
    pub(crate) session_id: [u8; 16],
    pub(crate) since: Time,
    pub(crate) clock: Clock,
    places: Places,
    /// Who carries it, the neighbour first; empty when nobody does.
    pub(crate) over: Vec<PeerId>,
    /// From what household it comes, that of the neighbour where others carry it.
    household: Option<IpAddr>,
    pub(crate) hello: Mutex<Option<Hello>>,
    /// What was decided about it after HELLO.
    pub(crate) decided: watch::Sender<Option<Decided>>,
    /// The word with which to close once it is drained, when this side wanted it.
    pub(crate) farewell: Mutex<Option<GoodbyeReason>>,
    used: AtomicU64,
    /// No more one-way requests can be begun, or could not a moment ago.
    one_way_full: AtomicBool,
    /// Where its peer counts.
    pub(crate) tally: Arc<Tally>,
    state: Mutex<State>,
    closed: watch::Sender<bool>,
}

impl Link {
    pub(crate) fn new(
        number: u64,
        wire: Wire,
        dialled: bool,
        session: Session,
        clock: Clock,
        tally: Arc<Tally>,
    ) -> Self {
        let now = clock.now();
        Link {
            number,
            peer: wire.peer,
            household: wire.addr.as_ref().and_then(Addr::prefix),
            addr: wire.addr,
            dialled,
            passing: false,
            binding: wire.binding,
            session_id: wire.session,
            since: now,
            clock,
            places: Places::default(),
            over: wire.over,
            hello: Mutex::new(None),
            decided: watch::Sender::new(None),
            farewell: Mutex::new(None),
            used: AtomicU64::new(now.as_micros()),
            one_way_full: AtomicBool::new(false),
            state: Mutex::new(State::new(session, wire.io, tally.clone())),
            tally,
            closed: watch::Sender::new(false),
        }
    }

    /// Becomes true when the link is over; streams die with it.
    pub(crate) fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    /// Why the link is over, once it is.
    pub(crate) fn over(&self) -> Option<Over> {
        lock(&self.state).over.clone()
    }

    /// Whether new requests can be started here.
    pub(crate) fn is_usable(&self) -> bool {
        let state = lock(&self.state);
        state.over.is_none() && state.closing.is_none() && !state.session.is_draining()
    }

    /// Goodbye was said, or it is over.
    pub(crate) fn is_closing(&self) -> bool {
        lock(&self.state).is_closing()
    }

    /// Which start of the program the other side is.
    pub(crate) fn instance(&self) -> Option<[u8; 16]> {
        lock(&self.hello).as_ref().map(|hello| hello.instance)
    }

    pub(crate) fn name(&self) -> Option<String> {
        lock(&self.hello).as_ref().and_then(|hello| hello.name().map(str::to_owned))
    }

    pub(crate) fn rtt(&self) -> Option<Duration> {
        lock(&self.state).session.rtt()
    }

    /// How long nothing was asked either way.
    pub(crate) fn unused_for(&self) -> Duration {
        if !self.is_unused(&lock(&self.state)) {
            return Duration::ZERO;
        }
        self.clock.now().since(self.used_at())
    }

    /// Whether it is missed when it has to go.
    pub(crate) fn look(&self) -> Look {
        let state = lock(&self.state);
        if state.is_closing() {
            return Look::Ends;
        }
        if state.session.is_draining() {
            return Look::Drains;
        }
        match self.is_unused(&state) {
            true => Look::Idle(self.used_at()),
            false => Look::Busy(self.used_at()),
        }
    }

    /// Nothing is under way either way.
    fn is_unused(&self, state: &State) -> bool {
        state.is_idle() && self.places.are_free()
    }

    /// What household the other side is in, if its address says so.
    pub(crate) fn prefix(&self) -> Option<IpAddr> {
        self.household
    }

    /// When something was last asked or answered.
    pub(crate) fn used_at(&self) -> Time {
        Time::from_micros(self.used.load(Ordering::Relaxed))
    }

    /// It was of use just now.
    pub(crate) fn touch(&self, now: Time) {
        self.used.store(now.as_micros(), Ordering::Relaxed);
    }

    /// Starts a request if the peer has room for one more.
    pub(crate) fn request(
        &self,
        message: &Message,
        options: RequestOptions,
        now: Time,
    ) -> Result<RequestId, SendError> {
        self.touch(now);
        lock(&self.state).request(message, options, now)
    }

    /// Starts a request as soon as the peer has room for one more.
    pub(crate) fn poll_request(
        &self,
        cx: &mut Context<'_>,
        message: &Message,
        options: RequestOptions,
    ) -> Poll<Result<RequestId, SendError>> {
        let now = self.clock.now();
        self.touch(now);
        let mut state = lock(&self.state);
        match state.request(message, options, now) {
            Err(SendError::Blocked) => {
                state.wait(cx.waker());
                Poll::Pending
            }
            started => Poll::Ready(started),
        }
    }

    /// Sends a one-way request if the peer has room for it.
    pub(crate) fn notify(&self, message: &Message) -> Result<(), SendError> {
        self.touch(self.clock.now());
        lock(&self.state).notify(message)
    }

    /// Sends a one-way request as soon as the peer has room for it.
    pub(crate) fn poll_notify(&self, cx: &mut Context<'_>, message: &Message) -> Poll<Result<(), SendError>> {
        let mut state = lock(&self.state);
        match state.notify(message) {
            Err(SendError::Blocked) => {
                state.wait(cx.waker());
                Poll::Pending
            }
            sent => Poll::Ready(sent),
        }
    }

    /// The next reply of a request of ours; after `Err` nothing more comes, and
    /// `Err(None)` means that the link broke half-way.
    pub(crate) fn poll_reply(
        &self,
        cx: &mut Context<'_>,
        id: RequestId,
    ) -> Poll<Result<Message, Option<Outcome>>> {
        let mut state = lock(&self.state);
        let over = state.over.is_some();
        let Some(call) = state.calls.get_mut(&id) else { return Poll::Ready(Err(None)) };
        if let Some(message) = call.replies.pop_front() {
            state.session.consumed(id, &message);
            state.kick(false);
            return Poll::Ready(Ok(message));
        }
        if let Some(outcome) = call.ended.take() {
            state.calls.remove(&id);
            return Poll::Ready(Err(Some(outcome)));
        }
        if over {
            state.calls.remove(&id);
            return Poll::Ready(Err(None));
        }
        call.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The first reply of a request of ours, which is over with it; otherwise
    /// as [`poll_reply`](Self::poll_reply).
    pub(crate) fn poll_only(
        &self,
        cx: &mut Context<'_>,
        id: RequestId,
    ) -> Poll<Result<Message, Option<Outcome>>> {
        let mut state = lock(&self.state);
        let over = state.over.is_some();
        let Some(call) = state.calls.get_mut(&id) else { return Poll::Ready(Err(None)) };
        let message = call.replies.pop_front();
        if message.is_none() && call.ended.is_none() && !over {
            call.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let outcome = state.calls.remove(&id).and_then(|call| call.ended);
        if outcome.is_none() && !over {
            state.session.cancel(id, self.clock.now());
            state.kick(false);
        }
        Poll::Ready(message.ok_or(outcome))
    }

    /// Sends a further message of a request of ours, or a reply.
    pub(crate) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        id: RequestId,
        reply: bool,
        message: &mut Option<Message>,
    ) -> Poll<Result<(), SendError>> {
        let Some(wanted) = message.clone() else { return Poll::Pending };
        let mut state = lock(&self.state);
        if state.is_closing() {
            let ended = state.calls.get(&id).is_none_or(|call| call.ended.is_some());
            return Poll::Ready(Err(if ended { SendError::Over } else { SendError::Draining }));
        }
        let sent = if reply { state.session.reply(id, wanted) } else { state.session.send(id, wanted) };
        match sent {
            Ok(()) => {
                *message = None;
                state.kick(!reply);
                Poll::Ready(Ok(()))
            }
            Err(SendError::Blocked) => {
                let state = &mut *state;
                let writers = if reply {
                    state.served.get_mut(&id).map(|served| &mut served.writers)
                } else {
                    state.calls.get_mut(&id).map(|call| &mut call.writers)
                };
                if let Some(writers) = writers {
                    state::wait(writers, cx.waker());
                }
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// The next further message of the caller; `None` when no more come.
    pub(crate) fn poll_message(&self, cx: &mut Context<'_>, id: RequestId) -> Poll<Option<Message>> {
        let mut state = lock(&self.state);
        let Some(served) = state.served.get_mut(&id) else { return Poll::Ready(None) };
        if let Some(message) = served.messages.pop_front() {
            state.session.consumed(id, &message);
            state.kick(false);
            return Poll::Ready(Some(message));
        }
        if served.finished {
            return Poll::Ready(None);
        }
        served.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// No further messages of a request of ours follow.
    pub(crate) fn finish(&self, id: RequestId) {
        let mut state = lock(&self.state);
        state.session.finish(id);
        state.kick(false);
    }

    /// Nobody waits for this request of ours any more.
    pub(crate) fn cancel(&self, id: RequestId) {
        let mut state = lock(&self.state);
        let Some(mut call) = state.calls.remove(&id) else { return };
        // No event will name it again: who still sends for it hears of it now.
        call.wakers().for_each(Waker::wake);
        if call.ended.is_none() {
            state.session.cancel(id, self.clock.now());
            state.kick(false);
        }
    }

    /// A handler is through with a request.
    pub(crate) fn end(&self, id: RequestId, outcome: Outcome) {
        let mut state = lock(&self.state);
        // One that was stopped meanwhile is counted already.
        if let Some(served) = state.served.remove(&id) {
            self.tally.ended(&outcome);
            // Clones of its responder may be in other tasks.
            served.reader.into_iter().chain(served.writers).for_each(Waker::wake);
        }
        state.session.end(id, outcome);
        state.kick(false);
    }

    pub(crate) fn notify_done(&self, cost: u64) {
        let mut state = lock(&self.state);
        state.session.notify_done(cost);
        state.kick(false);
    }

    /// Asks for a sign of life; gives the round trip, or an error when the link
    /// is over. Who asks while a PING is under way waits for the same answer:
    /// only that to the latest PING counts.
    pub(crate) fn ping(&self) -> oneshot::Receiver<Duration> {
        let (tx, rx) = oneshot::channel();
        let now = self.clock.now();
        let mut state = lock(&self.state);
        if state.is_closing() {
            return rx;
        }
        let under_way = !state.pings.is_empty();
        state.pings.retain(|ping| !ping.is_closed());
        state.pings.push(tx);
        if !under_way {
            state.session.ping(now);
            state.kick(true);
        }
        rx
    }

    pub(crate) fn new_stream_id(&self) -> u64 {
        lock(&self.state).session.new_stream_id()
    }

    /// Asks the other side to dial a stream; `expect` is told its id before
    /// anything can come back.
    pub(crate) fn ask_for_stream(&self, kind: &Kind, expect: impl FnOnce(u64)) -> u64 {
        let mut state = lock(&self.state);
        let id = state.session.ask_for_stream(kind);
        expect(id);
        state.kick(true);
        id
    }

    pub(crate) fn refuse_stream(&self, stream: u64, why: &Outcome) {
        let mut state = lock(&self.state);
        state.session.refuse_stream(stream, why);
        state.kick(false);
    }

    /// Starts nothing more here, and closes with `reason` when all is answered.
    pub(crate) fn drain(&self, reason: GoodbyeReason) {
        lock(&self.farewell).get_or_insert(reason);
        self.follow_drain();
    }

    /// The same because the other side wants it, which also has the last word.
    pub(crate) fn follow_drain(&self) {
        let mut state = lock(&self.state);
        state.session.drain();
        state.kick(false);
    }

    /// Both sides drain and nothing is left to answer: closes, at once or when
    /// the last of this side's streams has ended.
    fn drained(&self) {
        let mut state = lock(&self.state);
        state.drained = true;
        self.farewell(&mut state);
    }

    /// Whether the other side closed it in good order, with all that it had
    /// brought to its end.
    pub(crate) fn gave_way(&self) -> bool {
        let state = lock(&self.state);
        let orderly = [GoodbyeReason::Duplicate, GoodbyeReason::Idle];
        state.drained && matches!(&state.over, Some(Over::TheySaid(reason, _)) if orderly.contains(reason))
    }

    /// Closes with a word. What is in flight breaks.
    pub(crate) fn goodbye(&self, reason: GoodbyeReason, text: &str) {
        let now = self.clock.now();
        lock(&self.state).goodbye(reason, text, now);
    }

    /// Closes with a word instead of an introduction, before the driver runs.
    pub(crate) fn turn_away(&self, reason: GoodbyeReason) {
        let now = self.clock.now();
        lock(&self.state).turn_away(reason, now);
    }

    fn set_task(&self, id: RequestId, task: AbortHandle) {
        match lock(&self.state).served.get_mut(&id) {
            Some(served) => served.task = Some(task),
            // Cancelled before it was a task, or through already.
            None => task.abort(),
        }
    }
}

impl Link {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}
