//! One stream with one provider: wants go out, segments come in, are verified and handed on.
//!
//! A lane runs on a thread of its own, because it hashes and writes. It keeps [`AHEAD`] wants on their way, so
//! that the provider never waits for us. What it reads is checked group by group before it is written; at the
//! first that is wrong the provider has lied, unless it says behind the segment that its file was changed. With a draft
//! there is nothing to check against: the hashes of what comes are kept, to be held against the roots in the end.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use compeer::{PeerId, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::error::lost;
use super::job::{Job, State};
use super::sink::{Disk, Sink};
use super::sources::Counted;
use crate::layout::{SEGMENT, Segment};
use crate::limits;
use crate::plan::{self, Source};
use crate::ranges::RangeSet;
use crate::tree::{self, GROUP, HASH, NODE};
use crate::wire::{self, Ask, CHANGED, Frames, SOUND, Tell, Why};

/// Wants on their way at a time. Two: one that is being answered, one so that there is no gap after it.
const AHEAD: usize = 2;

/// Bytes read and verified at a time. Measured (DESIGN §4.11): larger ones leave the L2 cache.
const CHUNK: usize = 64 * 1024;

/// Why a lane ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Nothing more is wanted.
    Done(Box<Lane>),
    /// The provider is gone, or broke the protocol; it may come back.
    Gone {
        /// What happened.
        why: String,
        /// Whether it gave anything on this stream.
        gave: bool,
    },
    /// The provider sent what is not the content.
    Lied,
    /// We cannot go on: the disk, say.
    Failed(io::Error),
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").field("source", &self.source).finish_non_exhaustive()
    }
}

enum Trouble {
    /// The fetch is over, or nothing more is wanted of this provider.
    Over,
    Theirs(io::Error),
    Lied,
    Ours(io::Error),
}

/// See the module.
pub(crate) struct Lane {
    job: Arc<Job>,
    source: Source,
    stream: Stream,
    over: watch::Receiver<State>,
    /// Set when the provider is not to be fetched from any more.
    stop: watch::Receiver<bool>,
    /// What was wanted and is still to come, in order.
    coming: VecDeque<Range<u64>>,
    frames: Frames,
    buffer: Box<[u8]>,
    proof: Vec<u8>,
    /// The file written to last.
    open: Option<(usize, File)>,
    /// Whether a segment has come.
    gave: bool,
}

impl Lane {
    pub(crate) fn new(job: Arc<Job>, source: Source, stream: Stream, stop: watch::Receiver<bool>) -> Self {
        let buffer = vec![0; CHUNK].into_boxed_slice();
        let (coming, frames, proof) = Default::default();
        Lane {
            over: job.state.subscribe(),
            job,
            source,
            stream,
            stop,
            coming,
            frames,
            buffer,
            proof,
            open: None,
            gave: false,
        }
    }

    /// Whose lane it is.
    pub(crate) fn peer(&self) -> PeerId {
        self.stream.peer_id()
    }

    /// Fetches until nothing more is wanted or something is wrong.
    pub(crate) async fn run(mut self) -> End {
        match self.fetch().await {
            Ok(()) | Err(Trouble::Over) => End::Done(Box::new(self)),
            Err(Trouble::Lied) => End::Lied,
            Err(Trouble::Theirs(error)) => End::Gone { why: lost(&error), gave: self.gave },
            Err(Trouble::Ours(error)) => End::Failed(error),
        }
    }

    /// Tells the provider that everything is in its place, and ends the stream.
    pub(crate) async fn farewell(mut self) {
        let told = async {
            self.stream.write_all(&wire::encode(&Ask::Finished)).await?;
            self.stream.shutdown().await?;
            // Until the provider has read it and ended its side.
            while self.stream.read(&mut self.buffer).await? > 0 {}
            io::Result::Ok(())
        };
        // If it is gone, it need not know.
        let _ = tokio::time::timeout(limits::FAREWELL, told).await;
    }

    async fn fetch(&mut self) -> Result<(), Trouble> {
        let job = self.job.clone();
        loop {
            let news = job.news();
            if self.job.is_over() || *self.stop.borrow() {
                return Ok(());
            }
            self.want_more().await.map_err(Trouble::Theirs)?;
            if self.coming.is_empty() {
                // Nothing to ask of this one now: until somebody fails, or it has more.
                let frame = tokio::select! {
                    biased;
                    () = news => continue,
                    _ = self.stop.wait_for(|stop| *stop) => continue,
                    frame = self.frames.next(&mut self.stream) => frame,
                    () = tokio::time::sleep(plan::LOOK_AGAIN) => continue,
                };
                self.aside(frame.map_err(Trouble::Theirs)?.ok_or_else(ended)?)?;
                continue;
            }
            let read = self.frames.next(&mut self.stream);
            match unless_over(&mut self.over, &mut self.stop, read).await?.ok_or_else(ended)? {
                Tell::Segment { start, count, proof } => self.segment(start, count, proof).await?,
                Tell::Lack { start, count, why } => self.lack(start, count, why)?,
                other => self.aside(other)?,
            }
        }
    }

