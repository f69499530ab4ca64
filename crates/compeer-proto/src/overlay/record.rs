//! Records: what a peer has others keep, signed by itself.
//!
//! A record says where a peer is, or that a peer has a content. It is kept and passed on as the bytes
//! that were signed, so a peer of tomorrow can put into it what a peer of today does not know.
//! Of the same publisher and subject the one with the higher sequence number holds. It lasts two
//! hours at most by the wall clock; the publisher makes a new one meanwhile. Who keeps it drops it earlier
//! when it has kept it for as long as it was to last: clocks may be wrong.
//!
//! The bytes are postcard: what about (`u8`), the subject (32 bytes: the id of the peer or the root of
//! the content), the publisher and its addresses, peers that carry for it, sequence number, issued and
//! expires (seconds since 1970), an extension list; then the signature over all that
//! under the domain `compeer/1 overlay record`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Key;
use crate::bounded;
use crate::ext::Ext;
use crate::limits::{
    CLOCKS_DIFFER, MAX_CARRIERS, MAX_CONTACT_ADDRS, MAX_OVERLAY_RECORD, OVERLAY_RECORD_LASTS, SIGNATURE_LEN,
};
use crate::{PeerAddr, PeerId};

/// What the signature is for.
const DOMAIN: &str = "compeer/1 overlay record";

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Where its publisher is.
    Peer(PeerId),
    /// That its publisher has this content, named by its BLAKE3 root.
    Content([u8; 32]),
}

impl Subject {
    /// Where in the overlay it is kept.
    pub fn key(&self) -> Key {
        match self {
            Subject::Peer(id) => Key::of_peer(id),
            Subject::Content(root) => Key::of_content(root),
        }
    }

    pub(super) fn to_wire(self) -> (u8, [u8; 32]) {
        match self {
            Subject::Peer(id) => (0, *id.as_bytes()),
            Subject::Content(root) => (1, root),
        }
    }

    pub(super) fn from_wire((what, subject): (u8, [u8; 32])) -> Option<Self> {
        match what {
            0 => PeerId::from_bytes(&subject).ok().map(Subject::Peer),
            1 => Some(Subject::Content(subject)),
            _ => None,
        }
    }
}

/// A record: read, bounded, and signed by whom it names.
///
/// ```
/// use compeer_proto::overlay::{Record, Subject};
/// use compeer_proto::peer_id::signing_input;
/// use compeer_proto::{PeerAddr, PeerId};
/// use ed25519_dalek::{Signer, SigningKey};
///
/// let key = SigningKey::from_bytes(&[7; 32]);
/// let me = PeerAddr::new(PeerId::from_bytes(key.verifying_key().as_bytes())?, ["192.0.2.7:5".parse()?]);
/// let sign = |domain: &str, bytes: &[u8]| key.sign(&signing_input(domain, bytes)).to_bytes();
/// let record = Record::sign(Subject::Peer(me.id), me.clone(), vec![], 1_000_000_000, sign);
/// let read = Record::read(record.bytes())?;
/// assert_eq!(read.publisher(), &me);
/// assert!(read.lasts(1_000_000_000).is_some() && read.lasts(1_000_010_000).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    subject: Subject,
    body: Body,
    bytes: Arc<[u8]>,
}

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Body {
    what: u8,
    subject: [u8; 32],
    publisher: PeerAddr,
    #[serde(deserialize_with = "carriers")]
    carriers: Vec<PeerAddr>,
    seq: u64,
    issued: u64,
    expires: u64,
    ext: Ext,
}

fn carriers<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<PeerAddr>, D::Error> {
    bounded::list(deserializer, MAX_CARRIERS)
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Not a record, or one beyond the bounds.
    #[error("these bytes are not a record of the overlay")]
    Malformed,
    /// About something that this version does not know.
    #[error("the record is about something that this version does not know")]
    Unknown,
    /// It would last for longer than a record may, or end before it begins.
    #[error("the record has no sensible time")]
    Times,
    /// About where a peer is, and published by another.
    #[error("only a peer itself says where it is")]
    Foreign,
    /// Not signed by the publisher it names.
    #[error("the record is not signed by its publisher")]
    Signature,
}

