//! Serving: the provider's side of a `compeer/share` stream.
//!
//! Each stream has a thread of its own, since it waits for disks; it reads what is asked, then file and outboard
//! in positioned reads, and writes. Nothing is hashed here: proofs are copied from the pack. A fetcher that
//! asks for much in advance waits in the socket, not in our memory.

use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use compeer::{Addr, PeerId, Stream};
use futures_util::FutureExt;
use futures_util::future::OptionFuture;
use tokio::io::AsyncWriteExt;
use tokio::sync::{oneshot, watch};

use crate::ContentId;
use crate::holding::{Access, Draft, Holding, Open, ShareEvent};
use crate::layout::Segment;
use crate::limits;
use crate::pace::Turn;
use crate::places::Place;
use crate::ranges::RangeSet;
use crate::shares::Inner;
use crate::tree::{self, NODE};
use crate::wire::{self, Ask, CHANGED, Frames, SOUND, Tell, Why};

/// Bytes gathered before they are written: what one write of TLS takes. Measured: bench/README.md.
const CHUNK: usize = 64 * 1024;

/// Serves one stream to its end. Who may not be served is turned away on the runtime; only then does the stream get a
/// thread.
pub(crate) async fn serve(shares: Arc<Inner>, stream: Stream) {
    let peer = stream.peer_id();
    let ended = match admit(shares, stream).await {
        Ok(None) => Ok(()),
        Ok(Some(server)) => {
            let runtime = tokio::runtime::Handle::current();
            let served = tokio::task::spawn_blocking(move || runtime.block_on(server.serve()));
            served.await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
        }
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a fetcher left");
    }
}

/// Who is to be served; `None`: turned away.
async fn admit(shares: Arc<Inner>, mut stream: Stream) -> io::Result<Option<Server>> {
    let (peer, binding) = (stream.peer_id(), stream.channel_binding());
    let mut frames = Frames::default();
    let first = tokio::time::timeout(limits::HELLO_TIMEOUT, frames.next(&mut stream));
    let Some(Ask::Hello { content, proof, record, .. }) = first.await?? else {
        return Err(wire::malformed("no hello"));
    };
    let content = ContentId::from_bytes(content);
    let Some(holding) = shares.holdings.find(content, peer, &proof, &binding) else {
        return refuse(stream, &Tell::Unknown).await;
    };
    let household = stream.path().and_then(Addr::prefix);
    let Some((place, lost)) = shares.places.take(peer, household) else {
        return refuse(stream, &Tell::Busy).await;
    };
    // A draft has one source.
    if holding.draft.is_none() {
        shares.heard(content, peer, &[record]);
    }
    Ok(Some(Server {
        peer,
        turn: holding.pace.as_ref().map(|pace| pace.turn(peer)),
        have: holding.have.subscribe(),
        stopped: holding.stopped.subscribe(),
        heard: shares.news.subscribe(),
        records: Vec::new(),
        shares,
        out: vec![0; CHUNK + 2 * HEAD].into_boxed_slice(),
        filled: 0,
        open: None,
        sent: 0,
        told: 0,
        holding,
        stream,
        frames,
        lost: Some(lost),
        _place: place,
    }))
}

async fn refuse(mut stream: Stream, why: &Tell) -> io::Result<Option<Server>> {
    in_time(stream.write_all(&wire::encode(why))).await?;
    in_time(stream.shutdown()).await?;
    Ok(None)
}

/// More than a segment's header and proof take: 63 nodes of the segment and 50 above it.
const HEAD: usize = 8 * 1024;

struct Server {
    shares: Arc<Inner>,
    holding: Arc<Holding>,
    peer: PeerId,
    stream: Stream,
    turn: Option<Turn>,
    have: watch::Receiver<Option<RangeSet>>,
    stopped: watch::Receiver<bool>,
    frames: Frames,
    /// Changes when others are known who provide this.
    heard: watch::Receiver<u64>,
    /// The records told last.
    records: Vec<Vec<u8>>,
    /// Bytes to be written, gathered.
    out: Box<[u8]>,
    filled: usize,
    /// The file that was read last.
    open: Option<(usize, Open)>,
    /// Bytes of content sent.
    sent: u64,
    /// How many groups the fetcher was last told of.
    told: u64,
    /// Ready when its place is given to another.
    lost: Option<oneshot::Receiver<()>>,
    _place: Place,
}

impl Server {
    async fn serve(mut self) -> io::Result<()> {
        let peer = self.peer;
        self.holding.tell(ShareEvent::Started { peer });
        let lost = self.lost.take();
        let ended = tokio::select! {
            biased;
            Some(_) = OptionFuture::from(lost) => Err(io::Error::other("its place was given to another")),
            ended = self.run() => ended,
        };
        match ended {
            Ok(true) => self.holding.tell(ShareEvent::Finished { peer }),
            _ => self.holding.tell(ShareEvent::Left { peer, bytes: self.sent }),
        }
        ended.map(drop)
    }

