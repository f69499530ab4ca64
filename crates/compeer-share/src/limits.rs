//! Bounds of sharing: what a stranger, a provider or a fetcher can make us hold, read or wait for.
//!
//! Each has its unit and its reason; a number that is a guess says so. Those of the framework beneath are in
//! `compeer::limits`.

use std::time::Duration;

/// Longest frame on a stream, raw bytes after it left out. Unit: bytes. Holds what a provider has
/// ([`MAX_RUNS`]) and [`MAX_RECORDS`] records.
pub const MAX_FRAME: usize = 256 * 1024;

/// Longest range that may be wanted at once. Unit: groups. 16 MiB.
pub const MAX_WANT: u64 = 1024;

/// How long a fetcher may take to say what it wants to fetch.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs in a list of what a provider has; what is beyond is not told. Unit: runs. At twenty bytes at most each it
/// fits a frame.
pub const MAX_RUNS: usize = 8192;

/// Records told at once. Unit: records. A guess.
pub const MAX_RECORDS: usize = 64;

/// Streams served at a time, over all peers. Unit: streams. Each has a thread and its buffers; a guess.
pub const MAX_SERVED: usize = 128;

/// Providers that one fetch talks with at a time. Unit: peers. A guess: more do not fill a line any better.
pub const MAX_SOURCES: usize = 16;

/// How long a stream may be silent before its other side counts as gone. A dead peer is noticed by the session
/// within 15 s; this is for one that lives and says nothing.
pub const STREAM_SILENCE: Duration = Duration::from_secs(60);

// lists of files

/// Most files of one share. Unit: files. A source tree with everything that was built in it has about as many.
pub const MAX_ENTRIES: usize = 250_000;

/// Longest manifest as bytes. Unit: bytes. [`MAX_ENTRIES`] at 130 bytes each; 60 to 90 are usual.
pub const MAX_MANIFEST_BYTES: usize = 32 * 1024 * 1024;

/// Longest that all paths of a manifest together may be once written out. Unit: bytes. The manifest says only where a
/// path differs from the one before, so that its bytes alone would bound the memory badly.
pub const MAX_PATH_BYTES: usize = 64 * 1024 * 1024;

/// Longest path of a manifest. Unit: bytes. Linux's `PATH_MAX`.
pub const MAX_PATH: usize = 4096;

/// Longest component of a path. Unit: bytes. Linux's `NAME_MAX`.
pub const MAX_COMPONENT: usize = 255;

/// Most components of a path. Unit: components. A guess: three times the deepest tree we met.
pub const MAX_DEPTH: usize = 64;

// files that are received

/// Records after which a journal is written anew if that makes it half as long or less. Unit: records of 24 bytes.
/// 384 KiB, read in a millisecond; rarer would save nothing, as a checkpoint syncs far more.
pub const COMPACT_RECORDS: u64 = 16 * 1024;

/// How long a fetch goes on when nothing arrives, while providers that vanished are called again.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long a provider may take to hear that we have everything.
pub const FAREWELL: Duration = Duration::from_secs(2);

/// Segments that wait for the reader of a stream. Unit: segments of at most 1 MiB.
pub const IN_ORDER_QUEUE: usize = 4;

/// How far ahead of the reader of a stream one fetches. Unit: groups. 16 MiB.
pub const IN_ORDER_WINDOW: u64 = 1024;

/// Packs kept for files that may be shared again. Unit: bytes. The hashes of 256 GiB of files.
pub const MAX_PACKS: u64 = 1 << 30;

/// How often a fetch in which nothing moves looks whether anything still can.
pub const LOOK_AROUND: Duration = Duration::from_millis(250);

// files that are sent before they are hashed

/// Bytes not hashed before from which on it is worth to send before they are. Unit: bytes. A core hashes 64 MiB in a
/// tenth of a second or less, which nobody notices before he reads a code.
pub const WORTH_A_DRAFT: u64 = 64 * 1024 * 1024;

/// How long a provider may keep back that it is still hashing: by then a fetcher is told how far that is.
pub const SAY_HASHING: Duration = Duration::from_secs(5);

/// Answers in a row by which hashing is less than [`HASHING_LEAST`] further before it is given up. Unit: answers, so that
/// it takes five minutes with a provider that keeps to [`SAY_HASHING`]: a disk that slept, or a stalled network drive,
/// is back by then.
pub const HASHING_STILL: u32 = 60;

/// What counts as getting on. Unit: bytes.
pub const HASHING_LEAST: u64 = 1024 * 1024;

// spoken codes

/// Highest number of a code. Unit: none. Three digits are read out easily.
pub const MAX_CODE_NUMBER: u16 = 999;

