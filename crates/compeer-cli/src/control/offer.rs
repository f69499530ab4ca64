//! `send` and `share`: files offered by this node, and who fetches them.
//!
//! The request stays open while the files are offered for the command that asked: it hears how far hashing is, then
//! what to type elsewhere, then who comes and who has it all. One that is for a person is told of first and hashed
//! meanwhile, if that takes long. When the command goes away, the offer ends with it; one that is to be kept belongs to the
//! node, and its request ends once it is made.

use super::{parse, reply, ticket};
use crate::console::Report;
use crate::exit::{CommandError, Outcome};
use crate::node::asked::{self, Ask};
use crate::node::codes::{CodeOffer, offer_code};
use crate::node::{Node, blame};
use crate::progress::{self, Phase, Step};
use crate::{size, target};
use compeer::{Kind, PeerAddr, PeerId, Request, ShareTicket, Ticket, text};
use compeer_share::meet;
use compeer_share::{Access, ShareEvent, ShareId, ShareInfo, Shares};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

pub(crate) const KIND: &str = "offer";
/// How far hashing is: a [`Step`](crate::progress::Step).
pub(crate) const STEP: Kind = Kind::from_static("step");
/// The files are offered: an [`Offered`].
pub(crate) const OFFERED: Kind = Kind::from_static("offered");
/// Something happened to the offer: an [`OfferEvent`].
pub(crate) const EVENT: Kind = Kind::from_static("event");

/// Offer these files.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Offer {
    /// Absolute: the node may be another process, somewhere else.
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) exclude: Vec<String>,
    pub(crate) name: Option<String>,
    /// To these peers alone.
    pub(crate) to: Vec<String>,
    /// Ask those peers to fetch it.
    pub(crate) ask: bool,
    /// Whoever asks may find it.
    pub(crate) public: bool,
    /// Make a code that can be spoken.
    pub(crate) code: bool,
    /// For many receivers, not one.
    pub(crate) many: bool,
    /// It may be fetched before it is hashed, where that takes long.
    pub(crate) draft: bool,
    /// It outlives the command and the node.
    pub(crate) keep: bool,
    /// Bytes per second, all receivers together.
    pub(crate) limit: Option<u64>,
    /// What to put in the ticket in place of the node's addresses.
    pub(crate) advertise: Vec<String>,
}

/// What is offered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Offered {
    pub(crate) event: String,
    /// What `share --stop` takes.
    pub(crate) id: u64,
    pub(crate) content: String,
    /// `content` is that of a draft until an event says what it is.
    pub(crate) hashed: bool,
    /// Raw.
    pub(crate) name: String,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// To be spoken; dead after one receiver, or an hour.
    pub(crate) code: Option<String>,
    pub(crate) ticket: String,
    /// What was left out, and why; raw.
    pub(crate) skipped: Vec<String>,
    /// Who was asked to fetch it.
    pub(crate) asked: Vec<Asked>,
    /// Only programs of this machine can reach the node.
    pub(crate) local: bool,
    /// Where it is, for a `get` that does not find the code.
    #[serde(default)]
    pub(crate) from: Option<String>,
}

/// A peer that was asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) peer: PeerId,
    /// Ready for the screen.
    pub(crate) name: String,
    /// Its rules accept it: it is being fetched.
    pub(crate) accepted: bool,
}

impl Offered {
    /// One line: what it is.
    pub(crate) fn summary(&self) -> String {
        size::share(&text::escape(&self.name), self.files, self.bytes)
    }
}

impl Report for Offered {
    fn human(&self) -> String {
        let lines = self.code.iter().chain([&self.ticket]);
        lines.map(|word| format!("compeer get {word}")).collect::<Vec<_>>().join("\n")
    }
}

/// One thing that happened to an offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum OfferEvent {
    /// A peer begins to fetch.
    Receiver { peer: PeerId, name: String },
    /// A peer has all of it that it wanted.
    Received { peer: PeerId, name: String },
    /// A peer went away before that.
    ReceiverLeft { peer: PeerId, name: String, bytes: u64 },
    /// Somebody tried a wrong code.
    WrongCode { peer: PeerId, name: String, dead: bool },
    /// The code is too old.
    CodeExpired {},
    /// It is hashed: this is its content.
    Hashed { content: String },
    /// A file is no longer what was offered; raw.
    Changed { path: String },
    /// It was hashed anew: whoever wants it as it is now needs this ticket; the code is over.
    Renewed { ticket: String },
}

