//! `get`: files fetched by this node, for a command that is asked in between.
//!
//! The client says what to fetch and where to; the node finds it and answers with what it is and what is in the way
//! ([`FOUND`]); the client, who may have asked a person, says go ([`Go`]) or goes away; the node fetches, telling how
//! far it is, and answers at last. If the client goes away meanwhile, the transfer stops and stays, to be resumed.
//! With `list` the answer is the list of files; to standard output, the bytes come as [`DATA`].

mod old;
mod run;
mod whence;

pub(super) use run::answer;

use crate::console::Report;
use crate::exit::plain;
use crate::progress;
use crate::size;
use compeer::{Kind, PeerId, text};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

pub(crate) const KIND: &str = "get";
/// What is looked for: a [`Looking`].
pub(crate) const LOOKING: Kind = Kind::from_static("looking");
/// What it is and what is in the way: a [`Found`].
pub(crate) const FOUND: Kind = Kind::from_static("found");
/// Some of the files: a list of [`Entry`].
pub(crate) const ENTRIES: Kind = Kind::from_static("entries");
/// How far it is: a [`Step`](progress::Step).
pub(crate) const STEP: Kind = Kind::from_static("step");
/// Something happened: a [`GetEvent`].
pub(crate) const EVENT: Kind = Kind::from_static("event");
/// The next bytes, for standard output.
pub(crate) const DATA: Kind = Kind::from_static("data");

/// Fetch this.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Get {
    /// A code, a ticket, the number of a search result, a paired peer who asked us to fetch something; empty: `transfer`.
    pub(crate) what: String,
    /// The interrupted transfer to go on with.
    pub(crate) transfer: Option<String>,
    /// Where the sender is, if it cannot be found.
    pub(crate) from: Option<String>,
    /// Only the files that fit one of these.
    pub(crate) only: Vec<String>,
    pub(crate) to: Destination,
    pub(crate) timeout_ms: u64,
}

/// Where to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Destination {
    /// Nowhere: list the files.
    #[default]
    List,
    /// Standard output of the client.
    Stdout,
    /// Into a directory, which is there or is made.
    Directory(PathBuf),
    /// A file of this name, or into a directory if it is one, or is to be one because there are several files.
    Either(PathBuf),
}

/// What is looked for, ready for the screen.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Looking {
    pub(crate) event: String,
    pub(crate) what: String,
}

impl Report for Looking {
    fn human(&self) -> String {
        format!("looking for {}", self.what)
    }
}

/// What was found, and what stands in its way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) event: String,
    pub(crate) content: String,
    /// Raw.
    pub(crate) name: String,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// Files and bytes that were chosen and are not there yet.
    pub(crate) wanted_files: u64,
    pub(crate) wanted_bytes: u64,
    /// Who has it, ready for the screen.
    pub(crate) peers: Vec<String>,
    /// Where it goes; raw.
    pub(crate) target: Option<String>,
    /// Files that are there already and are the same.
    pub(crate) same_files: u64,
    /// How many names are taken by something else, and the first of them; raw.
    pub(crate) taken_files: u64,
    pub(crate) taken: Vec<String>,
}

impl Found {
    /// One line: what it is and who has it.
    pub(crate) fn summary(&self) -> String {
        let what = size::share(&text::escape(&self.name), self.files, self.bytes);
        match self.peers.as_slice() {
            [] => what,
            peers => format!("{what}, from {}", peers.join(", ")),
        }
    }
}

impl Report for Found {
    fn human(&self) -> String {
        self.summary()
    }
}

/// What to do with names that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Taken {
    /// Fetch nothing.
    Refuse,
    /// Replace what is there.
    Overwrite,
    /// Find another name for what comes.
    Rename,
}

/// Go.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Go {
    pub(crate) taken: Taken,
}

/// One file of a list.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) event: String,
    /// Raw.
    pub(crate) path: String,
    pub(crate) size: u64,
    pub(crate) executable: bool,
    /// Seconds since 1970.
    pub(crate) modified: i64,
}

