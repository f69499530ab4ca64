//! How a connection comes about.
//!
//! `to_peer` gives the live connection, or asks the router and dials; callers
//! that want the same peer share one dial. Several addresses are tried beside
//! each other, a quarter second apart (RFC 8305 §5), and the first that proves
//! the right key wins. After the handshake both sides say HELLO; which of two
//! connections stays is decided in [`links`](crate::links).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use compeer_proto::session::{GoodbyeReason, Session};
use compeer_proto::{Addr, PeerAddr, PeerId};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::inner::{Inner, PeerHost};
use super::{Peer, spawn_until_down};
use crate::link::driver::{Host, drive};
use crate::link::{Decided, Link, Over};
use crate::router::{Asked, Hop};
use crate::transport::{Purpose, Wire};
use crate::{ConnectError, circuit, limits, lock};

type Dial = Shared<BoxFuture<'static, Result<Arc<Link>, ConnectError>>>;

/// Dials under way, by peer.
#[derive(Default)]
pub(crate) struct Dialling(Mutex<BTreeMap<Dialled, Dial>>);

/// Who is dialled, and whether only at its addresses: what carries must not wait for
/// what is carried.
type Dialled = (PeerId, bool);

/// How often it is dialled when what was dialled was lost to its twin and the
/// twin is gone too.
const DIALS: usize = 5;

/// The connection with a peer: the one there is, or a new one.
pub(crate) async fn to_peer(inner: &Arc<Inner>, to: PeerAddr) -> Result<Arc<Link>, ConnectError> {
    if to.id == inner.id {
        return to_oneself(inner).await;
    }
    let mut dials = 0;
    loop {
        let changed = inner.links.changed(to.id);
        let mut came = std::pin::pin!(changed.notified());
        came.as_mut().enable();
        if let Some(link) = inner.links.get(to.id) {
            return Ok(link);
        }
        check_wanted(inner, to.id)?;
        let hop = inner.router.next_hop(&Peer(inner.clone()), &to, &Asked::default()).await;
        let hop = hop.filter(|hop| hop.peer != inner.id).ok_or(ConnectError::Unroutable(to.id))?;
        if hop.peer == to.id && hop.addrs.is_empty() {
            return Err(ConnectError::NoAddress(to.id));
        }
        if dials > 0 {
            // The twin that won is on its way here, or about to be.
            let twin = tokio::time::timeout(limits::NEXT_ADDRESS_AFTER, came.as_mut()).await;
            if twin.is_ok() {
                continue;
            }
        }
        let (dial, ours) = shared_dial(inner, to.clone(), Some(hop));
        tokio::select! {
            biased;
            () = came => {}
            dialled = dial => match dialled {
                Ok(link) if link.is_usable() => return Ok(link),
                Ok(link) => {
                    dials += 1;
                    if dials == DIALS {
                        return Err(refused(inner, &link));
                    }
                }
                // It may have called us meanwhile; and a dial that somebody else
                // began may not have tried the addresses that we know.
                Err(error) => match inner.links.get(to.id) {
                    Some(link) => return Ok(link),
                    None if ours || dials + 1 >= DIALS => return Err(error),
                    None => dials += 1,
                },
            },
        }
    }
}

fn check_wanted(inner: &Inner, id: PeerId) -> Result<(), ConnectError> {
    if inner.is_down() {
        return Err(ConnectError::Shutdown);
    }
    if lock(&inner.blocked).contains(&id) {
        return Err(ConnectError::Blocked(id));
    }
    Ok(())
}

/// The connection with whoever answers at an address.
pub(crate) async fn to_addr(inner: &Arc<Inner>, addr: Addr) -> Result<Arc<Link>, ConnectError> {
    if inner.is_down() {
        return Err(ConnectError::Shutdown);
    }
    // Where the connection is to live, like those that are shared.
    let dial = inner.runtime.spawn(inner.transport.dial(addr, None, Purpose::Messages));
    let wire = dial.await.unwrap_or_else(|gone| Err(unfinished(&gone)))?;
    if wire.peer != inner.id
        && let Some(link) = inner.links.get(wire.peer)
    {
        return Ok(link);
    }
    let link = establish(inner, wire, Begun::Dialled).await?;
    if link.is_usable() {
        return Ok(link);
    }
    let again = PeerAddr::new(link.peer, link.addr.clone());
    to_peer(inner, again).await
}