/// How long a code is good. A guess: one call, or one walk through the house. Two words are not to be guessed
/// against for days.
pub const CODE_LASTS: Duration = Duration::from_secs(3600);

/// Wrong guesses that a code for many bears. Unit: guesses. A room of people makes slips; at 22 bits three are still
/// less than one chance in a million.
pub const MANY_GUESSES: u8 = 3;

/// Codes that one peer offers at a time, those that are over and not yet taken back included. Unit: codes. As many as
/// one announcement tells.
pub const MAX_CODES: usize = compeer::limits::MAX_CODE_NUMBERS;

/// Attempts under way at a time at one peer, over all its codes. Unit: streams. A guess.
pub const MAX_MEETINGS: usize = 32;

/// How long each message of a meeting may take. A stranger who begins and says nothing has guessed by then.
pub const MEET_STEP: Duration = Duration::from_secs(10);

/// Longest share of SPAKE2. Unit: bytes. Ours have 33.
pub const MAX_MEET_SHARE: usize = 64;

/// Longest message of a meeting. Unit: bytes. A ticket and its MAC.
pub const MAX_MEET_MESSAGE: usize = compeer::limits::MAX_TICKET_TEXT_LEN + 64;

/// Directories kept open while files are written below them. Unit: directories, each a file descriptor; 1,024 of those are
/// all that a process has by default.
pub const MAX_OPEN_DIRS: usize = 64;

/// Files and folders that are synced one by one; for more the whole file system is, at once. Unit: files. A guess: a sync
/// of one is a commit of the file system's journal, a few milliseconds on a disk.
pub const SYNC_ONE_BY_ONE: usize = 4;

/// Highest number that a received file gets beside one of the same name: `name (999).txt`. Unit: numbers. A guess.
pub const MAX_NUMBERED: u32 = 999;

// providers

/// Longest provider record. Unit: bytes. [`MAX_RECORDS`] of them are half a frame.
pub const MAX_RECORD: usize = 2048;

/// Most addresses in a provider record. Unit: addresses. A guess: who has more names the best, and a stranger cannot
/// have us dial many.
pub const MAX_RECORD_ADDRS: usize = 8;

/// How long a provider record lasts. Longer ones are refused.
pub const RECORD_LASTS: Duration = Duration::from_secs(3600);

/// How much the wall clocks of two peers may differ. A guess.
pub const CLOCKS_DIFFER: Duration = Duration::from_secs(300);

/// Providers known of one content. Unit: peers. As many as are told at once ([`MAX_RECORDS`]).
pub const MAX_PROVIDERS: usize = 64;

/// Contents of which providers are known. Unit: contents. With [`MAX_PROVIDERS`] and [`MAX_RECORD`] the book is never
/// larger than 32 MiB.
pub const MAX_BOOK: usize = 256;

/// Shares for which records are exchanged in one run; the others have their turn later. Unit: shares. A guess.
pub const EXCHANGE_CONTENTS: usize = 32;

/// Providers asked for records of one share in one run. Unit: peers. A guess.
pub const EXCHANGE_PEERS: usize = 3;

/// Providers asked at a time. Unit: peers. A guess.
pub const EXCHANGE_AT_ONCE: usize = 8;

/// How long one of them may take, connecting included.
pub const EXCHANGE_WITHIN: Duration = Duration::from_secs(10);

// files that are sent

/// Files and folders that were left out and are named one by one; of the rest the number is told. Unit: lines. A guess:
/// nobody reads more.
pub const MAX_SKIPPED: usize = 100;

/// How long a fetcher may want nothing before its stream is ended, so that it does not keep a place of
/// [`MAX_SERVED`]. It may open another.
pub const IDLE_FETCHER: Duration = Duration::from_secs(300);

// finding

/// Longest words of a search. Unit: bytes of UTF-8. A guess: a line.
pub const MAX_QUERY: usize = 256;

/// Most words of a search; further ones are ignored. Unit: words.
pub const MAX_WORDS: usize = 16;

/// How often a search may be handed on. Unit: hops. With eight neighbours each that is some thousand peers.
pub const MAX_HOPS: u8 = 3;

/// Neighbours that one peer asks for one search. Unit: peers. A guess; with more, the search is not complete.
pub const MAX_FIND_PEERS: usize = 32;

/// Shares that one peer passes on for one search. Unit: shares. More than a person reads.
pub const MAX_FIND_RESULTS: usize = 256;

/// Shares of its own that a peer answers a search with. Unit: shares.
pub const MAX_FOUND_HERE: usize = 100;

/// Shares found that wait for whoever reads them, per search. Unit: shares; the neighbours wait then.
pub const FIND_QUEUE: usize = 32;

