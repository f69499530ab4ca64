//! Carrying a circuit: what comes from one neighbour goes on to the other.
//!
//! Each direction reads into one buffer and writes whole frames out of it, without looking into
//! them but for their heads; it reads no more while the other side takes nothing. When a hop is
//! lost, or what one may have is used up, both sides are told who and why before they are let go.

use std::sync::Arc;

use compeer_proto::PeerAddr;
use compeer_proto::circuit::carrier::Key;
use compeer_proto::circuit::flow::{Lane, each_data};
use compeer_proto::circuit::{Broken, HEAD, Open, Opened, Why};
use compeer_proto::ext::Ext;
use compeer_proto::{PeerId, Time};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::ways::{self, Next};
use super::{Booked, Carried, Circuits};
use crate::link::Link;
use crate::peer::Inner;
use crate::stream::why_lost;
use crate::{Stream, limits, lock};

/// What is read at once while little comes.
const LITTLE: usize = 4 * 1024;

/// What is read at once while much comes: more than the longest frame.
const MUCH: usize = 2 * (limits::MAX_CIRCUIT_DATA + HEAD);

/// Opens the rest of the circuit, unless who asked goes away meanwhile.
pub(super) async fn begin(
    inner: &Arc<Inner>,
    stream: &mut Stream,
    open: &Open,
) -> Option<Result<Next, Broken>> {
    let to = PeerAddr::from(open.target);
    let within = open.within.min(limits::CIRCUIT_TIMEOUT.as_millis() as u32);
    let open = Open { within, ..open.clone() };
    let from = stream.peer_id();
    tokio::select! {
        biased;
        opened = ways::onward(inner, &open, &to, Some(from), None) => Some(opened),
        // Nothing may be said before the answer.
        _ = stream.read_u8() => None,
    }
}

/// Carries it until it is over.
pub(super) async fn run(
    inner: &Arc<Inner>,
    mut near: Stream,
    next: Next,
    open: &Open,
    booked: Booked,
    until: Time,
) {
    let said = Opened { carriers: next.carriers, ext: Ext::new() }.encode();
    let told = async {
        near.write_all(&said).await?;
        near.flush().await
    };
    if !matches!(tokio::time::timeout(limits::CIRCUIT_OPEN_TIMEOUT, told).await, Ok(Ok(()))) {
        return;
    }
    inner.tally.circuits_carried.one();
    let (from, to) = (near.peer_id(), next.stream.peer_id());
    let links = [near.link().clone(), next.stream.link().clone()];
    let trouble = watch::Sender::new(None);
    let (near_in, near_out) = tokio::io::split(near);
    let (far_in, far_out) = tokio::io::split(next.stream);
    let there = Carried { circuit: open.circuit, from, to, origin: open.path[0], target: open.target };
    let back = Carried { from: to, to: from, ..there.clone() };
    let direction = |passing: Carried, input, output, [of_input, of_output]: [&Arc<Link>; 2]| Direction {
        circuits: inner.circuits.clone(),
        inner: inner.clone(),
        key: booked.1,
        me: inner.id,
        passing,
        input,
        output,
        links: [of_input.clone(), of_output.clone()],
        trouble: trouble.clone(),
    };
    let both = async {
        tokio::join!(
            direction(there, near_in, far_out, [&links[0], &links[1]]).run(),
            direction(back, far_in, near_out, [&links[1], &links[0]]).run(),
        );
    };
    let mut heard = trouble.subscribe();
    let last_words = async {
        let _ = heard.wait_for(Option::is_some).await;
        tokio::time::sleep(limits::CIRCUIT_LAST_WORDS).await;
    };
    let spent = async {
        tokio::time::sleep_until(inner.clock.instant(until)).await;
        break_at(&trouble, Broken { who: inner.id, why: Why::Spent });
        std::future::pending::<()>().await;
    };
    let mut blocks = inner.circuits.blocks.subscribe();
    let blocked = async {
        let takes_part = || {
            let blocked = lock(&inner.blocked);
            open.path.iter().chain([&open.target]).any(|peer| blocked.contains(peer))
        };
        // Somebody may have been blocked while the way was looked for.
        while !takes_part() && blocks.changed().await.is_ok() {}
        break_at(&trouble, Broken { who: inner.id, why: Why::Blocked });
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = both => {}
        () = last_words => {}
        () = spent => {}
        () = blocked => {}
    }
}

