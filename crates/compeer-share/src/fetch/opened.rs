//! A stream with one provider, greeted: it has the share and says how much of it.
//!
//! HELLO goes out with the proof for this very connection, and MANIFEST in the same write when it is wanted, so
//! that a small share costs no further round trip.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use compeer::{Peer, PeerAddr, PeerId, ShareTicket, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::FetchError;
use super::error::lost;
use crate::limits;
use crate::limits::MAX_MANIFEST_BYTES;
use crate::ranges::RangeSet;
use crate::wire::{self, Ask, Frames, Tell};

/// Bytes of a manifest that may take [`limits::STREAM_SILENCE`].
const MANIFEST_PART: usize = 64 * 1024;

/// Why a provider does not provide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoWelcome {
    /// It could not be reached, or the stream broke.
    Unreachable(String),
    /// It knows nothing of this share, or will not give it to us.
    Unknown,
    /// It has too much to do.
    Busy,
}

impl From<io::Error> for NoWelcome {
    fn from(error: io::Error) -> Self {
        NoWelcome::Unreachable(lost(&error))
    }
}

impl NoWelcome {
    pub(crate) fn words(&self) -> String {
        match self {
            NoWelcome::Unreachable(why) => why.clone(),
            NoWelcome::Unknown => "it does not have this share, or not for this peer".into(),
            NoWelcome::Busy => "it serves too many others now".into(),
        }
    }
}

/// See the module.
pub(crate) struct Opened {
    pub(crate) peer: PeerId,
    pub(crate) stream: Stream,
    /// Bytes of the manifest.
    pub(crate) manifest: u32,
    /// `None`: everything.
    pub(crate) have: Option<Vec<u8>>,
    pub(crate) records: Vec<Vec<u8>>,
    pub(crate) pass_on: bool,
}

impl Opened {
    /// Opens a stream and says hello; asks for the manifest in the same breath if it is wanted.
    pub(crate) async fn open(
        peer: &Peer,
        at: PeerAddr,
        ticket: &ShareTicket,
        record: Vec<u8>,
        manifest: bool,
    ) -> Result<Opened, NoWelcome> {
        let id = at.id;
        let stream = peer.open_stream(at, wire::STREAM).await;
        let mut stream = stream.map_err(|error| NoWelcome::Unreachable(error.to_string()))?;
        let binding = stream.channel_binding();
        let proof = *wire::proof(&ticket.secret, &ticket.root, &binding, peer.id().as_bytes()).as_bytes();
        let mut hello = wire::encode(&Ask::Hello { content: ticket.root, proof, record, ext: Vec::new() });
        if manifest {
            hello.extend(wire::encode(&Ask::Manifest));
        }
        stream.write_all(&hello).await?;
        stream.flush().await?;
        let mut frames = Frames::default();
        let answer = tokio::time::timeout(limits::STREAM_SILENCE, frames.next(&mut stream));
        match answer.await.map_err(io::Error::from)?? {
            Some(Tell::Welcome { manifest, have, records, pass_on, .. }) => {
                let have = (!have.is_empty()).then_some(have);
                Ok(Opened { peer: id, stream, manifest, have, records, pass_on })
            }
            Some(Tell::Unknown) => Err(NoWelcome::Unknown),
            Some(Tell::Busy) => Err(NoWelcome::Busy),
            _ => Err(NoWelcome::Unreachable("it does not speak this protocol".into())),
        }
    }

    /// Reads the manifest that was asked for when it was opened; what comes is counted, part by part before it is here.
    pub(crate) async fn manifest(&mut self, come: &AtomicU64) -> Result<Vec<u8>, FetchError> {
        let broken = |error: io::Error| FetchError::Broken { peer: self.peer, why: lost(&error) };
        let len = self.manifest as usize;
        if len > MAX_MANIFEST_BYTES {
            return Err(broken(wire::malformed("a manifest that is too long")));
        }
        let mut frames = Frames::default();
        let first = tokio::time::timeout(limits::STREAM_SILENCE, frames.next(&mut self.stream)).await;
        match first.map_err(io::Error::from).and_then(|first| first).map_err(broken)? {
            Some(Tell::Manifest) => {}
            _ => return Err(broken(wire::malformed("no manifest"))),
        }
        // Grows as bytes come, not as long as is claimed.
        let mut bytes = Vec::new();
        while bytes.len() < len {
            let most = (len - bytes.len()).min(MANIFEST_PART) as u64;
            come.fetch_add(most, Ordering::Relaxed);
            let mut part = (&mut self.stream).take(most);
            let read = tokio::time::timeout(limits::STREAM_SILENCE, part.read_to_end(&mut bytes)).await;
            if read.map_err(io::Error::from).and_then(|read| read).map_err(broken)? == 0 {
                return Err(broken(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(bytes)
    }

    /// Asks what has become of the draft that it gives: HASHING, FINAL or NEVER.
    pub(crate) async fn becomes(&mut self, wait: bool) -> io::Result<Tell> {
        self.stream.write_all(&wire::encode(&Ask::Final { wait })).await?;
        self.stream.flush().await?;
        let answer = async {
            let mut frames = Frames::default();
            loop {
                match frames.next(&mut self.stream).await? {
                    Some(tell @ (Tell::Hashing { .. } | Tell::Final { .. } | Tell::Never { .. })) => {
                        return Ok(tell);
                    }
                    // News that came before the answer.
                    Some(Tell::Have(_) | Tell::Providers(_)) => {}
                    _ => return Err(wire::malformed("no word on its draft")),
                }
            }
        };
        tokio::time::timeout(limits::STREAM_SILENCE, answer).await?
    }

    /// What it has of a line of so many groups; `None` if it says nonsense.
    pub(crate) fn has(&self, groups: u64) -> Option<RangeSet> {
        match &self.have {
            None => Some(RangeSet::from_range(0..groups)),
            Some(have) => RangeSet::decode(have, groups, limits::MAX_RUNS).ok(),
        }
    }
}
