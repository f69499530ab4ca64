//! Old programs for tests: peers that speak with them, and some that act as such.

#![allow(dead_code, reason = "each test uses its part")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
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

/// One frame, if one comes.
pub(crate) fn read(tcp: &mut TcpStream) -> Option<(String, String)> {
    tcp.set_read_timeout(Some(SOON)).unwrap();
    let mut header = [0; 8];
    tcp.read_exact(&mut header).ok()?;
    let mut body = vec![0; u32::from_be_bytes(header[4..].try_into().unwrap()) as usize];
    tcp.read_exact(&mut body).ok()?;
    Some((String::from_utf8_lossy(&header[..4]).into(), String::from_utf8(body).unwrap()))
}

/// Somebody who waits for answers to a search: names of files, and who has them.
pub(crate) fn heard() -> (SocketAddr, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for mut tcp in listener.incoming().flatten() {
            if let Some((kind, text)) = read(&mut tcp)
                && kind == "RESP"
            {
                let (name, owner) = text.split_once(' ').unwrap();
                let _ = tell.send((name.to_owned(), owner.to_owned()));
            }
        }
    });
    (at, told)
}

pub(crate) fn frame(kind: &str, text: &str) -> Vec<u8> {
    [kind.as_bytes(), &(text.len() as u32).to_be_bytes(), text.as_bytes()].concat()
}

/// An old program that has files of these names; what it does when asked for one is the test's.
pub(crate) fn program(
    names: Vec<String>,
    fget: impl Fn(&str, TcpStream) + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let (names, fget) = (Arc::new(names), Arc::new(fget));
    std::thread::spawn(move || {
        for mut tcp in listener.incoming().flatten() {
            let (names, fget) = (names.clone(), fget.clone());
            std::thread::spawn(move || {
                let Some((kind, text)) = read(&mut tcp) else { return };
                let answer = match kind.as_str() {
                    "FGET" => return fget(&text, tcp),
                    "NAME" => at.to_string(),
                    "LIST" => "0".into(),
                    "QUER" => {
                        let [back, key, _] = text.split(' ').collect::<Vec<_>>()[..] else { return };
                        for name in names.iter().filter(|name| name.contains(key)) {
                            let mut tcp = TcpStream::connect(back).unwrap();
                            tcp.write_all(&frame("RESP", &format!("{name} {at}"))).unwrap();
                            // Until it is taken.
                            let _ = tcp.read(&mut [0]);
                        }
                        format!("Query ACK: {key}")
                    }
                    _ => String::new(),
                };
                let _ = tcp.write_all(&frame("REPL", &answer));
            });
        }
    });
    at
}
