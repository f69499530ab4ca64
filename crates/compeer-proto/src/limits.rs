//! Every bound in one file: how much of anything a stranger may make us hold, read or show.
//!
//! Each constant has its unit and the reason for its size; a number that is a guess says so.
//! A decoder checks the bound *before* it allocates, and a test fills each one to the brim and
//! one over. Bounds that are part of the wire (what the other side may send) are the same for
//! every peer of `compeer/1`: raising one is a change of protocol, not a setting.
//!
//! What is not here: settings a person may choose (those have their default at the builder),
//! and figures that describe the machine we run on.

use std::time::Duration;

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

/// Most peers of one share ticket, who have [`MAX_ADDRS`] addresses together. Unit: peers. A guess:
/// the sharer and three who have fetched, and the word still fits a QR code.
pub const MAX_TICKET_PEERS: usize = 4;

/// Length of what names the content of a share. Unit: bytes. A BLAKE3 hash.
pub const SHARE_ROOT_LEN: usize = 32;

/// Length of the secret of a share. Unit: bytes. 128 bits are beyond guessing.
pub const SHARE_SECRET_LEN: usize = 16;

/// Length of the checksum at the end of a ticket. Unit: bytes.
///
/// It finds slips of the hand (one in four thousand million passes), not forgery: what a
/// ticket claims is proven by the handshake.
pub const TICKET_CHECKSUM_LEN: usize = 4;

// session

/// Largest frame with its length field. Unit: bytes.
///
/// The plaintext of one TLS record (RFC 8446 §5.1), so a frame never waits for a second one.
pub const MAX_FRAME: usize = 16 * 1024;

/// Most bytes of a body in one frame. Unit: bytes. A frame less the largest header with a kind
/// (length 2, type 1, header at most 91).
pub const MAX_FRAME_BODY: usize = MAX_FRAME - 96;

/// Longest text for a person in a frame (failure, refusal, goodbye). Unit: bytes of UTF-8.
pub const MAX_TEXT: usize = 1024;

/// Longest agent string in HELLO. Unit: bytes.
pub const MAX_AGENT: usize = 64;

/// Longest body of one message. Unit: bytes. Larger things are streams.
pub const MAX_BODY: u32 = 1024 * 1024;

/// Requests served at a time for one connection. Unit: requests.
///
/// Enough for 300,000 requests a second at 3 ms each; at about 500 bytes of state, half a MiB.
pub const MAX_REQUESTS: u32 = 1024;

/// Requests of ours in flight on one connection, also when the peer would serve more. Unit:
/// requests. A guess: it bounds what a peer can make us keep that never ends what we cancelled.
pub const MAX_REQUESTS_SENT: u32 = 16 * 1024;

/// What a message costs of a window beside its kind and body. Unit: bytes.
///
/// About what keeping an empty one costs, so that a window of empty messages is bounded too.
pub const MESSAGE_OVERHEAD: u32 = 64;

/// Initial credit of each direction of a request. Unit: bytes of cost.
///
/// Four full frames: the next one is on its way while the last is consumed.
pub const WINDOW: u32 = 64 * 1024;

/// Least window a HELLO may name. Unit: bytes of cost. The first frame of any message must fit.
pub const MIN_WINDOW: u32 = 4 * 1024;

/// Credit for one-way requests of one connection. Unit: bytes of cost.
///
/// Two bodies of the largest size, so that one can be on its way while one is handled.
pub const NOTIFY_WINDOW: u32 = 2 * MIN_NOTIFY_WINDOW;

/// Least such credit a HELLO may name. Unit: bytes of cost. One body of the largest size fits.
pub const MIN_NOTIFY_WINDOW: u32 = MAX_BODY + MIN_WINDOW;

/// Least part of its body that the first frame of a cut one-way request carries. Unit: bytes.
///
/// It bounds the unfinished ones to [`NOTIFY_WINDOW`] / this = 257.
pub const MIN_FRAGMENT: usize = 8 * 1024;

/// Received and not yet consumed bytes of one connection. Unit: bytes of cost. Beyond it new
/// requests are answered *busy*, and replies larger than their window wait.
pub const CONNECTION_BUDGET: usize = 8 * 1024 * 1024;

/// The same for all connections of a process. Unit: bytes of cost. A guess: a laptop has it.
pub const PROCESS_BUDGET: usize = 256 * 1024 * 1024;

/// Data cut into frames ahead of the socket. Unit: bytes.
///
/// More would make a short message wait behind bulk, less would cost system calls.
pub const OUTBOX_HIGH_WATER: usize = 64 * 1024;

/// Beyond this an END goes without its words. Unit: bytes waiting for the socket.
pub const OUTBOX_WORDS: usize = 2 * OUTBOX_HIGH_WATER;

/// Answers that wait for a peer that reads none of them, before we read no more of it, beside
/// [`OUTBOX_PER_REQUEST`]. Unit: bytes.
///
/// It must be out of reach for an honest pair, or both could wait for the other to read: data
/// and words stay below [`OUTBOX_WORDS`] and a frame.
pub const OUTBOX_BACKLOG: usize = 256 * 1024;

/// What each request in flight may add to [`OUTBOX_BACKLOG`]. Unit: bytes.
///
/// Four CREDITs for half a window each, a CANCEL or FINISH, and an END, of 18 bytes at most.
pub const OUTBOX_PER_REQUEST: usize = 128;

/// Silence after which a PING goes. With [`PONG_WITHIN`]: a dead peer is noticed within 15 s.
pub const PING_AFTER: Duration = Duration::from_secs(5);

/// Silence after a PING that means death.
pub const PONG_WITHIN: Duration = Duration::from_secs(7);

/// How long a CANCEL may stay without its END before the connection is given up.
///
/// The END may stand behind what the other side's system has queued for a slow line: four MiB
/// at 35 KB/s take this long. What is kept meanwhile is bounded by [`MAX_REQUESTS_SENT`].
pub const CANCEL_ANSWERED_WITHIN: Duration = Duration::from_secs(120);

/// A timer this late means that the whole process was stopped, and proves nothing about others.
pub const LATE_TIMER: Duration = Duration::from_secs(2);

// classic

/// Bytes of a classic frame read at a time, at most. Unit: bytes. What a frame takes in memory grows by this
/// as it comes, however long its header says it is.
pub const CLASSIC_READ: usize = 16 * 1024;

/// Longest payload of a classic request. Unit: bytes. That of a message, so that either kind of caller may say as much.
pub const CLASSIC_MAX_BODY: u32 = MAX_BODY;

/// Longest payload of a classic reply, which may be a whole file. Unit: bytes. A guess: a client keeps it in memory.
pub const CLASSIC_MAX_REPLY: u32 = 64 * 1024 * 1024;
