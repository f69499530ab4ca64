//! `pair` and `forget`: give a peer a petname, and take it away again.
//!
//! Pairing is one-sided: it changes this side alone, at once. The other side is told, and asked to do the same. By a
//! spoken code both sides do it at once (`pair/code.rs`).

pub(crate) mod code;

use crate::console::Report;
use crate::exit::{CommandError, Outcome};
use crate::names;
use crate::node::Node;
use crate::node::answers::{PAIR, PairReply};
use crate::node::asked;
use crate::node::state::wall_seconds;
use crate::target;
use compeer::{Addr, PeerAddr, PeerId, limits, text};
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub(crate) const KIND: &str = "pair";
pub(crate) const FORGET: &str = "forget";

/// How long the other side gets to answer that it was told.
const TELL_WITHIN: Duration = Duration::from_secs(5);

/// Pair with that peer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pair {
    pub(crate) peer: String,
    /// The name the user wants for it.
    pub(crate) petname: Option<String>,
    /// Where to fetch what it sends, without asking; empty: ask again.
    pub(crate) accept: Option<String>,
}

/// It is paired.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Paired {
    pub(crate) event: String,
    pub(crate) peer: PeerId,
    pub(crate) name: String,
    /// Whether the other side has paired too; `None` if it could not be told.
    pub(crate) mutual: Option<bool>,
    /// This side's id, for the line to type on the other side.
    pub(crate) own: PeerId,
    /// Where what it sends is fetched to without asking; raw.
    pub(crate) accept: Option<String>,
    /// The name it would have got, if another peer has that already.
    #[serde(default)]
    pub(crate) taken: Option<String>,
}

impl Report for Paired {
    fn prose(&self) -> bool {
        true
    }

    fn human(&self) -> String {
        let done = format!("{} ({}) is paired: its name suffices from now on", self.name, self.peer.short());
        let done = match &self.taken {
            Some(taken) => {
                format!("{done}\nanother peer is called {taken} already, so this one is {}", self.name)
            }
            None => done,
        };
        let done = match self.mutual {
            Some(true) => format!("{done}; it has paired with you too"),
            Some(false) => format!(
                "{done}\nits `compeer up` was asked to do the same; type there:  compeer pair {}",
                self.own
            ),
            None => format!("{done}\nto do the same there, type:  compeer pair {}", self.own),
        };
        match &self.accept {
            Some(directory) => {
                format!("{done}\nwhat it sends is fetched to {} without asking", text::escape(directory))
            }
            None => done,
        }
    }
}

pub(super) async fn answer(node: Node, pair: Pair) -> Outcome<Paired> {
    check(pair.petname.as_deref())?;
    let target = target::resolve(&pair.peer, &node.state.store)?;
    if let (Some(id), Some(accept)) = (target.id, &pair.accept)
        && let Some(name) = node.state.petname(id).filter(|_| pair.petname.is_none())
    {
        // Paired already: this changes a rule of ours and needs nobody.
        asked::set_rule(&node, id, accept)?;
        return Ok(done(&node, id, (name, None), Some(true)));
    }
    let reached = node.reach(&pair.peer).await?;
    if reached.id == node.state.id {
        return Err(CommandError::usage("that is this peer itself"));
    }
    let addrs = target::resolve(&pair.peer, &node.state.store)?.addrs;
    let named = enter(&node, reached.id, reached.nickname.as_deref(), pair.petname.as_deref(), addrs)?;
    if let Some(accept) = &pair.accept {
        asked::set_rule(&node, reached.id, accept)?;
    }
    let mutual = tell(&node, reached.id).await;
    Ok(done(&node, reached.id, named, mutual))
}

fn done(node: &Node, peer: PeerId, (name, taken): (String, Option<String>), mutual: Option<bool>) -> Paired {
    let accept = asked::rule(node, peer).ok().flatten().map(|directory| directory.display().to_string());
    Paired { event: "paired".into(), peer, name, mutual, own: node.state.id, accept, taken }
}

/// Whether the user's name for a peer can be one.
fn check(petname: Option<&str>) -> Outcome {
    let Some(name) = petname else { return Ok(()) };
    names::check_petname(name).map_err(|error| CommandError::usage(format!("--as {name:?}: {error}")))
}

/// Pairs with a peer that is connected, which may be found at these addresses; the name it has from now on, and the one
/// that it would have got if another peer had not got that.
fn enter(
    node: &Node,
    id: PeerId,
    nickname: Option<&str>,
    petname: Option<&str>,
    mut addrs: Vec<Addr>,
) -> Outcome<(String, Option<String>)> {
    let wanted = petname.map_or_else(|| names::petname_from(nickname.unwrap_or_default()), str::to_string);
    let name = node.state.store.pair(id, &wanted, petname.is_some())?;
    // Where it was said to be, then where it was dialled, then what it says of itself.
    for addr in node.known_addrs(id) {
        if !addrs.contains(&addr) {
            addrs.push(addr);
        }
    }
    addrs.truncate(limits::MAX_ADDRS);
    let texts: Vec<_> = addrs.iter().map(ToString::to_string).collect();
    node.state.store.seen(id, nickname, &texts, wall_seconds())?;
    node.state.set_petname(id, Some(name.clone()));
    node.state.answered(id);
    node.peer.know(id);
    node.keep(PeerAddr { id, addrs });
    // As the store makes a name unique: `bob-2`.
    let numbered = name.strip_prefix(&wanted).and_then(|rest| rest.strip_prefix('-')?.parse::<u32>().ok());
    Ok((name, numbered.map(|_| wanted)))
}

/// Tells the other side; what it said.
async fn tell(node: &Node, id: PeerId) -> Option<bool> {
    let call = node.peer.request(id, PAIR, Vec::new()).timeout(TELL_WITHIN);
    let reply = call.one().await.ok()?;
    let reply: PairReply = serde_json::from_slice(&reply.body).ok()?;
    Some(reply.paired)
}

/// Forget that peer, or the key of that address.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Forget {
    pub(crate) peer: String,
}

/// It is forgotten.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Forgotten {
    pub(crate) event: String,
    /// What was forgotten, ready for the screen.
    pub(crate) what: String,
}

impl Report for Forgotten {
    fn human(&self) -> String {
        format!("forgotten: {}", self.what)
    }
}

pub(super) async fn forget(node: Node, forget: Forget) -> Outcome<Forgotten> {
    let target = target::resolve(&forget.peer, &node.state.store)?;
    let event = "forgotten".to_string();
    if let Some(addr) = target.typed {
        return match node.state.store.unpin(&addr.to_string())? {
            true => Ok(Forgotten { event, what: format!("the key of {addr}") }),
            false => Err(CommandError::failed(format!("no key is known for {addr}"))),
        };
    }
    let known = target.id.map(|id| node.state.store.peer(id)).transpose()?.flatten();
    let Some(known) = known.filter(|known| known.petname.is_some()) else {
        return Err(CommandError::failed("that peer is not paired"));
    };
    node.state.store.unpair(known.id)?;
    node.state.set_petname(known.id, None);
    node.peer.forget(known.id);
    node.peer.release(known.id);
    Ok(Forgotten { event, what: known.petname.unwrap_or_else(|| known.id.short()) })
}
