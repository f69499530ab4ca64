//! Driving the machine: one task that waits for time or for something to do, and a task for each question.
//!
//! The number of questions is bounded by the machine; of those, [`OVERLAY_CALLS`] are out at a time, and
//! [`OVERLAY_KEEPS`] records beside them. A connection
//! made for a question is a passing one: it is closed when it was not used for a while.

use std::sync::Arc;

use compeer_proto::overlay::{Answer, Contact, Effect, Record, Subject};
use compeer_proto::session::Message;
use compeer_proto::{Addr, Kind, PeerAddr, PeerId};
use tokio::sync::Semaphore;

use super::serve::caller;
use super::{FEATURE, FIND, KEEP, Overlay};
use crate::call::{Call, Way};
use crate::limits::{MAX_CARRIERS, OVERLAY_CALLS, OVERLAY_KEEPS, QUERY_FAILS};
use crate::link::Link;
use crate::peer::{Inner, spawn_until_down};
use crate::transport::Purpose;
use crate::{Event, Peer, lock};

/// Takes part in the overlay until the peer shuts down.
pub(crate) fn drive(inner: &Arc<Inner>) {
    let Some(overlay) = Overlay::of(&Peer(inner.clone())) else { return };
    spawn_until_down(inner, meet(overlay.clone()));
    spawn_until_down(inner, run(overlay));
}

async fn run(overlay: Overlay) {
    let calls = [OVERLAY_CALLS, OVERLAY_KEEPS].map(|n| Arc::new(Semaphore::new(n)));
    let inner = overlay.peer.0.clone();
    let me = Subject::Peer(inner.id);
    let mut alone = true;
    // It is the first that is announced: there is room.
    let _ = lock(&overlay.shared.machine).announce(me, overlay.now());
    loop {
        let wake = loop {
            let mut machine = lock(&overlay.shared.machine);
            let now = overlay.now();
            let was_alone = std::mem::replace(&mut alone, machine.table().is_empty());
            if was_alone && !alone && !overlay.peer.local_addrs().is_empty() {
                // Somebody is there: look who else is, and be known. Who waits for nobody, such as a command that says a
                // word and ends, leaves the others in peace.
                machine.join([], now);
                let _ = machine.announce(me, now);
            }
            machine.tick(now);
            let Some(effect) = machine.poll() else { break machine.wake() };
            drop(machine);
            act(&overlay, &inner, &calls, effect);
        };
        tokio::select! {
            biased;
            () = overlay.shared.changed.notified() => {}
            () = tokio::time::sleep_until(inner.clock.instant(wake)) => {}
        }
    }
}

fn act(overlay: &Overlay, inner: &Arc<Inner>, [calls, keeps]: &[Arc<Semaphore>; 2], effect: Effect) {
    let (of_task, calls, keeps) = (overlay.clone(), calls.clone(), keeps.clone());
    match effect {
        Effect::Ask { query, to, find, .. } => {
            let ask = async move {
                let _call = calls.acquire().await;
                if !lock(&of_task.shared.machine).waits_for(query) {
                    return;
                }
                let answer = ask(&of_task, query, &to, find.encode()).await;
                of_task.answered(query, to.id(), answer);
            };
            spawn_until_down(inner, ask);
        }
        Effect::Keep { to, record } => {
            let keep = async move {
                let _call = keeps.acquire().await;
                let sent = of_task.ask(&to, KEEP, record.bytes().to_vec());
                if let Err(error) = sent.all().await {
                    tracing::debug!(peer = %to.id().short(), %error, "a record was not kept");
                }
            };
            spawn_until_down(inner, keep);
        }
        Effect::Test { contact } => {
            let test = async move {
                let there = test(&of_task, &contact).await;
                let now = of_task.now();
                of_task.shared.with(|machine| machine.tested(contact.id(), there, now));
            };
            spawn_until_down(inner, test);
        }
        Effect::Sign { subject } => overlay.sign(subject),
        Effect::Done { lookup, outcome } => {
            if let Some(waiting) = lock(&overlay.shared.waiting).remove(&lookup) {
                let _ = waiting.send(outcome);
            }
        }
    }
}

