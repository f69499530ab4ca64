//! `find`: public shares of the peers around, by words, or all of one peer.
//!
//! A search asks the connected peers, those near and the paired ones, and their neighbours; it is over when all have
//! answered, or the time is. The results are numbered then, and kept in the home with what opens each, so that `get`
//! takes a number until the next `find`.

use super::within;
use crate::console::Report;
use crate::exit::{CommandError, Outcome};
use crate::node::{Node, blame};
use crate::size;
use compeer::{PeerAddr, ShareTicket, text};
use compeer_share::find::{Found, Summary, by_content};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::task::JoinSet;

pub(crate) const KIND: &str = "find";

/// How often a search is handed on: to the neighbours of those we ask, and theirs.
const HOPS: u8 = 2;
/// Those near and paired that are called for a search. A guess: others are asked by them.
const MAX_CALLED: usize = 16;
/// How long they may take to answer the call.
const CALL_WITHIN: Duration = Duration::from_secs(2);
/// Results that are shown and kept. A guess: more than one reads.
const MAX_RESULTS: usize = 500;
/// The setting that keeps the results.
const KEPT: &str = "found";

/// Find this.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Find {
    pub(crate) words: Vec<String>,
    /// This peer alone.
    pub(crate) on: Option<String>,
    pub(crate) timeout_ms: u64,
}

/// One result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hit {
    pub(crate) event: String,
    /// For `get`.
    pub(crate) number: u64,
    pub(crate) content: String,
    /// Raw.
    pub(crate) name: String,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// Peers that say they have it.
    pub(crate) peers: u64,
    /// The program of the classic protocol that says it has it, raw; then nothing is known of its size, and nothing proves
    /// what it gives.
    pub(crate) classic: Option<String>,
}

impl Report for Hit {
    fn human(&self) -> String {
        if let Some(at) = &self.classic {
            let (name, at) = (text::escape(&self.name), text::escape(at));
            return format!("{:>3}  {name}, at the old program {at}, unverified", self.number);
        }
        let peers = if self.peers == 1 { "1 peer".to_string() } else { format!("{} peers", self.peers) };
        let (files, size) = (size::files(self.files), size::show(self.bytes));
        format!("{:>3}  {}, {files}, {size}, {peers}", self.number, text::escape(&self.name))
    }
}

/// How a search went.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Searched {
    pub(crate) event: String,
    pub(crate) results: u64,
    /// Peers that were asked, by us or for us, and how many of them answered to the end.
    pub(crate) asked: u64,
    pub(crate) answered: u64,
    /// Whether all who were asked have answered, and everything is shown.
    pub(crate) complete: bool,
    /// Whether there is more than is shown.
    pub(crate) more: bool,
}

impl Report for Searched {
    fn human(&self) -> String {
        let results = match self.results {
            0 => "nothing found".to_string(),
            1 => "1 result".to_string(),
            results => format!("{results} results"),
        };
        let peers = if self.asked == 1 { "1 peer".to_string() } else { format!("{} peers", self.asked) };
        let (asked, answered) = (self.asked, self.answered);
        let end = match (self.complete, self.more) {
            _ if asked == 0 => "nobody is around to be asked".to_string(),
            (true, _) => format!("complete: {peers} asked, and all have answered"),
            (false, true) => "not complete: there is more than is shown, take more words".to_string(),
            (false, false) if answered < asked => {
                format!("not complete: {} of {peers} did not answer in time", asked - answered)
            }
            (false, false) => format!("not complete: somebody did not ask his neighbours ({peers} asked)"),
        };
        format!("{results}; {end}")
    }
}

/// What was found, and how the search went.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) hits: Vec<Hit>,
    pub(crate) searched: Searched,
}

/// A result as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    ticket: String,
    /// It is a promise of the peer in it, to get a file from an old program.
    #[serde(default)]
    classic: bool,
}

