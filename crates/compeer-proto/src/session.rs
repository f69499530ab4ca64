//! The session: the state machine of one connection.
//!
//! It turns verbs of the program (request, reply, cancel …) and bytes of the
//! other side into bytes to send and [`Event`]s. It is pure: no socket, no
//! clock, no randomness (DESIGN §4.4, §4.9). The call contract is quinn's
//! *mutate, then drain*: after any call that takes `&mut self` and may change
//! something, the driver
//!
//! 1. takes [`poll_event`](Session::poll_event) until it is empty,
//! 2. writes [`transmit`](Session::transmit) until it is empty, telling
//!    [`advance`](Session::advance) what the socket took,
//! 3. sets its timer to [`next_timeout`](Session::next_timeout), calling
//!    [`handle_timeout`](Session::handle_timeout) when it fires, after having
//!    read what there was to read.
//!
//! Rules it keeps: every request gets exactly one END, unless it was one-way;
//! a body is cut into frames that take turns with those of other requests, and
//! control frames go first; each direction of a request has a window of its
//! own, so a slow reader holds up only itself; a breach of the rules is a
//! [`Violation`] and the driver closes. A request runs at most once: the
//! session never sends one twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::frame::{self, FLAG_NO_REPLY, FLAG_OPEN, Frame, Hello, PeerLimits};
use crate::{Kind, Time, limits};

mod config;
mod event;
mod lane;
mod liveness;
mod outbox;
mod receive;
#[cfg(test)]
mod tests;

pub use config::{Budget, Config, Role};
pub use event::{Event, GoodbyeReason, Message, Outcome, Violation};

use lane::{Opening, Partial, RecvLane, SendLane, Turn};
use liveness::Liveness;
use outbox::Outbox;

/// Names a request within its session; both sides use the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(crate) u64);

impl RequestId {
    /// The number on the wire.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// Why something could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Wait for [`Event::Writable`] or [`Event::Room`] and try again.
    #[error("no room now; wait")]
    Blocked,
    /// The body is beyond what the peer takes.
    #[error("a body of {len} bytes is beyond the {max} that the peer takes; use a stream")]
    TooLarge {
        /// Its length.
        len: usize,
        /// The peer's limit.
        max: usize,
    },
    /// HELLO has not come yet.
    #[error("the peer has not introduced itself yet")]
    NotReady,
    /// This connection starts no new requests.
    #[error("this connection is being closed")]
    Draining,
    /// The request is over, or was not open for this.
    #[error("the request is over")]
    Over,
}

/// How a request is to be started.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestOptions {
    /// Give up after this long; `None`: never.
    pub timeout: Option<Duration>,
    /// Further messages will follow, then [`Session::finish`].
    pub open: bool,
}

/// A request in flight, of either side.
#[derive(Debug)]
struct Exchange {
    send: SendLane,
    recv: RecvLane,
    deadline: Option<Time>,
    /// Received bytes held for it, counted in the budgets.
    held: u64,
    /// The caller may still send messages.
    open: bool,
    /// The first message was given to the driver (requests of the peer).
    dispatched: bool,
    /// We cancelled; wait for END and ignore all else (requests of ours).
    cancelled: bool,
    /// What goes when the pending message is out.
    last: Option<Last>,
}

#[derive(Debug)]
enum Last {
    Finish,
    End(Outcome),
}

/// The state machine of one connection. See the [module](self) for the contract.
#[derive(Debug)]
pub struct Session {
    config: Config,
    peer: Option<PeerLimits>,
    out: Outbox,
    inbuf: Vec<u8>,
    events: VecDeque<Event>,
    exchanges: BTreeMap<u64, Exchange>,
    /// Lanes with a frame to send, taking turns.
    ready: VecDeque<u64>,
    /// Lanes whose claim waits for budget.
    claims: VecDeque<u64>,
    /// Unfinished one-way requests of the peer.
    notifies: BTreeMap<u64, Partial>,
    /// Unfinished one-way requests of ours.
    outgoing_notifies: BTreeMap<u64, SendLane>,
    deadlines: BTreeSet<(Time, u64)>,
    next_id: u64,
    last_peer_id: u64,
    next_stream: u64,
    mine: usize,
    theirs: usize,
    held: u64,
    /// What we may still send of one-way requests.
    notify_allowance: u64,
    /// What the peer may still send of them.
    peer_notify_allowance: u64,
    notify_unreturned: u64,
    room_wanted: bool,
    draining: bool,
    peer_drains: bool,
    drained: bool,
    liveness: Liveness,
}

