//! `status`: what the node is and how it may be reached. `up` prints the same at its start.
//!
//! All that `up`, `up --detach`, `status` and `compeer` alone say about a node comes from this one structure, so they cannot
//! disagree. Which of several addresses a person should type is decided here: the first IPv4 one, else the first.

use crate::console::Report;
use crate::duration;
use crate::exit::Outcome;
use crate::node::{Node, Role};
use compeer::{Addr, PeerId, Ticket, limits};
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
        lines.join("\n")
    }
}

pub(super) async fn answer(node: Node, _: AskStatus) -> Outcome<NodeStatus> {
    of(&node)
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
    })
}