impl Report for Entry {
    fn human(&self) -> String {
        format!("{:>9}  {}", size::short(self.size), text::escape(&self.path))
    }
}

/// One thing that happened while it was fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum GetEvent {
    /// It has begun, or goes on; `transfers` calls it so.
    Fetching { transfer: String },
    /// Another peer gives some of it.
    Source { peer: PeerId, name: String },
    /// A peer gives no more.
    SourceLost { peer: PeerId, name: String, reason: String },
    /// Nobody gives now: those who did are called again for so long.
    Waiting { names: Vec<String>, wait_s: u64 },
    /// A peer does not have it, or not for us.
    SourceRefused { peer: PeerId, name: String },
    /// A file was changed there since it was shared; `path` is raw.
    SourceChanged { peer: PeerId, name: String, path: String },
    /// A peer gave what is not the content, and is asked no more.
    Liar { peer: PeerId, name: String },
}

impl Report for GetEvent {
    fn human(&self) -> String {
        match self {
            GetEvent::Fetching { transfer, .. } => format!("transfer {transfer}"),
            GetEvent::Source { name, .. } => format!("* from {name}"),
            GetEvent::SourceLost { name, reason, .. } => {
                format!("* {name} gives no more: {}", text::escape(&plain(reason)))
            }
            GetEvent::Waiting { names, wait_s } => format!(
                "  waiting for {} to come back, {wait_s} s left; ctrl-c keeps what has arrived",
                names.join(", ")
            ),
            GetEvent::SourceRefused { name, .. } => {
                format!("* {name} does not have it, or not for this peer")
            }
            GetEvent::SourceChanged { name, path, .. } => {
                format!("* {} was changed at {name} since it was shared", text::escape(path))
            }
            GetEvent::Liar { name, .. } => {
                format!("* {name} gave bytes that are not the content: refused, nothing of it was written")
            }
        }
    }
}

/// It is all there.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Got {
    pub(crate) event: String,
    /// Where the files are: what stands at the top; raw. Empty for standard output.
    pub(crate) paths: Vec<String>,
    pub(crate) files: u64,
    /// Of all chosen files.
    pub(crate) bytes: u64,
    /// What came over the network in this run.
    pub(crate) received_bytes: u64,
    pub(crate) took_ms: u64,
    /// Bytes per second.
    pub(crate) rate: u64,
    pub(crate) sources: u32,
    /// Files that were there already.
    pub(crate) same_files: u64,
}

impl Report for Got {
    fn human(&self) -> String {
        let paths = match self.paths.as_slice() {
            [] => "all of it".to_string(),
            [path] => near(path),
            [first, rest @ ..] => format!("{} and {} more", near(first), rest.len()),
        };
        if self.same_files == self.files {
            return "everything is there already, and the same".to_string();
        }
        let seconds = self.took_ms as f64 / 1000.0;
        let took = if seconds < 60.0 { format!("{seconds:.1} s") } else { progress::clock(seconds as u64) };
        let from =
            if self.sources == 1 { "1 source".to_string() } else { format!("{} sources", self.sources) };
        let mut words = vec![size::show(self.received_bytes), took, size::rate(self.rate), from];
        let before = self.bytes.saturating_sub(self.received_bytes);
        if self.same_files > 0 {
            words.push(format!("{} there already", size::files(self.same_files)));
        } else if before > 0 {
            words.push(format!("{} of {} were here already", size::show(before), size::show(self.bytes)));
        }
        format!("{paths}: {}", words.join(", "))
    }
}

/// A path as short as it can be typed here.
fn near(path: &str) -> String {
    let here = std::env::current_dir().ok();
    let short = here.and_then(|here| std::path::Path::new(path).strip_prefix(here).ok()?.to_str());
    text::escape(short.filter(|short| !short.is_empty()).unwrap_or(path)).into_owned()
}
