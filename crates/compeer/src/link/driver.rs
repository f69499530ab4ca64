//! The task behind a link: reads, writes, keeps time, runs handlers.
//!
//! One turn: read what is there (a bounded amount), let time pass, write what is
//! to be written. The session is used under the lock, the stream without it. Then
//! act on the events of the turn. The next turn flushes what handlers have replied, so the
//! replies to a burst of requests leave in one write. What can wake it: bytes
//! to read, room to write, the session's next deadline, and anyone who has put
//! something into the session.

use std::any::Any;
use std::collections::VecDeque;
use std::future::Future;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, Waker};

use compeer_proto::frame::Hello;
use compeer_proto::session::{Event, GoodbyeReason, Message, Outcome, RequestId};
use compeer_proto::{Kind, Time};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::ReadBuf;
use tokio::sync::watch;
use tokio::time::Sleep;

use super::io::Io;
use super::state::Gather;
use super::{Link, Over, State, one_way};
use crate::error::Failure;
use crate::handler::Handler;
use crate::{Peer, Request};

/// Bytes read at once: one TLS record.
const READ: usize = 16 * 1024;

/// Reads in one turn before handlers run and others get a chance.
const READS_PER_TURN: usize = 4;

/// Writes in one turn, of all that has gathered each.
const WRITES_PER_TURN: usize = 8;

/// What a link needs of its owner.
pub(crate) trait Host: Send + Sync + 'static {
    /// Who serves this kind for this link's peer; an outcome when nobody does.
    fn handler(&self, link: &Arc<Link>, kind: &Kind) -> Result<(Arc<dyn Handler>, Peer), Outcome>;

    /// The other side has introduced itself.
    fn on_hello(&self, link: &Arc<Link>, hello: Hello);

    /// The other side asks us to dial a stream.
    fn on_open_stream(&self, link: &Arc<Link>, stream: u64, _: Kind) {
        link.refuse_stream(stream, &Outcome::NoHandler);
    }

    /// The other side refused a stream we asked for.
    fn on_stream_refused(&self, _: &Arc<Link>, _: u64, _: Outcome) {}

    /// The other side starts nothing more here.
    fn on_peer_drains(&self, _: &Arc<Link>) {}

    /// A handler panicked.
    fn on_panic(&self, link: &Arc<Link>, kind: Kind, text: String);

    /// Becomes true when the owner stops.
    fn down(&self) -> Option<watch::Receiver<bool>> {
        None
    }

    /// The link is over.
    fn on_over(&self, _: &Arc<Link>, _: &Over) {}
}

/// Runs a link until it is over. Whatever becomes of the task, all who wait on
/// the link are told: it may panic, or its runtime may end before it ran.
pub(crate) fn drive(link: Arc<Link>, host: Arc<dyn Host>) -> impl Future<Output = ()> + Send {
    let over = Over::Broken("its task was stopped".into());
    let mut ending = Ending { link, host, over };
    async move {
        let over = turns(&ending.link, &ending.host).await;
        ending.because(over);
    }
}

/// Ends a link when it goes.
struct Ending {
    link: Arc<Link>,
    host: Arc<dyn Host>,
    over: Over,
}

impl Ending {
    fn because(&mut self, over: Over) {
        self.over = over;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.link.state().end_all(self.over.clone());
        self.link.closed.send_replace(true);
        self.host.on_over(&self.link, &self.over);
    }
}

async fn turns(link: &Arc<Link>, host: &Arc<dyn Host>) -> Over {
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    let (mut events, mut wakes) = (VecDeque::new(), Vec::new());
    loop {
        let turn = std::future::poll_fn(|cx| {
            let turn = link.turn(cx, &mut timer, &mut events, &mut wakes);
            wakes.drain(..).for_each(Waker::wake);
            turn
        });
        if let Some(over) = turn.await {
            return over;
        }
        while let Some(event) = events.pop_front() {
            if let Some(over) = ends(&event) {
                return link.ended(over);
            }
            act(link, host, event);
        }
    }
}

