//! Fetches under way: one for a file, for all who wait for it.
//!
//! A fetch goes on while somebody waits, and is dropped with the last one who does: whoever hangs up does not end it for
//! others, and nothing is fetched for nobody.

use std::collections::BTreeMap;
use std::sync::Mutex;

use compeer::{BoxFuture, Failure};
use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared};

use super::lock;

type Fetch = BoxFuture<'static, Result<(), Failure>>;

/// See the module.
#[derive(Default)]
pub(super) struct Fetching(Mutex<BTreeMap<String, WeakShared<Fetch>>>);

impl Fetching {
    /// Waits for the fetch of this file that is under way, or for `begin`.
    pub(super) fn join<F>(&self, key: &str, begin: F) -> Shared<Fetch>
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let mut all = lock(&self.0);
        all.retain(|_, fetch| fetch.upgrade().is_some());
        if let Some(fetch) = all.get(key).and_then(WeakShared::upgrade) {
            return fetch;
        }
        let fetch = begin.boxed().shared();
        all.extend(fetch.downgrade().map(|weak| (key.to_owned(), weak)));
        fetch
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

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
        assert_eq!((begun.load(Ordering::Relaxed), lock(&fetching.0).len()), (3, 1));
    }
}
