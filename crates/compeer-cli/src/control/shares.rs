//! `share` alone and `share --stop`: what this node offers, and the end of it.
//!
//! What is kept is offered by a running `up` only, but listed and stopped without one too. Everything is listed, be it
//! kept or the business of a `send` that runs now; only what is named is stopped, by its number or by its whole name.

use crate::console::Report;
use crate::exit::{CommandError, Outcome};
use crate::node::Node;
use crate::size;
use compeer::text;
use compeer_share::Access;
use serde::{Deserialize, Serialize};

pub(crate) const KIND: &str = "shares";
pub(crate) const STOP: &str = "unshare";

/// List what is offered.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ListShares {}

/// One thing that is offered.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) event: String,
    pub(crate) id: u64,
    pub(crate) content: String,
    /// Raw.
    pub(crate) name: String,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// `ticket`, `peers` or `public`.
    pub(crate) access: String,
    /// Whether it outlives the node.
    pub(crate) kept: bool,
    /// What gives it away, if it is not public.
    pub(crate) ticket: String,
}

impl Report for Row {
    fn human(&self) -> String {
        let mut words = vec![size::files(self.files), size::show(self.bytes)];
        words.push(match self.access.as_str() {
            "public" => "public".to_string(),
            "peers" => "for some peers".to_string(),
            _ => "for who has the ticket".to_string(),
        });
        if !self.kept {
            words.push("until its command ends".to_string());
        }
        format!("{:>3}  {}  {}", self.id, text::escape(&self.name), words.join(", "))
    }
}

/// Stop offering what has this number or name.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stop {
    pub(crate) what: String,
}

/// It is offered no longer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stopped {
    pub(crate) event: String,
    pub(crate) id: u64,
    /// Raw.
    pub(crate) name: String,
}

impl Report for Stopped {
    fn human(&self) -> String {
        format!("{} is shared no longer", text::escape(&self.name))
    }
}

pub(super) async fn answer(node: Node, _: ListShares) -> Outcome<Vec<Row>> {
    node.restored().await;
    let row = |share: compeer_share::ShareInfo| Row {
        event: "share".into(),
        id: share.id,
        content: share.content.to_string(),
        name: share.name,
        files: share.files,
        bytes: share.bytes,
        access: match share.access {
            Access::Ticket => "ticket",
            Access::Only(_) => "peers",
            Access::Public => "public",
        }
        .into(),
        kept: share.kept,
        ticket: share.ticket,
    };
    Ok(node.shares.shares().into_iter().map(row).collect())
}

pub(super) async fn stop(node: Node, stop: Stop) -> Outcome<Vec<Stopped>> {
    node.restored().await;
    let all = node.shares.shares();
    let by_number = all.iter().find(|share| stop.what.parse() == Ok(share.id));
    let chosen: Vec<_> = match by_number {
        Some(share) => vec![share],
        None => all.iter().filter(|share| share.name == stop.what).collect(),
    };
    if chosen.is_empty() {
        return Err(CommandError::failed(format!("nothing called {} is shared", text::escape(&stop.what)))
            .hint("`compeer share` lists what is"));
    }
    let stop = |share: &compeer_share::ShareInfo| {
        node.shares.stop(share.id).map_err(|error| CommandError::failed(error.to_string()))?;
        Ok(Stopped { event: "unshared".into(), id: share.id, name: share.name.clone() })
    };
    chosen.into_iter().map(stop).collect()
}
