//! The way of a circuit from here on: which hop is next, and asking it.
//!
//! The near end and every carrier do the same. Who is connected is taken at once; otherwise the
//! router is asked, and told who is left out: those the circuit has come by, and those who have
//! refused it. How many are asked, and for how long, goes down with each hop, so that one OPEN
//! causes a bounded number of others and whoever is nearest to a trouble is the one to name it.

use std::sync::Arc;
use std::time::Duration;

use compeer_proto::circuit::{Answer, Broken, HEAD, Head, KIND, Open, Opened, Type, Why};
use compeer_proto::{PeerAddr, PeerId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::link::Link;
use crate::peer::{Inner, connect};
use crate::router::{Asked, Hop};
use crate::{ConnectError, Peer, RequestError, Stream, limits, stream};

/// A next hop that has opened the circuit to its end.
pub(super) struct Next {
    pub(super) stream: Stream,
    pub(super) carriers: Vec<PeerId>,
}

/// Opens what `open` asks of this peer, from here to its target.
pub(super) async fn onward(
    inner: &Arc<Inner>,
    open: &Open,
    to: &PeerAddr,
    from: Option<PeerId>,
    mut first: Option<Hop>,
) -> Result<Next, Broken> {
    let by_us = |why| Broken { who: inner.id, why };
    let until = inner.clock.now() + Duration::from_millis(open.within.into());
    let mut asked =
        Asked { from, without: open.path.iter().copied().chain([inner.id]).collect(), ..Asked::default() };
    if open.path.is_empty() && !open.stream {
        // Straight to the end there is a connection without anybody's help.
        asked.without.push(open.target);
    }
    let mut tries = open.tries;
    let mut refused = None;
    loop {
        let left = until.since(inner.clock.now());
        let found = match first.take() {
            Some(hop) => Some(hop),
            None => tokio::time::timeout(left, next_hop(inner, to, &asked)).await.unwrap_or(None),
        };
        let Some(hop) = found.filter(|hop| !asked.without.contains(&hop.peer)) else {
            return Err(refused.unwrap_or(by_us(Why::NoWay)));
        };
        let left = until.since(inner.clock.now());
        // Time is kept for another way while there may be one.
        let share = if tries > 0 { left * 2 / 3 } else { left.saturating_sub(limits::CIRCUIT_HOP_TIME) };
        let within = u32::try_from(share.as_millis()).unwrap_or(u32::MAX);
        let given = tries / 2;
        let Some(onward) = open.onward(inner.id, given, within) else { return Err(by_us(Why::HopLimit)) };
        let peer = hop.peer;
        let answer = tokio::time::timeout(share, ask(inner, hop, &onward)).await;
        match answer.unwrap_or(Err(Broken { who: peer, why: Why::Slow })) {
            Ok(next) => return Ok(next),
            Err(broken) => {
                tracing::debug!(%peer, target = %to.id, who = %broken.who, why = ?broken.why, "no way on");
                // What the end itself says is the last word.
                if broken.who == to.id && peer == to.id && broken.why == Why::Blocked {
                    return Err(broken);
                }
                refused = Some(broken);
                asked.without.push(peer);
            }
        }
        let Some(left) = (tries - given).checked_sub(1) else {
            return Err(refused.unwrap_or(by_us(Why::NoWay)));
        };
        tries = left;
    }
}

/// Whom to ask: the end itself where it is connected, else whom the router names.
async fn next_hop(inner: &Arc<Inner>, to: &PeerAddr, asked: &Asked) -> Option<Hop> {
    let there = inner.links.get(to.id).is_some_and(|link| !link.is_carried());
    if there && !asked.without.contains(&to.id) {
        return Some(Hop { peer: to.id, addrs: Vec::new() });
    }
    inner.router.next_hop(&Peer(inner.clone()), to, asked).await
}

/// Asks one neighbour.
async fn ask(inner: &Arc<Inner>, hop: Hop, open: &Open) -> Result<Next, Broken> {
    let peer = hop.peer;
    let by_them = |why| Broken { who: peer, why };
    let link = neighbour(inner, hop).await.map_err(by_them)?;
    let mut stream =
        stream::open_on_link(inner, &link, KIND).await.map_err(|why| by_them(not_opened(&why)))?;
    let answer = async {
        stream.write_all(&open.encode()).await?;
        stream.flush().await?;
        let (what, body) = read_frame(&mut stream).await?;
        Answer::decode(what, &body).map_err(std::io::Error::other)
    };
    match answer.await {
        Ok(Answer::Opened(opened)) if opened.answers(&open.path, open.target, peer) => {
            let Opened { carriers, .. } = opened;
            Ok(Next { stream, carriers })
        }
        Ok(Answer::Opened(_)) => Err(by_them(Why::Protocol)),
        Ok(Answer::Refused(refused)) => Err(refused),
        Err(_) => Err(by_them(stream.why_lost())),
    }
}

/// A connection with a neighbour, one that nobody else carries.
async fn neighbour(inner: &Arc<Inner>, hop: Hop) -> Result<Arc<Link>, Why> {
    if let Some(link) = inner.links.get(hop.peer).filter(|link| !link.is_carried()) {
        return Ok(link);
    }
    let known = inner.known_addrs(hop.peer);
    let addrs = hop.addrs.into_iter().chain(known);
    match connect::directly(inner, PeerAddr::new(hop.peer, addrs)).await {
        Ok(link) if !link.is_carried() => Ok(link),
        Err(ConnectError::Blocked(_)) => Err(Why::Blocked),
        _ => Err(Why::Unreachable),
    }
}

fn not_opened(error: &RequestError) -> Why {
    match error {
        RequestError::Busy => Why::Full,
        RequestError::NoHandler | RequestError::Denied => Why::NotCarrying,
        RequestError::TimedOut | RequestError::Unreachable(ConnectError::TimedOut) => Why::Slow,
        RequestError::Unreachable(_) => Why::Unreachable,
        _ => Why::Gone,
    }
}

/// A frame that is not DATA.
pub(super) async fn read_frame(stream: &mut Stream) -> std::io::Result<(Type, Vec<u8>)> {
    loop {
        let mut head = [0; HEAD];
        stream.read_exact(&mut head).await?;
        let head = Head::decode(head).map_err(std::io::Error::other)?;
        if head.what == Type::Data {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        let mut body = vec![0; head.len];
        stream.read_exact(&mut body).await?;
        if !matches!(head.what, Type::Later(_)) {
            return Ok((head.what, body));
        }
    }
}
