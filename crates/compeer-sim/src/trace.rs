//! The trace of a run as one hash: BLAKE3 over everything that happened, in order.
//!
//! Two runs with the same hash did the same. Where they differ is not said by a hash; whoever looks for that
//! runs both side by side and compares the hash after each second.

/// Everything that happened, up to now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace(blake3::Hasher);

impl Trace {
    /// One more event: when (microseconds), from whom, to whom, what, and two numbers of its own.
    pub(crate) fn note(&mut self, at: u64, from: u32, to: u32, what: u8, numbers: [u64; 2]) {
        let mut bytes = [0; 33];
        bytes[..8].copy_from_slice(&at.to_le_bytes());
        bytes[8..12].copy_from_slice(&from.to_le_bytes());
        bytes[12..16].copy_from_slice(&to.to_le_bytes());
        bytes[16] = what;
        bytes[17..25].copy_from_slice(&numbers[0].to_le_bytes());
        bytes[25..].copy_from_slice(&numbers[1].to_le_bytes());
        self.0.update(&bytes);
    }

    /// The hash, as 64 hexadecimal digits.
    pub(crate) fn hash(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}
