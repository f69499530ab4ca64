//! What a peer does by itself: calls kept peers again, runs stabilizers, closes
//! what is unused, and tries to do without those who carry.
//!
//! A kept peer is called at once and, whenever its connection is lost, again
//! after a wait that doubles from half a second to half a minute, give or take
//! a quarter; a connection that held for a while starts it over. Connections
//! that nobody keeps are closed by the side that dialled them when they were
//! unused for a minute.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use compeer_proto::session::GoodbyeReason;
use compeer_proto::{PeerAddr, Time};
use futures_util::{FutureExt, StreamExt};
use tokio::task::AbortHandle;

use super::{Inner, Peer, connect, spawn_until_down};
use crate::{ConnectError, Event, Stabilizer, limits, lock};

/// A kept peer.
pub(crate) struct Kept {
    pub(crate) addr: PeerAddr,
    pub(crate) task: AbortHandle,
    /// When it last said that our own key runs elsewhere.
    pub(crate) heard_twice: Option<Time>,
}

/// A connection that lasted this long was a good one.
const GOOD: Duration = Duration::from_secs(10);

/// How often unused connections are looked for.
const SWEEP: Duration = Duration::from_secs(15);

pub(crate) fn keep(inner: &Arc<Inner>, peer: PeerAddr) {
    if peer.id == inner.id || inner.is_down() {
        return;
    }
    let id = peer.id;
    let task = spawn_until_down(inner, keep_calling(inner.clone(), peer.clone())).abort_handle();
    let replaced = lock(&inner.kept).insert(id, Kept { addr: peer, task, heard_twice: None });
    inner.choice_changed(id);
    if let Some(old) = replaced {
        old.task.abort();
    }
}

async fn keep_calling(inner: Arc<Inner>, peer: PeerAddr) {
    let changed = inner.links.changed(peer.id);
    let mut wait = limits::BACKOFF_LEAST;
    loop {
        let reason = match connect::to_peer(&inner, peer.clone()).await {
            Ok(link) => {
                let connected = inner.clock.now();
                // Its twin may take its place: what counts is that there is one.
                loop {
                    let mut went = std::pin::pin!(changed.notified());
                    went.as_mut().enable();
                    if inner.links.get(peer.id).is_none() {
                        break;
                    }
                    went.await;
                }
                if inner.clock.now().since(connected) >= GOOD {
                    wait = limits::BACKOFF_LEAST;
                }
                link.over().map_or_else(|| "the connection was lost".into(), |over| over.words())
            }
            Err(ConnectError::Shutdown) => return,
            Err(error) => {
                if let ConnectError::WrongKey { addr, expected, proven } = &error {
                    let (addr, expected, proven) = (addr.clone(), *expected, *proven);
                    inner.tell(Event::WrongKey { addr, expected, proven });
                }
                error.to_string()
            }
        };
        let now = inner.clock.now();
        let heard = lock(&inner.kept).get(&peer.id).and_then(|kept| kept.heard_twice);
        let twice = heard.is_some_and(|at| now.since(at) < limits::BACKOFF_KEY_TWICE);
        let after = inner.dice.jitter(if twice { limits::BACKOFF_KEY_TWICE } else { wait });
        wait = (wait * 2).min(limits::BACKOFF_MOST);
        inner.tell(Event::Retrying { peer: peer.id, after, reason });
        let mut came = std::pin::pin!(changed.notified());
        came.as_mut().enable();
        if inner.links.get(peer.id).is_none() {
            // It may call us first.
            let _ = tokio::time::timeout(after, came).await;
        }
    }
}

pub(crate) fn stabilize(inner: &Arc<Inner>, every: Duration, stabilizer: Arc<dyn Stabilizer>) {
    let peer = Peer(inner.clone());
    spawn_until_down(inner, async move {
        loop {
            let run = AssertUnwindSafe(async { stabilizer.run(peer.clone()).await });
            let text = match run.catch_unwind().await {
                Ok(Ok(())) => None,
                Ok(Err(failure)) => Some(failure.to_string()),
                Err(panic) => Some(format!("it panicked: {}", crate::link::driver::panic_text(&*panic))),
            };
            if let Some(text) = text {
                tracing::debug!(text, "a stabilizer failed");
                peer.tell(Event::StabilizerFailed { text });
            }
            tokio::time::sleep(peer.0.dice.jitter(every)).await;
        }
    });
}

/// Calls those whom others carry at their own addresses now and then. A connection that comes
/// about takes the place of the carried one, which may finish what is in flight.
pub(crate) fn straighten(inner: &Arc<Inner>) {
    let of_task = inner.clone();
    spawn_until_down(inner, async move {
        loop {
            tokio::time::sleep(limits::DIRECT_AGAIN).await;
            let carried = of_task.links.live().into_iter().filter(|link| link.is_carried());
            // Where a stranger says that he listens is nobody's wish here.
            let chosen: Vec<_> = carried.filter(|link| of_task.is_chosen(link)).collect();
            let calls = chosen.into_iter().map(|link| {
                let known = of_task.known_addrs(link.peer);
                let says = lock(&link.hello).as_ref().map_or_else(Vec::new, |hello| hello.listen.clone());
                let to = PeerAddr::new(link.peer, known.into_iter().chain(says));
                let inner = of_task.clone();
                async move { drop(connect::directly(&inner, to).await) }
            });
            futures_util::stream::iter(calls).for_each_concurrent(limits::DIRECT_CALLS, |call| call).await;
        }
    });
}

/// Closes what is unused, and forgets what nobody needs.
pub(crate) fn sweep(inner: &Arc<Inner>) {
    let of_task = inner.clone();
    spawn_until_down(inner, async move {
        loop {
            tokio::time::sleep(SWEEP).await;
            of_task.links.sweep(of_task.clock.now());
            for link in of_task.links.all() {
                let unused = link.unused_for() >= limits::PASSING_IDLE;
                let asked = *lock(&link.farewell);
                if let Some(reason) = asked.filter(|_| unused) {
                    // It was asked to drain and does not answer.
                    link.goodbye(reason, "");
                    continue;
                }
                // The side that dialled decides: the other may be kept by it.
                let kept = lock(&of_task.kept).contains_key(&link.peer);
                if unused && !kept && link.dialled && (link.addr.is_some() || link.is_carried()) {
                    // Not at once: a request of the other side may be on its way.
                    of_task.links.retire(&link);
                    link.drain(GoodbyeReason::Idle);
                }
            }
        }
    });
}
