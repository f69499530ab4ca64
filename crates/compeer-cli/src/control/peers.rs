//! `peers`: who is paired, connected, near, blocked, or asked to be paired.
//!
//! One row per peer, gathered from the database, the live connections, the open requests, and those who announce
//! themselves on the local network; paired ones first. Strangers appear only while they are connected, near, or wait
//! for an answer. That somebody is near is a claim: who he is, is proven when he is called.

use crate::console::Report;
use crate::duration;
use crate::exit::Outcome;
use crate::node::state::wall_seconds;
use crate::node::{Node, Role};
use compeer::{PeerId, text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) const KIND: &str = "peers";

/// List the peers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ListPeers {}

/// One peer.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) event: String,
    pub(crate) peer: Option<PeerId>,
    /// Ready for the screen.
    pub(crate) name: String,
    pub(crate) paired: bool,
    pub(crate) blocked: bool,
    pub(crate) connected: bool,
    /// It asks to be paired.
    pub(crate) asks: bool,
    /// It announces itself on this network.
    #[serde(default)]
    pub(crate) near: bool,
    /// Where it is connected from or to, or else where it says it is.
    pub(crate) addr: Option<String>,
    pub(crate) rtt_us: Option<u64>,
    /// Seconds since it was last connected, if it is not now.
    pub(crate) last_seen_s: Option<u64>,
    /// A program of the classic protocol: it proved nothing, and has no id.
    #[serde(default)]
    pub(crate) classic: bool,
}

impl Report for Row {
    fn human(&self) -> String {
        if self.classic {
            let addr = self.addr.as_deref().unwrap_or_default();
            return format!("{:<16} an old program, unverified ({})", self.name, text::escape(addr));
        }
        let mut words = Vec::new();
        if self.blocked {
            words.push("blocked".to_string());
        }
        if self.connected {
            let rtt = self.rtt_us.map(|rtt| duration::show(Duration::from_micros(rtt)));
            let how: Vec<_> = self.addr.iter().cloned().chain(rtt).collect();
            words.push(format!("connected ({})", how.join(", ")));
        } else if self.near {
            words.push(format!("near ({})", self.addr.as_deref().unwrap_or_default()));
        } else if let Some(seconds) = self.last_seen_s {
            words.push(format!("last seen {} ago", duration::show(Duration::from_secs(seconds))));
        } else {
            words.push("not connected".to_string());
        }
        if self.asks {
            words.push("asks to be paired".to_string());
        } else if !self.paired && !self.blocked {
            words.push("not paired".to_string());
        }
        let short = self.peer.map(|id| id.short()).unwrap_or_default();
        format!("{:<16} {short}  {}", self.name, words.join(", "))
    }
}

pub(super) async fn answer(node: Node, _: ListPeers) -> Outcome<Vec<Row>> {
    let mut rows = BTreeMap::new();
    let now = wall_seconds();
    for known in node.state.store.peers()? {
        let row = row(&mut rows, known.id);
        row.paired = known.petname.is_some();
        row.blocked = known.blocked;
        row.last_seen_s = known.last_seen.map(|seen| u64::try_from(now - seen).unwrap_or(0));
        row.name = node.state.shown_name(known.id, known.nickname.as_deref());
    }
    for connection in node.peer.connections() {
        if connection.in_passing && !rows.contains_key(&connection.peer_id) {
            continue;
        }
        let row = row(&mut rows, connection.peer_id);
        row.connected = true;
        row.last_seen_s = None;
        row.addr = connection.addr.map(|addr| addr.to_string());
        row.rtt_us = connection.rtt.map(|rtt| rtt.as_micros() as u64);
        row.name = node.state.shown_name(connection.peer_id, connection.name.as_deref());
    }
    let near = match node.state.role {
        Role::Up => node.near.seen(),
        // It has only now begun to look.
        Role::Alone => node.look_around().await,
    };
    for nearby in near {
        let row = row(&mut rows, nearby.peer.id);
        row.near = true;
        if row.connected {
            continue;
        }
        row.addr = nearby.peer.addrs.first().map(ToString::to_string);
        if row.name.is_empty() {
            row.name = node.state.shown_name(nearby.peer.id, nearby.name.as_deref());
        }
    }
    for (id, nickname) in node.state.pending() {
        let row = row(&mut rows, id);
        row.asks = true;
        row.name = node.state.shown_name(id, nickname.as_deref());
    }
    let mut rows: Vec<Row> = rows.into_values().collect();
    rows.sort_by_key(|row| (!row.paired, !row.connected, !row.near, row.name.clone()));
    for member in node.classic.iter().flat_map(|classic| classic.members()) {
        rows.push(Row {
            event: "peer".into(),
            name: text::escape(&member.id).into_owned(),
            addr: Some(format!("{}:{}", member.host, member.port)),
            classic: true,
            ..Row::default()
        });
    }
    Ok(rows)
}

fn row(rows: &mut BTreeMap<PeerId, Row>, id: PeerId) -> &mut Row {
    rows.entry(id).or_insert_with(|| Row { event: "peer".into(), peer: Some(id), ..Row::default() })
}