/// How a connection comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// The other side called; it counts for this household.
    Called(Option<IpAddr>),
    /// This side called, because a program wanted to.
    Dialled,
    /// This side called, to look something up or to carry for others: nobody needs to hear of it.
    InPassing,
}

/// A connection with a peer, for a look-up: the one there is, or a new one at the addresses given.
pub(crate) async fn in_passing(inner: &Arc<Inner>, to: PeerAddr) -> Result<Arc<Link>, ConnectError> {
    match inner.links.get(to.id) {
        Some(link) => Ok(link),
        None => directly(inner, to).await,
    }
}

/// A new connection with a peer that nobody carries, in passing.
pub(crate) async fn directly(inner: &Arc<Inner>, to: PeerAddr) -> Result<Arc<Link>, ConnectError> {
    check_wanted(inner, to.id)?;
    if to.addrs.is_empty() {
        return Err(ConnectError::NoAddress(to.id));
    }
    let (dial, ours) = shared_dial(inner, to.clone(), None);
    match dial.await {
        // What somebody else began may not have tried the addresses that we know.
        Err(_) if !ours => shared_dial(inner, to, None).0.await,
        dialled => dialled,
    }
}

/// One dial per peer, whoever waits for it; it goes on when they do not. Beside
/// it, whether it was begun here. Without a hop only the addresses of `to` are tried.
fn shared_dial(inner: &Arc<Inner>, to: PeerAddr, hop: Option<Hop>) -> (Dial, bool) {
    let mut dialling = lock(&inner.dialling.0);
    let name = (to.id, hop.is_none());
    if let Some(dial) = dialling.get(&name) {
        return (dial.clone(), false);
    }
    let of_task = inner.clone();
    let task = inner.runtime.spawn(async move {
        let _under_way = UnderWay(&of_task, name);
        match hop {
            Some(hop) => dial_over(&of_task, to, hop).await,
            None => dial(&of_task, to, Begun::InPassing).await,
        }
    });
    let dial = task.map(|joined| joined.unwrap_or_else(|gone| Err(unfinished(&gone)))).boxed().shared();
    dialling.insert(name, dial.clone());
    (dial, true)
}

/// Dials as the router says: the peer itself, or one that is to carry. Where the peer itself
/// cannot be reached, the router is asked for another way.
async fn dial_over(inner: &Arc<Inner>, to: PeerAddr, hop: Hop) -> Result<Arc<Link>, ConnectError> {
    let mut carrier = hop;
    let mut asked = Asked { without: vec![inner.id], ..Asked::default() };
    while carrier.peer == to.id {
        let tried = PeerAddr::new(to.id, carrier.addrs);
        let failed = match dial(inner, tried.clone(), Begun::Dialled).await {
            Err(error @ (ConnectError::Unreachable(_) | ConnectError::WrongKey { .. })) => error,
            dialled => return dialled,
        };
        asked.tried.extend(tried.addrs);
        let other = inner.router.next_hop(&Peer(inner.clone()), &to, &asked).await;
        let mut other =
            other.filter(|hop| !asked.without.contains(&hop.peer)).ok_or_else(|| failed.clone())?;
        if other.peer == to.id {
            other.addrs.retain(|addr| !asked.tried.contains(addr));
            if other.addrs.is_empty() || asked.tried.len() >= limits::MAX_ADDRS_TRIED {
                return Err(failed);
            }
        }
        carrier = other;
    }
    let wire = circuit::dial(inner, to, Purpose::Messages, Some(carrier)).await?;
    establish(inner, wire, Begun::Dialled).await
}

/// Why a task that dialled gave nothing.
fn unfinished(gone: &tokio::task::JoinError) -> ConnectError {
    match gone.is_panic() {
        true => ConnectError::Refused("the transport panicked".into()),
        false => ConnectError::Shutdown,
    }
}

/// A dial that others share, until it is through or a transport panicked in it.
struct UnderWay<'a>(&'a Inner, Dialled);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        lock(&self.0.dialling.0).remove(&self.1);
    }
}

