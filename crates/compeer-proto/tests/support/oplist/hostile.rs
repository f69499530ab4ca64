//! One session, its honest driver, and a peer that says whatever the bytes say.
//!
//! Nothing it says may make the session panic, break its promises to the driver, or hold more
//! than the limits allow. The driver stops reading while the session is backlogged, as drivers do.

use super::*;
use compeer_proto::frame::{self, FLAG_NO_REPLY, FLAG_OPEN, Frame};

const KINDS: [&[u8]; 5] = [b"K", b"KIND", b"", &[b'k'; 64], &[b'k'; 65]];

struct Victim {
    session: Session,
    budget: Arc<Budget>,
    now: Time,
    asked: Vec<RequestId>,
    served: Vec<RequestId>,
    unread: VecDeque<(RequestId, Message)>,
    owed: u64,
    /// Ids are told apart by their side's parity.
    mine: u64,
}

/// A session that keeps the rules and a peer that need not.
pub(crate) fn hostile(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let budget = Arc::new(Budget::new(limits::PROCESS_BUDGET));
    let role = choices.of(&[Role::Acceptor, Role::Dialer]);
    let hello = Hello {
        limits: PeerLimits { max_requests: choices.of(&[3, 1024]), ..PeerLimits::default() },
        ..Hello::default()
    };
    let now = Time::from_micros(1_000_000);
    let config = Config { budget: budget.clone(), ..Config::new(role, hello) };
    let mine = u64::from(role == Role::Acceptor);
    let mut victim = Victim {
        session: Session::new(config, now),
        budget: budget.clone(),
        now,
        asked: Vec::new(),
        served: Vec::new(),
        unread: VecDeque::new(),
        owed: 0,
        mine,
    };
    if !choices.one_in(8) {
        let window = choices.of(&[limits::WINDOW, limits::MIN_WINDOW, u32::MAX]);
        let max_requests = choices.of(&[1024, 1, u32::MAX]);
        let limits = PeerLimits { window, max_requests, ..PeerLimits::default() };
        victim.hears(&Frame::Hello(Hello { limits, ..Hello::default() }));
    }
    while let Some(op) = choices.next() {
        let alive = if op < 64 { victim.verb(op, &mut choices) } else { victim.frame(op, &mut choices) };
        victim.listen();
        victim.check();
        if !alive {
            break;
        }
    }
    drop(victim);
    assert_eq!(budget.used(), 0);
}

impl Victim {
    /// Gives it a frame; false when it has had enough.
    fn hears(&mut self, frame: &Frame<'_>) -> bool {
        let mut bytes = Vec::new();
        frame::encode(frame, &mut bytes);
        self.hears_bytes(&bytes)
    }

    fn hears_bytes(&mut self, bytes: &[u8]) -> bool {
        if self.session.is_backlogged() {
            self.write();
        }
        match self.session.receive(bytes, self.now) {
            Ok(()) => true,
            Err(violation) => {
                assert!(!violation.to_string().is_empty());
                false
            }
        }
    }

    fn frame(&mut self, op: u8, choices: &mut Choices<'_>) -> bool {
        // Mostly of the right side and not far off, so that most frames are almost right.
        let id = u64::from(choices.next().unwrap_or(0) % 16) * 2;
        let peer = id + if choices.one_in(16) { self.mine } else { 1 - self.mine };
        let own = id + if choices.one_in(16) { 1 - self.mine } else { self.mine };
        let len = choices.len() as u32;
        let part = choices
            .of(&LENGTHS)
            .min(limits::MAX_FRAME_BODY)
            .min(len as usize + usize::from(choices.one_in(32)));
        let content = vec![op; part];
        let kind = KINDS[if choices.one_in(16) { 2 } else { usize::from(op) % 2 }];
        match op % 16 {
            0..=2 => {
                let flags = choices.of(&[0, FLAG_OPEN, FLAG_NO_REPLY, 255]);
                let timeout_ms = choices.of(&[0, 1, 1_000, u64::MAX]);
                self.hears(&Frame::Request { id: peer, flags, timeout_ms, len, kind, body: &content })
            }
            3 => self.hears(&Frame::Message { id: peer, len, kind, body: &content }),
            4 => self.hears(&Frame::Reply { id: own, len, kind, body: &content }),
            5 | 6 => {
                let id = if op & 64 == 0 { peer } else { own };
                part == 0 || self.hears(&Frame::Data { id, body: &content })
            }
            7 => self.hears(&Frame::Finish { id: peer }),
            8 => self.hears(&Frame::Cancel { id: peer }),
            9 => self.hears(&Frame::End { id: own, status: op, text: &content[..part.min(3_000)] }),
            10 => {
                let bytes = choices.of(&[1, 0, 5_000, u32::MAX]);
                self.hears(&Frame::Credit { id: choices.of(&[0, peer, own]), bytes })
            }
            11 => self.hears(&Frame::Ping { nonce: id }) && self.hears(&Frame::Pong { nonce: own }),
            12 => self.hears(&Frame::OpenStream { stream: peer, kind }),
            13 => {
                self.hears(&Frame::RefuseStream { stream: own, status: 1, text: &content[..part.min(3_000)] })
            }
            14 if choices.one_in(4) => {
                self.hears(&Frame::Drain) && self.hears(&Frame::Goodbye { reason: op, text: b"" })
            }
            // Raw bytes, as they come.
            _ => {
                let n = choices.bytes.len().min(usize::from(op % 8));
                let (raw, rest) = choices.bytes.split_at(n);
                choices.bytes = rest;
                self.hears_bytes(raw)
            }
        }
    }

