//! Files that are sent before they are hashed: received meanwhile, put in their places when they are known to be right.

#[path = "support/people.rs"]
mod people;
#[path = "support/liar.rs"]
mod provider;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use compeer_share::staging::Existing;
use compeer_share::wire::{Tell, Why};
use compeer_share::{
    Access, Entry, Fetch, FetchError, FetchEvent, Fetched, Manifest, Offer, Progress, ShareEvent, ShareInfo,
    ShareTicket,
};
use people::{Person, noise, ticket, within};
use provider::{Deed, Draft, Gate, Provider};

/// Offered at once; hashing waits until it is let go.
async fn held_up(alice: &Person, offer: Offer) -> (ShareInfo, Arc<Progress>) {
    let progress = Arc::new(Progress::default());
    progress.pause.store(true, Ordering::Relaxed);
    let offer = Offer { draft_from: Some(1), ..offer };
    let offered = within(alice.shares.offer(offer, progress.clone())).await.unwrap();
    assert!(!offered.hashed);
    (offered, progress)
}

fn of(path: &Path) -> Offer {
    Offer { paths: vec![path.to_path_buf()], ..Offer::default() }
}

fn go_on(progress: &Progress) {
    progress.pause.store(false, Ordering::Relaxed);
}

/// Waits until all of it is here and nothing is left to do but to wait for the sender.
async fn all_here(fetch: &Fetch) {
    within(async {
        while fetch.snapshot().hashed.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(fetch.snapshot().done, fetch.snapshot().total);
}

/// Begins again what was dropped; it stops soon, not at once.
async fn begin_again(bob: &Person, ticket: &ShareTicket) -> Fetch {
    within(async {
        loop {
            match bob.begin(ticket).await {
                Ok(fetch) => return fetch,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await
}

async fn done(fetch: Fetch) -> Result<Fetched, FetchError> {
    within(fetch.done()).await
}

/// What is there besides the directory of a fetch.
fn placed(person: &Person) -> Vec<String> {
    person.names().into_iter().filter(|name| !name.ends_with(".part")).collect()
}

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
    use compeer_share::wire::{self, Ask, Frames};
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
    within(async {
        while compeer_share::staging::Staging::is_locked(bob.files.path(), &id) {
            tokio::task::yield_now().await;
        }
    })
    .await;
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

// What a sender may say that is not so.

const SIZE: usize = 2_000_000;

fn entry(data: &[u8]) -> Entry {
    let root = *blake3::hash(data).as_bytes();
    Entry {
        path: "a".into(),
        size: data.len() as u64,
        root,
        executable: false,
        modified: 1_000_000_000,
        modified_nanos: 0,
    }
}

/// A sender whose draft has this data, and which says this of what has become of it.
async fn sender(
    data: Vec<u8>,
    last: &Manifest,
    becomes: impl Fn() -> Tell + Send + Sync + 'static,
) -> (Provider, ShareTicket) {
    let manifest = Manifest::draft(vec![entry(&data)], [7; 16]).unwrap();
    let ticket = ShareTicket::new([], *manifest.id().as_bytes(), [0; 16]);
    let draft = Draft { manifest, data: data.clone(), becomes: Box::new(becomes) };
    let real = noise(SIZE, 1);
    let sender = Provider::with_draft(last, &real, Some(draft), |_| Deed::Honest, (0, Gate::of(1))).await;
    let ticket = ShareTicket { peers: vec![sender.peer.addr()], ..ticket };
    (sender, ticket)
}

/// The second time it is asked; the first time nobody waits for it.
fn becomes(last: &Manifest) -> impl Fn() -> Tell + Send + Sync + 'static {
    let (asked, content) = (AtomicU64::new(0), *last.id().as_bytes());
    move || match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Tell::Hashing { done: 0 },
        _ => Tell::Final { content },
    }
}

fn list(data: &[u8]) -> Manifest {
    Manifest::new(vec![entry(data)]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_of_a_draft_are_fetched_again() {
    let (real, mut wrong) = (noise(SIZE, 1), noise(SIZE, 1));
    wrong[1_234_567] ^= 1;
    let last = list(&real);
    let (_sender, ticket) = sender(wrong, &last, becomes(&last)).await;
    let bob = Person::new().await;
    let fetched = bob.get(&ticket).await.unwrap();
    assert_eq!(fetched.received, 2 * SIZE as u64);
    assert!(bob.read("a") == real);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_root_is_a_lie() {
    let last = list(&noise(SIZE, 9));
    let (sender, ticket) = sender(noise(SIZE, 1), &last, becomes(&last)).await;
    let bob = Person::new().await;
    let (outcome, events) = bob.watch(&ticket).await;
    assert!(matches!(outcome, Err(FetchError::Lies)), "{outcome:?}");
    assert!(events.contains(&FetchEvent::Liar { peer: sender.peer.id() }));
    assert_eq!(placed(&bob), [""; 0]);
    // What is left is a transfer of the content, not of the draft.
    let left = &bob.shares.transfers()[0];
    assert_eq!(left.done, 0);
    let (look, _) = bob.shares.resume(&left.id).unwrap();
    assert_eq!((look.is_draft(), look.content()), (false, last.id()));
    assert!(matches!(bob.get(&ticket).await, Err(FetchError::Lies)));
    assert_eq!(bob.shares.transfers().len(), 1, "the ticket of the draft leads to the same transfer");
    assert!(bob.shares.discard(&left.id).unwrap());
    assert_eq!(bob.names(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_list_than_that_of_the_draft_is_refused() {
    let real = noise(SIZE, 1);
    let renamed = Manifest::new(vec![Entry { path: "b".into(), ..entry(&real) }]).unwrap();
    let executable = Manifest::new(vec![Entry { executable: true, ..entry(&real) }]).unwrap();
    let longer = Manifest::new(vec![Entry { size: SIZE as u64 + 1, ..entry(&real) }]).unwrap();
    let draft_again = Manifest::draft(vec![entry(&real)], [8; 16]).unwrap();
    for last in [renamed, executable, longer, draft_again] {
        let (_sender, ticket) = sender(real.clone(), &last, becomes(&last)).await;
        let bob = Person::new().await;
        let outcome = bob.get(&ticket).await;
        assert!(matches!(outcome, Err(FetchError::Manifest { .. })), "{outcome:?}");
        assert_eq!(placed(&bob), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hashes_for_ever_is_given_up() {
    let last = list(&noise(SIZE, 1));
    let answers = AtomicU64::new(0);
    let never = move || Tell::Hashing { done: answers.fetch_add(100, Ordering::Relaxed) };
    let (sender, ticket) = sender(noise(SIZE, 1), &last, never).await;
    let bob = Person::new().await;
    let outcome = bob.get(&ticket).await;
    let Err(FetchError::NotHashed { peer, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(peer, sender.peer.id());
    assert_eq!(placed(&bob), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reason_that_names_no_file_is_a_reason_too() {
    let last = list(&noise(SIZE, 1));
    let never = || Tell::Never { why: Why::Unreadable, file: u64::MAX };
    let (_sender, ticket) = sender(noise(SIZE, 1), &last, never).await;
    let outcome = Person::new().await.get(&ticket).await;
    let Err(FetchError::NotHashed { why, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(why, "a file cannot be read there");
}

#[test]
fn a_draft_has_no_roots_and_is_never_the_same() {
    let (one, other) = ([1; 16], [2; 16]);
    let draft = |unique| Manifest::draft(vec![entry(b"hello")], unique).unwrap();
    assert!(draft(one).is_draft() && draft(one).id() != draft(other).id());
    let read = Manifest::decode(&draft(one).encode()).unwrap();
    assert_eq!((read.is_draft(), read.entries()[0].root), (true, [0; 32]));
    assert!(list(b"hello").completes(&read) && !read.completes(&read));
    // The same bytes with a root in them.
    let mut bytes = draft(one).encode();
    let zeros = bytes.windows(32).position(|window| window == [0; 32]).unwrap();
    bytes[zeros] = 1;
    assert!(Manifest::decode(&bytes).is_err());
}

/// Whether nobody has its staging directory, soon.
async fn free(bob: &Person, id: &str) -> bool {
    for _ in 0..600 {
        if !compeer_share::staging::Staging::is_locked(bob.files.path(), id) {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    false
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
        let id = fetch.id().unwrap().to_string();
        go_on(&progress);
        while !matches!(within(told.recv()).await.unwrap(), ShareEvent::Hashed { .. }) {}
        tokio::time::sleep(std::time::Duration::from_micros(i % 60 * 250)).await;
        drop(fetch);
        assert!(free(&bob, &id).await, "locked for ever, at attempt {i}");
        alice.shares.stop(offered.id).unwrap();
    }
}

/// One that says what `word` says: 0 hashing, 1 final, 2 never; at `word` 2 its bytes are wrong.
async fn fickle(real: &[u8]) -> (Provider, ShareTicket, Arc<AtomicU64>, Manifest) {
    let last = list(real);
    let manifest = Manifest::draft(vec![entry(real)], [7; 16]).unwrap();
    let word = Arc::new(AtomicU64::new(0));
    let (says, does, content) = (word.clone(), word.clone(), *last.id().as_bytes());
    // Each look is told that hashing is under way; who waits is told the word.
    let asked = AtomicU64::new(0);
    let becomes = move || match (asked.fetch_add(1, Ordering::Relaxed) % 2, says.load(Ordering::Relaxed)) {
        (0, _) => Tell::Hashing { done: 0 },
        (_, 2) => Tell::Never { why: Why::Stopped, file: 0 },
        _ => Tell::Final { content },
    };
    let id = *manifest.id().as_bytes();
    let draft = Draft { manifest, data: real.to_vec(), becomes: Box::new(becomes) };
    let deed = move |_| if does.load(Ordering::Relaxed) == 2 { Deed::Lie } else { Deed::Honest };
    let sender = Provider::with_draft(&last, real, Some(draft), deed, (0, Gate::of(1))).await;
    let ticket = ShareTicket::new([sender.peer.addr()], id, [0; 16]);
    (sender, ticket, word, last)
}

/// Fetches a draft, which becomes content and is then not placed.
async fn settled_and_interrupted(bob: &Person, ticket: &ShareTicket) -> String {
    let look = bob.shares.look(ticket).await.unwrap();
    assert!(look.is_draft());
    let survey = look.survey(&bob.target()).await.unwrap();
    bob.write("a", b"in the way");
    let fetch = look.fetch(bob.target(), survey, Existing::Ask).await.unwrap();
    let id = fetch.id().unwrap().to_string();
    let outcome = done(fetch).await;
    assert!(matches!(outcome, Err(FetchError::Target(_))), "{outcome:?}");
    std::fs::remove_file(bob.files.path().join("a")).unwrap();
    assert!(free(bob, &id).await);
    let (look, _) = bob.shares.resume(&id).unwrap();
    assert!(!look.is_draft());
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_verified_is_not_thrown_away_for_a_draft() {
    let real = noise(SIZE, 1);
    let (_sender, ticket, _word, _) = fickle(&real).await;
    let bob = Person::new().await;
    let id = settled_and_interrupted(&bob, &ticket).await;
    let fetch = bob.begin(&ticket).await.unwrap();
    assert_eq!(fetch.id(), Some(id.as_str()));
    let fetched = done(fetch).await.unwrap();
    assert_eq!(fetched.received, 0, "all of it came again");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_final_name_for_wrong_bytes_when_two_fetch() {
    let real = noise(SIZE, 1);
    let (_sender, ticket, word, _) = fickle(&real).await;
    let bob = Person::new().await;
    let id = settled_and_interrupted(&bob, &ticket).await;
    // `compeer transfers --resume` looks, and asks its user something.
    let (look, target) = bob.shares.resume(&id).unwrap();
    // Meanwhile `compeer get` of the same ticket, in another window.
    word.store(2, Ordering::Relaxed);
    assert_eq!(bob.get(&ticket).await.unwrap().received, 0, "what is verified is all there");
    assert!(free(&bob, &id).await);
    let survey = look.survey(&target).await.unwrap();
    done(look.fetch(target, survey, Existing::Ask).await.unwrap()).await.unwrap();
    assert!(bob.read("a") == real);
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