/// Longest message of a search. Unit: bytes. One share with sixteen addresses of the longest names fits.
pub const MAX_LISTING: usize = 8 * 1024;

/// Longest name of a share in the catalogue. Unit: bytes of UTF-8; what is beyond is cut off.
pub const MAX_LISTED_NAME: usize = 255;

/// Names of files of one share that can be found. Unit: bytes; what is beyond is not found. Some 20,000 files.
pub const MAX_LISTED_TEXT: usize = 1024 * 1024;

/// Longest time for a search.
pub const MAX_FIND_TIME: Duration = Duration::from_secs(60);

/// Least time that is kept back to tell how a search went.
pub const FIND_MARGIN: Duration = Duration::from_millis(100);

/// Searches of others under way at a time. Unit: requests. A guess; beyond it a peer is busy.
pub const MAX_FINDS: usize = 256;

/// Searches that a peer may hand to us at once. Unit: requests. It may hand on those of its own neighbours, so this
/// is for a busy peer and not for a person.
pub const FIND_BURST: f64 = 64.0;

/// And how many a second after that. Unit: requests per second.
pub const FINDS_A_SECOND: f64 = 16.0;

/// Searches that are remembered, and peers that are counted. Unit: searches, peers; the oldest goes.
pub const MAX_SEEN: usize = 4096;

/// How long a search is remembered: none lasts longer.
pub const SEEN_FOR: Duration = MAX_FIND_TIME;

/// Shares in one page of a peer's list. Unit: shares. With [`MAX_LISTING`] each they fit a message.
pub const BROWSE_PAGE: usize = 100;

/// Shares of one peer that are listed at all. Unit: shares. A guess.
pub const MAX_BROWSE: usize = 10_000;

/// Pause before a share whose file was changed is hashed anew once more, when the first time gave nothing. A guess.
pub const RENEW_AGAIN: Duration = Duration::from_secs(60);

/// Contents that are served on after they were fetched; the oldest is let go. Unit: shares, each with an open file.
pub const MAX_FETCHED: usize = 64;

// the file-sharing program of 2007

/// Programs of the classic protocol in the roster when `max_peers` is 0. Unit: programs. A guess: a search goes to all
/// of them.
pub const MAX_CLASSIC: usize = 256;

/// Those of them that joined from one household, an IPv4 address or an IPv6 /56. Unit: programs. Loopback is exempt. A
/// guess: more than one router has behind it, and far from the whole roster.
pub const CLASSIC_HOUSEHOLD: usize = 32;

/// Longest id of such a program, longest key of a search, longest name of a file. Unit: bytes of UTF-8. That of a name on
/// any file system we know.
pub const MAX_CLASSIC_WORD: usize = 255;

/// What one household may ask for at once that has us do, remember or tell others something (JOIN, QUIT, QUER, RESP, FGET). Unit:
/// requests. A guess: a program that joins and searches by hand is far from it.
pub const CLASSIC_BURST: f64 = 64.0;

/// And how many a second after that. Unit: requests per second.
pub const CLASSIC_A_SECOND: f64 = 8.0;

/// Calls that others can have us make to one household at once: answers to searches, and who says he is there. Unit: calls.
pub const CLASSIC_CALLS_BURST: f64 = 32.0;

/// And how many a second after that. Unit: calls per second. Nobody is flooded by them.
pub const CLASSIC_CALLS_A_SECOND: f64 = 4.0;

/// Households that are counted for the above. Unit: households; when all have just asked, a new one has to wait.
pub const CLASSIC_COUNTED: usize = 4096;

/// Calls to programs of the classic protocol under way at a time that others had us make. Unit: calls. A guess.
pub const CLASSIC_CALLS: usize = 64;

/// Calls under way at a time that see whether those in the roster are still there. Unit: calls. As many again, so that they
/// keep no search waiting.
pub const CLASSIC_CHECKS: usize = 64;

/// How long such a call may take.
pub const CLASSIC_CALL_TIME: Duration = Duration::from_secs(5);

/// Searches of classic programs that are worked on at a time. Unit: searches; others are acknowledged and dropped, as
/// the original promises no answer either.
pub const CLASSIC_SEARCHES: usize = 32;

/// Searches (return address and key) that are remembered, so that each is worked on once. Unit: searches; the oldest goes.
pub const CLASSIC_SEEN: usize = 4096;

/// How long. Longer than a flood takes to die down, and short enough that a person who searches again is heard.
pub const CLASSIC_SEEN_FOR: Duration = Duration::from_secs(10);

/// How often a search may be handed on. Unit: hops.
pub const CLASSIC_MAX_TTL: i64 = 8;

/// How often our own are: the default of the original. Unit: hops.
pub const CLASSIC_TTL: i64 = 4;

