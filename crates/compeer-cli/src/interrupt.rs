//! Ctrl-c and SIGTERM: the wish that a command end now, in order.
//!
//! Whoever waits for a long time waits for [`wait`] as well and then cleans up: goodbye to the peers, socket and
//! temporary files removed. All such clean-up is bounded; who will not wait for it presses ctrl-c once more and the
//! process ends at once.

use crate::console;
use crate::exit::Exit;
use std::sync::OnceLock;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

static WISHED: OnceLock<watch::Sender<bool>> = OnceLock::new();

/// Begins to listen for the signals. Before, they end the process as they always did.
pub(crate) fn arm() {
    WISHED.get_or_init(listen);
}

/// Waits until the program is asked to end. All who wait are woken, also those who come later.
pub(crate) async fn wait() {
    let mut wished = WISHED.get_or_init(listen).subscribe();
    // The sender is never dropped.
    let _ = wished.wait_for(|wished| *wished).await;
}

fn listen() -> watch::Sender<bool> {
    let wished = watch::Sender::new(false);
    let (mut first, teller) = (true, wished.clone());
    // Here and not in the task: once this returns, the signals are caught.
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return wished;
    };
    tokio::spawn(async move {
        loop {
            let typed = tokio::select! {
                biased;
                _ = interrupt.recv() => true,
                _ = terminate.recv() => false,
            };
            if !std::mem::take(&mut first) {
                std::process::exit(i32::from(Exit::Interrupted.code()));
            }
            teller.send_replace(true);
            if typed {
                // The terminal has shown it, and the cursor stands behind that. It may stand still.
                tokio::task::spawn_blocking(console::end_line);
            }
        }
    });
    wished
}
