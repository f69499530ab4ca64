//! Meetings over real connections: TLS on loopback, and many at once in virtual time.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use compeer::transport::memory::MemoryNetwork;
use compeer::{Addr, Builder, Identity};

use super::*;

fn code(text: &str) -> Code {
    text.parse().unwrap()
}

async fn listener() -> Peer {
    Peer::builder().listen("127.0.0.1:0").spawn().await.unwrap()
}

/// A peer to be of the network at 10.0.0.n.
fn member(network: &MemoryNetwork, n: u8) -> Builder {
    let identity = Identity::from_seed(&[n; 32]);
    let ip = IpAddr::from([10, 0, 0, n]);
    let transport = network.transport(identity.peer_id(), ip);
    Peer::builder().identity(identity).transport(transport).listen(SocketAddr::new(ip, 1)).seed(n.into())
}

#[tokio::test]
async fn two_meet_over_tls_by_address_whoever_dialled_before() {
    for called_before in [false, true] {
        let (alice, bob) = (listener().await, listener().await);
        if called_before {
            alice.connect(bob.addr()).await.unwrap();
        }
        let meeting = Meeting::attach(&alice);
        let mut first = meeting.offer(code("7-lamp-tiger"), "one", false).unwrap();
        let _second = meeting.offer(code("8-zoo-abandon"), "two", false).unwrap();
        assert_eq!(meeting.numbers(), [7, 8]);

        let to: Addr = alice.addr().addrs[0].clone();
        let (who, given) = meet(&bob, to.clone(), first.code()).await.unwrap();
        assert_eq!((who, &given[..]), (alice.id(), &b"one"[..]));
        assert_eq!(first.next().await, Some(OfferEvent::Met { peer: bob.id() }));
        assert_eq!(meeting.numbers(), [8], "used up");
        assert_eq!(&meet(&bob, to.clone(), &code("8-zoo-abandon")).await.unwrap().1[..], b"two");

        let unknown = meet(&bob, to.clone(), &code("9-zoo-zoo")).await;
        assert_eq!(unknown, Err(MeetFailure::Unknown.into()));
        drop(first);
        assert_eq!(meet(&bob, to, &code("7-lamp-tiger")).await, Err(MeetFailure::Unknown.into()));
        assert_eq!(meet(&alice, bob.addr(), &code("7-lamp-tiger")).await, Err(MeetError::NotOffering));
        alice.shutdown().await;
        bob.shutdown().await;
    }
}

