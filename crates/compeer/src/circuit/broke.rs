//! A circuit that did not come about, or broke: what a person is told of it.
//!
//! Only the first carrier is known for sure, as the neighbour that it is; whom it names, and
//! what they say, is their word. Who changes what passes cannot be told from its neighbours by
//! the ends, so that all carriers are named.

use std::fmt;

use compeer_proto::PeerId;
use compeer_proto::circuit::{Broken, Why};

/// Where and why a circuit did not come about, or broke.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CircuitError {
    /// Who carried it, the neighbour of this peer first, as they say. Empty when it did not
    /// come about.
    pub over: Vec<PeerId>,
    /// Who is meant: who refused, or was lost. `None`: one of those in `over`, or the other end.
    pub at: Option<PeerId>,
    /// Why.
    pub why: Why,
}

impl CircuitError {
    /// It did not come about.
    pub(super) fn refused(Broken { who, why }: Broken) -> Self {
        CircuitError { over: Vec::new(), at: Some(who), why }
    }

    /// It broke in one place.
    pub(super) fn at(over: Vec<PeerId>, Broken { who, why }: Broken) -> Self {
        CircuitError { over, at: Some(who), why }
    }

    /// The ends found it broken.
    pub(crate) fn ends(over: Vec<PeerId>, why: Why) -> Self {
        CircuitError { over, at: None, why }
    }
}

impl std::error::Error for CircuitError {}

impl fmt::Display for CircuitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over = Names(&self.over);
        match (self.at, self.why) {
            (_, Why::Altered) if self.over.len() == 1 => write!(f, "altered on the way by {over}"),
            (_, Why::Altered) => write!(f, "altered on the way by one of {over}"),
            (Some(at), why) if self.over.is_empty() => {
                write!(f, "no circuit: {}: {}", at.short(), Words(why))
            }
            (Some(at), why) => write!(f, "the circuit over {over} broke at {}: {}", at.short(), Words(why)),
            (None, why) => write!(f, "the circuit over {over} broke: {}", Words(why)),
        }
    }
}

struct Names<'a>(&'a [PeerId]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, peer) in self.0.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { ", " }, peer.short())?;
        }
        Ok(())
    }
}

struct Words(Why);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Why::NoWay => "it knows no way on",
            Why::Full => "it carries no more circuits now; try again later",
            Why::NotCarrying => "it carries nothing for others",
            Why::Blocked => "one who takes part is blocked there",
            Why::Loop => "the way leads back",
            Why::HopLimit => "the way is too long",
            Why::Unreachable => "it cannot be reached",
            Why::Gone => "its connection is lost",
            Why::Silent => "no sign of life",
            Why::Slow => "no answer in time",
            Why::Spent => "all that it allows one circuit is used up",
            Why::Protocol => "it broke the protocol",
            Why::Altered => "what was sent was changed on the way",
            Why::Later(code) => return write!(f, "reason {code}, which this version does not know"),
            _ => "it refuses",
        })
    }
}
