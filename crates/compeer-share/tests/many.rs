//! Many providers at once: their speeds add up, liars are found out and named, and what one that dies leaves undone
//! the others do.

#[path = "support/people.rs"]
mod people;
#[path = "support/liar.rs"]
mod provider;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use compeer_share::{Access, Entry, FetchError, FetchEvent, Manifest, Offer, ShareTicket};
use people::{Person, SOON, noise, ticket};
use provider::Deed::{self, Die, Honest, Lie, Mute};
use provider::{Gate, Provider, ticket_for};

/// Groups of the file below.
const GROUPS: u64 = 2000;

fn file() -> (Manifest, Vec<u8>) {
    let data = noise((GROUPS * compeer_share::tree::GROUP) as usize - 5, 1);
    let root = *blake3::hash(&data).as_bytes();
    let size = data.len() as u64;
    let entry =
        Entry { path: "a".into(), size, root, executable: false, modified: 1_000_000_000, modified_nanos: 0 };
    (Manifest::new(vec![entry]).unwrap(), data)
}

type Deeds = Box<dyn Fn(u64) -> Deed + Send + Sync>;

fn always(deed: Deed) -> Deeds {
    Box::new(move |_| deed)
}

async fn four(deeds: [Deeds; 4]) -> (Vec<Provider>, ShareTicket, Vec<u8>) {
    let (manifest, data) = file();
    let mut providers = Vec::new();
    let gate = Gate::of(deeds.len());
    for (who, deed) in deeds.into_iter().enumerate() {
        providers.push(Provider::new(&manifest, &data, deed, (who, gate.clone())).await);
    }
    let ticket = ticket_for(&manifest, providers.iter().map(|provider| provider.peer.addr()));
    (providers, ticket, data)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_four_give_their_part() {
    let (providers, ticket, data) = four([Honest; 4].map(always)).await;
    let bob = Person::new().await;
    let fetched = bob.get(&ticket).await.unwrap();
    assert!(bob.read("a") == data);
    assert_eq!(fetched.sources.len(), 4);
    for provider in &providers {
        assert!(provider.sent.load(Ordering::Relaxed) > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_liars_of_four_are_named_and_nothing_of_theirs_is_written() {
    // One from the first group on, one after it has given a segment: it has been asked for two by then.
    let given = AtomicU64::new(0);
    let late = move |_| if given.fetch_add(1, Ordering::Relaxed) < 1 { Honest } else { Lie };
    let (providers, ticket, data) = four([always(Lie), Box::new(late), always(Honest), always(Honest)]).await;
    let bob = Person::new().await;
    let (outcome, events) = bob.watch(&ticket).await;
    outcome.unwrap();
    assert!(bob.read("a") == data);
    let liars = events.iter().filter_map(|event| match event {
        FetchEvent::Liar { peer } => Some(*peer),
        _ => None,
    });
    let liars: BTreeSet<_> = liars.collect();
    assert_eq!(liars, providers[..2].iter().map(|provider| provider.peer.id()).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_falls_silent_holds_nothing_up() {
    let (_providers, ticket, data) = four([always(Mute), always(Honest), always(Mute), always(Mute)]).await;
    let bob = Person::new().await;
    bob.get(&ticket).await.unwrap();
    assert!(bob.read("a") == data);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_lies_near_the_end_is_caught_when_it_alone_has_the_rest() {
    // Near the end of what he gives, wherever that is: which ranges he is dealt depends on when the others die.
    let given = std::sync::atomic::AtomicU64::new(0);
    let late = move |_| match given.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        0..24 => Honest,
        _ => Lie,
    };
    let (providers, ticket, data) = four([Box::new(late), always(Die), always(Die), always(Die)]).await;
    let bob = Person::new().await;
    let (outcome, events) = bob.watch(&ticket).await;
    assert!(matches!(outcome, Err(FetchError::Lies)), "{outcome:?}");
    assert!(events.contains(&FetchEvent::Liar { peer: providers[0].peer.id() }));
    // What was right is kept: the rest comes from one that is honest, and it is not much.
    let (manifest, _) = file();
    let honest = Provider::new(&manifest, &data, |_| Honest, (0, Gate::of(1))).await;
    let fetched = bob.get(&ticket_for(&manifest, [honest.peer.addr()])).await.unwrap();
    assert!(bob.read("a") == data);
    // Of 32 MiB, 24 were right, less what was under way when he was caught.
    assert!(fetched.received < 16 << 20, "{}", fetched.received);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_of_four_die_half_way_and_it_completes() {
    let half = |group| if group > GROUPS / 2 { Die } else { Honest };
    let (_providers, ticket, data) =
        four([Box::new(half), Box::new(half), Box::new(half), always(Honest)]).await;
    let bob = Person::new().await;
    bob.get(&ticket).await.unwrap();
    assert!(bob.read("a") == data);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_fetched_gives_it_to_the_next() {
    let (alice, bob, carol) = (Person::new().await, Person::new().await, Person::new().await);
    let data = noise(3_000_000, 1);
    let offered = alice.offer(&alice.write("a", &data)).await;
    bob.get(&ticket(&offered)).await.unwrap();
    // Alice is gone; Bob's is the only address.
    alice.peer.shutdown().await;
    let at_bob = ShareTicket { peers: vec![bob.peer.addr()], ..ticket(&offered) };
    let fetched = carol.get(&at_bob).await.unwrap();
    assert!(carol.read("a") == data);
    assert_eq!(fetched.sources, [bob.peer.id()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_fetch_at_once_hear_of_each_other_and_share_what_they_have() {
    let (alice, bob, carol) = (Person::new().await, Person::seeded(2).await, Person::seeded(3).await);
    let data = noise(40_000_000, 1);
    let path = alice.write("a", &data);
    // Where each begins follows from its id and the content: the same in every run.
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
    let slow = Offer { paths: vec![path], limit: Some(20_000_000), ..Offer::default() };
    let ticket = ticket(&alice.offer_as(slow).await);
    let (by_bob, by_carol) = tokio::join!(bob.get(&ticket), carol.get(&ticket));
    assert!(bob.read("a") == data && carol.read("a") == data);
    let (by_bob, by_carol) = (by_bob.unwrap(), by_carol.unwrap());
    let from_each_other =
        [by_bob.sources.contains(&carol.peer.id()), by_carol.sources.contains(&bob.peer.id())];
    // Who is ahead when they hear of each other may lack nothing the other has by then.
    assert!(from_each_other.contains(&true), "{by_bob:?} {by_carol:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_share_is_found_by_those_who_know_somebody_who_knows_the_sharer() {
    let (alice, bob, carol) = (Person::new().await, Person::new().await, Person::new().await);
    let path = alice.write("Música del mar/Bahía.txt", b"hello");
    let paths = vec![path.parent().unwrap().to_path_buf()];
    let public = alice.offer_as(Offer { paths, access: Access::Public, ..Offer::default() }).await;
    alice.offer(&alice.write("bahia privada", b"nobody's business")).await;
    bob.peer.connect(alice.peer.addr()).await.unwrap();
    carol.peer.connect(bob.peer.addr()).await.unwrap();
    let mut search = carol.shares.search("bahia", 1, SOON).unwrap();
    let found = people::within(search.next()).await.unwrap();
    assert_eq!((found.content, found.name.as_str(), found.files), (public.content, "Música del mar", 1));
    assert!(people::within(search.next()).await.is_none());
    assert!(people::within(search.summary()).await.complete);
    carol.get(&found.ticket).await.unwrap();
    assert_eq!(carol.read("Música del mar/Bahía.txt"), b"hello");
    let all = carol.shares.browse(alice.peer.addr()).await.unwrap();
    assert_eq!(all.len(), 1);
    alice.shares.stop(public.id).unwrap();
    assert!(carol.shares.browse(alice.peer.addr()).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_room_is_refused_and_leaves_nothing_behind() {
    let (manifest, data) = file();
    let entry = Entry { size: 1 << 60, ..manifest.entries()[0].clone() };
    let manifest = Manifest::new(vec![entry]).unwrap();
    let provider = Provider::new(&manifest, &data, |_| Honest, (0, Gate::of(1))).await;
    let bob = Person::new().await;
    let outcome = bob.get(&ticket_for(&manifest, [provider.peer.addr()])).await;
    assert!(matches!(outcome, Err(FetchError::NoRoom { .. })), "{outcome:?}");
    assert!(bob.names().is_empty(), "{:?}", bob.names());
    assert!(bob.shares.transfers().is_empty());
}
