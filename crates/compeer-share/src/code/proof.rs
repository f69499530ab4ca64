//! What both sides compute: the password, who they are, and how each shows that it has the same key.
//!
//! The MACs are keyed with what SPAKE2 gave and cover the role of who sends them and the channel binding of the TLS
//! connection, so that neither can be sent back, nor passed on over another connection.

use compeer::PeerId;
use spake2::{Ed25519Group, Identity, Password, Spake2};
use zeroize::Zeroizing;

use super::Code;
use super::message::Mac;

/// Separates these keys from every other use of BLAKE3 here.
const CONTEXT: &str = "compeer 2026 meet: key confirmation";

/// Who proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Was told the code.
    Guesser = 1,
    /// Made it.
    Offerer = 2,
}

/// One side of SPAKE2, begun: what to keep and what to send.
pub(super) fn begin(
    role: Role,
    code: &Code,
    guesser: PeerId,
    offerer: PeerId,
) -> (Spake2<Ed25519Group>, Vec<u8>) {
    let text = Zeroizing::new(code.to_string());
    let password = Password::new(text.as_bytes());
    let (guesser, offerer) = (Identity::new(guesser.as_bytes()), Identity::new(offerer.as_bytes()));
    match role {
        Role::Guesser => Spake2::start_a(&password, &guesser, &offerer),
        Role::Offerer => Spake2::start_b(&password, &guesser, &offerer),
    }
}

/// What shows that one has the key, in both roles.
pub(super) struct Proofs {
    key: Zeroizing<[u8; 32]>,
    binding: [u8; 32],
}

impl Proofs {
    /// From what the other side sent; `None` when that is no share.
    pub(super) fn from(spake: Spake2<Ed25519Group>, share: &[u8], binding: [u8; 32]) -> Option<Proofs> {
        let secret = Zeroizing::new(spake.finish(share).ok()?);
        Some(Proofs { key: Zeroizing::new(blake3::derive_key(CONTEXT, &secret)), binding })
    }

    pub(super) fn of(&self, role: Role) -> Mac {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&[role as u8]);
        hasher.update(&self.binding);
        *hasher.finalize().as_bytes()
    }

    /// In constant time.
    pub(super) fn is_right(&self, role: Role, mac: &Mac) -> bool {
        blake3::Hash::from(self.of(role)) == blake3::Hash::from(*mac)
    }
}
