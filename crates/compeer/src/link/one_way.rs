//! One-way requests whose handlers have to wait.
//!
//! A handler that is ready at its first poll leaves no trace. One that waits
//! becomes a task and takes one of [`MAX_ONE_WAY`](limits::MAX_ONE_WAY) places
//! of its link. When all are taken, further one-way requests wait in order,
//! unpolled; what they cost is not given back to the sender, so that its window
//! bounds how many can wait. A task that is through goes on with the next one
//! that waits before it gives its place back.
//!
//! What was delivered may finish: when the *other* side closes or is lost, those
//! that run and wait go on for [`ONE_WAY_GRACE`](limits::ONE_WAY_GRACE). When
//! this peer blocks the sender or shuts down they stop where they are.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use compeer_proto::session::{GoodbyeReason, Message};
use tokio::task::AbortHandle;

use super::driver::{Begun, Host, begin, finish};
use super::{Link, Over};
use crate::limits;

/// Those of one link. Numbers of its own, as nobody else knows them.
#[derive(Default)]
pub(super) struct OneWay {
    next: u64,
    running: BTreeMap<u64, Option<AbortHandle>>,
    waiting: VecDeque<(Message, u64)>,
}

impl OneWay {
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// The link is over. How many of them end with it.
    pub(super) fn end(&mut self, over: &Over) -> usize {
        if !matches!(over, Over::WeSaid(GoodbyeReason::Denied | GoodbyeReason::Shutdown, _)) {
            return 0;
        }
        let running = std::mem::take(&mut self.running);
        let ended = running.len() + self.waiting.len();
        self.waiting.clear();
        running.into_values().flatten().for_each(|task| task.abort());
        ended
    }

    /// A place that was not given back is lost, and with the last one all who wait for
    /// one. How many end so.
    fn lose(&mut self, number: u64) -> usize {
        if self.running.remove(&number).is_none() {
            return 0;
        }
        let waiting = if self.running.is_empty() { std::mem::take(&mut self.waiting).len() } else { 0 };
        1 + waiting
    }
}

/// Handles a one-way request, now or when there is a place.
pub(super) fn handle(link: &Arc<Link>, host: &Arc<dyn Host>, message: Message, cost: u64) {
    // Only the driver takes places, so one that is free here stays free.
    if link.one_way_full.load(Ordering::Relaxed) {
        let one_way = &mut link.state().one_way;
        if one_way.running.len() >= limits::MAX_ONE_WAY {
            return one_way.waiting.push_back((message, cost));
        }
    }
    let kind = message.kind;
    match begin(link, host, None, message, None) {
        // There is no one to tell how it ended.
        Begun::Done(outcome) => {
            link.tally.ended(&outcome);
            link.notify_done(cost);
        }
        Begun::Waits(served) => {
            let number = {
                let one_way = &mut link.state().one_way;
                one_way.next += 1;
                one_way.running.insert(one_way.next, None);
                let full = one_way.running.len() >= limits::MAX_ONE_WAY;
                link.one_way_full.store(full, Ordering::Relaxed);
                one_way.next
            };
            let place = Place(link.clone(), number);
            let host = host.clone();
            let task = tokio::spawn(async move {
                let run = async {
                    let outcome = finish(&place.0, &*host, kind, served).await;
                    place.0.tally.ended(&outcome);
                    place.0.notify_done(cost);
                    place.go_on(&host).await;
                };
                tokio::select! {
                    biased;
                    () = ends(&place.0, &*host) => {}
                    () = run => {}
                }
            });
            if let Some(running) = link.state().one_way.running.get_mut(&number) {
                *running = Some(task.abort_handle());
            }
        }
    }
}

/// Returns when those of this link are to stop.
async fn ends(link: &Link, host: &dyn Host) {
    let mut closed = link.closed();
    let over = async {
        let _ = closed.wait_for(|closed| *closed).await;
        tokio::time::sleep(limits::ONE_WAY_GRACE).await;
    };
    let down = async {
        match host.down() {
            Some(mut down) => drop(down.wait_for(|down| *down).await),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = down => {}
        () = over => {}
    }
}

/// One of the places of a link.
struct Place(Arc<Link>, u64);

impl Place {
    /// Handles those that wait, one after the other.
    async fn go_on(&self, host: &Arc<dyn Host>) {
        while let Some((message, cost)) = self.next() {
            let kind = message.kind;
            let outcome = match begin(&self.0, host, None, message, None) {
                Begun::Done(outcome) => outcome,
                Begun::Waits(served) => finish(&self.0, &**host, kind, served).await,
            };
            self.0.tally.ended(&outcome);
            self.0.notify_done(cost);
        }
    }

    /// The next one that waits. The place is given back in the same moment as
    /// there is none, so that none is left waiting for a place that is free.
    fn next(&self) -> Option<(Message, u64)> {
        let one_way = &mut self.0.state().one_way;
        let next = one_way.waiting.pop_front();
        if next.is_none() {
            one_way.running.remove(&self.1);
        }
        next
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let ended = self.0.state().one_way.lose(self.1);
        self.0.tally.requests_cancelled.more(ended);
    }
}