async fn dial(inner: &Arc<Inner>, to: PeerAddr, begun: Begun) -> Result<Arc<Link>, ConnectError> {
    let mut under_way = FuturesUnordered::new();
    let mut addrs = to.addrs.into_iter();
    let mut tried = Vec::new();
    let mut wrong = None;
    loop {
        if let Some(addr) = addrs.next() {
            under_way.push(inner.transport.dial(addr, Some(to.id), Purpose::Messages));
        } else if under_way.is_empty() {
            return Err(wrong.unwrap_or(ConnectError::Unreachable(tried)));
        }
        let more = addrs.len() > 0;
        let result = tokio::select! {
            biased;
            Some(result) = under_way.next() => result,
            () = tokio::time::sleep(limits::NEXT_ADDRESS_AFTER), if more => continue,
        };
        match result {
            // Whatever transport it is: who answers is who was wanted.
            Ok(wire) if wire.peer != to.id => {
                wrong = Some(ConnectError::Refused("the transport gave another peer".into()))
            }
            Ok(wire) => return establish(inner, wire, begun).await,
            Err(ConnectError::Unreachable(more)) => tried.extend(more),
            Err(error) => wrong = Some(error),
        }
    }
}

/// Runs a link on a wire whose handshake is done, until both have said HELLO.
/// One that lost to its twin is given too, and is of no use by itself.
pub(crate) async fn establish(
    inner: &Arc<Inner>,
    wire: Wire,
    begun: Begun,
) -> Result<Arc<Link>, ConnectError> {
    if !matches!(begun, Begun::Called(_)) {
        check_wanted(inner, wire.peer)?;
    }
    introduced(inner, enter(inner, wire, begun)).await
}

async fn introduced(inner: &Arc<Inner>, link: Arc<Link>) -> Result<Arc<Link>, ConnectError> {
    let (mut decided, mut closed) = (link.decided.subscribe(), link.closed());
    tokio::select! {
        biased;
        _ = decided.wait_for(Option::is_some) => {}
        _ = closed.wait_for(|closed| *closed) => {}
    }
    if let Some(twin) = inner.links.get(link.peer) {
        return Ok(twin);
    }
    match link.over() {
        // Lost to its twin, or come about and closed here since: who wants a
        // live one calls again.
        Some(Over::WeSaid(GoodbyeReason::Duplicate, _)) if link.peer == inner.id => {
            Err(refused(inner, &link))
        }
        None
        | Some(Over::TheySaid(GoodbyeReason::Duplicate, _))
        | Some(Over::WeSaid(GoodbyeReason::Duplicate | GoodbyeReason::Closed, _)) => Ok(link),
        Some(_) => Err(refused(inner, &link)),
    }
}

fn enter(inner: &Arc<Inner>, wire: Wire, begun: Begun) -> Arc<Link> {
    let peer = wire.peer;
    let (dialled, household) = match begun {
        Begun::Called(household) => (false, household),
        Begun::Dialled | Begun::InPassing => (true, None),
    };
    let session = inner.session(begun, !wire.over.is_empty());
    let clock = inner.clock.clone();
    let make = |number| {
        let link = Link::new(number, wire, dialled, session, clock, inner.tally.clone());
        Arc::new(link.of_household(household).begun(begun))
    };
    let (link, crowded_out) = inner.links.enter(peer, make);
    for old in crowded_out {
        old.goodbye(GoodbyeReason::Duplicate, "too many connections of one peer");
    }
    if inner.is_down() {
        link.turn_away(GoodbyeReason::Shutdown);
    } else if lock(&inner.blocked).contains(&link.peer) {
        inner.tally.blocked.one();
        link.turn_away(GoodbyeReason::Denied);
    } else if !dialled && !inner.has_room(link.peer) {
        inner.tally.limit_connections.one();
        link.turn_away(GoodbyeReason::Full);
    }
    inner.runtime.spawn(drive(link.clone(), Arc::new(PeerHost(inner.clone()))));
    inner.runtime.spawn(introduced_in_time(link.clone()));
    link
}

/// Closes a link on which no HELLO comes, whoever still waits for it.
async fn introduced_in_time(link: Arc<Link>) {
    let (mut decided, mut closed) = (link.decided.subscribe(), link.closed());
    tokio::select! {
        biased;
        _ = decided.wait_for(Option::is_some) => {}
        _ = closed.wait_for(|closed| *closed) => {}
        () = tokio::time::sleep(limits::HANDSHAKE_TIMEOUT) => {
            link.goodbye(GoodbyeReason::Protocol, "no HELLO in time");
        }
    }
}

