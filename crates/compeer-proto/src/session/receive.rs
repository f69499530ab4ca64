//! What comes in: bytes, and the passing of time.
//!
//! Each frame type has one method. A frame for a request that is already over
//! is not an error, since it may have crossed our END or CANCEL; a frame for a
//! request that never was is.

use super::liveness::Due;
use super::*;
use crate::frame::{FLAG_NO_REPLY, FLAG_OPEN, Hello};

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
        let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
        silence.into_iter().chain(deadline).min().unwrap_or(Time::from_micros(u64::MAX))
    }

    /// Lets time pass: deadlines end requests, silence asks for a PING, and
    /// more silence is [`Event::Dead`].
    ///
    /// # Errors
    /// The other side did not answer a CANCEL.
    pub fn handle_timeout(&mut self, now: Time) -> Result<(), Violation> {
        while let Some(due) = self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now) {
            self.deadlines.pop_first();
            self.deadline(due, now)?;
        }
        // Other sessions may have left room in the budget that all share.
        self.grant_claims();
        match self.liveness.due(now) {
            Due::Nothing => {}
            Due::Ping => {
                self.out.shrink();
                self.ping(now);
            }
            Due::Dead => {
                self.liveness.bury();
                self.events.push_back(Event::Dead);
            }
        }
        Ok(())
    }

    fn deadline(&mut self, (deadline, id): (Time, u64), now: Time) -> Result<(), Violation> {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return Ok(()) };
        exchange.deadline = None;
        if !self.config.role.owns(id) {
            self.stop_serving(id, &Outcome::TimedOut);
        } else if !exchange.cancelled {
            self.too_late(id, now);
        } else if now - deadline < limits::LATE_TIMER {
            return Err(Violation::CancelIgnored);
        } else {
            // We were stopped for a while; the END had no chance to be read.
            let patience = now + limits::CANCEL_ANSWERED_WITHIN;
            exchange.deadline = Some(patience);
            self.deadlines.insert((patience, id));
        }
        Ok(())
    }

    fn frame(&mut self, bytes: &[u8], now: Time) -> Result<(), Violation> {
        let decoded = frame::decode(bytes)?;
        match (self.peer, &decoded) {
            // Who is turned away hears why, and no HELLO.
            (None, Some(Frame::Hello(_) | Frame::Goodbye { .. })) => {}
            (None, _) | (Some(_), Some(Frame::Hello(_))) => return Err(Violation::Hello),
            (Some(_), _) => {}
        }
        let Some(frame) = decoded else { return Ok(()) };
        match frame {
            Frame::Hello(hello) => self.on_hello(hello),
            Frame::Request { id, flags, timeout_ms, len, kind, body } => {
                self.check_opening(id, len)?;
                let kind = Kind::new(kind).map_err(|_| Violation::Kind)?;
                self.last_peer_id = id;
                if flags & FLAG_NO_REPLY != 0 {
                    return self.on_notify(id, kind, len, body);
                }
                let deadline = (timeout_ms > 0).then(|| now + Duration::from_millis(timeout_ms));
                self.on_request(id, flags & FLAG_OPEN != 0, deadline, kind, len, body)
            }
            Frame::Message { id, len, kind, body } => self.on_opening(id, false, kind, len, body),
            Frame::Reply { id, len, kind, body } => self.on_opening(id, true, kind, len, body),
            Frame::Data { id, body } => self.on_data(id, body),
            Frame::Finish { id } => self.on_finish(id),
            Frame::Cancel { id } => self.on_cancel(id),
            Frame::End { id, status, text } => self.on_end(id, Outcome::from_wire(status, text)),
            Frame::Credit { id, bytes } => self.on_credit(id, bytes),
            Frame::Ping { nonce } => {
                self.out.pong(nonce);
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
                if self.config.role != Role::Dialer || stream.is_multiple_of(2) {
                    return Err(Violation::StreamId);
                }
                self.events.push_back(Event::OpenStream { stream, kind });
                Ok(())
            }
            Frame::RefuseStream { stream, status, text } => {
                if !self.config.role.owns(stream) || stream == 0 || stream >= self.next_stream {
                    return Err(Violation::StreamId);
                }
                // A refusal that says "done" says nothing.
                let why = Outcome::refusal(status, text);
                self.events.push_back(Event::StreamRefused { stream, why });
                Ok(())
            }
            Frame::Drain => {
                if !std::mem::replace(&mut self.drain.received, true) {
                    self.events.push_back(Event::PeerDrains);
                    self.wake_all();
                    self.check_drained();
                }
                Ok(())
            }
            Frame::Goodbye { reason, text } => {
                let reason = GoodbyeReason::from_code(reason);
                self.events.push_back(Event::Goodbye { reason, text: words(text) });
                Ok(())
            }
        }
    }

    /// May the peer start this request now?
    fn check_opening(&self, id: u64, len: u32) -> Result<(), Violation> {
        if self.drain.received {
            return Err(Violation::AfterDrain);
        }
        if self.config.role.owns(id) || id <= self.last_peer_id {
            return Err(Violation::RequestId(id));
        }
        if len > self.config.hello.limits.max_body {
            return Err(Violation::BodyTooLarge(len));
        }
        Ok(())
    }

    fn on_hello(&mut self, hello: Hello) -> Result<(), Violation> {
        let theirs = hello.limits;
        if !theirs.are_valid() {
            return Err(Violation::Limits);
        }
        self.allow_oneway(theirs.notify_window);
        self.peer = Some(theirs);
        self.events.push_back(Event::Hello(hello));
        Ok(())
    }

    /// The live request that a frame names; `None` when it is over or given up.
    pub(super) fn known(&mut self, id: u64, mine: bool) -> Result<Option<&mut Exchange>, Violation> {
        let was = if mine { id < self.next_id } else { id <= self.last_peer_id };
        if self.config.role.owns(id) != mine || !was || id == 0 {
            return Err(Violation::RequestId(id));
        }
        Ok(self.exchanges.get_mut(&id).map(|boxed| &mut **boxed).filter(|exchange| !exchange.cancelled))
    }
}
