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

/// The same for a connection that others carry: [`PONG_WITHIN`] and time for the carriers to notice
/// who of them is dead, which takes them up to 12 s, and to say so.
pub const PONG_WITHIN_CARRIED: Duration = Duration::from_secs(15);

// circuits

/// Length of what names a circuit. Unit: bytes. Drawn at random, two never meet.
pub const CIRCUIT_ID_LEN: usize = 16;

/// Most hops of a circuit, so that it has one carrier less. Unit: hops. DESIGN §4.8.
pub const MAX_CIRCUIT_HOPS: usize = 8;

/// Most other ways that all who are asked together may try for one circuit. Unit: hops asked.
/// A guess: it bounds what one OPEN can cause to this and [`MAX_CIRCUIT_HOPS`] more.
pub const MAX_CIRCUIT_TRIES: u8 = 8;

/// Most bytes in one DATA frame of a circuit. Unit: bytes. Two TLS records of the ends, less a few
/// bytes; a carrier has to have room for a whole frame.
pub const MAX_CIRCUIT_DATA: usize = 32 * 1024;

/// Longest other frame of a circuit. Unit: bytes. A full extension list, eight ids, and more.
pub const MAX_CIRCUIT_CONTROL: usize = 8 * 1024;

// classic

/// Bytes of a classic frame read at a time, at most. Unit: bytes. What a frame takes in memory grows by this
/// as it comes, however long its header says it is.
pub const CLASSIC_READ: usize = 16 * 1024;

/// Longest payload of a classic request. Unit: bytes. That of a message, so that either kind of caller may say as much.
pub const CLASSIC_MAX_BODY: u32 = MAX_BODY;

/// Longest payload of a classic reply, which may be a whole file. Unit: bytes. A guess: a client keeps it in memory.
pub const CLASSIC_MAX_REPLY: u32 = 64 * 1024 * 1024;

// overlay

/// Peers in a bucket of the table, and peers that keep a record. Unit: peers. The k of Kademlia (2002, §2.2): so many that they
/// are not likely to be all gone within an hour.
pub const BUCKET: usize = 20;

/// Reached peers that wait for a place in a full bucket. Unit: peers. A guess: a few, since only the newest is likely to be
/// there still when a place is free.
pub const BUCKET_WAITING: usize = 5;

/// Peers of one network (/24 or /48) in a bucket. Unit: peers. Who has one network shall not fill a bucket with it.
pub const PER_NETWORK: usize = 2;

/// Queries of one look-up under way on one of its paths when some are slow. Unit: queries. The α of Kademlia (§2.3).
pub const ALPHA: usize = 3;

/// Disjoint paths of a look-up. Unit: paths. The d of S/Kademlia (2007, §4.3): a fifth of all hostile is survived.
pub const PATHS: usize = 4;

/// Peers that one path of a look-up goes on to ask when nothing nearer comes up. Unit: peers. All paths together find
/// [`BUCKET`] with some to spare.
pub const PATH_WIDTH: usize = 8;

/// Queries of one path in all. Unit: queries. Hostile answers can lead on for ever; honest ones end after log n.
pub const MAX_PATH_QUERIES: usize = 48;

/// Peers that one path knows of and has not asked. Unit: peers.
pub const MAX_PATH_KNOWN: usize = 64;

/// Own records for which keepers are looked for at a time. Unit: records. A guess: those of a large share go out within minutes.
pub const MAX_PUBLISHING: usize = 4;

/// Look-ups of programs under way. Unit: look-ups. More are told *busy*. A guess.
pub const MAX_LOOKUPS: usize = 64;

/// Silence after which a query is slow, and its path asks one more. A guess: twice a long round trip.
pub const QUERY_SLOW: Duration = Duration::from_millis(700);

/// Silence after which a query has failed. A dial and a handshake over a bad line fit.
pub const QUERY_FAILS: Duration = Duration::from_secs(6);

/// Most addresses of a peer in the overlay. Unit: addresses. A guess: who has more names the best.
pub const MAX_CONTACT_ADDRS: usize = 4;

/// Most carriers a record names. Unit: peers. A guess: all of them gone at once is rare.
pub const MAX_CARRIERS: usize = 3;

/// Longest record of the overlay. Unit: bytes. Four addresses by long names and three carriers fit.
pub const MAX_OVERLAY_RECORD: usize = 2048;

/// How long a record of the overlay lasts. Longer ones are refused.
pub const OVERLAY_RECORD_LASTS: Duration = Duration::from_secs(2 * 3600);

/// How often a peer publishes its records anew. Of the twenty that keep one, a tenth gone each minute, seven are left by then.
pub const REPUBLISH: Duration = Duration::from_secs(600);

/// How much the wall clocks of two peers may differ. A guess.
pub const CLOCKS_DIFFER: Duration = Duration::from_secs(300);

/// Records kept for others. Unit: records. With [`MAX_OVERLAY_RECORD`] at most 16 MiB.
pub const MAX_RECORDS_KEPT: usize = 8 * 1024;

/// Records kept of one key: so many providers of a content. Unit: records.
pub const MAX_RECORDS_OF_KEY: usize = 64;

/// Records kept of one publisher. Unit: records. The keys near to one peer are few, and so are the records of one publisher there.
pub const MAX_RECORDS_OF_PUBLISHER: usize = 128;

/// Records of one's own that are published. Unit: records. A guess: each costs a look-up in [`REPUBLISH`].
pub const MAX_PUBLISHED: usize = 256;

/// Records in an answer. Unit: records. With [`BUCKET`] contacts they fit a message.
pub const MAX_RECORDS_TOLD: usize = 32;

/// Peers of an earlier run that are kept in mind. Unit: peers. After a week some of them are there still.
pub const MAX_REMEMBERED: usize = 256;

/// Peers to be tested that wait for it. Unit: peers. A stranger who calls makes us call back at most so many at once.
pub const MAX_TESTS: usize = 16;

/// Time between two looks at the table: one silent peer tested, one stale bucket refreshed.
pub const UPKEEP: Duration = Duration::from_secs(30);

/// Time after which a bucket that nobody looked into is refreshed. Kademlia, §2.3.
pub const BUCKET_STALE: Duration = Duration::from_secs(3600);

/// Silence after which a peer of the table is tested at the next look.
pub const SILENT: Duration = Duration::from_secs(900);
