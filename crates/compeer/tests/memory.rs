//! What callers take in memory before they have proven a key. A process of its own, since
//! it looks at how much the whole of it grows.

#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout, reason = "the figures, for who asks with --nocapture")]

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use compeer::{Failure, Peer, Request};

/// With those before, below the number of places, so that none is pushed out.
const CALLERS: usize = 800;

/// Those who come first, so that what is needed once is there.
const WARM_UP: usize = 200;

/// Unit: bytes for each caller.
const BEFORE_THE_FIRST_BYTE: usize = 4 * 1024;

/// Unit: bytes for each caller. Those above, with what TLS needs to read a first flight.
const BEFORE_THE_FIRST_FLIGHT: usize = 16 * 1024;

async fn echo(request: Request) -> Result<bytes::Bytes, Failure> {
    Ok(request.body().clone())
}

/// Anonymous resident memory of this process.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// So many callers, each having said `words`. Plain sockets, which take no memory here.
fn call(at: SocketAddr, callers: usize, words: &[u8]) -> Vec<TcpStream> {
    let one = |_| {
        let mut tcp = TcpStream::connect(at).unwrap();
        tcp.write_all(words).unwrap();
        tcp
    };
    (0..callers).map(one).collect()
}

/// What each takes of those who come after the first few.
async fn growth(hub: &Peer, words: &[u8]) -> usize {
    let at = hub.local_addrs()[0];
    let few = call(at, WARM_UP, words);
    guest(hub).await;
    let before = resident();
    let callers = call(at, CALLERS, words);
    guest(hub).await;
    let each = resident().saturating_sub(before) / CALLERS;
    drop((few, callers));
    each
}

/// When it is served, all who called before have been accepted.
async fn guest(hub: &Peer) {
    let guest = Peer::builder().spawn().await.unwrap();
    guest.request(hub.addr(), "ECHO", "x").one().await.unwrap();
    guest.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_says_little_takes_little() {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let hub = Peer::builder().listen(any).handle("ECHO", echo).spawn().await.unwrap();
    let silent = growth(&hub, b"").await;
    // The beginning of a hello, of 16 KiB as it says.
    let begun = growth(&hub, &[&[0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3][..], &[7; 500]].concat()).await;
    println!("{silent} bytes for a silent caller, {begun} for one that has begun a hello");
    assert!(silent <= BEFORE_THE_FIRST_BYTE, "{silent} bytes each");
    assert!(begun <= BEFORE_THE_FIRST_FLIGHT, "{begun} bytes each");
    hub.shutdown().await;
}
