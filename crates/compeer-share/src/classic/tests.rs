//! Bounds of what others can have this peer do, each filled; in virtual time where time is the point.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use compeer::transport::memory::MemoryNetwork;
use compeer::{Identity, Stream};
use futures_util::FutureExt;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use super::*;
use crate::Store;
use crate::fetch::FetchError;
use crate::hash::Progress;
use crate::limits::*;
use crate::shares::Offer;
use crate::wire::{self, Tell};
use words::Query;

/// Somebody on a made-up network, where time can fly.
struct Person {
    peer: Peer,
    shares: Shares,
    classic: Classic,
    home: TempDir,
}

impl Person {
    async fn new(network: &MemoryNetwork, n: u8) -> Person {
        let (home, identity, ip) =
            (tempfile::tempdir().unwrap(), Identity::from_seed(&[n; 32]), IpAddr::from([10, 0, 0, n]));
        let peer = Peer::builder()
            .transport(network.transport(identity.peer_id(), ip))
            .identity(identity.clone())
            .listen(std::net::SocketAddr::new(ip, 1))
            .seed(n.into())
            .spawn()
            .await
            .unwrap();
        let shares = Shares::attach(&peer, identity, Store::at(home.path()));
        let classic = Classic::attach(&shares, Settings::default()).unwrap();
        Person { peer, shares, classic, home }
    }

    fn inner(&self) -> &Inner {
        &self.classic.inner
    }
}

/// The port of a program that takes calls, at any address of loopback, and never says a word.
fn silent() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().flatten().collect::<Vec<_>>());
    port
}

fn loopback(n: usize) -> IpAddr {
    Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + n as u32).into()
}

/// Everybody in the roster is silent. A call ends when its time is over, so the time of all tells how many there were at
/// once; and those of the one kind do not wait for those of the other.
#[tokio::test(start_paused = true)]
async fn so_many_are_called_and_checked_at_a_time_and_neither_waits_for_the_other() {
    let person = Person::new(&MemoryNetwork::new(1), 1).await;
    let (inner, port) = (person.inner(), silent());
    for n in 0..CLASSIC_CALLS + CLASSIC_CHECKS {
        let host = loopback(n).to_string();
        inner.roster().add(Member { id: format!("{host}:{port}"), host, port }, None, &[]).unwrap();
    }
    let began = inner.now();
    let query = Query { back: "127.0.0.1:4444".into(), key: "song".into(), ttl: 1 };
    let took = |()| inner.now().since(began);
    let (called, checked) = tokio::join!(inner.spread(&query).map(took), inner.check().map(took));
    for took in [called, checked] {
        assert!(took >= 2 * CLASSIC_CALL_TIME && took < 3 * CLASSIC_CALL_TIME, "{took:?}");
    }
    person.peer.shutdown().await;
}

/// Who joins is called at once, or not yet: nobody waits in front of the searches.
#[tokio::test(start_paused = true)]
async fn who_joins_while_all_places_are_taken_waits_for_the_next_check() {
    let person = Person::new(&MemoryNetwork::new(1), 1).await;
    let (inner, port) = (&person.classic.inner, silent());
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for n in 0..2 * CLASSIC_CALLS {
        let host = loopback(n).to_string();
        let member = Member { id: format!("{host}:{port}"), host, port };
        let at = member.addr().unwrap();
        inner.greet(member, at);
    }
    assert_eq!((tasks() - before, inner.calls.available_permits()), (CLASSIC_CALLS, 0));
    person.peer.shutdown().await;
}

