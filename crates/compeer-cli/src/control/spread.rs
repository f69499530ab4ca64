//! `spread`: many requests of one kind, each asked of whoever has room for it.
//!
//! The client sends the lines, this side deals them to peers (`spread/deal.rs`) that `spread/scout.rs` finds, and hands
//! the answers over. All that waits is here and bounded; a client that does not read what it gets, or a line that takes
//! long, in the end stops the reading of lines.

mod deal;
mod scout;

use super::{parse, reply, send, within};
use crate::exit::{CommandError, Outcome};
use crate::node::Node;
use bytes::{Bytes, BytesMut};
use compeer::{Kind, PeerId, Replies, Request, RequestError, limits};
use deal::{Answer, Deal, Dealt, Ending};
use scout::{Found, Scout};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(crate) const KIND: &str = "spread";
/// One line, from the client.
pub(crate) const LINE: Kind = Kind::from_static("line");
/// What came of a line: a [`Done`]; the reply follows, if there is one.
pub(crate) const DONE: Kind = Kind::from_static("done");
/// The reply to a line.
pub(crate) const REPLY: Kind = Kind::from_static("reply");

/// Spread the lines that follow.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) kind: String,
    /// Over these alone; empty: over those connected.
    pub(crate) to: Vec<String>,
    /// Over those too that are neither paired nor joined.
    pub(crate) anyone: bool,
    pub(crate) unordered: bool,
    /// How long to wait when nobody answers.
    pub(crate) timeout_ms: u64,
}

/// What came of a line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    /// From 1.
    pub(crate) line: u64,
    /// Who had it last.
    pub(crate) peer: Option<PeerId>,
    /// Ready for the screen.
    pub(crate) name: Option<String>,
    /// Why there is no reply; raw.
    pub(crate) error: Option<String>,
}

/// What is known of those who answer, waiting to be looked at. As many as may be asked at once.
const FOUND: usize = 256;

pub(super) async fn answer(node: Node, mut request: Request) -> Outcome {
    let spread: Spread = parse(request.body())?;
    let kind = Kind::new(&spread.kind).map_err(|error| CommandError::usage(format!("KIND: {error}")))?;
    let (found, mut news) = mpsc::channel(FOUND);
    let scout = Scout { node: node.clone(), kind, found };
    let mut tasks = JoinSet::new();
    if spread.to.is_empty() {
        scout::call_paired(&node)?;
        tasks.spawn(scout.connected(spread.anyone));
    } else {
        tasks.spawn(scout.named(spread.to.clone()));
    }
    let mut work = Work { node: &node, kind, deal: Deal::new(!spread.unordered), asking: JoinSet::new() };
    let (mut more, mut trouble, mut anybody) = (true, None, false);
    let mut since = None;
    loop {
        work.begin();
        while let Some((line, answer)) = work.deal.hand_over() {
            hand_over(&node, &request, line, answer).await?;
        }
        if !more && work.deal.is_empty() {
            return Ok(());
        }
        let reading = more && work.deal.has_room();
        since = work.deal.stands_still().then(|| since.unwrap_or_else(Instant::now));
        let over = since.map(|since| since + within(spread.timeout_ms));
        tokio::select! {
            biased;
            () = node.ends() => return Err(CommandError::failed("the running peer was stopped")),
            Some(ended) = work.asking.join_next() => work.ended(ended),
            Some(found) = news.recv() => match found {
                Found::Answers(peer, answering) => {
                    anybody |= answering.jobs > 0;
                    work.deal.seat(peer, answering.jobs, answering.free);
                }
                Found::Unreachable(error) => trouble = Some(error),
                Found::Hopeless(error) => return Err(error),
            },
            message = request.next(), if reading => match message {
                Some(message) => work.deal.take(message.body),
                None => more = false,
            },
            () = until(over) => {
                since = None;
                let error = scout::nobody(&kind, !spread.to.is_empty(), trouble.take());
                if !anybody {
                    return Err(error);
                }
                // The rest has an end too: what is known is handed over, what is not is told line by line.
                work.give_up(&error);
                while let Some((line, answer)) = work.deal.hand_over() {
                    hand_over(&node, &request, line, answer).await?;
                }
                if !work.deal.somebody_answers() {
                    return Err(error);
                }
            }
        }
    }
}

