//! Messages of a request coming in, of either side: credit, memory, delivery.
//!
//! A message is counted in the budgets when its first frame comes and given to
//! the driver when it is whole. Credit for it goes back when the driver says
//! that it was handed on, half a window at a time. A first message is not
//! consumed like that, since a handler has it until it is done: its memory is
//! free at the END, and its credit goes back at once.

use super::*;

impl Session {
    /// A reply, or a further message, was handed on: its credit may go back.
    pub fn consumed(&mut self, id: RequestId, message: &Message) {
        let cost = lane::cost(&message.kind, message.body.len());
        let Some(exchange) = self.exchanges.get_mut(&id.0) else { return };
        if exchange.cancelled {
            return;
        }
        let released = cost.min(exchange.held);
        exchange.held -= released;
        self.release(released);
        self.return_credit(id.0, cost);
        self.grant_claims();
    }

    fn return_credit(&mut self, id: u64, cost: u64) {
        let window = u64::from(self.config.hello.limits.window);
        let mine = self.config.role.owns(id);
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let more_may_come = mine || exchange.open || exchange.recv.is_partial();
        let before = exchange.recv.debt();
        let back = exchange.recv.consumed(cost, window);
        if mine {
            self.debts -= before - exchange.recv.debt();
        }
        if let Some(bytes) = back.filter(|_| more_may_come) {
            self.out.control(&Frame::Credit { id, bytes });
        }
    }

    /// REPLY or MESSAGE.
    pub(super) fn on_opening(
        &mut self,
        id: u64,
        reply: bool,
        kind: &[u8],
        len: u32,
        body: &[u8],
    ) -> Result<(), Violation> {
        let kind = Kind::new(kind).map_err(|_| Violation::Kind)?;
        if len > self.config.hello.limits.max_body {
            return Err(Violation::BodyTooLarge(len));
        }
        let Some(exchange) = self.known(id, reply)?.filter(|exchange| !exchange.is_ended()) else {
            return Ok(());
        };
        if !reply && !exchange.open {
            return Err(Violation::Order(id));
        }
        self.start_message(id, kind, len, body)
    }

    /// The first frame of a message of a live request, of either side.
    pub(super) fn start_message(
        &mut self,
        id: u64,
        kind: Kind,
        len: u32,
        body: &[u8],
    ) -> Result<(), Violation> {
        let cost = lane::cost(&kind, len as usize);
        let Some(exchange) = self.exchanges.get_mut(&id) else { return Ok(()) };
        let message = exchange.recv.start(id, kind, len, body)?;
        let claim = exchange.recv.claim();
        if self.config.role.owns(id) {
            exchange.held += cost - claim;
            exchange.recv.wait_for(claim);
            self.hold(cost - claim);
            if claim > 0 {
                self.claims.push_back(id);
                self.grant_claims();
            }
        } else if self.try_hold(cost) {
            let Some(exchange) = self.exchanges.get_mut(&id) else { return Ok(()) };
            exchange.held += cost;
            if claim > 0 {
                let bytes = exchange.recv.grant_claim();
                self.out.control(&Frame::Credit { id, bytes });
            }
        } else {
            self.stop_serving(id, &Outcome::Busy);
            return Ok(());
        }
        if let Some(message) = message {
            self.deliver(id, message);
        }
        Ok(())
    }

    pub(super) fn on_data(&mut self, id: u64, body: &[u8]) -> Result<(), Violation> {
        if self.oneway.is_unfinished(id) {
            return self.on_notify_data(id, body);
        }
        let mine = self.config.role.owns(id);
        let Some(exchange) = self.known(id, mine)?.filter(|exchange| !exchange.is_ended()) else {
            return Ok(());
        };
        let Some(message) = exchange.recv.data(id, body)? else { return Ok(()) };
        // Credit that came back meanwhile may have done what the claim was for.
        let unclaimed = exchange.recv.unheld();
        if unclaimed > 0 {
            exchange.held += unclaimed;
            exchange.recv.wait_for(0);
            self.claims.retain(|waiting| *waiting != id);
            self.hold(unclaimed);
        }
        self.deliver(id, message);
        Ok(())
    }

    pub(super) fn on_credit(&mut self, id: u64, bytes: u32) -> Result<(), Violation> {
        if id == 0 {
            self.allow_oneway(bytes);
            if std::mem::take(&mut self.wanted.credit) {
                self.events.push_back(Event::Room);
            }
            return Ok(());
        }
        let mine = self.config.role.owns(id);
        let Some(exchange) = self.known(id, mine)? else { return Ok(()) };
        exchange.send.credit(bytes);
        if exchange.send.is_busy() {
            self.queue(id);
            self.pump();
        }
        Ok(())
    }

    fn deliver(&mut self, number: u64, message: Message) {
        let id = RequestId(number);
        if self.config.role.owns(number) {
            self.events.push_back(Event::Reply { id, message });
            return;
        }
        let Some(exchange) = self.exchanges.get_mut(&number) else { return };
        let (deadline, open) = (exchange.deadline, exchange.open);
        if std::mem::replace(&mut exchange.dispatched, true) {
            self.events.push_back(Event::Message { id, message });
            return;
        }
        if open {
            self.return_credit(number, lane::cost(&message.kind, message.body.len()));
        }
        self.events.push_back(Event::Request { id, message, deadline, open });
    }
}