    async fn want_more(&mut self) -> io::Result<()> {
        let mut wants = Vec::new();
        while self.coming.len() < AHEAD {
            let Some(range) = self.job.next_want(self.source) else { break };
            let count = (range.end - range.start) as u32;
            wants.extend(wire::encode(&Ask::Want { start: range.start, count }));
            self.coming.push_back(range);
        }
        if !wants.is_empty() {
            self.stream.write_all(&wants).await?;
            self.stream.flush().await?;
        }
        Ok(())
    }

    /// A frame that answers no want.
    fn aside(&mut self, frame: Tell) -> Result<(), Trouble> {
        match frame {
            Tell::Have(have) => {
                let groups = self.job.layout.groups();
                let have = RangeSet::decode(&have, groups, limits::MAX_RUNS);
                self.job.offered(self.source, &have.map_err(|_| nonsense())?);
                Ok(())
            }
            Tell::Providers(records) => {
                self.job.heard_of(self.peer(), &records);
                Ok(())
            }
            _ => Err(nonsense()),
        }
    }

    /// The next segment that is to come; what is told must be it.
    fn expected(&self, start: u64, count: u32) -> Result<Segment, Trouble> {
        let range = self.coming.front().cloned().ok_or_else(nonsense)?;
        let segment = self.job.layout.segments(range).next().ok_or_else(nonsense)?;
        let told = start..start.saturating_add(u64::from(count));
        if segment.line == told { Ok(segment) } else { Err(nonsense()) }
    }

    fn over_with(&mut self, line: &Range<u64>) {
        if let Some(coming) = self.coming.front_mut() {
            coming.start = line.end;
            if coming.start >= coming.end {
                self.coming.pop_front();
            }
        }
    }

    fn lack(&mut self, start: u64, count: u32, why: Why) -> Result<(), Trouble> {
        let segment = self.expected(start, count)?;
        self.over_with(&segment.line);
        self.job.lacks(self.source, &segment, why);
        Ok(())
    }

    async fn segment(&mut self, start: u64, count: u32, proof: u32) -> Result<(), Trouble> {
        let segment = self.expected(start, count)?;
        let job = self.job.clone();
        let of = job.layout.file_groups(segment.file);
        let draft = job.manifest.is_draft();
        let nodes = match draft {
            true => 0,
            false => tree::proof_nodes(of, &segment.groups).iter().map(|run| run.end - run.start).sum(),
        };
        if u64::from(proof) != nodes * NODE {
            return Err(nonsense());
        }
        self.proof.resize(proof as usize, 0);
        self.read_exact(Into::Proof).await?;
        let root = job.manifest.entries()[segment.file].root;
        let hashes = match draft {
            true => Vec::new(),
            false => tree::check_proof(&root, of, &segment.groups, &self.proof).map_err(|_| Trouble::Lied)?,
        };
        let wanted = job.is_wanted(&segment.line);
        let mut whole = Vec::new();
        let mut hashes = hashes.iter();
        let mut group = segment.groups.start;
        let mut sound = true;
        let mut bytes = job.layout.bytes(segment.file, &segment.groups);
        job.count(bytes.end - bytes.start);
        while bytes.start < bytes.end {
            let len = (bytes.end - bytes.start).min(CHUNK as u64) as usize;
            self.read_exact(Into::Buffer(len)).await?;
            for data in self.buffer[..len].chunks(GROUP as usize) {
                if sound && wanted {
                    let hash = tree::group_hash(group, of, data);
                    match draft {
                        true => self.proof.extend_from_slice(&hash),
                        false => sound = hashes.next() == Some(&hash),
                    }
                }
                group += 1;
            }
            if sound && wanted {
                match &job.sink {
                    Sink::Disk(disk) if !draft => {
                        let file = opened(&mut self.open, disk, segment.file).map_err(Trouble::Ours)?;
                        file.write_all_at(&self.buffer[..len], bytes.start).map_err(Trouble::Ours)?;
                    }
                    _ => whole.extend_from_slice(&self.buffer[..len]),
                }
            }
            bytes.start += len as u64;
        }
        let mut mark = [0];
        let read = self.stream.read_exact(&mut mark);
        unless_over(&mut self.over, &mut self.stop, read).await?;
        self.over_with(&segment.line);
        // What changed while it was read: nothing but a proof could make it good.
        let sound = sound && !(draft && mark[0] == CHANGED);
        match (sound, mark[0]) {
            (true, SOUND | CHANGED) if !wanted => job.came_twice(self.source, &segment),
            (true, SOUND | CHANGED) => self.keep(&segment, whole).await?,
            (false, CHANGED) => job.lacks(self.source, &segment, Why::Changed),
            (false, SOUND) => return Err(Trouble::Lied),
            _ => return Err(nonsense()),
        }
        Ok(())
    }

