//! Extension lists: how a structure of `compeer/1` grows without changing.
//!
//! The structures of this version never gain a field. What comes later is an entry `(tag, bytes)`
//! in the list at the end of a HELLO, a ticket, a record or a post. Whoever does not know a tag
//! skips it, and keeps it when passing the structure on. A tag appears once; its meaning is given
//! where the structure is described, and a tag never gets a second meaning.
//!
//! The bytes are postcard's `Vec<(u32, Vec<u8>)>`: a varint count, and per entry a varint tag, a
//! varint length and that many bytes. Order is kept as received. Count and total length are
//! bounded ([`MAX_EXT_ENTRIES`], [`MAX_EXT_BYTES`]).

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use crate::bounded::{self, Blob};
use crate::limits::{MAX_EXT_BYTES, MAX_EXT_ENTRIES};

/// A bounded list of `(tag, bytes)`, each tag at most once.
///
/// ```
/// use compeer_proto::ext::Ext;
///
/// let mut ext = Ext::new();
/// ext.push(7, b"seven")?;
/// let bytes = ext.encode();
/// assert_eq!(bytes, b"\x01\x07\x05seven");
/// assert_eq!(Ext::decode(&bytes)?.get(7), Some(&b"seven"[..]));
/// assert_eq!(Ext::decode(&bytes)?.get(8), None);
/// # Ok::<(), compeer_proto::ext::ExtError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ext {
    entries: Vec<Entry>,
}

type Entry = (u32, Blob<MAX_EXT_BYTES>);

/// Why an entry cannot be added, or bytes are not an extension list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtError {
    /// More than [`MAX_EXT_ENTRIES`] entries.
    #[error("an extension list has at most {MAX_EXT_ENTRIES} entries")]
    TooMany,
    /// More than [`MAX_EXT_BYTES`] bytes in all values together.
    #[error("the values of an extension list have at most {MAX_EXT_BYTES} bytes together")]
    TooLarge,
    /// The same tag twice.
    #[error("tag {0} appears twice in an extension list")]
    Twice(u32),
    /// The bytes end before the list does.
    #[error("the extension list is cut short")]
    CutShort,
    /// The bytes are not such a list, or go on after it.
    #[error("these bytes are not an extension list")]
    Malformed,
}

impl Ext {
    /// The empty list.
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// Adds an entry at the end.
    ///
    /// # Errors
    /// When the tag is there already, or a bound would be passed; the list is then unchanged.
    pub fn push(&mut self, tag: u32, value: &[u8]) -> Result<(), ExtError> {
        self.admit(tag, value.len())?;
        self.entries.push((tag, Blob(value.to_vec())));
        Ok(())
    }

    /// The value under this tag.
    pub fn get(&self, tag: u32) -> Option<&[u8]> {
        self.iter().find_map(|(t, value)| (t == tag).then_some(value))
    }

    /// The entries in their order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.entries.iter().map(|(tag, value)| (*tag, value.0.as_slice()))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The list as bytes.
    pub fn encode(&self) -> Vec<u8> {
        // Writing numbers and bytes to a Vec cannot fail.
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// Reads a list that is all of `bytes`.
    ///
    /// # Errors
    /// When the bytes end too early, go on after the list, or pass a bound.
    pub fn decode(bytes: &[u8]) -> Result<Self, ExtError> {
        match Self::decode_prefix(bytes)? {
            (ext, []) => Ok(ext),
            _ => Err(ExtError::Malformed),
        }
    }

    /// Reads a list at the start of `bytes`, and gives what follows it.
    ///
    /// # Errors
    /// When the bytes end too early or pass a bound.
    pub fn decode_prefix(bytes: &[u8]) -> Result<(Self, &[u8]), ExtError> {
        postcard::take_from_bytes(bytes).map_err(|error| match error {
            postcard::Error::DeserializeUnexpectedEnd => ExtError::CutShort,
            _ => ExtError::Malformed,
        })
    }

    /// Whether one more entry fits.
    fn admit(&self, tag: u32, len: usize) -> Result<(), ExtError> {
        if self.entries.len() == MAX_EXT_ENTRIES {
            return Err(ExtError::TooMany);
        }
        let used: usize = self.iter().map(|(_, value)| value.len()).sum();
        if used + len > MAX_EXT_BYTES {
            return Err(ExtError::TooLarge);
        }
        if self.get(tag).is_some() {
            return Err(ExtError::Twice(tag));
        }
        Ok(())
    }
}

impl Serialize for Ext {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.entries.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Ext {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut ext = Self::new();
        for (tag, value) in bounded::list::<Entry, D>(deserializer, MAX_EXT_ENTRIES)? {
            ext.admit(tag, value.0.len()).map_err(de::Error::custom)?;
            ext.entries.push((tag, value));
        }
        Ok(ext)
    }
}

#[cfg(test)]
pub(crate) mod tests;
