//! Tickets: where to find something, as one word that survives being pasted.
//!
//! A ticket is its type in letters (`peer`, `share`), then base32 of
//!
//! ```text
//! version   u8          1
//! body      varint length, bytes      peer: 32 bytes of id, a list of addresses; share: see there
//! ext       an extension list         no tags yet
//! checksum  4 bytes     BLAKE3 of the type and everything before
//! ```
//!
//! The checksum stands at the end in every version, so that a slip in copying is never taken for
//! a ticket from the future. It guards against accidents only: what a ticket says is proven by
//! the handshake with the peer it leads to.
//!
//! A peer ticket is public: it says who and where, as a visiting card does. A share ticket
//! ([`ShareTicket`]) is a secret. Tickets of rooms (`room…`) come with those; their word is reserved.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use crate::PeerAddr;
use crate::base32::{self, Base32Error};
use crate::ext::{Ext, ExtError};
use crate::limits::{MAX_TICKET_TEXT_LEN, TICKET_CHECKSUM_LEN};

mod share;

pub use share::ShareTicket;

const PEER: &str = "peer";
const SHARE: &str = "share";
/// Types that are read here.
const READ: [&str; 2] = [PEER, SHARE];
/// Types that later versions make.
const RESERVED: [&str; 1] = ["room"];
const VERSION: u8 = 1;
/// Separates the checksum from every other use of BLAKE3 here.
const CHECKSUM_CONTEXT: &str = "compeer ticket checksum";
/// The least that [`Ticket::looks_like`] believes, in characters after the type: a version, an
/// id and a checksum take 60.
const SHORTEST_BELIEVED: usize = 24;

/// Something to find, as one pasteable word.
///
/// ```
/// use compeer_proto::{PeerAddr, Ticket};
///
/// let id = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkena".parse()?;
/// let word = Ticket::Peer(PeerAddr::new(id, ["192.168.1.20".parse()?])).to_string();
/// assert!(word.starts_with("peer"));
/// assert_eq!(word.parse::<Ticket>()?.to_string(), word);
///
/// let error = word[..40].parse::<Ticket>().unwrap_err();
/// assert_eq!(error.to_string(), "the ticket is cut short: copy the whole word");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ticket {
    /// A peer and where it may be reached.
    Peer(PeerAddr),
    /// A share, where it may be had, and its secret.
    Share(ShareTicket),
}

/// Why a text is not a [`Ticket`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// It does not begin as tickets do.
    #[error(
        "this is not a ticket: one begins with \"{PEER}\" (as printed by `compeer ticket`) or \"{SHARE}\" (by `compeer share`)"
    )]
    NotATicket,
    /// A sound ticket of another type than is needed.
    #[error("this is a {found} ticket, and a {needed} ticket is needed here: {}", whence(.needed))]
    WrongType {
        /// What it is.
        found: &'static str,
        /// What it should be.
        needed: &'static str,
    },
    /// A ticket of a type that this version does not read.
    #[error("this is a {0} ticket, which this version does not read: a newer version does")]
    NewerType(&'static str),
    /// Something is missing at the end.
    #[error("the ticket is cut short: copy the whole word")]
    CutShort,
    /// Longer than any ticket.
    #[error("this is too long for a ticket (at most {MAX_TICKET_TEXT_LEN} characters): copy the word alone")]
    TooLong,
    /// A character that tickets do not have.
    #[error("character {} of the ticket is not one of a-z and 2-7: copy the word again", .position + 1)]
    Character {
        /// Its place in the whole word, counted from 0.
        position: usize,
    },
    /// The checksum does not fit.
    #[error("the ticket has a slip in it (its checksum does not fit): copy it again")]
    Checksum,
    /// Whole and sound, but made by a later version.
    #[error(
        "the ticket is of version {0}, this program reads version {VERSION}: update it, or ask for an older ticket"
    )]
    NewerVersion(u8),
    /// The checksum fits, but what it covers is no ticket: the program that made it is at fault.
    #[error("the program that made this ticket made it wrong: ask for another")]
    Malformed,
}

impl Ticket {
    /// The ticket as text, with extension entries.
    pub fn encode(&self, ext: &Ext) -> String {
        let (word, body) = match self {
            // Writing numbers and bytes to a Vec cannot fail.
            Self::Peer(peer) => (PEER, postcard::to_allocvec(peer).unwrap_or_default()),
            Self::Share(share) => (SHARE, share.to_body()),
        };
        let mut bytes = vec![VERSION];
        bytes.extend(postcard::to_allocvec(&body).unwrap_or_default());
        bytes.extend(ext.encode());
        let checksum = checksum(word, &bytes);
        bytes.extend(checksum);
        format!("{word}{}", base32::encode(&bytes))
    }

