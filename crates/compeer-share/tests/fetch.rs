//! Files and folders from one peer to another, over TLS on loopback: whole, resumed, refused, changed.

#[path = "support/people.rs"]
mod people;

use std::time::Duration;

use compeer::PeerId;
use compeer_share::{Access, FetchError, FetchEvent, Offer, ShareEvent, ShareTicket, limits, wire};
use people::{Person, noise, ticket, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_any_size_arrives_as_it_is() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    for (i, size) in [0, 1, 16_384, 16_385, 1 << 20, 5_000_000, 40_000_001].into_iter().enumerate() {
        let name = format!("file {i}");
        let bytes = noise(size, i as u8);
        let offered = alice.offer(&alice.write(&name, &bytes)).await;
        assert_eq!((offered.files, offered.bytes), (1, size as u64));
        let fetched = bob.get(&ticket(&offered)).await.unwrap();
        assert_eq!(fetched.bytes, size as u64);
        assert_eq!(fetched.placed, [bob.files.path().join(&name)]);
        assert!(bob.read(&name) == bytes, "{size}");
    }
    assert_eq!(bob.names().len(), 7, "nothing else is left: {:?}", bob.names());
    assert!(bob.shares.transfers().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_keeps_its_names_times_and_executables() {
    use std::os::unix::fs::PermissionsExt;
    let (alice, bob) = (Person::new().await, Person::new().await);
    let names = [
        "album/1.jpg",
        "album/sub/2 with space.jpg",
        "album/sub/deep/\u{d55c}\u{ae00}",
        "album/run",
        "album/empty",
    ];
    for (i, name) in names.iter().enumerate() {
        alice.write(name, &noise(i * 30_000, i as u8));
    }
    alice.write("album/empty", b"");
    let run = alice.files.path().join("album/run");
    std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o755)).unwrap();
    let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    std::fs::File::options().write(true).open(&run).unwrap().set_modified(long_ago).unwrap();
    let offered = alice.offer(&alice.files.path().join("album")).await;
    let fetched = bob.get(&ticket(&offered)).await.unwrap();
    assert_eq!(fetched.placed, [bob.files.path().join("album")]);
    for name in names {
        assert!(bob.read(name) == alice.read(name), "{name}");
    }
    let meta = std::fs::metadata(bob.files.path().join("album/run")).unwrap();
    assert_eq!(meta.modified().unwrap(), long_ago);
    assert_ne!(meta.permissions().mode() & 0o100, 0);
    let plain = std::fs::metadata(bob.files.path().join("album/1.jpg")).unwrap();
    assert_eq!(plain.permissions().mode() & 0o111, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sharer_hears_who_has_it() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    // The second time Bob has it already, and of an empty file there is nothing to fetch.
    for (name, bytes) in [("a", "hello"), ("a", "hello"), ("empty", "")] {
        let offered = alice.offer(&alice.write(name, bytes.as_bytes())).await;
        let mut events = alice.shares.events(offered.id).unwrap();
        bob.get(&ticket(&offered)).await.unwrap();
        let peer = bob.peer.id();
        assert_eq!(within(events.recv()).await.unwrap(), ShareEvent::Started { peer });
        assert_eq!(within(events.recv()).await.unwrap(), ShareEvent::Finished { peer });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_secret_a_share_is_unknown() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    let offered = alice.offer(&alice.write("a", b"hello")).await;
    let mut guessed = ticket(&offered);
    guessed.secret[0] ^= 1;
    assert!(matches!(bob.get(&guessed).await, Err(FetchError::Unknown)));
    let only = Offer {
        paths: vec![alice.write("b", b"for carol")],
        access: Access::Only(vec![Person::new().await.peer.id()]),
        ..Offer::default()
    };
    let only = alice.offer_as(only).await;
    assert!(matches!(bob.get(&ticket(&only)).await, Err(FetchError::Unknown)));
    let public =
        Offer { paths: vec![alice.write("c", b"for all")], access: Access::Public, ..Offer::default() };
    let mut public = ticket(&alice.offer_as(public).await);
    public.secret = [0; 16];
    bob.get(&public).await.unwrap();
    assert_eq!(bob.names(), ["c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_share_is_unknown() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    let offered = alice.offer(&alice.write("a", b"hello")).await;
    assert!(alice.shares.stop(offered.id).unwrap());
    assert!(!alice.shares.stop(offered.id).unwrap());
    assert!(matches!(bob.get(&ticket(&offered)).await, Err(FetchError::Unknown)));
    assert!(alice.shares.shares().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_told_and_never_passed_off_as_the_old_one() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    let path = alice.write("a", &noise(100_000, 1));
    let offered = alice.offer(&path).await;
    let mut events = alice.shares.events(offered.id).unwrap();
    // Same size, another content.
    std::fs::write(&path, noise(100_000, 2)).unwrap();
    let (outcome, seen) = bob.watch(&ticket(&offered)).await;
    assert!(matches!(outcome, Err(FetchError::Changed { missing: 100_000, .. })), "{outcome:?}");
    let changed = FetchEvent::Changed { peer: alice.peer.id(), path: "a".into() };
    assert!(seen.contains(&changed), "{seen:?}");
    while within(events.recv()).await.unwrap() != (ShareEvent::Changed { path: "a".into() }) {}
    assert!(!bob.names().contains(&"a".to_string()));
    // It was hashed anew meanwhile, and what it is now has a ticket of its own.
    let renewed = loop {
        if let ShareEvent::Renewed { ticket } = within(events.recv()).await.unwrap() {
            break ticket;
        }
    };
    assert_eq!(alice.shares.shares()[0].ticket, renewed);
    bob.get(&renewed.parse().unwrap()).await.unwrap();
    assert!(bob.read("a") == noise(100_000, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_was_dropped_goes_on_where_it_stopped() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    let bytes = noise(60_000_000, 1);
    let offer = Offer { paths: vec![alice.write("a", &bytes)], limit: Some(100_000_000), ..Offer::default() };
    let offered = alice.offer_as(offer).await;
    let fetch = bob.begin(&ticket(&offered)).await.unwrap();
    within(async {
        while fetch.snapshot().done < 20_000_000 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let window = fetch.snapshot().window;
    drop(fetch);
    // It stops soon, not at once: its transfer is free again when its staging directory is.
    let fetched = within(async {
        loop {
            match bob.begin(&ticket(&offered)).await {
                Ok(fetch) => return fetch.done().await.unwrap(),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    assert!(fetched.received + 20_000_000 <= 60_000_000 + window, "{} of {window}", fetched.received);
    assert!(bob.read("a") == bytes);
    assert_eq!(bob.names(), ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_can_be_read_as_a_stream() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    let bytes = noise(9_000_000, 1);
    alice.write("d/a", &bytes);
    alice.write("d/b", b"other");
    let offered = alice.offer(&alice.files.path().join("d")).await;
    let look = bob.shares.look(&ticket(&offered)).await.unwrap();
    assert!(matches!(look.stream(), Err(FetchError::NotOne(2))));
    let mut look = bob.shares.look(&ticket(&offered)).await.unwrap();
    look.select(&["a".to_string()]).unwrap();
    let (fetch, mut reader) = look.stream().unwrap();
    let mut read = Vec::new();
    while let Some(part) = within(reader.recv()).await {
        read.extend_from_slice(&part);
        if read.len() == bytes.len() {
            break;
        }
    }
    within(fetch.done()).await.unwrap();
    assert!(read == bytes);
    assert!(bob.names().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_can_be_chosen() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    for name in ["d/a.txt", "d/b.jpg", "d/e/c.jpg"] {
        alice.write(name, name.as_bytes());
    }
    let offered = alice.offer(&alice.files.path().join("d")).await;
    let mut look = bob.shares.look(&ticket(&offered)).await.unwrap();
    assert!(matches!(look.select(&["*.png".to_string()]), Err(FetchError::NothingSelected(_))));
    look.select(&["*.jpg".to_string()]).unwrap();
    assert_eq!(
        look.selected().map(|entry| entry.path.as_str()).collect::<Vec<_>>(),
        ["d/b.jpg", "d/e/c.jpg"]
    );
    let survey = look.survey(&bob.target()).await.unwrap();
    let fetch = look.fetch(bob.target(), survey, compeer_share::staging::Existing::Ask).await.unwrap();
    within(fetch.done()).await.unwrap();
    assert!(bob.files.path().join("d/e/c.jpg").exists() && !bob.files.path().join("d/a.txt").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_the_ticket_is_told_with_a_reason() {
    let bob = Person::new().await;
    let nobody: PeerId = compeer::Identity::generate().peer_id();
    let at = compeer::PeerAddr::new(nobody, ["127.0.0.1:1".parse().unwrap()]);
    let outcome = bob.get(&ShareTicket::new([at], [1; 32], [2; 16])).await;
    let Err(FetchError::Nobody(why)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(why[0].0, nobody);
}

/// Says hello by hand; gives all the bytes of the answer.
async fn answer_to(bob: &Person, alice: &Person, content: [u8; 32], proof: [u8; 32]) -> Vec<u8> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = bob.peer.open_stream(alice.peer.addr(), wire::STREAM).await.unwrap();
    let (record, ext) = Default::default();
    stream.write_all(&wire::encode(&wire::Ask::Hello { content, proof, record, ext })).await.unwrap();
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer)).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_root_but_not_the_secret_gets_the_answer_for_unknown_content() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    let offered = ticket(&alice.offer(&alice.write("a", b"hello")).await);
    let private = answer_to(&bob, &alice, offered.root, [7; 32]).await;
    let unknown = answer_to(&bob, &alice, [8; 32], [7; 32]).await;
    assert_eq!(private, unknown);
    assert_eq!(private, wire::encode(&wire::Tell::Unknown));
    // A proof of somebody else, overheard, is none of Bob's.
    let carol = Person::new().await;
    let connection = carol.peer.connect(alice.peer.addr()).await.unwrap();
    let binding = connection.channel_binding();
    let hers = wire::proof(&offered.secret, &offered.root, &binding, carol.peer.id().as_bytes());
    assert_eq!(answer_to(&bob, &alice, offered.root, *hers.as_bytes()).await, unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_ends_the_stream_and_nothing_else() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (alice, bob) = (Person::new().await, Person::new().await);
    let offered = ticket(&alice.offer(&alice.write("a", b"hello")).await);
    for nonsense in [&[0xff; 100][..], &[0, 0, 0, 0], &[5, 0, 0, 0, 1, 2, 3, 4, 5], &[0xff, 0xff, 0xff, 0x7f]]
    {
        let mut stream = bob.peer.open_stream(alice.peer.addr(), wire::STREAM).await.unwrap();
        stream.write_all(nonsense).await.unwrap();
        let mut answer = Vec::new();
        // Ended or broken, but over.
        let _ = within(stream.read_to_end(&mut answer)).await;
        assert!(answer.is_empty());
    }
    bob.get(&offered).await.unwrap();
}

/// A stream of Bob's that Alice serves, and nothing is asked on.
async fn squat(bob: &compeer::Peer, alice: &Person, offered: &ShareTicket) -> compeer::Stream {
    use tokio::io::AsyncWriteExt;
    let mut stream = bob.open_stream(alice.peer.addr(), wire::STREAM).await.unwrap();
    let binding = stream.channel_binding();
    let proof = wire::proof(&offered.secret, &offered.root, &binding, bob.id().as_bytes());
    let (record, ext) = Default::default();
    let hello = wire::Ask::Hello { content: offered.root, proof: *proof.as_bytes(), record, ext };
    stream.write_all(&wire::encode(&hello)).await.unwrap();
    let welcome = within(wire::Frames::default().next(&mut stream)).await.unwrap();
    assert!(matches!(welcome, Some(wire::Tell::Welcome { .. })));
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_places_are_taken_the_next_is_told_to_come_again() {
    let alice = Person::new().await;
    let offered = ticket(&alice.offer(&alice.write("a", b"hello")).await);
    let (mut held, mut people) = (Vec::new(), Vec::new());
    // One each: nobody has more than he may.
    for _ in 0..limits::MAX_SERVED {
        let bob = compeer::Peer::builder().spawn().await.unwrap();
        held.push(squat(&bob, &alice, &offered).await);
        people.push(bob);
    }
    let carol = Person::new().await;
    let Err(FetchError::Nobody(why)) = carol.get(&offered).await else { panic!("there was a place") };
    assert!(why[0].1.contains("too many"), "{why:?}");
    drop(held);
    within(async { while carol.get(&offered).await.is_err() {} }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_holds_all_places_while_another_waits() {
    use tokio::io::AsyncReadExt;
    let alice = Person::new().await;
    let offered = ticket(&alice.offer(&alice.write("a", b"hello")).await);
    let (mut held, mut people) = (Vec::new(), Vec::new());
    while held.len() < limits::MAX_SERVED {
        let bob = compeer::Peer::builder().spawn().await.unwrap();
        for _ in 0..compeer::limits::MAX_STREAMS_PER_PEER {
            held.push(squat(&bob, &alice, &offered).await);
        }
        people.push(bob);
    }
    let carol = Person::new().await;
    carol.get(&offered).await.unwrap();
    // It was one of those who had most that lost one.
    let ended = held.iter_mut().map(|stream| Box::pin(async move { stream.read(&mut [0]).await }));
    let (ended, _, _) = within(futures_util::future::select_all(ended)).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_want_beyond_its_bounds_ends_the_stream() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (alice, bob) = (Person::new().await, Person::new().await);
    // One group more than may be wanted at once.
    let most = limits::MAX_WANT as u32;
    let size = (u64::from(most) + 1) * compeer_share::tree::GROUP;
    let path = alice.files.path().join("sparse");
    std::fs::File::create(&path).unwrap().set_len(size).unwrap();
    let offered = ticket(&alice.offer(&path).await);
    for (start, count, answered) in
        [(1, most, true), (0, most + 1, false), (2, most, false), (0, 0, false), (u64::MAX, 1, false)]
    {
        let mut stream = bob.peer.open_stream(alice.peer.addr(), wire::STREAM).await.unwrap();
        let binding = stream.channel_binding();
        let proof =
            *wire::proof(&offered.secret, &offered.root, &binding, bob.peer.id().as_bytes()).as_bytes();
        let (record, ext) = Default::default();
        stream
            .write_all(&wire::encode(&wire::Ask::Hello { content: offered.root, proof, record, ext }))
            .await
            .unwrap();
        stream.write_all(&wire::encode(&wire::Ask::Want { start, count })).await.unwrap();
        let mut frames = wire::Frames::default();
        let welcome = within(frames.next::<wire::Tell>(&mut stream)).await;
        assert!(matches!(welcome, Ok(Some(wire::Tell::Welcome { .. })) | Err(_)) || !answered);
        let first = within(frames.next::<wire::Tell>(&mut stream)).await;
        assert_eq!(
            matches!(first, Ok(Some(wire::Tell::Segment { .. }))),
            answered,
            "{start} {count}: {first:?}"
        );
        if !answered {
            let mut rest = Vec::new();
            let _ = within(stream.read_to_end(&mut rest)).await;
            assert!(rest.is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_meanwhile_is_fetched_again() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    alice.write("d/a", &noise(3_000_000, 1));
    alice.write("d/b", &noise(60_000_000, 2));
    let paths = vec![alice.files.path().join("d")];
    let offered = alice.offer_as(Offer { paths, limit: Some(100_000_000), ..Offer::default() }).await;
    let fetch = bob.begin(&ticket(&offered)).await.unwrap();
    within(async {
        while fetch.snapshot().done < 20_000_000 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(fetch);
    // Free again when the one before has let go of it.
    let id = bob.shares.transfers()[0].id.clone();
    let part = bob.files.path().join(format!("compeer-{id}.part"));
    within(async {
        while bob.shares.transfers()[0].running {
            tokio::task::yield_now().await
        }
    })
    .await;
    for name in ["d/a", "d/b"] {
        let _ = std::fs::remove_file(part.join(name));
    }
    bob.get(&ticket(&offered)).await.unwrap();
    assert!(bob.read("d/a") == alice.read("d/a") && bob.read("d/b") == alice.read("d/b"));
    assert_eq!(bob.names(), ["d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_rate_is_slow_and_not_nothing() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    let paths = vec![alice.write("a", &noise(1_000, 1))];
    let offered = alice.offer_as(Offer { paths, limit: Some(1_000), ..Offer::default() }).await;
    bob.get(&ticket(&offered)).await.unwrap();
    assert_eq!(bob.read("a"), noise(1_000, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_some_only_ends_with_them() {
    let (alice, bob, carol) = (Person::new().await, Person::new().await, Person::new().await);
    let access = Access::Only(vec![bob.peer.id()]);
    let paths = vec![alice.write("a", b"for bob")];
    let ticket = ticket(&alice.offer_as(Offer { paths, access, ..Offer::default() }).await);
    bob.get(&ticket).await.unwrap();
    let at_bob = ShareTicket { peers: vec![bob.peer.addr()], ..ticket };
    assert!(matches!(carol.get(&at_bob).await, Err(FetchError::Unknown)));
}
