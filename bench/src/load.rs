//! Many requests at a time on one connection, and one-way requests.
//!
//! Pipelined: so many tasks, each asking again as soon as it has its answer.
//! One-way: one task tells as fast as it is let; the clock stops when the
//! handler has counted them all. Time on a core is that of this process: of both
//! ends, unless the serving one has a process of its own.
//!
//! Raw TCP and TLS are what no request can reach: bytes without numbers, with
//! all that may be sent in one write, and an echo of whatever has come.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use compeer::{Peer, PeerId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter};
use tokio::task::JoinSet;

use crate::plain::{self, CHUNK, ECHO_MANY, ECHOED, SINK};
use crate::report::{Bar, Report, Series};
use crate::requests::ask_once;
use crate::rivals::{Rivals, TOLD as TOLD_BYTES};
use crate::server::Server;
use crate::stats::{Times, cpu_time};
use crate::{Options, Result};

const IN_FLIGHT: usize = 512;
const ROUND: Duration = Duration::from_secs(1);
const WARM_UP: Duration = Duration::from_millis(300);
const TOLD: u64 = 1_000_000;
const TOLD_WARM_UP: u64 = 50_000;

/// Of one program.
struct Figures {
    rate: Series,
    p99: Series,
    cpu: Series,
    told: Series,
    told_cpu: Series,
}

impl Figures {
    fn new(who: &str) -> Self {
        let many =
            |of: &str, unit| Series::new(format!("requests 64 B, {IN_FLIGHT} in flight{of}: {who}"), unit);
        let one_way = |of: &str, unit| Series::new(format!("one-way 128 B{of}: {who}"), unit);
        Figures {
            rate: many("", "/s"),
            p99: many(", p99", "µs"),
            cpu: many(", on a core", "µs"),
            told: one_way(", counted", "/s"),
            told_cpu: one_way(", on a core", "µs"),
        }
    }

    /// A round of requests, and what time on a core they took.
    fn many(&mut self, ((rate, mut times), cpu): ((f64, Times), Duration)) {
        self.rate.push(rate);
        self.p99.push(times.percentile(99.0));
        self.cpu.push(cpu.as_secs_f64() * 1e6 / times.count() as f64);
    }

    /// A round of one-way messages.
    fn told(&mut self, ((rate, count), cpu): ((f64, u64), Duration)) {
        self.told.push(rate);
        self.told_cpu.push(cpu.as_secs_f64() * 1e6 / count as f64);
    }

    fn clear(&mut self) {
        let Figures { rate, p99, cpu, told, told_cpu } = self;
        for series in [rate, p99, cpu, told, told_cpu] {
            series.clear();
        }
    }
}

pub(crate) async fn run(options: Options, report: &mut Report) -> Result<()> {
    let server = Server::start(options).await?;
    let mut rivals = Rivals::start(options).await?;
    let connector = plain::connector()?;
    let peer = Peer::builder().spawn().await?;
    let to = server.peer.id;
    peer.connect(server.peer.clone()).await?;
    let (mut tcp, mut tls) = (Figures::new("raw TCP"), Figures::new("tokio-rustls"));
    let mut theirs: Vec<_> = rivals.all.iter().map(|(kind, _)| Figures::new(kind.name())).collect();
    let mut ours = Figures::new("compeer");
    let mut total = 0;
    for round in 0..=options.rounds {
        let (time, count) = if round == 0 { (WARM_UP, TOLD_WARM_UP) } else { (ROUND, TOLD) };
        tcp.many(timed(echo_many(plain::connect_tcp(server.tcp).await?, time)).await?);
        tcp.told(timed(tell_plain(plain::connect_tcp(server.tcp).await?, count)).await?);
        tls.many(timed(echo_many(plain::connect_tls(&connector, server.tls).await?, time)).await?);
        tls.told(timed(tell_plain(plain::connect_tls(&connector, server.tls).await?, count)).await?);
        for ((_, rival), figures) in rivals.all.iter_mut().zip(&mut theirs) {
            figures.many(timed(rival.ask(IN_FLIGHT, time)).await?);
            figures.told(timed(rival.tell(IN_FLIGHT, time)).await?);
        }
        total += count;
        ours.many(timed(pipelined(&peer, to, time)).await?);
        ours.told(timed(tell(&peer, to, count, total)).await?);
        if round == 0 {
            [&mut tcp, &mut tls, &mut ours].into_iter().chain(&mut theirs).for_each(Figures::clear);
        }
    }
    let others = || [&tcp, &tls].into_iter().chain(&theirs);
    others().for_each(|figures| report.line(&figures.rate, Bar::None));
    report.line(&ours.rate, Bar::AtLeast(300_000.0));
    let all = || others().chain([&ours]);
    all().for_each(|figures| report.line(&figures.p99, Bar::None));
    all().for_each(|figures| report.line(&figures.cpu, Bar::None));
    others().for_each(|figures| report.line(&figures.told, Bar::None));
    report.line(&ours.told, Bar::AtLeast(1_000_000.0));
    all().for_each(|figures| report.line(&figures.told_cpu, Bar::None));
    theirs.iter().for_each(|rival| report.against(&ours.rate, &rival.rate, Bar::None));
    theirs.iter().for_each(|rival| report.against(&ours.told, &rival.told, Bar::None));
    peer.shutdown().await;
    server.stop().await;
    Ok(())
}

