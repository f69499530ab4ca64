//! What a bridge between old programs and native peers fetches, for whom, how much of it, and what stays when it fails.

#[path = "support/old.rs"]
mod old;
#[path = "support/people.rs"]
mod people;
#[path = "support/liar.rs"]
mod provider;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use compeer::{Peer, Stream};
use compeer_share::classic::Classic;
use compeer_share::find::{self, Catalogue, Found, Lookup, Published};
use compeer_share::{ContentId, Entry, Manifest, limits, wire};
use old::{ask, frame, heard, old, program, publish, read, reply, until};
use people::{Person, SOON, noise, within};
use provider::{Deed, Gate, Provider};

/// How many files the cache of a bridge has, whole or in part.
fn cached(bridge: &Person) -> usize {
    std::fs::read_dir(bridge.home.path().join("classic")).map_or(0, Iterator::count)
}

/// A native provider of one file that can be searched, connected with the bridge, and told of to old programs.
async fn provider(
    (bridge, at): (&Person, SocketAddr),
    data: &[u8],
    deed: Deed,
    gate: &Arc<Gate>,
) -> (Provider, String) {
    let path = "far-song.txt";
    let entry = Entry {
        path: path.into(),
        size: data.len() as u64,
        root: *blake3::hash(data).as_bytes(),
        executable: false,
        modified: 1_000_000_000,
        modified_nanos: 0,
    };
    let manifest = Manifest::new(vec![entry]).unwrap();
    let provider = Provider::new(&manifest, data, move |_| deed, (0, gate.clone())).await;
    find::register(&provider.peer, Arc::new(catalogue([(path, manifest.id())]))).unwrap();
    bridge.peer.connect(provider.peer.addr()).await.unwrap();
    let (reader, told) = heard();
    ask(bridge, at, "QUER", &format!("{reader} song 1")).await;
    let (name, _) = tokio::task::spawn_blocking(move || told.recv_timeout(SOON).unwrap()).await.unwrap();
    assert_eq!(name, path);
    (provider, name)
}

fn catalogue<'a>(shares: impl IntoIterator<Item = (&'a str, ContentId)>) -> Catalogue {
    let catalogue = Catalogue::in_memory().unwrap();
    for (id, (name, content)) in (1..).zip(shares) {
        let published = Published { id, content, secret: [0; 16], name: name.into(), bytes: 1, files: 1 };
        catalogue.add(&published, []).unwrap();
    }
    catalogue
}

