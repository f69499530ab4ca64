//! The way from a command to the node of its home: through the process that holds the home's lock, or, if nobody does,
//! to a node of the command's own.
//!
//! Either way the command sees the same client of the control protocol ([`crate::control`]), over the control socket
//! or over a pipe in memory, so that each command is written once. A command with a node of its own holds the lock
//! and serves the socket too: a second command started meanwhile becomes its client, and is let finish before the
//! first one leaves.
//!
//! Between taking the lock and serving, and between serving no more and giving the lock back, a home has a holder
//! that does not answer; commands try again for [`PATIENCE`] before they call that an error.

mod hold;

pub(crate) use hold::Hold;

use crate::context::Context;
use crate::control;
use crate::exit::{CommandError, Exit, Outcome};
use crate::home::Home;
use crate::home::lock::{Holder, Lock};
use crate::node::{Node, Role, Settings, blame};
use compeer::local::Client;
use compeer::{Message, Replies, Sender};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::Instant;

/// The remark of a command that finds no running peer.
pub(crate) const ALONE: &str = "alone: no `compeer up` runs in this home";

/// How long a holder that does not answer is asked again.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two tries; what is waited for happens in another process and cannot be subscribed to.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a holder that accepts may take to introduce itself.
const HELLO_WITHIN: Duration = Duration::from_secs(2);

/// A command's connection with its node.
pub(crate) struct Gateway {
    client: Client,
    own: Option<Hold>,
}

/// Who holds a home.
pub(crate) enum Held {
    /// We do, from now on.
    Ours(Lock),
    /// Another process.
    Theirs(Client, Holder),
}