impl Report for OfferEvent {
    fn human(&self) -> String {
        match self {
            OfferEvent::Receiver { name, .. } => format!("* {name} has come for it"),
            OfferEvent::Received { name, .. } => format!("* {name} has it"),
            OfferEvent::ReceiverLeft { name, bytes: 0, .. } => format!("* {name} went away again"),
            OfferEvent::ReceiverLeft { name, bytes, .. } => {
                format!("* {name} went away after {}; it can go on later", size::show(*bytes))
            }
            OfferEvent::WrongCode { name, dead: true, .. } => {
                format!("* {name} tried a wrong code: this code is dead now")
            }
            OfferEvent::WrongCode { name, .. } => format!("* {name} tried a wrong code"),
            OfferEvent::Hashed { .. } => "* all of it is hashed".to_string(),
            OfferEvent::CodeExpired {} => "* the code is an hour old and dead now".to_string(),
            OfferEvent::Renewed { ticket } => {
                format!("* it was hashed anew, and the code is over; as it is now:\ncompeer get {ticket}")
            }
            OfferEvent::Changed { path } => {
                format!("* {} was changed and is no longer what was offered", text::escape(path))
            }
        }
    }
}

/// How long a peer that is asked may take: its screen has to show it.
const ASK_WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn answer(node: Node, request: Request) -> Outcome {
    let offer: Offer = parse(request.body())?;
    node.listen()?;
    let wanted = wanted(&node, &offer)?;
    let progress = Arc::new(compeer_share::Progress::default());
    // The client may go away meanwhile.
    let _stop = StopHashing(progress.clone());
    let info = made(&node, wanted, &progress, &request).await?;
    let ends = Ends { shares: node.shares.clone(), id: info.id };
    // From before anybody is asked: a quick one is done before the next line.
    let Some(mut events) = node.shares.events(info.id) else {
        return Err(CommandError::failed("it was stopped"));
    };
    let (offered, mut code) = offered(&node, &offer, &info).await?;
    reply(&request, OFFERED, &offered).await?;
    if offer.keep {
        // Its own from now on.
        std::mem::forget(ends);
        return Ok(());
    }
    let mut receivers = Receivers::default();
    let mut hashed = info.hashed;
    let mut ticks = tokio::time::interval(progress::EVERY);
    loop {
        let meeting = async {
            match &mut code {
                Some(code) => code.next().await,
                None => std::future::pending().await,
            }
        };
        let told = tokio::select! {
            biased;
            event = events.recv() => match event {
                Ok(ShareEvent::NotHashed { why }) => {
                    if !receivers.0.is_empty() {
                        // They are told too, if they ask now.
                        tokio::time::sleep(compeer_share::limits::FAREWELL).await;
                    }
                    return Err(CommandError::failed(text::escape(&why)));
                }
                Ok(ShareEvent::Hashed { content }) => {
                    hashed = true;
                    Some(OfferEvent::Hashed { content: content.to_string() })
                }
                Ok(event) => {
                    let name = match event {
                        ShareEvent::Started { peer } | ShareEvent::Finished { peer } => {
                            node.state.name_of(peer).await
                        }
                        _ => String::new(),
                    };
                    receivers.told(event, name)
                }
                Err(RecvError::Lagged(_)) => {
                    // How hashing ended is told again.
                    if !hashed && let Some(again) = node.shares.events(info.id) {
                        events = again;
                    }
                    None
                }
                Err(RecvError::Closed) => {
                    return Err(CommandError::failed("it was stopped by `compeer share --stop`"));
                }
            },
            met = meeting => match met {
                Some(meet::OfferEvent::Wrong { peer, left }) => {
                    let name = node.state.name_of(peer).await;
                    Some(OfferEvent::WrongCode { peer, name, dead: left == 0 })
                }
                Some(meet::OfferEvent::Expired) => Some(OfferEvent::CodeExpired {}),
                Some(_) => None,
                None => {
                    code = None;
                    None
                }
            },
            _ = ticks.tick(), if !hashed => {
                reply(&request, STEP, &step(&progress)).await?;
                None
            }
        };
        if let Some(event) = told {
            if matches!(event, OfferEvent::Renewed { .. }) {
                // It leads to what is no more.
                code = None;
            }
            reply(&request, EVENT, &event).await?;
        }
    }
}

