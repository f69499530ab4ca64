//! The framework's nouns: stabilizers, routers, tables, slow readers, panics.

#![allow(clippy::disallowed_methods, reason = "the virtual time of a paused runtime")]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use compeer::transport::memory::MemoryNetwork;
use compeer::{
    Asked, ConnectError, Event, Events, Failure, Hop, Identity, Peer, PeerAddr, Request, RequestError,
    Router, Table, Why, check_live_peers,
};
use futures_util::future::BoxFuture;
use proptest::prelude::*;
use tokio::time::Instant;

fn ip(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

fn builder(network: &MemoryNetwork, n: u8) -> compeer::Builder {
    let identity = Identity::from_seed(&[n; 32]);
    Peer::builder()
        .transport(network.transport(identity.peer_id(), ip(n)))
        .identity(identity)
        .listen(SocketAddr::new(ip(n), 1))
        .seed(u64::from(n))
}

async fn echo(request: Request) -> Result<bytes::Bytes, Failure> {
    Ok(request.body().clone())
}

async fn until(events: &mut Events, what: impl Fn(&Event) -> bool) -> Event {
    loop {
        let event = tokio::time::timeout(Duration::from_secs(600), events.recv()).await;
        let event = event.expect("it happens in time").expect("the peer runs");
        if what(&event) {
            return event;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn stabilizers_run_at_once_then_jittered_and_survive_all() {
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    let run = move |_: Peer| {
        let tx = tx.clone();
        async move {
            tx.send(Instant::now())?;
            Ok(())
        }
    };
    let runs = Arc::new(AtomicUsize::new(0));
    let sick = move |_: Peer| {
        let runs = runs.clone();
        async move {
            match runs.fetch_add(1, Ordering::Relaxed) {
                0 => Err(Failure::new("not today")),
                1 => panic!("not ever"),
                n => Err(Failure::new(n)),
            }
        }
    };
    let start = Instant::now();
    let network = MemoryNetwork::new(1);
    let every = Duration::from_secs(8);
    let peer = builder(&network, 1).stabilize(every, run).stabilize(every, sick).spawn().await.unwrap();
    let mut events = peer.events();
    let times: Vec<Instant> = {
        let mut times = Vec::new();
        for _ in 0..20 {
            times.push(rx.recv().await.unwrap());
        }
        times
    };
    assert_eq!(times[0], start, "at once");
    let gaps: Vec<Duration> = times.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(gaps.iter().all(|gap| (every * 3 / 4..=every * 5 / 4).contains(gap)), "{gaps:?}");
    assert!(gaps.windows(2).any(|w| w[0] != w[1]), "jittered");
    let mut told = Vec::new();
    while told.len() < 3 {
        let Event::StabilizerFailed { text } =
            until(&mut events, |e| matches!(e, Event::StabilizerFailed { .. })).await
        else {
            unreachable!()
        };
        told.push(text);
    }
    assert_eq!(told, ["not today", "it panicked: not ever", "2"]);
}

#[tokio::test(start_paused = true)]
async fn check_live_peers_measures_and_drops_the_dead_after_misses() {
    let network = MemoryNetwork::new(2);
    let live = builder(&network, 1).spawn().await.unwrap();
    let dead = builder(&network, 2).spawn().await.unwrap();
    let peer =
        builder(&network, 3).stabilize(Duration::from_secs(30), check_live_peers(3)).spawn().await.unwrap();
    peer.table().insert(live.addr());
    peer.table().insert(dead.addr());
    let mut events = peer.events();
    while peer.connections().len() < 2 {
        until(&mut events, |e| matches!(e, Event::Connected { .. })).await;
    }
    network.cut(ip(2), ip(3));
    let cut = Instant::now();
    while peer.table().len() == 2 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(cut.elapsed() < Duration::from_secs(600));
    }
    assert!(cut.elapsed() > Duration::from_secs(40), "one miss is not death: {:?}", cut.elapsed());
    assert_eq!(peer.table().ids(), [live.id()]);
    assert!(peer.connections()[0].rtt.is_some());
}

/// Sends all for `to` over `by`, and knows nobody else.
struct Over {
    to: compeer::PeerId,
    by: Hop,
}

impl Router for Over {
    fn next_hop<'a>(&'a self, _: &'a Peer, to: &'a PeerAddr, _: &'a Asked) -> BoxFuture<'a, Option<Hop>> {
        let hop = (to.id == self.to).then(|| self.by.clone());
        Box::pin(std::future::ready(hop))
    }
}

#[tokio::test(start_paused = true)]
async fn the_router_is_asked_for_all_that_is_not_connected() {
    let network = MemoryNetwork::new(3);
    let alice = builder(&network, 1).handle("ECHO", echo).spawn().await.unwrap();
    let carol = Identity::from_seed(&[9; 32]).peer_id();
    let direct = Over { to: alice.id(), by: alice.addr().into() };
    let bob = builder(&network, 2).router(direct).spawn().await.unwrap();
    assert!(bob.request(alice.id(), "ECHO", "x").one().await.is_ok());
    // The addresses that a caller brings are the router's to use or not.
    let error = bob.request(PeerAddr::new(carol, alice.addr().addrs), "ECHO", "").one().await.unwrap_err();
    assert_eq!(error, RequestError::Unroutable(carol));
    // A next hop that is not the destination is asked to carry, and need not.
    let via = Over { to: carol, by: alice.addr().into() };
    let dan = builder(&network, 3).router(via).spawn().await.unwrap();
    let error = dan.request(carol, "ECHO", "").one().await.unwrap_err();
    let RequestError::Unreachable(ConnectError::Circuit(refused)) = error else { panic!("{error}") };
    assert_eq!((refused.at, refused.why), (Some(alice.id()), Why::NotCarrying));
    // Who is connected is reached without it.
    assert_eq!(alice.request(dan.addr(), "ECHO", "").one().await.unwrap_err(), RequestError::NoHandler);
    dan.request(alice.id(), "ECHO", "x").one().await.unwrap();
    assert!(matches!(bob.connect(carol).await.map(drop), Err(ConnectError::Unroutable(_))));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_holds_up_nobody_else() {
    async fn flood(request: Request) -> Result<(), Failure> {
        for _ in 0..1000 {
            request.reply(vec![0; 10_000]).await?;
        }
        Ok(())
    }
    let network = MemoryNetwork::new(4).latency(Duration::from_millis(5), Duration::from_millis(5));
    let alice = builder(&network, 1).handle("FLOOD", flood).handle("ECHO", echo).spawn().await.unwrap();
    let bob = builder(&network, 2).spawn().await.unwrap();
    let mut slow = bob.request(alice.addr(), "FLOOD", "").no_timeout().await.unwrap();
    let reader = tokio::spawn(async move {
        let mut read = 0;
        while let Some(Ok(_)) = slow.next().await {
            read += 1;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        read
    });
    let start = Instant::now();
    for _ in 0..1000 {
        bob.request(alice.id(), "ECHO", "x").one().await.unwrap();
    }
    // Two trips of 5 ms each and nothing on top.
    assert!(start.elapsed() <= Duration::from_millis(10 * 1000 + 100), "{:?}", start.elapsed());
    assert_eq!(reader.await.unwrap(), 1000, "and the slow one gets all of it");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_replies_stops_the_handler() {
    struct Told(Option<tokio::sync::oneshot::Sender<()>>);
    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.take().map(|tx| tx.send(()));
        }
    }
    let (tx, rx) = tokio::sync::oneshot::channel();
    let place = Arc::new(std::sync::Mutex::new(Some(tx)));
    let wait = move |request: Request| {
        let told = Told(place.lock().unwrap().take());
        async move {
            request.reply("begun").await?;
            let _told = told;
            std::future::pending::<()>().await;
            Ok(())
        }
    };
    let network = MemoryNetwork::new(5);
    let alice = builder(&network, 1).handle("WAIT", wait).spawn().await.unwrap();
    let bob = builder(&network, 2).spawn().await.unwrap();
    let mut replies = bob.request(alice.addr(), "WAIT", "").await.unwrap();
    assert_eq!(&replies.next().await.unwrap().unwrap().body[..], b"begun");
    drop(replies);
    rx.await.expect("the handler was dropped");
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_told_and_the_connection_lives() {
    async fn boom(_: Request) -> Result<(), Failure> {
        tokio::task::yield_now().await;
        panic!("boom")
    }
    let network = MemoryNetwork::new(6);
    let alice = builder(&network, 1).handle("BOOM", boom).handle("ECHO", echo).spawn().await.unwrap();
    let bob = builder(&network, 2).spawn().await.unwrap();
    let mut events = alice.events();
    let error = bob.request(alice.addr(), "BOOM", "").one().await.unwrap_err();
    assert_eq!(error, RequestError::HandlerFailed("the handler panicked".into()));
    let told = until(&mut events, |e| matches!(e, Event::HandlerPanicked { .. })).await;
    assert!(matches!(told, Event::HandlerPanicked { text, .. } if text == "boom"));
    assert!(bob.request(alice.id(), "ECHO", "x").one().await.is_ok());
}

fn entry(n: u8) -> PeerAddr {
    PeerAddr::from(Identity::from_seed(&[n; 32]).peer_id())
}

proptest! {
    /// Random operations on the table against the simplest model there is.
    #[test]
    fn a_table_is_its_model(ops in proptest::collection::vec((0u8..6, 0u8..12, 0usize..10), 0..100)) {
        let table = Table::new(8);
        let mut model: Vec<Option<PeerAddr>> = vec![None; 8];
        for (op, n, slot) in ops {
            let there = model.iter().position(|e| e.as_ref() == Some(&entry(n)));
            match op {
                0 | 1 => {
                    let free = model.iter().position(Option::is_none).filter(|_| there.is_none());
                    prop_assert_eq!(table.insert(entry(n)), free.is_some());
                    if let Some(free) = free {
                        model[free] = Some(entry(n));
                    }
                }
                2 => {
                    let fits = slot < 8 && model[slot].is_none() && there.is_none();
                    prop_assert_eq!(table.insert_at(slot, entry(n)), fits);
                    if fits {
                        model[slot] = Some(entry(n));
                    }
                }
                3 => {
                    prop_assert_eq!(table.remove(entry(n).id), there.and_then(|at| model[at].take()));
                }
                4 => {
                    prop_assert_eq!(table.remove_at(slot), model.get_mut(slot).and_then(Option::take));
                }
                _ => {
                    prop_assert_eq!(table.get(entry(n).id), there.map(|_| entry(n)));
                    prop_assert_eq!(table.get_at(slot), model.get(slot).cloned().flatten());
                }
            }
            prop_assert_eq!(table.list(), model.iter().flatten().cloned().collect::<Vec<_>>());
            prop_assert_eq!(table.is_full(), model.iter().all(Option::is_some));
        }
    }
}
