//! Is the other side still there?
//!
//! Any byte received proves life. After `ping_after` of silence a PING goes;
//! when then nothing came within `pong_within`, the other side is dead. The
//! second wait counts from when the PING was really sent, so a process that was
//! itself stopped for a while asks first and does not bury its peers.

use std::time::Duration;

use crate::Time;

#[derive(Debug)]
pub(super) struct Liveness {
    ping_after: Duration,
    pong_within: Duration,
    heard: Time,
    asked: Option<Time>,
    nonce: u64,
    sent: Option<(u64, Time)>,
    rtt: Option<Duration>,
    buried: bool,
}

/// What silence asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ping,
    Dead,
}

impl Liveness {
    pub(super) fn new(ping_after: Duration, pong_within: Duration, now: Time) -> Self {
        Liveness {
            ping_after,
            pong_within,
            heard: now,
            asked: None,
            nonce: 0,
            sent: None,
            rtt: None,
            buried: false,
        }
    }

    pub(super) fn heard(&mut self, now: Time) {
        self.heard = now;
        self.asked = None;
    }

    /// A PING goes out now; gives its nonce.
    pub(super) fn ping(&mut self, now: Time) -> u64 {
        self.nonce += 1;
        self.asked.get_or_insert(now);
        self.sent = Some((self.nonce, now));
        self.nonce
    }

    /// A PONG came; gives the round trip when it answers the latest PING.
    pub(super) fn pong(&mut self, nonce: u64, now: Time) -> Option<Duration> {
        let (_, at) = self.sent.take_if(|(expected, _)| *expected == nonce)?;
        self.rtt = Some(now - at);
        self.rtt
    }

    pub(super) fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// [`Due::Dead`] was told; it is told once.
    pub(super) fn bury(&mut self) {
        self.buried = true;
    }

    /// `None` once the other side was found dead.
    pub(super) fn next_timeout(&self) -> Option<Time> {
        let silence = match self.asked {
            Some(asked) => asked + self.pong_within,
            None => self.heard + self.ping_after,
        };
        (!self.buried).then_some(silence)
    }

    pub(super) fn due(&self, now: Time) -> Due {
        match self.asked {
            _ if self.next_timeout().is_none_or(|due| now < due) => Due::Nothing,
            Some(_) => Due::Dead,
            None => Due::Ping,
        }
    }
}
