//! What comes in: bytes, and the passing of time.
//!
//! Each frame type has one method. A frame for a request that is already over
//! is not an error, since it may have crossed our END or CANCEL; a frame for a
//! request that never was is.

use super::lane::Begun;
use super::liveness::Due;
use super::*;

impl Session {
    /// Takes bytes of the other side.
    ///
    /// # Errors
    /// The other side broke the protocol: say so with
    /// [`goodbye`](Session::goodbye) and close.
    pub fn receive(&mut self, mut bytes: &[u8], now: Time) -> Result<(), Violation> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.liveness.heard(now);
        while !self.inbuf.is_empty() && !bytes.is_empty() {
            let want = frame::frame_len(&self.inbuf)?.unwrap_or(2);
            let (now_in, rest) = bytes.split_at(bytes.len().min(want - self.inbuf.len()));
            self.inbuf.extend_from_slice(now_in);
            bytes = rest;
            if frame::frame_len(&self.inbuf)? == Some(self.inbuf.len()) {
                let whole = std::mem::take(&mut self.inbuf);
                self.frame(&whole, now)?;
            }
        }
        while let Some(len) = frame::frame_len(bytes)? {
            let Some((whole, rest)) = bytes.split_at_checked(len) else { break };
            self.frame(whole, now)?;
            bytes = rest;
        }
        self.inbuf.extend_from_slice(bytes);
        Ok(())
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next due.
    pub fn next_timeout(&self) -> Time {
        let silence = self.liveness.next_timeout();
        self.deadlines.first().map_or(silence, |(deadline, _)| silence.min(*deadline))
    }

    /// Lets time pass: deadlines end requests, silence asks for a PING, and
    /// more silence is [`Event::Dead`].
    ///
    /// # Errors
    /// The other side did not answer a CANCEL.
    pub fn handle_timeout(&mut self, now: Time) -> Result<(), Violation> {
        while let Some(&(deadline, id)) = self.deadlines.first() {
            if deadline > now {
                break;
            }
            self.deadlines.pop_first();
            self.deadline(id, now)?;
        }
        match self.liveness.due(now) {
            Due::Nothing => {}
            Due::Ping => {
                self.out.shrink();
                self.ping(now);
            }
            Due::Dead => self.events.push_back(Event::Dead),
        }
        Ok(())
    }