#[tokio::test]
async fn of_a_list_so_many_are_remembered_as_a_roster_has() {
    let person = Person::new(&MemoryNetwork::new(1), 1).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let frame = |text: &str| [b"REPL", &(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat();
        for mut tcp in listener.incoming().flatten() {
            let mut header = [0; 8];
            tcp.read_exact(&mut header).unwrap();
            let mut body = vec![0; u32::from_be_bytes(header[4..].try_into().unwrap()) as usize];
            tcp.read_exact(&mut body).unwrap();
            let answer = match &header[..4] {
                b"LIST" => frame("x 127.0.0.1 4444").repeat(2 * MAX_CLASSIC),
                _ => frame(&at.to_string()),
            };
            tcp.write_all(&answer).unwrap();
        }
    });
    let (_, listed) = person.inner().visit(None, at.into(), &mut Default::default()).await.unwrap();
    assert_eq!(listed.len(), MAX_CLASSIC);
    person.peer.shutdown().await;
}

/// Another peer on that network, at 10.0.0.2, that shares nothing.
fn neighbour(network: &MemoryNetwork) -> compeer::Builder {
    let identity = Identity::from_seed(&[2; 32]);
    let transport = network.transport(identity.peer_id(), [10, 0, 0, 2].into());
    Peer::builder().transport(transport).identity(identity).listen("10.0.0.2:1")
}