impl Record {
    /// A record of one's own from `now` on (seconds since 1970), which is its sequence number too. Of the publisher's
    /// addresses the first [`MAX_CONTACT_ADDRS`] are named, of the carriers the first
    /// [`MAX_CARRIERS`] with two addresses each; fewer where they do not fit.
    pub fn sign(
        subject: Subject,
        mut publisher: PeerAddr,
        mut carriers: Vec<PeerAddr>,
        now: u64,
        sign: impl Fn(&str, &[u8]) -> [u8; SIGNATURE_LEN],
    ) -> Self {
        publisher.addrs.truncate(MAX_CONTACT_ADDRS);
        carriers.truncate(MAX_CARRIERS);
        for carrier in &mut carriers {
            carrier.addrs.truncate(2);
        }
        let (what, about) = subject.to_wire();
        let expires = now.saturating_add(OVERLAY_RECORD_LASTS.as_secs());
        let mut body = Body {
            what,
            subject: about,
            publisher,
            carriers,
            seq: now,
            issued: now,
            expires,
            ext: Ext::new(),
        };
        loop {
            // Numbers and bytes can always be written to memory.
            let mut bytes = postcard::to_allocvec(&body).unwrap_or_default();
            bytes.extend(sign(DOMAIN, &bytes));
            let fits = bytes.len() <= MAX_OVERLAY_RECORD;
            if fits || (body.carriers.pop().is_none() && body.publisher.addrs.pop().is_none()) {
                return Record { subject, body, bytes: bytes.into() };
            }
        }
    }

    /// Reads a record and checks who signed it. Whether it is still good, says [`lasts`](Self::lasts).
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > MAX_OVERLAY_RECORD {
            return Err(RecordError::Malformed);
        }
        let (signed, signature) = bytes.split_last_chunk::<SIGNATURE_LEN>().ok_or(RecordError::Malformed)?;
        let (body, rest) = postcard::take_from_bytes::<Body>(signed).map_err(|_| RecordError::Malformed)?;
        if !rest.is_empty() || body.publisher.addrs.len() > MAX_CONTACT_ADDRS {
            return Err(RecordError::Malformed);
        }
        let subject = Subject::from_wire((body.what, body.subject)).ok_or(RecordError::Unknown)?;
        match body.expires.checked_sub(body.issued) {
            Some(lasts) if lasts <= OVERLAY_RECORD_LASTS.as_secs() => {}
            _ => return Err(RecordError::Times),
        }
        if matches!(subject, Subject::Peer(id) if id != body.publisher.id) {
            return Err(RecordError::Foreign);
        }
        // Last, because it costs the most.
        body.publisher.id.verify(DOMAIN, signed, signature).map_err(|_| RecordError::Signature)?;
        Ok(Record { subject, body, bytes: bytes.into() })
    }

    /// The bytes that were signed, with the signature: what is kept and passed on.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it is about.
    pub fn subject(&self) -> Subject {
        self.subject
    }

    /// Who made it, and where that peer is.
    pub fn publisher(&self) -> &PeerAddr {
        &self.body.publisher
    }

    /// Peers over which its publisher is reached, when it cannot be dialled.
    pub fn carriers(&self) -> &[PeerAddr] {
        &self.body.carriers
    }

    /// The higher, the newer.
    pub fn seq(&self) -> u64 {
        self.body.seq
    }

    /// For how many seconds it still holds at `now` (seconds since 1970), clocks differing by [`CLOCKS_DIFFER`]
    /// at most; `None` when it is over or of the future.
    pub fn lasts(&self, now: u64) -> Option<u64> {
        let differ = CLOCKS_DIFFER.as_secs();
        if self.body.issued > now.saturating_add(differ) {
            return None;
        }
        let left = self.body.expires.saturating_add(differ).checked_sub(now).filter(|left| *left > 0)?;
        Some(left.min(OVERLAY_RECORD_LASTS.as_secs()))
    }
}

#[cfg(test)]
mod tests;
