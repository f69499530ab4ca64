//! Bounds of the framework: what a stranger can make a peer hold or wait for.
//!
//! Those of the wire itself are [`compeer_proto::limits`], re-exported here, so
//! that there is one place to look. Each has its unit and its reason; a number
//! that is a guess says so. What a person may want to set differently has its
//! default here and its setter at the [`Builder`](crate::Builder).

use std::time::Duration;

pub use compeer_proto::limits::*;

/// Handshakes under way at a time. Unit: connections. DESIGN §6; beyond it the
/// oldest one of the prefix with the most goes.
pub const MAX_PENDING: usize = 1024;

/// The same for callers from addresses (IPv4 address or IPv6 /56) with a live
/// connection, beside those. Unit: connections. As many again: each peer that is
/// connected may open eight streams.
pub const MAX_PENDING_CONNECTED: usize = 1024;

/// Handshakes served at a time from one IPv4 address or IPv6 /56. Unit:
/// connections. DESIGN §6; loopback is exempt unless set otherwise.
pub const MAX_PENDING_PER_PREFIX: usize = 8;

/// How long a caller may say nothing at all.
pub const FIRST_BYTES_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a handshake may take, and then again the HELLO.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Live connections, draining ones included. Unit: connections. Below the
/// 20,000 descriptors that a process gets on the machines we know.
pub const MAX_CONNECTIONS: usize = 16_384;

/// Live connections that callers whom nobody here chose have from one IPv4 address
/// or IPv6 /56; beyond it, theirs that was idle longest goes. Unit: connections. A
/// guess: a large office behind one address, and 1/64 of [`MAX_CONNECTIONS`].
/// Loopback is exempt unless set otherwise.
pub const MAX_STRANGERS_PER_PREFIX: usize = 256;

/// Links with one peer at a time, those in introduction and those that drain
/// included; the oldest that is not in use goes. Unit: connections. Two that
/// call each other at once have two, and twice that is plenty.
pub const MAX_LINKS_PER_PEER: usize = 4;

/// Bulk streams at a time with one peer. Unit: streams. DESIGN §4.2.
pub const MAX_STREAMS_PER_PEER: usize = 8;

/// Handlers of one-way requests that wait for something, at a time on one
/// connection. Unit: handlers. Further one-way requests wait in order, not begun
/// and not given back to the window of their sender, which bounds them in turn.
/// As many as requests that are replied to.
pub const MAX_ONE_WAY: usize = MAX_REQUESTS as usize;

/// How long handlers of one-way requests may go on after their sender has closed
/// the connection or was lost. As long as a request lasts by default; without an
/// end, one that comes and goes would leave ever more behind.
pub const ONE_WAY_GRACE: Duration = REQUEST_TIMEOUT;

/// Addresses of one peer that one dial tries, whatever the router says. Unit: addresses. Those that the caller knows, and as
/// many that others tell.
pub const MAX_ADDRS_TRIED: usize = 2 * MAX_ADDRS;

/// Questions of the overlay at a time. Unit: calls. A guess: what many look-ups at once need, so that
/// none fails for waiting, and a household's router still bears.
pub const OVERLAY_CALLS: usize = 256;

/// Records handed over at a time. Unit: calls. A guess: there is no hurry.
pub const OVERLAY_KEEPS: usize = 16;

/// How long a connection that nobody keeps may be unused.
pub const PASSING_IDLE: Duration = Duration::from_secs(60);

/// Wait between accepts when the system has no descriptors left.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// How often that is told. A guess: a flood that lasts is not to flood the screen.
pub const ACCEPT_PAUSE_TOLD: Duration = Duration::from_secs(10);

/// Callers without a proven key who are hung up on at each such pause, so that files
/// and other sockets of the program find descriptors. Unit: connections. A guess.
pub const FREED_AT_PAUSE: usize = 8;

/// First wait before a kept peer is called again; doubles each time.
pub const BACKOFF_LEAST: Duration = Duration::from_millis(500);

/// Longest wait before a kept peer is called again. A guess: a person who
/// plugged the cable back in waits half a minute at most.
pub const BACKOFF_MOST: Duration = Duration::from_secs(30);

/// Wait after we heard that our key runs in two places.
pub const BACKOFF_KEY_TWICE: Duration = Duration::from_secs(60);

/// Wait before the next address of a peer is tried beside the last. RFC 8305 §5.
pub const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// Changes of instance under one key, in [`INSTANCE_WINDOW`], that mean the key
/// runs twice. DESIGN §4.6.
pub const INSTANCE_CHANGES: usize = 3;

/// See [`INSTANCE_CHANGES`].
pub const INSTANCE_WINDOW: Duration = Duration::from_secs(60);

/// Peers in the table when `max_peers` is 0. Unit: peers. A guess.
pub const MAX_TABLE: usize = 65_536;