/// With the time that it took on a core.
async fn timed<T>(what: impl Future<Output = Result<T>>) -> Result<(T, Duration)> {
    let before = cpu_time();
    Ok((what.await?, cpu_time() - before))
}

/// Requests a second, and how long each took.
async fn pipelined(peer: &Peer, to: PeerId, time: Duration) -> Result<(f64, Times)> {
    let body = Bytes::from_static(&[7; ECHOED]);
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (peer, body) = (peer.clone(), body.clone());
        tasks.spawn(async move {
            let mut times = Times::default();
            while started.elapsed() < time {
                times.push(ask_once(&peer, to, &body).await?);
            }
            Result::<_>::Ok(times)
        });
    }
    let mut all = Times::default();
    while let Some(times) = tasks.join_next().await {
        all.extend(times??);
    }
    Ok((all.count() as f64 / started.elapsed().as_secs_f64(), all))
}

/// Messages echoed a second, as many on their way.
async fn echo_many(mut io: impl AsyncRead + AsyncWrite + Unpin, time: Duration) -> Result<(f64, Times)> {
    io.write_u8(ECHO_MANY).await?;
    let messages = vec![7; IN_FLIGHT * ECHOED];
    let mut space = vec![0; IN_FLIGHT * ECHOED];
    let (mut times, mut asked, mut arrived) = (Times::default(), VecDeque::new(), 0);
    let (started, mut more) = (Instant::now(), IN_FLIGHT);
    loop {
        io.write_all(&messages[..more * ECHOED]).await?;
        io.flush().await?;
        asked.extend(std::iter::repeat_n(Instant::now(), more));
        arrived += io.read(&mut space).await?;
        let now = Instant::now();
        more = arrived / ECHOED;
        arrived %= ECHOED;
        asked.drain(..more).for_each(|asked| times.push(now - asked));
        if now - started >= time {
            return Ok((times.count() as f64 / started.elapsed().as_secs_f64(), times));
        }
    }
}

/// One-way requests a second, until `total` were counted since the start; and how many.
async fn tell(peer: &Peer, to: PeerId, count: u64, total: u64) -> Result<(f64, u64)> {
    let body = Bytes::from_static(&[7; TOLD_BYTES]);
    let started = Instant::now();
    for _ in 0..count {
        peer.notify(to, "COUNT", body.clone()).await?;
    }
    peer.request(to, "UNTIL", total.to_string()).one().await?;
    Ok((count as f64 / started.elapsed().as_secs_f64(), count))
}

/// Messages of the same size through a buffer, until the other side has them all.
async fn tell_plain(mut io: impl AsyncRead + AsyncWrite + Unpin, count: u64) -> Result<(f64, u64)> {
    io.write_u8(SINK).await?;
    let mut io = BufWriter::with_capacity(CHUNK, io);
    let started = Instant::now();
    for _ in 0..count {
        io.write_all(&[7; TOLD_BYTES]).await?;
    }
    io.shutdown().await?;
    let arrived = io.read_u64().await?;
    if arrived != count * TOLD_BYTES as u64 {
        return Err("not all that was told has arrived".into());
    }
    Ok((count as f64 / started.elapsed().as_secs_f64(), count))
}
