//! A run of the session written down as bytes: what proptest and the fuzzer both drive.
//!
//! [`honest`] joins two sessions and lets the bytes choose verbs, deliveries, pauses and reading
//! speed; after every step a model of what the two programs know is compared with what they are
//! told, and a monitor on the wire counts credit. In the end all is delivered and consumed, and
//! nothing may be left. [`hostile`] gives one session frames that the bytes make up.
//!
//! Only the public API is used, so that it holds for any driver. A broken promise is a panic.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use compeer_proto::frame::{Hello, PeerLimits};
use compeer_proto::session::{
    Budget, Config, Event, Message, Outcome, RequestId, RequestOptions, Role, SendError, Session,
};
use compeer_proto::{Kind, Time, limits};

#[path = "oplist/choices.rs"]
mod choices;
#[path = "oplist/hostile.rs"]
mod hostile;
#[path = "oplist/monitor.rs"]
mod monitor;

use choices::{Choices, LENGTHS, body, message};
pub(crate) use hostile::hostile;
use monitor::Monitor;

/// What travels one way within one request: lengths in order, from both ends' point of view.
#[derive(Default)]
struct Traffic {
    sent: Vec<usize>,
    received: usize,
}

impl Traffic {
    fn send(&mut self, direction: u8, id: u64, len: usize) -> Message {
        message(body(direction, id, self.sent.len() as u64, len))
    }

    fn receive(&mut self, direction: u8, id: u64, got: &Message) {
        let number = self.received;
        let len = *self.sent.get(number).expect("a message that nobody sent");
        assert!(
            got.body == body(direction, id, number as u64, len),
            "message {number} of {id} is not what was sent"
        );
        self.received += 1;
    }
}

/// What is known of one request, by the caller and by the server.
struct Talk {
    caller: usize,
    up: Traffic,
    down: Traffic,
    /// The caller may still send.
    open: bool,
    /// The caller hears of it.
    wanted: bool,
    /// The server was given it and has not ended it.
    served: bool,
    /// A send or reply answered `Blocked` and no `Writable` came yet.
    blocked: [bool; 2],
}

struct Side {
    session: Session,
    budget: Arc<Budget>,
    unread: VecDeque<(RequestId, Message)>,
    owed: u64,
    waits_for_room: bool,
    drains: bool,
    drained: bool,
}

struct World {
    now: Time,
    /// Since bytes were last all delivered.
    undelivered: Duration,
    sides: [Side; 2],
    pipes: [VecDeque<u8>; 2],
    monitor: Monitor,
    talks: BTreeMap<RequestId, Talk>,
    /// One-way requests under way: their number and length, by sender.
    one_way: [BTreeMap<u64, usize>; 2],
    one_ways: u64,
    ample: bool,
}

/// Two sessions that keep the rules.
pub(crate) fn honest(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mut world = World::new(&mut choices);
    while let Some(op) = choices.next() {
        world.op(op, &mut choices);
        world.hear();
        world.check();
    }
    world.finish();
}

impl World {
    fn new(choices: &mut Choices<'_>) -> Self {
        let now = Time::from_micros(1_000_000);
        let limit = choices.of(&[limits::PROCESS_BUDGET, 2 << 20, 300 << 10, 40 << 10]);
        let offers = [0, 1].map(|_| PeerLimits {
            max_requests: choices.of(&[1024, 1, 2, 5]),
            max_body: choices.of(&[limits::MAX_BODY, limits::MIN_WINDOW, 20_000]),
            window: choices.of(&[limits::WINDOW, limits::MIN_WINDOW, 10_001, u32::MAX]),
            notify_window: choices.of(&[limits::NOTIFY_WINDOW, limits::MIN_NOTIFY_WINDOW, u32::MAX]),
        });
        let side = |role, limits| {
            let budget = Arc::new(Budget::new(limit));
            let hello = Hello { limits, ..Hello::default() };
            let config = Config { budget: budget.clone(), ..Config::new(role, hello) };
            let session = Session::new(config, now);
            Side {
                session,
                budget,
                unread: VecDeque::new(),
                owed: 0,
                waits_for_room: false,
                drains: false,
                drained: false,
            }
        };
        World {
            now,
            undelivered: Duration::ZERO,
            sides: [side(Role::Dialer, offers[0]), side(Role::Acceptor, offers[1])],
            pipes: Default::default(),
            monitor: Monitor::new(offers),
            talks: BTreeMap::new(),
            one_way: Default::default(),
            one_ways: 0,
            ample: limit == limits::PROCESS_BUDGET,
        }
    }

