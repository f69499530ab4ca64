//! Why a link is over, and how that is told to a person.
//!
//! Either side may say goodbye with a reason; without one, the byte stream broke
//! or the other side showed no sign of life. What is in words here goes into
//! events and errors; programs decide by the variants.

use compeer_proto::session::GoodbyeReason;

use crate::circuit::CircuitError;

/// Why a link is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// The byte stream ended or failed.
    Broken(String),
    /// Those who carry it have lost it, or changed what was said.
    Circuit(CircuitError),
    /// Nothing was heard for too long.
    Dead,
    /// The other side said goodbye.
    TheySaid(GoodbyeReason, String),
    /// We did.
    WeSaid(GoodbyeReason, String),
}

impl Over {
    /// In words, for a person.
    pub(crate) fn words(&self) -> String {
        match self {
            Over::Broken(why) => why.clone(),
            Over::Circuit(broke) => broke.to_string(),
            Over::Dead => "no sign of life for 12 s".into(),
            Over::TheySaid(reason, text) => {
                let said = format!("the peer closed: {}", words(*reason));
                if text.is_empty() { said } else { format!("{said} ({text})") }
            }
            Over::WeSaid(reason, text) => {
                let said = words(*reason).to_owned();
                if text.is_empty() { said } else { format!("{said} ({text})") }
            }
        }
    }
}

fn words(reason: GoodbyeReason) -> &'static str {
    match reason {
        GoodbyeReason::Shutdown => "it ends",
        GoodbyeReason::Idle => "unused",
        GoodbyeReason::Replaced => "replaced by a newer start of the same peer",
        GoodbyeReason::KeyRunsTwice => "the key runs in two places",
        GoodbyeReason::Duplicate => "another connection stays",
        GoodbyeReason::Protocol => "protocol broken",
        GoodbyeReason::Full => "no room",
        GoodbyeReason::Denied => "not wanted",
        _ => "closed",
    }
}