/// A list that is none is charged as far as it came, and not as far as it was claimed to come.
#[tokio::test]
async fn a_list_counts_as_far_as_it_came() {
    const LEFT: usize = 1024 * 1024;
    let network = MemoryNetwork::new(1);
    let person = Person::new(&network, 1).await;
    let near = neighbour(&network).spawn().await.unwrap();
    let comes = Arc::new(AtomicUsize::new(0));
    let gives = comes.clone();
    let handler = move |mut stream: Stream| {
        let gives = gives.load(Ordering::SeqCst);
        async move {
            let (have, records, ext) = Default::default();
            let manifest = MAX_MANIFEST_BYTES as u32;
            let welcome = Tell::Welcome { manifest, have, records, pass_on: true, ext };
            let all = [wire::encode(&welcome), wire::encode(&Tell::Manifest), vec![0; gives]].concat();
            // Who looks goes when he has seen enough.
            let _ = stream.write_all(&all).await;
            let _ = stream.shutdown().await;
        }
    };
    near.handle_stream(wire::STREAM, handler).unwrap();
    let (inner, from) = (person.inner(), IpAddr::from([203, 0, 113, 7]));
    lock(&inner.allowance).fetched(from, CLASSIC_BYTES_BURST as usize - LEFT, inner.now());
    let ticket = compeer::ShareTicket::new(vec![near.addr()], [7; 32], [7; 16]);
    for (many, may) in [(0, true), (16 * LEFT, false)] {
        comes.store(many, Ordering::SeqCst);
        assert!(inner.look(&ticket, from).await.is_err());
        assert_eq!(inner.may_fetch(Some(from)), may, "{many}");
    }
    person.peer.shutdown().await;
    near.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn one_household_is_called_so_often_and_then_so_often_a_second() {
    let person = Person::new(&MemoryNetwork::new(1), 1).await;
    let may = |at: &str| person.inner().may_be_called(&at.parse().unwrap());
    let all = |at: &dyn Fn(usize) -> String| (0..1000).filter(|n| may(&at(*n))).count();
    assert_eq!(all(&|n| format!("10.0.0.9:{}", 1024 + n)), CLASSIC_CALLS_BURST as usize);
    assert_eq!(all(&|n| format!("[2001:db8:0:7::{n:x}]:1024")), CLASSIC_CALLS_BURST as usize);
    assert_eq!(all(&|_| "10.0.0.8:1024".into()), CLASSIC_CALLS_BURST as usize, "others as well");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(all(&|_| "10.0.0.9:1024".into()), CLASSIC_CALLS_A_SECOND as usize);
    // One that is not to be called is not.
    let refused = "127.0.0.1:9".parse::<Addr>().unwrap();
    while person.inner().may_be_called(&refused) {}
    assert!(person.inner().call(refused, "NAME", String::new()).await.is_none());
    person.peer.shutdown().await;
}

#[tokio::test]
async fn the_kinds_that_are_told_are_those_that_are_answered() {
    let person = Person::new(&MemoryNetwork::new(1), 1).await;
    assert!(KINDS.iter().all(|kind| person.peer.remove_classic_handler(*kind)));
    person.peer.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn so_many_households_are_counted_and_one_more_has_to_wait() {
    let person = Person::new(&MemoryNetwork::new(1), 1).await;
    let may = |n: usize| person.inner().may_ask(loopback(n));
    assert!((0..CLASSIC_COUNTED).all(may));
    assert!(!may(CLASSIC_COUNTED) && may(0));
    // Who has been quiet is as good as new.
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(may(CLASSIC_COUNTED));
    assert_eq!((0..1000).filter(|_| may(7)).count(), CLASSIC_BURST as usize);
    let neighbours = (0..1000).map(|n| format!("2001:db8:0:7::{n:x}").parse().unwrap());
    assert_eq!(neighbours.filter(|from| person.inner().may_ask(*from)).count(), CLASSIC_BURST as usize);
    person.peer.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn what_old_programs_told_is_good_for_a_while_and_the_first_one_keeps_the_name() {
    let person = Person::new(&MemoryNetwork::new(1), 1).await;
    let inner = person.inner();
    let search = async || inner.beyond("song", Duration::from_secs(1)).await.len();
    let (host, port) = ("127.0.0.1".to_owned(), silent());
    inner.roster().add(Member { id: format!("{host}:{port}"), host, port }, None, &[]).unwrap();
    inner.hear("song.txt".into(), "127.0.0.1:4444".into(), loopback(0));
    assert_eq!(search().await, 0, "nobody had asked");
    let owner = || lock(&inner.told).get("song.txt").map(|told| told.owner.clone());
    inner.hear("song.txt".into(), "127.0.0.1:4444".into(), loopback(0));
    inner.hear("song.txt".into(), "127.0.0.1:5555".into(), loopback(0));
    inner.hear("dance.txt".into(), "127.0.0.1:4444".into(), loopback(0));
    assert_eq!((search().await, owner().as_deref()), (1, Some("127.0.0.1:4444")));
    tokio::time::advance(CLASSIC_TOLD_FOR).await;
    assert_eq!(search().await, 0, "so old that nobody may be there any more");
    inner.hear("song.txt".into(), "127.0.0.1:5555".into(), loopback(0));
    assert_eq!((search().await, owner().as_deref()), (1, Some("127.0.0.1:5555")));
    person.peer.shutdown().await;
}

#[tokio::test]
async fn so_many_shares_are_looked_into_for_one_search() {
    let network = MemoryNetwork::new(1);
    let (person, near) = (Person::new(&network, 1).await, Person::new(&network, 2).await);
    // They are called so, and no file in them is.
    for n in 0..2 * CLASSIC_LOOKS {
        let path = near.home.path().join(format!("tiger {n}"));
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("x.txt"), n.to_string()).unwrap();
        let offer = Offer { paths: vec![path], access: crate::Access::Public, ..Offer::default() };
        near.shares.offer(offer, Arc::new(Progress::default())).await.unwrap();
    }
    person.peer.connect(near.peer.addr()).await.unwrap();
    assert_eq!(person.inner().find_elsewhere("tiger", loopback(0)).await, None);
    assert_eq!(person.peer.counters().streams_opened, CLASSIC_LOOKS as u64);
    person.peer.shutdown().await;
    near.peer.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_search_among_native_peers_has_its_time() {
    let network = MemoryNetwork::new(1);
    let person = Person::new(&network, 1).await;
    let silent = |_: compeer::Request| std::future::pending::<Result<(), Failure>>();
    let near = neighbour(&network).handle("compeer/share/find", silent).spawn().await.unwrap();
    person.peer.connect(near.addr()).await.unwrap();
    let began = person.inner().now();
    assert_eq!(person.inner().find_elsewhere("tiger", loopback(0)).await, None);
    let took = person.inner().now().since(began);
    assert!(took <= CLASSIC_LOOK_TIME && took * 2 > CLASSIC_LOOK_TIME, "{took:?}");
    person.peer.shutdown().await;
    near.shutdown().await;
}

/// Time stands still until this is dropped, however slow the machine is: a blocking task keeps paused time from flying.
fn still() -> std::sync::mpsc::Sender<()> {
    let (hold, held) = std::sync::mpsc::channel();
    tokio::time::pause();
    tokio::task::spawn_blocking(move || held.recv_timeout(Duration::from_secs(60)));
    hold
}

/// An old program that gives a file of this length whatever it is asked for, but for the last byte.
fn nearly(len: u32) -> Addr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut tcp in listener.incoming().flatten() {
            // The name too: who closes with bytes unread takes back what is on its way.
            tcp.read_exact(&mut [0; 8 + "tune".len()]).unwrap();
            tcp.write_all(&[&b"REPL"[..], &len.to_be_bytes()].concat()).unwrap();
            tcp.write_all(&vec![0; len as usize - 1]).unwrap();
        }
    });
    at.into()
}

