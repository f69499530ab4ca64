//! Tests of `ticket`: every way to spoil one is told apart, and none is taken for another.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::addr::tests::addrs;
use crate::ext::tests::exts;
use crate::limits::MAX_ADDRS;
use crate::{Addr, PeerId};

fn id() -> PeerId {
    "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkena".parse().unwrap()
}

fn ticket() -> Ticket {
    PeerAddr::new(id(), ["10.0.0.1:5".parse().unwrap()]).into()
}

/// A word with a sound checksum around any bytes.
fn sealed(payload: &[u8]) -> String {
    let bytes = [payload, &checksum(PEER, payload)[..]].concat();
    format!("{PEER}{}", base32::encode(&bytes))
}

#[test]
fn case_and_white_space_do_not_matter() {
    let word = ticket().to_string();
    assert_eq!(word.to_uppercase().parse(), Ok(ticket()));
    assert_eq!(format!("  {word}\n").parse(), Ok(ticket()));
}

#[test]
fn cut_anywhere_it_is_said_to_be_cut_short() {
    let word = ticket().to_string();
    for end in PEER.len()..word.len() {
        let error = word[..end].parse::<Ticket>().unwrap_err();
        assert_eq!(error, TicketError::CutShort, "{end}");
    }
    assert_eq!("pee".parse::<Ticket>(), Err(TicketError::NotATicket));
}

#[test]
fn one_wrong_character_is_found() {
    let word = ticket().to_string();
    for place in PEER.len()..word.len() {
        let other = if &word[place..=place] == "a" { "b" } else { "a" };
        let wrong = format!("{}{other}{}", &word[..place], &word[place + 1..]);
        assert!(wrong.parse::<Ticket>().is_err(), "{place}");
    }
    let foreign = format!("{}1{}", &word[..20], &word[21..]);
    assert_eq!(foreign.parse::<Ticket>(), Err(TicketError::Character { position: 20 }));
    let swapped = {
        let mut bytes = base32::decode(&word[PEER.len()..]).unwrap();
        bytes[10] ^= 1;
        format!("{PEER}{}", base32::encode(&bytes))
    };
    assert_eq!(swapped.parse::<Ticket>(), Err(TicketError::Checksum));
}

#[test]
fn other_things_are_not_tickets() {
    let word = ticket().to_string();
    for text in ["", "bob", "192.168.1.20", "안녕하세요", &id().to_string()] {
        assert_eq!(text.parse::<Ticket>(), Err(TicketError::NotATicket), "{text}");
        assert!(!Ticket::looks_like(text), "{text}");
    }
    let room = word.replacen(PEER, "room", 1);
    assert_eq!(room.parse::<Ticket>(), Err(TicketError::NewerType("room")));
    assert!(Ticket::looks_like(&word) && Ticket::looks_like(&room));
    let share = word.replacen(PEER, "share", 1);
    assert_eq!(share.parse::<Ticket>(), Err(TicketError::Checksum), "the type is in the checksum");
}

#[test]
fn a_ticket_of_the_future_is_told_from_a_slip() {
    assert_eq!(sealed(&[2, 9, 9]).parse::<Ticket>(), Err(TicketError::NewerVersion(2)));
    assert_eq!(sealed(&[0, 9, 9]).parse::<Ticket>(), Err(TicketError::Malformed));
    assert_eq!(sealed(&[]).parse::<Ticket>(), Err(TicketError::Malformed));
}

#[test]
fn a_sound_checksum_is_not_enough() {
    let id = *id().as_bytes();
    let no_addrs = [&[1, 33][..], &id, &[0, 0]].concat();
    assert_eq!(sealed(&no_addrs).parse(), Ok(Ticket::Peer(PeerAddr::from(PeerId::from_bytes(&id).unwrap()))));
    for payload in [
        [&[1, 34][..], &id, &[0, 7, 0]].concat(), // a byte too many in the body
        [&[1, 33][..], &id, &[0, 0, 0]].concat(), // after the extension list
        [&[1, 33][..], &id, &[0]].concat(),       // no extension list
        [&[1, 32][..], &id, &[0]].concat(),       // no address list
        [&[1, 33][..], &[0; 32], &[0, 0]].concat(), // a weak key
    ] {
        assert_eq!(sealed(&payload).parse::<Ticket>(), Err(TicketError::Malformed));
    }
}

#[test]
fn the_largest_ticket_can_be_read() {
    let host = format!("{}a", "abc.".repeat(63));
    assert_eq!(host.len(), 253);
    let addrs = (1..=MAX_ADDRS).map(|port| Addr::dns(&host, port as u16).unwrap());
    let ticket = Ticket::Peer(PeerAddr::new(id(), addrs));
    let mut ext = Ext::new();
    for tag in 0..crate::limits::MAX_EXT_ENTRIES as u32 {
        ext.push(u32::MAX - tag, &[7; 128]).unwrap();
    }
    let word = ticket.encode(&ext);
    assert!(word.len() <= MAX_TICKET_TEXT_LEN, "{}", word.len());
    assert_eq!(Ticket::decode(&word), Ok((ticket, ext)));
    let longer = format!("peer{}", "a".repeat(MAX_TICKET_TEXT_LEN));
    assert_eq!(longer.parse::<Ticket>(), Err(TicketError::TooLong));
}

fn share() -> ShareTicket {
    let peers = [PeerAddr::new(id(), ["10.0.0.1:5".parse().unwrap()]), PeerAddr::from(id())];
    ShareTicket::new(peers, [0xab; 32], [0xcd; 16])
}

