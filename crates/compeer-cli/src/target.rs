//! PEER on the command line: a petname, a ticket, an id, the beginning of a paired peer's id, or an address.
//!
//! They are tried in this order, so a name the user gave always wins; `bob:26673` is the host. The beginning of an id
//! (8 characters and more) counts for paired peers only: with strangers, anybody could make a key that begins like
//! another. What is reached through an address is pinned to it at the first contact; the pin is looked up here.

use crate::exit::{CommandError, Outcome};
use crate::store::Store;
use compeer::{Addr, PeerAddr, PeerId, Ticket, limits};

/// What PEER stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Whose key is expected; `None` at the first contact with an address.
    pub(crate) id: Option<PeerId>,
    /// Where to look for it; may be empty for an id.
    pub(crate) addrs: Vec<Addr>,
    /// The address the user typed, if it was one: what a pin is made for.
    pub(crate) typed: Option<Addr>,
}

/// Finds out what PEER stands for.
///
/// # Errors
///
/// It is none of the five, or fits several peers.
pub(crate) fn resolve(text: &str, store: &Store) -> Outcome<Target> {
    let text = text.trim();
    if let Some(known) = store.by_petname(text)? {
        return Ok(known_target(known.id, &known.addrs));
    }
    if looks_like_ticket(text) {
        let ticket: Ticket = text.parse().map_err(|error| CommandError::usage(format!("{error}")))?;
        let peer = ticket.into_peer().map_err(|error| CommandError::usage(error.to_string()))?;
        return with_memory(peer, store);
    }
    if text.len() == limits::PEER_ID_TEXT_LEN && is_base32(text) {
        let id: PeerId = text.parse().map_err(|error| CommandError::usage(format!("{text}: {error}")))?;
        return with_memory(PeerAddr { id, addrs: Vec::new() }, store);
    }
    if text.len() >= limits::SHORT_ID_LEN && is_base32(text) {
        let prefix = text.to_ascii_lowercase();
        let known = store.peers()?.into_iter().filter(|known| known.petname.is_some());
        let fitting: Vec<_> = known.filter(|known| known.id.to_string().starts_with(&prefix)).collect();
        match fitting.as_slice() {
            [] => {}
            [known] => return Ok(known_target(known.id, &known.addrs)),
            _ => return Err(CommandError::usage(format!("several paired peers' ids begin with {text}"))),
        }
    }
    let addr: Addr = text.parse().map_err(|_| {
        CommandError::usage(format!("{:?} is no name of a paired peer, ticket, id or address", text))
            .hint("`compeer peers` lists the names; `compeer --help` says what PEER may be")
    })?;
    Ok(Target { id: store.pin(&addr.to_string())?, addrs: vec![addr.clone()], typed: Some(addr) })
}

/// PEER as it is best repeated in a message: what was typed, but the short id in place of a ticket or a whole id.
pub(crate) fn brief(text: &str) -> String {
    match (text.parse(), text.parse::<PeerId>()) {
        (Ok(Ticket::Peer(peer)), _) => peer.id.short(),
        (_, Ok(id)) => id.short(),
        _ => text.to_string(),
    }
}

/// The word that was meant, most likely, by one that is none of them: at most two letters are wrong, and most are right.
pub(crate) fn meant<'a>(typed: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    let wrong = |word: &str| strsim::damerau_levenshtein(&typed, &word.to_lowercase());
    let nearest = words.into_iter().min_by_key(|word| wrong(word))?;
    (wrong(nearest) <= 2 && wrong(nearest) * 2 < nearest.chars().count()).then_some(nearest)
}

/// `text` begins like a ticket and is too long to be a host name's label: tickets have about 130 characters.
fn looks_like_ticket(text: &str) -> bool {
    let begins = |word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let word = ["peer", "share", "room"].into_iter().any(begins);
    word && text.len() > limits::MAX_HOST_LABEL_LEN && !text.contains(['.', ':'])
}

fn is_base32(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphabetic() || (b'2'..=b'7').contains(&byte))
}

/// A ticket's addresses first, then those remembered: the ticket is newer.
fn with_memory(peer: PeerAddr, store: &Store) -> Outcome<Target> {
    let known = store.peer(peer.id)?.map(|known| known.addrs).unwrap_or_default();
    let mut target = known_target(peer.id, &known);
    target.addrs.retain(|addr| !peer.addrs.contains(addr));
    target.addrs.splice(0..0, peer.addrs);
    target.addrs.truncate(limits::MAX_ADDRS);
    Ok(target)
}