/// Has an old program give its file for somebody; whether it was asked for it.
async fn gives(person: &Person, at: &Addr, from: Option<IpAddr>) -> bool {
    let inner = person.classic.inner.clone();
    let error = inner.bring_to_cache("tune".into(), at.clone(), "key".into(), from).await.unwrap_err();
    !error.is_busy()
}

#[tokio::test]
async fn a_household_has_so_much_fetched_either_way_and_this_machine_and_friends_have_more() {
    const FILE: u32 = 1024 * 1024;
    let person = Person::new(&MemoryNetwork::new(1), 1).await;
    let _still = still();
    let (inner, old) = (&person.classic.inner, nearly(FILE));
    let house = IpAddr::from([203, 0, 113, 7]);
    lock(&inner.allowance).fetched(house, CLASSIC_BYTES_BURST as usize - FILE as usize, inner.now());
    // What has come counts, even when it is not all. With next to nothing left, one more is let through.
    for may in [true, true, false] {
        assert_eq!(gives(&person, &old, Some(house)).await, may);
    }
    let ticket = compeer::ShareTicket::new([], [7; 32], [7; 16]);
    let wanted = Elsewhere::new(ticket, "song.txt".into());
    let busy = inner.clone().fetch_to_cache(wanted, "key".into(), house).await.unwrap_err();
    assert!(busy.is_busy(), "{busy}");
    for ours in [Some(loopback(0)), None] {
        lock(&inner.allowance).fetched(loopback(0), 2 * CLASSIC_BYTES_BURST as usize, inner.now());
        assert!(gives(&person, &old, ours).await);
    }
    person.peer.shutdown().await;
}

/// What an old program has is promised, and asked for by a neighbour whose household has had all that it may.
#[tokio::test]
async fn who_is_paired_may_have_more_brought_than_strangers() {
    let network = MemoryNetwork::new(1);
    let (person, near) = (Person::new(&network, 1).await, Person::new(&network, 2).await);
    person.peer.connect(near.peer.addr()).await.unwrap();
    let inner = &person.classic.inner;
    let told = Told { owner: "x:1".into(), at: nearly(9), when: inner.now() };
    lock(&inner.told).add("tune".into(), told);
    let promised = inner.promise("tune", "x:1").promise;
    let ticket = compeer::ShareTicket::new([person.peer.addr()], *promised.as_bytes(), Default::default());
    lock(&inner.allowance).fetched([10, 0, 0, 2].into(), 2 * CLASSIC_BYTES_BURST as usize, inner.now());
    let error = near.shares.bring(&ticket).await.unwrap_err();
    assert!(matches!(error, RequestError::Busy), "{error}");
    person.peer.know(near.peer.id());
    let error = near.shares.bring(&ticket).await.unwrap_err();
    assert!(matches!(error, RequestError::HandlerFailed(_)), "it was asked for: {error}");
    person.peer.shutdown().await;
    near.peer.shutdown().await;
}

