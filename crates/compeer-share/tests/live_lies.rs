//! What the sender of a draft may say that is not so: wrong bytes, wrong roots, other lists, one thing first and another
//! then.

#[path = "support/drafts.rs"]
mod drafts;
#[path = "support/people.rs"]
mod people;
#[path = "support/liar.rs"]
mod provider;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use compeer_share::staging::Existing;
use compeer_share::wire::{Tell, Why};
use compeer_share::{Entry, FetchError, FetchEvent, Manifest, ShareTicket};
use drafts::{done, let_go, placed};
use people::{Person, noise};
use provider::{Deed, Draft, Gate, Provider};

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
    let_go(bob, &id).await;
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
    let_go(&bob, &id).await;
    let survey = look.survey(&target).await.unwrap();
    done(look.fetch(target, survey, Existing::Ask).await.unwrap()).await.unwrap();
    assert!(bob.read("a") == real);
}
