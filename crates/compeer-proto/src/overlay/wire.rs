//! The two messages of the overlay: [`Find`] and its [`Answer`], as bytes.
//!
//! Both are postcard with an extension list at the end. Records travel as the bytes that were signed;
//! one that cannot be read, because it is broken or of a version to come, is left out, and the rest of
//! the answer holds. A record to be kept is its bytes and nothing else, and has no message here.

use serde::{Deserialize, Serialize};

use super::{Key, Record};
use crate::PeerAddr;
use crate::bounded::{self, Blob};
use crate::ext::Ext;
use crate::limits::{BUCKET, MAX_OVERLAY_RECORD, MAX_RECORDS_TOLD};

/// "Who is closest to this key, and what is kept there?"
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Find {
    /// Where.
    pub key: Key,
    /// Whether the records are wanted too.
    pub records: bool,
}

/// What somebody knows about a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// At most [`BUCKET`] peers, the closest first.
    pub closer: Vec<PeerAddr>,
    /// At most [`MAX_RECORDS_TOLD`] records.
    pub records: Vec<std::sync::Arc<Record>>,
}

#[derive(Serialize, Deserialize)]
struct FindWire {
    key: Key,
    records: bool,
    ext: Ext,
}

#[derive(Serialize, Deserialize)]
struct AnswerWire {
    #[serde(deserialize_with = "closer")]
    closer: Vec<PeerAddr>,
    #[serde(deserialize_with = "records")]
    records: Vec<Blob<MAX_OVERLAY_RECORD>>,
    ext: Ext,
}

fn closer<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<PeerAddr>, D::Error> {
    bounded::list(deserializer, BUCKET)
}

fn records<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Blob<MAX_OVERLAY_RECORD>>, D::Error> {
    bounded::list(deserializer, MAX_RECORDS_TOLD)
}

/// The bytes are not such a message, or one beyond the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are not a message of the overlay")]
#[non_exhaustive]
pub struct Malformed;

impl Find {
    /// As bytes.
    ///
    /// ```
    /// use compeer_proto::overlay::{Find, Key};
    ///
    /// let find = Find { key: Key::of_name("lunch"), records: true };
    /// assert_eq!(Find::decode(&find.encode())?, find);
    /// # Ok::<(), compeer_proto::overlay::Malformed>(())
    /// ```
    pub fn encode(&self) -> Vec<u8> {
        encode(&FindWire { key: self.key, records: self.records, ext: Ext::new() })
    }

    /// From bytes.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let FindWire { key, records, .. } = decode(bytes)?;
        Ok(Find { key, records })
    }
}

impl Answer {
    /// As bytes; what is beyond the bounds is left out.
    pub fn encode(&self) -> Vec<u8> {
        let closer = self.closer.iter().take(BUCKET).cloned().collect();
        let records =
            self.records.iter().take(MAX_RECORDS_TOLD).map(|record| Blob(record.bytes().to_vec())).collect();
        encode(&AnswerWire { closer, records, ext: Ext::new() })
    }

    /// From bytes. The signatures of the records are checked.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let AnswerWire { closer, records, .. } = decode(bytes)?;
        let records =
            records.iter().filter_map(|bytes| Record::read(&bytes.0).ok()).map(Into::into).collect();
        Ok(Answer { closer, records })
    }
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    // Numbers and bytes can always be written to memory.
    postcard::to_allocvec(value).unwrap_or_default()
}

/// A value that is all of the bytes.
fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, Malformed> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        _ => Err(Malformed),
    }
}
