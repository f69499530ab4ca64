//! Where a node listens: on every interface at the port of old, or another one when that is taken.
//!
//! The port asked for is the remembered one, else the documented one (26673). If somebody else has it, a free one is
//! taken and remembered, because tickets and addresses given to others name it. A port the user typed himself is not
//! exchanged for another.

use super::state::State;
use super::{Settings, answers};
use crate::exit::{CommandError, Outcome};
use compeer::{Identity, Peer, SpawnError, limits};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;

/// Tries to find a port that is free for both families. A guess; one suffices nearly always.
const TRIES: usize = 16;

/// What to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listening {
    /// Nowhere: dial only.
    Nowhere,
    /// On all interfaces, at the usual port.
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

fn everywhere(port: u16) -> [SocketAddr; 2] {
    [(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()]
}

/// Starts the peer with its handlers, on a port as described above.
pub(super) async fn spawn(state: &Arc<State>, identity: Identity, settings: &Settings) -> Outcome<Peer> {
    let again = || identity.clone();
    match &settings.listening {
        Listening::Nowhere => {
            spawn_at(state, again(), settings, Vec::new()).await.map_err(|error| cannot(&error))
        }
        Listening::At(addrs) => {
            spawn_at(state, again(), settings, addrs.clone()).await.map_err(|error| match taken(&error) {
                true => cannot(&error).hint("another program listens there; choose another with --listen"),
                false => cannot(&error),
            })
        }
        Listening::AnyPort => spawn_anywhere(state, again, settings).await,
        Listening::Usual => {
            let remembered = state.store.setting("port")?.and_then(|port| port.parse().ok());
            let port = remembered.unwrap_or(limits::DEFAULT_PORT);
            match spawn_everywhere(state, again(), settings, port).await {
                Err(error) if taken(&error) => {
                    let peer = spawn_anywhere(state, again, settings).await?;
                    if let Some(addr) = peer.local_addrs().first() {
                        state.store.set("port", &addr.port().to_string())?;
                        state.moved_from(port);
                    }
                    Ok(peer)
                }
                spawned => spawned.map_err(|error| cannot(&error)),
            }
        }
    }
}

/// On a port that was free for both families a moment ago.
async fn spawn_anywhere(
    state: &Arc<State>,
    identity: impl Fn() -> Identity,
    settings: &Settings,
) -> Outcome<Peer> {
    let mut tries = 1;
    loop {
        let probe = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|probe| probe.local_addr());
        let port = probe.map_err(|error| CommandError::failed(format!("no free port: {error}")))?.port();
        match spawn_everywhere(state, identity(), settings, port).await {
            Err(error) if taken(&error) && tries < TRIES => tries += 1,
            spawned => return spawned.map_err(|error| cannot(&error)),
        }
    }
}

/// On all interfaces; without IPv6 where the system has none.
async fn spawn_everywhere(
    state: &Arc<State>,
    identity: Identity,
    settings: &Settings,
    port: u16,
) -> Result<Peer, SpawnError> {
    let both = everywhere(port);
    let addrs = if has_ipv6() { both.to_vec() } else { both[..1].to_vec() };
    spawn_at(state, identity, settings, addrs).await
}

fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok()
}

async fn spawn_at(
    state: &Arc<State>,
    identity: Identity,
    settings: &Settings,
    addrs: Vec<SocketAddr>,
) -> Result<Peer, SpawnError> {
    let mut builder = Peer::builder().identity(identity).name(&state.name).max_peers(settings.max_peers);
    if !addrs.is_empty() {
        builder = builder.listen(addrs);
    }
    for addr in &settings.advertise {
        builder = builder.advertise(addr.clone());
    }
    answers::register(builder, state).spawn().await
}

fn taken(error: &SpawnError) -> bool {
    matches!(error, SpawnError::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse)
}

fn cannot(error: &SpawnError) -> CommandError {
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
