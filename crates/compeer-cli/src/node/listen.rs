//! Where a node listens: on every interface at the port of old, or another one when that is taken.
//!
//! The port asked for is the remembered one, else the documented one (26673). If somebody else has it, a free one is
//! taken and remembered, because tickets and addresses given to others name it. A port the user typed himself is not
//! exchanged for another.

use super::state::State;
use super::{Settings, answers};
use crate::exit::{CommandError, Outcome};
use crate::store::Store;
use compeer::{Carry, Identity, Kademlia, Peer, PeerId, SpawnError, limits};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;

/// Tries to find a port that is free for both families. A guess; one suffices nearly always.
const TRIES: usize = 16;

/// What to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listening {
    /// Nowhere: dial only.
    Nowhere,
    /// Where the user wants `up` to listen; else on all interfaces, at the usual port.
    Usual,
    /// On all interfaces, at any free port, which is not remembered.
    AnyPort,
    /// Exactly here.
    At(Vec<SocketAddr>),
}

/// Reads `--listen`: `IP`, `IP:PORT`, `[IPv6]:PORT` or a port alone.
///
/// # Errors
///
/// Says what it should look like.
pub(crate) fn parse(text: &str) -> Outcome<Vec<SocketAddr>> {
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
        return Ok(everywhere(port).to_vec());
    }
    if let Ok(ip) = text.parse() {
        return Ok(vec![SocketAddr::new(ip, limits::DEFAULT_PORT)]);
    }
    let addr = text.parse::<SocketAddr>();
    addr.map(|addr| vec![addr]).map_err(|_| {
        CommandError::usage(format!(
            "--listen {text:?}: should look like 192.168.1.20:26673, [::1]:26673 or 26673"
        ))
    })
}

/// Reads several of them.
///
/// # Errors
///
/// The first that is none.
pub(crate) fn parse_all(texts: &[String]) -> Outcome<Vec<SocketAddr>> {
    Ok(texts.iter().map(|text| parse(text)).collect::<Outcome<Vec<_>>>()?.concat())
}

fn everywhere(port: u16) -> [SocketAddr; 2] {
    [(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()]
}

/// Starts the peer with its handlers, on a port as described above.
pub(super) async fn spawn(
    state: &Arc<State>,
    identity: Identity,
    settings: &Settings,
    relations: &Relations,
) -> Outcome<Peer> {
    let again = || identity.clone();
    let chosen = Listening::At(settings.usual.clone());
    let listening = match &settings.listening {
        Listening::Usual if !settings.usual.is_empty() => &chosen,
        listening => listening,
    };
    match listening {
        Listening::Nowhere => spawn_at(state, again(), settings, relations, Vec::new()).await.map_err(cannot),
        Listening::At(addrs) => {
            spawn_at(state, again(), settings, relations, addrs.clone()).await.map_err(|failed| match failed
                .taken()
            {
                true => cannot(failed).hint("another program listens there; choose another with --listen"),
                false => cannot(failed),
            })
        }
        Listening::AnyPort => spawn_anywhere(state, again, settings, relations).await,
        Listening::Usual => {
            let remembered = state.store.setting("port")?.and_then(|port| port.parse().ok());
            let port = remembered.unwrap_or(limits::DEFAULT_PORT);
            match spawn_everywhere(state, again(), settings, relations, port).await {
                Err(failed) if failed.taken() => {
                    let peer = spawn_anywhere(state, again, settings, relations).await?;
                    if let Some(addr) = peer.local_addrs().first() {
                        state.store.set("port", &addr.port().to_string())?;
                        state.moved_from(port);
                    }
                    Ok(peer)
                }
                spawned => spawned.map_err(cannot),
            }
        }
    }
}

/// On a port that was free for both families a moment ago.
async fn spawn_anywhere(
    state: &Arc<State>,
    identity: impl Fn() -> Identity,
    settings: &Settings,
    relations: &Relations,
) -> Outcome<Peer> {
    let mut tries = 1;
    loop {
        let port = free(0)?;
        match spawn_everywhere(state, identity(), settings, relations, port).await {
            Err(failed) if failed.taken() && tries < TRIES => tries += 1,
            spawned => return spawned.map_err(cannot),
        }
    }
}

/// On all interfaces; without IPv6 where the system has none.
async fn spawn_everywhere(
    state: &Arc<State>,
    identity: Identity,
    settings: &Settings,
    relations: &Relations,
    port: u16,
) -> Result<Peer, Failed> {
    let both = everywhere(port);
    let addrs = if has_ipv6() { both.to_vec() } else { both[..1].to_vec() };
    spawn_at(state, identity, settings, relations, addrs).await
}

/// Whether the system has IPv6 at all.
pub(crate) fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok()
}

