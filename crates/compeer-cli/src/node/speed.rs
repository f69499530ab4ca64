//! How fast the way to a peer is, measured with bytes that mean nothing: `compeer doctor PEER` on one side, `up` on the other.
//!
//! Two kinds. The stream `compeer/speed`: the caller's first byte says who sends, and then zeros go as fast as they can. To be
//! fair to slow lines with deep buffers, only what has *arrived* counts: a side that is sent to says after each read how many
//! bytes it has. The message `compeer/load` asks how much processor time the other process has used until now; twice asked, it
//! says whether it was the processor over there that set the speed. How busy a machine is concerns paired peers only.
//!
//! Strangers may measure too, because one wants to know before one pairs; so it is bounded: one measurement at a time, each of
//! [`MOST`] at most, and for strangers [`FOR_STRANGERS`] in a minute, all together, booked before it is used. A paired peer
//! waits for no stranger: the stranger's measurement ends.

use compeer::{Builder, Failure, Kind, Peer, PeerAddr, PeerId, Request, RequestError, Stream};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

/// Zeros, as many as go.
pub(crate) const SPEED: Kind = Kind::from_static("compeer/speed");
/// How busy the process is: the reply is a [`Load`].
pub(crate) const LOAD: Kind = Kind::from_static("compeer/load");

/// The caller sends.
const TO_YOU: u8 = b'S';
/// The other side sends.
const TO_ME: u8 = b'R';

/// How long one measurement may last. A guess: a few seconds are enough for TCP to find the speed of a line.
const MOST: Duration = Duration::from_secs(5);
/// How long strangers may measure within [`WINDOW`]. A guess: two of them, both ways, as `doctor` does it by default.
const FOR_STRANGERS: Duration = Duration::from_secs(15);
const WINDOW: Duration = Duration::from_secs(60);
/// Bytes sent and read at once. As the sharing of files does: larger ones do not fit the cache.
const BLOCK: usize = 64 * 1024;
/// How long the beginning of a line is left out, while TCP finds its speed.
const WARM_UP: Duration = Duration::from_millis(200);

/// How busy a process and its machine are.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    /// When this was, by a clock of its own. All are in microseconds.
    at_us: u64,
    /// Processor time the process has used.
    cpu_us: u64,
    /// Time that processors of the machine had nothing to do, all together, and how many there are.
    idle_us: u64,
    processors: u64,
}

/// What was used of a machine's processors over some time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Use {
    /// Processors that the process used: 1 is one of them, all the time.
    pub(crate) cpu: f64,
    /// Which part of all of them had nothing to do, from 0 to 1.
    pub(crate) idle: f64,
}

impl Load {
    /// Of this process.
    fn now() -> Load {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        let at_us = BEGAN.elapsed().as_micros() as u64;
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu_us = u64::try_from(cpu.tv_sec * 1_000_000 + cpu.tv_nsec / 1000).unwrap_or(0);
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let numbers: Vec<u64> = stat.lines().next().into_iter().flat_map(numbers).collect();
        // The fourth is idle, the fifth waits for disks, in hundredths of a second (proc(5)).
        let idle_us = numbers.get(3..5).map_or(0, |idle| idle.iter().sum::<u64>() * 10_000);
        let processors = stat.lines().skip(1).take_while(|line| line.starts_with("cpu")).count() as u64;
        Load { at_us, cpu_us, idle_us, processors: processors.max(1) }
    }

    /// What was used since an earlier moment.
    fn since(self, before: Load) -> Use {
        let passed = self.at_us.saturating_sub(before.at_us).max(1) as f64;
        let all = passed * self.processors.max(1) as f64;
        Use {
            cpu: self.cpu_us.saturating_sub(before.cpu_us) as f64 / passed,
            idle: (self.idle_us.saturating_sub(before.idle_us) as f64 / all).min(1.0),
        }
    }
}

fn numbers(line: &str) -> impl Iterator<Item = u64> {
    line.split_whitespace().filter_map(|word| word.parse().ok())
}

/// What one measurement found.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Speed {
    /// Bytes that arrived, per second.
    pub(crate) rate: u64,
    /// What was used here meanwhile.
    pub(crate) here: Use,
    /// The same there, if it says.
    pub(crate) there: Option<Use>,
}

/// Who measures here.
#[derive(Default)]
struct Gate {
    /// A paired peer does.
    known: bool,
    /// A stranger does; told when it has to give way.
    stranger: Option<Arc<Notify>>,
    /// What strangers have used or booked of the time they have, and since when.
    used: Duration,
    since: Option<Instant>,
}

/// A measurement that is under way; its place is free again when it is dropped.
struct Pass {
    gate: Arc<Mutex<Gate>>,
    began: Instant,
    /// Whoever is not known gives way.
    gives_way: Option<Arc<Notify>>,
}

