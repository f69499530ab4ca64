//! `spread`: many requests of one kind, each asked of whoever has room for it.
//!
//! The client sends the lines, this side deals them to peers (`spread/deal.rs`) that `spread/scout.rs` finds, and hands
//! the answers over. All that waits is here and bounded; a client that does not read what it gets, or a line that takes
//! long, in the end stops the reading of lines. A peer that cannot be asked ends nothing but its own part.

mod deal;
mod scout;

use super::{parse, reply, send, within};
use crate::exit::{CommandError, Outcome};
use crate::limits::SPREAD_REPLIES;
use crate::node::Node;
use bytes::BytesMut;
use compeer::{Kind, Message, PeerId, Replies, Request, RequestError, limits};
use deal::{Answer, Deal, Dealt, Ending, Pace};
use scout::{Found, Scout};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::Instant;

pub(crate) const KIND: &str = "spread";
/// One line, from the client.
pub(crate) const LINE: Kind = Kind::from_static("line");
/// In place of a line that cannot be asked, from the client: why not.
pub(crate) const REFUSED: Kind = Kind::from_static("refused");
/// A peer takes no part: a [`CommandError`] that says why.
pub(crate) const APART: Kind = Kind::from_static("apart");
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
    /// After how long a line is asked of another peer too; if not set, that depends on how long lines take.
    pub(crate) overdue_ms: Option<u64>,
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
    let mut work = Work::new(&node, kind, &spread);
    let (mut more, mut trouble, mut anybody, mut apart) = (true, None, false, 0);
    loop {
        work.begin();
        while let Some(peer) = work.deal.left_out() {
            reply(&request, APART, &scout::refuses(&name(&node, peer), &kind)).await?;
        }
        while let Some((line, answer)) = work.deal.hand_over() {
            hand_over(&node, &request, line, answer).await?;
            work.deal.was_held_up(work.now());
        }
        if !more && work.deal.is_empty() {
            return Ok(());
        }
        let (reading, wakes) = (more && work.deal.has_room(), work.wakes());
        tokio::select! {
            biased;
            () = node.ends() => return Err(CommandError::failed("the running peer was stopped")),
            Some(ended) = work.asking.join_next() => work.ended(ended),
            Some(found) = news.recv() => match found {
                Found::Answers(peer, answering) => {
                    if answering.jobs > 0 {
                        // What was the trouble with others comes again if it lasts.
                        (anybody, trouble) = (true, None);
                    }
                    work.deal.seat(peer, answering.jobs, answering.free);
                }
                Found::Unreachable(error) => trouble = Some(error),
                Found::Hopeless(error) => {
                    apart += 1;
                    if apart == spread.to.len() && !anybody {
                        return Err(error);
                    }
                    reply(&request, APART, &error).await?;
                    trouble = Some(error);
                }
            },
            message = request.next(), if reading => match message {
                Some(message) => work.take(message),
                None => more = false,
            },
            () = until(wakes) => {}
        }
        if work.deal.is_in_vain(work.now()) {
            let error = match anybody {
                false => return Err(scout::nobody(&kind, !spread.to.is_empty(), trouble)),
                true => scout::in_vain(&kind, within(spread.timeout_ms), trouble.take()),
            };
            // This has an end too: what is known is handed over, what is given up is told line by line.
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

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
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

/// Who was asked for which line, and how that ended.
type Asked = (u64, PeerId, Ending);

/// Lines, and the peers that are being asked for them.
struct Work<'a> {
    node: &'a Node,
    kind: Kind,
    began: Instant,
    deal: Deal,
    /// Aborted when this is dropped, by which the requests are cancelled.
    asking: JoinSet<Asked>,
    /// By line and peer, to cancel one.
    tasks: BTreeMap<(u64, PeerId), AbortHandle>,
}

impl Work<'_> {
    fn new<'a>(node: &'a Node, kind: Kind, spread: &Spread) -> Work<'a> {
        let pace = Pace::new(spread.overdue_ms.map(within), within(spread.timeout_ms));
        let deal = Deal::new(!spread.unordered, pace);
        let (asking, tasks) = (JoinSet::new(), BTreeMap::new());
        Work { node, kind, began: Instant::now(), deal, asking, tasks }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// When there is something to do though nothing has happened.
    fn wakes(&self) -> Option<Instant> {
        self.began.checked_add(self.deal.wakes(self.now())?)
    }

    /// Takes in what the client sent.
    fn take(&mut self, message: Message) {
        match message.kind == REFUSED {
            true => self.deal.refuse(String::from_utf8_lossy(&message.body).into_owned()),
            false => self.deal.take(message.body, self.now()),
        }
    }

    /// Asks whoever has room.
    fn begin(&mut self) {
        let now = self.now();
        while let Some(Dealt { line, peer, body }) = self.deal.next(now) {
            let call = self.node.peer.request(peer, self.kind, body).no_timeout();
            let task = self.asking.spawn(async move {
                let ending = match call.await {
                    Ok(replies) => whole(replies).await,
                    Err(error) => ending(error),
                };
                (line, peer, ending)
            });
            self.tasks.insert((line, peer), task);
        }
    }

    fn ended(&mut self, ended: Result<Asked, JoinError>) {
        let (line, peer, ending) = match ended {
            Ok(ended) => ended,
            // Another peer was faster.
            Err(error) if error.is_cancelled() => return,
            // Our own mistake, and the line would be waited for without end.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        self.tasks.remove(&(line, peer));
        for other in self.deal.ended(line, peer, ending, self.now()) {
            if let Some(task) = self.tasks.remove(&(line, other)) {
                task.abort();
            }
        }
    }

    /// Gives up on lines that wait.
    fn give_up(&mut self, error: &CommandError) {
        let (node, now) = (self.node, self.now());
        self.deal.give_up(now, |tried| match tried.last() {
            Some(lost) => {
                format!("{} did not finish it, and may have run it; nobody else answers", name(node, *lost))
            }
            None => error.message.clone(),
        });
    }
}

/// All replies of one request as one.
async fn whole(mut replies: Replies) -> Ending {
    let (mut whole, mut count) = (BytesMut::new(), 0);
    while let Some(reply) = replies.next().await {
        let body = match reply {
            Ok(reply) => reply.body,
            Err(error) => return ending(error),
        };
        count += 1;
        if count > SPREAD_REPLIES {
            return Ending::Answered(Err(format!("more than {SPREAD_REPLIES} replies")));
        }
        if whole.len() + body.len() > limits::MAX_BODY as usize {
            return Ending::Answered(Err(format!("the replies have more than {} bytes", limits::MAX_BODY)));
        }
        // Most have one, which need not be copied.
        whole = match whole.is_empty() {
            true => BytesMut::from(body),
            false => {
                whole.extend_from_slice(&body);
                whole
            }
        };
    }
    Ending::Answered(Ok(whole.freeze()))
}

/// What an error means for a line.
fn ending(error: RequestError) -> Ending {
    match error {
        // It may have run in part.
        RequestError::Disconnected
        | RequestError::CircuitBroke(_)
        | RequestError::TimedOut
        | RequestError::Cancelled => Ending::Lost,
        RequestError::Busy
        | RequestError::NoHandler
        | RequestError::Denied
        | RequestError::Unreachable(_)
        | RequestError::Unroutable(_) => Ending::NotBegun,
        RequestError::HandlerFailed(words) => Ending::Answered(Err(words)),
        error => Ending::Answered(Err(error.to_string())),
    }
}