async fn spawn_at(
    state: &Arc<State>,
    identity: Identity,
    settings: &Settings,
    relations: &Relations,
    addrs: Vec<SocketAddr>,
) -> Result<Peer, Failed> {
    let mut builder = Peer::builder().identity(identity).name(&state.name).max_peers(settings.max_peers);
    if !addrs.is_empty() {
        builder = builder.listen(addrs);
    }
    if settings.overlay {
        builder = builder.overlay().router(Kademlia);
        if settings.role == super::Role::Up {
            builder = builder.carry(Carry::default());
        }
    }
    for addr in &settings.advertise {
        builder = builder.advertise(addr.clone());
    }
    if !settings.classic.is_empty() {
        builder = builder.classic(settings.classic.clone());
    }
    // From the start: not even for a moment may a blocked peer come in.
    builder = relations.blocked.iter().fold(builder, |builder, id| builder.block(*id));
    builder = relations.known.iter().fold(builder, |builder, id| builder.know(*id));
    let spawned = answers::register(builder, state).spawn().await;
    spawned.map_err(|error| match &error {
        SpawnError::Listen { addr, .. } if settings.classic.contains(addr) => Failed::Classic(error),
        _ => Failed::Own(error),
    })
}

/// What could not be had.
enum Failed {
    /// The place for old programs.
    Classic(SpawnError),
    /// All else.
    Own(SpawnError),
}

impl Failed {
    /// Whether another program has the port for compeer's own protocol.
    fn taken(&self) -> bool {
        matches!(self, Failed::Own(error) if taken(error))
    }
}

impl super::Node {
    /// Makes sure that others can reach this node: one that dials only begins to listen, as `up` would.
    ///
    /// # Errors
    ///
    /// No port can be had.
    pub(crate) fn listen(&self) -> Outcome {
        if !self.peer.local_addrs().is_empty() {
            return Ok(());
        }
        if !self.usual.is_empty() {
            return self.peer.listen(self.usual.to_vec()).map(drop).map_err(cannot_listen);
        }
        let remembered = self.state.store.setting("port")?.and_then(|port| port.parse().ok());
        let both = |port| if has_ipv6() { everywhere(port).to_vec() } else { everywhere(port)[..1].to_vec() };
        let ports = [remembered.unwrap_or(limits::DEFAULT_PORT)].into_iter().chain([0; TRIES]);
        let mut trouble = None;
        for port in ports {
            // A free one is not remembered: this node is not long here.
            match free(port).and_then(|port| self.peer.listen(both(port)).map_err(cannot_listen)) {
                Ok(_) => return Ok(()),
                Err(error) => trouble = Some(error),
            }
        }
        trouble.map_or(Ok(()), Err)
    }
}

/// This port, or one that was free for both families a moment ago.
fn free(port: u16) -> Outcome<u16> {
    if port != 0 {
        return Ok(port);
    }
    let probe = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|probe| probe.local_addr());
    Ok(probe.map_err(|error| CommandError::failed(format!("no free port: {error}")))?.port())
}

/// How this home stands to other peers.
pub(super) struct Relations {
    known: Vec<PeerId>,
    blocked: Vec<PeerId>,
}

impl Relations {
    /// As the store has it: paired peers are known.
    ///
    /// # Errors
    ///
    /// The database cannot be read.
    pub(super) fn of(store: &Store) -> Outcome<Relations> {
        let peers = store.peers()?;
        let known = peers.iter().filter(|peer| peer.petname.is_some()).map(|peer| peer.id).collect();
        let blocked = peers.iter().filter(|peer| peer.blocked).map(|peer| peer.id).collect();
        Ok(Relations { known, blocked })
    }
}

fn taken(error: &SpawnError) -> bool {
    matches!(error, SpawnError::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse)
}

fn cannot(failed: Failed) -> CommandError {
    match failed {
        Failed::Classic(error) if taken(&error) => CommandError::failed(format!("cannot start: {error}"))
            .hint("another program listens there; choose another port with --classic"),
        Failed::Classic(error) | Failed::Own(error) => cannot_listen(error),
    }
}

fn cannot_listen(error: SpawnError) -> CommandError {
    CommandError::failed(format!("cannot start: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_takes_addresses_and_ports() {
        let port = limits::DEFAULT_PORT;
        assert_eq!(parse("127.0.0.1:0").unwrap(), ["127.0.0.1:0".parse().unwrap()]);
        assert_eq!(parse("127.0.0.1").unwrap(), [SocketAddr::from((Ipv4Addr::LOCALHOST, port))]);
        assert_eq!(parse("::1").unwrap(), [SocketAddr::from((Ipv6Addr::LOCALHOST, port))]);
        assert_eq!(parse("[::1]:5").unwrap(), ["[::1]:5".parse().unwrap()]);
        assert_eq!(parse("4000").unwrap(), everywhere(4000));
        assert_eq!(parse(":4000").unwrap(), everywhere(4000));
        assert!(parse("localhost").is_err() && parse("").is_err());
    }
}
