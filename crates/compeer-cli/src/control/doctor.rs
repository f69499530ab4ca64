//! `doctor`: what only the node itself can find out. Whether its own addresses answer, and how the way to a peer is.
//!
//! It calls itself at every address that it tells others, as they would; its key says that it is itself. The way to a peer is
//! measured over the connection that all else goes over, so what is found is what is had.

use super::within;
use crate::exit::Outcome;
use crate::node::Node;
use crate::node::speed::{self, Speed};
use compeer::{Addr, ConnectError, RequestError, text};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

pub(crate) const PORTS: &str = "doctor-ports";
pub(crate) const PEER: &str = "doctor-peer";

/// How long an address of our own may take to answer. A guess: it takes a millisecond.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Round trips of which the middle one counts.
const ROUND_TRIPS: usize = 9;

/// Call yourself at all your addresses.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AskPorts {}

/// What became of calling one's own addresses.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ports {
    pub(crate) called: Vec<(Addr, Answer)>,
    /// By how many milliseconds the wall clock was set since the node began; negative: back.
    pub(crate) clock_set_ms: i64,
    /// Whether it announces itself here.
    pub(crate) announced: bool,
    /// How many others it has seen announce themselves.
    pub(crate) near: usize,
}

/// What an address said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// It is us.
    Ourselves,
    /// Somebody else is there.
    Another,
    /// Nothing in time.
    Silence,
    /// The system's words.
    Refused(String),
}

pub(super) async fn ports(node: Node, _: AskPorts) -> Outcome<Ports> {
    let mut addrs = node.peer.addr().addrs;
    if let Some(port) = node.peer.local_addrs().first().map(std::net::SocketAddr::port) {
        let loopback = Addr::from(std::net::SocketAddr::from(([127, 0, 0, 1], port)));
        if node.peer.local_addrs().iter().any(|at| at.is_ipv4() && at.ip().is_unspecified()) {
            addrs.insert(0, loopback);
        }
    }
    addrs.dedup();
    // Beside each other: every silence takes its time.
    let calls: Vec<_> =
        addrs.into_iter().map(|addr| (addr.clone(), tokio::spawn(call(node.clone(), addr)))).collect();
    let mut called = Vec::new();
    for (addr, call) in calls {
        called.push((addr, call.await.unwrap_or(Answer::Silence)));
    }
    Ok(Ports {
        called,
        clock_set_ms: node.state.clock_set_ms(),
        announced: node.is_announced(),
        near: node.near.seen().len(),
    })
}

async fn call(node: Node, addr: Addr) -> Answer {
    match tokio::time::timeout(ANSWER_WITHIN, node.peer.connect(addr)).await {
        Ok(Err(ConnectError::Oneself)) => Answer::Ourselves,
        // The side that was called may have hung up first.
        Ok(Ok(connection)) if connection.peer_id() == node.state.id => Answer::Ourselves,
        // Another process with this key is no stranger, but not us either.
        Ok(Ok(_) | Err(ConnectError::KeyRunsTwice(_) | ConnectError::WrongKey { .. })) => Answer::Another,
        Ok(Err(ConnectError::Unreachable(tried))) => {
            let why = tried.into_iter().next().map(|(_, why)| why).unwrap_or_default();
            if why.contains("timed out") { Answer::Silence } else { Answer::Refused(why) }
        }
        Ok(Err(ConnectError::TimedOut)) | Err(_) => Answer::Silence,
        Ok(Err(error)) => Answer::Refused(text::escape(&error.to_string()).into_owned()),
    }
}

/// Examine the way to a peer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AskPeer {
    pub(crate) peer: String,
    /// How long each way is measured.
    pub(crate) time_ms: u64,
}

/// The way to a peer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Way {
    /// Ready for the screen.
    pub(crate) name: String,
    pub(crate) itself: bool,
    pub(crate) addr: Option<Addr>,
    /// Whether this side called.
    pub(crate) dialled: bool,
    pub(crate) connected_ms: u64,
    pub(crate) rtt_us: Option<u64>,
    /// To it and back, or why that could not be measured.
    pub(crate) there: Result<Speed, String>,
    pub(crate) back: Result<Speed, String>,
}

/// How long a peer that measures with somebody is asked again, us a moment ago among them, and the pause between.
const GIVEN_BACK: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(200);

pub(super) async fn peer(node: Node, ask: AskPeer) -> Outcome<Way> {
    let began = Instant::now();
    let reached = node.reach(&ask.peer).await?;
    let connected_ms = began.elapsed().as_millis() as u64;
    let connection = node.connection(reached.id);
    let mut trips = Vec::new();
    for _ in 0..ROUND_TRIPS {
        match node.peer.ping(reached.id).await {
            Ok(trip) => trips.push(trip),
            Err(_) => break,
        }
    }
    trips.sort();
    let measured = |back| {
        let node = &node;
        async move {
            let until = Instant::now() + GIVEN_BACK;
            let measured = loop {
                match speed::measure(&node.peer, reached.id.into(), back, within(ask.time_ms)).await {
                    // On a slow line what was sent the other way is still on its way.
                    Ok(None) if Instant::now() < until => tokio::time::sleep(AGAIN).await,
                    measured => break measured,
                }
            };
            match measured {
                Ok(Some(speed)) => Ok(speed),
                Ok(None) => Err("it measures with somebody else just now, or has enough of it".to_string()),
                Err(RequestError::NoHandler) => Err("it does not measure: it is no `compeer up`".to_string()),
                Err(error) => Err(text::escape(&error.to_string()).into_owned()),
            }
        }
    };
    Ok(Way {
        name: reached.name,
        itself: reached.id == node.state.id,
        addr: connection.as_ref().and_then(|connection| connection.addr.clone()),
        dialled: connection.is_some_and(|connection| connection.dialled),
        connected_ms,
        rtt_us: trips.get(trips.len() / 2).map(|trip| trip.as_micros() as u64),
        there: measured(false).await,
        back: measured(true).await,
    })
}