impl Pass {
    fn get(gate: &Arc<Mutex<Gate>>, stranger: bool, now: Instant) -> Option<Pass> {
        let mut open = lock(gate);
        if open.known {
            return None;
        }
        let gives_way = stranger.then(Arc::default);
        if stranger {
            if open.since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
                (open.since, open.used) = (Some(now), Duration::ZERO);
            }
            if open.stranger.is_some() || open.used + MOST > FOR_STRANGERS {
                return None;
            }
            open.used += MOST;
            open.stranger.clone_from(&gives_way);
        } else {
            open.known = true;
            if let Some(stranger) = open.stranger.take() {
                stranger.notify_one();
            }
        }
        Some(Pass { gate: gate.clone(), began: now, gives_way })
    }

    /// Returns when this one has to give way.
    async fn over(&self) {
        match &self.gives_way {
            Some(told) => told.notified().await,
            None => std::future::pending().await,
        }
    }

    fn give_back(&self, now: Instant) {
        let mut open = lock(&self.gate);
        let Some(mine) = &self.gives_way else {
            open.known = false;
            return;
        };
        // What was booked and not used.
        let left = MOST.saturating_sub(now.duration_since(self.began));
        open.used = open.used.saturating_sub(left);
        if open.stranger.as_ref().is_some_and(|other| Arc::ptr_eq(other, mine)) {
            open.stranger = None;
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.give_back(Instant::now());
    }
}

/// Lets others measure.
pub(crate) fn register(builder: Builder, known: impl Fn(PeerId) -> bool + Send + Sync + 'static) -> Builder {
    let gate = Arc::new(Mutex::new(Gate::default()));
    builder
        .handle_known(LOAD, |_: Request| async {
            serde_json::to_vec(&Load::now()).map_err(|error| Failure::new(error.to_string()))
        })
        .handle_stream(SPEED, move |stream: Stream| {
            // Refused, it ends before it has begun.
            let pass = Pass::get(&gate, !known(stream.peer_id()), Instant::now());
            async move {
                let Some(pass) = pass else { return };
                tokio::select! {
                    biased;
                    () = pass.over() => {}
                    // Whichever way it ends, the other side has seen it.
                    _ = tokio::time::timeout(MOST, serve(stream)) => {}
                }
            }
        })
}

async fn serve(mut stream: Stream) -> io::Result<()> {
    match stream.read_u8().await? {
        TO_YOU => {
            let (mut block, mut total) = (vec![0; BLOCK], 0);
            loop {
                match stream.read(&mut block).await? {
                    0 => return Ok(()),
                    read => total += read as u64,
                }
                stream.write_u64(total).await?;
                stream.flush().await?;
            }
        }
        TO_ME => pour(&mut stream).await,
        _ => Ok(()),
    }
}

/// Sends zeros until the other side has enough.
async fn pour(stream: &mut (impl AsyncWriteExt + Unpin)) -> io::Result<()> {
    let block = vec![0; BLOCK];
    loop {
        stream.write_all(&block).await?;
    }
}

/// Measures for so long how fast bytes get to a peer, or with `back` from it.
///
/// # Errors
///
/// It cannot be reached, or does not let us.
pub(crate) async fn measure(
    peer: &Peer,
    to: PeerAddr,
    back: bool,
    time: Duration,
) -> Result<Option<Speed>, RequestError> {
    let there = || async {
        let reply = peer.request(to.clone(), LOAD, "").one().await.ok()?;
        serde_json::from_slice::<Load>(&reply.body).ok()
    };
    let mut stream = peer.open_stream(to.clone(), SPEED).await?;
    let (here_before, there_before) = (Load::now(), there().await);
    let counted = async {
        stream.write_u8(if back { TO_ME } else { TO_YOU }).await?;
        stream.flush().await?;
        if back { take(&mut stream, time).await } else { give(stream, time).await }
    };
    let Ok(Ok(rate)) = tokio::time::timeout(time + MOST, counted).await else { return Ok(None) };
    let (here, there) = (Load::now().since(here_before), there().await);
    let there = there.zip(there_before).map(|(after, before)| after.since(before));
    Ok(Some(Speed { rate, here, there }))
}

/// Bytes per second that come.
async fn take(stream: &mut Stream, time: Duration) -> io::Result<u64> {
    let (mut block, mut meter) = (vec![0; BLOCK], Meter::new(time));
    while meter.goes_on() {
        match stream.read(&mut block).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => meter.more(read as u64),
        }
    }
    Ok(meter.rate())
}