    fn op(&mut self, op: u8, choices: &mut Choices<'_>) {
        let me = usize::from(op & 1);
        match op >> 1 & 15 {
            0 | 1 => self.request(me, choices),
            2 => self.notify(me, choices),
            3 => self.send(me, choices),
            4 => {
                if let Some(id) = self.pick(choices, |talk| talk.caller == me && talk.wanted) {
                    self.sides[me].session.finish(id);
                    self.talk(id).open = false;
                }
            }
            5 => {
                if let Some(id) = self.pick(choices, |talk| talk.caller == me && talk.wanted) {
                    self.sides[me].session.cancel(id, self.now);
                    self.talk(id).wanted = false;
                    self.talk(id).blocked[me] = false;
                }
            }
            6 | 7 => self.reply(me, choices),
            8 => {
                let outcome = choices.of(&[0, 0, 1, 2, 3, 5]);
                if let Some(id) = self.pick(choices, |talk| talk.caller != me && talk.served) {
                    self.sides[me].session.end(id, Outcome::from_wire(outcome, b"words"));
                    self.talk(id).served = false;
                }
            }
            9 | 10 => {
                let most = choices.of(&[1, 2, 50, 1_000, 20_000, 100_000]);
                self.deliver(me, most);
            }
            11 => self.settle(),
            12 => {
                let millis = choices.of(&[1, 30, 400, 1_500, 5_000, 40_000]);
                self.pass(Duration::from_millis(millis));
            }
            13 => {
                let count = choices.of(&[1, 2, 100]);
                self.consume(me, count);
            }
            14 => {
                let part = choices.of(&[1, 2, 5]);
                let cost = self.sides[me].owed.div_ceil(part);
                self.sides[me].owed -= cost;
                self.sides[me].session.notify_done(cost);
            }
            _ if choices.one_in(8) => {
                self.sides[me].session.drain();
                self.sides[me].drains = true;
            }
            _ if choices.one_in(2) => self.sides[me].session.ping(self.now),
            _ if me == 1 => {
                self.sides[me].session.ask_for_stream(&Kind::from_static("S"));
            }
            _ => {}
        }
    }

    fn talk(&mut self, id: RequestId) -> &mut Talk {
        self.talks.get_mut(&id).expect("a request that nobody started")
    }

    /// One of the requests for which this holds.
    fn pick(&self, choices: &mut Choices<'_>, is: impl Fn(&Talk) -> bool) -> Option<RequestId> {
        let ids: Vec<RequestId> = self.talks.iter().filter(|(_, talk)| is(talk)).map(|(id, _)| *id).collect();
        (!ids.is_empty()).then(|| choices.of(&ids))
    }

