//! Reads along on the wire and keeps the books of credit, order and endings by itself.
//!
//! It knows `docs/protocol.md` and nothing of how a session keeps its state, so that an error
//! made alike on both sides is seen here.

use std::collections::BTreeMap;

use compeer_proto::frame::{self, FLAG_NO_REPLY, Frame, PeerLimits};
use compeer_proto::limits;

use super::Ids;

/// The books of one connection.
pub(crate) struct Monitor {
    offers: [PeerLimits; 2],
    buffers: [Vec<u8>; 2],
    next_id: [u64; 2],
    last_id: [u64; 2],
    hello: [bool; 2],
    drained: [bool; 2],
    /// What the key's side may still send within the key's request.
    credit: BTreeMap<(usize, u64), u64>,
    one_way_credit: [u64; 2],
    /// Bytes that an unfinished message still lacks.
    unfinished: BTreeMap<(usize, u64), u64>,
    one_way: Ids,
    given_up: Ids,
    live: [Ids; 2],
}

impl Monitor {
    pub(crate) fn new(offers: [PeerLimits; 2]) -> Self {
        let one_way_credit = [offers[1].notify_window, offers[0].notify_window].map(u64::from);
        Monitor {
            offers,
            buffers: Default::default(),
            next_id: [2, 1],
            last_id: [0; 2],
            hello: [false; 2],
            drained: [false; 2],
            credit: BTreeMap::new(),
            one_way_credit,
            unfinished: BTreeMap::new(),
            one_way: Ids::new(),
            given_up: Ids::new(),
            live: Default::default(),
        }
    }

    /// The id that this side's next request will have.
    pub(crate) fn next_id(&self, side: usize) -> u64 {
        self.next_id[side]
    }

    pub(crate) fn id_taken(&mut self, side: usize) {
        self.next_id[side] += 2;
    }

    /// What this side lets the other send per request.
    pub(crate) fn window(&self, side: usize) -> u64 {
        u64::from(self.offers[side].window)
    }

    pub(crate) fn see(&mut self, from: usize, bytes: &[u8]) {
        let mut buffer = std::mem::take(&mut self.buffers[from]);
        buffer.extend_from_slice(bytes);
        let mut rest = &buffer[..];
        while let Some(len) = frame::frame_len(rest).expect("a length") {
            let Some((whole, after)) = rest.split_at_checked(len) else { break };
            let frame = frame::decode(whole).expect("a frame").expect("a known type");
            self.frame(from, frame);
            rest = after;
        }
        self.buffers[from] = rest.to_vec();
    }

    fn frame(&mut self, from: usize, frame: Frame<'_>) {
        assert_eq!(self.hello[from], !matches!(frame, Frame::Hello(_)), "HELLO is first and once");
        match frame {
            Frame::Hello(hello) => {
                assert_eq!(hello.limits, self.offers[from]);
                self.hello[from] = true;
            }
            Frame::Request { id, flags, len, kind, body, .. } => {
                assert!(id > self.last_id[from] && id % 2 == from as u64 && !self.drained[from]);
                self.last_id[from] = id;
                if flags & FLAG_NO_REPLY != 0 {
                    let cost = head(kind) + u64::from(len);
                    self.one_way_credit[from] =
                        self.one_way_credit[from].checked_sub(cost).expect("one-way credit");
                    assert!(body.len() == len as usize || body.len() >= limits::MIN_FRAGMENT);
                    if body.len() < len as usize {
                        self.one_way.insert(id);
                        self.unfinished.insert((from, id), u64::from(len) - body.len() as u64);
                    }
                    return;
                }
                self.live[from].insert(id);
                assert!(self.live[from].len() <= self.offers[1 - from].max_requests as usize);
                self.credit.insert((0, id), u64::from(self.offers[1].window));
                self.credit.insert((1, id), u64::from(self.offers[0].window));
                self.start(from, id, len, kind, body);
            }
            Frame::Message { id, len, kind, body } => {
                assert!(id % 2 == from as u64);
                self.start(from, id, len, kind, body);
            }
            Frame::Reply { id, len, kind, body } => {
                assert!(self.live[1 - from].contains(&id), "a reply after END");
                self.start(from, id, len, kind, body);
            }
            Frame::Data { id, body } => self.more(from, id, body),
            Frame::Finish { id } => assert!(!self.unfinished.contains_key(&(from, id))),
            Frame::Cancel { id } => {
                assert!(id <= self.last_id[from] && id % 2 == from as u64);
                self.unfinished.remove(&(from, id));
                self.given_up.insert(id);
            }
            Frame::End { id, .. } => {
                assert!(self.live[1 - from].remove(&id), "END comes once");
                self.unfinished.retain(|(_, unfinished), _| *unfinished != id);
            }
            Frame::Credit { id: 0, bytes } => self.one_way_credit[1 - from] += u64::from(bytes),
            Frame::Credit { id, bytes } => {
                assert!(bytes > 0);
                let credit = self.credit.get_mut(&(1 - from, id)).expect("credit for a request");
                *credit += u64::from(bytes);
                // What was lent for a large message is paid back, so windows never grow. What was
                // lent to a reply that END cut short meanwhile is not counted any more.
                let lent = self.unfinished.get(&(1 - from, id)).copied().unwrap_or(0);
                let within = *credit <= u64::from(self.offers[from].window) + lent;
                let over = self.given_up.contains(&id) || !self.is_live(id);
                assert!(within || over, "more credit than the window");
            }
            Frame::Drain => assert!(!std::mem::replace(&mut self.drained[from], true)),
            Frame::Goodbye { .. } => panic!("nobody says goodbye here"),
            _ => {}
        }
    }

    fn start(&mut self, from: usize, id: u64, len: u32, kind: &[u8], body: &[u8]) {
        self.spend(from, id, head(kind) + body.len() as u64);
        let lacks = u64::from(len) - body.len() as u64;
        assert!(!self.unfinished.contains_key(&(from, id)), "a message within another");
        // What crosses an END is dropped, and need not go on.
        if lacks > 0 && self.is_live(id) {
            self.unfinished.insert((from, id), lacks);
        }
    }

    fn more(&mut self, from: usize, id: u64, body: &[u8]) {
        let Some(lacks) = self.unfinished.get_mut(&(from, id)) else {
            assert!(!self.is_live(id) && !self.one_way.contains(&id));
            return;
        };
        *lacks = lacks.checked_sub(body.len() as u64).expect("no more than the message has");
        if *lacks == 0 {
            self.unfinished.remove(&(from, id));
        }
        if !self.one_way.contains(&id) {
            self.spend(from, id, body.len() as u64);
        }
    }

    fn is_live(&self, id: u64) -> bool {
        self.live[(id % 2) as usize].contains(&id)
    }

    fn spend(&mut self, from: usize, id: u64, cost: u64) {
        let credit = self.credit.get_mut(&(from, id)).expect("a request");
        *credit = credit.checked_sub(cost).expect("a window was exceeded");
    }

    /// Every request that was seen has ended, every message is whole.
    pub(crate) fn finish(&self) {
        assert!(self.live.iter().all(Ids::is_empty), "a request without END");
        assert!(self.unfinished.is_empty(), "half a message");
        assert!(self.buffers.iter().all(Vec::is_empty), "half a frame");
    }
}

fn head(kind: &[u8]) -> u64 {
    u64::from(limits::MESSAGE_OVERHEAD) + kind.len() as u64
}
