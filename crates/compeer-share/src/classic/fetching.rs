//! Fetches under way: one for a file, for all who wait for it.
//!
//! A fetch goes on while somebody waits, and is dropped with the last one who does: whoever hangs up does not end it for
//! others, and nothing is fetched for nobody. So many go on at a time, and of them one for a household.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use compeer::{BoxFuture, Failure};
use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared};
use tokio::sync::{AcquireError, OwnedMutexGuard, Semaphore, SemaphorePermit};

use super::lock;
use super::words::household;

type Fetch = BoxFuture<'static, Result<(), Failure>>;

/// See the module.
#[derive(Default)]
pub(super) struct Fetching {
    all: Mutex<BTreeMap<String, WeakShared<Fetch>>>,
    waiting: AtomicUsize,
}

/// Somebody who waits, until it is dropped.
pub(super) struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Fetching {
    /// Counts one who waits.
    pub(super) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(&self.waiting)
    }

    /// How many wait, for whatever file.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Waits for the fetch of this file that is under way, or for `begin`.
    pub(super) fn join<F>(&self, key: &str, begin: F) -> Shared<Fetch>
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let mut all = lock(&self.all);
        all.retain(|_, fetch| fetch.upgrade().is_some());
        let under_way = all.get(key).and_then(WeakShared::upgrade);
        // One that is done, and held by somebody who does not know it yet, is no answer to who comes now.
        if let Some(fetch) = under_way.filter(|fetch| fetch.peek().is_none()) {
            return fetch;
        }
        let fetch = begin.boxed().shared();
        all.extend(fetch.downgrade().map(|weak| (key.to_owned(), weak)));
        fetch
    }
}

/// Places for what goes on at a time. A household has one of them or waits for its turn, so that it leaves the others to
/// others; loopback is exempt.
pub(super) struct Places {
    all: Semaphore,
    /// Those who have a place or wait for one.
    turns: Mutex<BTreeMap<IpAddr, Weak<tokio::sync::Mutex<()>>>>,
}

/// Given back when dropped.
pub(super) type Place<'a> = (SemaphorePermit<'a>, Option<OwnedMutexGuard<()>>);

impl Places {
    pub(super) fn new(places: usize) -> Self {
        Places { all: Semaphore::new(places), turns: Mutex::default() }
    }

    /// Waits for a place for somebody at `from`.
    pub(super) async fn take(&self, from: Option<IpAddr>) -> Result<Place<'_>, AcquireError> {
        let turn = match from.filter(|from| !from.to_canonical().is_loopback()) {
            Some(from) => Some(self.turn(household(from)).lock_owned().await),
            None => None,
        };
        Ok((self.all.acquire().await?, turn))
    }

    fn turn(&self, household: IpAddr) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = lock(&self.turns);
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = turns.get(&household).and_then(Weak::upgrade).unwrap_or_default();
        turns.insert(household, Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn a_household_has_one_place_and_the_others_are_for_others() {
        let places = Places::new(2);
        let take = |from: &str| places.take(Some(from.parse().unwrap())).now_or_never();
        let first = take("2001:db8::1");
        assert!(first.is_some() && take("2001:db8:0:99::2").is_none(), "the same household");
        let other = take("203.0.113.7");
        assert!(other.is_some() && take("203.0.113.8").is_none(), "all are taken");
        drop((first, other));
        // Who gave up waiting stands before nobody, and nobody is remembered for nothing.
        let loopback = [(); 2].map(|()| take("::ffff:127.0.0.1"));
        assert!(loopback.iter().all(Option::is_some));
        drop(loopback);
        assert!(take("2001:db8::1").is_some());
        assert_eq!(lock(&places.turns).len(), 1);
    }

    #[test]
    fn a_fetch_that_is_done_is_not_joined() {
        let fetching = Fetching::default();
        let mut first = fetching.join("a", std::future::ready(Err(Failure::busy())));
        assert!((&mut first).now_or_never().unwrap().is_err());
        let _slow = first;
        assert!(fetching.join("a", std::future::ready(Ok(()))).now_or_never().unwrap().is_ok());
    }

    #[test]
    fn one_fetch_is_for_all_who_wait_and_ends_with_the_last() {
        let (fetching, begun) = (Fetching::default(), Arc::new(AtomicUsize::new(0)));
        let fetch = |until: oneshot::Receiver<()>| {
            let begun = begun.clone();
            async move {
                begun.fetch_add(1, Ordering::Relaxed);
                Ok(until.await?)
            }
        };
        let begin = || {
            let (end, until) = oneshot::channel();
            (fetching.join("a", fetch(until)), end)
        };
        let ((mut first, end), (mut second, never)) = (begin(), begin());
        assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
        assert!(never.is_closed(), "the second waits for the first");
        let other = fetching.join("b", std::future::ready(Ok(())));
        assert!(other.now_or_never().unwrap().is_ok(), "for other files there are others");
        // Who began it leaves; the other one has the file.
        drop(first);
        end.send(()).unwrap();
        assert!(second.now_or_never().unwrap().is_ok());
        assert_eq!(begun.load(Ordering::Relaxed), 1);
        // When all have left, it ends, and the next one begins anew.
        let ((mut first, end), (second, _)) = (begin(), begin());
        assert!((&mut first).now_or_never().is_none());
        drop(first);
        assert!(!end.is_closed());
        drop(second);
        assert!(end.is_closed());
        let (mut next, _end) = begin();
        assert!((&mut next).now_or_never().is_none());
        assert_eq!((begun.load(Ordering::Relaxed), lock(&fetching.all).len()), (3, 1));
    }
}
