//! Tests of codes as text, and of both sides of a meeting against each other, without any connection.

use std::time::Duration;

use bytes::Bytes;
use compeer::{Identity, PeerId, Time};
use proptest::prelude::*;

use super::guess::{Guess, MeetFailure};
use super::message::Message;
use super::offer::{Offer, OfferEvent};
use super::*;
use crate::limits;

fn id(seed: u8) -> PeerId {
    Identity::from_seed(&[seed; 32]).peer_id()
}

fn code(text: &str) -> Code {
    text.parse().unwrap()
}

fn at(seconds: u64) -> Time {
    Time::from_micros(seconds * 1_000_000)
}

#[test]
fn codes_are_read_as_people_write_them() {
    let lamp = code("7-lamp-tiger");
    for text in
        ["7 lamp tiger", " 7-LAMP-Tiger\n", "7--lamp - tiger", "07-lamp-tige", "7_lamp.tiger", "7–lamp—tiger"]
    {
        assert_eq!(text.parse(), Ok(lamp), "{text}");
    }
    assert_eq!(lamp.to_string(), "7-lamp-tiger");
    assert_eq!(code("999-abandon-zoo").to_string(), "999-abandon-zoo");
    for text in ["", "7", "7-lamp", "7-lamp-tiger-zoo", "lamp-7-tiger", "x-lamp-tiger", "-", "７-lamp-tiger"]
    {
        assert_eq!(text.parse::<Code>(), Err(CodeError::Shape), "{text}");
    }
    for text in ["0-lamp-tiger", "1000-lamp-tiger", "99999999999999999999-lamp-tiger"] {
        assert_eq!(text.parse::<Code>(), Err(CodeError::Number), "{text}");
    }
}

#[test]
fn a_wrong_word_is_named_and_the_one_meant_is_suggested() {
    for (typed, meant) in
        [("lampp", "lamp"), ("tigre", "tiger"), ("tigr", "tiger"), ("abandn", "abandon"), ("tigers", "tiger")]
    {
        let error = format!("7-lamp-{typed}").parse::<Code>().unwrap_err();
        assert_eq!(error, CodeError::Word { word: typed.into(), nearest: Some(meant) });
        assert!(error.to_string().contains(&format!("{meant:?}")), "{error}");
    }
    let error = "7-xyzzyqqq-tiger".parse::<Code>().unwrap_err();
    assert_eq!(error.to_string(), "no code has the word \"xyzzyqqq\": listen again");
    // What is not ours to print is escaped, and cut.
    let error = format!("7-a\u{1b}b{}-tiger", "x".repeat(5000)).parse::<Code>().unwrap_err();
    assert!(error.to_string().len() < 100 && !error.to_string().contains('\u{1b}'));
    // Three letters are a word or nothing.
    assert!("7-lam-tiger".parse::<Code>().is_err());
}

#[test]
fn a_code_is_completed_word_by_word() {
    assert_eq!(complete("7-lam"), ["7-lamp-"]);
    assert_eq!(complete("7 LAMP ti"), complete("7-lamp-ti"));
    assert!(complete("7-lamp-ti").contains(&"7-lamp-tiger".to_string()));
    assert_eq!(complete("7-").len(), 2048);
    for nothing in ["", "7", "lamp", "7-lampp-ti", "7-lamp-tiger-", "7-lamp-xq"] {
        assert!(complete(nothing).is_empty(), "{nothing}");
    }
}

#[test]
fn random_codes_differ_and_do_not_show_themselves() {
    let codes: Vec<Code> = (0..20).map(|_| Code::random(12).unwrap()).collect();
    assert!(codes.iter().all(|code| code.to_string().parse() == Ok(*code)));
    assert!(codes[1..].iter().any(|code| code.words() != codes[0].words()));
    assert_eq!(format!("{:?}", codes[0]), "Code(12-…)");
    assert!(Code::random(0).is_err() && Code::random(1000).is_err());
}

/// Both sides of one attempt, over connections with these bindings.
fn attempt(
    offer: &mut Offer,
    number: u64,
    guess: &str,
    from: u8,
    bindings: [u8; 2],
    now: Time,
) -> (Result<Bytes, MeetFailure>, Vec<OfferEvent>) {
    let (guess, begin) = Guess::begin(&code(guess), id(from), id(1), [bindings[0]; 32]);
    let Message::Begin { share, .. } = begin else { panic!("it begins") };
    let (answer, event) = offer.begin(number, id(from), [bindings[1]; 32], &share, now);
    let mut events: Vec<_> = event.into_iter().collect();
    let (proven, confirm) = match guess.answered(over_the_wire(&answer)) {
        Ok(step) => step,
        Err(failure) => return (Err(failure), events),
    };
    let Message::Confirm(mac) = over_the_wire(&confirm) else { panic!("it confirms") };
    let (answer, event) = offer.confirm(number, &mac);
    events.extend(event);
    (proven.answered(over_the_wire(&answer)), events)
}

