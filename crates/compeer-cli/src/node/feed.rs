//! The feed: carries events from the node to those who show them: the screen of `up`, and `chat` commands.
//!
//! Who shows an event says so ([`Delivery::shown`]); only then is a message acknowledged to its sender. Each reader has
//! a queue of [`QUEUE`] events. When it is full (a terminal stopped by ctrl-s, a pager), further events pass it by, and
//! a message that finds no reader is refused as not shown, so that its sender knows.

use super::event::NodeEvent;
use compeer::PeerId;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Events that wait for one reader. A guess: a few screens full.
const QUEUE: usize = 256;

/// How long a message waits to be shown. Longer than a terminal takes, shorter than a sender waits.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);

/// Events for whoever reads them.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    readers: Mutex<Vec<Reader>>,
    closed: watch::Sender<bool>,
}

#[derive(Debug)]
struct Reader {
    /// Only what concerns this peer; `None`: everything.
    of: Option<PeerId>,
    queue: mpsc::Sender<Delivery>,
}

/// One event on its way to one reader.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// What happened.
    pub(crate) event: Arc<NodeEvent>,
    shown: Option<mpsc::Sender<()>>,
}

impl Delivery {
    /// Says that the event was shown.
    pub(crate) fn shown(self) {
        if let Some(shown) = self.shown {
            // Full: another reader was faster.
            let _ = shown.try_send(());
        }
    }
}

impl Feed {
    /// Becomes a reader of everything, or of what concerns one peer, until the receiver is dropped.
    pub(crate) fn read(&self, of: Option<PeerId>) -> mpsc::Receiver<Delivery> {
        let (queue, receiver) = mpsc::channel(QUEUE);
        self.readers().push(Reader { of, queue });
        receiver
    }

    /// Tells all readers; nobody waits for them.
    pub(crate) fn tell(&self, event: NodeEvent) {
        self.pass_on(&Arc::new(event), None);
    }

    /// Tells all readers and waits until one has shown it; whether one did.
    pub(crate) async fn show(&self, event: NodeEvent) -> bool {
        let (shown, mut first) = mpsc::channel(1);
        self.pass_on(&Arc::new(event), Some(&shown));
        drop(shown);
        matches!(tokio::time::timeout(SHOWN_WITHIN, first.recv()).await, Ok(Some(())))
    }

    /// Ends the feed for every reader: the node is about to stop.
    pub(crate) fn close(&self) {
        self.readers().clear();
        self.closed.send_replace(true);
    }

    /// Waits until the feed has ended.
    pub(crate) async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        // The sender lives in here.
        let _ = closed.wait_for(|closed| *closed).await;
    }

    fn pass_on(&self, event: &Arc<NodeEvent>, shown: Option<&mpsc::Sender<()>>) {
        let mut readers = self.readers();
        readers.retain(|reader| !reader.queue.is_closed());
        for reader in readers.iter().filter(|reader| reader.of.is_none() || reader.of == event.peer()) {
            let _ = reader.queue.try_send(Delivery { event: event.clone(), shown: shown.cloned() });
        }
    }

    fn readers(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(seed: u8) -> (PeerId, NodeEvent) {
        let peer = compeer::Identity::from_seed(&[seed; 32]).peer_id();
        (peer, NodeEvent::Message { peer, name: "bob".into(), text: "hello".into() })
    }

    #[tokio::test]
    async fn shown_only_if_somebody_showed_it() {
        let feed = Feed::default();
        let (bob, hello) = message(1);
        assert!(!feed.show(hello.clone()).await, "no reader");
        let mut all = feed.read(None);
        let other = feed.read(Some(message(2).0));
        let reader = tokio::spawn(async move { all.recv().await.map(Delivery::shown) });
        assert!(feed.show(hello.clone()).await);
        reader.await.unwrap().unwrap();
        assert!(!feed.show(hello.clone()).await, "the one left reads another peer");
        drop(other);
        let mut mine = feed.read(Some(bob));
        tokio::spawn(async move { mine.recv().await });
        assert!(!feed.show(hello).await, "dropped unshown");
    }

    #[tokio::test]
    async fn a_reader_that_stands_still_holds_nobody_up() {
        let feed = Feed::default();
        let stuck = feed.read(None);
        for _ in 0..2 * QUEUE {
            feed.tell(message(1).1);
        }
        assert!(!feed.show(message(1).1).await);
        drop(stuck);
    }
}
