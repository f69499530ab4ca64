//! Programs of the classic protocol: how they are named on the command line, and where they may call.
//!
//! `classic:HOST:PORT` is one, wherever a command takes such a thing; the port has no default, for the protocol has none.
//! Nothing of it is encrypted and nobody proves who he is, so it is never what a plain address stands for.

use super::event::NodeEvent;
use super::{Node, Settings, blame};
use crate::exit::{CommandError, Outcome};
use compeer::{Addr, Peer};
use compeer_share::Shares;
use compeer_share::classic::{Classic, JoinError};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How long a type is, in bytes.
pub(crate) const KIND_LEN: usize = 4;

const PREFIX: &str = "classic:";

/// The address, if this is one of the classic protocol.
pub(crate) fn address(typed: &str) -> Option<Outcome<Addr>> {
    let rest = typed.trim().strip_prefix(PREFIX)?;
    let wrong = || {
        CommandError::usage(format!("{typed:?} is no program of the classic protocol"))
            .hint("give host and port, as in classic:192.168.1.9:4444")
    };
    // Without a port of its own an address would get that of this protocol.
    let port = rest.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port != 0));
    Some(if port { rest.parse().map_err(|_| wrong()) } else { Err(wrong()) })
}

/// Reads `--classic`: `IP:PORT`, or a port alone for all interfaces; IPv4, as old programs have it.
///
/// # Errors
///
/// Says what it should look like.
pub(crate) fn parse(text: &str) -> Outcome<SocketAddr> {
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
        return Ok((Ipv4Addr::UNSPECIFIED, port).into());
    }
    text.parse().map_err(|_| {
        CommandError::usage(format!("--classic {text:?}: should look like 192.168.1.20:4444 or 4444"))
    })
}

/// Begins to share with old programs.
pub(super) fn attach(peer: &Peer, shares: &Shares, settings: &Settings) -> Outcome<Classic> {
    // What others are told of the way to this machine holds for old programs too; the port is the one they have.
    let port = peer.classic_addrs().first().map(SocketAddr::port);
    let told =
        settings.advertise.first().zip(port).and_then(|(addr, port)| Addr::dns(&addr.host(), port).ok());
    let settings = compeer_share::classic::Settings { max_peers: settings.max_peers, at: told };
    Classic::attach(shares, settings).map_err(|error| CommandError::failed(error.to_string()))
}

/// Why the program `at`, as typed, cannot be joined where none are served: it could not call back.
pub(crate) fn not_served(at: &str) -> CommandError {
    CommandError::usage("to join old programs, they have to be served here")
        .hint(format!("compeer up --classic 4444 --join {at}"))
}

/// First and longest pause between two tries to join.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

impl Node {
    /// Joins the program at `at`, and those it knows; tries until that works, and again when nobody of them is left.
    ///
    /// # Errors
    ///
    /// Old programs could not call back.
    pub(crate) fn join_classic(&self, at: Addr, hops: u8) -> Outcome {
        let Some(classic) = self.classic.clone() else {
            return Err(not_served(&format!("{PREFIX}{at}")));
        };
        let node = self.clone();
        tokio::spawn(async move {
            let (mut pause, mut told) = (PAUSES.0, String::new());
            loop {
                let reason = match classic.join(at.clone(), hops).await {
                    Ok(members) => {
                        let addr = at.to_string();
                        node.state.feed.tell(NodeEvent::ClassicJoined { addr, members });
                        told.clear();
                        let joined = node.peer.clock().now();
                        classic.alone().await;
                        // Who takes us in and is gone at once is no better than who does not.
                        if node.peer.clock().now().since(joined) > PAUSES.1 {
                            pause = PAUSES.0;
                        }
                        format!("classic:{at}: of those that were joined nobody is left")
                    }
                    Err(JoinError::Call(error)) => blame::classic(&format!("classic:{at}"), &error).message,
                    Err(error) => format!("classic:{at}: {error}"),
                };
                // One line says why, until the reason changes.
                if told != reason {
                    told = reason.clone();
                    let (name, after_ms) = (format!("classic:{at}"), pause.as_millis() as u64);
                    node.state.feed.tell(NodeEvent::Retrying { peer: None, name, after_ms, reason });
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_prefix_and_a_port() {
        let text = |typed| address(typed).map(|addr| addr.map(|addr| addr.to_string()).map_err(|_| ()));
        assert_eq!(text("classic:10.0.0.1:4444"), Some(Ok("10.0.0.1:4444".into())));
        assert_eq!(text(" classic:attic.example:1 "), Some(Ok("attic.example:1".into())));
        assert_eq!(text("10.0.0.1:4444"), None);
        for wrong in ["classic:", "classic:10.0.0.1", "classic:host:0", "classic:host:99999", "classic::5"] {
            assert_eq!(text(wrong), Some(Err(())), "{wrong}");
        }
    }

    #[test]
    fn where_to_listen_is_an_address_or_a_port() {
        assert_eq!(parse("127.0.0.1:0").unwrap(), "127.0.0.1:0".parse().unwrap());
        assert_eq!(parse(":4444").unwrap(), "0.0.0.0:4444".parse().unwrap());
        assert_eq!(parse("4444").unwrap(), "0.0.0.0:4444".parse().unwrap());
        assert!(parse("10.0.0.1").is_err() && parse("host:5").is_err());
    }
}