    fn request(&mut self, me: usize, choices: &mut Choices<'_>) {
        let len = choices.len();
        let open = choices.one_in(2);
        let timeout = choices.of(&[None, None, Some(1), Some(500), Some(7_000)]).map(Duration::from_millis);
        // The id is not known before, so the model follows the rule: rising by two.
        let id = self.monitor.next_id(me);
        let side = &mut self.sides[me];
        match side.session.request(message(body(0, id, 0, len)), RequestOptions { timeout, open }, self.now) {
            Ok(given) => {
                assert_eq!(given.get(), id);
                self.monitor.id_taken(me);
                let up = Traffic { sent: vec![len], received: 0 };
                let talk = Talk {
                    caller: me,
                    up,
                    down: Traffic::default(),
                    open,
                    wanted: true,
                    served: false,
                    blocked: [false; 2],
                };
                self.talks.insert(given, talk);
            }
            Err(SendError::Blocked) => side.waits_for_room = true,
            Err(SendError::Draining) => assert!(side.session.is_draining()),
            Err(SendError::NotReady) => assert!(!side.session.is_ready()),
            Err(SendError::TooLarge { max, .. }) => assert!(len > max),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn notify(&mut self, me: usize, choices: &mut Choices<'_>) {
        let len = choices.len();
        let number = self.one_ways;
        let kind = Kind::new(format!("n{number}")).expect("a short word");
        let side = &mut self.sides[me];
        match side.session.notify(Message { kind, body: body(9, number, 0, len).into() }) {
            Ok(()) => {
                self.monitor.id_taken(me);
                self.one_way[me].insert(number, len);
                self.one_ways += 1;
            }
            Err(SendError::Blocked) => side.waits_for_room = true,
            Err(SendError::Draining) => assert!(side.session.is_draining()),
            Err(SendError::NotReady) => assert!(!side.session.is_ready()),
            Err(SendError::TooLarge { max, .. }) => assert!(len > max),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn send(&mut self, me: usize, choices: &mut Choices<'_>) {
        let len = choices.len();
        let Some(id) = self.pick(choices, |talk| talk.caller == me && talk.wanted) else { return };
        let talk = self.talks.get_mut(&id).expect("just picked");
        let message = talk.up.send(0, id.get(), len);
        match self.sides[me].session.send(id, message) {
            Ok(()) => {
                assert!(talk.open);
                talk.up.sent.push(len);
            }
            Err(SendError::Blocked) => talk.blocked[me] = true,
            Err(SendError::Over) => assert!(!talk.open),
            Err(SendError::TooLarge { max, .. }) => assert!(len > max),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn reply(&mut self, me: usize, choices: &mut Choices<'_>) {
        let len = choices.len();
        let Some(id) = self.pick(choices, |talk| talk.caller != me && talk.served) else { return };
        let talk = self.talks.get_mut(&id).expect("just picked");
        let message = talk.down.send(1, id.get(), len);
        match self.sides[me].session.reply(id, message) {
            Ok(()) => talk.down.sent.push(len),
            Err(SendError::Blocked) => talk.blocked[me] = true,
            Err(SendError::TooLarge { max, .. }) => assert!(len > max),
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Takes at most so much off one side's socket and gives it to the other.
    fn deliver(&mut self, from: usize, most: usize) -> usize {
        let session = &mut self.sides[from].session;
        let wire = session.transmit();
        let n = wire.len().min(most);
        self.monitor.see(from, &wire[..n]);
        self.pipes[from].extend(&wire[..n]);
        session.advance(n);
        let arrived: Vec<u8> = self.pipes[from].drain(..).collect();
        let to = &mut self.sides[1 - from].session;
        to.receive(&arrived, self.now).expect("a violation between two honest sessions");
        self.hear();
        n
    }

    fn settle(&mut self) {
        while self.deliver(0, usize::MAX) + self.deliver(1, usize::MAX) > 0 {}
        self.undelivered = Duration::ZERO;
    }

    /// Time passes from timer to timer. Bytes may be late, but not so late that a peer is dead.
    fn pass(&mut self, mut time: Duration) {
        while time > Duration::ZERO {
            if self.undelivered >= Duration::from_secs(4) {
                self.settle();
            }
            let due = self.sides.iter().map(|side| side.session.next_timeout()).min().expect("two sides");
            assert!(due > self.now, "a timer in the past");
            let step = (due - self.now).min(time).min(Duration::from_secs(2));
            self.now = self.now + step;
            self.undelivered += step;
            time -= step;
            for me in [0, 1] {
                self.sides[me]
                    .session
                    .handle_timeout(self.now)
                    .expect("a violation between two honest sessions");
            }
            self.hear();
        }
    }

    fn consume(&mut self, me: usize, count: usize) {
        for _ in 0..count {
            let side = &mut self.sides[me];
            let Some((id, message)) = side.unread.pop_front() else { return };
            side.session.consumed(id, &message);
        }
    }

    /// What both sides are told must be what the model expects.
    fn hear(&mut self) {
        for me in [0, 1] {
            while let Some(event) = self.sides[me].session.poll_event() {
                self.event(me, event);
            }
        }
    }

    fn event(&mut self, me: usize, event: Event) {
        match event {
            Event::Request { id, message, .. } => {
                let talk = self.talk(id);
                assert!(talk.caller != me && !talk.served && talk.up.received == 0);
                talk.up.receive(0, id.get(), &message);
                talk.served = true;
            }
            Event::Message { id, message } => {
                let talk = self.talk(id);
                assert!(talk.caller != me && talk.up.received > 0);
                talk.up.receive(0, id.get(), &message);
                self.sides[me].unread.push_back((id, message));
            }
            Event::Finished { id } => {
                let talk = self.talk(id);
                assert!(!talk.open && talk.up.received == talk.up.sent.len(), "finished before all had come");
            }
            Event::Cancelled { id, outcome } => {
                assert!(matches!(outcome, Outcome::Cancelled | Outcome::TimedOut | Outcome::Busy));
                let talk = self.talk(id);
                assert!(talk.caller != me);
                (talk.served, talk.blocked[me]) = (false, false);
            }
            Event::Reply { id, message } => {
                let talk = self.talk(id);
                assert!(talk.caller == me && talk.wanted);
                talk.down.receive(1, id.get(), &message);
                self.sides[me].unread.push_back((id, message));
            }
            Event::Ended { id, outcome } => {
                let talk = self.talk(id);
                assert!(talk.caller == me && talk.wanted, "ended twice, or after it was cancelled");
                (talk.wanted, talk.open, talk.blocked[me]) = (false, false, false);
                let all = talk.down.received == talk.down.sent.len();
                assert!(outcome != Outcome::Done || all, "done, and a reply is missing");
            }
            Event::Writable { id } => self.talk(id).blocked[me] = false,
            Event::Room => self.sides[me].waits_for_room = false,
            Event::Notify { message, cost } => {
                let number: u64 = message.kind.as_str()[1..].parse().expect("a number");
                let len = self.one_way[1 - me]
                    .remove(&number)
                    .expect("a one-way request that nobody sent, or twice");
                assert!(message.body == body(9, number, 0, len));
                self.sides[me].owed += u64::from(cost);
            }
            Event::OpenStream { stream, .. } => {
                self.sides[me].session.refuse_stream(stream, &Outcome::NoHandler)
            }
            Event::Drained => {
                let side = &mut self.sides[me];
                assert!(side.drains && !side.drained && side.session.requests_in_flight() == 0);
                side.drained = true;
            }
            Event::Hello(_) | Event::Pong { .. } | Event::PeerDrains | Event::StreamRefused { .. } => {}
            other => panic!("{other:?} between two honest sessions"),
        }
    }

    fn check(&mut self) {
        for (me, side) in self.sides.iter().enumerate() {
            assert!(!side.session.is_backlogged(), "an honest pair is never backlogged");
            let windows = side.session.requests_in_flight() as u64 * self.monitor.window(me);
            let bound = windows + (limits::CONNECTION_BUDGET as u64) + u64::from(limits::MAX_BODY);
            assert!(side.budget.used() as u64 <= bound, "more is held than the limits allow");
        }
    }

    /// All is delivered, consumed, answered: then nothing may be left.
    fn finish(mut self) {
        for _ in 0.. {
            self.settle();
            let busy = self.sides.iter().any(|side| !side.unread.is_empty() || side.owed > 0);
            for me in [0, 1] {
                self.consume(me, usize::MAX);
                let owed = std::mem::take(&mut self.sides[me].owed);
                self.sides[me].session.notify_done(owed);
            }
            if busy {
                continue;
            }
            let mut ended = false;
            for (id, talk) in self.talks.iter_mut().filter(|(_, talk)| talk.served) {
                self.sides[1 - talk.caller].session.end(*id, Outcome::Done);
                (talk.served, ended) = (false, true);
            }
            if !ended {
                break;
            }
        }
        for (id, talk) in &self.talks {
            assert!(!talk.wanted, "{id:?} never ended");
            assert_eq!(talk.blocked, [false; 2], "{id:?}: nobody said that it is writable again");
        }
        let both_drain = self.sides.iter().all(|side| side.drains);
        for side in &self.sides {
            assert!(side.session.is_idle() && side.session.requests_in_flight() == 0);
            assert_eq!(side.budget.used(), 0);
            assert!(!side.waits_for_room, "nobody said that there is room");
            assert_eq!(side.drained, both_drain);
        }
        if self.ample {
            assert!(self.one_way.iter().all(BTreeMap::is_empty), "a one-way request was lost");
        }
        self.monitor.finish();
    }
}

/// Ids that ended, kept by the monitor.
type Ids = BTreeSet<u64>;
