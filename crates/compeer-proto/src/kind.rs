//! The kind of a message: the word by which its handler is found.
//!
//! One to sixty-four bytes, compared exactly: `ECHO` and `echo` are two kinds. BTPeer called it
//! the message type and fixed it at four characters; programs ported from it keep theirs.
//! Kinds are usually short words, but any bytes are allowed, and nothing here assumes UTF-8.
//!
//! A kind is kept inline and is [`Copy`]: finding a handler allocates nothing.
//!
//! What this is not: a version or a schema. A new meaning is a new kind.

use std::borrow::{Borrow, Cow};
use std::convert::Infallible;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::limits::MAX_KIND_LEN;
use crate::text;

/// The kind of a message: 1–64 bytes, exact match.
///
/// ```
/// use compeer_proto::Kind;
///
/// const ECHO: Kind = Kind::from_static("ECHO"); // checked at compile time
/// assert_eq!(ECHO, Kind::new("ECHO")?);
/// assert_ne!(ECHO, Kind::new("echo")?);
/// assert!(Kind::new("").is_err());
/// # Ok::<(), compeer_proto::KindError>(())
/// ```
///
/// Serde writes bytes; in formats people read, a string, or a list of bytes where the kind is
/// not UTF-8.
#[derive(Clone, Copy)]
pub struct Kind {
    // `MAX_KIND_LEN` fits a byte; what lies beyond `len` is zero and never looked at.
    len: u8,
    bytes: [u8; MAX_KIND_LEN],
}

/// Why something is not a [`Kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KindError {
    /// No bytes at all.
    #[error("a kind cannot be empty: give one to {MAX_KIND_LEN} bytes, for example ECHO")]
    Empty,
    /// More than [`MAX_KIND_LEN`] bytes.
    #[error("a kind has at most {MAX_KIND_LEN} bytes, this one has {len}: move the rest to the body")]
    TooLong {
        /// How many bytes there are.
        len: usize,
    },
}

// So that an argument `impl TryInto<Kind>` takes a `Kind` too, whose conversion cannot fail.
impl From<Infallible> for KindError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Kind {
    /// A kind of these bytes.
    ///
    /// # Errors
    /// When there are none, or more than [`MAX_KIND_LEN`].
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, KindError> {
        Self::copy_from(bytes.as_ref())
    }

    /// A kind known when the program is written; made for constants.
    ///
    /// # Panics
    /// When the text is empty or longer than [`MAX_KIND_LEN`] bytes; in a constant that is a
    /// compile error.
    pub const fn from_static(text: &'static str) -> Self {
        match Self::copy_from(text.as_bytes()) {
            Ok(kind) => kind,
            Err(_) => panic!("a kind has 1 to 64 bytes"),
        }
    }

    const fn copy_from(source: &[u8]) -> Result<Self, KindError> {
        let len = source.len();
        if len == 0 {
            return Err(KindError::Empty);
        }
        if len > MAX_KIND_LEN {
            return Err(KindError::TooLong { len });
        }
        let mut bytes = [0; MAX_KIND_LEN];
        bytes.split_at_mut(len).0.copy_from_slice(source);
        Ok(Self { len: len as u8, bytes })
    }

    /// The bytes, as they are compared and sent.
    pub const fn as_bytes(&self) -> &[u8] {
        self.bytes.split_at(self.len as usize).0
    }

    /// The kind as text, for look-ups and logs; bytes that are not UTF-8 become U+FFFD.
    ///
    /// Not escaped: to show a kind to a person, use its [`Display`](fmt::Display).
    pub fn as_str(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.as_bytes())
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Kind {}

impl PartialOrd for Kind {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kind {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

// As the slice hashes, which is what `Borrow` promises.
impl Hash for Kind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Borrow<[u8]> for Kind {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl AsRef<[u8]> for Kind {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq<str> for Kind {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Kind {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

/// Escaped as in [`text::escape_bytes`], for a person to see.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&text::escape_bytes(self.as_bytes()))
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kind({self})")
    }
}

impl TryFrom<&[u8]> for Kind {
    type Error = KindError;
    fn try_from(bytes: &[u8]) -> Result<Self, KindError> {
        Self::new(bytes)
    }
}

impl TryFrom<&str> for Kind {
    type Error = KindError;
    fn try_from(text: &str) -> Result<Self, KindError> {
        Self::new(text)
    }
}

impl TryFrom<String> for Kind {
    type Error = KindError;
    fn try_from(text: String) -> Result<Self, KindError> {
        Self::new(text)
    }
}

impl TryFrom<&String> for Kind {
    type Error = KindError;
    fn try_from(text: &String) -> Result<Self, KindError> {
        Self::new(text)
    }
}

impl std::str::FromStr for Kind {
    type Err = KindError;
    fn from_str(text: &str) -> Result<Self, KindError> {
        Self::new(text)
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_bytes(self.as_bytes());
        }
        match std::str::from_utf8(self.as_bytes()) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.collect_seq(self.as_bytes()),
        }
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(KindVisitor)
        } else {
            deserializer.deserialize_bytes(KindVisitor)
        }
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a kind of 1 to {MAX_KIND_LEN} bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Kind, E> {
        Kind::new(bytes).map_err(E::custom)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Kind, E> {
        Kind::new(text).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        let (mut bytes, mut len) = ([0; MAX_KIND_LEN], 0);
        while let Some(byte) = seq.next_element()? {
            let place = bytes.get_mut(len).ok_or_else(|| de::Error::invalid_length(len + 1, &self))?;
            *place = byte;
            len += 1;
        }
        Kind::new(&bytes[..len]).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
