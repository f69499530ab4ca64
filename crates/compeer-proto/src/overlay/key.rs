//! Places in the overlay: 256-bit keys, and how far apart they are.
//!
//! A key is a BLAKE3 hash in key-derivation mode, so that the key of a peer, of a content and of a
//! name are never the same by construction, and nobody chooses where it stands but by trying keys.
//! Distance is the exclusive or of two keys, read as a number (Maymounkov and Mazières,
//! "Kademlia", 2002, §2.1): for any key and distance there is exactly one other key.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::PeerId;

/// A place in the overlay.
///
/// ```
/// use compeer_proto::overlay::Key;
///
/// let (a, b) = (Key::of_content(&[0; 32]), Key::of_name("lunch"));
/// assert_eq!(a.shared_bits(&a), 256);
/// assert_eq!(a.distance(&b), b.distance(&a));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key([u8; 32]);

/// How far two keys are apart. The smaller, the closer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Distance([u8; 32]);

impl Key {
    /// Where a peer stands, and where its record is kept.
    pub fn of_peer(id: &PeerId) -> Self {
        Key(blake3::derive_key("compeer/1 overlay: key of a peer", id.as_bytes()))
    }

    /// Where it is kept who has a content, named by its BLAKE3 root.
    pub fn of_content(root: &[u8; 32]) -> Self {
        Key(blake3::derive_key("compeer/1 overlay: key of a content", root))
    }

    /// Where what has a name is kept.
    pub fn of_name(name: &str) -> Self {
        Key(blake3::derive_key("compeer/1 overlay: key of a name", name.as_bytes()))
    }

    /// This very place: for refreshing a part of the table, and for tests.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Key(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// How far the other is.
    pub fn distance(&self, other: &Key) -> Distance {
        Distance(std::array::from_fn(|i| self.0[i] ^ other.0[i]))
    }

    /// How many bits are the same from the first on: 0 to 256.
    pub fn shared_bits(&self, other: &Key) -> usize {
        match self.0.iter().zip(&other.0).position(|(a, b)| a != b) {
            Some(byte) => byte * 8 + (self.0[byte] ^ other.0[byte]).leading_zeros() as usize,
            None => 256,
        }
    }

    /// A key that shares exactly `bits` bits with this one, the others from `chance`.
    ///
    /// # Panics
    /// When `bits` is over 255.
    pub fn at(&self, bits: usize, chance: [u8; 32]) -> Key {
        let (byte, bit) = (bits / 8, 0x80_u8 >> (bits % 8));
        let mut key = chance;
        key[..byte].copy_from_slice(&self.0[..byte]);
        // The bits before the differing one are ours, that one is turned, those after are chance.
        let ours = !(bit | (bit - 1));
        key[byte] = (self.0[byte] & ours) | (!self.0[byte] & bit) | (chance[byte] & (bit - 1));
        Key(key)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0[..4] {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::Key;

    #[test]
    fn a_key_at_a_distance_shares_exactly_so_many_bits() {
        let me = Key::of_name("me");
        for bits in 0..256 {
            for chance in [[0; 32], [255; 32], *Key::of_name("chance").as_bytes()] {
                assert_eq!(me.at(bits, chance).shared_bits(&me), bits);
            }
        }
    }

    #[test]
    fn whoever_shares_more_bits_is_closer() {
        let me = Key::of_name("me");
        for bits in 0..255 {
            let (near, far) = (me.at(bits + 1, [255; 32]), me.at(bits, [0; 32]));
            assert!(me.distance(&near) < me.distance(&far), "{bits}");
        }
    }
}