fn known_target(id: PeerId, addrs: &[String]) -> Target {
    let addrs = addrs.iter().filter_map(|addr| addr.parse().ok()).collect();
    Target { id: Some(id), addrs, typed: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn id(seed: u8) -> PeerId {
        compeer::Identity::from_seed(&[seed; 32]).peer_id()
    }

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("peer.db")).unwrap();
        store.pair(id(1), "bob", false).unwrap();
        store.seen(id(1), None, &["10.0.0.1:26673".to_string()], 0).unwrap();
        (dir, store)
    }

    #[test]
    fn a_name_an_id_and_its_beginning_are_the_same_peer() {
        let (_dir, store) = store();
        let bob = resolve("bob", &store).unwrap();
        assert_eq!(bob.id, Some(id(1)));
        assert_eq!(bob.addrs, vec!["10.0.0.1:26673".parse::<Addr>().unwrap()]);
        let text = id(1).to_string();
        assert_eq!(resolve(&text, &store).unwrap(), bob);
        assert_eq!(resolve(&text[..8], &store).unwrap(), bob);
        assert_eq!(resolve(&text[..20].to_uppercase(), &store).unwrap(), bob);
    }

    #[test]
    fn the_beginning_of_a_strangers_id_is_a_host_name() {
        let (_dir, store) = store();
        let text = &id(2).to_string()[..9];
        assert_eq!(resolve(text, &store).unwrap().id, None);
        assert_eq!(resolve(&id(1).to_string()[..7], &store).unwrap().id, None, "too short");
    }

    #[test]
    fn a_ticket_brings_its_addresses() {
        let (_dir, store) = store();
        let peer = PeerAddr { id: id(1), addrs: vec!["host.example:5".parse().unwrap()] };
        let target = resolve(&Ticket::Peer(peer).to_string(), &store).unwrap();
        assert_eq!(target.id, Some(id(1)));
        let texts: Vec<_> = target.addrs.iter().map(Addr::to_string).collect();
        assert_eq!(texts, ["host.example:5", "10.0.0.1:26673"]);
    }

    #[test]
    fn messages_do_not_repeat_a_whole_ticket() {
        let ticket = Ticket::Peer(PeerAddr { id: id(1), addrs: vec![] }).to_string();
        assert_eq!(brief(&ticket), id(1).short());
        assert_eq!(brief(&id(1).to_string()), id(1).short());
        assert_eq!(brief("192.168.1.20"), "192.168.1.20");
    }

    #[test]
    fn a_damaged_ticket_is_not_looked_up_as_a_host() {
        let (_dir, store) = store();
        let ticket = Ticket::Peer(PeerAddr { id: id(1), addrs: vec![] }).to_string();
        let error = resolve(&ticket[..ticket.len() - 3], &store).unwrap_err();
        assert_eq!(error.exit, Exit::Usage);
    }

    #[test]
    fn a_share_ticket_is_no_peer() {
        let (_dir, store) = store();
        let ticket = compeer::ShareTicket::new([PeerAddr { id: id(1), addrs: vec![] }], [1; 32], [2; 16]);
        let error = resolve(&ticket.to_string(), &store).unwrap_err();
        assert_eq!(error.exit, Exit::Usage);
        assert!(error.message.contains("a peer ticket is needed"), "{}", error.message);
    }

    #[test]
    fn an_address_has_the_key_learnt_for_it() {
        let (_dir, store) = store();
        assert_eq!(resolve("192.168.1.20", &store).unwrap().id, None);
        store.set_pin("192.168.1.20:26673", id(3)).unwrap();
        for text in ["192.168.1.20", "192.168.1.20:26673"] {
            let target = resolve(text, &store).unwrap();
            assert_eq!(target.id, Some(id(3)));
            assert_eq!(target.typed.unwrap().to_string(), "192.168.1.20:26673");
        }
        assert_eq!(resolve("peerless", &store).unwrap().typed.unwrap().to_string(), "peerless:26673");
        assert_eq!(resolve("bob:26673", &store).unwrap().id, None);
    }

    #[test]
    fn what_is_nothing_is_a_usage_error() {
        let (_dir, store) = store();
        for text in ["", "a b", "host:99999", "/etc/passwd"] {
            assert_eq!(resolve(text, &store).unwrap_err().exit, Exit::Usage, "{text:?}");
        }
    }

    #[test]
    fn what_was_meant_is_near() {
        let words = ["say", "send", "alice"];
        assert_eq!(meant("sya", words), Some("say"));
        assert_eq!(meant("Alcie", words), Some("alice"));
        assert_eq!(meant("bob", words), None);
        assert_eq!(meant("x", words), None);
    }
}