fn over_the_wire(message: &Message) -> Message {
    Message::decode(&message.encode()).unwrap()
}

fn offer(many: bool) -> Offer {
    Offer::new(code("7-lamp-tiger"), id(1), Bytes::from_static(b"here"), many, at(0))
}

#[test]
fn who_knows_the_code_is_given_what_is_offered() {
    let mut offer = offer(false);
    let (given, events) = attempt(&mut offer, 1, "7-lamp-tiger", 2, [5, 5], at(1));
    assert_eq!(given.as_deref(), Ok(&b"here"[..]));
    assert_eq!(events, [OfferEvent::Met { peer: id(2) }]);
    assert!(offer.is_over());
    // It is his: he may come again, and nobody else.
    assert_eq!(attempt(&mut offer, 2, "7-lamp-tiger", 3, [5, 5], at(2)).0, Err(MeetFailure::Used));
    assert!(attempt(&mut offer, 3, "7-lamp-tiger", 2, [6, 6], at(3)).0.is_ok());
    let late = attempt(&mut offer, 4, "7-lamp-tiger", 2, [6, 6], at(3600));
    assert_eq!(late.0, Err(MeetFailure::Expired));
}

#[test]
fn the_first_wrong_guess_kills_a_code_and_both_are_told() {
    let mut offer = offer(false);
    let (given, events) = attempt(&mut offer, 1, "7-lamp-zoo", 2, [5, 5], at(1));
    assert_eq!(given, Err(MeetFailure::Wrong { left: 0 }));
    assert_eq!(given.unwrap_err().to_string(), "wrong code; it is dead now, ask for another");
    assert_eq!(events, [OfferEvent::Wrong { peer: id(2), left: 0 }]);
    let (given, events) = attempt(&mut offer, 2, "7-lamp-tiger", 2, [5, 5], at(2));
    assert_eq!((given, events), (Err(MeetFailure::Dead), vec![]));
}

#[test]
fn for_many_the_third_wrong_guess_kills_it() {
    let mut offer = offer(true);
    for (attempts, from) in (0..5).map(|n| (n, n as u8 + 2)) {
        assert!(attempt(&mut offer, attempts, "7-lamp-tiger", from, [5, 5], at(1)).0.is_ok());
    }
    for left in [2, 1] {
        let (given, _) = attempt(&mut offer, 9, "7-lamp-zoo", 2, [5, 5], at(1));
        assert_eq!(given, Err(MeetFailure::Wrong { left }));
        assert!(attempt(&mut offer, 8, "7-lamp-tiger", 3, [5, 5], at(1)).0.is_ok());
    }
    let (given, _) = attempt(&mut offer, 9, "7-lamp-zoo", 2, [5, 5], at(1));
    assert_eq!(given, Err(MeetFailure::Wrong { left: 0 }));
    assert_eq!(attempt(&mut offer, 8, "7-lamp-tiger", 3, [5, 5], at(1)).0, Err(MeetFailure::Dead));
}

#[test]
fn a_man_in_the_middle_is_none_the_wiser() {
    // The right code at both ends, and somebody who passes the messages on between two connections.
    let (given, events) = attempt(&mut offer(false), 1, "7-lamp-tiger", 2, [5, 6], at(1));
    assert_eq!(given, Err(MeetFailure::Wrong { left: 0 }));
    assert_eq!(events, [OfferEvent::Wrong { peer: id(2), left: 0 }]);
    // Whoever pretends to have offered it cannot prove that.
    let (guess, _) = Guess::begin(&code("7-lamp-tiger"), id(2), id(3), [5; 32]);
    let (_, theirs) = proof::begin(proof::Role::Offerer, &code("7-zoo-zoo"), id(2), id(3));
    let (proven, confirm) = guess.answered(Message::Share(theirs)).unwrap();
    let Message::Confirm(mac) = confirm else { panic!("it confirms") };
    // Not even by sending back what he was sent.
    assert_eq!(proven.answered(Message::Right(mac, Bytes::new())), Err(MeetFailure::Unproven));
}

