//! Requests of ours: starting them, saying more, giving up, and how they end.
//!
//! A request takes one of the places that the peer offers (`max_requests` of
//! its HELLO) from [`request`](Session::request) until its END has come, also
//! when we gave up before. So neither side can be made to keep more than was
//! agreed. What comes for a request that we gave up is dropped unread, all but
//! its END.

use super::lane::Opening;
use super::*;
use crate::frame::FLAG_OPEN;

impl Session {
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
        let peer = self.may_start(&message)?;
        if self.mine >= peer.max_requests.min(limits::MAX_REQUESTS_SENT) as usize {
            self.wanted.place = true;
            return Err(SendError::Blocked);
        }
        let id = self.new_id();
        let deadline = options.timeout.map(|timeout| now + timeout);
        let flags = if options.open { FLAG_OPEN } else { 0 };
        // A timeout below a millisecond is still a deadline, so never 0.
        let timeout_ms =
            options.timeout.map_or(0, |t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX).max(1));
        let mut exchange =
            Exchange::new(peer.window, self.config.hello.limits.window, deadline, options.open);
        exchange.send.load(Opening::Request { flags, timeout_ms }, message);
        self.exchanges.insert(id, Box::new(exchange));
        self.mine += 1;
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id));
        }
        self.queue(id);
        self.pump();
        Ok(RequestId(id))
    }

    /// Sends a further message of an open request of ours.
    ///
    /// # Errors
    /// [`SendError::Blocked`] while the one before it is not out, then
    /// [`Event::Writable`] follows, or [`Event::Ended`] if the request ends
    /// first; [`SendError::Over`], [`SendError::TooLarge`].
    pub fn send(&mut self, id: RequestId, message: Message) -> Result<(), SendError> {
        self.check_size(&message)?;
        let Some(exchange) = self.exchanges.get(&id.0) else { return Err(SendError::Over) };
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

    /// Gives up a request of ours. No further event names it.
    pub fn cancel(&mut self, id: RequestId, now: Time) {
        if self.config.role.owns(id.0) {
            self.give_up(id.0, now);
        }
    }

    /// Checks that a request, one-way or not, may be started with this message.
    pub(super) fn may_start(&self, message: &Message) -> Result<PeerLimits, SendError> {
        let peer = self.peer.ok_or(SendError::NotReady)?;
        if self.is_draining() {
            return Err(SendError::Draining);
        }
        self.check_size(message)?;
        Ok(peer)
    }

    pub(super) fn new_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 2;
        id
    }

    /// The deadline of a request of ours has passed.
    pub(super) fn too_late(&mut self, id: u64, now: Time) {
        self.events.push_back(Event::Ended { id: RequestId(id), outcome: Outcome::TimedOut });
        self.give_up(id, now);
    }

    pub(super) fn on_end(&mut self, id: u64, outcome: Outcome) -> Result<(), Violation> {
        self.known(id, true)?;
        // A second END cannot be told from one that crossed, and is harmless.
        let Some(exchange) = self.exchanges.get(&id) else { return Ok(()) };
        if !exchange.cancelled {
            self.events.push_back(Event::Ended { id: RequestId(id), outcome });
        }
        self.forget(id);
        Ok(())
    }

    fn give_up(&mut self, id: u64, now: Time) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        if exchange.cancelled {
            return;
        }
        if exchange.send.is_unstarted_request() {
            // The peer never heard of it.
            self.forget(id);
            return;
        }
        // Only its place is kept, with nothing in it.
        let mut tombstone = Exchange::new(0, 0, None, false);
        tombstone.cancelled = true;
        let patience = now + limits::CANCEL_ANSWERED_WITHIN;
        tombstone.deadline = Some(patience);
        let given_up = std::mem::replace(&mut **exchange, tombstone);
        self.deadlines.insert((patience, id));
        if given_up.send.queued {
            self.ready.retain(|queued| *queued != id);
        }
        if let Some(deadline) = given_up.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        self.let_go(id, &given_up.recv, given_up.held);
        self.out.data(&Frame::Cancel { id });
    }
}
