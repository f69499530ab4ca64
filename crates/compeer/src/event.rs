//! What happens to a peer, told to whoever listens.
//!
//! Events are for showing and logging; nothing in the library waits for them.
//! A listener that does not listen loses the oldest ones and is told how many.

use std::time::Duration;

use compeer_proto::{Addr, Kind, PeerId};
use tokio::sync::broadcast;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A peer is connected that was not before.
    Connected {
        /// Who.
        peer: PeerId,
        /// The nickname it gives itself: a claim; escape it when shown.
        name: Option<String>,
        /// Where it is.
        addr: Option<Addr>,
        /// Who carries the connection, the neighbour first, as they say; empty when nobody does.
        over: Vec<PeerId>,
        /// Whether this side called.
        dialled: bool,
        /// Whoever called did it to look something up or to carry for others: people need not
        /// hear of it.
        in_passing: bool,
    },
    /// A peer is no longer connected.
    Disconnected {
        /// Who.
        peer: PeerId,
        /// Why, for a person.
        reason: String,
    },
    /// A key runs in two places at once: this peer's own, or another's.
    KeyRunsTwice {
        /// Whose key.
        peer: PeerId,
        /// Who said so, or where the other one is.
        at: Option<Addr>,
    },
    /// A kept peer will be called again.
    Retrying {
        /// Who.
        peer: PeerId,
        /// After how long.
        after: Duration,
        /// Why the last call failed.
        reason: String,
    },
    /// Another key answered at the address of a kept peer.
    WrongKey {
        /// Where.
        addr: Addr,
        /// Whom we wanted.
        expected: PeerId,
        /// Who answered.
        proven: PeerId,
    },
    /// A connection was turned away.
    Refused {
        /// Who, if it got as far as proving its key.
        peer: Option<PeerId>,
        /// Where from.
        addr: Option<Addr>,
        /// Why.
        reason: String,
    },
    /// No connections can be accepted for a moment, often for want of
    /// descriptors.
    AcceptPaused {
        /// Why, in the system's words.
        reason: String,
    },
    /// A handler panicked; its request failed, all else goes on.
    HandlerPanicked {
        /// Of which kind.
        kind: Kind,
        /// What it said.
        text: String,
    },
    /// A stabilizer failed or panicked; its next run still comes.
    StabilizerFailed {
        /// What it said.
        text: String,
    },
    /// This many events were lost because they were not read in time.
    Missed {
        /// How many.
        count: u64,
    },
}

/// A listener's place in the stream of events.
#[derive(Debug)]
pub struct Events(pub(crate) broadcast::Receiver<Event>);

impl Events {
    /// The next event; `None` when the peer has shut down.
    pub async fn recv(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(Event::Missed { count }),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
