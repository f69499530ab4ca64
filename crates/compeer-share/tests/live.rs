//! Files that are sent before they are hashed: received meanwhile, put in their places when they are known to be right.

#[path = "support/drafts.rs"]
mod drafts;
#[path = "support/people.rs"]
mod people;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use compeer_share::staging::Existing;
use compeer_share::{Access, FetchError, FetchEvent, Offer, ShareEvent, ShareTicket};
use drafts::{all_here, begin_again, done, go_on, held_up, let_go, of, placed};
use people::{Person, noise, ticket, within};

#[tokio::test(flavor = "multi_thread")]
async fn it_is_received_before_it_is_hashed_and_gets_its_names_after() {
    let (alice, bob, carol) = (Person::new().await, Person::new().await, Person::new().await);
    let sizes = [("d/big", 9_000_001), ("d/empty", 0), ("d/e/small", 5), ("d/e/two groups", 20_000)];
    for (seed, (name, size)) in sizes.into_iter().enumerate() {
        alice.write(name, &noise(size, seed as u8));
    }
    let (offered, progress) = held_up(&alice, of(&alice.files.path().join("d"))).await;
    let mut told = alice.shares.events(offered.id).unwrap();
    let fetch = bob.begin(&ticket(&offered)).await.unwrap();
    all_here(&fetch).await;
    assert_eq!(progress.done.load(Ordering::Relaxed), 0, "nothing is hashed yet");
    assert_eq!(placed(&bob), [""; 0]);
    go_on(&progress);
    let fetched = done(fetch).await.unwrap();
    assert_eq!((fetched.received, fetched.bytes), (9_020_006, 9_020_006), "nothing came twice");
    assert_eq!((fetched.placed, fetched.sources), (vec![bob.files.path().join("d")], vec![alice.peer.id()]));
    for (name, _) in sizes {
        assert!(bob.read(name) == alice.read(name), "{name}");
    }
    assert_eq!(bob.names(), ["d"]);
    assert!(bob.shares.transfers().is_empty());

    let (mut content, mut finished, mut streams) = (None, false, 0);
    while content.is_none() || !finished {
        match within(told.recv()).await.unwrap() {
            ShareEvent::Hashed { content: found } => content = Some(found),
            ShareEvent::Finished { peer } => finished = peer == bob.peer.id(),
            ShareEvent::Started { .. } => streams += 1,
            ShareEvent::Left { .. } => {
                streams -= 1;
                assert!(finished || streams > 0, "he seemed to leave in between");
            }
            other => panic!("{other:?}"),
        }
    }
    let now = &alice.shares.shares()[0];
    assert_eq!((now.hashed, Some(now.content)), (true, content));
    // By now the same ticket leads to the content itself, which Bob has too.
    let look = carol.shares.look(&ticket(&offered)).await.unwrap();
    assert_eq!((look.is_draft(), Some(look.content()), look.named()), (false, content, offered.content));
    alice.shares.stop(offered.id).unwrap();
    let at_bob = ShareTicket { peers: vec![bob.peer.addr()], ..ticket(now) };
    carol.get(&at_bob).await.unwrap();
    assert!(carol.read("d/big") == alice.read("d/big"));
    // The draft is over with the share, and of it Bob never gave anything.
    assert!(matches!(carol.get(&ticket(&offered)).await, Err(FetchError::Unknown)));
    let at_bob = ShareTicket { peers: vec![bob.peer.addr()], ..ticket(&offered) };
    assert!(matches!(carol.get(&at_bob).await, Err(FetchError::Unknown)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_by_a_draft_is_given_on_with_its_proofs() {
    let (alice, bob, carol) = (Person::new().await, Person::new().await, Person::new().await);
    // Of more than one piece: what one thread hashes at a time.
    let size = (64 << 20) + 100_000;
    let path = alice.write("a", b"begins");
    std::fs::File::options().write(true).open(&path).unwrap().set_len(size).unwrap();
    let (offered, progress) = held_up(&alice, of(&path)).await;
    let fetch = bob.begin(&ticket(&offered)).await.unwrap();
    all_here(&fetch).await;
    go_on(&progress);
    assert_eq!(done(fetch).await.unwrap().received, size);
    let now = ticket(&alice.shares.shares()[0]);
    alice.peer.shutdown().await;
    let at_bob = ShareTicket { peers: vec![bob.peer.addr()], ..now };
    let fetched = carol.get(&at_bob).await.unwrap();
    assert_eq!((fetched.received, fetched.sources), (size, vec![bob.peer.id()]));
    assert!(carol.read("a") == alice.read("a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_what_a_draft_has_become_of_what_is_none_is_left() {
    use compeer_share::wire::{self, Ask, Frames, Tell};
    use tokio::io::AsyncWriteExt;
    let (alice, bob) = (Person::new().await, Person::new().await);
    let ticket = ticket(&alice.offer(&alice.write("a", b"hello")).await);
    let mut stream = bob.peer.open_stream(alice.peer.addr(), wire::STREAM).await.unwrap();
    let (me, binding) = (bob.peer.id(), stream.channel_binding());
    let proof = *wire::proof(&ticket.secret, &ticket.root, &binding, me.as_bytes()).as_bytes();
    let (record, ext) = Default::default();
    stream.write_all(&wire::encode(&Ask::Hello { content: ticket.root, proof, record, ext })).await.unwrap();
    let mut frames = Frames::default();
    assert!(matches!(within(frames.next(&mut stream)).await, Ok(Some(Tell::Welcome { .. }))));
    stream.write_all(&wire::encode(&Ask::Final { wait: true })).await.unwrap();
    assert!(matches!(within(frames.next::<Tell>(&mut stream)).await, Ok(None) | Err(_)));
    bob.get(&ticket).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_takes_long_to_hash_is_sent_before_it_is() {
    let alice = Person::new().await;
    let path = alice.write("a", &noise(300_000, 1));
    let offer = |from| Offer { draft_from: from, ..of(&path) };
    assert!(alice.offer_as(offer(Some(300_001))).await.hashed);
    // It is known from now on.
    assert!(alice.offer_as(offer(Some(1))).await.hashed);
    alice.write("a", &noise(300_001, 2));
    assert!(alice.offer_as(Offer { access: Access::Public, ..offer(Some(1)) }).await.hashed);
    alice.write("a", &noise(300_001, 3));
    assert!(alice.offer_as(Offer { keep: true, ..offer(Some(1)) }).await.hashed);
    alice.write("a", &noise(300_001, 4));
    assert!(!alice.offer_as(offer(Some(300_001))).await.hashed);
}

/// The directory of the one transfer in a home.
fn transfer(person: &Person) -> PathBuf {
    let transfers = person.home.path().join("transfers");
    std::fs::read_dir(transfers).unwrap().next().unwrap().unwrap().path()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_one_goes_on_whether_it_is_hashed_by_then_or_not() {
    for hashed in [false, true] {
        let (alice, bob) = (Person::new().await, Person::new().await);
        let bytes = noise(12_000_000, 1);
        let slow = Offer { limit: Some(20_000_000), ..of(&alice.write("a", &bytes)) };
        let (offered, progress) = held_up(&alice, slow).await;
        let mut told = alice.shares.events(offered.id).unwrap();
        let fetch = bob.begin(&ticket(&offered)).await.unwrap();
        within(async {
            while fetch.snapshot().done < 6_000_000 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let (window, id) = (fetch.snapshot().window, fetch.id().unwrap().to_string());
        drop(fetch);
        if hashed {
            go_on(&progress);
            while !matches!(within(told.recv()).await.unwrap(), ShareEvent::Hashed { .. }) {}
        }
        let fetch = begin_again(&bob, &ticket(&offered)).await;
        assert_eq!(fetch.id(), Some(id.as_str()));
        go_on(&progress);
        let fetched = done(fetch).await.unwrap();
        assert!(fetched.received + 6_000_000 <= 12_000_000 + window, "{} of {window}", fetched.received);
        assert!(bob.read("a") == bytes);
        assert_eq!(bob.names(), ["a"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_what_came_is_held_against_its_hashes() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    let bytes = noise(8_000_000, 1);
    let (offered, progress) = held_up(&alice, of(&alice.write("a", &bytes))).await;
    let fetch = bob.begin(&ticket(&offered)).await.unwrap();
    all_here(&fetch).await;
    let id = fetch.id().unwrap().to_string();
    drop(fetch);
    // Its last words are a checkpoint, which `kill -9` would not have left.
    let staged = bob.files.path().join(format!("compeer-{id}.part/a"));
    let journal = transfer(&bob).join("draft-journal");
    let_go(&bob, &id).await;
    let len = std::fs::metadata(&journal).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&journal).unwrap().set_len(len - 24).unwrap();
    // A byte that a loss of power has lost.
    let mut lost = std::fs::read(&staged).unwrap();
    lost[3_000_000] ^= 1;
    std::fs::write(&staged, lost).unwrap();
    go_on(&progress);
    let Person { home, files, .. } = bob;
    let bob = Person::with(compeer::Identity::generate(), home, files).await;
    let (look, target) = bob.shares.resume(&id).unwrap();
    assert!(look.is_draft());
    let survey = look.survey(&target).await.unwrap();
    let fetched = done(look.fetch(target, survey, Existing::Ask).await.unwrap()).await.unwrap();
    assert!(fetched.received <= 1 << 20, "one segment, and not {}", fetched.received);
    assert!(bob.read("a") == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_placed_is_not_fetched_again_by_whatever_ticket() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    let bytes = noise(3_000_000, 1);
    let (offered, progress) = held_up(&alice, of(&alice.write("a", &bytes))).await;
    let fetch = bob.begin(&ticket(&offered)).await.unwrap();
    all_here(&fetch).await;
    let id = fetch.id().unwrap().to_string();
    let in_the_way = bob.write("a", b"in the way");
    go_on(&progress);
    let outcome = done(fetch).await;
    assert!(matches!(outcome, Err(FetchError::Target(_))), "{outcome:?}");
    assert_eq!(bob.read("a"), b"in the way");
    std::fs::remove_file(in_the_way).unwrap();
    for ticket in [ticket(&alice.shares.shares()[0]), ticket(&offered)] {
        let look = bob.shares.look(&ticket).await.unwrap();
        let survey = look.survey(&bob.target()).await.unwrap();
        bob.write("a", b"in the way");
        let fetch = look.fetch(bob.target(), survey, Existing::Ask).await.unwrap();
        assert_eq!((fetch.id(), fetch.snapshot().done), (Some(id.as_str()), 3_000_000));
        assert!(matches!(done(fetch).await, Err(FetchError::Target(_))));
        std::fs::remove_file(bob.files.path().join("a")).unwrap();
    }
    assert_eq!(bob.get(&ticket(&offered)).await.unwrap().received, 0);
    assert!(bob.read("a") == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_before_it_is_hashed_arrives_as_it_is_then() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    alice.write("d/a", &noise(2_000_000, 1));
    let path = alice.write("d/b", &noise(2_000_000, 2));
    let (offered, progress) = held_up(&alice, of(&alice.files.path().join("d"))).await;
    let mut fetch = bob.begin(&ticket(&offered)).await.unwrap();
    all_here(&fetch).await;
    std::fs::write(path, noise(2_000_000, 3)).unwrap();
    go_on(&progress);
    let mut events = Vec::new();
    while let Some(event) = within(fetch.next()).await {
        events.push(event);
    }
    let fetched = done(fetch).await.unwrap();
    assert_eq!(fetched.received, 6_000_000, "the one that changed came twice");
    assert!(
        events.contains(&FetchEvent::Changed { peer: alice.peer.id(), path: "d/b".into() }),
        "{events:?}"
    );
    let sources = events.iter().filter(|event| matches!(event, FetchEvent::Source { .. })).count();
    assert_eq!(sources, 1, "told once: {events:?}");
    assert!(bob.read("d/a") == noise(2_000_000, 1) && bob.read("d/b") == noise(2_000_000, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_hashed_is_told_to_both_and_keeps_its_name_from_appearing() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    let path = alice.write("a", &noise(2_000_000, 1));
    let (offered, progress) = held_up(&alice, of(&path)).await;
    let mut told = alice.shares.events(offered.id).unwrap();
    let fetch = bob.begin(&ticket(&offered)).await.unwrap();
    all_here(&fetch).await;
    std::fs::write(&path, b"shorter").unwrap();
    go_on(&progress);
    let outcome = done(fetch).await;
    let Err(FetchError::NotHashed { peer, why }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(peer, alice.peer.id());
    assert_eq!(why, "a was changed there while it was hashed");
    assert_eq!(placed(&bob), [""; 0]);
    while !matches!(within(told.recv()).await.unwrap(), ShareEvent::NotHashed { .. }) {}
    // Who comes now is told at once.
    assert!(matches!(bob.shares.look(&ticket(&offered)).await, Err(FetchError::NotHashed { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_stopped_is_neither_hashed_nor_had() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    let (offered, progress) = held_up(&alice, of(&alice.write("a", &noise(2_000_000, 1)))).await;
    let fetch = bob.begin(&ticket(&offered)).await.unwrap();
    all_here(&fetch).await;
    alice.shares.stop(offered.id).unwrap();
    assert!(progress.stop.load(Ordering::Relaxed));
    let outcome = done(fetch).await;
    assert!(matches!(outcome, Err(FetchError::Unknown)), "{outcome:?}");
    assert_eq!(placed(&bob), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn some_of_the_files_can_be_chosen() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    for (seed, name) in ["d/a.txt", "d/b.jpg", "d/c.jpg"].into_iter().enumerate() {
        alice.write(name, &noise(100_000, seed as u8));
    }
    let to_bob = Offer { access: Access::Only(vec![bob.peer.id()]), ..of(&alice.files.path().join("d")) };
    let (offered, progress) = held_up(&alice, to_bob).await;
    let mut look = bob.shares.look(&ticket(&offered)).await.unwrap();
    look.select(&["*.jpg".to_string()]).unwrap();
    let survey = look.survey(&bob.target()).await.unwrap();
    let fetch = look.fetch(bob.target(), survey, Existing::Ask).await.unwrap();
    all_here(&fetch).await;
    go_on(&progress);
    let fetched = done(fetch).await.unwrap();
    assert_eq!((fetched.bytes, fetched.received), (200_000, 200_000));
    assert!(bob.read("d/b.jpg") == alice.read("d/b.jpg") && bob.read("d/c.jpg") == alice.read("d/c.jpg"));
    assert!(!bob.files.path().join("d/a.txt").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_a_stream_gets_verified_bytes_only() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    let bytes = noise(2_000_000, 1);
    let (offered, progress) = held_up(&alice, of(&alice.write("a", &bytes))).await;
    let look = bob.shares.look(&ticket(&offered)).await.unwrap();
    assert!(matches!(look.stream(), Err(FetchError::Draft)));
    let look = bob.shares.look(&ticket(&offered)).await.unwrap();
    let hashed = AtomicU64::new(0);
    go_on(&progress);
    let look = within(look.settled(&hashed)).await.unwrap();
    assert!(!look.is_draft());
    let (fetch, mut reader) = look.stream().unwrap();
    let mut read = Vec::new();
    while read.len() < bytes.len() {
        read.extend_from_slice(&within(reader.recv()).await.unwrap());
    }
    done(fetch).await.unwrap();
    assert!(read == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_there_are_no_hindrance_once_it_is_known_that_they_are_the_same() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    let bytes = noise(500_000, 1);
    bob.write("a", &bytes);
    let (offered, progress) = held_up(&alice, of(&alice.write("a", &bytes))).await;
    let outcome = bob.begin(&ticket(&offered)).await.map(drop);
    assert!(matches!(outcome, Err(FetchError::Target(_))), "{outcome:?}");
    go_on(&progress);
    let look = bob.shares.look(&ticket(&offered)).await.unwrap();
    let look = within(look.settled(&AtomicU64::new(0))).await.unwrap();
    let survey = look.survey(&bob.target()).await.unwrap();
    assert_eq!(survey.equal().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_dropped_while_it_settles_lets_go_of_its_directory() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    for i in 0..40u64 {
        let name = format!("f{i}");
        let (offered, progress) = held_up(&alice, of(&alice.write(&name, &noise(3_000_000, i as u8)))).await;
        let mut told = alice.shares.events(offered.id).unwrap();
        let fetch = bob.begin(&ticket(&offered)).await.unwrap();
        all_here(&fetch).await;
        go_on(&progress);
        while !matches!(within(told.recv()).await.unwrap(), ShareEvent::Hashed { .. }) {}
        // Another moment of it each time.
        tokio::time::sleep(std::time::Duration::from_micros(i % 60 * 250)).await;
        drop(fetch);
        // Whether it had come to its end or not.
        done(begin_again(&bob, &ticket(&offered)).await).await.unwrap();
        assert!(bob.read(&name) == alice.read(&name), "at attempt {i}");
        alice.shares.stop(offered.id).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_events_late_hears_that_it_cannot_be_hashed() {
    let alice = Person::new().await;
    let path = alice.write("a", &noise(2_000_000, 1));
    let (offered, progress) = held_up(&alice, of(&path)).await;
    std::fs::write(&path, b"shorter").unwrap();
    let mut early = alice.shares.events(offered.id).unwrap();
    go_on(&progress);
    while !matches!(within(early.recv()).await.unwrap(), ShareEvent::NotHashed { .. }) {}
    let mut late = alice.shares.events(offered.id).unwrap();
    assert!(matches!(within(late.recv()).await, Ok(ShareEvent::NotHashed { .. })));
}