/// The first trouble is the one that is told.
fn break_at(trouble: &watch::Sender<Option<Broken>>, broken: Broken) {
    trouble.send_if_modified(|told| {
        let first = told.is_none();
        told.get_or_insert(broken);
        first
    });
}

/// One direction of a circuit.
struct Direction {
    inner: Arc<Inner>,
    circuits: Arc<Circuits>,
    key: Key,
    me: PeerId,
    passing: Carried,
    input: ReadHalf<Stream>,
    output: WriteHalf<Stream>,
    /// Those of the two streams, in the same order.
    links: [Arc<Link>; 2],
    /// What is told to both sides.
    trouble: watch::Sender<Option<Broken>>,
}

impl Direction {
    async fn run(mut self) {
        if let Err(broken) = self.pass().await {
            break_at(&self.trouble, broken);
        }
        let told = self.trouble.borrow().clone();
        let Some(broken) = told else { return };
        // Not to who is lost, and not in the middle of a frame: `pass` writes whole ones.
        let _ = self.output.write_all(&broken.encode()).await;
        let _ = self.output.shutdown().await;
        // Until the other side has hung up: what it has not read is lost with a stream that is dropped.
        let mut rest = [0; 1024];
        while self.input.read(&mut rest).await.is_ok_and(|n| n > 0) {}
    }

    /// Passes on what comes until it ends, or there is trouble.
    async fn pass(&mut self) -> Result<(), Broken> {
        let mut heard = self.trouble.subscribe();
        let mut lane = Lane::default();
        let mut buf = vec![0; LITTLE];
        let mut filled = 0;
        loop {
            let came = tokio::select! {
                biased;
                _ = heard.wait_for(Option::is_some) => return Ok(()),
                read = self.input.read(&mut buf[filled..]) => read,
            };
            let read = match came {
                Ok(0) if lane.is_over() && filled == 0 => {
                    let _ = self.output.shutdown().await;
                    return Ok(());
                }
                Ok(0) | Err(_) => {
                    return Err(Broken { who: self.passing.from, why: why_lost(&self.links[0]) });
                }
                Ok(n) => n,
            };
            filled += read;
            let by_them = |_| Broken { who: self.passing.from, why: Why::Protocol };
            let passed = lane.pass(&buf[..filled]).map_err(by_them)?;
            let by_us = |why| Broken { who: self.me, why };
            lock(&self.circuits.book).spend(&self.key, passed.len as u64).map_err(by_us)?;
            self.inner.tally.circuit_bytes_carried.more(passed.data as usize);
            if let Some(tap) = &self.circuits.tap {
                each_data(&mut buf[..passed.len], |data| tap.passes(&self.passing, data));
            }
            self.write(&buf[..passed.len]).await?;
            if lane.is_broken() {
                // It is told on, and to nobody else: the other direction ends by itself.
                let _ = self.output.shutdown().await;
                return Ok(());
            }
            if lane.is_over() {
                let _ = self.output.flush().await;
            }
            if passed.len > 0 {
                buf.copy_within(passed.len..filled, 0);
                filled -= passed.len;
            }
            if filled == buf.len() || passed.len == buf.len() {
                buf.resize(MUCH, 0);
            } else if filled == 0 && read < LITTLE / 4 && buf.len() > LITTLE {
                // An idle circuit is to hold little.
                buf = vec![0; LITTLE];
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let written = async {
            self.output.write_all(bytes).await?;
            self.output.flush().await
        };
        let lost = |_| Broken { who: self.passing.to, why: why_lost(&self.links[1]) };
        written.await.map_err(lost)
    }
}