    /// Answers until the other side ends; whether it said that it has everything.
    async fn run(&mut self) -> io::Result<bool> {
        self.welcome().await?;
        loop {
            let Some(ask) = self.next().await? else { return Ok(false) };
            match ask {
                Ask::Manifest => {
                    self.put_frame(&Tell::Manifest).await?;
                    let manifest = self.holding.manifest_bytes.clone();
                    self.flush().await?;
                    for part in manifest.chunks(CHUNK) {
                        in_time(self.stream.write_all(part)).await?;
                    }
                }
                Ask::Want { start, count } => {
                    let range = wire::range(start, count, self.holding.layout.groups())?;
                    self.answer(range).await?;
                }
                Ask::Finished => return Ok(true),
                Ask::Final { wait } => self.tell_final(wait).await?,
                Ask::Hello { .. } => return Err(wire::malformed("hello twice")),
            }
        }
    }

    async fn welcome(&mut self) -> io::Result<()> {
        let have = self.have.borrow_and_update().as_ref().map(|have| (have.len(), told_of(have)));
        // All of it is told by saying nothing.
        let (told, have) = have.unwrap_or((u64::MAX, Vec::new()));
        self.told = told;
        let manifest = self.holding.manifest_bytes.len() as u32;
        // What is for some peers only ends with them.
        let pass_on = !matches!(self.holding.access, Access::Only(_));
        let records = self.shares.records(self.holding.content, self.peer);
        self.records.clone_from(&records);
        self.put_frame(&Tell::Welcome { manifest, have, records, pass_on, ext: Vec::new() }).await
    }

    /// Says what has become of a draft; after a while, when that is not known yet.
    async fn tell_final(&mut self, wait: bool) -> io::Result<()> {
        let holding = self.holding.clone();
        let Some(draft) = &holding.draft else { return Err(wire::malformed("a question about a draft")) };
        let mut outcome = draft.outcome.subscribe();
        if wait {
            self.flush().await?;
            tokio::select! {
                biased;
                _ = outcome.wait_for(Option::is_some) => {}
                _ = self.stopped.wait_for(|stopped| *stopped) => {}
                () = tokio::time::sleep(limits::SAY_HASHING) => {}
            }
        }
        if *self.stopped.borrow() {
            return Err(stopped());
        }
        let told = match *outcome.borrow() {
            None => Tell::Hashing { done: draft.progress.done.load(Ordering::Relaxed) },
            Some(Ok(content)) => Tell::Final { content: *content.as_bytes() },
            Some(Err((why, file))) => Tell::Never { why, file },
        };
        self.put_frame(&told).await
    }

    /// The next frame of the fetcher; tells it meanwhile of what has come to be here.
    async fn next(&mut self) -> io::Result<Option<Ask>> {
        loop {
            // What was asked already is answered in the same write.
            if let Some(ask) = self.frames.next(&mut self.stream).now_or_never() {
                return ask;
            }
            self.flush().await?;
            tokio::select! {
                biased;
                ask = self.frames.next(&mut self.stream) => return ask,
                _ = self.stopped.wait_for(|stopped| *stopped) => return Ok(None),
                () = tokio::time::sleep(limits::IDLE_FETCHER) => return Ok(None),
                // Neither ends before this does.
                _ = self.have.changed() => {}
                _ = self.heard.changed() => {}
            }
            self.tell_news().await?;
        }
    }

    /// Says what has come to be here, and who else has come to be known.
    async fn tell_news(&mut self) -> io::Result<()> {
        let have = self.have.borrow_and_update().clone();
        let have = have.unwrap_or_else(|| RangeSet::from_range(0..self.holding.layout.groups()));
        if have.len() > self.told {
            self.told = have.len();
            self.put_frame(&Tell::Have(told_of(&have))).await?;
        }
        self.heard.mark_unchanged();
        let records = self.shares.records(self.holding.content, self.peer);
        if records != self.records {
            self.records.clone_from(&records);
            self.put_frame(&Tell::Providers(records)).await?;
        }
        Ok(())
    }

    /// Sends what is wanted, or says what is lacking.
    async fn answer(&mut self, range: Range<u64>) -> io::Result<()> {
        let holding = self.holding.clone();
        for segment in holding.layout.segments(range) {
            let here = self.have.borrow().as_ref().is_none_or(|have| have.contains_range(&segment.line));
            let lost = holding.draft.as_ref().is_some_and(Draft::is_lost);
            let why = match here {
                _ if lost || *self.stopped.borrow() => Err(Why::Stopped),
                false => Err(Why::Missing),
                true => self.opened(segment.file).map(drop),
            };
            match why {
                Ok(()) => self.segment(&segment).await?,
                Err(why) => {
                    let count = (segment.line.end - segment.line.start) as u32;
                    self.put_frame(&Tell::Lack { start: segment.line.start, count, why }).await?;
                }
            }
        }
        Ok(())
    }

