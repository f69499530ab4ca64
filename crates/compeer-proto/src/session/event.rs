//! What a session tells its driver: events, how requests end, why connections
//! close, and what a peer may not do.
//!
//! Status and reason numbers are on the wire (`docs/protocol.md`); a number
//! that this version does not know reads as the general case, so that newer
//! peers can be more precise.

use bytes::Bytes;

use crate::frame::{FrameError, Hello};
use crate::session::RequestId;
use crate::{Kind, Time};

/// A message: a kind and a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What kind of message it is.
    pub kind: Kind,
    /// Its content.
    pub body: Bytes,
}

impl Message {
    /// The body as text, with what is no UTF-8 replaced. Escape it
    /// ([`text::escape`](crate::text::escape)) before a terminal shows it.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Something the driver has to act on, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The other side has introduced itself; requests may now be started.
    Hello(Hello),
    /// The other side asks. Answer with [`reply`](super::Session::reply) and
    /// [`end`](super::Session::end).
    Request {
        /// Names the request from now on.
        id: RequestId,
        /// Its first message.
        message: Message,
        /// When the caller stops waiting.
        deadline: Option<Time>,
        /// Further messages may follow.
        open: bool,
    },
    /// A one-way request. Call [`notify_done`](super::Session::notify_done) with
    /// `cost` when it is handled.
    Notify {
        /// The message.
        message: Message,
        /// What it takes of the window of one-way requests, in bytes.
        cost: u32,
    },
    /// A further message of the caller. Call
    /// [`consumed`](super::Session::consumed) when it is handed on.
    Message {
        /// The request.
        id: RequestId,
        /// The message.
        message: Message,
    },
    /// The caller sends no further messages.
    Finished {
        /// The request.
        id: RequestId,
    },
    /// A request of the other side is over before it was answered: stop work.
    Cancelled {
        /// The request.
        id: RequestId,
        /// [`Outcome::Cancelled`], [`Outcome::TimedOut`], or [`Outcome::Busy`]
        /// when there was no memory for a further message.
        outcome: Outcome,
    },
    /// A reply. Call [`consumed`](super::Session::consumed) when it is handed on.
    Reply {
        /// The request.
        id: RequestId,
        /// The reply.
        message: Message,
    },
    /// A request of ours is over; nothing more comes for it.
    Ended {
        /// The request.
        id: RequestId,
        /// How.
        outcome: Outcome,
    },
    /// A send that answered [`SendError::Blocked`](super::SendError::Blocked) may be
    /// tried again.
    Writable {
        /// The request.
        id: RequestId,
    },
    /// Every request or one-way request that answered `Blocked` may be tried
    /// again; one that is blocked once more hears of room once more.
    Room,
    /// The other side, who accepted, asks us, who dialled, to dial a stream.
    OpenStream {
        /// Stream id.
        stream: u64,
        /// What it is for.
        kind: Kind,
    },
    /// A stream that we asked for will not come.
    StreamRefused {
        /// Stream id.
        stream: u64,
        /// Why, never [`Outcome::Done`].
        why: Outcome,
    },
    /// A PING of ours was answered.
    Pong {
        /// The round trip.
        rtt: std::time::Duration,
    },
    /// The other side will start nothing more here.
    PeerDrains,
    /// Both sides drain and nothing is left to answer: close, once
    /// [`transmit`](super::Session::transmit) is empty.
    Drained,
    /// The other side closes, and says why.
    Goodbye {
        /// Why.
        reason: GoodbyeReason,
        /// In words.
        text: String,
    },
    /// Nothing was heard for too long: the other side is gone.
    Dead,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// All replies have come.
    Done,
    /// Nobody handles this kind there.
    NoHandler,
    /// The handler failed, in its words.
    Failed(String),
    /// The peer has too much to do now.
    Busy,
    /// A body was beyond the peer's limit.
    TooLarge,
    /// This caller may not ask that.
    Denied,
    /// The deadline passed.
    TimedOut,
    /// The caller went away.
    Cancelled,
}

impl Outcome {
    /// The number on the wire.
    pub fn status(&self) -> u8 {
        match self {
            Outcome::Done => 0,
            Outcome::Failed(_) => 1,
            Outcome::NoHandler => 2,
            Outcome::Busy => 3,
            Outcome::TooLarge => 4,
            Outcome::Denied => 5,
            Outcome::TimedOut => 6,
            Outcome::Cancelled => 7,
        }
    }

