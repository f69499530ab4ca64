//! The pure part of Compeer: what goes over the wire and how it is read, with no sockets, files,
//! clock or randomness of its own.
//!
//! Everything here is a value or a machine that takes `(input, now)` and gives outputs as values;
//! sockets, tasks and time belong to the crate `compeer`, which drives it. So the same code runs
//! in a simulator by the hundred thousand, under a fuzzer, and on wasm32.
//!
//! * [`PeerId`], [`Addr`], [`PeerAddr`], [`Ticket`]: who a peer is and where.
//! * [`Kind`]: the word by which a handler is found.
//! * [`ext`]: how structures grow without changing.
//! * [`frame`] and [`session`]: the wire, and the state machine of one connection.
//! * [`circuit`]: a connection carried by others: its frames, and what is carried.
//! * [`classic`]: the frame of the 2007 protocol, for old programs.
//! * [`overlay`]: finding any peer, and who has a content, by asking few.
//! * [`limits`]: every bound, with unit and reason.
//! * [`text`]: foreign text made fit to be shown.
//!
//! What this is not: an application's first stop. Use `compeer`, which re-exports what its own
//! API needs.

pub mod addr;
mod base32;
mod bounded;
pub mod circuit;
pub mod classic;
pub mod ext;
pub mod frame;
mod kind;
pub mod limits;
pub mod opening;
pub mod overlay;
pub mod peer_id;
pub mod session;
pub mod text;
mod ticket;
mod time;

pub use addr::{Addr, AddrError, PeerAddr};
pub use kind::{Kind, KindError};
pub use peer_id::{BadSignature, PeerId, PeerIdError};
pub use ticket::{ShareTicket, Ticket, TicketError};
pub use time::Time;