/// Never silent for long, and never done.
#[tokio::test]
async fn a_file_of_an_old_program_has_its_time() {
    let person = Person::new(&MemoryNetwork::new(1), 1).await;
    let _still = still();
    let inner = &person.classic.inner;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        tcp.read_exact(&mut [0; 8 + "tune".len()]).unwrap();
        tcp.write_all(&[&b"REPL"[..], &CLASSIC_FILE.to_be_bytes()].concat()).unwrap();
        // Until nobody listens any more.
        let _ = gone.iter().try_for_each(|()| tcp.write_all(b"x"));
    });
    let began = inner.now();
    let bringing = tokio::spawn(inner.clone().bring_to_cache("tune".into(), at.into(), "key".into(), None));
    let file = person.home.path().join("classic/0/tune");
    let come = || std::fs::metadata(&file).map_or(0, |file| file.len());
    for bytes in 1.. {
        go.send(()).unwrap();
        while come() < bytes && !bringing.is_finished() {
            tokio::task::yield_now().await;
        }
        if bringing.is_finished() {
            break;
        }
        tokio::time::advance(CLASSIC_SILENCE * 9 / 10).await;
    }
    let took = inner.now().since(began);
    assert!(bringing.await.unwrap().is_err());
    assert!(took >= CLASSIC_FETCH_TIME && took < CLASSIC_FETCH_TIME + CLASSIC_SILENCE, "{took:?}");
    assert!(!file.exists());
    person.peer.shutdown().await;
}

/// Never silent for long, and not at the end of its list.
#[tokio::test(start_paused = true)]
async fn a_file_of_a_native_peer_has_its_time() {
    let network = MemoryNetwork::new(1);
    let person = Person::new(&network, 1).await;
    let near = neighbour(&network).spawn().await.unwrap();
    let handler = |mut stream: Stream| async move {
        let (have, records, ext) = Default::default();
        let manifest = MAX_MANIFEST_BYTES as u32;
        let welcome = Tell::Welcome { manifest, have, records, pass_on: true, ext };
        let _ = stream.write_all(&[wire::encode(&welcome), wire::encode(&Tell::Manifest)].concat()).await;
        while stream.write_all(&vec![0; 1024 * 1024]).await.is_ok() && stream.flush().await.is_ok() {
            tokio::time::sleep(STREAM_SILENCE / 2).await;
        }
    };
    near.handle_stream(wire::STREAM, handler).unwrap();
    let inner = &person.classic.inner;
    let ticket = compeer::ShareTicket::new(vec![near.addr()], [7; 32], [7; 16]);
    let wanted = Elsewhere::new(ticket, "song.txt".into());
    let began = inner.now();
    inner.clone().fetch_to_cache(wanted, "key".into(), loopback(0)).await.unwrap_err();
    assert_eq!(inner.now().since(began), CLASSIC_FETCH_TIME);
    person.peer.shutdown().await;
    near.shutdown().await;
}

#[tokio::test]
async fn who_shows_that_he_does_not_have_a_file_is_forgotten_and_nobody_else() {
    let person = Person::new(&MemoryNetwork::new(1), 1).await;
    let (inner, peer) = (person.inner(), person.peer.id());
    let provider = Elsewhere::new(compeer::ShareTicket::new([], [7; 32], [7; 16]), "x/my song.txt".into());
    let why = || "x".to_owned();
    for (error, stays) in [
        (FetchError::Nobody(Vec::new()), true),
        (FetchError::Broken { peer, why: why() }, true),
        (FetchError::NoProvider { missing: 1, why: why() }, true),
        (FetchError::DiskFull, true),
        (FetchError::Unknown, false),
        (FetchError::Manifest { peer, why: why() }, false),
        (FetchError::Lies, false),
    ] {
        lock(&inner.elsewhere).put("my_song.txt", provider.clone());
        inner.judge(&provider, &error);
        assert_eq!(lock(&inner.elsewhere).providers("my_song.txt").len(), usize::from(stays), "{error}");
    }
    person.peer.shutdown().await;
}
