//! Who sends next: the lanes with something to say take turns.
//!
//! A lane gives one frame a turn and goes to the end of the queue, so a large
//! body delays a small one by a frame, not by itself. Frames are cut only while
//! the outbox has room: what is cut cannot be overtaken any more. The queue is
//! first in, first out, and so request ids rise on the wire in the order in
//! which they were handed out, and DRAIN comes after all that was started.

use super::lane::{Opening, Turn};
use super::*;

/// Stands in the queue for our DRAIN frame; no request has this id.
pub(super) const DRAIN: u64 = 0;

impl Session {
    /// Gives a lane its next message.
    pub(super) fn load(&mut self, id: u64, opening: Opening, message: Message) -> Result<(), SendError> {
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

    pub(super) fn queue(&mut self, id: u64) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        if !std::mem::replace(&mut exchange.send.queued, true) {
            self.ready.push_back(id);
        }
    }

    /// Cuts frames off the lanes in turn while the outbox has room.
    pub(super) fn pump(&mut self) {
        while self.out.has_room() {
            let Some(id) = self.ready.pop_front() else { return };
            if id == DRAIN {
                self.out.data(&Frame::Drain);
                self.drain.sent = true;
                self.check_drained();
                continue;
            }
            let send = match self.exchanges.get_mut(&id) {
                Some(exchange) => &mut exchange.send,
                None => match self.oneway.outgoing.get_mut(&id) {
                    Some(send) => send,
                    None => continue,
                },
            };
            let turn = send.turn(id, &mut self.out);
            send.queued = turn == Turn::More;
            match turn {
                Turn::More => self.ready.push_back(id),
                Turn::NoCredit => {}
                Turn::Done => self.lane_done(id),
            }
        }
    }

    fn lane_done(&mut self, id: u64) {
        if self.oneway.outgoing.remove(&id).is_some() {
            self.check_drained();
            return;
        }
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let last = exchange.last.take();
        if std::mem::take(&mut exchange.send.waited_for) {
            // Also when nothing more can be sent: who waits is to find that out.
            self.events.push_back(Event::Writable { id: RequestId(id) });
        }
        match last {
            Some(Last::Finish) => self.out.data(&Frame::Finish { id }),
            Some(Last::End(outcome)) => self.send_end(id, &outcome),
            None => {}
        }
    }
}