    /// The driver does something; false when time ran out for the peer.
    fn verb(&mut self, op: u8, choices: &mut Choices<'_>) -> bool {
        let content = || message(vec![op; LENGTHS[usize::from(op) % LENGTHS.len()]]);
        let nth = usize::from(choices.next().unwrap_or(0));
        let asked = (!self.asked.is_empty()).then(|| self.asked[nth % self.asked.len()]);
        let served = (!self.served.is_empty()).then(|| self.served[nth % self.served.len()]);
        match op % 13 {
            0 | 1 => {
                let timeout = choices.of(&[None, Some(Duration::from_secs(1))]);
                let options = RequestOptions { timeout, open: nth % 2 == 0 };
                if let Ok(id) = self.session.request(content(), options, self.now) {
                    self.asked.push(id);
                }
            }
            2 => drop(self.session.notify(content())),
            3 => drop(asked.map(|id| self.session.send(id, content()))),
            4 => drop(asked.map(|id| self.session.finish(id))),
            5 => {
                if let Some(id) = asked {
                    self.session.cancel(id, self.now);
                    self.asked.retain(|other| *other != id);
                }
            }
            6 => drop(served.map(|id| self.session.reply(id, content()))),
            7 => {
                if let Some(id) = served {
                    self.session.end(id, Outcome::Failed("w".repeat(usize::from(op) * 40)));
                    self.served.retain(|other| *other != id);
                }
            }
            8 => {
                if let Some((id, message)) = self.unread.pop_front() {
                    self.session.consumed(id, &message);
                }
            }
            9 => self.session.notify_done(std::mem::take(&mut self.owed)),
            10 => self.write(),
            11 => {
                self.now = self.now + Duration::from_millis(choices.of(&[1, 1_000, 6_000, 31_000]));
                return self.session.handle_timeout(self.now).is_ok();
            }
            _ => self.session.ping(self.now),
        }
        true
    }

    /// The socket takes all there is; it is well-formed and not more than may wait.
    fn write(&mut self) {
        let (mut wire, mut piece) = (Vec::new(), Vec::new());
        let mut rounds = 0;
        loop {
            self.session.transmit_into(&mut piece);
            if piece.is_empty() {
                break;
            }
            rounds += 1;
            if rounds == 2 {
                let most = limits::OUTBOX_BACKLOG + 2 * 1024 * limits::OUTBOX_PER_REQUEST + 64 * 1024;
                assert!(wire.len() <= 2 * most, "{} bytes waited", wire.len());
            }
            wire.extend_from_slice(&piece);
        }
        // Frames are only ever taken whole here, so they can be read as they are.
        let mut rest = &wire[..];
        while let Some(len) = frame::frame_len(rest).expect("a length") {
            frame::decode(&rest[..len]).expect("a frame");
            rest = &rest[len..];
        }
    }

    fn listen(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Request { id, .. } => {
                    assert!(!self.served.contains(&id));
                    self.served.push(id);
                }
                Event::Message { id, message } => {
                    assert!(self.served.contains(&id));
                    self.unread.push_back((id, message));
                }
                Event::Reply { id, message } => {
                    assert!(self.asked.contains(&id), "a reply to what is over");
                    self.unread.push_back((id, message));
                }
                Event::Cancelled { id, .. } => {
                    // The driver may have ended it with a reply still on its way.
                    self.served.retain(|other| *other != id);
                }
                Event::Ended { id, .. } => {
                    assert!(self.asked.contains(&id), "ended twice, or after it was cancelled");
                    self.asked.retain(|other| *other != id);
                }
                Event::Notify { cost, .. } => self.owed += u64::from(cost),
                Event::OpenStream { stream, .. } => self.session.refuse_stream(stream, &Outcome::NoHandler),
                Event::StreamRefused { why: Outcome::Failed(text), .. } | Event::Goodbye { text, .. } => {
                    assert!(text.len() <= limits::MAX_TEXT);
                }
                _ => {}
            }
        }
    }

    fn check(&self) {
        let windows = self.session.requests_in_flight() as u64 * u64::from(limits::WINDOW);
        let bound = windows + limits::CONNECTION_BUDGET as u64 + u64::from(limits::MAX_BODY);
        assert!(self.budget.used() as u64 <= bound, "more is held than the limits allow");
    }
}
