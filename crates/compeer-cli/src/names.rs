//! How a peer is called on the screen, and what a name may be.
//!
//! A *petname* is what the user chose by pairing, and unique. A *nickname* is what a peer calls itself; anybody may
//! claim any. So a nickname that looks like the petname of another peer, or like a nickname already shown for
//! another, is shown with the short id behind it; so is one that could be mistaken for the frame around it. Names look
//! alike here if they have the same letters and digits, whatever their case and whatever stands between.
//! Letters of different scripts that look the same are not told apart.

use crate::store::MAX_PETNAME;
use compeer::{PeerId, text};
use std::collections::BTreeMap;

/// Nicknames remembered as shown. When there are more, the further ones appear with their short id.
const MAX_SHOWN: usize = 1024;

/// Who has which name on the screen of this process.
#[derive(Debug, Default)]
pub(crate) struct Names {
    petnames: BTreeMap<PeerId, String>,
    /// The look of a nickname, and for whom it was shown.
    shown: BTreeMap<String, PeerId>,
}

impl Names {
    /// The names to begin with.
    pub(crate) fn new(petnames: impl IntoIterator<Item = (PeerId, String)>) -> Names {
        Names { petnames: petnames.into_iter().collect(), shown: BTreeMap::new() }
    }

    /// Notes a pairing, or the end of one.
    pub(crate) fn set_petname(&mut self, id: PeerId, petname: Option<String>) {
        match petname {
            Some(petname) => self.petnames.insert(id, petname),
            None => self.petnames.remove(&id),
        };
    }

    /// The name the user gave a peer.
    pub(crate) fn petname(&self, id: PeerId) -> Option<String> {
        self.petnames.get(&id).cloned()
    }

    /// The name for the screen, escaped: petname, else nickname where that deceives nobody, else the short id.
    pub(crate) fn show(&mut self, id: PeerId, nickname: Option<&str>) -> String {
        if let Some(petname) = self.petnames.get(&id) {
            return petname.clone();
        }
        let Some(nickname) = nickname.map(str::trim).filter(|name| !name.is_empty()) else {
            return id.short();
        };
        let escaped = text::escape(nickname);
        let look = look(nickname);
        let framed =
            nickname.contains([':', '(', ')', '[', ']', '"', '`', '*']) || nickname.starts_with(['-', '+']);
        let taken = look.is_empty()
            || self.petnames.values().any(|petname| self::look(petname) == look)
            || !self.claim(look, id);
        if taken || framed { format!("{escaped} ({})", id.short()) } else { escaped.into_owned() }
    }

    /// Whether this look is, or can become, this peer's.
    fn claim(&mut self, look: String, id: PeerId) -> bool {
        match self.shown.get(&look) {
            Some(owner) => *owner == id,
            None if self.shown.len() < MAX_SHOWN => {
                self.shown.insert(look, id);
                true
            }
            None => false,
        }
    }
}

fn look(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// A petname made of what a peer calls itself: one word without dots and colons, so that it is never taken for an
/// address, and short.
pub(crate) fn petname_from(nickname: &str) -> String {
    let mut name = String::new();
    for c in nickname.trim().chars() {
        let c = match c {
            c if c.is_alphanumeric() || c == '_' => c,
            _ => '-',
        };
        if name.len() + c.len_utf8() > MAX_PETNAME {
            break;
        }
        if c != '-' || !(name.is_empty() || name.ends_with('-')) {
            name.push(c);
        }
    }
    let name = name.trim_end_matches('-');
    if name.is_empty() { "peer".to_string() } else { name.to_string() }
}

/// Whether a name the user chose can be a petname.
///
/// # Errors
///
/// Says what is wrong with it.
pub(crate) fn check_petname(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_PETNAME {
        return Err(format!("a name has 1 to {MAX_PETNAME} bytes"));
    }
    if !name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') || name.starts_with('-') {
        return Err("a name is letters, digits, - and _, and does not begin with -".to_string());
    }
    Ok(())
}

