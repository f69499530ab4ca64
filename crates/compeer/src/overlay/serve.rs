//! What a peer of the overlay answers: questions about keys, and records to be kept.
//!
//! Anybody with a key may ask. Who asks over a connection that it made may be of use to us: it is called back at the
//! address from which it calls, with a port that it says it listens on. It is not called where else it points.

use std::net::SocketAddr;
use std::sync::Arc;

use compeer_proto::overlay::{Contact, Find, Record};
use compeer_proto::{Addr, PeerAddr};

use super::{FEATURE, FIND, KEEP, Overlay};
use crate::link::Link;
use crate::peer::Inner;
use crate::{Failure, Request};

/// Registers the handlers.
pub(crate) fn handlers(inner: &Inner) {
    let insert = |kind: &'static str, handler: Arc<dyn crate::Handler>| {
        inner.registry.insert(
            compeer_proto::Kind::from_static(kind),
            crate::handler::Access::Proven,
            handler,
        );
    };
    insert(FIND, Arc::new(find));
    insert(KEEP, Arc::new(keep));
}

async fn find(request: Request) -> Result<(), Failure> {
    let find = Find::decode(request.body())?;
    let overlay =
        Overlay::of(request.peer()).ok_or_else(|| Failure::new("this peer takes no part in the overlay"))?;
    let now = overlay.now();
    let caller = caller(&request.connection().0);
    let answer = overlay.shared.with(|machine| {
        if let Some(caller) = caller {
            machine.called(caller, now);
        }
        machine.answer(request.sender(), &find, now)
    });
    request.reply(answer.encode()).await?;
    Ok(())
}

async fn keep(request: Request) -> Result<(), Failure> {
    let record = Record::read(request.body())?;
    let overlay =
        Overlay::of(request.peer()).ok_or_else(|| Failure::new("this peer takes no part in the overlay"))?;
    let (now, wall) = (overlay.now(), overlay.wall());
    overlay.shared.with(|machine| machine.keep(request.sender(), record, wall, now))?;
    Ok(())
}

/// Where somebody who called us may be called back, if it takes part in the overlay.
pub(super) fn caller(link: &Link) -> Option<Contact> {
    let hello = crate::lock(&link.hello);
    let hello = hello.as_ref().filter(|hello| !link.dialled && hello.features & FEATURE != 0)?;
    let from = link.addr.as_ref()?.socket_addr()?.ip();
    let there = |addr: &&Addr| addr.socket_addr().is_some_and(|addr| addr.ip() == from);
    let addrs: Vec<Addr> = hello.listen.iter().filter(there).cloned().collect();
    // Behind a translator of addresses its own are others than the one we see; the port may be the same.
    let seen = hello
        .listen
        .iter()
        .find_map(Addr::socket_addr)
        .map(|addr| Addr::from(SocketAddr::new(from, addr.port())));
    let addrs = if addrs.is_empty() { seen.into_iter().collect() } else { addrs };
    (!addrs.is_empty()).then(|| Contact::new(PeerAddr::new(link.peer, addrs)))
}
