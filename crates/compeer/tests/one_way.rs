//! One-way requests: how many are handled at a time, and what becomes of those
//! under way when a connection ends.

#![allow(clippy::disallowed_methods, reason = "the virtual time of a paused runtime")]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use compeer::transport::memory::MemoryNetwork;
use compeer::{Builder, Failure, Identity, Peer, Request, limits};
use tokio::sync::{Semaphore, watch};

/// A peer to be of the network at 10.0.0.n.
fn member(network: &MemoryNetwork, n: u8) -> Builder {
    let identity = Identity::from_seed(&[n; 32]);
    let ip = IpAddr::from([10, 0, 0, n]);
    let transport = network.transport(identity.peer_id(), ip);
    Peer::builder().identity(identity).transport(transport).listen(SocketAddr::new(ip, 1)).seed(n.into())
}

async fn echo(request: Request) -> Result<bytes::Bytes, Failure> {
    Ok(request.body().clone())
}

/// How the handlers of `WORK` fare, and what lets them go on.
#[derive(Clone)]
struct Work {
    go: Arc<Semaphore>,
    seen: watch::Sender<Seen>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    running: usize,
    most: usize,
    done: usize,
    stopped: usize,
}

/// Notes that a handler is gone, through or not.
struct Gone(watch::Sender<Seen>, bool);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.send_modify(|seen| {
            seen.running -= 1;
            *(if self.1 { &mut seen.done } else { &mut seen.stopped }) += 1;
        });
    }
}

impl Work {
    fn new() -> Self {
        Work { go: Arc::new(Semaphore::new(0)), seen: watch::Sender::default() }
    }

    fn on(&self, peer: Builder) -> Builder {
        let work = self.clone();
        peer.handle("ECHO", echo).handle("WORK", move |_: Request| {
            let work = work.clone();
            async move {
                work.seen.send_modify(|seen| {
                    seen.running += 1;
                    seen.most = seen.most.max(seen.running);
                });
                let mut gone = Gone(work.seen.clone(), false);
                work.go.acquire().await?.forget();
                gone.1 = true;
                Ok::<_, Failure>(())
            }
        })
    }

    async fn until(&self, what: impl FnMut(&Seen) -> bool) {
        let mut seen = self.seen.subscribe();
        let found = tokio::time::timeout(Duration::from_secs(120), seen.wait_for(what)).await.is_ok();
        assert!(found, "{:?}", *self.seen.borrow());
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_handlers_run_at_a_time_than_the_limit() {
    let network = MemoryNetwork::new(1);
    let work = Work::new();
    let a = work.on(member(&network, 1)).spawn().await.unwrap();
    let b = member(&network, 2).spawn().await.unwrap();
    let all = limits::MAX_ONE_WAY + 50;
    for _ in 0..all {
        b.notify(a.addr(), "WORK", "").await.unwrap();
    }
    // Behind them all, and no worse off for it.
    b.request(a.addr(), "ECHO", "").one().await.unwrap();
    let full = Seen { running: limits::MAX_ONE_WAY, most: limits::MAX_ONE_WAY, ..Seen::default() };
    assert_eq!(*work.seen.borrow(), full);
    work.go.add_permits(all);
    work.until(|seen| seen.done == all).await;
    assert_eq!(work.seen.borrow().most, limits::MAX_ONE_WAY);
    // And again: no place was lost.
    for _ in 0..all {
        b.notify(a.addr(), "WORK", "").await.unwrap();
    }
    work.until(|seen| seen.running == limits::MAX_ONE_WAY).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_delivered_may_finish_after_the_sender_has_gone() {
    let network = MemoryNetwork::new(1);
    let work = Work::new();
    let a = work.on(member(&network, 1)).spawn().await.unwrap();
    let b = member(&network, 2).spawn().await.unwrap();
    for _ in 0..3 {
        b.notify(a.addr(), "WORK", "").await.unwrap();
    }
    b.shutdown().await;
    work.until(|seen| seen.running == 3).await;
    work.go.add_permits(2);
    work.until(|seen| seen.done == 2).await;
    let began = tokio::time::Instant::now();
    work.until(|seen| seen.stopped == 1).await;
    assert!(began.elapsed() <= limits::ONE_WAY_GRACE);
}

#[tokio::test(start_paused = true)]
async fn blocking_the_sender_and_shutting_down_stop_what_runs() {
    for shutdown in [false, true] {
        let network = MemoryNetwork::new(1);
        let work = Work::new();
        let a = work.on(member(&network, 1)).spawn().await.unwrap();
        let b = member(&network, 2).spawn().await.unwrap();
        for _ in 0..limits::MAX_ONE_WAY + 1 {
            b.notify(a.addr(), "WORK", "").await.unwrap();
        }
        work.until(|seen| seen.running == limits::MAX_ONE_WAY).await;
        let began = tokio::time::Instant::now();
        if shutdown {
            a.shutdown().await
        } else {
            a.block(b.id())
        }
        work.until(|seen| seen.running == 0).await;
        assert_eq!(work.seen.borrow().stopped, limits::MAX_ONE_WAY);
        assert!(began.elapsed() < limits::ONE_WAY_GRACE);
    }
}