    /// From the wire; unknown numbers are a failure in the given words.
    pub fn from_wire(status: u8, text: &[u8]) -> Self {
        match status {
            0 => Outcome::Done,
            2 => Outcome::NoHandler,
            3 => Outcome::Busy,
            4 => Outcome::TooLarge,
            5 => Outcome::Denied,
            6 => Outcome::TimedOut,
            7 => Outcome::Cancelled,
            _ => Outcome::Failed(super::words(text)),
        }
    }

    /// The same where something was refused, so that it cannot have ended well.
    pub(crate) fn refusal(status: u8, text: &[u8]) -> Self {
        match Outcome::from_wire(status, text) {
            Outcome::Done => Outcome::Failed(super::words(text)),
            why => why,
        }
    }

    /// Words for a person that go with it; empty for all but a failure.
    pub(crate) fn text(&self) -> &str {
        match self {
            Outcome::Failed(text) => text,
            _ => "",
        }
    }
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum GoodbyeReason {
    /// The program ends.
    Shutdown,
    /// Nothing was asked for a while.
    Idle,
    /// Another start of the program with your key has connected.
    Replaced,
    /// Your key runs in two places.
    KeyRunsTwice,
    /// Another connection of this pair stays.
    Duplicate,
    /// You broke the protocol; the text says how.
    Protocol,
    /// No room for more connections.
    Full,
    /// You are not wanted here.
    Denied,
    /// The program asked for it, or a reason of a newer version.
    Closed,
}

impl GoodbyeReason {
    /// The number on the wire.
    pub fn code(self) -> u8 {
        match self {
            GoodbyeReason::Shutdown => 0,
            GoodbyeReason::Idle => 1,
            GoodbyeReason::Replaced => 2,
            GoodbyeReason::KeyRunsTwice => 3,
            GoodbyeReason::Duplicate => 4,
            GoodbyeReason::Protocol => 5,
            GoodbyeReason::Full => 6,
            GoodbyeReason::Denied => 7,
            GoodbyeReason::Closed => 8,
        }
    }

    /// From the wire; unknown numbers are [`GoodbyeReason::Closed`].
    pub fn from_code(code: u8) -> Self {
        match code {
            0 => GoodbyeReason::Shutdown,
            1 => GoodbyeReason::Idle,
            2 => GoodbyeReason::Replaced,
            3 => GoodbyeReason::KeyRunsTwice,
            4 => GoodbyeReason::Duplicate,
            5 => GoodbyeReason::Protocol,
            6 => GoodbyeReason::Full,
            7 => GoodbyeReason::Denied,
            _ => GoodbyeReason::Closed,
        }
    }
}

/// What the other side did that `compeer/1` does not allow. The connection
/// closes with [`GoodbyeReason::Protocol`] and these words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// Bytes that are no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The first frame was not HELLO, or a second HELLO came.
    #[error("HELLO is the first frame and comes once")]
    Hello,
    /// HELLO promised less than a peer must take.
    #[error("HELLO names limits below the least a peer must take")]
    Limits,
    /// A request id that is not new, or of the wrong side.
    #[error("request id {0} is out of order")]
    RequestId(u64),
    /// A kind that is empty or too long.
    #[error("a kind is 1 to 64 bytes")]
    Kind,
    /// A body larger than we said we take.
    #[error("a body of {0} bytes is beyond the limit")]
    BodyTooLarge(u32),
    /// More bytes than the body was to have.
    #[error("request {0} carries more bytes than its message was to have")]
    Excess(u64),
    /// A message while the one before it is unfinished, or data outside one.
    #[error("request {0}: message frames out of order")]
    Order(u64),
    /// More than was credited.
    #[error("request {0} overran its credit")]
    Credit(u64),
    /// A request after DRAIN.
    #[error("a request came after DRAIN")]
    AfterDrain,
    /// More requests than we said we serve.
    #[error("more than the agreed number of requests at a time")]
    TooManyRequests,
    /// A first frame of a one-way request with less of its body than it must carry.
    #[error("a one-way request was cut too small")]
    Fragment,
    /// A request that was cancelled was not ended in time.
    #[error("CANCEL was not answered")]
    CancelIgnored,
    /// Stream frames from the wrong side.
    #[error("a stream id of the wrong side")]
    StreamId,
}
