//! Every bound in one file: how much of anything a stranger may make us hold, read or show.
//!
//! Each constant has its unit and the reason for its size; a number that is a guess says so.
//! A decoder checks the bound *before* it allocates, and a test fills each one to the brim and
//! one over. Bounds that are part of the wire (what the other side may send) are the same for
//! every peer of `compeer/1`: raising one is a change of protocol, not a setting.
//!
//! What is not here: settings a person may choose (those have their default at the builder),
//! and figures that describe the machine we run on.

/// The port a peer listens on when nobody chose another. Unit: TCP port.
///
/// The telephone keys of C-O-M-P-E (2-6-6-7-3). Unassigned at IANA when chosen, below the
/// ephemeral range of Linux (32768–60999), so the system does not hand it to somebody else.
pub const DEFAULT_PORT: u16 = 26673;

// identity

/// Length of a PeerId. Unit: bytes. RFC 8032 §5.1.5: an Ed25519 public key.
pub const PEER_ID_LEN: usize = 32;

/// Length of a PeerId as text. Unit: characters. 256 bits at 5 bits each, rounded up, no padding.
pub const PEER_ID_TEXT_LEN: usize = 52;

/// Length of the short form shown to people. Unit: characters.
///
/// 40 bits: enough to tell one's acquaintances apart, not enough to prove anything. A prefix
/// of this length is the least that may stand for a paired peer.
pub const SHORT_ID_LEN: usize = 8;

/// Length of an Ed25519 signature. Unit: bytes. RFC 8032 §5.1.6.
pub const SIGNATURE_LEN: usize = 64;

/// Longest nickname a peer may give itself. Unit: bytes of UTF-8. A guess: one line of a
/// terminal still has room for what the peer says.
pub const MAX_NAME_LEN: usize = 64;

// messages

/// Longest kind of a message. Unit: bytes. Kinds are kept inline, so this is also what each
/// costs in memory, used or not.
pub const MAX_KIND_LEN: usize = 64;

// addresses

/// Most addresses one peer may name for itself. Unit: addresses.
///
/// A laptop with Wi-Fi, cable, one VPN and both address families has about eight. A stranger
/// who could name more would have us dial them all.
pub const MAX_ADDRS: usize = 16;

/// Longest body of one address on the wire. Unit: bytes.
///
/// A host name takes 255 with its port; the rest is for address types not yet invented, which
/// a decoder has to read in order to skip.
pub const MAX_ADDR_BYTES: usize = 512;

/// Longest host name. Unit: bytes. RFC 1035 §2.3.4 (255 octets on the wire, 253 as text).
pub const MAX_HOST_LEN: usize = 253;

/// Longest label of a host name. Unit: bytes. RFC 1035 §2.3.4.
pub const MAX_HOST_LABEL_LEN: usize = 63;

// extension lists

/// Most entries of one extension list. Unit: entries. A guess: four times what we can imagine.
pub const MAX_EXT_ENTRIES: usize = 32;

/// Most bytes of all the values of one extension list together. Unit: bytes.
///
/// A quarter of a frame, so that a HELLO with a full list and sixteen addresses fits one frame.
pub const MAX_EXT_BYTES: usize = 4096;

// tickets

/// Longest ticket anybody may hand us. Unit: characters.
///
/// The largest that can be made is about 14,000: sixteen host names of 253 bytes and a full
/// extension list. An everyday one has about 130.
pub const MAX_TICKET_TEXT_LEN: usize = 16 * 1024;

/// Length of the checksum at the end of a ticket. Unit: bytes.
///
/// It finds slips of the hand (one in four thousand million passes), not forgery: what a
/// ticket claims is proven by the handshake.
pub const TICKET_CHECKSUM_LEN: usize = 4;

// session