impl Link {
    /// One turn; `Some` when the link is over, `None` when there are events.
    /// Gives those who are to be woken now that the lock is free.
    fn turn(
        &self,
        cx: &mut Context<'_>,
        timer: &mut Option<Pin<Box<Sleep>>>,
        events: &mut VecDeque<Event>,
        wakes: &mut Vec<Waker>,
    ) -> Poll<Option<Over>> {
        let mut state = self.state();
        // Whoever is ready to run goes first, once: what callers put in
        // meanwhile leaves in one write, and they do not meet us at the lock.
        if state.gather == Gather::Wanted {
            state.gather = Gather::Done;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        state.gather = Gather::No;
        if !state.driver.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            state.driver = Some(cx.waker().clone());
        }
        let Some(mut io) = state.io.take() else {
            return Poll::Ready(Some(Over::Broken("its stream is gone".into())));
        };
        state.driving = true;
        let (mut state, turn) = self.turn_with(state, &mut io, cx, timer);
        std::mem::swap(&mut state.wakes, wakes);
        std::mem::swap(&mut state.events, events);
        state.io = Some(io);
        state.driving = turn.is_ready();
        turn
    }

    /// The turn itself, with the stream taken out of the state.
    fn turn_with<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        io: &mut Io,
        cx: &mut Context<'_>,
        timer: &mut Option<Pin<Box<Sleep>>>,
    ) -> (MutexGuard<'a, State>, Poll<Option<Over>>) {
        loop {
            let now = self.clock.now();
            state = self.read(state, io, cx, now);
            let unread = state.session.is_backlogged();
            if now >= state.session.next_timeout()
                && let Err(violation) = state.session.handle_timeout(now)
            {
                self.tally.protocol_broken.one();
                state.goodbye(GoodbyeReason::Protocol, &violation.to_string(), now);
            }
            let flushed;
            (state, flushed) = self.write(state, io, cx);
            state.absorb();
            if let Some((over, until)) = state.closing.clone()
                && (flushed || now >= until)
            {
                io.shut_down(cx);
                return (state, Poll::Ready(Some(over)));
            }
            if !state.events.is_empty() {
                return (state, Poll::Ready(None));
            }
            // What came before the end was still meant, and is acted on first.
            if let Some(broken) = state.broken.take() {
                // Our own goodbye, though it did not get out, is the reason.
                let over = state.closing.take().map_or(broken, |(over, _)| over);
                return (state, Poll::Ready(Some(over)));
            }
            if unread && !state.session.is_backlogged() {
                // What was not read for its backlog has no waker.
                cx.waker().wake_by_ref();
            }
            let due = state.session.next_timeout();
            let due = state.closing.as_ref().map_or(due, |(_, until)| due.min(*until));
            let deadline = self.clock.instant(due);
            let sleep = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            // A timer that is early only costs a turn; moving it at every
            // request would cost more.
            if sleep.is_elapsed() || sleep.deadline() > deadline || state.alarm == Time::ZERO {
                sleep.as_mut().reset(deadline);
                state.alarm = due;
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return (state, Poll::Pending);
            }
        }
    }

    fn read<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        io: &mut Io,
        cx: &mut Context<'_>,
        now: Time,
    ) -> MutexGuard<'a, State> {
        for _ in 0..READS_PER_TURN {
            // Who reads nothing of what it makes us say is not read either, and
            // after a goodbye nothing is worth reading.
            if state.broken.is_some()
                || state.session.is_backlogged()
                || state.events.back().is_some_and(|e| ends(e).is_some())
            {
                return state;
            }
            drop(state);
            let mut space = [MaybeUninit::uninit(); READ];
            let mut buf = ReadBuf::uninit(&mut space);
            let read = io.read(cx, &mut buf);
            state = self.state();
            match read {
                Poll::Pending => return state,
                Poll::Ready(Err(error)) => state.broken = Some(self.broke(&error)),
                Poll::Ready(Ok(())) if buf.filled().is_empty() => {
                    state.broken = Some(Over::Broken("the connection ended".into()));
                }
                Poll::Ready(Ok(())) if state.closing.is_some() => {}
                Poll::Ready(Ok(())) => {
                    self.tally.bytes_received.more(buf.filled().len());
                    if let Err(violation) = state.session.receive(buf.filled(), now) {
                        self.tally.protocol_broken.one();
                        tracing::debug!(peer = %self.peer, %violation, "protocol broken");
                        state.goodbye(GoodbyeReason::Protocol, &violation.to_string(), now);
                    }
                    if state.absorb() {
                        self.touch(now);
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        state
    }

    /// Writes what there is to write; whether all of it is out.
    fn write<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        io: &mut Io,
        cx: &mut Context<'_>,
    ) -> (MutexGuard<'a, State>, bool) {
        for _ in 0..WRITES_PER_TURN {
            if !io.fill(&mut state.session) {
                return (state, true);
            }
            drop(state);
            let written = io.write(cx, &self.tally);
            state = self.state();
            match written {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    state.broken.get_or_insert_with(|| self.broke(&error));
                    return (state, false);
                }
                Poll::Pending => return (state, false),
            }
        }
        cx.waker().wake_by_ref();
        (state, false)
    }
}

