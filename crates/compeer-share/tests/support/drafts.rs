//! Files offered as a draft: hashing waits until a test lets it go on, and what a test waits for meanwhile.

#![allow(dead_code, reason = "each test uses its part")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use compeer_share::staging::Staging;
use compeer_share::{Fetch, FetchError, Fetched, Offer, Progress, ShareInfo, ShareTicket};

use crate::people::{Person, within};

/// Offered at once; hashing waits until it is let go.
pub(crate) async fn held_up(alice: &Person, offer: Offer) -> (ShareInfo, Arc<Progress>) {
    let progress = Arc::new(Progress::default());
    progress.pause.store(true, Ordering::Relaxed);
    let offer = Offer { draft_from: Some(1), ..offer };
    let offered = within(alice.shares.offer(offer, progress.clone())).await.unwrap();
    assert!(!offered.hashed);
    (offered, progress)
}

/// To offer this.
pub(crate) fn of(path: &Path) -> Offer {
    Offer { paths: vec![path.to_path_buf()], ..Offer::default() }
}

/// Lets it be hashed.
pub(crate) fn go_on(progress: &Progress) {
    progress.pause.store(false, Ordering::Relaxed);
}

/// Waits until all of it is here and nothing is left to do but to wait for the sender.
pub(crate) async fn all_here(fetch: &Fetch) {
    within(async {
        while fetch.snapshot().hashed.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(fetch.snapshot().done, fetch.snapshot().total);
}

/// Begins again what was dropped; it stops soon, not at once.
pub(crate) async fn begin_again(bob: &Person, ticket: &ShareTicket) -> Fetch {
    within(async {
        loop {
            match bob.begin(ticket).await {
                Ok(fetch) => return fetch,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await
}

/// What becomes of a fetch.
pub(crate) async fn done(fetch: Fetch) -> Result<Fetched, FetchError> {
    within(fetch.done()).await
}

/// What is there besides the directory of a fetch.
pub(crate) fn placed(person: &Person) -> Vec<String> {
    person.names().into_iter().filter(|name| !name.ends_with(".part")).collect()
}

/// Waits until nobody has the staging directory of a fetch that has ended. To see that, it has it for a moment itself:
/// not for one that may go on.
pub(crate) async fn let_go(person: &Person, id: &str) {
    within(async {
        while Staging::is_locked(person.files.path(), id) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