/// What to ask of the library.
fn wanted(node: &Node, offer: &Offer) -> Outcome<compeer_share::Offer> {
    let access = match (offer.public, offer.to.as_slice()) {
        (true, _) => Access::Public,
        (false, []) => Access::Ticket,
        (false, to) => Access::Only(to.iter().map(|peer| known(node, peer)).collect::<Outcome<_>>()?),
    };
    Ok(compeer_share::Offer {
        paths: offer.paths.clone(),
        exclude: offer.exclude.clone(),
        name: offer.name.clone(),
        access,
        keep: offer.keep,
        limit: offer.limit,
        draft_from: offer.draft.then_some(compeer_share::limits::WORTH_A_DRAFT),
    })
}

/// The id of a peer that only it can have.
fn known(node: &Node, typed: &str) -> Outcome<PeerId> {
    target::resolve(typed, &node.state.store)?.id.ok_or_else(|| {
        CommandError::usage(format!("whose key is at {typed} is not known yet"))
            .hint(format!("give that peer a name first:  compeer pair {typed}"))
    })
}

/// Offers the files, and tells how far hashing is as long as it has to be waited for.
async fn made(
    node: &Node,
    wanted: compeer_share::Offer,
    progress: &Arc<compeer_share::Progress>,
    request: &Request,
) -> Outcome<ShareInfo> {
    let work = node.shares.offer(wanted, progress.clone());
    tokio::pin!(work);
    let mut ticks = tokio::time::interval(progress::EVERY);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done.map_err(|error| blame::offer(&error)),
            _ = ticks.tick() => {
                if progress.total.load(Ordering::Relaxed) > 0 {
                    reply(request, STEP, &step(progress)).await?;
                }
            }
        }
    }
}

/// How far hashing is.
fn step(progress: &compeer_share::Progress) -> Step {
    let (done_bytes, total_bytes) =
        (progress.done.load(Ordering::Relaxed), progress.total.load(Ordering::Relaxed));
    Step { phase: Phase::Hashing, done_bytes, total_bytes, sources: 0, window_bytes: 0, wait_s: None }
}

/// What to tell the client; asks peers on the way.
async fn offered(node: &Node, offer: &Offer, info: &ShareInfo) -> Outcome<(Offered, Option<CodeOffer>)> {
    let (ticket, local) = reachable(info, offer)?;
    let mut asked = Vec::new();
    for typed in offer.to.iter().filter(|_| offer.ask) {
        asked.push(ask(node, typed, info, &ticket).await?);
    }
    let code = match offer.code {
        true => Some(offer_code(node, &Ticket::Share(ticket.clone()), offer.many).await?),
        false => None,
    };
    let offered = Offered {
        event: "offered".into(),
        id: info.id,
        content: info.content.to_string(),
        hashed: info.hashed,
        name: info.name.clone(),
        files: info.files,
        bytes: info.bytes,
        code: code.as_ref().map(CodeOffer::code),
        ticket: ticket.to_string(),
        skipped: info.skipped.clone(),
        asked,
        local,
        from: ticket.peers.first().and_then(|peer| peer.addrs.first()).map(ToString::to_string),
    };
    Ok((offered, code))
}

/// The ticket with addresses that are of use to others, if there are any; whether there are none.
fn reachable(info: &ShareInfo, offer: &Offer) -> Outcome<(ShareTicket, bool)> {
    let ticket: ShareTicket =
        info.ticket.parse().map_err(|error| CommandError::failed(format!("the ticket: {error}")))?;
    let mut peers = ticket.peers.clone();
    if !offer.advertise.is_empty() {
        let addrs = ticket::addresses(&offer.advertise)?;
        peers.iter_mut().for_each(|peer| peer.addrs.clone_from(&addrs));
    }
    let local = |peer: &PeerAddr| peer.addrs.iter().all(|addr| addr.is_loopback());
    let all_local = peers.iter().all(local);
    if !all_local && offer.advertise.is_empty() {
        peers.iter_mut().for_each(|peer| peer.addrs.retain(|addr| !addr.is_loopback()));
    }
    Ok((ShareTicket::new(peers, ticket.root, ticket.secret), all_local))
}

