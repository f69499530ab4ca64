//! One direction of one request: messages cut into frames, and the credit that
//! paces them.
//!
//! A message costs [`limits::MESSAGE_OVERHEAD`] + its kind + its body, in
//! bytes. The sender may send while its allowance lasts; the receiver returns
//! what was consumed. A message larger than the allowance *claims* the rest at
//! once, if the receiver's budget has room: it becomes a debt, paid back as the
//! message is consumed, so that the window is again what it was.

use bytes::Bytes;

use super::Violation;
use super::outbox::Outbox;
use crate::frame::Frame;
use crate::session::Message;
use crate::{Kind, limits};

/// What a message costs of an allowance, in bytes.
pub(super) fn cost(kind: &Kind, body_len: usize) -> u64 {
    head_cost(kind.as_bytes().len()) + body_len as u64
}

/// The most that a message may cost whose body is at most `max_body` bytes.
pub(super) fn largest_cost(max_body: u32) -> u64 {
    head_cost(limits::MAX_KIND_LEN) + u64::from(max_body)
}

fn head_cost(kind_len: usize) -> u64 {
    u64::from(limits::MESSAGE_OVERHEAD) + kind_len as u64
}

/// Which frame starts the message of a lane.
#[derive(Clone, Copy, Debug)]
pub(super) enum Opening {
    Request { flags: u8, timeout_ms: u64 },
    Message,
    Reply,
}

/// The sending half.
#[derive(Debug)]
pub(super) struct SendLane {
    allowance: u64,
    pending: Option<Pending>,
    /// It stands in the session's round robin.
    pub(super) queued: bool,
    /// Somebody was told to wait and is to be told when the lane is free.
    pub(super) waited_for: bool,
}

#[derive(Debug)]
struct Pending {
    opening: Opening,
    message: Message,
    started: bool,
    sent: usize,
}

/// What became of one turn.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// A frame went, and more is left.
    More,
    /// The message is out.
    Done,
    /// Nothing can go before credit comes.
    NoCredit,
}

impl SendLane {
    pub(super) fn new(allowance: u64) -> Self {
        SendLane { allowance, pending: None, queued: false, waited_for: false }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.pending.is_some()
    }

    /// The request itself has not left yet.
    pub(super) fn is_unstarted_request(&self) -> bool {
        self.pending.as_ref().is_some_and(|p| !p.started && matches!(p.opening, Opening::Request { .. }))
    }

    pub(super) fn load(&mut self, opening: Opening, message: Message) {
        debug_assert!(self.pending.is_none());
        self.pending = Some(Pending { opening, message, started: false, sent: 0 });
    }

    pub(super) fn credit(&mut self, bytes: u32) {
        self.allowance = self.allowance.saturating_add(u64::from(bytes));
    }

    /// Sends the next frame of the pending message.
    pub(super) fn turn(&mut self, id: u64, out: &mut Outbox) -> Turn {
        let Some(pending) = &mut self.pending else { return Turn::Done };
        let Message { kind, body } = &pending.message;
        let head = if pending.started { 0 } else { head_cost(kind.as_bytes().len()) };
        let left = body.len() - pending.sent;
        if self.allowance < head || (self.allowance == head && left > 0) {
            return Turn::NoCredit;
        }
        let room = usize::try_from(self.allowance - head).unwrap_or(usize::MAX);
        let chunk = left.min(room).min(limits::MAX_FRAME_BODY);
        let piece = &body[pending.sent..pending.sent + chunk];
        if pending.started {
            out.data(&Frame::Data { id, body: piece });
        } else {
            let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
            out.data(&opening_frame(pending.opening, id, len, kind.as_bytes(), piece));
            pending.started = true;
        }
        self.allowance -= head + chunk as u64;
        pending.sent += chunk;
        if pending.sent == body.len() {
            self.pending = None;
            return Turn::Done;
        }
        Turn::More
    }
}

pub(super) fn opening_frame<'a>(
    opening: Opening,
    id: u64,
    len: u32,
    kind: &'a [u8],
    body: &'a [u8],
) -> Frame<'a> {
    match opening {
        Opening::Request { flags, timeout_ms } => Frame::Request { id, flags, timeout_ms, len, kind, body },
        Opening::Message => Frame::Message { id, len, kind, body },
        Opening::Reply => Frame::Reply { id, len, kind, body },
    }
}

/// The receiving half.
#[derive(Debug)]
pub(super) struct RecvLane {
    allowance: u64,
    unreturned: u64,
    debt: u64,
    partial: Option<Partial>,
    /// The part of the unfinished message that waits for budget.
    unheld: u64,
}

#[derive(Debug)]
pub(super) struct Partial {
    kind: Kind,
    len: usize,
    buf: Vec<u8>,
}

