//! `transfers`: what this node fetches or began to fetch, and the end of one for good.
//!
//! Going on with one is [`get`](super::get) with its number. Discarding removes what has come, and nothing else.

use crate::console::Report;
use crate::exit::{CommandError, Outcome};
use crate::node::{Node, blame};
use crate::size;
use compeer::text;
use serde::{Deserialize, Serialize};

pub(crate) const KIND: &str = "transfers";
pub(crate) const DISCARD: &str = "discard";

/// List the transfers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ListTransfers {}

/// One transfer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) event: String,
    pub(crate) id: String,
    /// Raw.
    pub(crate) name: String,
    /// Where it goes; raw.
    pub(crate) target: String,
    pub(crate) running: bool,
    pub(crate) done_bytes: u64,
    pub(crate) total_bytes: u64,
}

impl Report for Row {
    fn human(&self) -> String {
        let state = if self.running { "running" } else { "interrupted" };
        format!(
            "{}  {}, {} of {}, to {}, {state}",
            self.id,
            text::escape(&self.name),
            size::short(self.done_bytes),
            size::short(self.total_bytes),
            text::escape(&self.target)
        )
    }
}

/// Discard that one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Discard {
    pub(crate) id: String,
}

/// It is discarded.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Discarded {
    pub(crate) event: String,
    pub(crate) id: String,
    /// Raw.
    pub(crate) name: String,
}

impl Report for Discarded {
    fn human(&self) -> String {
        format!("transfer {} ({}) is discarded", self.id, text::escape(&self.name))
    }
}

pub(super) async fn answer(node: Node, _: ListTransfers) -> Outcome<Vec<Row>> {
    let row = |transfer: compeer_share::TransferInfo| Row {
        event: "transfer".into(),
        id: transfer.id,
        name: transfer.title,
        target: transfer.dir.display().to_string(),
        running: transfer.running,
        done_bytes: transfer.done,
        total_bytes: transfer.bytes,
    };
    Ok(node.shares.transfers().into_iter().map(row).collect())
}

pub(super) async fn discard(node: Node, discard: Discard) -> Outcome<Discarded> {
    let id = discard.id;
    let known = node.shares.transfers().into_iter().find(|transfer| transfer.id == id);
    let name = known.map(|transfer| transfer.title).unwrap_or_default();
    match node.shares.discard(&id).map_err(|error| blame::fetch(&error))? {
        true => Ok(Discarded { event: "discarded".into(), id, name }),
        false => {
            Err(CommandError::failed(format!("there is no transfer {id}"))
                .hint("`compeer transfers` lists them"))
        }
    }
}
