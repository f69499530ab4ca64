//! Requests of the peer: receiving them, replying, and ending them.
//!
//! Each gets exactly one END, which is also the last frame for it: at the word
//! of the driver, when the caller cancels, when its deadline passes, or when
//! there is no memory for it. The place it took is free again when its END is
//! on its way, so who sends requests and reads no ENDs soon breaks the limit.

use super::lane::Opening;
use super::*;

impl Session {
    /// Replies to a request of the peer.
    ///
    /// # Errors
    /// [`SendError::Blocked`] while the reply before it is not out, then
    /// [`Event::Writable`] follows, or [`Event::Cancelled`] if the request ends
    /// first; [`SendError::Over`], [`SendError::TooLarge`].
    pub fn reply(&mut self, id: RequestId, message: Message) -> Result<(), SendError> {
        self.check_size(&message)?;
        let Some(exchange) = self.exchanges.get(&id.0) else { return Err(SendError::Over) };
        if self.config.role.owns(id.0) || !exchange.dispatched || exchange.last.is_some() {
            return Err(SendError::Over);
        }
        self.load(id.0, Opening::Reply, message)
    }

    /// Ends a request of the peer, after the replies sent so far. No further
    /// event names it, but for [`Event::Writable`] if a reply was blocked.
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

    pub(super) fn on_request(
        &mut self,
        id: u64,
        open: bool,
        deadline: Option<Time>,
        kind: Kind,
        len: u32,
        body: &[u8],
    ) -> Result<(), Violation> {
        let ours = self.config.hello.limits;
        if self.theirs + self.out.ends() >= ours.max_requests as usize {
            return Err(Violation::TooManyRequests);
        }
        let peer_window = self.peer.map_or(limits::MIN_WINDOW, |p| p.window);
        let exchange = Exchange::new(peer_window, ours.window, deadline, open);
        self.exchanges.insert(id, Box::new(exchange));
        self.theirs += 1;
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id));
        }
        self.start_message(id, kind, len, body)
    }

    pub(super) fn on_finish(&mut self, id: u64) -> Result<(), Violation> {
        let Some(exchange) = self.known(id, false)? else { return Ok(()) };
        if exchange.is_ended() {
            return Ok(());
        }
        if exchange.recv.is_partial() || !std::mem::take(&mut exchange.open) {
            return Err(Violation::Order(id));
        }
        self.events.push_back(Event::Finished { id: RequestId(id) });
        Ok(())
    }

    pub(super) fn on_cancel(&mut self, id: u64) -> Result<(), Violation> {
        if self.known(id, false)?.is_some() {
            self.stop_serving(id, &Outcome::Cancelled);
        }
        Ok(())
    }

    /// Ends a request of the peer at once, dropping a reply half sent.
    pub(super) fn stop_serving(&mut self, id: u64, outcome: &Outcome) {
        let Some(exchange) = self.exchanges.get(&id) else { return };
        if exchange.is_ended() {
            if exchange.send.waited_for {
                self.events.push_back(Event::Writable { id: RequestId(id) });
            }
        } else if exchange.dispatched {
            self.events.push_back(Event::Cancelled { id: RequestId(id), outcome: outcome.clone() });
        }
        self.send_end(id, outcome);
    }

    pub(super) fn send_end(&mut self, id: u64, outcome: &Outcome) {
        // A peer that is slow to read is told how it ended, not why.
        let slow = self.out.backlog() > limits::OUTBOX_WORDS;
        let text = if slow { "" } else { cut(outcome.text()) };
        self.out.end(&Frame::End { id, status: outcome.status(), text: text.as_bytes() });
        self.forget(id);
    }
}
