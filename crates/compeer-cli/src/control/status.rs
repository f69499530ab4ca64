//! `status`: what the node is and how it may be reached. `up` prints the same at its start.
//!
//! All that `up`, `up --detach`, `status` and `compeer` alone say about a node comes from this one structure, so they cannot
//! disagree. Which of several addresses a person should type is decided here: the first IPv4 one, else the first.

use crate::console::Report;
use crate::exit::Outcome;
use crate::node::{Node, Role};
use crate::{duration, size};
use compeer::{Addr, Counters, PeerId, Ticket, limits};
use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub(crate) const KIND: &str = "status";

/// Say how you are.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AskStatus {}

/// How a node is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NodeStatus {
    pub(crate) event: String,
    pub(crate) role: Role,
    pub(crate) pid: u32,
    pub(crate) peer: PeerId,
    /// The name it tells, raw.
    pub(crate) name: String,
    pub(crate) home: String,
    pub(crate) up_for_s: u64,
    /// Where it listens; nowhere if it only dials.
    pub(crate) listening: Vec<String>,
    /// Where it serves programs of the classic protocol; nowhere unless asked to.
    #[serde(default)]
    pub(crate) classic: Vec<String>,
    /// Where others may reach it; empty: nowhere but on this machine.
    pub(crate) addrs: Vec<Addr>,
    pub(crate) ticket: Option<String>,
    /// The port that was taken, if another one had to be used.
    pub(crate) taken_port: Option<u16>,
    pub(crate) connected: usize,
    pub(crate) paired: usize,
    /// How many shares it offers.
    pub(crate) shares: usize,
    /// File descriptors of its process, and how many it may have; `None`: without limit.
    pub(crate) descriptors: u64,
    pub(crate) descriptor_limit: Option<u64>,
    pub(crate) counters: Counters,
}

impl NodeStatus {
    /// What to type as PEER on the other machine, or on this one if there is no network.
    pub(crate) fn address(&self) -> Option<String> {
        let lan = self.addrs.iter().find(|addr| addr.socket_addr().is_some_and(|addr| addr.is_ipv4()));
        let best = lan.or(self.addrs.first());
        let port = self.port()?;
        let addr =
            best.cloned().unwrap_or_else(|| Addr::from(std::net::SocketAddr::from(([127, 0, 0, 1], port))));
        Some(if addr.port() == limits::DEFAULT_PORT { addr.host() } else { addr.to_string() })
    }

    /// The line to type on the other machine.
    pub(crate) fn line(&self) -> Option<String> {
        Some(format!("compeer say {} hello", self.address()?))
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> Option<u16> {
        self.listening.first()?.parse::<std::net::SocketAddr>().ok().map(|addr| addr.port())
    }
}

impl Report for NodeStatus {
    fn human(&self) -> String {
        let name = compeer::text::escape(&self.name);
        let mut lines = vec![match self.role {
            Role::Up => format!(
                "{name} ({}) is up for {}, process {}",
                self.peer.short(),
                duration::show(Duration::from_secs(self.up_for_s)),
                self.pid
            ),
            Role::Alone => format!("{name} ({}) is not up; start it with:  compeer up", self.peer.short()),
        }];
        lines.push(format!("id       {}", self.peer));
        lines.push(format!("home     {}", self.home));
        if !self.listening.is_empty() {
            lines.push(format!("listens  {}", self.listening.join(", ")));
        }
        if !self.classic.is_empty() {
            lines.push(format!("classic  {}", self.classic.join(", ")));
        }
        if !self.addrs.is_empty() {
            let addrs: Vec<_> = self.addrs.iter().map(Addr::to_string).collect();
            lines.push(format!("reached  {}", addrs.join(", ")));
        }
        lines.push(format!("peers    {} paired, {} connected", self.paired, self.connected));
        if self.role == Role::Up {
            lines.extend(self.counted());
        }
        lines.join("\n")
    }
}

impl NodeStatus {
    /// What it has done since its start, for people.
    fn counted(&self) -> Vec<String> {
        let counted = &self.counters;
        let hit: Vec<_> = [
            (counted.limit_connections, "connections turned away or given up: too many"),
            (counted.limit_handshakes, "callers pushed out by newer ones"),
            (counted.limit_streams, "streams refused: too many with one peer"),
            (counted.limit_descriptors, "pauses for want of file descriptors"),
            (counted.protocol_broken, "connections closed for breaking the protocol"),
            (counted.handshakes_failed, "callers that were no peers"),
            (counted.blocked, "connections refused: blocked"),
        ]
        .into_iter()
        .filter(|(times, _)| *times > 0)
        .map(|(times, what)| format!("{times} {what}"))
        .collect();
        let most = self.descriptor_limit.map_or("any number".to_string(), |most| most.to_string());
        vec![
            format!("calls    {} came, {} went", counted.accepted, counted.dialled),
            format!(
                "traffic  {} in and {} out by messages, {} in and {} out by streams",
                size::show(counted.bytes_received),
                size::show(counted.bytes_sent),
                size::show(counted.stream_bytes_received),
                size::show(counted.stream_bytes_sent)
            ),
            format!(
                "requests {} served, {} refused, {} failed, {} cut off; {} of its own",
                counted.requests_served,
                counted.requests_refused,
                counted.requests_failed,
                counted.requests_cancelled,
                counted.requests_sent
            ),
            format!("streams  {} served, {} of its own", counted.streams_served, counted.streams_opened),
            format!("shares   {}", self.shares),
            format!("files    {} of {most} descriptors in use", self.descriptors),
            format!("limits   {}", if hit.is_empty() { "none hit".to_string() } else { hit.join("; ") }),
        ]
    }
}

pub(super) async fn answer(node: Node, _: AskStatus) -> Outcome<NodeStatus> {
    of(&node)
}

/// File descriptors this process has open, the one that looks left out.
fn descriptors() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, |open| open.count().saturating_sub(1) as u64)
}

/// How this node is.
pub(crate) fn of(node: &Node) -> Outcome<NodeStatus> {
    let reachable = node.reachable(&[]).ok();
    let paired = node.state.store.peers()?.iter().filter(|known| known.petname.is_some()).count();
    Ok(NodeStatus {
        event: "status".into(),
        role: node.state.role,
        pid: std::process::id(),
        peer: node.state.id,
        name: node.state.name.clone(),
        home: node.state.home.display().to_string(),
        up_for_s: node.state.since.elapsed().as_secs(),
        listening: node.peer.local_addrs().iter().map(ToString::to_string).collect(),
        classic: node.peer.classic_addrs().iter().map(ToString::to_string).collect(),
        addrs: reachable.as_ref().map(|own| own.addrs.clone()).unwrap_or_default(),
        ticket: reachable.map(|own| Ticket::Peer(own).to_string()),
        taken_port: node.state.taken_port(),
        connected: node.peer.connections().len(),
        paired,
        shares: node.shares.shares().len(),
        descriptors: descriptors(),
        descriptor_limit: getrlimit(Resource::Nofile).current,
        counters: node.peer.counters(),
    })
}
