//! The screen of `up`: prints the node's events, one after the other, on a thread of its own.
//!
//! A terminal can stand still (ctrl-s, a pager, a full pipe); a write then blocks, and must not block the node. So the
//! thread takes events from the feed's bounded queue, and says of each that it was shown once it was written. What
//! cannot be written (a closed pipe, a full disk) was not shown, and a message is then refused.
//!
//! In the background the screen is the file `up.log`. Strangers can make it grow, so it is bounded.

use crate::console::Console;
use crate::node::Node;
use crate::node::feed::Delivery;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How long the last lines may take to be written at the end.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Bytes of `up.log`; the last so many are kept beside it. A guess: some ten thousand events.
const MAX_LOG: u64 = 1 << 20;

/// A screen that collects events but does not show them yet.
pub(super) struct Screen {
    console: Arc<Console>,
    events: mpsc::Receiver<Delivery>,
    /// The file that standard output is, in the background.
    log: Option<PathBuf>,
}

/// A screen at work.
pub(super) struct Showing {
    done: oneshot::Receiver<()>,
}

impl Screen {
    /// Takes what happens at a node, from its beginning on.
    pub(super) fn new(console: Arc<Console>, node: &Node, log: Option<PathBuf>) -> Screen {
        Screen { console, events: node.state.first_reader(), log }
    }

    /// Begins to print.
    pub(super) fn start(mut self) -> Showing {
        let (teller, done) = oneshot::channel();
        std::thread::spawn(move || {
            while let Some(delivery) = self.events.blocking_recv() {
                if self.console.show(&*delivery.event) {
                    delivery.shown();
                }
                if let Some(log) = &self.log
                    && let Err(error) = self.console.rotate(log, MAX_LOG)
                {
                    tracing::warn!(%error, "cannot keep up.log short");
                }
            }
            // Nobody may be waiting any more.
            let _ = teller.send(());
        });
        Showing { done }
    }
}

impl Showing {
    /// Waits until all is printed, once the feed is closed.
    pub(super) async fn end(self) {
        // A terminal that stands still does not hold the program.
        let _ = tokio::time::timeout(LAST_LINES, self.done).await;
    }
}
