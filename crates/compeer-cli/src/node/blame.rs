//! Turns the library's errors into what a command ends with: a sentence and an exit code.
//!
//! Whether it is worth trying again decides the code: 3 if nobody was reached or no answer came, 4 if the wrong one
//! answered, 1 for all that the other side decided.

use crate::exit::{CommandError, plain};
use crate::size;
use compeer::{Addr, ConnectError, RequestError, classic, text};
use compeer_share::{FetchError, OfferError};

/// Why a peer could not be reached. `who` is what the user typed; `pinned` if that is an address, whose key was learnt.
pub(crate) fn connect(who: &str, pinned: bool, error: &ConnectError) -> CommandError {
    match error {
        ConnectError::WrongKey { expected, proven, addr } => CommandError::verification(format!(
            "another key answers at {addr} than should\n  expected {expected}\n  found    {proven}"
        ))
        .hint(match pinned {
            true => format!(
                "nothing was sent. Somebody else may be there; if its owner says that the key is new, type: \
                 compeer peers --forget {who}"
            ),
            false => {
                "nothing was sent. Somebody else is there now: ask for a new ticket or address".to_string()
            }
        }),
        ConnectError::Oneself => CommandError::failed(format!("{who} is this peer itself")),
        ConnectError::Blocked(_) => {
            CommandError::failed(format!("{who} is blocked")).hint(format!("compeer block {who} --off"))
        }
        ConnectError::Unreachable(tried) => {
            let error = CommandError::unreachable(format!("cannot reach {who}: {}", reasons(who, tried)));
            match is_name(who) && tried.iter().all(|(_, reason)| reason.contains("lookup")) {
                true => error.hint(format!(
                    "neither a paired peer nor a machine is called {who}; `compeer peers` lists the peers"
                )),
                false => error.hint("is `compeer up` running there, and the address right?"),
            }
        }
        // It may be what the other side said.
        error => {
            CommandError::unreachable(format!("cannot reach {who}: {}", text::escape(&error.to_string())))
        }
    }
}

/// A plain word, which may be the name of a peer.
fn is_name(who: &str) -> bool {
    !who.contains(['.', ':'])
}

/// What was tried and how it went, without what the reader knows already.
fn reasons(who: &str, tried: &[(Addr, String)]) -> String {
    let plain = |reason: &str| text::escape(&plain(reason)).into_owned();
    match tried {
        [(addr, reason)] if addr.to_string() == who || addr.host() == who => plain(reason),
        _ => {
            let each: Vec<_> =
                tried.iter().map(|(addr, reason)| format!("{addr} ({})", plain(reason))).collect();
            each.join(", ")
        }
    }
}

/// Why a program of the classic protocol gave no answer. `at` is what the user typed.
pub(crate) fn classic(at: &str, error: &classic::Error) -> CommandError {
    match error {
        classic::Error::Unreachable(_, error) => {
            CommandError::unreachable(format!("cannot reach {at}: {error}"))
        }
        classic::Error::TimedOut => CommandError::unreachable(format!("{at} did not answer in time")),
        error => CommandError::failed(format!("{at}: {error}")),
    }
}

/// Why a request got no answer. `who` is ready for the screen.
pub(crate) fn request(who: &str, error: &RequestError) -> CommandError {
    match error {
        RequestError::Unreachable(error) => connect(who, false, error),
        RequestError::TimedOut => CommandError::unreachable(format!("{who} did not answer in time")),
        RequestError::Cancelled => {
            CommandError::failed(format!("{who} gave it up before it was done; part of it may have run"))
        }
        RequestError::Unroutable(_) => {
            CommandError::unreachable(format!("no way to {who} is known")).hint("try its address or ticket")
        }
        RequestError::HandlerFailed(reason) => {
            CommandError::failed(format!("{who}: {}", text::escape(reason)))
        }
        error => CommandError::failed(format!("{who}: {}", text::escape(&error.to_string()))),
    }
}

/// Why the node of this home did not answer a command.
pub(crate) fn control(error: &RequestError) -> CommandError {
    match error {
        RequestError::Disconnected => {
            CommandError::failed("the peer of this home stopped before it answered")
                .hint("what was asked may have been done")
        }
        RequestError::NoHandler => CommandError::failed("the running peer does not know this command")
            .hint("was compeer updated meanwhile? stop the running one with: compeer down"),
        error => CommandError::failed(format!("the peer of this home: {error}")),
    }
}

/// Why something cannot be offered.
pub(crate) fn offer(error: &OfferError) -> CommandError {
    match error {
        OfferError::Walk(_) | OfferError::Empty => CommandError::usage(text::escape(&error.to_string())),
        error => CommandError::failed(text::escape(&error.to_string())),
    }
}

/// Why something was not fetched.
pub(crate) fn fetch(error: &FetchError) -> CommandError {
    let message = text::escape(&error.to_string()).into_owned();
    match error {
        FetchError::Nobody(_) => CommandError::unreachable(message)
            .hint("is the sender still running, and on a network you can reach?"),
        FetchError::NoProvider { missing, why } => {
            let (missing, why) = (size::show(*missing), text::escape(why));
            CommandError::unreachable(format!("nobody is left who has the rest ({missing}): {why}"))
        }
        FetchError::Changed { path, missing } => {
            let (path, missing) = (text::escape(path), size::show(*missing));
            let was = format!("{path} was changed at the sender since it was offered");
            CommandError::failed(format!("{was}, so the rest ({missing}) cannot be had"))
                .hint("ask for it to be sent again, as it is now")
                .for_good()
        }
        FetchError::NotHashed { .. } => CommandError::failed(message).for_good(),
        FetchError::NoMore { missing } => {
            let missing = size::show(*missing);
            CommandError::failed(format!(
                "the sender is there, and does not offer this any more; {missing} are missing"
            ))
            .hint(
                "ask for it to be sent again: `compeer get` of the same files goes on where this one stopped",
            )
            .for_good()
        }
        FetchError::NoRoom { needed, free } => {
            let (needed, free) = (size::show(*needed), size::show(*free));
            CommandError::failed(format!("not enough room: {needed} are needed and {free} are free"))
                .hint("make room, or choose another place with -o DIR")
        }
        FetchError::Manifest { .. } | FetchError::Lies => CommandError::verification(message),
        FetchError::Pattern(_) | FetchError::NothingSelected(_) | FetchError::NotOne(_) => {
            CommandError::usage(message)
        }
        _ => CommandError::failed(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_nobodys_is_told_so() {
        let reason = "failed to lookup address information: Name or service not known".to_string();
        let hint = |who: &str| {
            let addr = format!("{who}:26673").parse().unwrap();
            connect(who, false, &ConnectError::Unreachable(vec![(addr, reason.clone())])).hint.unwrap()
        };
        assert!(hint("bbo").contains("compeer peers") && !hint("bbo.example").contains("compeer peers"));
    }

    #[test]
    fn what_the_other_side_said_is_shown_escaped() {
        let said = || "busy\x1b[2J".to_string();
        let addr: Addr = "192.0.2.1:7".parse().unwrap();
        for error in [ConnectError::Refused(said()), ConnectError::Unreachable(vec![(addr, said())])] {
            let message = connect("bob", false, &error).message;
            assert!(message.contains("busy") && !message.contains('\x1b'), "{message}");
        }
        for error in [FetchError::Lies, FetchError::NothingSelected(vec![]), FetchError::Pattern("x".into())]
        {
            assert_ne!(fetch(&error).exit, crate::exit::Exit::Failed, "{error}");
        }
        assert_eq!(fetch(&FetchError::Lies).exit, crate::exit::Exit::Verification);
    }
}
