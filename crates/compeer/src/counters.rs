//! What a peer counts while it runs: connections, bytes, requests, streams, and how often a limit was hit.
//!
//! Each is one atomic number that only grows, added to without a lock and without an order among them: a reading may
//! find a request counted whose bytes are not yet. They say what was done with others; what a peer asks of itself and
//! what programs on this machine ask over [`local`](crate::local) is left out.

use std::sync::atomic::{AtomicU64, Ordering};

use compeer_proto::session::Outcome;
use serde::{Deserialize, Serialize};

use crate::Peer;

macro_rules! counters {
    ($($(#[$about:meta])* $name:ident),* $(,)?) => {
        /// What a peer has done since it was spawned: [`Peer::counters`]. All of them only grow.
        ///
        /// Bytes are those of messages and streams with their frames, without TLS and what is beneath it. What goes over a
        /// circuit is counted as what it is, and again as the streams that are its hops.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$about])* pub $name: u64,)*
        }

        /// The numbers themselves.
        #[derive(Debug, Default)]
        pub(crate) struct Tally {
            $(pub(crate) $name: Count,)*
        }

        impl Tally {
            fn read(&self) -> Counters {
                Counters { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Peers that called and were let in.
    accepted,
    /// Peers that were called and answered.
    dialled,
    /// Callers that never proved a key: port scans, browsers, those who were too slow.
    handshakes_failed,
    /// Bytes of messages that came.
    bytes_received,
    /// Bytes of messages that went.
    bytes_sent,
    /// Bytes of streams that came.
    stream_bytes_received,
    /// Bytes of streams that went.
    stream_bytes_sent,
    /// Requests made of others, those without reply included.
    requests_sent,
    /// Requests of others whose handler was content.
    requests_served,
    /// Requests of others for which there is no handler, or not for them, or not now.
    requests_refused,
    /// Requests of others whose handler failed.
    requests_failed,
    /// Requests of others that were over before they were done: cancelled, out of time,
    /// cut off with the connection, or given up by their handler.
    requests_cancelled,
    /// Streams opened by this side.
    streams_opened,
    /// Streams of others that a handler got.
    streams_served,
    /// Circuits opened by this side: connections and streams that others carry.
    circuits_opened,
    /// Circuits that others opened to here.
    circuits_accepted,
    /// Circuits carried for others.
    circuits_carried,
    /// What their ends said to each other. Unit: bytes.
    circuit_bytes_carried,
    /// Circuits of others that were refused, for want of a way or of room.
    circuits_refused,
    /// Connections turned away because the peer is blocked.
    blocked,
    /// Connections turned away, or given up for others, because there were
    /// [`max_connections`](crate::Builder::max_connections), or
    /// [`max_strangers_per_prefix`](crate::Builder::max_strangers_per_prefix) of their household.
    limit_connections,
    /// Handshakes pushed out by newer ones: [`MAX_PENDING`](crate::limits::MAX_PENDING).
    limit_handshakes,
    /// Streams refused because the peer had
    /// [`MAX_STREAMS_PER_PEER`](crate::limits::MAX_STREAMS_PER_PEER).
    limit_streams,
    /// Pauses in accepting because the system had no descriptors left.
    limit_descriptors,
    /// Connections closed because the other side broke the protocol or a bound of it.
    protocol_broken,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn one(&self) {
        self.more(1);
    }

    pub(crate) fn more(&self, n: usize) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }
}

impl Tally {
    /// A request of the other side has come to its end.
    pub(crate) fn ended(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Done => self.requests_served.one(),
            Outcome::NoHandler | Outcome::Denied | Outcome::Busy => self.requests_refused.one(),
            Outcome::Cancelled => self.requests_cancelled.one(),
            _ => self.requests_failed.one(),
        }
    }
}

impl Peer {
    /// What it has done since it was spawned. Cheap: a few dozen numbers are read.
    ///
    /// ```
    /// # use compeer::{Failure, Peer, Request};
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let echo = |request: Request| async move { Ok::<_, Failure>(request.body().clone()) };
    /// let alice = Peer::builder().listen("127.0.0.1:0").handle("ECHO", echo).spawn().await?;
    /// let bob = Peer::builder().spawn().await?;
    /// bob.request(alice.addr(), "ECHO", "hi").one().await?;
    /// assert_eq!((bob.counters().dialled, bob.counters().requests_sent), (1, 1));
    /// assert_eq!((alice.counters().accepted, alice.counters().requests_served), (1, 1));
    /// # alice.shutdown().await;
    /// # bob.shutdown().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn counters(&self) -> Counters {
        self.0.tally.read()
    }
}