/// Bytes per second that arrive, as the other side says.
async fn give(stream: Stream, time: Duration) -> io::Result<u64> {
    let (mut from, mut to) = tokio::io::split(stream);
    let mut meter = Meter::new(time);
    let listen = async {
        let mut before = 0;
        while meter.goes_on() {
            let total = from.read_u64().await?;
            meter.more(total.saturating_sub(before));
            before = total;
        }
        Ok::<_, io::Error>(meter.rate())
    };
    tokio::select! {
        biased;
        rate = listen => rate,
        // It never ends well.
        Err(error) = pour(&mut to) => Err(error),
    }
}

/// Counts bytes from the end of the warm-up on.
struct Meter {
    began: Instant,
    time: Duration,
    /// When counting began, and when the last bytes came.
    counting: Option<(Instant, Instant)>,
    bytes: u64,
}

impl Meter {
    fn new(time: Duration) -> Meter {
        Meter { began: Instant::now(), time, counting: None, bytes: 0 }
    }

    fn goes_on(&self) -> bool {
        self.began.elapsed() < self.time
    }

    fn more(&mut self, bytes: u64) {
        let now = Instant::now();
        match &mut self.counting {
            Some((_, last)) => {
                self.bytes = self.bytes.saturating_add(bytes);
                *last = now;
            }
            None if now.duration_since(self.began) >= WARM_UP => self.counting = Some((now, now)),
            None => {}
        }
    }

    fn rate(&self) -> u64 {
        let Some((first, last)) = self.counting else { return 0 };
        let passed = last.duration_since(first).as_secs_f64();
        if passed > 0.0 { (self.bytes as f64 / passed) as u64 } else { 0 }
    }
}

fn lock(gate: &Mutex<Gate>) -> MutexGuard<'_, Gate> {
    gate.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_strangers_for_so_long_a_minute() {
        let gate = Arc::default();
        let now = Instant::now();
        let first = Pass::get(&gate, true, now).unwrap();
        assert!(Pass::get(&gate, true, now).is_none());
        assert_eq!(lock(&gate).used, MOST, "booked before it is used");
        drop(first);
        assert!(lock(&gate).used < MOST, "and given back when it was not");
        let known = Pass::get(&gate, false, now).unwrap();
        assert!(Pass::get(&gate, false, now).is_none() && Pass::get(&gate, true, now).is_none());
        drop(known);
        lock(&gate).used = FOR_STRANGERS - MOST + Duration::from_millis(1);
        assert!(Pass::get(&gate, true, now).is_none(), "they have had theirs");
        assert!(Pass::get(&gate, false, now).is_some(), "known ones have no such bound");
        assert!(Pass::get(&gate, true, now + WINDOW).is_some());
    }

    #[tokio::test]
    async fn a_stranger_gives_way_to_one_who_is_known() {
        let gate = Arc::default();
        let now = Instant::now();
        let stranger = Pass::get(&gate, true, now).unwrap();
        let known = Pass::get(&gate, false, now).unwrap();
        stranger.over().await;
        assert!(Pass::get(&gate, true, now).is_none(), "no other one comes in between");
        drop(known);
        // One who gave way takes no place from who came after.
        let next = Pass::get(&gate, true, now).unwrap();
        drop(stranger);
        assert!(Pass::get(&gate, true, now).is_none());
        drop(next);
        assert!(Pass::get(&gate, true, now).is_some());
    }

    #[test]
    fn a_count_that_lies_is_no_overflow() {
        let mut meter = Meter::new(MOST);
        meter.counting = Some((Instant::now(), Instant::now()));
        meter.more(u64::MAX);
        meter.more(u64::MAX);
        assert_eq!(meter.bytes, u64::MAX);
    }

    #[tokio::test]
    async fn both_ways_between_two_peers() {
        let alice = register(Peer::builder().listen("127.0.0.1:0"), |_| true).spawn().await.unwrap();
        let bob = Peer::builder().spawn().await.unwrap();
        let time = Duration::from_millis(500);
        let unpaired = measure(&bob, alice.addr(), false, time).await.unwrap().unwrap();
        assert!(unpaired.there.is_none(), "how busy she is is told to paired peers only");
        alice.know(bob.id());
        for back in [false, true] {
            let speed = measure(&bob, alice.addr(), back, time).await.unwrap().unwrap();
            assert!(speed.rate > 0 && speed.here.cpu > 0.0 && speed.there.is_some(), "{speed:?}");
        }
        // One that measures nothing is not waited for.
        let carol = Peer::builder().listen("127.0.0.1:0").spawn().await.unwrap();
        assert!(measure(&bob, carol.addr(), true, MOST).await.is_err());
        for peer in [alice, bob, carol] {
            peer.shutdown().await;
        }
    }
}
