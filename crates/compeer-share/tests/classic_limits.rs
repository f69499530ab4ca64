//! Rosters of the file-sharing program of 2007, its searches, and what strangers can have us do: limits filled, and who
//! is tried when the first one fails.

#[path = "support/old.rs"]
mod old;
#[path = "support/people.rs"]
mod people;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;

use compeer_share::classic::JoinError;
use compeer_share::limits;
use futures_util::FutureExt;
use old::{ask, frame, heard, old, publish, read, reply, until};
use people::{Person, SOON, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// A request from some address of loopback; what came until the end.
async fn ask_from(from: &str, at: SocketAddr, kind: &str, body: &str) -> Vec<u8> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(from.parse().unwrap()).unwrap();
    let mut tcp = socket.connect(at).await.unwrap();
    tcp.write_all(&frame(kind, body)).await.unwrap();
    let mut got = Vec::new();
    tcp.read_to_end(&mut got).await.unwrap();
    got
}

/// What we list is never more than what we read of others.
#[tokio::test(flavor = "multi_thread")]
async fn the_longest_list_is_read_by_our_own_client() {
    let (filer, classic, at) = old(0, None).await;
    let word = |n: usize| format!("{n:0>0$}", limits::MAX_CLASSIC_WORD);
    for n in 0..limits::MAX_CLASSIC {
        let from = format!("127.0.0.{}:0", 2 + n / (limits::CLASSIC_BURST as usize / 2));
        let got = ask_from(&from, at, "JOIN", &format!("{} {} 65535", word(n), word(n))).await;
        assert_eq!(got, frame("REPL", &format!("Join: peer added: {}", word(n))));
    }
    assert_eq!(classic.members().len(), limits::MAX_CLASSIC);
    let list = filer.peer.classic_request(at, "LIST", "").max_bytes(limits::CLASSIC_LIST).all();
    let list = list.await.unwrap();
    assert_eq!((list.len(), list[0].text()), (limits::MAX_CLASSIC + 1, limits::MAX_CLASSIC.to_string()));
    assert!(list.iter().map(|reply| reply.body.len()).sum::<usize>() > 128 * 1024);
}