    /// Hands on a segment: verified, or of a draft.
    async fn keep(&mut self, segment: &Segment, whole: Vec<u8>) -> Result<(), Trouble> {
        let job = self.job.clone();
        match &job.sink {
            Sink::Disk(disk) if job.manifest.is_draft() => {
                let _one_by_one = disk.one_by_one();
                self.write_unproven(disk, segment, &whole).map_err(Trouble::Ours)?;
                job.arrived(self.source, segment);
            }
            Sink::Disk(disk) => {
                if disk.keep(segment, &self.proof).map_err(Trouble::Ours)? {
                    job.checkpoint_due();
                }
                job.arrived(self.source, segment);
            }
            Sink::InOrder(out) => {
                let _unread = Counted::new(&job.unread);
                out.put(segment, Bytes::from(whole)).await.map_err(Trouble::Ours)?;
                job.arrived(self.source, segment);
            }
        }
        self.gave = true;
        if segment.groups.end - segment.groups.start < SEGMENT {
            self.open = None;
        }
        Ok(())
    }

    /// Writes what nobody else has brought of a segment, and the hashes of that.
    fn write_unproven(&mut self, disk: &Disk, segment: &Segment, whole: &[u8]) -> io::Result<()> {
        let layout = self.job.layout.clone();
        let begin = layout.bytes(segment.file, &segment.groups).start;
        for line in self.job.missing_of(&segment.line).iter() {
            let (from, to) = (line.start - segment.line.start, line.end - segment.line.start);
            let groups = segment.groups.start + from..segment.groups.start + to;
            let bytes = layout.bytes(segment.file, &groups);
            let data = &whole[(bytes.start - begin) as usize..(bytes.end - begin) as usize];
            opened(&mut self.open, disk, segment.file)?.write_all_at(data, bytes.start)?;
            let hashes = &self.proof[(from * HASH) as usize..(to * HASH) as usize];
            if disk.keep_unproven(segment.file, line, hashes)? {
                self.job.checkpoint_due();
            }
        }
        Ok(())
    }

    async fn read_exact(&mut self, into: Into) -> Result<(), Trouble> {
        let into = match into {
            Into::Proof => &mut self.proof[..],
            Into::Buffer(len) => &mut self.buffer[..len],
        };
        let read = self.stream.read_exact(into);
        unless_over(&mut self.over, &mut self.stop, read).await.map(drop)
    }
}

/// The file to write to, opened if another was.
fn opened<'a>(open: &'a mut Option<(usize, File)>, disk: &Disk, file: usize) -> io::Result<&'a File> {
    if open.as_ref().is_none_or(|(index, _)| *index != file) {
        *open = None;
    }
    match open {
        Some((_, open)) => Ok(open),
        None => Ok(&open.insert((file, disk.open(file)?)).1),
    }
}

/// Waits for something to come, as long as it is wanted and not for ever.
async fn unless_over<T>(
    over: &mut watch::Receiver<State>,
    stop: &mut watch::Receiver<bool>,
    read: impl Future<Output = io::Result<T>>,
) -> Result<T, Trouble> {
    tokio::select! {
        biased;
        read = read => read.map_err(Trouble::Theirs),
        _ = over.wait_for(|state| !matches!(state, State::Running)) => Err(Trouble::Over),
        _ = stop.wait_for(|stop| *stop) => Err(Trouble::Over),
        () = tokio::time::sleep(limits::STREAM_SILENCE) => {
            Err(Trouble::Theirs(io::Error::new(io::ErrorKind::TimedOut, "the provider says nothing")))
        }
    }
}

enum Into {
    Proof,
    Buffer(usize),
}

fn nonsense() -> Trouble {
    Trouble::Theirs(wire::malformed("what does not belong here"))
}

fn ended() -> Trouble {
    Trouble::Theirs(io::Error::new(io::ErrorKind::UnexpectedEof, "the provider ended the stream"))
}
