//! Two sessions joined back to back on virtual time, and one session facing
//! crafted frames. Bytes move only when a test says so, whole or in pieces.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::frame::Hello;

mod flow;
mod lifecycle;
mod memory;
mod requests;
mod violations;

/// One end of the pair, with the events it was given.
struct Side {
    session: Session,
    events: VecDeque<Event>,
}

impl Side {
    fn collect(&mut self) {
        while let Some(event) = self.session.poll_event() {
            self.events.push_back(event);
        }
    }

    fn take(&mut self) -> Vec<Event> {
        self.collect();
        self.events.drain(..).collect()
    }

    /// All that waits, as if the socket took everything.
    fn drain_wire(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let piece = self.session.transmit();
            if piece.is_empty() {
                self.collect();
                return bytes;
            }
            bytes.extend_from_slice(piece);
            let n = piece.len();
            self.session.advance(n);
        }
    }
}

struct Pair {
    a: Side,
    b: Side,
    now: Time,
    /// Nonzero: bytes arrive in pieces of random length.
    split: u64,
}

fn config(role: Role) -> Config {
    Config::new(role, Hello { agent: "test".into(), ..Hello::default() })
}

impl Pair {
    /// Two sessions that have exchanged HELLOs.
    fn new() -> Self {
        Pair::with(config(Role::Dialer), config(Role::Acceptor))
    }

    fn with(a: Config, b: Config) -> Self {
        let now = Time::from_micros(1_000_000);
        let side = |config| Side { session: Session::new(config, now), events: VecDeque::new() };
        let mut pair = Pair { a: side(a), b: side(b), now, split: 0 };
        pair.settle();
        assert!(matches!(pair.a.take()[..], [Event::Hello(_)]));
        assert!(matches!(pair.b.take()[..], [Event::Hello(_)]));
        pair
    }

    /// Moves what one side has ready; gives how much that was.
    fn deliver(&mut self, from_a: bool) -> usize {
        let (from, to) = if from_a { (&mut self.a, &mut self.b) } else { (&mut self.b, &mut self.a) };
        let piece = from.session.transmit();
        let mut n = piece.len();
        if n == 0 {
            return 0;
        }
        if self.split != 0 {
            self.split =
                self.split.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            n = n.min(1 + (self.split >> 33) as usize % 3_000);
        }
        to.session.receive(&piece[..n], self.now).expect("honest sessions keep the rules");
        from.session.advance(n);
        from.collect();
        to.collect();
        n
    }

    /// Moves bytes both ways until there are none.
    fn settle(&mut self) {
        while self.deliver(true) + self.deliver(false) > 0 {}
    }

    /// Lets time pass in one leap.
    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        for side in [&mut self.a, &mut self.b] {
            side.session.handle_timeout(self.now).expect("honest sessions keep the rules");
            side.collect();
        }
    }

    fn ask(&mut self, body: &[u8]) -> RequestId {
        self.a.session.request(message(body), RequestOptions::default(), self.now).unwrap()
    }

    fn ask_open(&mut self, body: &[u8]) -> RequestId {
        let options = RequestOptions { open: true, timeout: None };
        self.a.session.request(message(body), options, self.now).unwrap()
    }

    fn used(&self) -> (usize, usize) {
        (self.a.session.config.budget.used(), self.b.session.config.budget.used())
    }

    /// Nothing is held or in flight on either side.
    fn assert_quiet(&self) {
        for side in [&self.a.session, &self.b.session] {
            assert_eq!(side.held, 0);
            assert!(side.is_idle());
            assert!(side.ready.is_empty() && side.claims.is_empty() && side.deadlines.is_empty());
            assert_eq!((side.mine, side.theirs, side.debts), (0, 0, 0));
        }
    }
}

fn kind(name: &'static str) -> Kind {
    Kind::from_static(name)
}

fn message(body: &[u8]) -> Message {
    Message { kind: kind("TEST"), body: Bytes::copy_from_slice(body) }
}

/// A body whose bytes tell where they belong.
fn body(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(31) >> 3) as u8).collect()
}

/// The ids of the requests among the events, with their bodies.
fn requests(events: &[Event]) -> Vec<(RequestId, Bytes)> {
    let request = |event: &Event| match event {
        Event::Request { id, message, .. } => Some((*id, message.body.clone())),
        _ => None,
    };
    events.iter().filter_map(request).collect()
}

fn replies(events: &[Event]) -> Vec<Message> {
    let reply = |event: &Event| match event {
        Event::Reply { message, .. } => Some(message.clone()),
        _ => None,
    };
    events.iter().filter_map(reply).collect()
}

fn outcomes(events: &[Event]) -> Vec<Outcome> {
    let outcome = |event: &Event| match event {
        Event::Ended { outcome, .. } => Some(outcome.clone()),
        _ => None,
    };
    events.iter().filter_map(outcome).collect()
}

/// The frames in a run of whole ones, as `(type, bytes)`.
fn frames(mut wire: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some(len) = frame::frame_len(wire).unwrap() {
        frames.push((wire[2], wire[..len].to_vec()));
        wire = &wire[len..];
    }
    assert!(wire.is_empty());
    frames
}

/// One session, and a hand that writes frames to it.
struct Lone {
    side: Side,
    now: Time,
}

impl Lone {
    fn new(role: Role) -> Self {
        Lone::with(config(role))
    }

    fn with(config: Config) -> Self {
        let mut lone = Lone::silent(config);
        lone.say(&Frame::Hello(Hello::default())).unwrap();
        lone.side.drain_wire();
        lone.side.take();
        lone
    }

    /// Before the other side's HELLO.
    fn silent(config: Config) -> Self {
        let now = Time::from_micros(1_000_000);
        Lone { side: Side { session: Session::new(config, now), events: VecDeque::new() }, now }
    }

    fn say(&mut self, frame: &Frame<'_>) -> Result<(), Violation> {
        let mut bytes = Vec::new();
        frame::encode(frame, &mut bytes);
        self.side.session.receive(&bytes, self.now)
    }
}

fn request_frame(id: u64, len: u32, body: &[u8]) -> Frame<'_> {
    Frame::Request { id, flags: 0, timeout_ms: 0, len, kind: b"TEST", body }
}

fn budget(limit: usize) -> Arc<Budget> {
    Arc::new(Budget::new(limit))
}