/// What an event means for the link as a whole.
fn ends(event: &Event) -> Option<Over> {
    match event {
        Event::Goodbye { reason, text } => Some(Over::TheySaid(*reason, text.clone())),
        Event::Dead => Some(Over::Dead),
        _ => None,
    }
}

/// Acts on one event.
fn act(link: &Arc<Link>, host: &Arc<dyn Host>, event: Event) {
    match event {
        Event::Hello(hello) => {
            *crate::lock(&link.hello) = Some(hello.clone());
            host.on_hello(link, hello);
        }
        Event::Request { id, message, deadline, .. } => {
            let kind = message.kind;
            match begin(link, host, Some(id), message, deadline) {
                Begun::Done(outcome) => link.end(id, outcome),
                Begun::Waits(served) => {
                    let (link_of_task, host) = (link.clone(), host.clone());
                    let task = tokio::spawn(async move {
                        let outcome = finish(&link_of_task, &*host, kind, served).await;
                        link_of_task.end(id, outcome);
                    });
                    link.set_task(id, task.abort_handle());
                }
            }
        }
        Event::Notify { message, cost } => one_way::handle(link, host, message, u64::from(cost)),
        Event::OpenStream { stream, kind } => host.on_open_stream(link, stream, kind),
        Event::StreamRefused { stream, why } => host.on_stream_refused(link, stream, why),
        Event::PeerDrains => host.on_peer_drains(link),
        Event::Drained => link.drained(),
        _ => {}
    }
}

/// What came of the first poll of a handler.
pub(super) enum Begun {
    Done(Outcome),
    Waits(BoxFuture<'static, Result<(), Failure>>),
}

/// Begins the handler of one message. It is polled once in place: most handlers
/// are ready at once.
pub(super) fn begin(
    link: &Arc<Link>,
    host: &Arc<dyn Host>,
    id: Option<RequestId>,
    message: Message,
    deadline: Option<Time>,
) -> Begun {
    let kind = message.kind;
    let (handler, peer) = match host.handler(link, &kind) {
        Ok(found) => found,
        Err(outcome) => return Begun::Done(outcome),
    };
    let request = Request::new(link.clone(), peer, id, message, deadline);
    let first = catch_unwind(AssertUnwindSafe(|| {
        let mut served = handler.call(request);
        match served.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => Ok(done),
            Poll::Pending => Err(served),
        }
    }));
    let done = match first {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(served)) => return Begun::Waits(served),
        Err(panic) => Err(panic),
    };
    Begun::Done(outcome(link, &**host, kind, done))
}

/// Runs a handler that waits to its end.
pub(super) async fn finish(
    link: &Arc<Link>,
    host: &dyn Host,
    kind: Kind,
    served: BoxFuture<'static, Result<(), Failure>>,
) -> Outcome {
    let done = AssertUnwindSafe(served).catch_unwind().await;
    outcome(link, host, kind, done)
}

/// How a request ended whose handler is done, or panicked.
fn outcome(
    link: &Arc<Link>,
    host: &dyn Host,
    kind: Kind,
    done: Result<Result<(), Failure>, Box<dyn Any + Send>>,
) -> Outcome {
    match done {
        Ok(Ok(())) => Outcome::Done,
        Ok(Err(Failure(outcome))) => outcome,
        Err(panic) => {
            host.on_panic(link, kind, panic_text(&*panic));
            Outcome::Failed("the handler panicked".into())
        }
    }
}

pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "no words".to_owned(),
    }
}
