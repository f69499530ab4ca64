//! The node: the peer of one home, for as long as a process holds the home's lock.
//!
//! `up` runs one until it is told to stop; any other command runs one for its own length when no `up` holds the
//! home. The difference is the [`Role`]: only `up` listens, answers strangers and keeps connections.
//!
//! What is where: `node/state.rs` is what the node remembers and its handlers share, `node/feed.rs` carries events
//! to those who show them, `node/event.rs` is what can happen, `node/answers.rs` what other peers may ask of it,
//! `node/asked.rs` what paired peers would like us to fetch, `node/work.rs` what commands answer for it,
//! `node/overlay.rs` remembers the overlay between runs, `node/listen.rs` finds a port, `node/reach.rs` finds a peer, `node/blame.rs` turns the library's errors into exit
//! codes, `node/join.rs` keeps connections, `node/near.rs` knows who is near, `node/codes.rs` offers and finds codes,
//! `node/classic.rs` speaks with old programs, `node/speed.rs` measures the way to others.

pub(crate) mod answers;
pub(crate) mod asked;
pub(crate) mod blame;
pub(crate) mod classic;
pub(crate) mod codes;
pub(crate) mod event;
pub(crate) mod feed;
mod join;
pub(crate) mod listen;
pub(crate) mod near;
mod overlay;
mod reach;
pub(crate) mod speed;
pub(crate) mod state;
mod watch;
pub(crate) mod work;

use crate::exit::{CommandError, Outcome};
use crate::home::{Home, key};
use crate::names;
use crate::store::Store;
use compeer::{Addr, Peer, PeerAddr, limits};
use compeer_share::Shares;
use compeer_share::classic::Classic;
use listen::{Listening, Relations};
use near::Near;
use serde::{Deserialize, Serialize};
use state::State;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long leaving may take; the library gives the goodbyes 2 s.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);

/// What a lock holder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// `compeer up`: listens, shows, keeps connections.
    Up,
    /// Any other command, for its own length: dials only.
    Alone,
}

/// What a node is to be.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) role: Role,
    pub(crate) listening: Listening,
    /// Where the user wants `up` to listen, if he has said so once and for all.
    pub(crate) usual: Vec<SocketAddr>,
    pub(crate) advertise: Vec<Addr>,
    pub(crate) name: Option<String>,
    /// Whether the name holds for later starts too; one from the settings file holds as long as it stands there.
    pub(crate) remember_name: bool,
    pub(crate) max_peers: usize,
    /// A throw-away peer: gets a name that says so.
    pub(crate) temporary: bool,
    /// Where to listen for programs of the classic protocol.
    pub(crate) classic: Vec<SocketAddr>,
    /// Where to tell others near and to hear of them; `None`: not at all.
    pub(crate) discovery: Option<compeer::discovery::Settings>,
    /// Whether to take part in the overlay.
    pub(crate) overlay: bool,
}

impl Settings {
    /// A node that dials only. Whether it looks around is up to the user: see [`Gateway::open`](crate::gateway).
    pub(crate) fn alone() -> Settings {
        Settings {
            role: Role::Alone,
            listening: Listening::Nowhere,
            usual: Vec::new(),
            advertise: Vec::new(),
            name: None,
            remember_name: false,
            max_peers: 0,
            temporary: false,
            classic: Vec::new(),
            discovery: None,
            overlay: false,
        }
    }
}

/// A running node. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) peer: Peer,
    pub(crate) shares: Shares,
    pub(crate) state: Arc<State>,
    pub(crate) near: Near,
    /// Sharing with old programs, where that is asked for.
    pub(crate) classic: Option<Classic>,
    /// See [`Settings`].
    usual: Arc<[SocketAddr]>,
}