async fn until(over: Option<Instant>) {
    match over {
        Some(over) => tokio::time::sleep_until(over).await,
        None => std::future::pending().await,
    }
}

/// Gives the client what came of a line.
async fn hand_over(node: &Node, request: &Request, line: u64, answer: Answer) -> Outcome {
    let name = answer.peer.map(|peer| name(node, peer));
    let error = answer.reply.as_ref().err().cloned();
    reply(request, DONE, &Done { line: line + 1, peer: answer.peer, name, error }).await?;
    match answer.reply {
        Ok(body) => send(request, REPLY, body).await,
        Err(_) => Ok(()),
    }
}

fn name(node: &Node, peer: PeerId) -> String {
    if peer == node.state.id {
        return compeer::text::escape(&node.state.name).into_owned();
    }
    let nickname = node.connection(peer).and_then(|connection| connection.name);
    node.state.shown_name(peer, nickname.as_deref())
}

/// Lines, and the peers that are being asked for them.
struct Work<'a> {
    node: &'a Node,
    kind: Kind,
    deal: Deal,
    /// Aborted when this is dropped, by which the requests are cancelled.
    asking: JoinSet<(u64, PeerId, Ending)>,
}

impl Work<'_> {
    /// Asks whoever has room.
    fn begin(&mut self) {
        while let Some(Dealt { line, peer, body }) = self.deal.next() {
            let call = self.node.peer.request(peer, self.kind, body).no_timeout();
            self.asking.spawn(async move {
                let ending = match call.await {
                    Ok(replies) => whole(replies).await,
                    Err(error) => ending(error),
                };
                (line, peer, ending)
            });
        }
    }

    fn ended(&mut self, ended: Result<(u64, PeerId, Ending), tokio::task::JoinError>) {
        // A task that panicked is our own mistake, and its line would be waited for without end.
        let (line, peer, ending) =
            ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        self.deal.ended(line, peer, ending);
    }

    /// Gives up on the lines that wait.
    fn give_up(&mut self, error: &CommandError) {
        let node = self.node;
        self.deal.give_up(|tried| match tried.last() {
            Some(lost) => {
                format!("{} was lost half-way, and may have run it; nobody else answers", name(node, *lost))
            }
            None => error.message.clone(),
        });
    }
}

/// All replies of one request as one.
async fn whole(mut replies: Replies) -> Ending {
    let mut all: Vec<Bytes> = Vec::new();
    let mut length = 0;
    while let Some(reply) = replies.next().await {
        match reply {
            Ok(reply) => {
                length += reply.body.len();
                if length > limits::MAX_BODY as usize {
                    return Ending::Answered(Err(format!(
                        "the replies have more than {} bytes",
                        limits::MAX_BODY
                    )));
                }
                all.push(reply.body);
            }
            Err(error) => return ending(error),
        }
    }
    if all.len() == 1 {
        return Ending::Answered(Ok(all.remove(0)));
    }
    Ending::Answered(Ok(all
        .into_iter()
        .fold(BytesMut::new(), |mut whole, body| {
            whole.extend_from_slice(&body);
            whole
        })
        .freeze()))
}

/// What an error means for a line.
fn ending(error: RequestError) -> Ending {
    match error {
        RequestError::Disconnected | RequestError::TimedOut | RequestError::Cancelled => Ending::Lost,
        RequestError::Busy
        | RequestError::NoHandler
        | RequestError::Denied
        | RequestError::Unreachable(_)
        | RequestError::Unroutable(_) => Ending::NotBegun,
        RequestError::HandlerFailed(words) => Ending::Answered(Err(words)),
        error => Ending::Answered(Err(error.to_string())),
    }
}