#[test]
fn who_begins_and_goes_away_has_guessed() {
    let mut offer = offer(false);
    let (_, Message::Begin { share, .. }) = Guess::begin(&code("7-zoo-zoo"), id(2), id(1), [5; 32]) else {
        panic!("it begins")
    };
    assert!(matches!(offer.begin(1, id(2), [5; 32], &share, at(1)).0, Message::Share(_)));
    // Meanwhile no other guess is to be had.
    assert_eq!(attempt(&mut offer, 2, "7-lamp-tiger", 3, [5, 5], at(1)).0, Err(MeetFailure::Busy));
    assert_eq!(offer.gone(1), Some(OfferEvent::Wrong { peer: id(2), left: 0 }));
    assert_eq!(offer.gone(1), None);
    assert_eq!(attempt(&mut offer, 2, "7-lamp-tiger", 3, [5, 5], at(1)).0, Err(MeetFailure::Dead));
    // What is no share is no guess: nothing was told him.
    let mut offer = self::offer(false);
    assert_eq!(offer.begin(1, id(2), [5; 32], b"no share", at(1)).0, Message::no(&MeetFailure::Malformed));
    assert_eq!(offer.gone(1), None);
    assert!(attempt(&mut offer, 2, "7-lamp-tiger", 3, [5, 5], at(1)).0.is_ok());
    // One proof is one guess, whichever way it is sent.
    assert_eq!(offer.confirm(9, &[0; 32]).0, Message::no(&MeetFailure::Malformed));
}

#[test]
fn an_hour_ends_it_once() {
    let mut offer = offer(true);
    assert_eq!(offer.expire(at(3599)), None);
    let (given, events) = attempt(&mut offer, 1, "7-lamp-tiger", 2, [5, 5], at(3600));
    assert_eq!((given, events), (Err(MeetFailure::Expired), vec![OfferEvent::Expired]));
    assert_eq!(offer.expire(at(4000)), None);
    assert!(offer.is_over());
    assert!(Duration::from_secs(3600) == limits::CODE_LASTS);
}

#[test]
fn every_refusal_says_the_same_at_the_other_end() {
    for failure in [
        MeetFailure::Wrong { left: 2 },
        MeetFailure::Unknown,
        MeetFailure::Dead,
        MeetFailure::Expired,
        MeetFailure::Used,
        MeetFailure::Busy,
        MeetFailure::Version,
        MeetFailure::Malformed,
    ] {
        let (guess, _) = Guess::begin(&code("7-lamp-tiger"), id(2), id(1), [5; 32]);
        let answer = over_the_wire(&Message::no(&failure));
        assert_eq!(guess.answered(answer).err(), Some(failure));
    }
}

#[test]
fn the_bytes_of_a_meeting_do_not_change() {
    let hex = |message: &Message| data_encoding::HEXLOWER.encode(&message.encode());
    assert_eq!(hex(&Message::Begin { version: 1, number: 300, share: vec![7; 3] }), "0101ac0203070707");
    assert_eq!(hex(&Message::Share(vec![7; 3])), "0203070707");
    assert_eq!(hex(&Message::Confirm([9; 32])), format!("03{}", "09".repeat(32)));
    assert_eq!(
        hex(&Message::Right([9; 32], Bytes::from_static(b"hi"))),
        format!("04{}026869", "09".repeat(32))
    );
    assert_eq!(hex(&Message::No { reason: 1, left: 2 }), "050102");
    // Later versions may say more behind it.
    assert_eq!(Message::decode(&[5, 1, 2, 99, 99]), Ok(Message::No { reason: 1, left: 2 }));
    let long = Message::Share(vec![0; limits::MAX_MEET_SHARE + 1]).encode();
    assert!(Message::decode(&long).is_err() && Message::decode(&[2, 0]).is_err());
    assert!(Message::decode(&vec![4; limits::MAX_MEET_MESSAGE + 1]).is_err());
    assert!(Message::decode(&[]).is_err() && Message::decode(&[0, 0, 0]).is_err());
}

proptest! {
    #[test]
    fn any_text_is_a_code_or_an_error(text in any::<String>(), near in "[0-9]{0,4}[-_ ]?[a-zA-Z]{0,9}[- ]?[a-z]{0,9}") {
        for text in [&text, &near] {
            let _ = (Code::looks_like(text), complete(text));
            if let Ok(code) = text.parse::<Code>() {
                prop_assert!(Code::looks_like(text));
                prop_assert_eq!(code.to_string().parse(), Ok(code));
            }
        }
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
    }
}
