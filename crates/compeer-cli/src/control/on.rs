//! `on`: a command answers a kind for this node, for as long as it runs.
//!
//! Two requests. [`KIND`] opens the desk (`node/work.rs`) and stays open: when the command goes away, the desk closes.
//! [`JOB`] is one idle worker of the command: its answer is a job, the worker's message what came of it. So a job that
//! nobody wants any more ends the worker's request, by which the worker knows; and a worker that dies with its command
//! gives up the job it had, and no other.

use super::{ANSWER, parse, reply, send};
use crate::exit::{CommandError, Outcome};
use crate::limits::MAX_JOBS;
use crate::node::Node;
use crate::node::work::{Answer, Terms};
use compeer::{Kind, Request};
use serde::{Deserialize, Serialize};

pub(crate) const KIND: &str = "on";
pub(crate) const JOB: &str = "on/job";
/// Another command has taken the kind over.
pub(crate) const TAKEN: Kind = Kind::from_static("taken");
/// Who asks: an [`Asker`](crate::node::work::Asker).
pub(crate) const FROM: Kind = Kind::from_static("from");
/// What he asks, as it came.
pub(crate) const BODY: Kind = Kind::from_static("body");
/// The worker's answer: the reply, no reply, or why it failed.
pub(crate) const REPLY: Kind = Kind::from_static("reply");
pub(crate) const NO_REPLY: Kind = Kind::from_static("no-reply");
pub(crate) const FAILED: Kind = Kind::from_static("failed");

/// Answer this kind.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct On {
    pub(crate) kind: String,
    pub(crate) terms: Terms,
}

/// The desk is open.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Opened {
    /// What a worker calls it.
    pub(crate) desk: u64,
    /// The node it is at.
    pub(crate) status: super::status::NodeStatus,
}

/// A worker is idle.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Idle {
    pub(crate) desk: u64,
}

pub(super) async fn answer(node: Node, request: Request) -> Outcome {
    let on: On = parse(request.body())?;
    let kind = Kind::new(&on.kind).map_err(|error| CommandError::usage(format!("KIND: {error}")))?;
    if on.terms.jobs == 0 || on.terms.jobs > MAX_JOBS {
        return Err(CommandError::usage(format!("--jobs: 1 to {MAX_JOBS}")));
    }
    node.listen()?;
    let open = node.open_desk(kind, on.terms)?;
    let opened = Opened { desk: open.desk.id(), status: super::status::of(&node)? };
    reply(&request, ANSWER, &opened).await?;
    tokio::select! {
        biased;
        () = open.desk.closed() => {}
        () = node.ends() => return Err(CommandError::failed("the running peer was stopped")),
    }
    send(&request, TAKEN, Vec::new()).await
}

pub(super) async fn job(node: Node, mut request: Request) -> Outcome {
    let idle: Idle = parse(request.body())?;
    // Without an answer: there is nothing to be done here any more.
    let Some(desk) = node.state.work.desk(idle.desk) else { return Ok(()) };
    let Some(mut job) = desk.next().await else { return Ok(()) };
    reply(&request, FROM, &job.from).await?;
    send(&request, BODY, job.body.clone()).await?;
    let message = tokio::select! {
        biased;
        () = job.unwanted() => return Ok(()),
        message = request.next() => message,
    };
    // A worker that says nothing has gone; the job is given up when it is dropped.
    let Some(message) = message else { return Ok(()) };
    let answer: Answer = match message.kind {
        kind if kind == REPLY => Ok(Some(message.body)),
        kind if kind == NO_REPLY => Ok(None),
        _ => Err(String::from_utf8_lossy(&message.body).into_owned()),
    };
    job.done(answer);
    Ok(())
}
