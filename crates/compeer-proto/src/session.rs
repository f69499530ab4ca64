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
//!    [`advance`](Session::advance) what the socket took, or takes it away with
//!    [`transmit_into`](Session::transmit_into) to write it beside other calls,
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

use crate::frame::{self, Frame, PeerLimits};
use crate::{Kind, Time, limits};

mod budget;
mod caller;
mod config;
mod event;
mod incoming;
mod lane;
mod liveness;
mod oneway;
mod outbox;
mod receive;
mod server;
#[cfg(test)]
mod tests;
mod turns;

pub use budget::Budget;
pub use config::{Config, Role};
pub use event::{Event, GoodbyeReason, Message, Outcome, Violation};

use lane::{RecvLane, SendLane};
use liveness::Liveness;
use oneway::OneWay;
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

impl Exchange {
    /// The driver has ended it; only a reply is still on its way.
    fn is_ended(&self) -> bool {
        matches!(self.last, Some(Last::End(_)))
    }

    /// With what the other side lets us send, and what we let it send.
    fn new(their_window: u32, our_window: u32, deadline: Option<Time>, open: bool) -> Self {
        Exchange {
            send: SendLane::new(u64::from(their_window)),
            recv: RecvLane::new(u64::from(our_window)),
            deadline,
            held: 0,
            open,
            dispatched: false,
            cancelled: false,
            last: None,
        }
    }
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
    /// What the other side takes, once its HELLO is here.
    peer: Option<PeerLimits>,
    out: Outbox,
    /// The beginning of a frame whose rest has not come.
    inbuf: Vec<u8>,
    events: VecDeque<Event>,
    /// In boxes: a map moves what it holds whenever something is removed.
    exchanges: BTreeMap<u64, Box<Exchange>>,
    /// Lanes with a frame to send, taking turns; [`turns::DRAIN`] is among them.
    ready: VecDeque<u64>,
    /// Requests of ours with a reply that waits for budget.
    claims: VecDeque<u64>,
    /// Claims granted and not yet paid back by what was consumed.
    debts: u64,
    oneway: OneWay,
    deadlines: BTreeSet<(Time, u64)>,
    next_id: u64,
    last_peer_id: u64,
    next_stream: u64,
    mine: usize,
    theirs: usize,
    /// Bytes of cost held for received messages, all of them in the budgets.
    held: u64,
    wanted: Wanted,
    drain: Drain,
    liveness: Liveness,
}

/// What requests that answered [`SendError::Blocked`] wait for.
#[derive(Debug, Default)]
struct Wanted {
    /// One of the places the peer offers.
    place: bool,
    /// Credit for one-way requests.
    credit: bool,
    /// That the socket takes what is cut.
    socket: bool,
}

/// How far the two sides have come in ending a connection in good order.
#[derive(Debug, Default)]
struct Drain {
    /// We start no more requests.
    wanted: bool,
    /// Our DRAIN is cut: all that we started is before it.
    sent: bool,
    /// The other side's DRAIN has come.
    received: bool,
    /// [`Event::Drained`] was given.
    done: bool,
}

