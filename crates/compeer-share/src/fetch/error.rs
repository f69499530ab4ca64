//! Why a fetch did not bring what it should, sorted by who can do something about it.
//!
//! Nothing of a failed fetch is lost: what has arrived and is right stays, and the same fetch begun again goes on
//! there. The messages say so where it matters.

use std::io;
use std::sync::Arc;

use compeer::{PeerId, text};

use super::job;
#[cfg(doc)]
use crate::limits;
use crate::staging::StagingError;

/// Why a share could not be fetched.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Nobody of the ticket gave it.
    #[error("nobody gives this share: {}", Refusals(.0))]
    Nobody(Vec<(PeerId, String)>),
    /// All who could be reached do not know it, or not for us.
    #[error(
        "the peers of this ticket do not have this share (any more), or not for this peer: ask for a new ticket"
    )]
    Unknown,
    /// A provider broke the protocol before the first byte.
    #[error("{} broke off: {why}", .peer.short())]
    Broken {
        /// Who.
        peer: PeerId,
        /// Why.
        why: String,
    },
    /// The list of files is not what the ticket names, or is none.
    #[error("the list of files that {} sent is not that of the ticket: {why}", .peer.short())]
    Manifest {
        /// Who.
        peer: PeerId,
        /// What is wrong.
        why: String,
    },
    /// No file fits what was asked for.
    #[error("no file of the share fits {0:?}: `--list` shows them")]
    NothingSelected(Vec<String>),
    /// Not a pattern.
    #[error("{0}")]
    Pattern(String),
    /// Nobody is left to fetch from, or nothing came for [`limits::PATIENCE`].
    #[error("nobody is left who has the rest ({missing} bytes): {why}; what has arrived is kept")]
    NoProvider {
        /// Unit: bytes.
        missing: u64,
        /// What the last one said.
        why: String,
    },
    /// A file was changed where it is offered, and nobody else has it as it was.
    #[error("{} was changed at the sender since it was offered, so the rest ({missing} bytes) cannot be had", text::escape(.path))]
    Changed {
        /// Which, as in the manifest.
        path: String,
        /// Unit: bytes.
        missing: u64,
    },
    /// Those who gave do not offer it any more, or not for us.
    #[error("the sender is there, and does not offer this any more: {missing} bytes are missing")]
    NoMore {
        /// Unit: bytes.
        missing: u64,
    },
    /// All who have the rest sent bytes that are not the content.
    #[error(
        "what the providers sent is not what the ticket names: nothing of it was written; what was right is kept"
    )]
    Lies,
    /// No room.
    #[error("the disk is full: what has arrived is kept; make room and fetch again to go on")]
    DiskFull,
    /// Not enough room to begin with.
    #[error("not enough room: {needed} bytes are needed and {free} are free")]
    NoRoom {
        /// Unit: bytes.
        needed: u64,
        /// Unit: bytes.
        free: u64,
    },
    /// The target is not as it should be.
    #[error(transparent)]
    Target(Arc<StagingError>),
    /// Our disk or home.
    #[error("cannot write here: {0}")]
    Disk(String),
    /// The reader of the stream went away.
    #[error("nobody reads the output any more")]
    Unread,
    /// Only one file can go to a stream.
    #[error("the share has {0} files, and one can be written to a stream: choose one with --only")]
    NotOne(usize),
    /// A transfer's directory is not on the disk on which it began.
    #[error("{} is not on the disk it was on when this began: is it mounted? to begin anew, discard transfer {id}", .dir.display())]
    OtherDisk {
        /// Where it goes to.
        dir: std::path::PathBuf,
        /// Of the transfer.
        id: String,
    },
    /// The sender cannot hash what it sends, or does not get on with it.
    #[error("{} cannot say what the content is: {why}; ask for it to be sent again", .peer.short())]
    NotHashed {
        /// Who.
        peer: PeerId,
        /// Why.
        why: String,
    },
    /// A draft proves nothing, so nothing of it goes to a stream.
    #[error("the files are not hashed yet: wait for that before they are read as a stream")]
    Draft,
    /// No transfer has this id.
    #[error("there is no interrupted transfer {0}: `compeer transfers` lists them")]
    NoTransfer(String),
}

struct Refusals<'a>(&'a [(PeerId, String)]);

impl std::fmt::Display for Refusals<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, (peer, why)) in self.0.iter().enumerate() {
            write!(f, "{}{}: {why}", if i == 0 { "" } else { "; " }, peer.short())?;
        }
        Ok(())
    }
}

impl From<StagingError> for FetchError {
    fn from(error: StagingError) -> Self {
        match error {
            StagingError::NoSpace { needed: Some(needed), free } => FetchError::NoRoom { needed, free },
            StagingError::NoSpace { .. } => FetchError::DiskFull,
            error => FetchError::Target(Arc::new(error)),
        }
    }
}

impl From<io::Error> for FetchError {
    fn from(error: io::Error) -> Self {
        job::failed(error)
    }
}

/// What happened to a connection, in words.
pub(super) fn lost(error: &io::Error) -> String {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::BrokenPipe
        | Kind::ConnectionAborted
        | Kind::ConnectionReset
        | Kind::NotConnected
        | Kind::UnexpectedEof => "the connection was lost".into(),
        Kind::TimedOut => "it does not answer".into(),
        _ => error.to_string(),
    }
}
