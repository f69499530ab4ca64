//! One-way requests: no reply, no END, no word if one is lost.
//!
//! All of a direction share one window. A whole message is taken off it before
//! its first frame goes, so an unfinished one never waits for credit; the
//! receiver gives back what its driver has handled. When the receiver has no
//! memory it drops the message and says nothing.

use super::lane::{Begun, Opening, Partial};
use super::*;
use crate::frame::FLAG_NO_REPLY;

/// The state of both directions.
#[derive(Debug)]
pub(super) struct OneWay {
    /// Unfinished ones of the peer.
    incoming: BTreeMap<u64, Partial>,
    /// Unfinished ones of ours.
    pub(super) outgoing: BTreeMap<u64, SendLane>,
    /// What we may still send.
    allowance: u64,
    /// What the peer may still send.
    peer_allowance: u64,
    /// Handled, and not yet given back.
    unreturned: u64,
    /// So much is worth a CREDIT.
    worth_returning: u64,
    /// Received bytes held, counted in the budgets.
    held: u64,
}

impl OneWay {
    pub(super) fn new(ours: PeerLimits) -> Self {
        let window = u64::from(ours.notify_window);
        // What is kept back must leave room for the largest message, or its
        // sender would wait for ever.
        let largest = lane::largest_cost(ours.max_body);
        OneWay {
            incoming: BTreeMap::new(),
            outgoing: BTreeMap::new(),
            allowance: 0,
            peer_allowance: window,
            unreturned: 0,
            worth_returning: (window / 4).min(window.saturating_sub(largest)).max(1),
            held: 0,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.incoming.is_empty() && self.outgoing.is_empty()
    }

    pub(super) fn is_unfinished(&self, id: u64) -> bool {
        self.incoming.contains_key(&id)
    }
}

impl Session {
    /// Sends a one-way request: no reply, no end, and no word if it is lost
    /// with the connection.
    ///
    /// # Errors
    /// As [`request`](Self::request); `Blocked` while the peer has not handled
    /// enough of those before, or the socket has not taken enough, then
    /// [`Event::Room`] follows.
    pub fn notify(&mut self, message: Message) -> Result<(), SendError> {
        self.may_start(&message)?;
        let cost = lane::cost(&message.kind, message.body.len());
        // Ids rise on the wire: what was started before goes first.
        self.pump();
        if self.oneway.allowance < cost {
            self.wanted.credit = true;
            return Err(SendError::Blocked);
        }
        if !self.out.has_room() {
            self.wanted.socket = true;
            return Err(SendError::Blocked);
        }
        self.oneway.allowance -= cost;
        let id = self.new_id();
        let opening = Opening::Request { flags: FLAG_NO_REPLY, timeout_ms: 0 };
        if message.body.len() <= limits::MAX_FRAME_BODY {
            let len = u32::try_from(message.body.len()).unwrap_or(u32::MAX);
            self.out.data(&lane::opening_frame(opening, id, len, message.kind.as_bytes(), &message.body));
            return Ok(());
        }
        let mut send = SendLane::new(cost);
        send.load(opening, message);
        send.queued = true;
        self.oneway.outgoing.insert(id, send);
        self.ready.push_back(id);
        self.pump();
        Ok(())
    }

    /// One-way requests of this total cost were handled.
    pub fn notify_done(&mut self, cost: u64) {
        let cost = cost.min(self.oneway.held);
        self.oneway.held -= cost;
        self.release(cost);
        self.give_back_oneway(cost);
        self.grant_claims();
    }

    fn give_back_oneway(&mut self, cost: u64) {
        self.oneway.unreturned += cost;
        if self.oneway.unreturned < self.oneway.worth_returning {
            return;
        }
        let bytes = u32::try_from(self.oneway.unreturned).unwrap_or(u32::MAX);
        self.oneway.unreturned -= u64::from(bytes);
        self.oneway.peer_allowance += u64::from(bytes);
        self.out.control(&Frame::Credit { id: 0, bytes });
    }

    pub(super) fn allow_oneway(&mut self, bytes: u32) {
        self.oneway.allowance = self.oneway.allowance.saturating_add(u64::from(bytes));
    }

    pub(super) fn on_notify(&mut self, id: u64, kind: Kind, len: u32, body: &[u8]) -> Result<(), Violation> {
        let cost = lane::cost(&kind, len as usize);
        let allowance = self.oneway.peer_allowance.checked_sub(cost);
        self.oneway.peer_allowance = allowance.ok_or(Violation::Credit(0))?;
        let begun = Partial::begin(id, kind, len, body)?;
        // The cut bounds how many can be unfinished at a time.
        if matches!(begun, Begun::Partial(_)) && body.len() < limits::MIN_FRAGMENT {
            return Err(Violation::Fragment);
        }
        if !self.try_hold(cost) {
            // One-way means at most once; better lost than held without bound.
            self.give_back_oneway(cost);
            return Ok(());
        }
        self.oneway.held += cost;
        match begun {
            Begun::Whole(message) => self.notified(message),
            Begun::Partial(partial) => {
                self.oneway.incoming.insert(id, partial);
            }
        }
        Ok(())
    }

    pub(super) fn on_notify_data(&mut self, id: u64, body: &[u8]) -> Result<(), Violation> {
        let Some(partial) = self.oneway.incoming.get_mut(&id) else { return Ok(()) };
        if let Some(message) = partial.push(id, body)? {
            self.oneway.incoming.remove(&id);
            self.notified(message);
            self.check_drained();
        }
        Ok(())
    }

    fn notified(&mut self, message: Message) {
        let cost = lane::cost(&message.kind, message.body.len());
        self.events.push_back(Event::Notify { message, cost: u32::try_from(cost).unwrap_or(u32::MAX) });
    }
}