pub(super) async fn answer(node: Node, find: Find) -> Outcome<Results> {
    let words = find.words.join(" ");
    let (found, summary) = match &find.on {
        Some(on) => browse(&node, on, &words, within(find.timeout_ms)).await?,
        None => search(&node, &words, within(find.timeout_ms)).await?,
    };
    let mut all = by_content(found);
    let more = summary.truncated || all.len() > MAX_RESULTS;
    all.truncate(MAX_RESULTS);
    let keep = |(found, _): &(Found, usize)| Kept {
        ticket: found.ticket.to_string(),
        classic: found.classic.is_some(),
    };
    let kept: Vec<_> = all.iter().map(keep).collect();
    let kept = serde_json::to_string(&kept).map_err(|error| CommandError::failed(error.to_string()))?;
    node.state.store.set(KEPT, &kept)?;
    let hit = |(at, (found, peers)): (usize, (Found, usize))| Hit {
        event: "hit".into(),
        number: at as u64 + 1,
        content: found.content.to_string(),
        name: found.name,
        files: found.files.into(),
        bytes: found.bytes,
        peers: peers as u64,
        classic: found.classic,
    };
    let hits: Vec<_> = all.into_iter().enumerate().map(hit).collect();
    let searched = Searched {
        event: "searched".into(),
        results: hits.len() as u64,
        asked: summary.asked.into(),
        answered: summary.answered.into(),
        complete: summary.complete && !more,
        more,
    };
    Ok(Results { hits, searched })
}

async fn search(node: &Node, words: &str, timeout: Duration) -> Outcome<(Vec<Found>, Summary)> {
    gather(node).await?;
    let Some(mut search) = node.shares.search(words, HOPS, timeout) else {
        return Err(CommandError::failed("this peer cannot search, which is a defect"));
    };
    let mut found = Vec::new();
    while let Some(one) = search.next().await {
        found.push(one);
    }
    Ok((found, search.summary().await))
}

/// Calls those near and those paired, so that they can be asked. Who cannot be reached is not.
async fn gather(node: &Node) -> Outcome {
    let near = node.look_around().await.into_iter().map(|near| near.peer);
    let paired = node.state.store.peers()?.into_iter().filter(|known| known.petname.is_some()).map(|known| {
        let addrs = known.addrs.iter().filter_map(|addr| addr.parse().ok()).collect();
        PeerAddr { id: known.id, addrs }
    });
    let mut calls = JoinSet::new();
    let new = |peer: &PeerAddr| {
        peer.id != node.state.id && !node.peer.is_blocked(peer.id) && node.connection(peer.id).is_none()
    };
    for peer in paired.chain(near).filter(new).take(MAX_CALLED) {
        let own = node.peer.clone();
        calls.spawn(async move { tokio::time::timeout(CALL_WITHIN, own.connect(peer)).await.is_ok() });
    }
    while calls.join_next().await.is_some() {}
    Ok(())
}

async fn browse(node: &Node, on: &str, words: &str, timeout: Duration) -> Outcome<(Vec<Found>, Summary)> {
    let listed = async {
        let reached = node.reach(on).await?;
        let peer = PeerAddr { id: reached.id, addrs: node.known_addrs(reached.id) };
        node.shares.browse(peer).await.map_err(|error| blame::request(&reached.name, &error))
    };
    let listed = tokio::time::timeout(timeout, listed).await;
    let mut found =
        listed.unwrap_or_else(|_| Err(CommandError::unreachable(format!("{on} did not answer in time"))))?;
    let words: Vec<_> = words.split_whitespace().map(str::to_lowercase).collect();
    let fits = |found: &Found| {
        let name = found.name.to_lowercase();
        words.iter().all(|word| name.contains(word))
    };
    let truncated = found.len() >= compeer_share::limits::MAX_BROWSE;
    found.retain(fits);
    Ok((found, Summary { asked: 1, answered: 1, complete: !truncated, truncated }))
}

/// The ticket of a result of the last search; what an old program has, the peer that told of it gets now.
pub(super) async fn result(node: &Node, number: usize) -> Outcome<ShareTicket> {
    let kept = node.state.store.setting(KEPT)?.unwrap_or_default();
    let kept: Vec<Kept> = serde_json::from_str(&kept).unwrap_or_default();
    let known = number.checked_sub(1).and_then(|at| kept.get(at));
    let known = known.ok_or_else(|| {
        CommandError::usage(format!("there is no result {number}: the last search had {}", kept.len()))
            .hint("search first:  compeer find WORDS")
    })?;
    let ticket: ShareTicket =
        known.ticket.parse().map_err(|error| CommandError::failed(format!("{error}")))?;
    if !known.classic {
        return Ok(ticket);
    }
    let who = ticket.peers.first().map(|peer| node.state.shown_name(peer.id, None)).unwrap_or_default();
    node.shares.bring(&ticket).await.map_err(|error| blame::request(&who, &error))
}