/// How long answers of classic programs are waited for: nobody says that there are no more. A guess.
pub const CLASSIC_WAIT: Duration = Duration::from_secs(2);

/// Files that are remembered which others said they have. Unit: names; the oldest goes.
pub const CLASSIC_NAMES: usize = 1024;

/// Native peers that are remembered as having a file of one name. Unit: peers; the one heard of longest ago goes. A guess:
/// when one is gone or does not have what it said, there is another one to try.
pub const CLASSIC_PROVIDERS: usize = 4;

/// How long such a name is good: a promise to bring the file, too. A guess: as long as somebody thinks about what was found.
pub const CLASSIC_TOLD_FOR: Duration = Duration::from_secs(600);

/// Native shares that are looked into for one search of a classic program. Unit: shares. A guess.
pub const CLASSIC_LOOKS: usize = 4;

/// Native shares that are looked into at a time, over all such searches. Unit: shares. Each is a list of files of up to
/// [`MAX_MANIFEST_BYTES`], and three times that once read.
pub const CLASSIC_LOOKS_AT_ONCE: usize = 2;

/// Searches among native peers that one household (IPv4 address or IPv6 /56) of classic programs can have us make at once.
/// Unit: searches. Half of what all of them have.
pub const CLASSIC_HOUSE_FINDS_BURST: f64 = 8.0;

/// And how many a second after that. Unit: searches per second.
pub const CLASSIC_HOUSE_FINDS_A_SECOND: f64 = 2.0;

/// Searches among native peers that all classic programs together can have us make at once. Unit: searches. A quarter of
/// what our neighbours take from us ([`FIND_BURST`]), so that those of the user are not refused for them.
pub const CLASSIC_FINDS_BURST: f64 = 16.0;

/// And how many a second after that. Unit: searches per second. A quarter of [`FINDS_A_SECOND`].
pub const CLASSIC_FINDS_A_SECOND: f64 = 4.0;

/// How long a search of a classic program may take among native peers, looking into shares included.
pub const CLASSIC_LOOK_TIME: Duration = Duration::from_secs(10);

/// Files of other peers that are fetched at a time for those of the other protocol. Unit: files.
pub const CLASSIC_FETCHES: usize = 4;

/// How long one of them may take.
pub const CLASSIC_FETCH_TIME: Duration = Duration::from_secs(120);

/// How long an old program that is asked for a file may take to begin to give it, connecting included. Shorter than
/// [`CLASSIC_FETCH_TIME`], as it holds one of [`CLASSIC_FETCHES`] places meanwhile. A guess: a disk wakes up within it.
pub const CLASSIC_BEGIN_TIME: Duration = Duration::from_secs(15);

/// How long an old program that gives a file may send nothing of it. Longer than a line that others use too is stuck.
pub const CLASSIC_SILENCE: Duration = Duration::from_secs(10);

/// Bytes that one household can have us fetch at once from the other network, lists of files included; what is in the cache
/// costs nothing, and loopback and paired peers are exempt. Unit: bytes. What has come is counted when a fetch ends, so what is under way may go beyond it: a file, and
/// the lists of one search. Four of the longest files. A guess: an album.
pub const CLASSIC_BYTES_BURST: f64 = 4.0 * CLASSIC_FILE as f64;

/// And how many a second after that. Unit: bytes per second. 120 MiB a minute, a guess: nobody fills a line by us for long.
pub const CLASSIC_BYTES_A_SECOND: f64 = 2.0 * 1024.0 * 1024.0;

/// Files of other peers that are kept for those of the other protocol, those on their way included. Unit: bytes; those used
/// longest ago go.
pub const CLASSIC_CACHE: u64 = 512 * 1024 * 1024;

/// And in number. Unit: files, some with an open file each.
pub const CLASSIC_CACHE_FILES: usize = 64;

/// Programs that are called while joining. Unit: programs. A guess: more than a roster has any use for.
pub const CLASSIC_VISITS: usize = 64;

/// Bytes of a list of programs that are read. Unit: bytes. About twice the longest of ours: [`MAX_CLASSIC`] programs, each
/// with an id and a host of [`MAX_CLASSIC_WORD`].
pub const CLASSIC_LIST: u32 = 256 * 1024;

/// Checks in a row that a program in the roster may miss. Unit: checks. The original forgives none.
pub const CLASSIC_MISSES: u32 = 3;

/// Longest file that goes over the bridge to old programs, or comes from one. Unit: bytes. What fits one of their frames
/// in our memory.
pub const CLASSIC_FILE: u32 = compeer::limits::CLASSIC_MAX_REPLY;

/// How far a search of an old program goes among native peers. Unit: hops; as a search of our own.
pub const CLASSIC_NATIVE_HOPS: u8 = 2;