    /// Reads a ticket and its extension entries, those with unknown tags included.
    ///
    /// Case does not matter, nor does white space around the word.
    ///
    /// # Errors
    /// Says what is wrong with the text and what to do about it.
    pub fn decode(text: &str) -> Result<(Self, Ext), TicketError> {
        let text = text.trim();
        if text.len() > MAX_TICKET_TEXT_LEN {
            return Err(TicketError::TooLong);
        }
        let typed = READ.into_iter().find_map(|word| Some((word, strip_type(text, word)?)));
        let Some((word, coded)) = typed else {
            let reserved = RESERVED.into_iter().find(|word| looks_like_type(text, word));
            return Err(reserved.map_or(TicketError::NotATicket, TicketError::NewerType));
        };
        let bytes = base32::decode(coded).map_err(|error| match error {
            Base32Error::Character(position) => TicketError::Character { position: word.len() + position },
            Base32Error::Length => TicketError::CutShort,
        })?;
        let (payload, sum) = bytes.split_last_chunk::<TICKET_CHECKSUM_LEN>().ok_or(TicketError::CutShort)?;
        if checksum(word, payload) != *sum {
            return Err(if is_cut_short(&bytes) { TicketError::CutShort } else { TicketError::Checksum });
        }
        match payload {
            [VERSION, rest @ ..] => read(word, rest),
            [0, ..] | [] => Err(TicketError::Malformed),
            [newer, ..] => Err(TicketError::NewerVersion(*newer)),
        }
    }

    /// The peer, of a peer ticket.
    ///
    /// # Errors
    /// [`TicketError::WrongType`].
    pub fn into_peer(self) -> Result<PeerAddr, TicketError> {
        match self {
            Self::Peer(peer) => Ok(peer),
            Self::Share(_) => Err(TicketError::WrongType { found: SHARE, needed: PEER }),
        }
    }

    /// The share, of a share ticket.
    ///
    /// # Errors
    /// [`TicketError::WrongType`].
    pub fn into_share(self) -> Result<ShareTicket, TicketError> {
        match self {
            Self::Share(share) => Ok(share),
            Self::Peer(_) => Err(TicketError::WrongType { found: PEER, needed: SHARE }),
        }
    }

    /// Whether a text is meant to be a ticket, sound or not: a type and then nothing but base32,
    /// more of it than a name has.
    ///
    /// Tells a mistyped ticket from the name of a peer.
    ///
    /// ```
    /// use compeer_proto::Ticket;
    /// assert!(Ticket::looks_like("peeraequexlgagblcck33ks75u6xzqdz"));
    /// assert!(!Ticket::looks_like("peer"));
    /// assert!(!Ticket::looks_like("peerless.example"));
    /// ```
    pub fn looks_like(text: &str) -> bool {
        let text = text.trim();
        READ.into_iter().chain(RESERVED).any(|word| looks_like_type(text, word))
    }
}

/// What follows the type, in whatever case the type is.
fn strip_type<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(word.len())?;
    start.eq_ignore_ascii_case(word).then_some(rest)
}

fn looks_like_type(text: &str, word: &str) -> bool {
    strip_type(text, word).is_some_and(|coded| {
        coded.len() >= SHORTEST_BELIEVED
            && coded.bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b'2'..=b'7'))
    })
}

/// The type is in the sum: a peer ticket with another word in front is not a ticket.
fn checksum(word: &str, payload: &[u8]) -> [u8; TICKET_CHECKSUM_LEN] {
    let mut hasher = blake3::Hasher::new_derive_key(CHECKSUM_CONTEXT);
    hasher.update(word.as_bytes());
    hasher.update(payload);
    let mut sum = [0; TICKET_CHECKSUM_LEN];
    hasher.finalize_xof().fill(&mut sum);
    sum
}

/// Where a person gets the ticket that is needed.
fn whence(needed: &str) -> &'static str {
    if needed == PEER {
        "`compeer ticket` prints one"
    } else {
        "`compeer send` and `compeer share` print one"
    }
}

/// Everything after the version of a sound version 1 ticket.
fn read(word: &str, rest: &[u8]) -> Result<(Ticket, Ext), TicketError> {
    let (body, rest) = split_body(rest).ok_or(TicketError::Malformed)?;
    let ext = Ext::decode(rest).map_err(|_| TicketError::Malformed)?;
    let ticket = match word {
        SHARE => ShareTicket::from_body(body).map(Ticket::Share),
        _ => match postcard::take_from_bytes(body) {
            Ok((peer, [])) => Some(Ticket::Peer(peer)),
            _ => None,
        },
    };
    Ok((ticket.ok_or(TicketError::Malformed)?, ext))
}

/// Whether bytes with a wrong checksum end before their own lengths say they should.
fn is_cut_short(bytes: &[u8]) -> bool {
    let [VERSION, rest @ ..] = bytes else {
        return false;
    };
    let Some((_, rest)) = split_body(rest) else {
        return true;
    };
    match Ext::decode_prefix(rest) {
        Ok((_, sum)) => sum.len() < TICKET_CHECKSUM_LEN,
        Err(error) => error == ExtError::CutShort,
    }
}

/// The length-prefixed body, and what follows; `None` when the bytes end before it does.
fn split_body(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    postcard::take_from_bytes::<&[u8]>(bytes).ok()
}

impl From<ShareTicket> for Ticket {
    fn from(share: ShareTicket) -> Self {
        Self::Share(share)
    }
}

impl From<PeerAddr> for Ticket {
    fn from(peer: PeerAddr) -> Self {
        Self::Peer(peer)
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.encode(&Ext::new()))
    }
}

/// As [`Ticket::decode`], leaving out the extension entries.
impl FromStr for Ticket {
    type Err = TicketError;
    fn from_str(text: &str) -> Result<Self, TicketError> {
        Self::decode(text).map(|(ticket, _)| ticket)
    }
}

/// Always the text: a ticket is made for being pasted.
impl Serialize for Ticket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ticket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