/// A share ticket with a sound checksum around any body.
fn sealed_share(body: &[u8]) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(postcard::to_allocvec(body).unwrap());
    bytes.push(0);
    bytes.extend(checksum(SHARE, &bytes));
    format!("{SHARE}{}", base32::encode(&bytes))
}

#[test]
fn a_share_ticket_reads_as_written_and_as_nothing_else() {
    let word = share().to_string();
    assert!(word.starts_with("share") && Ticket::looks_like(&word));
    assert_eq!(word.to_uppercase().parse(), Ok(Ticket::Share(share())));
    for end in SHARE.len()..word.len() {
        assert_eq!(word[..end].parse::<Ticket>(), Err(TicketError::CutShort), "{end}");
    }
    let error = word.parse::<Ticket>().unwrap().into_peer().unwrap_err();
    assert_eq!(
        error.to_string(),
        "this is a share ticket, and a peer ticket is needed here: `compeer ticket` prints one"
    );
    let error = ticket().to_string().parse::<ShareTicket>().unwrap_err();
    assert_eq!(error, TicketError::WrongType { found: "peer", needed: "share" });
    assert_eq!(ticket().into_peer().unwrap().id, id());
    let foreign = format!("{}1{}", &word[..20], &word[21..]);
    assert_eq!(foreign.parse::<Ticket>(), Err(TicketError::Character { position: 20 }));
}

#[test]
fn the_secret_is_not_shown_by_accident() {
    let shown = format!("{:?} {:#?}", Ticket::Share(share()), share());
    assert!(shown.contains("abababab") && !shown.contains("cd") && !shown.contains("205"), "{shown}");
}

#[test]
fn a_share_has_one_to_four_peers_with_sixteen_addresses() {
    let many = |count: u16| {
        PeerAddr::new(
            id(),
            (1..=count).map(|port| Addr::dns(&format!("{}a", "abc.".repeat(63)), port).unwrap()),
        )
    };
    let largest = ShareTicket::new([many(16), many(3), many(16), many(1), many(16)], [1; 32], [2; 16]);
    let lens: Vec<usize> = largest.peers.iter().map(|peer| peer.addrs.len()).collect();
    assert_eq!((lens.iter().sum::<usize>(), lens.len(), lens[1], lens[3]), (16, 4, 3, 1));
    let mut ext = Ext::new();
    for tag in 0..crate::limits::MAX_EXT_ENTRIES as u32 {
        ext.push(u32::MAX - tag, &[7; 128]).unwrap();
    }
    let word = Ticket::Share(largest.clone()).encode(&ext);
    assert!(word.len() <= MAX_TICKET_TEXT_LEN, "{}", word.len());
    assert_eq!(Ticket::decode(&word), Ok((Ticket::Share(largest), ext)));

    // What `new` does not make, encoding does not either.
    let wide = ShareTicket { peers: vec![many(9), many(9)], root: [1; 32], secret: [2; 16] };
    let read: ShareTicket = wide.to_string().parse().unwrap();
    assert_eq!(read, ShareTicket::new(wide.peers, [1; 32], [2; 16]));

    let body = |peers: &[PeerAddr]| postcard::to_allocvec(&(peers, [1u8; 32], [2u8; 16])).unwrap();
    let peer = || PeerAddr::from(id());
    assert!(sealed_share(&body(&[peer()])).parse::<ShareTicket>().is_ok());
    for wrong in [
        body(&[]),
        body(&[peer(), peer(), peer(), peer(), peer()]),
        body(&[many(16), many(1)]),
        [&body(&[peer()])[..], &[0]].concat(),
        body(&[peer()])[..80].to_vec(),
        vec![0xff; 5],
    ] {
        assert_eq!(sealed_share(&wrong).parse::<Ticket>(), Err(TicketError::Malformed));
    }
}

#[test]
fn serde_writes_the_word() {
    let json = serde_json::to_string(&share()).unwrap();
    assert_eq!(serde_json::from_str::<ShareTicket>(&json).unwrap(), share());
    let json = serde_json::to_string(&ticket()).unwrap();
    assert_eq!(json, format!("\"{}\"", ticket()));
    assert_eq!(serde_json::from_str::<Ticket>(&json).unwrap(), ticket());
}

proptest! {
    #[test]
    fn round_trips(addrs in vec(addrs(), 0..=MAX_ADDRS), ext in exts()) {
        let ticket = Ticket::Peer(PeerAddr { id: id(), addrs });
        let word = ticket.encode(&ext);
        prop_assert!(Ticket::looks_like(&word));
        prop_assert_eq!(word.parse::<Ticket>().unwrap(), ticket.clone());
        prop_assert_eq!(Ticket::decode(&word).unwrap(), (ticket, ext));
    }

    #[test]
    fn any_string_parses_or_fails(text in any::<String>(), near in "(?i)(peer|share)[a-z2-7]{0,100}") {
        let _ = text.parse::<Ticket>();
        let _ = Ticket::looks_like(&text);
        prop_assert!(near.parse::<Ticket>().is_err());
    }

    #[test]
    fn any_sealed_bytes_parse_or_fail(version in 0..3u8, payload in vec(any::<u8>(), 0..200)) {
        let _ = sealed(&payload).parse::<Ticket>();
        let _ = sealed(&[&[version], &payload[..]].concat()).parse::<Ticket>();
    }

    #[test]
    fn any_spoilt_ticket_is_refused(place in 0..83usize, with in any::<char>()) {
        let mut word: Vec<char> = ticket().to_string().chars().collect();
        prop_assume!(place < word.len() && !with.eq_ignore_ascii_case(&word[place]));
        word[place] = with;
        let word: String = word.into_iter().collect();
        prop_assert!(word.parse::<Ticket>().is_err() || word.trim().len() < word.len());
    }
}