impl Session {
    /// A session that has its HELLO ready to send.
    ///
    /// Limits in `config.hello` that no peer would accept are raised to the
    /// least, and a `max_body` beyond [`limits::MAX_BODY`] is lowered to it.
    pub fn new(mut config: Config, now: Time) -> Self {
        config.hello.limits = config.hello.limits.made_valid();
        let mut out = Outbox::default();
        out.control(&Frame::Hello(config.hello.clone()));
        let first = match config.role {
            Role::Dialer => 2,
            Role::Acceptor => 1,
        };
        Session {
            peer: None,
            out,
            inbuf: Vec::new(),
            events: VecDeque::new(),
            exchanges: BTreeMap::new(),
            ready: VecDeque::new(),
            claims: VecDeque::new(),
            debts: 0,
            oneway: OneWay::new(config.hello.limits),
            deadlines: BTreeSet::new(),
            next_id: first,
            last_peer_id: 0,
            next_stream: first,
            mine: 0,
            theirs: 0,
            held: 0,
            wanted: Wanted::default(),
            drain: Drain::default(),
            liveness: Liveness::new(config.ping_after, config.pong_within, now),
            config,
        }
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

    /// Says that a stream asked for will not come, and why.
    pub fn refuse_stream(&mut self, stream: u64, why: &Outcome) {
        let text = cut(why.text()).as_bytes();
        self.out.control(&Frame::RefuseStream { stream, status: why.status(), text });
    }

    /// Starts no more requests; [`Event::Drained`] comes when all is answered
    /// and the other side drains too.
    pub fn drain(&mut self) {
        if std::mem::replace(&mut self.drain.wanted, true) {
            return;
        }
        // Behind all that was started: the other side may close once it has it.
        self.ready.push_back(turns::DRAIN);
        self.wake_all();
        self.pump();
    }

    /// Appends the last frame; close when [`transmit`](Self::transmit) is empty.
    pub fn goodbye(&mut self, reason: GoodbyeReason, text: &str) {
        self.out.data(&Frame::Goodbye { reason: reason.code(), text: cut(text).as_bytes() });
    }

    /// Says goodbye instead of HELLO, before anything was transmitted: the
    /// other side is turned away and learns nothing but the reason.
    pub fn turn_away(&mut self, reason: GoodbyeReason, text: &str) {
        self.out = Outbox::default();
        self.goodbye(reason, text);
    }

    /// The other side's HELLO has come.
    pub fn is_ready(&self) -> bool {
        self.peer.is_some()
    }

    /// No request is in flight in either direction, and nothing waits to be sent.
    pub fn is_idle(&self) -> bool {
        self.exchanges.is_empty() && self.oneway.is_idle() && self.out.is_empty()
    }

    /// There is something to [`transmit`](Self::transmit).
    pub fn has_output(&self) -> bool {
        !self.out.is_empty()
    }

    /// Either side has said that it starts no more requests here.
    pub fn is_draining(&self) -> bool {
        self.drain.wanted || self.drain.received
    }

    /// The other side takes in less than it makes us answer: read no more of it
    /// until [`transmit`](Self::transmit) has gone out.
    ///
    /// Two honest sides are never both in this state, whatever they do: what
    /// can wait beside data is bounded by the requests in flight.
    pub fn is_backlogged(&self) -> bool {
        let in_flight = self.mine + self.theirs + self.out.ends();
        self.out.backlog() > limits::OUTBOX_BACKLOG + in_flight * limits::OUTBOX_PER_REQUEST
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
        self.pump();
        self.out.wire()
    }

    /// The socket took `n` bytes of [`transmit`](Self::transmit).
    pub fn advance(&mut self, n: usize) {
        self.out.advance(n);
        self.check_room();
    }

    /// The same bytes to take away, in `buf` in place of what it held: for who
    /// writes them while others use the session. They are to be out before the
    /// next are asked for.
    pub fn transmit_into(&mut self, buf: &mut Vec<u8>) {
        self.pump();
        self.out.take_wire(buf);
        self.check_room();
    }

    fn check_room(&mut self) {
        if self.out.has_room() && std::mem::take(&mut self.wanted.socket) {
            self.events.push_back(Event::Room);
        }
    }

    fn check_size(&self, message: &Message) -> Result<(), SendError> {
        let max = self.peer.map_or(limits::MAX_BODY, |p| p.max_body.min(limits::MAX_BODY)) as usize;
        let len = message.body.len();
        if len > max { Err(SendError::TooLarge { len, max }) } else { Ok(()) }
    }

    /// Whoever was told to wait is to find out that no request starts any more.
    fn wake_all(&mut self) {
        let Wanted { place, credit, socket } = std::mem::take(&mut self.wanted);
        if place || credit || socket {
            self.events.push_back(Event::Room);
        }
    }

    /// Removes a request that is over, of either side.
    fn forget(&mut self, id: u64) {
        let Some(exchange) = self.exchanges.remove(&id) else { return };
        // Not left for the turn to find: a peer that reads nothing would make
        // the queue grow, since then no turn comes.
        if exchange.send.queued {
            self.ready.retain(|queued| *queued != id);
        }
        if let Some(deadline) = exchange.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        let mine = self.config.role.owns(id);
        self.let_go(id, &exchange.recv, exchange.held);
        if mine {
            self.mine -= 1;
            if std::mem::take(&mut self.wanted.place) {
                self.events.push_back(Event::Room);
            }
        } else {
            self.theirs -= 1;
        }
        self.check_drained();
    }

    fn check_drained(&mut self) {
        let agreed = self.drain.sent && self.drain.received;
        let over = agreed && self.exchanges.is_empty() && self.oneway.is_idle();
        if over && !std::mem::replace(&mut self.drain.done, true) {
            self.events.push_back(Event::Drained);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.config.budget.give(self.held);
    }
}

impl Role {
    /// Whether an id is one that this side hands out.
    fn owns(self, id: u64) -> bool {
        id.is_multiple_of(2) == (self == Role::Dialer)
    }
}

/// Cuts words for a person to what a frame may carry, at a character boundary.
fn cut(text: &str) -> &str {
    frame::cut_text(text, limits::MAX_TEXT)
}

/// Words of the other side, for a person.
fn words(text: &[u8]) -> String {
    cut(&String::from_utf8_lossy(text)).to_owned()
}