#[tokio::test]
async fn a_wrong_guess_over_tls_is_told_to_both_and_ends_it() {
    let (alice, bob) = (listener().await, listener().await);
    let meeting = Meeting::attach(&alice);
    let mut offering = meeting.offer(code("7-lamp-tiger"), "one", false).unwrap();
    let wrong = meet(&bob, alice.addr(), &code("7-lamp-zoo")).await;
    assert_eq!(wrong, Err(MeetFailure::Wrong { left: 0 }.into()));
    assert_eq!(offering.next().await, Some(OfferEvent::Wrong { peer: bob.id(), left: 0 }));
    assert!(offering.is_over() && meeting.numbers().is_empty());
    assert_eq!(meet(&bob, alice.addr(), &code("7-lamp-tiger")).await, Err(MeetFailure::Dead.into()));
    // The number is free again when the user has seen it.
    assert!(matches!(meeting.offer(code("7-zoo-zoo"), "", false), Err(CannotOffer::Taken(7))));
    drop(offering);
    assert!(meeting.offer(code("7-zoo-zoo"), "", false).is_ok());
    alice.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_has_guessed() {
    let network = MemoryNetwork::new(1);
    let alice = member(&network, 1).spawn().await.unwrap();
    let bob = member(&network, 2).spawn().await.unwrap();
    let meeting = Meeting::attach(&alice);
    let mut offering = meeting.offer(code("7-lamp-tiger"), "one", false).unwrap();
    // One that never begins costs nothing; one that begins and stays away costs a guess.
    let silent = bob.open_stream(alice.addr(), kind()).await.unwrap();
    let mut stream = bob.open_stream(alice.addr(), kind()).await.unwrap();
    let (_, begin) = Guess::begin(&code("7-zoo-zoo"), bob.id(), alice.id(), stream.channel_binding());
    send(&mut stream, &begin).await.unwrap();
    assert!(matches!(receive(&mut stream).await.unwrap(), Message::Share(_)));
    assert_eq!(meet(&bob, alice.addr(), &code("7-lamp-tiger")).await, Err(MeetFailure::Busy.into()));
    let told = tokio::time::timeout(2 * limits::MEET_STEP, offering.next()).await.unwrap();
    assert_eq!(told, Some(OfferEvent::Wrong { peer: bob.id(), left: 0 }));
    drop((silent, stream));
    alice.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn for_many_all_come_and_an_hour_ends_it() {
    let network = MemoryNetwork::new(1);
    let alice = member(&network, 1).spawn().await.unwrap();
    let meeting = Meeting::attach(&alice);
    let mut offering = meeting.offer(code("7-lamp-tiger"), "one", true).unwrap();
    for n in 2..12 {
        let guest = member(&network, n).spawn().await.unwrap();
        assert!(meet(&guest, alice.addr(), offering.code()).await.is_ok());
        assert_eq!(offering.next().await, Some(OfferEvent::Met { peer: guest.id() }));
        guest.shutdown().await;
    }
    assert!(!offering.is_over());
    let told = tokio::time::timeout(Duration::from_secs(3601), offering.next()).await.unwrap();
    assert_eq!(told, Some(OfferEvent::Expired));
    let late = member(&network, 30).spawn().await.unwrap();
    let refused = meet(&late, alice.addr(), offering.code()).await;
    assert_eq!(refused, Err(MeetFailure::Expired.into()));
    assert!(tokio::time::timeout(Duration::from_secs(7200), offering.next()).await.is_err(), "told once");
    alice.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_strangers_is_bounded() {
    let network = MemoryNetwork::new(1);
    let alice = member(&network, 1).spawn().await.unwrap();
    let meeting = Meeting::attach(&alice);
    let _offering = meeting.offer(code("7-lamp-tiger"), "one", true).unwrap();
    // Each takes as many streams as it gets and says nothing on them.
    let mut held = Vec::new();
    for n in 2..10 {
        let guest = member(&network, n).spawn().await.unwrap();
        for _ in 0..compeer::limits::MAX_STREAMS_PER_PEER {
            held.push(guest.open_stream(alice.addr(), kind()).await.unwrap());
        }
    }
    let friend = member(&network, 20).spawn().await.unwrap();
    assert_eq!(meet(&friend, alice.addr(), &code("7-lamp-tiger")).await, Err(MeetFailure::Busy.into()));
    // Time sends them away.
    tokio::time::sleep(2 * limits::MEET_STEP).await;
    assert!(meet(&friend, alice.addr(), &code("7-lamp-tiger")).await.is_ok());
    alice.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn numbers_are_short_and_of_nobody_else() {
    let network = MemoryNetwork::new(1);
    let alice = member(&network, 1).spawn().await.unwrap();
    let meeting = Meeting::attach(&alice);
    let taken: Vec<u16> = (1..=98).collect();
    let code = meeting.new_code(&taken).unwrap();
    assert_eq!(code.number(), 99);
    let _offering = meeting.offer(code, "", false).unwrap();
    assert!(meeting.new_code(&taken).unwrap().number() > 99);
    let all: Vec<u16> = (1..=999).collect();
    assert!(meeting.new_code(&all).is_err());
    assert!(matches!(
        meeting.offer(Code::random(5).unwrap(), vec![0; 20_000], false),
        Err(CannotOffer::TooLong)
    ));
    let more: Vec<_> = (100..200).map(|n| meeting.offer(Code::random(n).unwrap(), "", false)).collect();
    assert_eq!(more.iter().filter(|offered| offered.is_ok()).count(), limits::MAX_CODES - 1);
    alice.shutdown().await;
}
