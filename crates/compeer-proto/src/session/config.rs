//! What a session is started with: its side, its HELLO, its patience, and the
//! [`Budget`] that it shares with the other sessions of the process.
//!
//! Nothing here changes once the session runs. What the other side may send is
//! in the HELLO itself, so that both sides know it; what a person may choose
//! has its default at the builder of the framework.

use std::sync::Arc;
use std::time::Duration;

use crate::frame::Hello;
use crate::limits;

use super::Budget;

/// Which side of the connection this is; it decides whose ids are even.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// This side dialled: its request and stream ids are even, from 2.
    Dialer,
    /// This side accepted: its ids are odd, from 1.
    Acceptor,
}

/// How a session is to be.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which side this is.
    pub role: Role,
    /// What to say first; its `limits` are enforced on the other side.
    pub hello: Hello,
    /// Send a PING after this much silence. Default 5 s.
    pub ping_after: Duration,
    /// Give up when this long after a PING still nothing came. Default 7 s, so
    /// that a dead peer is noticed within 15 s.
    pub pong_within: Duration,
    /// Memory shared with the other sessions of the process.
    pub budget: Arc<Budget>,
}

impl Config {
    /// The defaults, for a side and its HELLO.
    pub fn new(role: Role, hello: Hello) -> Self {
        Config {
            role,
            hello,
            ping_after: limits::PING_AFTER,
            pong_within: limits::PONG_WITHIN,
            budget: Arc::new(Budget::new(limits::PROCESS_BUDGET)),
        }
    }
}
