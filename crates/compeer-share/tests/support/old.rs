//! Old programs for tests: peers that speak with them, and some that act as such.

#![allow(dead_code, reason = "each test uses its part")]

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use compeer::{Identity, Peer};
use compeer_share::classic::{Classic, Settings};
use compeer_share::{Access, Offer, Shares, Store};

use crate::people::{Person, SOON, within};

/// Somebody who speaks with old programs, and where they call.
pub(crate) async fn old(max_peers: usize, at: Option<&str>) -> (Person, Classic, SocketAddr) {
    let (home, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let identity = Identity::generate();
    let builder = Peer::builder().identity(identity.clone()).listen("127.0.0.1:0").classic("127.0.0.1:0");
    let peer = builder.spawn().await.unwrap();
    let shares = Shares::attach(&peer, identity, Store::at(home.path()));
    let at = at.map(|at| at.parse().unwrap());
    let classic = Classic::attach(&shares, Settings { max_peers, at }).unwrap();
    let addr = peer.classic_addrs()[0];
    (Person { peer, shares, home, files }, classic, addr)
}

/// Shares a new file with everybody.
pub(crate) async fn publish(person: &Person, name: &str, bytes: &[u8]) {
    let paths = vec![person.write(name, bytes)];
    person.offer_as(Offer { paths, access: Access::Public, ..Offer::default() }).await;
}

/// Asks an old program, or one that acts as such; kinds and texts of the replies.
pub(crate) async fn ask(person: &Person, at: SocketAddr, kind: &str, body: &str) -> Vec<(String, String)> {
    let replies = person.peer.classic_request(at, kind, body.to_owned()).all().await.unwrap();
    replies.into_iter().map(|reply| (reply.kind.to_string(), reply.text())).collect()
}

pub(crate) fn reply(kind: &str, text: &str) -> Vec<(String, String)> {
    vec![(kind.into(), text.into())]
}

/// Waits until something is so.
pub(crate) async fn until(mut so: impl AsyncFnMut() -> bool) {
    within(async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Counts who calls; a search is answered there.
pub(crate) fn listener() -> (SocketAddr, Arc<AtomicUsize>) {
    listener_at("127.0.0.1:0")
}

pub(crate) fn listener_at(at: &str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(at).unwrap();
    let (at, calls) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = calls.clone();
    std::thread::spawn(move || {
        for call in listener.incoming() {
            drop(call);
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (at, calls)
}

/// Somebody who waits for answers to a search.
pub(crate) fn heard() -> (SocketAddr, std::sync::mpsc::Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            let mut frame = Vec::new();
            let mut tcp = tcp;
            tcp.set_read_timeout(Some(SOON)).unwrap();
            let mut header = [0; 8];
            if tcp.read_exact(&mut header).is_err() || header[..4] != *b"RESP" {
                continue;
            }
            frame.resize(u32::from_be_bytes(header[4..].try_into().unwrap()) as usize, 0);
            tcp.read_exact(&mut frame).unwrap();
            let text = String::from_utf8(frame).unwrap();
            let (name, owner) = text.split_once(' ').unwrap();
            let _ = tell.send((name.to_owned(), owner.to_owned()));
        }
    });
    (at, told)
}

pub(crate) fn frame(kind: &str, text: &str) -> Vec<u8> {
    [kind.as_bytes(), &(text.len() as u32).to_be_bytes(), text.as_bytes()].concat()
}
