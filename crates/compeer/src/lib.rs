//! Peer-to-peer programs in an afternoon.
//!
//! A **peer** has an id, a bounded **table** of other peers, a **handler** per
//! kind of message, a **router** that names the next hop, and **stabilizers**
//! that run now and then. These are the nouns of Nadeem Abdul Hamid's BTPeer
//! framework, made real: every peer proves its key, everything is encrypted
//! (TLS 1.3), many requests share one connection, and everything that a
//! stranger could grow is bounded.
//!
//! ```
//! use std::time::Duration;
//! use compeer::{Failure, Peer, Request, check_live_peers};
//!
//! // A handler: gets a request of a proven peer, gives a reply.
//! async fn greet(request: Request) -> Result<String, Failure> {
//!     Ok(format!("hello, {}", request.text()))
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let alice = Peer::builder()
//!     .listen("127.0.0.1:0") // port 0: any free one
//!     .max_peers(8)
//!     .handle("GREET", greet)
//!     .stabilize(Duration::from_secs(30), check_live_peers(3))
//!     .spawn()
//!     .await?;
//!
//! let bob = Peer::builder().spawn().await?;
//! bob.table().insert(alice.addr());
//!
//! let reply = bob.request(alice.id(), "GREET", "bob").one().await?;
//! assert_eq!(&reply.body[..], b"hello, bob");
//!
//! alice.shutdown().await; // a program that serves would call `alice.run().await`
//! bob.shutdown().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! The same nouns at more length: a handler that replies several times, one that
//! uses the table, a router and a stabilizer of one's own. Handlers, routers and
//! stabilizers are async functions (or closures, or types with the trait of that
//! name).
//!
//! ```
//! use std::time::Duration;
//! use compeer::{Failure, Hop, Peer, PeerAddr, Request};
//!
//! // Any error becomes a failure with `?`; the caller is told its words.
//! async fn count(request: Request) -> Result<(), Failure> {
//!     let n: u32 = request.text().parse()?;
//!     for i in 1..=n {
//!         request.reply(i.to_string()).await?; // waits while the caller reads slowly
//!     }
//!     Ok(())
//! }
//!
//! // `sender` is who asks, proven; `peer` is the peer that was asked.
//! async fn list(request: Request) -> Result<(), Failure> {
//!     for id in request.peer().table().ids() {
//!         request.reply(format!("{id}, says {}", request.peer().id())).await?;
//!     }
//!     Ok(())
//! }
//!
//! // Asked for every destination that is not connected; `None`: no way. A hop
//! // that is not the destination itself is asked to carry (`Builder::carry`).
//! async fn route(peer: Peer, to: PeerAddr) -> Option<Hop> {
//!     peer.table().get(to.id).map(Hop::from)
//! }
//!
//! // Runs at once, then about every interval; a failed run is an event.
//! async fn say_so(peer: Peer) -> Result<(), Failure> {
//!     let _how_many = peer.table().len();
//!     Ok(())
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let alice =
//!     Peer::builder().listen("127.0.0.1:0").handle("COUNT", count).handle("LIST", list).spawn().await?;
//! let bob = Peer::builder().router(route).stabilize(Duration::from_secs(10), say_so).spawn().await?;
//! bob.table().insert(alice.addr()); // a peer's id and its addresses
//!
//! let mut replies = bob.request(alice.id(), "COUNT", "3").replies().await?;
//! while let Some(reply) = replies.next().await {
//!     let reply = reply?; // each is a kind and a body, or the error that ended them
//!     assert!(["1", "2", "3"].contains(&reply.text().as_str()));
//! }
//! let all = bob.request(alice.id(), "LIST", "").all().await?; // or `one()`, the first
//! assert!(all.is_empty());
//! # alice.shutdown().await;
//! # bob.shutdown().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # Where to look
//!
//! - [`Peer`] and [`Builder`]: the whole of what a program does with a peer.
//! - [`Request`], what a handler gets: sender, deadline, body, further messages,
//!   and 0..n replies as they arise. [`Failure`], how it fails.
//! - [`Call`] and [`Replies`]: asking, and the replies as they come.
//! - [`Table`], [`Router`], [`Stabilizer`]: the framework's other nouns.
//! - [`Stream`]: bytes in bulk beside the messages.
//! - [`discovery`]: who is near, on the local network.
//! - [`overlay`]: finding any peer by its id, and who has a content, over peers that know others.
//! - [`classic`]: plaintext requests with programs of the 2007 framework, when asked for.
//! - [`transport::memory`]: a network inside the process, for tests with a
//!   thousand peers in virtual time.
//! - [`local`]: steering a running peer from other programs on the machine.
//! - [`limits`]: every bound.
//!
//! # What is asked first
//!
//! - *Two programs on two machines?* `Ticket::from(peer.addr())` prints as one word;
//!   `text.parse::<Ticket>()` reads it. A peer without [`Builder::identity`] has a new
//!   key at each start: store [`Identity::seed`] to keep its id.
//! - *State shared with handlers?* A handler may be a closure that owns an `Arc` and
//!   gives an async block: `move |request: Request| { let shared = shared.clone();
//!   async move { .. } }`.
//! - *Kinds* are 1–64 bytes, matched exactly. A reply is of kind `REPL`, or of
//!   another with [`Request::reply_kind`].
//! - *The table* is the program's own: callers are not put into it, `insert` is
//!   `false` when it is full or has that id, `remove` takes an id.
//! - *No router?* Then [`Direct`]: the addresses given, those in the table, and
//!   those of kept peers ([`Peer::keep`]).
//! - *`check_live_peers(3)`* removes a peer that did not answer three runs in a row.
//! - *How long does a request wait?* 30 s, or [`Call::timeout`]. *What went wrong?*
//!   [`RequestError`] for the caller; [`Peer::events`] for the rest: who came and
//!   went, handlers that panicked, stabilizers that failed.
//! - *Tokio* needs the features `rt` or `rt-multi-thread`, `macros` for `main`.
//!
//! # What it promises
//!
//! A handler always knows who asks: the sender's key was proven. (One for [`classic`]
//! callers is of another type, and has no sender.) A request runs
//! at most once; [`RequestError::Disconnected`] says that it may have run.
//! Handlers run concurrently, and a panicking one fails its own request only.
//! A peer may call itself. Reading replies slowly holds up nothing but those
//! replies. No packet goes to an address that nobody named; [`discovery`], for who
//! asks for it, keeps to the local network, and in the [`overlay`], for who takes
//! part, it is peers that name peers.

