//! The ticket of a share: where it may be had, what it is, and the secret that lets one have it.
//!
//! As the body of a ticket it is
//!
//! ```text
//! peers    a list of 1 to 4 PeerAddrs, with 16 addresses in all at most
//! root     32 bytes     which content: the BLAKE3 root of its manifest
//! secret   16 bytes     known to whoever may have it
//! ```
//!
//! Other than a peer ticket it is a secret: who holds it may fetch what it names. So its `Debug` does not show the
//! secret, and a log of it gives nothing away; its text is the whole ticket, made for being passed on.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use super::{Ticket, TicketError};
use crate::limits::{MAX_ADDRS, MAX_TICKET_PEERS, SHARE_ROOT_LEN, SHARE_SECRET_LEN};
use crate::{PeerAddr, bounded};

/// A share, from whom it may be had, and the secret that opens it.
///
/// ```
/// use compeer_proto::{PeerAddr, ShareTicket};
///
/// let id: compeer_proto::PeerId = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkena".parse()?;
/// let ticket = ShareTicket::new([PeerAddr::from(id)], [7; 32], [9; 16]);
/// let word = ticket.to_string();
/// assert!(word.starts_with("share"));
/// assert_eq!(word.parse::<ShareTicket>()?, ticket);
/// assert!(!format!("{ticket:?}").contains("9, 9"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ShareTicket {
    /// Who has it, best first; 1 to [`MAX_TICKET_PEERS`].
    pub peers: Vec<PeerAddr>,
    /// What it is: the BLAKE3 root of its manifest.
    pub root: [u8; SHARE_ROOT_LEN],
    /// What whoever fetches it has to know.
    pub secret: [u8; SHARE_SECRET_LEN],
}

impl ShareTicket {
    /// The share of this root at these peers: the first [`MAX_TICKET_PEERS`] of them, with [`MAX_ADDRS`] addresses in
    /// all, shared out evenly. A ticket without a peer leads nowhere and cannot be read.
    pub fn new(
        peers: impl IntoIterator<Item = PeerAddr>,
        root: [u8; SHARE_ROOT_LEN],
        secret: [u8; SHARE_SECRET_LEN],
    ) -> Self {
        ShareTicket { peers: fit(peers.into_iter().take(MAX_TICKET_PEERS).collect()), root, secret }
    }

    pub(super) fn to_body(&self) -> Vec<u8> {
        let peers = fit(self.peers.iter().take(MAX_TICKET_PEERS).cloned().collect());
        // Writing numbers and bytes to a Vec cannot fail.
        postcard::to_allocvec(&(peers, self.root, self.secret)).unwrap_or_default()
    }

    pub(super) fn from_body(body: &[u8]) -> Option<Self> {
        let (Peers(peers), root, secret) = match postcard::take_from_bytes(body) {
            Ok((read, [])) => read,
            _ => return None,
        };
        Some(ShareTicket { peers, root, secret })
    }
}

/// Takes addresses away, the last of whoever has most, until there are few enough.
fn fit(mut peers: Vec<PeerAddr>) -> Vec<PeerAddr> {
    while peers.iter().map(|peer| peer.addrs.len()).sum::<usize>() > MAX_ADDRS {
        let Some(most) = peers.iter_mut().max_by_key(|peer| peer.addrs.len()) else { break };
        most.addrs.pop();
    }
    peers
}

/// As they are read.
struct Peers(Vec<PeerAddr>);

impl<'de> Deserialize<'de> for Peers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let peers: Vec<PeerAddr> = bounded::list(deserializer, MAX_TICKET_PEERS)?;
        let addrs: usize = peers.iter().map(|peer| peer.addrs.len()).sum();
        if peers.is_empty() || addrs > MAX_ADDRS {
            return Err(de::Error::custom("no peers, or too many addresses"));
        }
        Ok(Peers(peers))
    }
}

impl fmt::Debug for ShareTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root: String = self.root.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        f.debug_struct("ShareTicket").field("peers", &self.peers).field("root", &root).finish_non_exhaustive()
    }
}

/// The whole ticket, the secret included.
impl fmt::Display for ShareTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Ticket::Share(self.clone()), f)
    }
}

impl FromStr for ShareTicket {
    type Err = TicketError;
    fn from_str(text: &str) -> Result<Self, TicketError> {
        text.parse::<Ticket>()?.into_share()
    }
}

/// Always the text, as [`Ticket`].
impl Serialize for ShareTicket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ShareTicket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}
