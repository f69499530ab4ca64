//! What other peers may ask of a node: `compeer/say`, `compeer/pair`, what it answers (`node/work.rs`), and for trying
//! things out `ECHO` and `NAME`.
//!
//! Every one is open to strangers, therefore none gives them anything: a text is shown with its author and bounded, a
//! pairing request is a line on the screen, of which one per peer and [`MAX_PENDING`](super::state::MAX_PENDING)
//! altogether wait.

use super::event::NodeEvent;
use super::speed;
use super::state::State;
use super::work;
use compeer::{Builder, Failure, Kind, PeerId, Request, classic};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A text to be shown; the reply, empty, says that it was.
pub(crate) const SAY: Kind = Kind::from_static("compeer/say");
/// "I have paired with you"; the reply says whether that is mutual.
pub(crate) const PAIR: Kind = Kind::from_static("compeer/pair");
pub(super) const ECHO: Kind = Kind::from_static("ECHO");
pub(super) const NAME: Kind = Kind::from_static("NAME");

/// Bytes of one text. More would push everything else off the screen; a file is not said but sent.
pub(crate) const MAX_SAY: usize = 64 * 1024;

/// The reply to [`PAIR`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PairReply {
    /// Whether this side has paired with the asker.
    pub(crate) paired: bool,
}

/// Registers what every node answers, and what only `up` does.
pub(crate) fn register(builder: Builder, state: &Arc<State>) -> Builder {
    let (say, pair, work) = (state.clone(), state.clone(), state.clone());
    let builder = builder
        .handle(SAY, move |request| on_say(say.clone(), request))
        .handle(PAIR, move |request| on_pair(pair.clone(), request))
        .handle(work::ANSWERS, move |request| work::on_answers(work.clone(), request));
    if state.role != super::Role::Up {
        return builder;
    }
    let (name, known) = (state.name.clone(), state.clone());
    let builder = speed::register(builder, move |peer| known.petname(peer).is_some());
    let builder = builder.handle_classic(ECHO, |request: classic::Request| async move {
        Ok::<_, Failure>(request.body().clone())
    });
    builder.handle(ECHO, |request: Request| async move { Ok::<_, Failure>(request.body().clone()) }).handle(
        NAME,
        move |_| {
            let name = name.clone();
            async move { Ok::<_, Failure>(name) }
        },
    )
}

async fn on_say(state: Arc<State>, request: Request) -> Result<(), Failure> {
    let text = std::str::from_utf8(request.body()).map_err(|_| Failure::new("a text must be UTF-8"))?;
    if text.len() > MAX_SAY {
        return Err(Failure::new(format!("a text has at most {MAX_SAY} bytes")));
    }
    let (peer, name) = meet(&state, &request);
    match state.feed.show(NodeEvent::Message { peer, name, text: text.to_string() }).await {
        true => Ok(()),
        false => Err(Failure::new("nobody is reading here: it was not shown")),
    }
}

/// Who asks, and how he is called on the screen. That he is connected is told before what he says.
pub(super) fn meet(state: &State, request: &Request) -> (PeerId, String) {
    let (peer, nickname) = (request.sender(), request.sender_name());
    if peer != state.id {
        let connection = request.connection();
        let addr = connection.path().map(ToString::to_string);
        state.connected(peer, nickname.as_deref(), addr, connection.dialled());
    }
    (peer, state.shown_name(peer, nickname.as_deref()))
}

async fn on_pair(state: Arc<State>, request: Request) -> Result<Vec<u8>, Failure> {
    let (peer, name) = meet(&state, &request);
    let known = state.store.peer(peer).map_err(|_| Failure::new("cannot look that up"))?;
    let paired = known.is_some_and(|known| known.petname.is_some());
    if paired {
        state.feed.tell(NodeEvent::PairedBack { peer, name });
    } else if state.ask(peer, request.sender_name()) {
        state.feed.tell(NodeEvent::PairAsked { peer, name });
    }
    serde_json::to_vec(&PairReply { paired }).map_err(|error| Failure::new(error.to_string()))
}