/// The name to tell others when the user chose none: the user's, or the machine's for root.
pub(crate) fn default_nickname() -> String {
    let user = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let user = user.map(|name| name.trim().to_string()).filter(|name| !name.is_empty() && name != "root");
    let machine = || rustix::system::uname().nodename().to_str().ok().map(str::to_string);
    let name = user.or_else(machine).filter(|name| !name.is_empty()).unwrap_or_else(|| "peer".to_string());
    fit_nickname(&name)
}

/// Whether the user can call himself so.
///
/// # Errors
///
/// Says what is wrong with it.
pub(crate) fn check_nickname(name: &str) -> Result<(), String> {
    if name.chars().any(char::is_control) {
        return Err("a name is one line of plain text".to_string());
    }
    match name.trim().len() {
        1..=compeer::limits::MAX_NAME_LEN => Ok(()),
        _ => Err(format!("a name has 1 to {} bytes", compeer::limits::MAX_NAME_LEN)),
    }
}

/// A nickname cut to what others accept.
pub(crate) fn fit_nickname(name: &str) -> String {
    let mut end = name.len().min(compeer::limits::MAX_NAME_LEN);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(seed: u8) -> PeerId {
        compeer::Identity::from_seed(&[seed; 32]).peer_id()
    }

    #[test]
    fn a_petname_wins_and_nobody_else_gets_it() {
        let mut names = Names::new([(id(1), "bob".to_string())]);
        assert_eq!(names.show(id(1), Some("whatever")), "bob");
        for claimed in ["bob", "BOB", "b o b", "bob\u{200b}", " bob"] {
            let shown = names.show(id(2), Some(claimed));
            assert!(shown.ends_with(&format!("({})", id(2).short())), "{shown}");
        }
    }

    #[test]
    fn the_first_to_show_a_nickname_keeps_it() {
        let mut names = Names::default();
        assert_eq!(names.show(id(1), Some("Ann")), "Ann");
        assert_eq!(names.show(id(2), Some("ann")), format!("ann ({})", id(2).short()));
        assert_eq!(names.show(id(1), Some("Ann")), "Ann");
        assert_eq!(names.show(id(3), None), id(3).short());
    }

    #[test]
    fn a_nickname_cannot_draw_on_the_screen() {
        let mut names = Names::default();
        assert_eq!(names.show(id(1), Some("\u{1b}[2Jx")), format!("\\u{{1b}}[2Jx ({})", id(1).short()));
        assert_eq!(names.show(id(2), Some("bob: pay me")), format!("bob: pay me ({})", id(2).short()));
        assert_eq!(names.show(id(3), Some("\u{202e}")), format!("\\u{{202e}} ({})", id(3).short()));
    }

    #[test]
    fn a_nickname_of_ones_own_is_one_line() {
        assert!(check_nickname("Ann of the hill").is_ok() && check_nickname("한글").is_ok());
        assert!(
            check_nickname("a\nb").is_err()
                && check_nickname("\u{1b}[2J").is_err()
                && check_nickname(" ").is_err()
        );
    }

    #[test]
    fn strangers_cannot_fill_the_memory() {
        let mut names = Names::default();
        for number in 0..2 * MAX_SHOWN {
            names.show(id(1), Some(&format!("n{number}")));
        }
        assert_eq!(names.shown.len(), MAX_SHOWN);
        assert_eq!(names.show(id(2), Some("fresh")), format!("fresh ({})", id(2).short()));
    }

    #[test]
    fn petnames_are_one_plain_word() {
        assert_eq!(petname_from("Bob"), "Bob");
        assert_eq!(petname_from(" Bob the 1st "), "Bob-the-1st");
        assert_eq!(petname_from("192.168.1.20:5"), "192-168-1-20-5");
        assert_eq!(petname_from("--\u{1b}"), "peer");
        assert_eq!(petname_from("안녕"), "안녕");
        assert!(petname_from(&"é".repeat(99)).len() <= MAX_PETNAME);
        for name in ["", "a b", "-x", "a:b", "host.example", &"x".repeat(33)] {
            assert!(check_petname(name).is_err(), "{name:?}");
        }
        for name in ["192.168.1.20:5", "안녕", "Bob the 1st"] {
            assert_eq!(check_petname(&petname_from(name)), Ok(()));
        }
    }
}
