//! Spoken codes at work: offering one to those near, and finding who offers one.
//!
//! [`offer_code`] looks around first, so that it takes a number that nobody near uses: a guess at somebody else's code
//! would kill it. [`find_code`] tries everybody near who announces the number, and goes on looking until its time is
//! over. What is passed on is a ticket, of a share or of a peer, which says what the code was for.

use super::{Node, blame};
use crate::duration;
use crate::exit::{CommandError, Exit, Outcome};
use compeer::discovery::{Change, Nearby};
use compeer::{Addr, Peer, PeerAddr, PeerId, Target, Ticket, text};
use compeer_share::Code;
use compeer_share::meet::{MeetError, MeetFailure, OfferEvent, Offering, meet};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Pause before one is tried again who could not be reached or was busy.
const AGAIN: Duration = Duration::from_millis(500);
/// How long others who announce the same number are waited for, after one of them did not know the code.
const OTHERS: Duration = Duration::from_millis(300);
/// Announcers of one number that are tried. Each of them may guess at the words of our code once: somebody who announces
/// every number under many keys is not to have many guesses. More than one honest one is rare.
const TRIED: usize = 4;

/// A code on offer; ends when dropped.
pub(crate) struct CodeOffer {
    offering: Option<Offering>,
    node: Node,
}

/// Offers a ticket to the first who knows a new code; with `many`, to all who do. The node listens and announces itself
/// for as long as the offer is held.
///
/// # Errors
///
/// No port can be had, or too many codes are offered.
pub(crate) async fn offer_code(node: &Node, payload: &Ticket, many: bool) -> Outcome<CodeOffer> {
    node.listen()?;
    let taken = node.near.numbers().await;
    let meeting = node.near.meeting();
    let cannot = |error: compeer_share::meet::CannotOffer| CommandError::failed(error.to_string());
    let code = meeting.new_code(&taken).map_err(cannot)?;
    let offering = meeting.offer(code, payload.to_string(), many).map_err(cannot)?;
    node.announce();
    Ok(CodeOffer { offering: Some(offering), node: node.clone() })
}

impl CodeOffer {
    /// The code, to be read out.
    pub(crate) fn code(&self) -> String {
        self.offering.as_ref().map(|offering| offering.code().to_string()).unwrap_or_default()
    }

    /// What happens next.
    pub(crate) async fn next(&mut self) -> Option<OfferEvent> {
        let event = self.offering.as_mut()?.next().await;
        // Its number may be of no use any more.
        self.node.announce();
        event
    }
}

impl Drop for CodeOffer {
    fn drop(&mut self) {
        self.offering = None;
        self.node.announce();
    }
}

/// What is looked for, ready for the screen: to be told before it is found.
pub(crate) fn looking_for(code: &Code, from: Option<&Addr>) -> String {
    match from {
        Some(addr) => format!("code {} at {addr}", code.number()),
        None => format!("whoever offers code {} on this network", code.number()),
    }
}

/// Finds who offers a code, at an address or near, and proves it: who that is, and the ticket.
///
/// # Errors
///
/// 3: nobody was found or reached in time. 1: the code is wrong, dead, used or too old. 4: the other side did not
/// know it itself.
pub(crate) async fn find_code(
    node: &Node,
    code: &Code,
    from: Option<Addr>,
    timeout: Duration,
) -> Outcome<(PeerId, Ticket)> {
    // What goes wrong with those who were found, the last of it.
    let trouble = Arc::new(Mutex::new(None));
    let found = async {
        match &from {
            Some(addr) => at(node, code, addr).await,
            None => near(node, code, &trouble).await,
        }
    };
    if let Ok(found) = tokio::time::timeout(timeout, found).await {
        return found;
    }
    let number = code.number();
    let looked = duration::show(timeout);
    Err(match (&from, trouble.lock().unwrap_or_else(PoisonError::into_inner).take()) {
        (Some(addr), _) => CommandError::unreachable(format!("{addr} did not answer within {looked}")),
        (None, Some(trouble)) => CommandError::unreachable(trouble),
        (None, None) => CommandError::unreachable(format!(
            "nobody on this network offers code {number} (looked for {looked} by multicast DNS)"
        ))
        .hint("is the other side still waiting, on the same network? If that carries no multicast, name the machine: --from HOST[:PORT]"),
    })
}

/// Tries the code at an address.
async fn at(node: &Node, code: &Code, addr: &Addr) -> Outcome<(PeerId, Ticket)> {
    loop {
        match meet(&node.peer, addr.clone(), code).await {
            Ok((peer, payload)) => return read(peer, &payload),
            Err(MeetError::Failed(MeetFailure::Busy)) => tokio::time::sleep(AGAIN).await,
            Err(MeetError::Connect(error)) => return Err(blame::connect(&addr.to_string(), false, &error)),
            Err(MeetError::NotOffering | MeetError::Failed(MeetFailure::Unknown)) => {
                return Err(CommandError::failed(format!("no code {} is offered at {addr}", code.number()))
                    .hint("is the other side still waiting?"));
            }
            Err(error) => return Err(verdict(&addr.to_string(), error)),
        }
    }
}