    /// Makes sure that the file is open and unchanged.
    fn opened(&mut self, file: usize) -> Result<&Open, Why> {
        if self.open.as_ref().is_none_or(|(index, open)| *index != file || !open.unchanged()) {
            self.open = None;
            let open = self.holding.open(file).inspect_err(|why| {
                if *why == Why::Changed {
                    self.holding.tell_changed(file);
                    self.shares.went_stale(&self.holding);
                }
            })?;
            self.open = Some((file, open));
        }
        match &self.open {
            Some((_, open)) => Ok(open),
            None => Err(Why::Unreadable),
        }
    }

    async fn segment(&mut self, segment: &Segment) -> io::Result<()> {
        let holding = self.holding.clone();
        let of = holding.layout.file_groups(segment.file);
        let nodes = match holding.draft {
            None => tree::proof_nodes(of, &segment.groups),
            Some(_) => Vec::new(),
        };
        let proof: u64 = nodes.iter().map(|run| (run.end - run.start) * NODE).sum();
        let (start, count) = (segment.line.start, (segment.line.end - segment.line.start) as u32);
        let head = wire::encode(&Tell::Segment { start, count, proof: proof as u32 });
        self.room(head.len() + proof as usize).await?;
        self.put(&head);
        let outboard = holding.layout.outboard(segment.file);
        for run in nodes {
            let at = self.filled;
            self.filled += ((run.end - run.start) * NODE) as usize;
            holding.pack.read_exact_at(&mut self.out[at..self.filled], outboard + run.start * NODE)?;
        }
        let mut bytes = holding.layout.bytes(segment.file, &segment.groups);
        let mut whole = true;
        while bytes.start < bytes.end {
            let most = self.turn.as_ref().map_or(CHUNK, |turn| turn.piece().min(CHUNK));
            let want = (bytes.end - bytes.start).min(most as u64) as usize;
            if let Some(turn) = &self.turn {
                turn.wait(want).await;
                if *self.stopped.borrow() {
                    return Err(stopped());
                }
                // At a slow rate what is gathered would be long in coming.
                if self.filled >= most {
                    self.flush().await?;
                }
            }
            self.room(want).await?;
            let into = self.filled..self.filled + want;
            let Some((_, open)) = &self.open else { return Err(io::ErrorKind::NotFound.into()) };
            // Cut short or unreadable by now: the mark behind the segment says so.
            if open.file.read_exact_at(&mut self.out[into], bytes.start).is_err() {
                self.out[self.filled..self.filled + want].fill(0);
                whole = false;
            }
            self.filled += want;
            bytes.start += want as u64;
            self.sent += want as u64;
        }
        let sound = whole && self.open.as_ref().is_some_and(|(_, open)| open.unchanged());
        self.room(1).await?;
        self.put(&[if sound { SOUND } else { CHANGED }]);
        if segment.groups.end == of {
            // Small files come one after the other; none is asked for twice.
            self.open = None;
        }
        Ok(())
    }

    async fn put_frame(&mut self, frame: &Tell) -> io::Result<()> {
        let bytes = wire::encode(frame);
        if bytes.len() > self.out.len() {
            self.flush().await?;
            return in_time(self.stream.write_all(&bytes)).await;
        }
        self.room(bytes.len()).await?;
        self.put(&bytes);
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) {
        self.out[self.filled..][..bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }

    /// Makes room for so many bytes, at most [`CHUNK`] and a header.
    async fn room(&mut self, bytes: usize) -> io::Result<()> {
        if self.filled + bytes > self.out.len() {
            self.write_out().await?;
        }
        Ok(())
    }

    async fn write_out(&mut self) -> io::Result<()> {
        let filled = std::mem::take(&mut self.filled);
        in_time(self.stream.write_all(&self.out[..filled])).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.filled > 0 {
            self.write_out().await?;
        }
        in_time(self.stream.flush()).await
    }
}

/// A fetcher that reads nothing is none.
async fn in_time(writing: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    match tokio::time::timeout(limits::STREAM_SILENCE, writing).await {
        Ok(written) => written,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the fetcher reads nothing")),
    }
}

fn stopped() -> io::Error {
    io::Error::other("the share was stopped")
}

/// What is told of what is here: the first [`limits::MAX_RUNS`] runs.
fn told_of(have: &RangeSet) -> Vec<u8> {
    if have.runs() <= limits::MAX_RUNS {
        return have.encode();
    }
    have.iter().take(limits::MAX_RUNS).collect::<RangeSet>().encode()
}
