//! What can happen at a node, as `up` and `chat` show it: one line for people, one JSON object for programs.
//!
//! Names in here are ready for the screen (`names.rs`), texts are as the peer sent them and escaped in `human`.

use crate::console::Report;
use crate::duration;
use crate::exit::plain;
use crate::size;
use compeer::{PeerId, text};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum NodeEvent {
    /// A peer said something.
    Message { peer: PeerId, name: String, text: String },
    /// A connection came to be.
    Connected { peer: PeerId, name: String, addr: Option<String>, dialled: bool },
    /// The last connection with a peer ended; with `again` it is called until it is back.
    Left { peer: PeerId, name: String, reason: String, again: bool },
    /// A peer would like to be paired; nothing happened yet.
    PairAsked { peer: PeerId, name: String },
    /// A paired peer has paired with us too.
    PairedBack { peer: PeerId, name: String },
    /// A kept connection is down and will be tried again.
    Retrying { peer: Option<PeerId>, name: String, after_ms: u64, reason: String },
    /// Somebody else answers where a peer should be.
    WrongKey { expected: PeerId, found: PeerId, addr: String },
    /// Our key, or a peer's, is in use by two machines at once.
    KeyRunsTwice { peer: PeerId, name: String, own: bool },
    /// A paired peer would like us to fetch something; with `accepted` that happens by itself. `share` is raw.
    FilesOffered { peer: PeerId, name: String, share: String, files: u64, bytes: u64, accepted: bool },
    /// What a peer offered has come, by itself; `path` is raw.
    FilesCame { peer: PeerId, name: String, share: String, path: String, bytes: u64 },
    /// The programs of the classic protocol around one have been joined; so many have taken this one in.
    ClassicJoined { addr: String, members: usize },
    /// Anything else the user should know.
    Trouble { message: String },
}

impl NodeEvent {
    /// The peer it is about.
    pub(crate) fn peer(&self) -> Option<PeerId> {
        match self {
            NodeEvent::Message { peer, .. }
            | NodeEvent::Connected { peer, .. }
            | NodeEvent::Left { peer, .. }
            | NodeEvent::PairAsked { peer, .. }
            | NodeEvent::PairedBack { peer, .. }
            | NodeEvent::FilesOffered { peer, .. }
            | NodeEvent::FilesCame { peer, .. }
            | NodeEvent::KeyRunsTwice { peer, .. } => Some(*peer),
            NodeEvent::WrongKey { expected, .. } => Some(*expected),
            NodeEvent::Retrying { peer, .. } => *peer,
            NodeEvent::ClassicJoined { .. } | NodeEvent::Trouble { .. } => None,
        }
    }
}

impl Report for NodeEvent {
    fn prose(&self) -> bool {
        // Each row of a message has its author.
        !matches!(self, NodeEvent::Message { .. })
    }

    fn human(&self) -> String {
        match self {
            NodeEvent::Message { name, text, .. } => attributed(name, text),
            NodeEvent::Connected { name, addr: Some(addr), .. } => format!("* {name} connected ({addr})"),
            NodeEvent::Connected { name, .. } => format!("* {name} connected"),
            NodeEvent::Left { name, reason, again, .. } => {
                let left = format!("* {name} left ({})", text::escape(&plain(reason)));
                if *again { format!("{left}; called again until it is back") } else { left }
            }
            NodeEvent::PairAsked { peer, name } => {
                format!("* {name} asks to be paired; if you know who that is, type:  compeer pair {peer}")
            }
            NodeEvent::PairedBack { name, .. } => format!("* {name} has paired with you too"),
            NodeEvent::Retrying { peer, name, after_ms, reason } => {
                let reason = plain(reason);
                let (reason, after) = (text::escape(&reason), duration::show(Duration::from_millis(*after_ms)));
                match peer {
                    Some(_) => format!("* {name}: {reason}; next try in {after}"),
                    // The reason names the address already.
                    None => format!("* {reason}; next try in {after}"),
                }
            }
            NodeEvent::WrongKey { expected, found, addr } => format!(
                "* refused: another key answers at {addr}\n*   expected {expected}\n*   found    {found}"
            ),
            NodeEvent::KeyRunsTwice { own: true, .. } => {
                "* this peer's key is in use on another machine too: stop one of them, a key is for one machine".into()
            }
            NodeEvent::KeyRunsTwice { name, .. } => format!("* {name}'s key is in use on two machines at once"),
            NodeEvent::FilesOffered { name, share, files, bytes, accepted, .. } => {
                let what = size::share(&text::escape(share), *files, *bytes);
                match accepted {
                    true => format!("* {name} sends {what}; it is being fetched"),
                    false => format!("* {name} would like to send {what}; to take it, type:  compeer get {name}"),
                }
            }
            NodeEvent::FilesCame { name, share, path, bytes, .. } => {
                let (share, path) = (text::escape(share), text::escape(path));
                format!("* {share} from {name} is there ({}): {path}", size::show(*bytes))
            }
            NodeEvent::ClassicJoined { addr, members: 1 } => format!("* joined the old program at {addr}"),
            NodeEvent::ClassicJoined { addr, members } => {
                format!("* joined {members} old programs, by way of {addr}")
            }
            NodeEvent::Trouble { message } => format!("* {}", text::escape(&plain(message))),
        }
    }

    fn chatty(&self) -> bool {
        matches!(self, NodeEvent::Connected { .. } | NodeEvent::Left { .. } | NodeEvent::Retrying { .. })
    }
}

/// A text with its author before each line, so that no line can pass for somebody else's.
pub(crate) fn attributed(name: &str, said: &str) -> String {
    let lines = said.strip_suffix('\n').unwrap_or(said).split('\n');
    let lines: Vec<_> = lines.map(|line| format!("{name}: {}", text::escape(line))).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_its_author_and_no_control_characters() {
        assert_eq!(attributed("bob", "hello"), "bob: hello");
        assert_eq!(attributed("bob", "hello\nalice: hi\n"), "bob: hello\nbob: alice: hi");
        assert_eq!(attributed("bob", "\u{1b}[2J\r"), "bob: \\u{1b}[2J\\r");
    }

    #[test]
    fn json_and_back() {
        let peer = compeer::Identity::from_seed(&[1; 32]).peer_id();
        let event = NodeEvent::Message { peer, name: "bob".into(), text: "\u{1b}".into() };
        let json = serde_json::to_string(&event).unwrap();
        assert!(json.starts_with(r#"{"event":"message","peer":""#), "{json}");
        assert!(!json.contains('\u{1b}'));
        assert_eq!(serde_json::from_str::<NodeEvent>(&json).unwrap(), event);
    }
}
