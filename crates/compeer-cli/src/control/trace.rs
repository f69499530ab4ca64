//! `trace` and `peers --map`: how something is found, step by step, and what the overlay looks like from here.
//!
//! A trace is a look-up like any other, to the end and with all that was asked told. The map is the routing table: for
//! each distance, how many peers are known there.

use crate::console::Report;
use crate::duration;
use crate::exit::{CommandError, Outcome};
use crate::node::Node;
use crate::target;
use compeer::overlay::{Busy, Key, Overlay, StepEnd};
use compeer::{PeerId, Ticket};
use compeer_share::ContentId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) const KIND: &str = "trace";
pub(crate) const MAP: &str = "map";

/// Look something up and tell each step.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Trace {
    pub(crate) what: String,
}

/// What a look-up asked and found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Traced {
    pub(crate) steps: Vec<Step>,
    pub(crate) end: Found,
}

/// One question.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) event: String,
    pub(crate) peer: PeerId,
    /// Ready for the screen.
    pub(crate) name: String,
    /// Who told of it; null: it was known.
    pub(crate) by: Option<PeerId>,
    pub(crate) path: usize,
    pub(crate) hops: u32,
    /// Bits that it shares with what is looked for.
    pub(crate) bits: usize,
    /// When it was asked, after the first.
    pub(crate) after_us: u64,
    /// How long it took; null: it was not waited for.
    pub(crate) took_us: Option<u64>,
    /// Whether it answered; null: not waited for.
    pub(crate) answered: Option<bool>,
    /// How many nearer peers it named that were new, and how many records it gave.
    pub(crate) peers: usize,
    pub(crate) records: usize,
}

/// How it ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) event: String,
    /// What was looked for: a peer or a content.
    pub(crate) what: String,
    /// Who was found: the peer itself, or those who have the content.
    pub(crate) found: Vec<Place>,
    pub(crate) asked: usize,
    pub(crate) hops: u32,
    pub(crate) took_us: u64,
    /// The way of the connection with the peer, if there is one: those that carry it, nearest first; empty: direct.
    pub(crate) over: Option<Vec<PeerId>>,
}

/// A peer and where it says it is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) peer: PeerId,
    pub(crate) name: String,
    pub(crate) addrs: Vec<String>,
}

impl Report for Step {
    fn human(&self) -> String {
        let id = self.peer.short();
        let who = if self.name == id { id } else { format!("{} ({id})", self.name) };
        let told = self.by.map_or("known".to_string(), |by| format!("told of by {}", by.short()));
        let came = match (self.answered, self.peers, self.records) {
            (Some(true), peers, 0) => format!("named {peers} new"),
            (Some(true), _, records) => format!("has the record ({records})"),
            (Some(false), ..) => "no answer".to_string(),
            (None, ..) => "not waited for".to_string(),
        };
        let took = self.took_us.map(|took| format!(", {}", duration::show(Duration::from_micros(took))));
        format!(
            "  hop {}  path {}  {:>3} bits  {who}, {told}: {came}{}",
            self.hops,
            self.path + 1,
            self.bits,
            took.unwrap_or_default()
        )
    }
}

impl Report for Found {
    fn human(&self) -> String {
        let took = duration::show(Duration::from_micros(self.took_us));
        let mut lines: Vec<String> = Vec::new();
        for place in &self.found {
            let at =
                if place.addrs.is_empty() { "behind others".to_string() } else { place.addrs.join(", ") };
            lines.push(format!("found {} ({}) at {at}", place.name, place.peer.short()));
        }
        if self.found.is_empty() {
            lines.push(format!("{} was not found", self.what));
        }
        match self.over.as_deref() {
            None => {}
            Some([]) => lines.push("connected directly".to_string()),
            Some(over) => {
                let over: Vec<_> = over.iter().map(PeerId::short).collect();
                lines.push(format!("connected over {}", over.join(", then ")));
            }
        }
        lines.push(format!("{} asked, {} in a row, {took}", self.asked, self.hops));
        lines.join("\n")
    }
}

fn overlay(node: &Node) -> Outcome<Overlay> {
    node.peer.overlay().ok_or_else(|| {
        CommandError::usage("with --no-overlay nothing is looked up among other peers")
            .hint("leave it out, or remove it from the settings:  compeer config no-overlay --unset")
    })
}

