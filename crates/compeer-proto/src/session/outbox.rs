//! Frames on their way to the socket.
//!
//! Control frames overtake data: both are kept apart until the socket has
//! taken all that was handed to it, then control goes first. `wire` is what
//! the socket is taking; only whole frames enter it, so nothing is ever cut.

use crate::frame::{self, Frame};
use crate::limits;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    wire: Vec<u8>,
    taken: usize,
    control: Vec<u8>,
    data: Vec<u8>,
    /// The PING to answer. One that was overtaken by a later one needs no
    /// answer, so who sends nothing else makes nothing grow.
    pong: Option<u64>,
    /// ENDs in `data`.
    ends: usize,
}

impl Outbox {
    /// Appends a control frame: it goes before all data not yet on the wire.
    pub(super) fn control(&mut self, frame: &Frame<'_>) {
        frame::encode(frame, &mut self.control);
    }

    /// Appends a frame that must stay behind the data before it.
    pub(super) fn data(&mut self, frame: &Frame<'_>) {
        frame::encode(frame, &mut self.data);
    }

    /// Appends an END, behind the data before it.
    pub(super) fn end(&mut self, frame: &Frame<'_>) {
        self.ends += 1;
        self.data(frame);
    }

    /// Answers the latest PING, before anything else.
    pub(super) fn pong(&mut self, nonce: u64) {
        self.pong = Some(nonce);
    }

    /// How many ENDs wait behind the bytes on the wire.
    pub(super) fn ends(&self) -> usize {
        self.ends
    }

    /// Whether more data may be cut now; beyond it, bodies wait in their lanes
    /// so that requests take turns.
    pub(super) fn has_room(&self) -> bool {
        self.data.len() < limits::OUTBOX_HIGH_WATER
    }

    /// Bytes that wait behind those on the wire.
    pub(super) fn backlog(&self) -> usize {
        self.control.len() + self.data.len()
    }

    /// The bytes to write next; empty when there are none.
    pub(super) fn wire(&mut self) -> &[u8] {
        if self.taken == self.wire.len() {
            self.wire.clear();
            self.taken = 0;
            self.ends = 0;
            if let Some(nonce) = self.pong.take() {
                self.control(&Frame::Pong { nonce });
            }
            if self.control.is_empty() {
                std::mem::swap(&mut self.wire, &mut self.data);
            } else {
                std::mem::swap(&mut self.wire, &mut self.control);
                self.wire.append(&mut self.data);
            }
        }
        &self.wire[self.taken..]
    }

    /// The socket took `n` bytes of [`wire`](Self::wire).
    pub(super) fn advance(&mut self, n: usize) {
        self.taken += n;
        debug_assert!(self.taken <= self.wire.len());
    }

    /// The bytes to write next, in `buf` in place of what it held.
    pub(super) fn take_wire(&mut self, buf: &mut Vec<u8>) {
        buf.clear();
        self.wire();
        if self.taken == 0 {
            std::mem::swap(&mut self.wire, buf);
        } else {
            buf.extend_from_slice(&self.wire[self.taken..]);
            self.taken = self.wire.len();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken == self.wire.len()
            && self.control.is_empty()
            && self.data.is_empty()
            && self.pong.is_none()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.wire.capacity() + self.control.capacity() + self.data.capacity()
    }

    /// Gives memory back; called when the connection has been quiet.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() {
            *self = Outbox::default();
        }
    }
}