    fn deadline(&mut self, id: u64, now: Time) -> Result<(), Violation> {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return Ok(()) };
        exchange.deadline = None;
        if self.config.role.owns(id) {
            if exchange.cancelled {
                return Err(Violation::CancelIgnored);
            }
            self.cancel_mine(id, now);
            self.events.push_back(Event::Ended { id: RequestId(id), outcome: Outcome::TimedOut });
        } else {
            self.stop_serving(id, Outcome::TimedOut);
        }
        Ok(())
    }

    fn stop_serving(&mut self, id: u64, outcome: Outcome) {
        let Some(exchange) = self.exchanges.get(&id) else { return };
        if exchange.dispatched {
            self.events.push_back(Event::Cancelled { id: RequestId(id), outcome: outcome.clone() });
        }
        self.refuse(id, &outcome);
    }

    fn frame(&mut self, bytes: &[u8], now: Time) -> Result<(), Violation> {
        let Some(frame) = frame::decode(bytes)? else { return Ok(()) };
        if (self.peer.is_none()) != matches!(frame, Frame::Hello(_)) {
            return Err(Violation::Hello);
        }
        match frame {
            Frame::Hello(hello) => self.on_hello(hello),
            Frame::Request { id, flags, timeout_ms, len, kind, body } => {
                let kind = Kind::new(kind).map_err(|_| Violation::Kind)?;
                if len > self.config.hello.limits.max_body {
                    return Err(Violation::BodyTooLarge(len));
                }
                if self.config.role.owns(id) || id <= self.last_peer_id {
                    return Err(Violation::RequestId(id));
                }
                self.last_peer_id = id;
                if flags & FLAG_NO_REPLY != 0 {
                    self.on_notify(id, kind, len, body)
                } else {
                    let deadline = (timeout_ms > 0).then(|| now + Duration::from_millis(timeout_ms));
                    self.on_request(id, flags & FLAG_OPEN != 0, deadline, kind, len, body)
                }
            }
            Frame::Message { id, len, kind, body } => self.on_opening(id, false, kind, len, body),
            Frame::Reply { id, len, kind, body } => self.on_opening(id, true, kind, len, body),
            Frame::Data { id, body } => self.on_data(id, body),
            Frame::Finish { id } => self.on_finish(id),
            Frame::Cancel { id } => {
                if self.known(id, false)?.is_some() {
                    self.stop_serving(id, Outcome::Cancelled);
                }
                Ok(())
            }
            Frame::End { id, status, text } => self.on_end(id, Outcome::from_wire(status, text)),
            Frame::Credit { id, bytes } => self.on_credit(id, bytes),
            Frame::Ping { nonce } => {
                self.out.control(&Frame::Pong { nonce });
                Ok(())
            }
            Frame::Pong { nonce } => {
                if let Some(rtt) = self.liveness.pong(nonce, now) {
                    self.events.push_back(Event::Pong { rtt });
                }
                Ok(())
            }
            Frame::OpenStream { stream, kind } => {
                let kind = Kind::new(kind).map_err(|_| Violation::Kind)?;
                if self.config.role != Role::Dialer || stream % 2 == 0 {
                    return Err(Violation::StreamId);
                }
                self.events.push_back(Event::OpenStream { stream, kind });
                Ok(())
            }
            Frame::RefuseStream { stream, text } => {
                let text = String::from_utf8_lossy(text).into_owned();
                self.events.push_back(Event::StreamRefused { stream, text });
                Ok(())
            }
            Frame::Drain => {
                self.peer_drains = true;
                self.events.push_back(Event::PeerDrains);
                self.check_drained();
                Ok(())
            }
            Frame::Goodbye { reason, text } => {
                let text = String::from_utf8_lossy(text).into_owned();
                self.events.push_back(Event::Goodbye { reason: GoodbyeReason::from_code(reason), text });
                Ok(())
            }
        }
    }

    fn on_hello(&mut self, hello: Hello) -> Result<(), Violation> {
        let theirs = hello.limits;
        if theirs.max_requests == 0
            || theirs.window < limits::MIN_WINDOW
            || theirs.notify_window < limits::MAX_BODY + limits::MIN_WINDOW
            || theirs.max_body < limits::MIN_WINDOW
        {
            return Err(Violation::Limits);
        }
        self.notify_allowance = u64::from(theirs.notify_window);
        self.peer = Some(theirs);
        self.events.push_back(Event::Hello(hello));
        Ok(())
    }

    fn on_request(
        &mut self,
        id: u64,
        open: bool,
        deadline: Option<Time>,
        kind: Kind,
        len: u32,
        body: &[u8],
    ) -> Result<(), Violation> {
        let ours = self.config.hello.limits;
        if self.theirs >= ours.max_requests as usize {
            return Err(Violation::TooManyRequests);
        }
        let peer_window = self.peer.map_or(limits::WINDOW, |p| p.window);
        let exchange = Exchange {
            send: SendLane::new(u64::from(peer_window)),
            recv: RecvLane::new(u64::from(ours.window)),
            deadline,
            held: 0,
            open,
            dispatched: false,
            cancelled: false,
            last: None,
        };
        self.exchanges.insert(id, exchange);
        self.theirs += 1;
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id));
        }
        self.start_message(id, kind, len, body)
    }

    fn on_opening(&mut self, id: u64, reply: bool, kind: &[u8], len: u32, body: &[u8]) -> Result<(), Violation> {
        let kind = Kind::new(kind).map_err(|_| Violation::Kind)?;
        if len > self.config.hello.limits.max_body {
            return Err(Violation::BodyTooLarge(len));
        }
        let Some(exchange) = self.known(id, reply)? else { return Ok(()) };
        if !reply && !exchange.open {
            return Err(Violation::Order(id));
        }
        self.start_message(id, kind, len, body)
    }

    /// The first frame of a message of a live request, of either side.
    fn start_message(&mut self, id: u64, kind: Kind, len: u32, body: &[u8]) -> Result<(), Violation> {
        let cost = lane::cost(&kind, len as usize);
        let serving = !self.config.role.owns(id);
        let Some(exchange) = self.exchanges.get_mut(&id) else { return Ok(()) };
        let message = exchange.recv.start(id, kind, len, body)?;
        // Who serves a stranger refuses when memory is short; who asked takes
        // the replies that it gave credit for.
        if serving && !self.has_budget(cost) {
            self.stop_serving(id, Outcome::Busy);
            return Ok(());
        }
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.held += cost;
        }
        self.hold(cost);
        match message {
            Some(message) => self.deliver(id, message),
            None => self.claim(id),
        }
        Ok(())
    }

    fn on_data(&mut self, id: u64, body: &[u8]) -> Result<(), Violation> {
        if self.notifies.contains_key(&id) {
            return self.on_notify_data(id, body);
        }
        let mine = self.config.role.owns(id);
        let Some(exchange) = self.known(id, mine)? else { return Ok(()) };
        if let Some(message) = exchange.recv.data(id, body)? {
            self.deliver(id, message);
        }
        Ok(())
    }

    fn on_notify(&mut self, id: u64, kind: Kind, len: u32, body: &[u8]) -> Result<(), Violation> {
        let cost = lane::cost(&kind, len as usize);
        self.peer_notify_allowance =
            self.peer_notify_allowance.checked_sub(cost).ok_or(Violation::Credit(0))?;
        let short_of_memory = !self.has_budget(cost);
        self.hold(cost);
        if short_of_memory {
            // One-way means at most once; better lost than held without bound.
            self.notify_done(cost);
            return Ok(());
        }
        match Partial::begin(id, kind, len, body)? {
            Begun::Whole(message) => self.notified(message),
            // The cut bounds how many can be unfinished at a time.
            Begun::Partial(_) if body.len() < limits::MIN_FRAGMENT => return Err(Violation::Fragment),
            Begun::Partial(partial) => {
                self.notifies.insert(id, partial);
            }
        }
        Ok(())
    }

    fn on_notify_data(&mut self, id: u64, body: &[u8]) -> Result<(), Violation> {
        let Some(partial) = self.notifies.get_mut(&id) else { return Ok(()) };
        if let Some(message) = partial.push(id, body)? {
            self.notifies.remove(&id);
            self.notified(message);
        }
        Ok(())
    }

    fn notified(&mut self, message: Message) {
        let cost = lane::cost(&message.kind, message.body.len());
        self.events.push_back(Event::Notify { message, cost: u32::try_from(cost).unwrap_or(u32::MAX) });
    }

    fn on_finish(&mut self, id: u64) -> Result<(), Violation> {
        let Some(exchange) = self.known(id, false)? else { return Ok(()) };
        if exchange.recv.is_partial() || !std::mem::take(&mut exchange.open) {
            return Err(Violation::Order(id));
        }
        self.events.push_back(Event::Finished { id: RequestId(id) });
        Ok(())
    }

    fn on_end(&mut self, id: u64, outcome: Outcome) -> Result<(), Violation> {
        if self.known(id, true)?.is_none() {
            // END comes once; a second one, like one for a request never made,
            // cannot be told from a crossing and is harmless.
            return Ok(());
        }
        let cancelled = self.forget(id).is_some_and(|exchange| exchange.cancelled);
        if !cancelled {
            self.events.push_back(Event::Ended { id: RequestId(id), outcome });
        }
        Ok(())
    }

    fn on_credit(&mut self, id: u64, bytes: u32) -> Result<(), Violation> {
        if id == 0 {
            self.notify_allowance = self.notify_allowance.saturating_add(u64::from(bytes));
            if std::mem::take(&mut self.room_wanted) {
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

    /// The live request that a frame names; `None` when it is over.
    fn known(&mut self, id: u64, mine: bool) -> Result<Option<&mut Exchange>, Violation> {
        let was = if mine { id < self.next_id } else { id <= self.last_peer_id };
        if self.config.role.owns(id) != mine || !was || id == 0 {
            return Err(Violation::RequestId(id));
        }
        Ok(self.exchanges.get_mut(&id).filter(|exchange| !exchange.cancelled || mine))
    }

    fn deliver(&mut self, id: u64, message: Message) {
        let mine = self.config.role.owns(id);
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        if exchange.cancelled {
            return;
        }
        let id = RequestId(id);
        if !mine && exchange.open && !exchange.dispatched {
            // The first message is held until the request ends, but its credit
            // goes back now, or a large one would leave no window for the next.
            let window = u64::from(self.config.hello.limits.window);
            let cost = lane::cost(&message.kind, message.body.len());
            if let Some(bytes) = exchange.recv.consumed(cost, window) {
                self.out.control(&Frame::Credit { id: id.0, bytes });
            }
        }
        let event = if mine {
            Event::Reply { id, message }
        } else if std::mem::replace(&mut exchange.dispatched, true) {
            Event::Message { id, message }
        } else {
            let (deadline, open) = (exchange.deadline, exchange.open);
            Event::Request { id, message, deadline, open }
        };
        self.events.push_back(event);
    }

    /// Sees that an unfinished message will get the credit it lacks.
    fn claim(&mut self, id: u64) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        if exchange.recv.claim() > 0 {
            exchange.recv.waits = true;
            self.claims.push_back(id);
            self.grant_claims();
        }
    }

    /// Grants claims in the order they came, while the budgets have room. The
    /// message itself is already counted, so one larger than all the room
    /// there is goes on when it is alone.
    pub(super) fn grant_claims(&mut self) {
        while let Some(&id) = self.claims.front() {
            let Some(exchange) = self.exchanges.get_mut(&id).filter(|e| e.recv.waits && !e.cancelled) else {
                self.claims.pop_front();
                continue;
            };
            let alone = self.held <= exchange.held;
            if !alone && !self.has_budget(0) {
                return;
            }
            let Some(exchange) = self.exchanges.get_mut(&id) else { return };
            let bytes = exchange.recv.grant_claim();
            self.claims.pop_front();
            self.out.control(&Frame::Credit { id, bytes });
        }
    }

    fn has_budget(&self, more: u64) -> bool {
        let within = self.held + more <= limits::CONNECTION_BUDGET as u64;
        within && self.config.budget.has_room(usize::try_from(more).unwrap_or(usize::MAX))
    }
}
