//! Who a peer is: its Ed25519 public key, and nothing else.
//!
//! A [`PeerId`] is proven by whoever holds the secret half: in the TLS handshake, or by a
//! signature under a domain tag ([`PeerId::verify`]). As text it is 52 characters of lower-case
//! base32; people see the first eight, programs compare the bytes.
//!
//! Not every 32 bytes are a PeerId. Refused are bytes that are no point of the curve, the second
//! spelling that a few points have (or one peer would have two ids), and points of small order,
//! for which anybody can sign anything. Verification is `verify_strict`: no small-order `R`, no
//! cofactor, so that every implementation agrees on what is valid.
//!
//! What this is not: a secret key. Those never enter this crate.
//!
//! Follows RFC 8032 (Ed25519) and RFC 4648 §6 (base32); on the strict rules see "Taming the many
//! EdDSAs" (Chalkias, Garillot, Nikolaenko, 2020).

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, VerifyingKey};
use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use crate::base32::{self, Base32Error};
use crate::limits::{PEER_ID_LEN, PEER_ID_TEXT_LEN, SHORT_ID_LEN, SIGNATURE_LEN};

/// The identity of a peer: an Ed25519 public key that can prove something.
///
/// Ordered and hashed by its bytes. Serde writes the text in formats people read, and the bare
/// 32 bytes elsewhere.
///
/// ```
/// use compeer_proto::PeerId;
///
/// let text = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkena";
/// let id: PeerId = text.parse()?;
/// assert_eq!(id, text.to_uppercase().parse()?);
/// assert_eq!(id.to_string(), text);
/// assert_eq!(id.short(), "25njqamc");
/// # Ok::<(), compeer_proto::PeerIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; PEER_ID_LEN]);

/// Why bytes or a text are not a [`PeerId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerIdError {
    /// The text has another length than an id has.
    #[error("a peer id has {PEER_ID_TEXT_LEN} characters, this has {found}: copy the whole of it")]
    Length {
        /// How many characters there are.
        found: usize,
    },
    /// A character that base32 does not have.
    #[error("character {} of this peer id is not one of a-z and 2-7: copy it again", .position + 1)]
    Character {
        /// Its place, counted from 0.
        position: usize,
    },
    /// The bytes are not the one encoding of a point of the curve: a slip in copying, or made up.
    #[error("this is no peer's key: copy the id again from where it was printed")]
    NotAKey,
    /// The key is of small order, so anybody can sign for it.
    #[error("this key proves nothing (it is of small order): whoever gave it to you is not to be trusted")]
    Weak,
}

/// The signature was not made by this peer over this message and domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not by this peer over this message")]
#[non_exhaustive]
pub struct BadSignature;

impl PeerId {
    /// The id of this public key.
    ///
    /// # Errors
    /// [`PeerIdError::NotAKey`] when the bytes are not the canonical encoding of a point,
    /// [`PeerIdError::Weak`] when the point is of small order.
    pub fn from_bytes(bytes: &[u8; PEER_ID_LEN]) -> Result<Self, PeerIdError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| PeerIdError::NotAKey)?;
        if key.is_weak() {
            return Err(PeerIdError::Weak);
        }
        // Decoding takes y modulo the field prime; encoding the point again shows whether the
        // bytes were the reduced ones.
        if VerifyingKey::from(key.to_edwards()).as_bytes() != bytes {
            return Err(PeerIdError::NotAKey);
        }
        Ok(Self(*bytes))
    }

    /// The 32 bytes of the public key (RFC 8032 §5.1.2).
    pub const fn as_bytes(&self) -> &[u8; PEER_ID_LEN] {
        &self.0
    }

    /// The first eight characters of the text: what a person is shown. Not unique, proves nothing.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(SHORT_ID_LEN);
        text
    }

    /// Checks a signature made over [`signing_input`]`(domain, message)`.
    ///
    /// `domain` says what the signature is for, for example `compeer/1 record`; a signature for
    /// one purpose is none for another.
    ///
    /// # Errors
    /// [`BadSignature`], with no further reason: none would help the honest.
    pub fn verify(
        &self,
        domain: &str,
        message: &[u8],
        signature: &[u8; SIGNATURE_LEN],
    ) -> Result<(), BadSignature> {
        // The bytes were checked when this value was made; the point is not kept, an id stays small.
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| BadSignature)?;
        key.verify_strict(&signing_input(domain, message), &Signature::from_bytes(signature))
            .map_err(|_| BadSignature)
    }
}

/// The bytes that are signed: the length of the domain (8 bytes, little-endian), the domain, the
/// message.
///
/// The prefix makes the split between the two unambiguous. It also keeps these signatures apart
/// from those of the TLS handshake under the same key, which are over 64 spaces and more (RFC 8446
/// §4.4.3): no domain is that long.
pub fn signing_input(domain: &str, message: &[u8]) -> Vec<u8> {
    let mut input = Vec::with_capacity(8 + domain.len() + message.len());
    input.extend_from_slice(&(domain.len() as u64).to_le_bytes());
    input.extend_from_slice(domain.as_bytes());
    input.extend_from_slice(message);
    input
}

impl AsRef<[u8]> for PeerId {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<&[u8]> for PeerId {
    type Error = PeerIdError;
    fn try_from(bytes: &[u8]) -> Result<Self, PeerIdError> {
        let bytes = bytes.try_into().map_err(|_| PeerIdError::NotAKey)?;
        Self::from_bytes(bytes)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&base32::encode(&self.0))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.short())
    }
}

impl FromStr for PeerId {
    type Err = PeerIdError;

    fn from_str(text: &str) -> Result<Self, PeerIdError> {
        let found = text.chars().count();
        if found != PEER_ID_TEXT_LEN {
            return Err(PeerIdError::Length { found });
        }
        let bytes = base32::decode(text).map_err(|error| match error {
            Base32Error::Character(position) => PeerIdError::Character { position },
            Base32Error::Length => PeerIdError::NotAKey,
        })?;
        Self::try_from(bytes.as_slice())
    }
}

impl Serialize for PeerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for PeerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(de::Error::custom)
        } else {
            let bytes = <[u8; PEER_ID_LEN]>::deserialize(deserializer)?;
            Self::from_bytes(&bytes).map_err(de::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests;