/// Asks a peer to fetch it.
async fn ask(node: &Node, typed: &str, info: &ShareInfo, ticket: &ShareTicket) -> Outcome<Asked> {
    let reached = node.reach(typed).await?;
    let (name, ticket) = (info.name.clone(), ticket.to_string());
    let ask = Ask { name, files: info.files, bytes: info.bytes, ticket };
    let body = serde_json::to_vec(&ask).map_err(|error| CommandError::failed(error.to_string()))?;
    let call = node.peer.request(reached.id, asked::ASK, body).timeout(ASK_WITHIN);
    let answer = call.one().await.map_err(|error| {
        blame::request(&reached.name, &error).hint("it must be `up` there, and paired with this peer too")
    })?;
    let answer: asked::Reply = parse(&answer.body)?;
    Ok(Asked { peer: reached.id, name: reached.name, accepted: answer.accepted })
}

/// Those who fetch. Each may come on several streams at once; it comes and goes but once.
#[derive(Default)]
struct Receivers(BTreeMap<PeerId, Receiver>);

/// Bounded by the streams that are served at a time.
struct Receiver {
    name: String,
    streams: usize,
    bytes: u64,
}

impl Receivers {
    fn told(&mut self, event: ShareEvent, name: String) -> Option<OfferEvent> {
        match event {
            ShareEvent::Started { peer } => {
                if let Some(receiver) = self.0.get_mut(&peer) {
                    receiver.streams += 1;
                    return None;
                }
                self.0.insert(peer, Receiver { name: name.clone(), streams: 1, bytes: 0 });
                Some(OfferEvent::Receiver { peer, name })
            }
            ShareEvent::Finished { peer } => {
                let known = self.0.remove(&peer);
                Some(OfferEvent::Received { peer, name: known.map_or(name, |known| known.name) })
            }
            ShareEvent::Left { peer, bytes } => {
                let receiver = self.0.get_mut(&peer)?;
                receiver.streams = receiver.streams.saturating_sub(1);
                receiver.bytes += bytes;
                if receiver.streams > 0 {
                    return None;
                }
                let Receiver { name, bytes, .. } = self.0.remove(&peer)?;
                Some(OfferEvent::ReceiverLeft { peer, name, bytes })
            }
            ShareEvent::Changed { path } => Some(OfferEvent::Changed { path }),
            ShareEvent::Renewed { ticket } => Some(OfferEvent::Renewed { ticket }),
            _ => None,
        }
    }
}

/// Ends an offer when its command goes away.
struct Ends {
    shares: Shares,
    id: ShareId,
}

impl Drop for Ends {
    fn drop(&mut self) {
        // It is not kept, so nothing has to be written.
        let _ = self.shares.stop(self.id);
    }
}

/// Ends hashing when nobody waits for it any more.
struct StopHashing(Arc<compeer_share::Progress>);

impl Drop for StopHashing {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_on_two_streams_comes_once() {
        let peer = compeer::Identity::from_seed(&[1; 32]).peer_id();
        let mut receivers = Receivers::default();
        let mut told = |event| receivers.told(event, "bob".into());
        let bob = || "bob".to_string();
        assert_eq!(told(ShareEvent::Started { peer }), Some(OfferEvent::Receiver { peer, name: bob() }));
        assert_eq!(told(ShareEvent::Started { peer }), None);
        assert_eq!(told(ShareEvent::Left { peer, bytes: 7 }), None);
        let left = OfferEvent::ReceiverLeft { peer, name: bob(), bytes: 8 };
        assert_eq!(told(ShareEvent::Left { peer, bytes: 1 }), Some(left));
        assert_eq!(told(ShareEvent::Started { peer }), Some(OfferEvent::Receiver { peer, name: bob() }));
        assert_eq!(told(ShareEvent::Finished { peer }), Some(OfferEvent::Received { peer, name: bob() }));
        assert_eq!(told(ShareEvent::Left { peer, bytes: 0 }), None, "the stream on which it said so");
    }
}
