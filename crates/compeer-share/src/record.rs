//! Provider records: "I have (part of) this, here, until then", signed by who says it.
//!
//! A record is passed on from peer to peer as the bytes that were signed; whoever gets one checks it by itself,
//! so it does not matter who brought it. It lasts an hour at most, and its owner signs a new one meanwhile. The
//! bytes are postcard: the content, the provider's id and addresses, whether it has everything, when the record was made and
//! when it ends (wall clock, seconds since 1970), an extension list; then the signature over
//! all that. Which content a private share has is a secret, so such a record goes only to those who proved the
//! secret of the share: [`Providers`](crate::providers::Providers) keeps to that.

use std::time::{SystemTime, UNIX_EPOCH};

use compeer::ext::Ext;
use compeer::{Identity, PeerAddr, PeerId};
use serde::{Deserialize, Serialize};

use crate::ContentId;
use crate::limits::{CLOCKS_DIFFER, MAX_RECORD, MAX_RECORD_ADDRS, RECORD_LASTS};

/// What the signature is for.
const DOMAIN: &str = "compeer/1 provider";

/// Bytes of a signature. RFC 8032 §5.1.6.
const SIGNATURE: usize = compeer::limits::SIGNATURE_LEN;

/// That a peer provides a content: checked, and with the bytes to pass on.
///
/// ```
/// use compeer::{Identity, PeerAddr};
/// use compeer_share::{ContentId, ProviderRecord};
///
/// let me = Identity::generate();
/// let here = PeerAddr::new(me.peer_id(), ["192.0.2.7:5".parse()?]);
/// let record = ProviderRecord::sign(&me, ContentId::of(b""), here, true, 1_000_000_000);
/// let read = ProviderRecord::read(record.bytes())?;
/// assert_eq!(read.provider().id, me.peer_id());
/// assert!(read.is_current(1_000_000_000) && !read.is_current(1_000_010_000));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderRecord {
    body: Body,
    bytes: Vec<u8>,
}

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Body {
    content: ContentId,
    provider: PeerAddr,
    complete: bool,
    issued: u64,
    expires: u64,
    ext: Ext,
}

/// Why bytes are no provider record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Not a record, or one beyond the bounds.
    #[error("these bytes are not a provider record")]
    Malformed,
    /// It would last for longer than a record may, or end before it begins.
    #[error("the provider record has no sensible time")]
    Times,
    /// Not signed by the provider it names.
    #[error("the provider record is not signed by its provider")]
    Signature,
}

impl ProviderRecord {
    /// A record of one's own from `now` on, for [`RECORD_LASTS`]. Of the addresses the first
    /// [`MAX_RECORD_ADDRS`] are named, fewer when they are long. Unit of `now`: seconds since 1970.
    pub fn sign(
        identity: &Identity,
        content: ContentId,
        mut provider: PeerAddr,
        complete: bool,
        now: u64,
    ) -> Self {
        provider.id = identity.peer_id();
        provider.addrs.truncate(MAX_RECORD_ADDRS);
        let expires = now.saturating_add(RECORD_LASTS.as_secs());
        let mut body = Body { content, provider, complete, issued: now, expires, ext: Ext::new() };
        loop {
            // Numbers and bytes can always be written to memory.
            let mut bytes = postcard::to_allocvec(&body).unwrap_or_default();
            bytes.extend(identity.sign(DOMAIN, &bytes));
            if bytes.len() <= MAX_RECORD || body.provider.addrs.pop().is_none() {
                return ProviderRecord { body, bytes };
            }
        }
    }

    /// Reads a record and checks who signed it. Whether it is still good, says [`is_current`](Self::is_current).
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > MAX_RECORD {
            return Err(RecordError::Malformed);
        }
        let (signed, signature) = bytes.split_last_chunk::<SIGNATURE>().ok_or(RecordError::Malformed)?;
        let (body, rest) = postcard::take_from_bytes::<Body>(signed).map_err(|_| RecordError::Malformed)?;
        if !rest.is_empty() || body.provider.addrs.len() > MAX_RECORD_ADDRS {
            return Err(RecordError::Malformed);
        }
        match body.expires.checked_sub(body.issued) {
            Some(lasts) if lasts <= RECORD_LASTS.as_secs() => {}
            _ => return Err(RecordError::Times),
        }
        // Last, because it costs the most.
        body.provider.id.verify(DOMAIN, signed, signature).map_err(|_| RecordError::Signature)?;
        Ok(ProviderRecord { body, bytes: bytes.to_vec() })
    }

    /// The bytes that were signed, with the signature: what is passed on.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Which content.
    pub fn content(&self) -> ContentId {
        self.body.content
    }

    /// Who provides it, and where.
    pub fn provider(&self) -> &PeerAddr {
        &self.body.provider
    }

    /// The id of who provides it.
    pub fn peer(&self) -> PeerId {
        self.body.provider.id
    }

    /// Whether it has everything.
    pub fn is_complete(&self) -> bool {
        self.body.complete
    }

    /// When it was made. Unit: seconds since 1970, by the clock of the provider.
    pub fn issued(&self) -> u64 {
        self.body.issued
    }

    /// When it ends. Unit: as [`issued`](Self::issued).
    pub fn expires(&self) -> u64 {
        self.body.expires
    }

    /// Whether it has not ended and was not made in the future, clocks differing by [`CLOCKS_DIFFER`] at most.
    pub fn is_current(&self, now: u64) -> bool {
        let differ = CLOCKS_DIFFER.as_secs();
        self.body.issued <= now.saturating_add(differ) && now < self.body.expires.saturating_add(differ)
    }
}

/// Wall time in whole seconds since 1970.
pub fn seconds(wall: SystemTime) -> u64 {
    wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
