//! Holding a home: the lock, the node, and the control socket by which other commands use it.
//!
//! Everything is given back in the reverse order of taking: the socket's name first, so that nobody new comes, then the
//! node, whose peers are told, and the lock last, so that who gets it finds all else free.

use crate::control;
use crate::exit::{CommandError, Outcome};
use crate::home::Home;
use crate::home::lock::Lock;
use crate::home::socket::ControlSocket;
use crate::node::{Node, Role};
use compeer::local::{Client, Handlers};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Commands served at a time. A guess; further ones wait in the socket's queue.
const MAX_CLIENTS: usize = 64;
/// How long a command that is done waits for others that use its node before it says so.
const SAY_NOTHING: Duration = Duration::from_secs(1);
/// How long a running peer that is told to stop lets others finish.
const HURRY: Duration = Duration::from_secs(2);
/// Pause after the system refused to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes on their way through the pipe between a command and its own node.
const PIPE: usize = 64 * 1024;

/// A home that this process holds.
pub(crate) struct Hold {
    pub(crate) node: Node,
    handlers: Handlers,
    serving: JoinHandle<()>,
    /// How many commands are served now, the own one left out.
    clients: watch::Sender<usize>,
    // Dropped last: fields are dropped in the order in which they stand here.
    _lock: Lock,
}

impl Hold {
    /// Begins to serve commands.
    ///
    /// # Errors
    ///
    /// The control socket cannot be had.
    pub(crate) fn start(home: &Home, mut lock: Lock, node: Node) -> Outcome<Hold> {
        let cannot = |error| CommandError::failed(format!("cannot make the control socket: {error}"));
        let socket = ControlSocket::bind(home).map_err(cannot)?;
        lock.announce(node.state.role, socket.path()).map_err(cannot)?;
        let handlers = control::handlers(&node);
        let clients = watch::Sender::new(0);
        let serving = tokio::spawn(serve(socket, node.clone(), handlers.clone(), clients.clone()));
        Ok(Hold { node, handlers, serving, clients, _lock: lock })
    }

    /// A client of the own node, without the detour over the socket.
    ///
    /// # Errors
    ///
    /// The node does not answer itself, which is a defect.
    pub(crate) async fn client(&self) -> Outcome<Client> {
        let (near, far) = tokio::io::duplex(PIPE);
        let (node, handlers) = (self.node.clone(), self.handlers.clone());
        tokio::spawn(async move { node.peer.serve_local(far, &handlers).await });
        Client::connect(near)
            .await
            .map_err(|error| CommandError::failed(format!("cannot reach myself: {error}")))
    }

    /// Lets other commands finish and gives the home back. `up` hurries: chats end with it. Any other command waits for as
    /// long as there are some, a transfer may take hours, or until ctrl-c; `say` is told how many when that takes a while.
    pub(crate) async fn leave(self, say: impl FnOnce(usize)) {
        let mut clients = self.clients.subscribe();
        let none = clients.wait_for(|clients| *clients == 0);
        if self.node.state.role == Role::Up {
            self.node.state.feed.close();
            // Those not done by then are cut off; they say so and may be run again.
            let _ = tokio::time::timeout(HURRY, none).await;
        } else if tokio::time::timeout(SAY_NOTHING, none).await.is_err() {
            say(*clients.borrow());
            tokio::select! {
                biased;
                () = crate::interrupt::wait() => {}
                // The sender lives in here.
                _ = clients.wait_for(|clients| *clients == 0) => {}
            }
        }
        self.leave_at_once().await;
    }

    /// Gives the home back; other commands are cut off.
    pub(crate) async fn leave_at_once(self) {
        self.serving.abort();
        // Over when the socket is dropped, and with it its file.
        let _ = self.serving.await;
        self.node.state.feed.close();
        self.node.leave().await;
    }
}

/// Serves whoever calls, each in a task of its own.
async fn serve(socket: ControlSocket, node: Node, handlers: Handlers, clients: watch::Sender<usize>) {
    let mut room = clients.subscribe();
    loop {
        // The sender lives as long as this function.
        let _ = room.wait_for(|clients| *clients < MAX_CLIENTS).await;
        match socket.accept().await {
            Ok(caller) => {
                let served = Served::new(&clients);
                let (node, handlers) = (node.clone(), handlers.clone());
                tokio::spawn(async move {
                    node.peer.serve_local(caller, &handlers).await;
                    drop(served);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a command");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Counts a command that is served, until dropped.
struct Served(watch::Sender<usize>);

impl Served {
    fn new(clients: &watch::Sender<usize>) -> Served {
        clients.send_modify(|clients| *clients += 1);
        Served(clients.clone())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.send_modify(|clients| *clients -= 1);
    }
}