mod addrs;
mod call;
mod circuit;
pub mod classic;
mod clock;
mod counters;
pub mod discovery;
mod error;
mod event;
mod handler;
mod identity;
pub mod limits;
mod link;
mod links;
pub mod local;
pub mod overlay;
mod peer;
mod request;
mod router;
mod stabilizer;
mod strangers;
mod stream;
mod table;
pub mod transport;

pub use call::{Call, Replies, Sender};
pub use circuit::{Carried, Carry, CircuitError, Tap};
pub use clock::Clock;
pub use compeer_proto::circuit::Why;
pub use compeer_proto::session::Message;
pub use compeer_proto::{Addr, Kind, PeerAddr, PeerId, ShareTicket, Ticket, TicketError, Time, ext, text};
pub use counters::Counters;
pub use error::{ConnectError, Failure, IntoReply, ReplyError, RequestError, SpawnError};
pub use event::{Event, Events};
pub use handler::{Handler, StreamHandler};
pub use identity::Identity;
pub use overlay::{Kademlia, Overlay};
pub use peer::{Builder, Connection, ConnectionInfo, ListenAddr, Peer, Target};
pub use request::{Request, Responder};
pub use router::{Asked, Direct, Hop, Router};
pub use stabilizer::{Stabilizer, check_live_peers};
pub use stream::Stream;
pub use table::Table;

// Types of other crates that stand in our signatures.
pub use bytes::Bytes;
pub use futures_util::future::BoxFuture;

use std::sync::{Mutex, MutexGuard};

/// Locks; a panic elsewhere while it was held is no reason to fail here, since
/// nothing is left half-changed across a possible panic.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Pages whose programs are compiled and run with the doc tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../../docs/classic.md")]
    mod classic {}
    #[doc = include_str!("../../../docs/from-btpeer.md")]
    mod from_btpeer {}
    #[doc = include_str!("../../../README.md")]
    mod readme {}
}