/// A program that takes everybody in, and says for the rest what `answer` gives.
fn program(mut answer: impl FnMut(&str, String) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut tcp in listener.incoming().flatten() {
            let Some((kind, text)) = read(&mut tcp) else { continue };
            let answer = match kind.as_str() {
                "NAME" => frame("REPL", &at.to_string()),
                "JOIN" => frame("REPL", "Join: peer added: x"),
                kind => answer(kind, text),
            };
            let _ = tcp.write_all(&answer);
        }
    });
    at
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_too_long_is_none_and_who_has_it_is_joined_all_the_same() {
    let at = program(|kind, _| match kind {
        "LIST" => {
            let member = frame("REPL", "somebody 127.0.0.1 4444");
            let many = limits::CLASSIC_LIST as usize / member.len() + 1;
            [frame("REPL", &many.to_string()), member.repeat(many)].concat()
        }
        _ => Vec::new(),
    });
    let (_new, new, _) = old(0, None).await;
    assert_eq!(within(new.join(at, 3)).await.unwrap(), 1);
    assert_eq!(new.members().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn joined_is_who_was_taken_in_and_not_who_has_others_in_its_roster() {
    let (filer, classic, at) = old(0, None).await;
    ask(&filer, at, "JOIN", "somebody 127.0.0.1 4444").await;
    let (_full, _full_classic, full_at) = old(1, None).await;
    ask(&filer, full_at, "JOIN", "other 127.0.0.1 4444").await;
    let error = within(classic.join(full_at, 1)).await.unwrap_err();
    assert!(matches!(error, JoinError::NoRoom), "{error}");
    // Who joined us is nobody whom we joined.
    assert_eq!(classic.members().len(), 1);
    within(classic.alone()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_joined_for_whom_there_is_no_room_here() {
    let (filer, classic, at) = old(1, None).await;
    ask(&filer, at, "JOIN", "somebody 127.0.0.1 4444").await;
    let (_other, other, other_at) = old(0, None).await;
    let error = within(classic.join(other_at, 1)).await.unwrap_err();
    assert!(matches!(error, JoinError::Full), "{error}");
    assert_eq!(other.members().len(), 1, "they have room");
    // One that is in already needs none.
    ask(&filer, at, "QUIT", "somebody").await;
    for _ in 0..2 {
        assert_eq!(within(classic.join(other_at, 1)).await.unwrap(), 1);
    }
}

/// Nobody is left when the last one that was joined has gone, and not before. Others stay, and do not count.
#[tokio::test(flavor = "multi_thread")]
async fn who_joined_by_himself_is_not_who_was_joined() {
    let (filer, classic, at) = old(0, None).await;
    let (_other, other, other_at) = old(0, None).await;
    ask(&filer, at, "JOIN", "somebody 127.0.0.1 4444").await;
    // They join each other: it is in already.
    assert_eq!(within(other.join(at, 1)).await.unwrap(), 1);
    within(classic.alone()).await;
    assert_eq!(within(classic.join(other_at, 1)).await.unwrap(), 1);
    assert_eq!(classic.members().len(), 2);
    let mut alone = pin!(classic.alone());
    assert!(alone.as_mut().now_or_never().is_none());
    within(other.leave()).await;
    within(alone).await;
    assert_eq!(classic.members().len(), 1);
}

/// The first copy of a search to come by may be one that goes no further.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_search_that_may_go_further_is_handed_on() {
    let (filer, classic, at) = old(0, None).await;
    let (tell, told) = std::sync::mpsc::channel();
    let next = program(move |kind, body| {
        if kind == "QUER" {
            tell.send(body).unwrap();
        }
        Vec::new()
    });
    assert_eq!(within(classic.join(next, 1)).await.unwrap(), 1);
    for ttl in [0, 3, 2, 3, 5] {
        ask(&filer, at, "QUER", &format!("127.0.0.1:4444 tiger {ttl}")).await;
    }
    let got = tokio::task::spawn_blocking(move || [(); 2].map(|()| told.recv_timeout(SOON).unwrap()));
    let got: BTreeSet<_> = got.await.unwrap().into();
    assert_eq!(got, BTreeSet::from([2, 4].map(|ttl| format!("127.0.0.1:4444 tiger {ttl}"))));
}

/// Two native peers have a file of one name. The one that was found last is asked first, and when it is gone the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_gone_does_not_stand_before_the_others() {
    let (bridge, _classic, at) = old(0, None).await;
    let (first, last) = (Person::new().await, Person::new().await);
    publish(&first, "duet.txt", b"la").await;
    publish(&last, "duet.txt", b"lala").await;
    // Each is found while it is the only one there.
    for person in [&first, &last] {
        let connection = bridge.peer.connect(person.peer.addr()).await.unwrap();
        let (back, told) = heard();
        ask(&bridge, at, "QUER", &format!("{back} duet 0")).await;
        let (name, _) = tokio::task::spawn_blocking(move || told.recv_timeout(SOON).unwrap()).await.unwrap();
        assert_eq!(name, "duet.txt");
        connection.close("found");
        until(async || bridge.peer.connections().is_empty()).await;
    }
    last.peer.shutdown().await;
    assert_eq!(ask(&bridge, at, "FGET", "duet.txt").await, reply("REPL", "la"));
}

/// Takes the calls that searches end in, and keeps them waiting.
async fn hold(listener: &tokio::net::TcpListener, calls: usize) -> Vec<TcpStream> {
    let mut held = Vec::new();
    while held.len() < calls {
        let (mut tcp, _) = within(listener.accept()).await.unwrap();
        let mut header = [0; 8];
        tcp.read_exact(&mut header).await.unwrap();
        let mut body = vec![0; u32::from_be_bytes(header[4..].try_into().unwrap()) as usize];
        tcp.read_exact(&mut body).await.unwrap();
        held.push(tcp);
    }
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_searches_are_worked_on_than_there_are_places() {
    let (filer, _classic, at) = old(0, None).await;
    let name = "abcdefghijklmnopqrstuvwxyz0123456789-song.txt";
    publish(&filer, name, b"la").await;
    publish(&filer, "dance.txt", b"la").await;
    let (other, told) = heard();
    let mut turn = 10;
    // Until all places were taken when one more search came: a machine may be so slow that calls are given up before.
    let held = loop {
        turn += 1;
        let listener = tokio::net::TcpListener::bind(format!("127.0.0.{turn}:0")).await.unwrap();
        let (back, from) = (listener.local_addr().unwrap(), format!("127.0.0.{turn}:0"));
        for n in 0..limits::CLASSIC_SEARCHES {
            ask_from(&from, at, "QUER", &format!("{back} {} 0", &name[n..n + 5])).await;
        }
        let held = hold(&listener, limits::CLASSIC_SEARCHES).await;
        let one_more = ask_from(&from, at, "QUER", &format!("{other} dance 0")).await;
        assert_eq!(one_more, frame("REPL", "Query ACK: dance"));
        let open = |tcp: &TcpStream| {
            tcp.try_read(&mut [0; 1]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
        };
        if held.iter().all(open) {
            break held;
        }
        // It may have been worked on then.
        while told.try_recv().is_ok() {}
    };
    drop(held);
    // Places are free again for the next one; the one more was let go.
    let mut answered = None;
    until(async || {
        ask(&filer, at, "QUER", &format!("{other} song 0")).await;
        answered = told.try_recv().ok();
        answered.is_some()
    })
    .await;
    assert_eq!(answered.unwrap().0, name);
}