impl Partial {
    /// A message of `len` bytes of which `first` have come; `None` when that is
    /// all of it.
    ///
    /// # Errors
    /// More came than `len`.
    pub(super) fn begin(id: u64, kind: Kind, len: u32, first: &[u8]) -> Result<Begun, Violation> {
        let len = len as usize;
        if first.len() > len {
            return Err(Violation::Excess(id));
        }
        if first.len() == len {
            return Ok(Begun::Whole(Message { kind, body: Bytes::copy_from_slice(first) }));
        }
        Ok(Begun::Partial(Partial { kind, len, buf: first.to_vec() }))
    }

    /// Takes more bytes; gives the message when it is whole.
    pub(super) fn push(&mut self, id: u64, bytes: &[u8]) -> Result<Option<Message>, Violation> {
        if self.buf.len() + bytes.len() > self.len {
            return Err(Violation::Excess(id));
        }
        self.make_room(bytes.len());
        self.buf.extend_from_slice(bytes);
        if self.buf.len() < self.len {
            return Ok(None);
        }
        Ok(Some(Message { kind: self.kind, body: Bytes::from(std::mem::take(&mut self.buf)) }))
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buf.capacity()
    }

    /// Grows by doubling, but never beyond the whole: what a message takes is
    /// what the budgets count.
    fn make_room(&mut self, more: usize) {
        let need = self.buf.len() + more;
        if need > self.buf.capacity() {
            let whole = (2 * self.buf.capacity()).clamp(need, self.len);
            self.buf.reserve_exact(whole - self.buf.len());
        }
    }
}

pub(super) enum Begun {
    Whole(Message),
    Partial(Partial),
}

impl RecvLane {
    pub(super) fn new(allowance: u64) -> Self {
        RecvLane { allowance, unreturned: 0, debt: 0, partial: None, unheld: 0 }
    }

    pub(super) fn is_partial(&self) -> bool {
        self.partial.is_some()
    }

    /// The unfinished message waits until so much more of it may be held.
    pub(super) fn wait_for(&mut self, unheld: u64) {
        self.unheld = unheld;
    }

    pub(super) fn unheld(&self) -> u64 {
        self.unheld
    }

    pub(super) fn waits(&self) -> bool {
        self.unheld > 0
    }

    /// Granted claims that were not paid back.
    pub(super) fn debt(&self) -> u64 {
        self.debt
    }

    /// Takes the first frame of a message; gives it when it is whole.
    pub(super) fn start(
        &mut self,
        id: u64,
        kind: Kind,
        len: u32,
        first: &[u8],
    ) -> Result<Option<Message>, Violation> {
        if self.partial.is_some() {
            return Err(Violation::Order(id));
        }
        self.charge(id, head_cost(kind.as_bytes().len()) + first.len() as u64)?;
        match Partial::begin(id, kind, len, first)? {
            Begun::Whole(message) => Ok(Some(message)),
            Begun::Partial(partial) => {
                self.partial = Some(partial);
                Ok(None)
            }
        }
    }

    /// Takes more of the message; gives it when it is whole.
    pub(super) fn data(&mut self, id: u64, bytes: &[u8]) -> Result<Option<Message>, Violation> {
        self.charge(id, bytes.len() as u64)?;
        let partial = self.partial.as_mut().ok_or(Violation::Order(id))?;
        let whole = partial.push(id, bytes)?;
        if whole.is_some() {
            self.partial = None;
        }
        Ok(whole)
    }

    fn charge(&mut self, id: u64, cost: u64) -> Result<(), Violation> {
        self.allowance = self.allowance.checked_sub(cost).ok_or(Violation::Credit(id))?;
        Ok(())
    }

    /// How much credit the unfinished message still lacks.
    pub(super) fn claim(&self) -> u64 {
        let Some(partial) = &self.partial else { return 0 };
        ((partial.len - partial.buf.len()) as u64).saturating_sub(self.allowance)
    }

    /// Grants the claim; the amount goes to the peer as CREDIT.
    pub(super) fn grant_claim(&mut self) -> u32 {
        let claim = self.claim();
        self.unheld = 0;
        self.allowance += claim;
        self.debt += claim;
        u32::try_from(claim).unwrap_or(u32::MAX)
    }

    /// A message of this cost was handed on. Gives the credit to return now.
    pub(super) fn consumed(&mut self, cost: u64, window: u64) -> Option<u32> {
        let paid = cost.min(self.debt);
        self.debt -= paid;
        self.unreturned += cost - paid;
        if self.unreturned < window / 2 {
            return None;
        }
        self.allowance += self.unreturned;
        let back = std::mem::take(&mut self.unreturned);
        u32::try_from(back).ok()
    }
}