/// Why a link that came about is of no use.
fn refused(inner: &Inner, link: &Link) -> ConnectError {
    match link.over() {
        Some(Over::WeSaid(GoodbyeReason::Denied, _)) => ConnectError::Blocked(link.peer),
        Some(Over::WeSaid(GoodbyeReason::Duplicate, _)) if link.peer == inner.id => ConnectError::Oneself,
        Some(Over::WeSaid(GoodbyeReason::KeyRunsTwice, _)) if link.peer == inner.id => {
            link.addr.clone().map_or(ConnectError::Oneself, ConnectError::KeyRunsTwice)
        }
        Some(over) => ConnectError::Refused(over.words()),
        None => ConnectError::Refused("another connection took its place".into()),
    }
}

/// A link with ourselves, inside the process.
async fn to_oneself(inner: &Arc<Inner>) -> Result<Arc<Link>, ConnectError> {
    let mut oneself = inner.oneself.lock().await;
    if inner.is_down() {
        return Err(ConnectError::Shutdown);
    }
    if let Some(link) = oneself.as_ref().filter(|link| link.is_usable()) {
        return Ok(link.clone());
    }
    let (near, far) = tokio::io::duplex(limits::WINDOW as usize);
    let host = || Arc::new(OneselfHost(PeerHost(inner.clone())));
    let make = |io, dialled| {
        let wire = Wire {
            io: Box::new(io),
            peer: inner.id,
            addr: None,
            over: Vec::new(),
            binding: inner.dice.bytes(),
            session: inner.dice.bytes(),
            resumed: false,
            purpose: Purpose::Messages,
        };
        run_plain(
            inner,
            wire,
            inner.session(if dialled { Begun::Dialled } else { Begun::Called(None) }, false),
            dialled,
            host(),
        )
    };
    let _far = make(far, false);
    let link = make(near, true);
    let (mut decided, mut closed) = (link.decided.subscribe(), link.closed());
    tokio::select! {
        biased;
        _ = decided.wait_for(Option::is_some) => {}
        _ = closed.wait_for(|closed| *closed) => return Err(ConnectError::Shutdown),
    }
    *oneself = Some(link.clone());
    Ok(link)
}

/// A link that is in nobody's table.
pub(crate) fn run_plain(
    inner: &Arc<Inner>,
    wire: Wire,
    session: Session,
    dialled: bool,
    host: Arc<dyn Host>,
) -> Arc<Link> {
    let link = Arc::new(Link::new(0, wire, dialled, session, inner.clock.clone(), Arc::default()));
    inner.runtime.spawn(drive(link.clone(), host));
    link
}

/// Serves ourselves with our own handlers, and keeps out of the table of links.
struct OneselfHost(PeerHost);

impl Host for OneselfHost {
    fn handler(
        &self,
        link: &Arc<Link>,
        kind: &compeer_proto::Kind,
    ) -> Result<(Arc<dyn crate::handler::Handler>, Peer), compeer_proto::session::Outcome> {
        self.0.handler(link, kind)
    }

    fn on_hello(&self, link: &Arc<Link>, _: compeer_proto::frame::Hello) {
        link.decided.send_replace(Some(Decided::Stays));
    }

    fn down(&self) -> Option<tokio::sync::watch::Receiver<bool>> {
        self.0.down()
    }

    fn on_panic(&self, link: &Arc<Link>, kind: compeer_proto::Kind, text: String) {
        self.0.on_panic(link, kind, text);
    }
}

/// Takes an accepted wire; returns when it is introduced, or is a stream that
/// was accepted, or is gone. What others carry counts for the household of the neighbour.
pub(crate) async fn take_in(inner: &Arc<Inner>, wire: Wire, household: Option<IpAddr>) {
    match wire.purpose {
        Purpose::Messages => {
            let link = enter(inner, wire, Begun::Called(household));
            let _goes_with_its_place = Unintroduced(inner.clone(), link.clone());
            // What became of it is told as an event.
            drop(introduced(inner, link).await);
        }
        Purpose::Stream => {
            if let Some(served) = crate::stream::answer(inner, wire).await {
                spawn_until_down(inner, served);
            }
        }
    }
}

/// A link whose caller holds a place among those who have to introduce themselves;
/// it ends when the place is given to another.
struct Unintroduced(Arc<Inner>, Arc<Link>);

impl Drop for Unintroduced {
    fn drop(&mut self) {
        let Unintroduced(inner, link) = self;
        if link.decided.borrow().is_none() && !inner.is_down() {
            link.goodbye(GoodbyeReason::Closed, "not introduced, and others wait");
        }
    }
}