/// Peers of the table that [`check_live_peers`](crate::check_live_peers) asks at
/// a time. Unit: peers. A guess: a table of 65,536 is not to be 65,536 dials.
pub const LIVE_CHECKS: usize = 64;

/// Default for a whole request, replies included.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Events that wait for a reader that does not read; older ones are dropped and
/// counted. Unit: events.
pub const EVENT_QUEUE: usize = 1024;

/// How long a closing connection may take to get its last bytes out.
pub const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a stream may go on whose session gave way to its twin, counted from
/// when nothing moved at first: its other end is closed then, and only what is on
/// its way still comes. A guess: a few megabytes of kernel buffers on a slow line.
pub const STREAM_LINGER: Duration = Duration::from_secs(60);

/// How long the other side may take to answer the opening of a stream, or to
/// dial one that was asked for.
pub const STREAM_TIMEOUT: Duration = Duration::from_secs(15);

/// Circuits with one neighbour at a time, whoever opened them and wherever they end, beside its
/// bulk streams. Unit: circuits. Any neighbour may open them, and each takes a descriptor: as many as
/// two peers that carry would take of one who asks, which is seven connections with their eight streams each.
pub const MAX_CIRCUITS_PER_PEER: usize = 2 * CARRIED_PER_PEER;

/// Circuits carried for others at a time. Unit: circuits. Each takes up to 150 KiB and two
/// descriptors while much passes.
pub const CARRIED_CIRCUITS: usize = 128;

/// Of those, as many for one neighbour who asks. Unit: circuits. A connection and its eight
/// streams, three times.
pub const CARRIED_PER_PEER: usize = 32;

/// What the ends of one carried circuit may say to each other. Unit: bytes. A guess: a film; a
/// fetch that is longer goes on over its next circuit.
pub const CARRIED_BYTES: u64 = 4 << 30;

/// How long one carried circuit may last. A guess: half a day; who still wants one opens another.
pub const CARRIED_TIME: Duration = Duration::from_secs(12 * 3600);

/// How long opening a circuit may take, the calls between its carriers included. Less than
/// [`STREAM_TIMEOUT`], so that the reason is heard in time.
pub const CIRCUIT_TIMEOUT: Duration = Duration::from_secs(12);

/// What of that each hop keeps for itself, so that whoever is nearer to a trouble names it first.
pub const CIRCUIT_HOP_TIME: Duration = Duration::from_millis(200);

/// Other ways that all who are asked together may try. Unit: hops asked. A guess.
pub const CIRCUIT_TRIES: u8 = 4;

/// How long a neighbour may take to say which circuit it wants, or to take the answer.
pub const CIRCUIT_OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// How often those whom others carry are called at their own addresses.
pub const DIRECT_AGAIN: Duration = Duration::from_secs(60);

/// Of those, so many at a time. Unit: peers. A guess.
pub const DIRECT_CALLS: usize = 16;

/// How long both sides of a circuit that broke may take to hear where.
pub const CIRCUIT_LAST_WORDS: Duration = Duration::from_secs(5);

/// Announcements of others on the local network that are kept. Unit: peers. A
/// guess: more than a hall of people with laptops; each takes about 1 KiB.
pub const MAX_NEARBY: usize = 512;

/// DNS records that the discovery library may keep for us before it is begun anew.
/// Unit: records. Eight for each of [`MAX_NEARBY`] peers, and twice that.
pub const MAX_NEARBY_RECORDS: i64 = 16 * MAX_NEARBY as i64;

/// Numbers of codes in one announcement. Unit: numbers. As many of three digits as
/// fit one string of a TXT record (255 bytes, RFC 6763 §6.1).
pub const MAX_CODE_NUMBERS: usize = 32;

/// Classic connections at a time, whatever they do. Unit: connections, each with a descriptor. As many as handshakes
/// under way; beyond it the oldest one of the prefix with the most goes.
pub const CLASSIC_CONNECTIONS: usize = 1024;

/// Classic connections of one IPv4 address or IPv6 /56 that are served at a time; others wait for their turn. Unit:
/// connections. Loopback is exempt. A guess: a school behind one router.
pub const CLASSIC_PER_PREFIX: usize = 64;

/// How long a classic caller may take to say a whole frame, the first one counted from its turn.
pub const CLASSIC_FRAME_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a classic caller may take nothing of what is written to it.
pub const CLASSIC_WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a classic handler may take, with all its replies. [`CLASSIC_MAX_REPLY`] at 220 KB/s.
pub const CLASSIC_TIME: Duration = Duration::from_secs(300);

/// Payloads longer than [`CLASSIC_READ`] of all classic requests together, as far as they have come; further ones wait, but
/// for one. Unit: KiB.
pub const CLASSIC_ROOM_KIB: usize = 64 * 1024;