/// Somebody who has asked for a file and waits.
fn waiting(at: SocketAddr, name: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(at).unwrap();
    tcp.write_all(&frame("FGET", name)).unwrap();
    tcp
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_ends_with_the_last_one_who_waits_and_no_sooner() {
    let (bridge, classic, at) = old(0, None).await;
    let (data, gate) =
        (noise(100_000, 1).iter().map(|byte| byte % 64 + 32).collect::<Vec<u8>>(), Gate::of(2));
    let (provider, name) = provider((&bridge, at), &data, Deed::Honest, &gate).await;
    // The one who asked leaves, and nothing stays.
    let alone = waiting(at, &name);
    until(async || cached(&bridge) == 1).await;
    drop(alone);
    until(async || cached(&bridge) == 0).await;
    // Of two, the other one has the file.
    let (first, mut second) = (waiting(at, &name), waiting(at, &name));
    until(async || (classic.waiting(), cached(&bridge)) == (2, 1)).await;
    drop(first);
    until(async || classic.waiting() == 1).await;
    assert_eq!(cached(&bridge), 1, "what was begun goes on");
    gate.open();
    let got = tokio::task::spawn_blocking(move || read(&mut second)).await.unwrap().unwrap();
    assert!(got.0 == "REPL" && got.1.as_bytes() == data);
    let groups = (data.len() as u64).div_ceil(compeer_share::tree::GROUP);
    assert_eq!((cached(&bridge), provider.sent.load(Ordering::Relaxed)), (1, groups), "it was fetched once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_brought_leaves_nothing() {
    let (bridge, classic, at) = old(0, None).await;
    let (_provider, name) = provider((&bridge, at), &noise(100_000, 1), Deed::Lie, &Gate::of(1)).await;
    assert_eq!(ask(&bridge, at, "FGET", &name).await, reply("ERRO", "Error reading file"));
    assert_eq!(cached(&bridge), 0);
    // Who lies is not asked again.
    assert_eq!(ask(&bridge, at, "FGET", &name).await, reply("ERRO", "File not found"));

    // Nor does what an old program gives half of, or says it does not have.
    let old = program(vec!["half-tune".into(), "no-tune".into()], |name, mut tcp| match name {
        "half-tune" => tcp.write_all(&frame("REPL", "all of it")[..10]).unwrap(),
        _ => tcp.write_all(&frame("ERRO", "File not found")).unwrap(),
    });
    let (asker, found) = promised((&bridge, &classic), old, "tune").await;
    assert_eq!(found.len(), 2);
    for found in found {
        within(asker.shares.bring(&found.ticket)).await.unwrap_err();
        assert_eq!((cached(&bridge), bridge.shares.shares().len()), (0, 0));
    }
}

/// A native neighbour of the bridge, and what it hears an old program has.
async fn promised(
    (bridge, classic): (&Person, &Classic),
    old: SocketAddr,
    key: &str,
) -> (Person, Vec<Found>) {
    within(classic.join(old, 1)).await.unwrap();
    let asker = Person::new().await;
    asker.peer.connect(bridge.peer.addr()).await.unwrap();
    let mut search = asker.shares.search(key, 0, Duration::from_secs(10)).unwrap();
    let mut found = Vec::new();
    while let Some(one) = within(search.next()).await {
        found.push(one);
    }
    (asker, found)
}

fn names(count: usize, of: &str) -> Vec<String> {
    (0..count).map(|n| format!("{n}-{of}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_are_fetched_at_a_time_and_no_more() {
    let (bridge, classic, _) = old(0, None).await;
    // Each that is asked for waits until the test lets one go.
    let ((tell, mut told), (go, let_go)) = (tokio::sync::mpsc::unbounded_channel(), channel());
    let let_go = Mutex::new(let_go);
    let (under_way, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let counted = most.clone();
    let old = program(names(limits::CLASSIC_FETCHES + 2, "tune"), move |name, mut tcp| {
        counted.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tell.send(()).unwrap();
        let_go.lock().unwrap().recv().unwrap();
        under_way.fetch_sub(1, Ordering::SeqCst);
        tcp.write_all(&frame("REPL", name)).unwrap();
    });
    let (asker, found) = promised((&bridge, &classic), old, "tune").await;
    assert_eq!(found.len(), limits::CLASSIC_FETCHES + 2);
    let mut bringing = tokio::task::JoinSet::new();
    for found in found {
        let shares = asker.shares.clone();
        bringing.spawn(async move { shares.bring(&found.ticket).await });
    }
    for _ in 0..limits::CLASSIC_FETCHES {
        within(told.recv()).await.unwrap();
    }
    for _ in 0..2 {
        go.send(()).unwrap();
        within(told.recv()).await.unwrap();
    }
    (0..limits::CLASSIC_FETCHES).for_each(|_| go.send(()).unwrap());
    while let Some(brought) = within(bringing.join_next()).await {
        brought.unwrap().unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), limits::CLASSIC_FETCHES);
    assert_eq!(cached(&bridge), limits::CLASSIC_FETCHES + 2);
}

#[tokio::test]
async fn a_fetch_of_which_nothing_comes_any_more_is_given_up() {
    let (bridge, classic, _) = old(0, None).await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let old = program(vec!["tune".into()], move |_, mut tcp| {
        // Some of it, and no more.
        tcp.write_all(&frame("REPL", "all of it")[..10]).unwrap();
        tell.send("asked").unwrap();
        assert!(!matches!(tcp.read(&mut [0]), Ok(1..)));
        tell.send("closed").unwrap();
    });
    let (asker, found) = promised((&bridge, &classic), old, "tune").await;
    let bringing = tokio::spawn(async move { asker.shares.bring(&found[0].ticket).await });
    assert_eq!(within(told.recv()).await, Some("asked"));
    until(async || cached(&bridge) == 1).await;
    tokio::time::pause();
    tokio::time::advance(limits::CLASSIC_SILENCE).await;
    tokio::time::resume();
    within(bringing).await.unwrap().unwrap_err();
    assert_eq!(within(told.recv()).await, Some("closed"));
    until(async || cached(&bridge) == 0).await;
}

#[tokio::test]
async fn old_programs_that_do_not_begin_leave_their_places_to_others() {
    let (bridge, classic, _) = old(0, None).await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let all = [names(limits::CLASSIC_FETCHES, "silent-tune"), vec!["a-tune".into()]].concat();
    let old = program(all, move |name, mut tcp| {
        tell.send(name.to_owned()).unwrap();
        match name {
            "a-tune" => tcp.write_all(&frame("REPL", name)).unwrap(),
            // Half a header, and no more.
            _ => {
                tcp.write_all(&frame("REPL", name)[..4]).unwrap();
                assert!(!matches!(tcp.read(&mut [0]), Ok(1..)));
            }
        }
    });
    let (asker, found) = promised((&bridge, &classic), old, "tune").await;
    let mut bringing = tokio::task::JoinSet::new();
    let mut bring = |found: &Found| {
        let (shares, ticket) = (asker.shares.clone(), found.ticket.clone());
        bringing.spawn(async move { shares.bring(&ticket).await.is_ok() });
    };
    let (silent, gives): (Vec<_>, Vec<_>) = found.iter().partition(|found| found.name.contains("silent"));
    silent.iter().for_each(|found| bring(found));
    for _ in &silent {
        within(told.recv()).await.unwrap();
    }
    bring(gives[0]);
    until(async || classic.waiting() == found.len()).await;
    assert!(told.try_recv().is_err(), "all places are taken");
    tokio::time::pause();
    tokio::time::advance(limits::CLASSIC_BEGIN_TIME).await;
    tokio::time::resume();
    assert_eq!(within(told.recv()).await.as_deref(), Some("a-tune"));
    let mut brought = 0;
    while let Some(one) = within(bringing.join_next()).await {
        brought += usize::from(one.unwrap());
    }
    assert_eq!(brought, 1);
}

/// Time stands still until this is dropped, however slow the machine is: a blocking task keeps paused time from flying.
fn still() -> std::sync::mpsc::Sender<()> {
    let (hold, held) = channel();
    tokio::time::pause();
    tokio::task::spawn_blocking(move || held.recv_timeout(SOON));
    hold
}

#[tokio::test]
async fn so_many_lists_are_read_at_a_time_and_no_more() {
    let (bridge, _classic, at) = old(0, None).await;
    // A neighbour that says it has much, and gives no list before the test lets it.
    let neighbour = Peer::builder().listen("127.0.0.1:0").spawn().await.unwrap();
    let names = names(limits::CLASSIC_LOOKS_AT_ONCE + 2, "song");
    let shares = names.iter().map(|name| (name.as_str(), ContentId::of(name.as_bytes())));
    find::register(&neighbour, Arc::new(catalogue(shares))).unwrap();
    let ((tell, mut told), go) =
        (tokio::sync::mpsc::unbounded_channel(), Arc::new(tokio::sync::Semaphore::new(0)));
    let let_go = go.clone();
    let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = most.clone();
    let handler = move |stream: Stream| {
        let (tell, go, under_way) = (tell.clone(), let_go.clone(), under_way.clone());
        counted.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        async move {
            tell.send(()).unwrap();
            go.acquire().await.unwrap().forget();
            under_way.fetch_sub(1, Ordering::SeqCst);
            drop(stream);
        }
    };
    neighbour.handle_stream(wire::STREAM, handler).unwrap();
    bridge.peer.connect(neighbour.addr()).await.unwrap();
    let (reader, _told) = heard();
    // A search is given up after a while.
    let _still = still();
    for name in &names {
        ask(&bridge, at, "QUER", &format!("{reader} {name} 1")).await;
    }
    for _ in 0..limits::CLASSIC_LOOKS_AT_ONCE {
        within(told.recv()).await.unwrap();
    }
    for _ in 0..2 {
        go.add_permits(1);
        within(told.recv()).await.unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), limits::CLASSIC_LOOKS_AT_ONCE);
    go.add_permits(names.len());
    neighbour.shutdown().await;
}

/// Counts searches, and finds nothing.
struct Counts(AtomicUsize);

impl Lookup for Counts {
    fn search(&self, _: &str, _: usize) -> Vec<Published> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Vec::new()
    }

    fn browse(&self, _: u64, _: usize) -> Vec<Published> {
        Vec::new()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_of_strangers_leave_enough_for_the_user() {
    let (bridge, _classic, at) = old(0, None).await;
    let (neighbour, counts) =
        (Peer::builder().listen("127.0.0.1:0").spawn().await.unwrap(), Counts(0.into()));
    let counts = Arc::new(counts);
    find::register(&neighbour, counts.clone()).unwrap();
    bridge.peer.connect(neighbour.addr()).await.unwrap();
    let (reader, _told) = heard();
    let all = limits::CLASSIC_BURST as usize - 4;
    for n in 0..all {
        ask(&bridge, at, "QUER", &format!("{reader} song{n} 1")).await;
    }
    until(async || counts.0.load(Ordering::SeqCst) >= limits::CLASSIC_HOUSE_FINDS_BURST as usize).await;
    let search = bridge.shares.search("mine", 0, Duration::from_secs(10)).unwrap();
    let summary = within(search.summary()).await;
    assert!(summary.complete && summary.answered == 1, "{summary:?}");
    let counted = counts.0.load(Ordering::SeqCst);
    assert!(counted < all, "{counted} of {all}");
    neighbour.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_asked_for_so_often() {
    let (filer, _classic, at) = old(0, None).await;
    publish(&filer, "song.txt", b"la").await;
    let burst = limits::CLASSIC_BURST as usize;
    let mut answered = 0;
    for _ in 0..4 * burst {
        answered += ask(&filer, at, "FGET", "song.txt").await.len();
    }
    assert!(answered >= burst && answered < 4 * burst, "{answered}");
}
