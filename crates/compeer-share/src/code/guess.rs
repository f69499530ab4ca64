//! The side that was told the code: it begins, and it proves first.
//!
//! A pure machine, typed by its steps: [`Guess::begin`] gives what to send, [`Guess::answered`] takes what comes
//! back and gives what to send, [`Proven::answered`] takes the last message and gives what was offered.

use bytes::Bytes;
use compeer::PeerId;
use spake2::{Ed25519Group, Spake2};

use super::Code;
use super::message::{Message, VERSION};
use super::proof::{self, Proofs, Role};

/// Why a guess came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MeetFailure {
    /// The words are others.
    #[error("wrong code; {}", wrong(.left))]
    Wrong {
        /// Guesses that it still bears; with 0 it is dead.
        left: u8,
    },
    /// Nobody offers this number there.
    #[error("no code with this number is offered there")]
    Unknown,
    /// Guessed wrong before.
    #[error("this code is dead, somebody got it wrong; ask for another")]
    Dead,
    /// Over an hour old.
    #[error("this code is too old; ask for another")]
    Expired,
    /// Somebody else has come with it.
    #[error("this code has been used; ask for another")]
    Used,
    /// Others are trying it at the moment.
    #[error("somebody else is trying this code just now; try again")]
    Busy,
    /// The exchange is of a version that the other side does not know.
    #[error("the other side does not know this way to meet; one of the two needs a newer version")]
    Version,
    /// The other side could not prove that it knows the code.
    #[error("the other side does not know the code itself; ask who told it to you")]
    Unproven,
    /// The other side does not keep to the exchange.
    #[error("the other side does not keep to the exchange; one of the two needs a newer version")]
    Malformed,
}

fn wrong(left: &u8) -> String {
    match left {
        0 => "it is dead now, ask for another".into(),
        1 => "it can be tried once more".into(),
        left => format!("it can be tried {left} more times"),
    }
}

impl MeetFailure {
    pub(crate) fn to_wire(&self) -> (u8, u8) {
        match self {
            MeetFailure::Wrong { left } => (1, *left),
            MeetFailure::Unknown => (2, 0),
            MeetFailure::Dead => (3, 0),
            MeetFailure::Expired => (4, 0),
            MeetFailure::Used => (5, 0),
            MeetFailure::Busy => (6, 0),
            MeetFailure::Version => (7, 0),
            MeetFailure::Unproven | MeetFailure::Malformed => (8, 0),
        }
    }

    fn from_wire(reason: u8, left: u8) -> Self {
        match reason {
            1 => MeetFailure::Wrong { left },
            2 => MeetFailure::Unknown,
            3 => MeetFailure::Dead,
            4 => MeetFailure::Expired,
            5 => MeetFailure::Used,
            6 => MeetFailure::Busy,
            7 => MeetFailure::Version,
            _ => MeetFailure::Malformed,
        }
    }
}

/// A guess that waits for the other side to go along.
pub struct Guess {
    spake: Spake2<Ed25519Group>,
    binding: [u8; 32],
}

/// A guess that was proven and waits to hear whether it was right.
pub struct Proven(Proofs);

impl Guess {
    /// Begins: `me` guesses what `offerer` offers, over the connection with this channel binding. The randomness is
    /// the system's.
    pub fn begin(code: &Code, me: PeerId, offerer: PeerId, binding: [u8; 32]) -> (Guess, Message) {
        let (spake, share) = proof::begin(Role::Guesser, code, me, offerer);
        (Guess { spake, binding }, Message::Begin { version: VERSION, number: code.number(), share })
    }

    /// The other side goes along: prove.
    ///
    /// # Errors
    /// It does not.
    pub fn answered(self, message: Message) -> Result<(Proven, Message), MeetFailure> {
        let share = match message {
            Message::Share(share) => share,
            other => return Err(failure(&other)),
        };
        let proofs = Proofs::from(self.spake, &share, self.binding).ok_or(MeetFailure::Malformed)?;
        let mac = proofs.of(Role::Guesser);
        Ok((Proven(proofs), Message::Confirm(mac)))
    }
}

impl Proven {
    /// What was offered, if the code was right at both ends.
    ///
    /// # Errors
    /// It was not.
    pub fn answered(self, message: Message) -> Result<Bytes, MeetFailure> {
        match message {
            Message::Right(mac, payload) if self.0.is_right(Role::Offerer, &mac) => Ok(payload),
            Message::Right(..) => Err(MeetFailure::Unproven),
            other => Err(failure(&other)),
        }
    }
}

fn failure(message: &Message) -> MeetFailure {
    match message {
        Message::No { reason, left } => MeetFailure::from_wire(*reason, *left),
        _ => MeetFailure::Malformed,
    }
}