pub(super) async fn answer(node: Node, trace: Trace) -> Outcome<Traced> {
    let overlay = overlay(&node)?;
    let typed = trace.what.trim();
    let content = match typed.parse() {
        Ok(Ticket::Share(share)) => Some(share.root),
        _ => None,
    };
    let peer = match content {
        Some(_) => None,
        None => target::resolve(typed, &node.state.store).ok().and_then(|target| target.id),
    };
    // An id and a content look the same: 52 letters. Whatever is no peer's key is a content.
    let (key, what) = match (
        peer,
        content.or_else(|| typed.parse::<ContentId>().ok().map(|id| *id.as_bytes())),
    ) {
        (Some(id), _) => (Key::of_peer(&id), target::brief(typed)),
        (None, Some(root)) => (Key::of_content(&root), "this content".to_string()),
        (None, None) => {
            return Err(CommandError::usage(format!("{typed:?} is no paired peer, ticket, id or content"))
                .hint("a peer that is only known by its address has to be called once:  compeer say ADDRESS hello"));
        }
    };
    let begun = node.peer.clock().now();
    let busy = |busy: Busy| CommandError::failed(busy.to_string());
    let mut outcome = overlay.look_up(key, false).await.map_err(busy)?;
    if outcome.met.is_none() && outcome.records.is_empty() && peer.is_some() {
        // Half of all contents could be somebody's key.
        if let Ok(content) = typed.parse::<ContentId>() {
            let key = Key::of_content(content.as_bytes());
            let mut other = overlay.look_up(key, false).await.map_err(busy)?;
            outcome.steps.append(&mut other.steps);
            outcome = compeer::overlay::Outcome { steps: outcome.steps, ..other };
        }
    }
    let took_us = node.peer.clock().now().since(begun).as_micros() as u64;
    let steps = outcome.steps.iter().map(|step| {
        let (answered, took, peers, records) = match step.end {
            Some(StepEnd::Answered { after, peers, records }) => (Some(true), Some(after), peers, records),
            Some(StepEnd::Failed { after }) => (Some(false), Some(after), 0, 0),
            None => (None, None, 0, 0),
        };
        Step {
            event: "step".into(),
            peer: step.peer,
            name: node.state.shown_name(step.peer, None),
            by: step.by,
            path: step.path,
            hops: step.hops,
            bits: step.bits,
            after_us: step.asked.since(begun).as_micros() as u64,
            took_us: took.map(|took| took.as_micros() as u64),
            answered,
            peers,
            records,
        }
    });
    let met = outcome.met.iter().map(|met| met.to_peer_addr());
    let told = outcome.records.iter().map(|record| record.publisher().clone());
    let mut found: BTreeMap<PeerId, Vec<String>> = BTreeMap::new();
    for place in met.chain(told) {
        let addrs = found.entry(place.id).or_default();
        for addr in place.addrs.iter().map(ToString::to_string) {
            if !addrs.contains(&addr) {
                addrs.push(addr);
            }
        }
    }
    let name = |id| node.state.shown_name(id, None);
    let found = found.into_iter().map(|(peer, addrs)| Place { peer, name: name(peer), addrs }).collect();
    let over = peer.and_then(|id| node.connection(id)).map(|connection| connection.over);
    let end = Found {
        event: "traced".into(),
        what,
        found,
        asked: outcome.steps.len(),
        hops: outcome.hops,
        took_us,
        over,
    };
    Ok(Traced { steps: steps.collect(), end })
}

/// Draw the overlay as this peer knows it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AskMap {}

/// The overlay as this peer knows it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Map {
    pub(crate) event: String,
    /// By how many peers the record of this one is kept.
    pub(crate) known_by: usize,
    /// How many records of others are kept here.
    pub(crate) kept: usize,
    pub(crate) peers: Vec<OnMap>,
}

/// One peer of the table.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OnMap {
    pub(crate) peer: PeerId,
    pub(crate) name: String,
    pub(crate) addr: Option<String>,
    /// Bits of its key that are ours too: the more, the closer.
    pub(crate) bits: usize,
    pub(crate) silent_s: u64,
    pub(crate) failures: u8,
}

/// Peers named on a line of the map; the others are counted.
const NAMED: usize = 4;

impl Report for Map {
    fn human(&self) -> String {
        let mut rings: BTreeMap<usize, Vec<&OnMap>> = BTreeMap::new();
        for peer in &self.peers {
            rings.entry(peer.bits).or_default().push(peer);
        }
        let mut lines = vec!["bits shared with this peer; # answers, . failed".to_string()];
        for (bits, ring) in rings.iter().rev() {
            let marks: String = ring.iter().map(|peer| if peer.failures == 0 { '#' } else { '.' }).collect();
            let mut names: Vec<_> = ring.iter().take(NAMED).map(|peer| peer.name.clone()).collect();
            if ring.len() > NAMED {
                names.push(format!("and {} more", ring.len() - NAMED));
            }
            lines.push(format!("{bits:>4}  {marks:<20}  {}", names.join(", ")));
        }
        if self.peers.is_empty() {
            lines = vec!["nobody is known in the overlay yet".to_string()];
        }
        lines.push(format!(
            "{} peers known; {} keep where this peer is; {} records kept for others",
            self.peers.len(),
            self.known_by,
            self.kept
        ));
        lines.join("\n")
    }
}

pub(super) async fn map(node: Node, _: AskMap) -> Outcome<Map> {
    let overlay = overlay(&node)?;
    let peers = overlay.peers().into_iter().map(|peer| OnMap {
        peer: peer.addr.id,
        name: node.state.shown_name(peer.addr.id, None),
        addr: peer.addr.addrs.first().map(ToString::to_string),
        bits: peer.bits,
        silent_s: peer.silent.as_secs(),
        failures: peer.failures,
    });
    Ok(Map {
        event: "map".into(),
        known_by: overlay.known_by(),
        kept: overlay.kept(),
        peers: peers.collect(),
    })
}