/// Takes the lock of a home or connects with who has it.
///
/// # Errors
///
/// The lock file cannot be used, or its holder does not answer.
pub(crate) async fn enter(home: &Home) -> Outcome<Held> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(lock) = take(home)? {
            return Ok(Held::Ours(lock));
        }
        let holder = Holder::read(home);
        if let Some(holder) = &holder
            && let Some(client) = call(holder).await
        {
            return Ok(Held::Theirs(client, holder.clone()));
        }
        if Instant::now() > deadline {
            return Err(silent(home, holder.as_ref()));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Takes the lock of a home if nobody has it.
pub(crate) fn take(home: &Home) -> Outcome<Option<Lock>> {
    Lock::try_take(home)
        .map_err(|error| CommandError::failed(format!("cannot lock {}: {error}", home.lock_path().display())))
}

async fn call(holder: &Holder) -> Option<Client> {
    let greet = async { Client::connect(UnixStream::connect(&holder.socket).await.ok()?).await.ok() };
    tokio::time::timeout(HELLO_WITHIN, greet).await.ok().flatten()
}

fn silent(home: &Home, holder: Option<&Holder>) -> CommandError {
    let who = holder.map_or("another process".to_string(), |holder| format!("process {}", holder.pid));
    CommandError::failed(format!("{who} holds {} and does not answer", home.dir().display()))
        .hint("if it hangs, stop it with kill; the home comes to no harm")
}

impl Gateway {
    /// A gateway to a node of another process.
    pub(crate) fn to(client: Client) -> Gateway {
        Gateway { client, own: None }
    }

    /// The same way, for a task of its own.
    pub(crate) fn beside(&self) -> Gateway {
        Gateway::to(self.client.clone())
    }

    /// Finds the node of the home, or starts one, and says on standard error which.
    ///
    /// # Errors
    ///
    /// There is no home, its holder does not answer, or no node can be started.
    pub(crate) async fn open(context: &Context, alone: Settings) -> Outcome<Gateway> {
        let home = context.home()?;
        match enter(&home).await? {
            Held::Theirs(client, holder) => {
                context.console.note(&match holder.role {
                    Role::Up => format!("through the running peer (process {})", holder.pid),
                    Role::Alone => format!("through another command's peer (process {})", holder.pid),
                });
                Ok(Gateway { client, own: None })
            }
            Held::Ours(lock) => {
                context.console.note(ALONE);
                let alone = Settings {
                    discovery: context.discovery(),
                    overlay: !context.global.no_overlay,
                    usual: context.settings.listen()?,
                    ..alone
                };
                let node = Node::start(&home, alone).await?;
                // No screen shows what happens; who says something is told so.
                drop(node.state.first_reader());
                let own = Hold::start(&home, lock, node)?;
                let client = own.client().await?;
                Ok(Gateway { client, own: Some(own) })
            }
        }
    }

    /// Runs a command's work with a gateway, and leaves in order whether it ends or is interrupted.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Gateway::open) and of the work; interrupted by ctrl-c or SIGTERM.
    pub(crate) async fn through<T>(
        context: &Context,
        alone: Settings,
        work: impl AsyncFnOnce(&Gateway) -> Outcome<T>,
    ) -> Outcome<T> {
        let gateway = tokio::select! {
            biased;
            () = crate::interrupt::wait() => return Err(CommandError::interrupted()),
            opened = Gateway::open(context, alone) => opened?,
        };
        let outcome = tokio::select! {
            biased;
            () = crate::interrupt::wait() => Err(CommandError::interrupted()),
            outcome = work(&gateway) => outcome,
        };
        drop(gateway.client);
        match (gateway.own, &outcome) {
            (Some(own), Err(error)) if error.exit == Exit::Interrupted => own.leave_at_once().await,
            (Some(own), _) => {
                own.leave(|commands| context.console.note(&in_use(commands))).await;
            }
            (None, _) => {}
        }
        outcome
    }

    /// Asks for one answer.
    ///
    /// # Errors
    ///
    /// What the node says, or that it went away.
    pub(crate) async fn ask<A: DeserializeOwned>(&self, kind: &str, question: &impl Serialize) -> Outcome<A> {
        let mut answers = self.open_call(kind, question).await?;
        match answers.next().await? {
            Some(message) => control::parse(&message.body),
            None => Err(gone()),
        }
    }

    /// Asks, with more to be sent and any number of answers.
    ///
    /// # Errors
    ///
    /// The node went away.
    pub(crate) async fn open_call(&self, kind: &str, question: &impl Serialize) -> Outcome<Answers> {
        let body = serde_json::to_vec(question).map_err(|error| CommandError::failed(error.to_string()))?;
        let call = self.client.request(kind, body).no_timeout().open();
        Ok(Answers { replies: call.await.map_err(|error| blame::control(&error))? })
    }
}

/// The answers to one request.
pub(crate) struct Answers {
    replies: Replies,
}

impl Answers {
    /// The next answer; `None` when there are no more.
    ///
    /// # Errors
    ///
    /// What the node says, or that it went away.
    pub(crate) async fn next(&mut self) -> Outcome<Option<Message>> {
        match self.replies.next().await {
            None => Ok(None),
            Some(Ok(message)) if message.kind == control::ERROR => Err(control::parse(&message.body)?),
            Some(Ok(message)) => Ok(Some(message)),
            Some(Err(error)) => Err(blame::control(&error)),
        }
    }

    /// The other direction, to send further messages while the answers are read.
    pub(crate) fn sender(&self) -> Sender {
        self.replies.sender()
    }

    /// Sends a further message.
    ///
    /// # Errors
    ///
    /// The node went away.
    pub(crate) async fn send(&mut self, kind: &str, body: Vec<u8>) -> Outcome {
        self.replies.send(kind, body).await.map_err(|error| blame::control(&error))
    }

    /// Sends no more.
    pub(crate) fn finish(&mut self) {
        self.replies.finish();
    }
}

/// What a command says that is done but still needed.
fn in_use(commands: usize) -> String {
    let who =
        if commands == 1 { "another command".to_string() } else { format!("{commands} other commands") };
    format!("done; {who} of this home use this process (ctrl-c ends it at once)")
}

fn gone() -> CommandError {
    CommandError::failed("the peer of this home stopped before it answered")
}