impl Session {
    /// A session that has its HELLO ready to send.
    pub fn new(config: Config, now: Time) -> Self {
        let mut out = Outbox::default();
        out.control(&Frame::Hello(config.hello.clone()));
        let first = match config.role {
            Role::Dialer => 2,
            Role::Acceptor => 1,
        };
        let liveness = Liveness::new(config.ping_after, config.pong_within, now);
        Session {
            peer: None,
            out,
            inbuf: Vec::new(),
            events: VecDeque::new(),
            exchanges: BTreeMap::new(),
            ready: VecDeque::new(),
            claims: VecDeque::new(),
            notifies: BTreeMap::new(),
            outgoing_notifies: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            next_id: first,
            last_peer_id: 0,
            next_stream: first,
            mine: 0,
            theirs: 0,
            held: 0,
            notify_allowance: 0,
            peer_notify_allowance: u64::from(config.hello.limits.notify_window),
            notify_unreturned: 0,
            room_wanted: false,
            draining: false,
            peer_drains: false,
            drained: false,
            liveness,
            config,
        }
    }

    /// Starts a request.
    ///
    /// # Errors
    /// [`SendError::Blocked`] while the peer serves as many as it takes, then
    /// [`Event::Room`] follows; [`SendError::TooLarge`], [`SendError::NotReady`],
    /// [`SendError::Draining`].
    pub fn request(
        &mut self,
        message: Message,
        options: RequestOptions,
        now: Time,
    ) -> Result<RequestId, SendError> {
        let peer = self.ready_to_send(&message)?;
        if self.mine >= peer.max_requests as usize {
            self.room_wanted = true;
            return Err(SendError::Blocked);
        }
        let id = self.new_id();
        let deadline = options.timeout.map(|timeout| now + timeout);
        let flags = if options.open { FLAG_OPEN } else { 0 };
        // A timeout below a millisecond is still a deadline, so never 0.
        let timeout_ms = options.timeout.map_or(0, |t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX).max(1));
        let mut exchange = Exchange {
            send: SendLane::new(u64::from(peer.window)),
            recv: RecvLane::new(u64::from(self.config.hello.limits.window)),
            deadline,
            held: 0,
            open: options.open,
            dispatched: false,
            cancelled: false,
            last: None,
        };
        exchange.send.load(Opening::Request { flags, timeout_ms }, message);
        self.exchanges.insert(id, exchange);
        self.mine += 1;
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id));
        }
        self.queue(id);
        self.pump();
        Ok(RequestId(id))
    }

    /// Sends a one-way request: no reply, no end, and no word if it is lost
    /// with the connection.
    ///
    /// # Errors
    /// As [`request`](Self::request); `Blocked` while the peer has not handled
    /// enough of those before.
    pub fn notify(&mut self, message: Message) -> Result<(), SendError> {
        self.ready_to_send(&message)?;
        let cost = lane::cost(&message.kind, message.body.len());
        // Ids rise on the wire: what was started before goes first.
        self.pump();
        if self.notify_allowance < cost || !self.out.has_room() {
            self.room_wanted = true;
            return Err(SendError::Blocked);
        }
        self.notify_allowance -= cost;
        let id = self.new_id();
        if message.body.len() <= limits::MAX_FRAME_BODY {
            let len = u32::try_from(message.body.len()).unwrap_or(u32::MAX);
            let opening = Opening::Request { flags: FLAG_NO_REPLY, timeout_ms: 0 };
            self.out.data(&lane::opening_frame(opening, id, len, message.kind.as_bytes(), &message.body));
            return Ok(());
        }
        let mut send = SendLane::new(cost);
        send.load(Opening::Request { flags: FLAG_NO_REPLY, timeout_ms: 0 }, message);
        send.queued = true;
        self.outgoing_notifies.insert(id, send);
        self.ready.push_back(id);
        self.pump();
        Ok(())
    }

    /// Sends a further message of an open request of ours.
    ///
    /// # Errors
    /// [`SendError::Blocked`] while the one before it is not out, then
    /// [`Event::Writable`] follows; [`SendError::Over`], [`SendError::TooLarge`].
    pub fn send(&mut self, id: RequestId, message: Message) -> Result<(), SendError> {
        self.check_size(&message)?;
        let Some(exchange) = self.exchanges.get_mut(&id.0) else { return Err(SendError::Over) };
        if !self.config.role.owns(id.0) || exchange.cancelled || !exchange.open {
            return Err(SendError::Over);
        }
        self.load(id.0, Opening::Message, message)
    }

    /// Says that no further messages of an open request follow.
    pub fn finish(&mut self, id: RequestId) {
        if !self.config.role.owns(id.0) {
            return;
        }
        let Some(exchange) = self.exchanges.get_mut(&id.0) else { return };
        if !std::mem::take(&mut exchange.open) || exchange.cancelled {
            return;
        }
        if exchange.send.is_busy() {
            exchange.last = Some(Last::Finish);
        } else {
            self.out.data(&Frame::Finish { id: id.0 });
        }
    }

    /// Replies to a request of the peer.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn reply(&mut self, id: RequestId, message: Message) -> Result<(), SendError> {
        self.check_size(&message)?;
        let Some(exchange) = self.exchanges.get(&id.0) else { return Err(SendError::Over) };
        if self.config.role.owns(id.0) || !exchange.dispatched || exchange.last.is_some() {
            return Err(SendError::Over);
        }
        self.load(id.0, Opening::Reply, message)
    }

    /// Ends a request of the peer, after the replies sent so far.
    pub fn end(&mut self, id: RequestId, outcome: Outcome) {
        if self.config.role.owns(id.0) {
            return;
        }
        let Some(exchange) = self.exchanges.get_mut(&id.0) else { return };
        if exchange.send.is_busy() {
            exchange.last.get_or_insert(Last::End(outcome));
        } else {
            self.send_end(id.0, &outcome);
        }
    }

    /// Gives up a request of ours. No further event names it.
    pub fn cancel(&mut self, id: RequestId, now: Time) {
        if self.config.role.owns(id.0) {
            self.cancel_mine(id.0, now);
        }
    }

    /// A reply, or a further message, was handed on: its credit may go back.
    pub fn consumed(&mut self, id: RequestId, message: &Message) {
        let window = u64::from(self.config.hello.limits.window);
        let cost = lane::cost(&message.kind, message.body.len());
        let mine = self.config.role.owns(id.0);
        let Some(exchange) = self.exchanges.get_mut(&id.0) else { return };
        let more_may_come = mine || exchange.open || exchange.recv.is_partial();
        let back = exchange.recv.consumed(cost, window);
        let released = cost.min(exchange.held);
        exchange.held -= released;
        if let Some(bytes) = back.filter(|_| more_may_come && !exchange.cancelled) {
            self.out.control(&Frame::Credit { id: id.0, bytes });
        }
        self.release(released);
    }

    /// One-way requests of this total cost were handled.
    pub fn notify_done(&mut self, cost: u64) {
        self.notify_unreturned += cost;
        self.release(cost);
        if self.notify_unreturned < u64::from(self.config.hello.limits.notify_window) / 4 {
            return;
        }
        self.peer_notify_allowance += self.notify_unreturned;
        let back = std::mem::take(&mut self.notify_unreturned);
        self.out.control(&Frame::Credit { id: 0, bytes: u32::try_from(back).unwrap_or(u32::MAX) });
    }

    /// Asks for a PONG now; [`Event::Pong`] tells the round trip.
    pub fn ping(&mut self, now: Time) {
        let nonce = self.liveness.ping(now);
        self.out.control(&Frame::Ping { nonce });
    }

    /// A fresh stream id of ours.
    pub fn new_stream_id(&mut self) -> u64 {
        let id = self.next_stream;
        self.next_stream += 2;
        id
    }

    /// Asks the side that dialled to dial a stream; gives its id.
    pub fn ask_for_stream(&mut self, kind: &Kind) -> u64 {
        let stream = self.new_stream_id();
        self.out.control(&Frame::OpenStream { stream, kind: kind.as_bytes() });
        stream
    }

    /// Says that a stream asked for will not come.
    pub fn refuse_stream(&mut self, stream: u64, text: &str) {
        self.out.control(&Frame::RefuseStream { stream, text: cut(text).as_bytes() });
    }

    /// Starts no more requests; [`Event::Drained`] comes when all is answered
    /// and the other side drains too.
    pub fn drain(&mut self) {
        if !std::mem::replace(&mut self.draining, true) {
            self.out.data(&Frame::Drain);
        }
        self.check_drained();
    }

    /// Appends the last frame; close when [`transmit`](Self::transmit) is empty.
    pub fn goodbye(&mut self, reason: GoodbyeReason, text: &str) {
        self.out.data(&Frame::Goodbye { reason: reason.code(), text: cut(text).as_bytes() });
    }

    /// The other side's HELLO has come.
    pub fn is_ready(&self) -> bool {
        self.peer.is_some()
    }

    /// No request is in flight in either direction, and nothing waits to be sent.
    pub fn is_idle(&self) -> bool {
        self.exchanges.is_empty() && self.notifies.is_empty() && self.outgoing_notifies.is_empty() && self.out.is_empty()
    }

    /// Either side has said that it starts no more requests here.
    pub fn is_draining(&self) -> bool {
        self.draining || self.peer_drains
    }

    /// The other side takes in less than it makes us answer: read no more of it
    /// until [`transmit`](Self::transmit) has gone out.
    pub fn is_backlogged(&self) -> bool {
        self.out.backlog() > limits::OUTBOX_BACKLOG
    }

    /// How many requests of ours are in flight.
    pub fn requests_in_flight(&self) -> usize {
        self.mine
    }

    /// Round trip of the last PING that was answered.
    pub fn rtt(&self) -> Option<Duration> {
        self.liveness.rtt()
    }

    /// The next event, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Bytes to write next; empty when there is nothing.
    pub fn transmit(&mut self) -> &[u8] {
        if self.out.has_room() {
            self.pump();
        }
        self.out.wire()
    }

    /// The socket took `n` bytes of [`transmit`](Self::transmit).
    pub fn advance(&mut self, n: usize) {
        self.out.advance(n);
        if self.room_wanted && self.out.has_room() {
            self.room_wanted = false;
            self.events.push_back(Event::Room);
        }
    }

    fn ready_to_send(&self, message: &Message) -> Result<PeerLimits, SendError> {
        let peer = self.peer.ok_or(SendError::NotReady)?;
        if self.is_draining() {
            return Err(SendError::Draining);
        }
        self.check_size(message)?;
        Ok(peer)
    }

    fn check_size(&self, message: &Message) -> Result<(), SendError> {
        let max = self.peer.map_or(limits::MAX_BODY, |p| p.max_body.min(limits::MAX_BODY)) as usize;
        let len = message.body.len();
        if len > max { Err(SendError::TooLarge { len, max }) } else { Ok(()) }
    }

    fn new_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 2;
        id
    }

    fn load(&mut self, id: u64, opening: Opening, message: Message) -> Result<(), SendError> {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return Err(SendError::Over) };
        if exchange.send.is_busy() {
            exchange.send.waited_for = true;
            return Err(SendError::Blocked);
        }
        exchange.send.load(opening, message);
        self.queue(id);
        self.pump();
        Ok(())
    }

    fn queue(&mut self, id: u64) {
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            if !std::mem::replace(&mut exchange.send.queued, true) {
                self.ready.push_back(id);
            }
        }
    }

    /// Cuts frames off the lanes in turn while the outbox has room.
    fn pump(&mut self) {
        while self.out.has_room() {
            let Some(id) = self.ready.pop_front() else { return };
            let Some(send) = self.lane_mut(id) else { continue };
            send.queued = false;
            // The borrow of the lane ends before the outbox is used again.
            let mut lane = std::mem::replace(send, SendLane::new(0));
            let turn = lane.turn(id, &mut self.out);
            lane.queued = turn == Turn::More;
            let told = turn == Turn::Done && std::mem::take(&mut lane.waited_for);
            if let Some(send) = self.lane_mut(id) {
                *send = lane;
            }
            match turn {
                Turn::More => self.ready.push_back(id),
                Turn::NoCredit => {}
                Turn::Done => self.lane_done(id, told),
            }
        }
    }

    fn lane_mut(&mut self, id: u64) -> Option<&mut SendLane> {
        match self.exchanges.get_mut(&id) {
            Some(exchange) => Some(&mut exchange.send),
            None => self.outgoing_notifies.get_mut(&id),
        }
    }

    fn lane_done(&mut self, id: u64, told: bool) {
        if self.outgoing_notifies.remove(&id).is_some() {
            return;
        }
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        match exchange.last.take() {
            Some(Last::Finish) => self.out.data(&Frame::Finish { id }),
            Some(Last::End(outcome)) => self.send_end(id, &outcome),
            None if told => self.events.push_back(Event::Writable { id: RequestId(id) }),
            None => {}
        }
    }

    fn send_end(&mut self, id: u64, outcome: &Outcome) {
        let text = cut(outcome.text());
        self.out.data(&Frame::End { id, status: outcome.status(), text: text.as_bytes() });
        self.forget(id);
    }

    /// Ends a request of the peer at once, dropping a reply half sent.
    fn refuse(&mut self, id: u64, outcome: &Outcome) {
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.send.abandon();
        }
        self.send_end(id, outcome);
    }

    fn cancel_mine(&mut self, id: u64, now: Time) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        if std::mem::replace(&mut exchange.cancelled, true) {
            return;
        }
        if exchange.send.is_unstarted_request() {
            // The peer never heard of it.
            self.forget(id);
            return;
        }
        exchange.send.abandon();
        exchange.last = None;
        let held = std::mem::take(&mut exchange.held);
        if let Some(deadline) = exchange.deadline.take() {
            self.deadlines.remove(&(deadline, id));
        }
        let patience = now + limits::CANCEL_ANSWERED_WITHIN;
        exchange.deadline = Some(patience);
        self.deadlines.insert((patience, id));
        self.release(held);
        self.out.data(&Frame::Cancel { id });
    }

    /// Removes a request that is over, of either side.
    fn forget(&mut self, id: u64) -> Option<Exchange> {
        let exchange = self.exchanges.remove(&id)?;
        if exchange.send.queued {
            self.ready.retain(|queued| *queued != id);
        }
        if exchange.recv.waits {
            self.claims.retain(|waiting| *waiting != id);
        }
        if let Some(deadline) = exchange.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        if self.config.role.owns(id) {
            self.mine -= 1;
            if std::mem::take(&mut self.room_wanted) {
                self.events.push_back(Event::Room);
            }
        } else {
            self.theirs -= 1;
        }
        self.release(exchange.held);
        self.check_drained();
        Some(exchange)
    }

    fn check_drained(&mut self) {
        let over = self.draining && self.peer_drains && self.exchanges.is_empty();
        if over && !std::mem::replace(&mut self.drained, true) {
            self.events.push_back(Event::Drained);
        }
    }

    fn hold(&mut self, bytes: u64) {
        self.held += bytes;
        self.config.budget.take(usize::try_from(bytes).unwrap_or(usize::MAX));
    }

    fn release(&mut self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let bytes = bytes.min(self.held);
        self.held -= bytes;
        self.config.budget.give(usize::try_from(bytes).unwrap_or(usize::MAX));
        self.grant_claims();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.config.budget.give(usize::try_from(self.held).unwrap_or(usize::MAX));
    }
}

impl Role {
    /// Whether an id is one that this side hands out.
    fn owns(self, id: u64) -> bool {
        (id % 2 == 0) == (self == Role::Dialer)
    }
}

/// Cuts words for a person to what a frame may carry, at a character boundary.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(limits::MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