/// The answer of a peer, if one that can be read comes in time.
async fn ask(overlay: &Overlay, query: u64, to: &Contact, body: Vec<u8>) -> Option<Answer> {
    let call = overlay.ask(to, FIND, body);
    let reply = call.one().await.inspect_err(|error| {
        tracing::debug!(query, peer = %to.id().short(), %error, "a question of the overlay came to nothing");
    });
    Answer::decode(&reply.ok()?.body).ok()
}

/// Whether a peer is where it is said to be: who answers there proves the key, and no more is said.
async fn test(overlay: &Overlay, contact: &Contact) -> bool {
    let inner = &overlay.peer.0;
    let Some(addr) = contact.addrs().first() else { return false };
    if inner.links.get(contact.id()).is_some_and(|link| link.dialled && link.addr.as_ref() == Some(addr)) {
        return true;
    }
    let dial = inner.transport.dial(addr.clone(), Some(contact.id()), Purpose::Messages);
    matches!(tokio::time::timeout(QUERY_FAILS, dial).await, Ok(Ok(wire)) if wire.peer == contact.id())
}

impl Overlay {
    /// A request made in passing: nobody needs to hear of the connection.
    fn ask(&self, to: &Contact, kind: &'static str, body: Vec<u8>) -> Call {
        let (inner, kind) = (self.peer.0.clone(), Kind::from_static(kind));
        let message = Message { kind, body: body.into() };
        Call::new(
            Way::InPassing(inner, to.to_peer_addr()),
            self.peer.clock().clone(),
            Ok(message),
            QUERY_FAILS,
        )
    }

    fn answered(&self, query: u64, from: PeerId, answer: Option<Answer>) {
        let (now, link) = (self.now(), self.peer.0.links.get(from));
        let at: Option<Addr> = link.filter(|link| link.dialled).and_then(|link| link.addr.clone());
        self.shared.with(|machine| match (answer, at) {
            (Some(answer), Some(at)) => {
                machine.reached_at(query, &at);
                machine.answered(query, answer, now);
            }
            (Some(answer), None) => machine.answered_on_its_call(query, answer, now),
            (None, _) => machine.failed(query, now),
        });
    }

    /// Signs a new record and has it published.
    fn sign(&self, subject: Subject) {
        let (here, carriers) = (self.peer.addr(), self.carriers());
        if self.peer.local_addrs().is_empty() || (here.addrs.is_empty() && carriers.is_empty()) {
            // Who waits for nobody is not to be found.
            return;
        }
        let sign = |domain: &str, bytes: &[u8]| self.shared.identity.sign(domain, bytes);
        let record = Record::sign(subject, here, carriers, self.wall(), sign);
        self.shared.with(|machine| machine.publish(record, self.now()));
    }

    /// Kept peers that can be called by others: over them we may be reached. Named only where nobody has
    /// called us yet: who can be called need not say whom it knows.
    fn carriers(&self) -> Vec<PeerAddr> {
        if self.peer.counters().accepted > 0 {
            return Vec::new();
        }
        let machine = lock(&self.shared.machine);
        let connected = self.peer.connections().into_iter().filter(|connection| connection.kept);
        let entries = connected.filter_map(|connection| machine.table().get(&connection.peer_id));
        entries.take(MAX_CARRIERS).map(|entry| entry.contact.to_peer_addr()).collect()
    }
}

/// Brings those into the overlay that we are connected with and that take part.
async fn meet(overlay: Overlay) {
    let mut events = overlay.peer.events();
    let links = &overlay.peer.0.links;
    links.all().iter().for_each(|link| overlay.met(link));
    while let Some(event) = events.recv().await {
        match event {
            Event::Connected { peer, .. } => links.get(peer).iter().for_each(|link| overlay.met(link)),
            Event::Missed { .. } => links.all().iter().for_each(|link| overlay.met(link)),
            _ => {}
        }
    }
}

impl Overlay {
    fn met(&self, link: &Link) {
        let now = self.now();
        if let Some(caller) = caller(link) {
            return self.shared.with(|machine| machine.called(caller, now));
        }
        let takes_part = lock(&link.hello).as_ref().is_some_and(|hello| hello.features & FEATURE != 0);
        if let Some(addr) = link.addr.clone().filter(|_| takes_part && link.dialled) {
            let there = Contact::new(PeerAddr::new(link.peer, [addr]));
            self.shared.with(|machine| machine.reached(there, now));
        }
    }
}
