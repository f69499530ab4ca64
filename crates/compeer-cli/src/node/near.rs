//! Who is near: this node on the local network, told of and looking around.
//!
//! `up` announces itself from the beginning; a command's own node looks around only when asked to, and tells of itself
//! only while it offers a code. With `--no-discovery` neither happens. What others announce is a claim: it finds an
//! address to try, and nothing else.

use super::{Node, Role};
use crate::exit::{CommandError, Outcome};
use compeer::discovery::{Announcement, Discovery, DiscoveryError, Nearby, Settings};
use compeer::{Peer, PeerId};
use compeer_share::meet::Meeting;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long one looks around before what was seen counts as all there is. A guess: an answer takes 20 to 100 ms, and
/// one that was asked a moment before may wait for a second.
const LOOK: Duration = Duration::from_millis(600);

/// What a node knows of the local network. Clones are the same.
#[derive(Clone)]
pub(crate) struct Near(Arc<Shared>);

struct Shared {
    /// `None` with `--no-discovery`.
    settings: Option<Settings>,
    begun: Mutex<Option<(Arc<Discovery>, Instant)>>,
    pub(super) meeting: Meeting,
}

impl Near {
    pub(super) fn new(peer: &Peer, settings: Option<Settings>) -> Near {
        Near(Arc::new(Shared { settings, begun: Mutex::default(), meeting: Meeting::attach(peer) }))
    }

    /// The codes this node offers.
    pub(super) fn meeting(&self) -> &Meeting {
        &self.0.meeting
    }

    /// Looks around from now on.
    ///
    /// # Errors
    ///
    /// The user does not want that, or the system does not let us.
    pub(super) fn discovery(&self) -> Outcome<Arc<Discovery>> {
        let Some(settings) = self.0.settings else {
            return Err(CommandError::usage("with --no-discovery nobody is looked for")
                .hint("name the other machine: --from HOST[:PORT]"));
        };
        let mut begun = lock(&self.0.begun);
        if let Some((discovery, _)) = &*begun {
            return Ok(discovery.clone());
        }
        let discovery =
            Discovery::start(settings).map_err(|error| CommandError::failed(error.to_string()))?;
        let discovery = Arc::new(discovery);
        *begun = Some((discovery.clone(), Instant::now()));
        Ok(discovery)
    }

    /// Looks around for so long that who is there has been seen; no time if that was done before.
    pub(super) async fn look(&self) {
        let Ok(_) = self.discovery() else { return };
        let since = lock(&self.0.begun).as_ref().map(|(_, since)| *since);
        if let Some(since) = since {
            tokio::time::sleep_until(since + LOOK).await;
        }
    }

    /// Who was seen; nobody if it was not looked around.
    pub(crate) fn seen(&self) -> Vec<Nearby> {
        lock(&self.0.begun).as_ref().map(|(discovery, _)| discovery.nearby()).unwrap_or_default()
    }

    /// Says goodbye for what was announced.
    pub(super) async fn leave(&self) {
        let begun = lock(&self.0.begun).take();
        if let Some(discovery) = begun.and_then(|(discovery, _)| Arc::into_inner(discovery)) {
            discovery.leave().await;
        }
    }
}

impl Node {
    /// Tells those near what this node is now and which codes it offers; or nothing, when it is a command's own and
    /// offers none.
    pub(super) fn announce(&self) {
        let numbers = self.near.meeting().numbers();
        let Ok(discovery) = self.near.discovery() else { return };
        if numbers.is_empty() && self.state.role == Role::Alone {
            return discovery.withdraw();
        }
        match discovery.announce(Announcement::of(&self.peer).with_numbers(numbers)) {
            Ok(()) => {}
            Err(DiscoveryError::NoAddress) => tracing::info!("not announced: only this machine can reach it"),
            Err(error) => tracing::warn!(%error, "not announced"),
        }
    }

    /// Looks around, if that was not done before; who is near then.
    pub(crate) async fn look_around(&self) -> Vec<Nearby> {
        self.near.look().await;
        self.near.seen()
    }

    /// How somebody who announces himself is called on the screen.
    pub(crate) fn shown_nearby(&self, nearby: &Nearby) -> String {
        self.shown(nearby.peer.id, nearby.name.as_deref())
    }

    pub(super) fn shown(&self, id: PeerId, nickname: Option<&str>) -> String {
        self.state.shown_name(id, nickname)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
