//! Who a peer is: an Ed25519 key, proven in every handshake.
//!
//! The secret half is 32 bytes (RFC 8032 §5.1.5) that never leave the process
//! unless the program asks for [`Identity::seed`] to store them; they are wiped
//! from memory when dropped. One key is one device: two programs with the same
//! key at the same time notice each other (DESIGN §4.6).

use compeer_proto::PeerId;
use ed25519_dalek::{Signer, SigningKey};
use zeroize::Zeroizing;

/// A peer's key pair.
///
/// ```
/// use compeer::Identity;
///
/// let identity = Identity::generate();
/// let again = Identity::from_seed(&identity.seed());
/// assert_eq!(identity.peer_id(), again.peer_id());
/// ```
#[derive(Clone)]
pub struct Identity {
    key: SigningKey,
    id: PeerId,
}

impl Identity {
    /// A new identity from the system's randomness.
    ///
    /// # Panics
    /// When the system has no randomness to give; nothing is safe then.
    #[allow(clippy::disallowed_methods, reason = "keys come from the system's randomness and nowhere else")]
    pub fn generate() -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed).expect("the system has randomness to give");
        Self::from_seed(&seed)
    }

    /// The identity of a stored seed. Seeds from a test's own numbers make
    /// identities that are the same in every run.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        let id =
            PeerId::from_bytes(key.verifying_key().as_bytes()).expect("a key made from a seed is not weak");
        Identity { key, id }
    }

    /// The secret, to be stored where only its owner can read it.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.to_bytes())
    }

    /// The public half: the peer's name in the world.
    pub fn peer_id(&self) -> PeerId {
        self.id
    }

    /// Signs `message` for one purpose, named by `domain`; see
    /// [`PeerId::verify`].
    pub fn sign(&self, domain: &str, message: &[u8]) -> [u8; 64] {
        self.key.sign(&compeer_proto::peer_id::signing_input(domain, message)).to_bytes()
    }

    /// The key as PKCS #8 (RFC 8410 §7), as TLS libraries take it.
    pub(crate) fn pkcs8(&self) -> Zeroizing<Vec<u8>> {
        const PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        let mut der = Zeroizing::new(Vec::with_capacity(48));
        der.extend_from_slice(&PREFIX);
        der.extend_from_slice(&*self.seed());
        der
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({}, secret)", self.id)
    }
}
