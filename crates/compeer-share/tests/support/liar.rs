//! A provider that speaks the protocol by hand, of a share of one file, and spoils what a test wants spoilt.

#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use compeer::{Peer, PeerAddr, Stream};
use compeer_share::layout::Layout;
use compeer_share::tree::{self, GROUP, NODE};
use compeer_share::wire::{self, Ask, Frames, Tell};
use compeer_share::{Manifest, ShareTicket};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

/// What it does with a segment that begins at this group: sends it as it is, spoils a byte, ends the stream, or withholds
/// the last byte for ever.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Honest,
    Lie,
    Die,
    Mute,
}

/// Opens when every one of so many providers was asked for something: until then all hold back their first segment, so that
/// none can bring everything before the others are asked.
pub(crate) struct Gate {
    all: usize,
    asked: watch::Sender<BTreeSet<usize>>,
}

impl Gate {
    pub(crate) fn of(all: usize) -> Arc<Gate> {
        Arc::new(Gate { all, asked: watch::Sender::new(BTreeSet::new()) })
    }

    /// Counts for one that is not there: of a gate for one more than there are, the test has the key.
    pub(crate) fn open(&self) {
        self.asked.send_if_modified(|asked| asked.insert(usize::MAX));
    }

    async fn pass(&self, who: usize) {
        self.asked.send_if_modified(|asked| asked.insert(who));
        let _ = self.asked.subscribe().wait_for(|asked| asked.len() >= self.all).await;
    }
}

/// See the module.
pub(crate) struct Provider {
    pub(crate) peer: Peer,
    /// Groups sent.
    pub(crate) sent: Arc<AtomicU64>,
}

struct Content {
    manifest: Vec<u8>,
    data: Vec<u8>,
    nodes: Vec<u8>,
    layout: Layout,
    draft: Option<Draft>,
}

/// What is given before the content is known, and what is said of that.
pub(crate) struct Draft {
    pub(crate) manifest: Manifest,
    pub(crate) data: Vec<u8>,
    pub(crate) becomes: Box<dyn Fn() -> Tell + Send + Sync>,
}

impl Provider {
    /// Provides the one file of this manifest, doing with each segment as `deed` says of its first group.
    pub(crate) async fn new(
        manifest: &Manifest,
        data: &[u8],
        deed: impl Fn(u64) -> Deed + Send + Sync + 'static,
        (who, gate): (usize, Arc<Gate>),
    ) -> Provider {
        Provider::with_draft(manifest, data, None, deed, (who, gate)).await
    }

    /// The same, with a draft of it.
    pub(crate) async fn with_draft(
        manifest: &Manifest,
        data: &[u8],
        draft: Option<Draft>,
        deed: impl Fn(u64) -> Deed + Send + Sync + 'static,
        (who, gate): (usize, Arc<Gate>),
    ) -> Provider {
        let of = tree::groups(data.len() as u64);
        let mut nodes = vec![0; (tree::nodes(of) * NODE) as usize];
        let groups = data.chunks(GROUP as usize).enumerate();
        let leaves: Vec<_> = groups.map(|(i, data)| tree::group_hash(i as u64, of, data)).collect();
        tree::build(&leaves, of, 1, true, &mut |place, node| {
            nodes[(place * NODE) as usize..][..NODE as usize].copy_from_slice(node);
        });
        let content = Arc::new(Content {
            manifest: manifest.encode(),
            data: data.to_vec(),
            nodes,
            layout: Layout::new([data.len() as u64]),
            draft,
        });
        let sent = Arc::new(AtomicU64::new(0));
        let (deed, count) = (Arc::new(deed), sent.clone());
        let peer = Peer::builder().listen("127.0.0.1:0").spawn().await.unwrap();
        let handler = move |stream: Stream| {
            let (content, deed, count) = (content.clone(), deed.clone(), count.clone());
            let gate = gate.clone();
            async move {
                // The fetcher goes when it has what it wants.
                let _ = serve(stream, &content, &*deed, &count, (who, &gate)).await;
            }
        };
        peer.handle_stream(wire::STREAM, handler).unwrap();
        Provider { peer, sent }
    }
}

async fn serve(
    mut stream: Stream,
    content: &Content,
    deed: &(dyn Fn(u64) -> Deed + Send + Sync),
    count: &AtomicU64,
    (who, gate): (usize, &Gate),
) -> std::io::Result<()> {
    let mut frames = Frames::default();
    let mut draft = None;
    while let Some(ask) = frames.next::<Ask>(&mut stream).await? {
        match ask {
            Ask::Hello { content: wanted, .. } => {
                draft = content.draft.as_ref().filter(|draft| *draft.manifest.id().as_bytes() == wanted);
                let manifest = match draft {
                    Some(draft) => draft.manifest.encode().len(),
                    None => content.manifest.len(),
                } as u32;
                let (have, records, ext) = Default::default();
                stream
                    .write_all(&wire::encode(&Tell::Welcome { manifest, have, records, pass_on: true, ext }))
                    .await?;
            }
            Ask::Manifest => {
                stream.write_all(&wire::encode(&Tell::Manifest)).await?;
                match draft {
                    Some(draft) => stream.write_all(&draft.manifest.encode()).await?,
                    None => stream.write_all(&content.manifest).await?,
                }
            }
            Ask::Final { .. } => {
                let Some(draft) = draft else { break };
                stream.write_all(&wire::encode(&(draft.becomes)())).await?;
            }
            Ask::Want { start, count: wanted } => {
                gate.pass(who).await;
                for segment in content.layout.segments(start..start + u64::from(wanted)) {
                    let deed = deed(segment.line.start);
                    if deed == Deed::Die {
                        return Ok(());
                    }
                    let runs = match draft {
                        Some(_) => Vec::new(),
                        None => tree::proof_nodes(content.layout.groups(), &segment.groups),
                    };
                    let proof: Vec<u8> = runs
                        .into_iter()
                        .flat_map(|run| {
                            content.nodes[(run.start * NODE) as usize..(run.end * NODE) as usize].to_vec()
                        })
                        .collect();
                    let bytes = content.layout.bytes(0, &segment.groups);
                    let all = draft.map_or(&content.data, |draft| &draft.data);
                    let mut data = all[bytes.start as usize..bytes.end as usize].to_vec();
                    if deed == Deed::Lie {
                        let middle = data.len() / 2;
                        data[middle] ^= 1;
                    }
                    let (start, count_) =
                        (segment.line.start, (segment.line.end - segment.line.start) as u32);
                    let head = Tell::Segment { start, count: count_, proof: proof.len() as u32 };
                    stream.write_all(&wire::encode(&head)).await?;
                    stream.write_all(&proof).await?;
                    stream.write_all(&data).await?;
                    if deed == Deed::Mute {
                        stream.flush().await?;
                        return std::future::pending().await;
                    }
                    stream.write_all(&[wire::SOUND]).await?;
                    count.fetch_add(u64::from(count_), Ordering::Relaxed);
                }
            }
            Ask::Finished => break,
        }
        stream.flush().await?;
    }
    stream.shutdown().await
}

/// A ticket for what all of them have.
pub(crate) fn ticket_for(manifest: &Manifest, at: impl IntoIterator<Item = PeerAddr>) -> ShareTicket {
    ShareTicket::new(at, *manifest.id().as_bytes(), [0; 16])
}
