//! Memory for what was received and not yet consumed.
//!
//! Two bounds hold: [`limits::CONNECTION_BUDGET`] for one session, and a
//! [`Budget`] for all sessions of the process. Who serves a stranger counts the
//! whole of a message when its first frame comes, and answers *busy* if there
//! is no room for it. Who asked has invited the replies: they are taken as far
//! as their window goes, and a reply larger than that *claims* the rest, which
//! is granted in turn while there is room. If there is none, one claim is
//! granted all the same as long as no earlier one is unpaid, so that replies
//! too large for the moment go on one by one and never wait for each other.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// A bound on the bytes that all sessions of a process hold for messages that
/// were received and not yet consumed.
///
/// It is the one thing sessions share. When it is used up, requests are
/// answered *busy*. No connection gets more than is left for all others, so
/// that a few greedy ones cannot shut out the rest.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    /// A budget of `limit` bytes; at least 2 MiB, or bodies of the largest
    /// size are refused as soon as anything else is held.
    pub fn new(limit: usize) -> Self {
        Budget { limit: limit as u64, used: AtomicU64::new(0) }
    }

    /// Bytes in use now.
    pub fn used(&self) -> usize {
        usize::try_from(self.used.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// Takes `bytes` for a session that holds `held`, if it may have them.
    fn try_take(&self, bytes: u64, held: u64) -> bool {
        let share = |used: u64| {
            let free = self.limit.saturating_sub(used);
            (held + bytes <= free).then_some(used + bytes)
        };
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, share).is_ok()
    }

    fn take(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Session {
    /// Counts `bytes` as held, if there is room for them.
    pub(super) fn try_hold(&mut self, bytes: u64) -> bool {
        let fits = self.held + bytes <= limits::CONNECTION_BUDGET as u64
            && self.config.budget.try_take(bytes, self.held);
        if fits {
            self.held += bytes;
        }
        fits
    }

    /// Counts `bytes` as held, room or not.
    pub(super) fn hold(&mut self, bytes: u64) {
        self.held += bytes;
        self.config.budget.take(bytes);
    }

    pub(super) fn release(&mut self, bytes: u64) {
        self.held -= bytes;
        self.config.budget.give(bytes);
    }

    /// Takes the receiving half of a request out of all accounts.
    pub(super) fn let_go(&mut self, id: u64, recv: &RecvLane, held: u64) {
        if recv.waits() {
            self.claims.retain(|waiting| *waiting != id);
        }
        if self.config.role.owns(id) {
            self.debts -= recv.debt();
        }
        self.release(held);
        self.grant_claims();
    }

    /// Grants claims in the order they came, while there is room.
    pub(super) fn grant_claims(&mut self) {
        while let Some(&id) = self.claims.front() {
            let Some(exchange) = self.exchanges.get(&id) else { return };
            let rest = exchange.recv.unheld();
            if !self.try_hold(rest) {
                if self.debts > 0 {
                    return;
                }
                self.hold(rest);
            }
            self.claims.pop_front();
            let Some(exchange) = self.exchanges.get_mut(&id) else { return };
            exchange.held += rest;
            let bytes = exchange.recv.grant_claim();
            self.debts += u64::from(bytes);
            if bytes > 0 {
                self.out.control(&Frame::Credit { id, bytes });
            }
        }
    }
}