impl Node {
    /// Starts the peer of a home. Only for who holds the home's lock.
    ///
    /// # Errors
    ///
    /// The key or the database cannot be used, or no port can be had.
    pub(crate) async fn start(home: &Home, settings: Settings) -> Outcome<Node> {
        let identity = key::load_or_create(home)?;
        let store = Store::open(&home.database_path())?;
        let name = nickname(&settings, &store, &identity.peer_id())?;
        let id = identity.peer_id();
        let state = Arc::new(State::new(home, store, settings.role, id, name)?);
        let relations = Relations::of(&state.store)?;
        let peer = listen::spawn(&state, identity.clone(), &settings, &relations).await?;
        let events = peer.events();
        let near = Near::new(&peer, settings.discovery);
        let shares = Shares::attach(&peer, identity, compeer_share::Store::at(home.share_path()));
        let classic = match settings.classic.is_empty() {
            true => None,
            false => Some(classic::attach(&peer, &shares, &settings)?),
        };
        let node = Node { peer, shares, state, near, classic, usual: settings.usual.into() };
        asked::register(&node)?;
        node.remember_overlay()?;
        tokio::spawn(watch::run(node.clone(), events));
        if settings.role == Role::Up {
            node.keep_paired()?;
            node.be_near();
            let restoring = node.clone();
            tokio::spawn(async move { restoring.restored().await });
        }
        Ok(node)
    }

    /// This peer and where it may be reached, never by loopback alone.
    ///
    /// # Errors
    ///
    /// No address but loopback.
    pub(crate) fn reachable(&self, advertise: &[Addr]) -> Outcome<PeerAddr> {
        let mut own = self.peer.addr();
        if advertise.is_empty() {
            own.addrs.retain(|addr| !addr.is_loopback());
        } else {
            // What the user says of the way to this machine is so, loopback included (a tunnel may end there).
            own.addrs = advertise.to_vec();
        }
        own.addrs.truncate(limits::MAX_ADDRS);
        if own.addrs.is_empty() {
            return Err(CommandError::failed("this machine has no address that others can reach")
                .hint("connect it to a network, or name an address with --advertise HOST[:PORT]"));
        }
        Ok(own)
    }

    /// Waits until what was shared is shared again; begins with it, if nobody has.
    pub(crate) async fn restored(&self) {
        self.state.restored.get_or_init(|| self.restore()).await;
    }

    /// Shares again what was shared, and says what cannot be.
    async fn restore(&self) {
        let message = match self.shares.restore().await {
            Ok(failed) => {
                for (name, error) in failed {
                    let message = format!("{name} is not shared: {error}");
                    self.state.feed.tell(event::NodeEvent::Trouble { message });
                }
                return;
            }
            Err(error) => format!("nothing is shared: {error}"),
        };
        self.state.feed.tell(event::NodeEvent::Trouble { message });
    }

    /// Waits until this node is about to stop.
    pub(crate) async fn ends(&self) {
        let mut stop = self.state.stop.subscribe();
        tokio::select! {
            biased;
            () = self.state.feed.closed() => {}
            // The sender lives in the node.
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    /// Says goodbye to everybody and stops.
    pub(crate) async fn leave(self) {
        self.save_overlay();
        self.near.leave().await;
        if let Some(classic) = &self.classic {
            // Who does not hear it notices when we are called in vain.
            let _ = tokio::time::timeout(LEAVE_WITHIN, classic.leave()).await;
        }
        // Who does not hear it in time notices when the socket closes.
        let _ = tokio::time::timeout(LEAVE_WITHIN, self.peer.shutdown()).await;
        self.state.store.close();
    }
}

/// The name to tell others: the one asked for, which is then remembered, the remembered one, or the default.
fn nickname(settings: &Settings, store: &Store, id: &compeer::PeerId) -> Outcome<String> {
    if let Some(name) = &settings.name {
        names::check_nickname(name).map_err(CommandError::usage)?;
        let name = name.trim();
        if settings.remember_name {
            store.set("name", name)?;
        }
        return Ok(name.to_string());
    }
    if settings.temporary {
        return Ok(format!("temp-{}", &id.to_string()[..4]));
    }
    Ok(match store.setting("name")? {
        Some(name) => names::fit_nickname(&name),
        None => names::default_nickname(),
    })
}