/// Tries the code at everybody near who announces its number.
async fn near(node: &Node, code: &Code, trouble: &Arc<Mutex<Option<String>>>) -> Outcome<(PeerId, Ticket)> {
    let number = code.number();
    let mut changes = node.near.discovery()?.changes();
    let mut tried = BTreeSet::new();
    let mut attempts = JoinSet::new();
    let mut wrong: Option<(CommandError, Instant)> = None;
    let begin = |attempts: &mut JoinSet<_>, to: PeerAddr, who: String| {
        attempts.spawn(attempt(node.peer.clone(), to, *code, who, trouble.clone()));
    };
    if node.near.meeting().numbers().contains(&number) {
        // Two commands of one home: the offer is this very node's.
        begin(&mut attempts, node.state.id.into(), "this peer".into());
    }
    loop {
        let over = wrong.as_ref().map_or_else(Instant::now, |(_, over)| *over);
        tokio::select! {
            biased;
            Some(done) = attempts.join_next() => match done {
                Ok(Ok((peer, payload))) => return read(peer, &payload),
                Ok(Err(error)) => wrong = Some((error, Instant::now() + OTHERS)),
                Err(error) => return Err(CommandError::failed(error.to_string())),
            },
            change = changes.next() => match change {
                Some(Change::Found(nearby)) if offers(&nearby, number, node) && tried.len() < TRIED => {
                    let who = node.state.shown_name(nearby.peer.id, nearby.name.as_deref());
                    if tried.insert(nearby.peer.id) {
                        begin(&mut attempts, nearby.peer, who);
                    }
                }
                Some(_) => {}
                None => return Err(CommandError::failed("nobody near can be heard any more")),
            },
            () = tokio::time::sleep_until(over), if wrong.is_some() && attempts.is_empty() => {
                if let Some((error, _)) = wrong {
                    return Err(error);
                }
            }
        }
    }
}

fn offers(nearby: &Nearby, number: u16, node: &Node) -> bool {
    nearby.numbers.contains(&number) && !node.peer.is_blocked(nearby.peer.id)
}

/// Tries one who announces the number, for as long as that costs no guess.
async fn attempt(
    peer: Peer,
    to: PeerAddr,
    code: Code,
    who: String,
    trouble: Arc<Mutex<Option<String>>>,
) -> Outcome<(PeerId, compeer::Bytes)> {
    loop {
        let reason = match meet(&peer, Target::Peer(to.clone()), &code).await {
            Ok(met) => return Ok(met),
            Err(MeetError::Connect(error)) => blame::connect(&who, false, &error).message,
            Err(
                error
                @ (MeetError::NotOffering | MeetError::Failed(MeetFailure::Busy | MeetFailure::Unknown)),
            ) => {
                format!("{who} announces code {}, and says: {error}", code.number())
            }
            Err(error) => return Err(verdict(&who, error)),
        };
        *trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
        tokio::time::sleep(AGAIN).await;
    }
}

/// Why the code led to nothing, for good.
fn verdict(who: &str, error: MeetError) -> CommandError {
    let exit = match &error {
        MeetError::Failed(MeetFailure::Unproven) => Exit::Verification,
        MeetError::Connect(_) | MeetError::Broken(_) => Exit::Unreachable,
        _ => Exit::Failed,
    };
    CommandError::new(exit, format!("{who}: {}", text::escape(&error.to_string())))
}

fn read(peer: PeerId, payload: &[u8]) -> Outcome<(PeerId, Ticket)> {
    let ticket = std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok());
    let ticket = ticket.ok_or_else(|| {
        CommandError::failed(
            "the code is right, but this version does not understand what the other side gave for it",
        )
        .hint("update compeer on both machines")
    })?;
    Ok((peer, ticket))
}

/// Reads a code that was typed. `None` when it is not meant to be one.
///
/// # Errors
///
/// It is meant to be one, and is none: which word is wrong, and what was meant.
pub(crate) fn typed(text: &str) -> Option<Outcome<Code>> {
    let text = text.trim();
    if !Code::looks_like(text) {
        return None;
    }
    match text.parse() {
        Ok(code) => Some(Ok(code)),
        // `7-eleven` is a host.
        Err(compeer_share::CodeError::Shape) => None,
        Err(error) => Some(Err(CommandError::usage(format!("{text}: {error}")))),
    }
}
