//! Circuits: a connection carried hop by hop by others (DESIGN §4.8).
//!
//! Each hop is a bulk stream of the kind [`KIND`]. On it go frames: OPEN asks the next one to
//! carry on, OPENED or REFUSED comes back, and then DATA in both directions, FIN at the end of
//! each, BROKEN where a hop was lost. What is in DATA is the handshake and the connection of the
//! two ends, which carriers can neither read nor change unnoticed.
//!
//! A frame is a type (`u8`), a length (`u16` big-endian) and so many bytes; all but DATA are
//! postcard structures with an extension list at the end. Types from 128 on are skipped by the
//! ends and passed on by carriers. Here are the frames, [`flow`] reads them where they pass, and
//! [`carrier`] counts what is carried; nothing here opens, routes or waits.

use serde::{Deserialize, Serialize};

use crate::ext::Ext;
use crate::limits::{
    CIRCUIT_ID_LEN, MAX_CIRCUIT_CONTROL, MAX_CIRCUIT_DATA, MAX_CIRCUIT_HOPS, MAX_CIRCUIT_TRIES,
};
use crate::{Kind, PeerId, bounded};

pub mod carrier;
pub mod flow;
#[cfg(test)]
mod tests;

/// The kind of the streams that are hops.
pub const KIND: Kind = Kind::from_static("compeer/circuit");

/// Length of what precedes each frame. Unit: bytes.
pub const HEAD: usize = 3;

/// Names a circuit between neighbours, and in the logs of all who carry it.
pub type CircuitId = [u8; CIRCUIT_ID_LEN];

/// The bytes are no frame, or not one that may come here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a circuit frame of this version")]
pub struct CircuitFrameError;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// [`Open`].
    Open,
    /// [`Opened`].
    Opened,
    /// [`Broken`], instead of OPENED.
    Refused,
    /// Bytes of the two ends.
    Data,
    /// No more DATA comes in this direction; empty.
    Fin,
    /// [`Broken`]: nothing comes after it.
    Broken,
    /// Of a later version; skipped.
    Later(u8),
}

/// What precedes a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What follows.
    pub what: Type,
    /// How much of it. Unit: bytes.
    pub len: usize,
}

impl Head {
    /// Reads it.
    ///
    /// # Errors
    /// An unknown type below 128, or a frame that is too long.
    pub fn decode(bytes: [u8; HEAD]) -> Result<Self, CircuitFrameError> {
        let what = match bytes[0] {
            0 => Type::Open,
            1 => Type::Opened,
            2 => Type::Refused,
            3 => Type::Data,
            4 => Type::Fin,
            5 => Type::Broken,
            later @ 128.. => Type::Later(later),
            _ => return Err(CircuitFrameError),
        };
        let len = usize::from(u16::from_be_bytes([bytes[1], bytes[2]]));
        let most = match what {
            Type::Data => MAX_CIRCUIT_DATA,
            Type::Fin => 0,
            _ => MAX_CIRCUIT_CONTROL,
        };
        if len > most { Err(CircuitFrameError) } else { Ok(Head { what, len }) }
    }

    /// Its bytes.
    pub fn encode(self) -> [u8; HEAD] {
        let what = match self.what {
            Type::Open => 0,
            Type::Opened => 1,
            Type::Refused => 2,
            Type::Data => 3,
            Type::Fin => 4,
            Type::Broken => 5,
            Type::Later(later) => later,
        };
        let len = u16::try_from(self.len).expect("frames are short");
        let [high, low] = len.to_be_bytes();
        [what, high, low]
    }
}

fn frame(what: Type, body: &impl Serialize) -> Vec<u8> {
    let body = postcard::to_allocvec(body).expect("numbers and bytes always serialise");
    [&Head { what, len: body.len() }.encode()[..], &body].concat()
}

/// A structure that is all of `body`.
fn all_of<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, CircuitFrameError> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        _ => Err(CircuitFrameError),
    }
}

/// A DATA frame with as much of `bytes` as one takes, at the end of `out`; gives how much.
pub fn put_data(out: &mut Vec<u8>, bytes: &[u8]) -> usize {
    let len = bytes.len().min(MAX_CIRCUIT_DATA);
    out.extend_from_slice(&Head { what: Type::Data, len }.encode());
    out.extend_from_slice(&bytes[..len]);
    len
}

/// A FIN frame.
pub const FIN: [u8; HEAD] = [4, 0, 0];

/// At most as many peers as there are hops.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Peers(Vec<PeerId>);

impl Serialize for Peers {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Peers {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bounded::list(deserializer, MAX_CIRCUIT_HOPS).map(Peers)
    }
}

/// Asks the next one to carry on, or to be the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Which circuit; random.
    pub circuit: CircuitId,
    /// Who is to be its end.
    pub target: PeerId,
    /// It is to be a bulk stream of the ends, not their message connection. Carriers may
    /// use it to plan; the ends do not believe it.
    pub stream: bool,
    /// How many hops may still be added by whoever gets this.
    pub hops: u8,
    /// How many other ways may still be tried when one is refused.
    pub tries: u8,
    /// How long the answer may take. Unit: milliseconds.
    pub within: u32,
    /// Who has asked so far, the near end first; the last one is who sends this.
    pub path: Vec<PeerId>,
    /// What later versions add.
    pub ext: Ext,
}

#[derive(Serialize, Deserialize)]
struct WireOpen {
    circuit: CircuitId,
    target: PeerId,
    flags: u8,
    hops: u8,
    tries: u8,
    within: u32,
    path: Peers,
    ext: Ext,
}

/// The bit of the flags that says that it is a bulk stream. Others are ignored.
const STREAM: u8 = 1;

impl Open {
    /// The whole frame.
    pub fn encode(&self) -> Vec<u8> {
        let wire = WireOpen {
            circuit: self.circuit,
            target: self.target,
            flags: if self.stream { STREAM } else { 0 },
            hops: self.hops,
            tries: self.tries,
            within: self.within,
            path: Peers(self.path.clone()),
            ext: self.ext.clone(),
        };
        frame(Type::Open, &wire)
    }

    /// From the body of a frame.
    ///
    /// # Errors
    /// It is none, nobody sent it, or it would be longer than a circuit may be.
    pub fn decode(body: &[u8]) -> Result<Self, CircuitFrameError> {
        let WireOpen { circuit, target, flags, hops, tries, within, path: Peers(path), ext } = all_of(body)?;
        let long = path.len() + usize::from(hops) > MAX_CIRCUIT_HOPS;
        if path.is_empty() || long || tries > MAX_CIRCUIT_TRIES {
            return Err(CircuitFrameError);
        }
        Ok(Open { circuit, target, stream: flags & STREAM != 0, hops, tries, within, path, ext })
    }

    /// What a carrier asks of the next one; `None` when there may be no further hop. `tries`
    /// and `within` are what it gives of those it has.
    #[must_use]
    pub fn onward(&self, me: PeerId, tries: u8, within: u32) -> Option<Open> {
        let hops = self.hops.checked_sub(1)?;
        let path = self.path.iter().copied().chain([me]).collect();
        Some(Open { hops, tries, within, path, ..self.clone() })
    }
}

/// The end has accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Who carries, the one next to the near end first. Whoever passes it on checks his own
    /// place in it and that of the next one; the rest is the word of others.
    pub carriers: Vec<PeerId>,
    /// What later versions add.
    pub ext: Ext,
}

#[derive(Serialize, Deserialize)]
struct WireOpened {
    carriers: Peers,
    ext: Ext,
}

impl Opened {
    /// The whole frame.
    pub fn encode(&self) -> Vec<u8> {
        frame(Type::Opened, &WireOpened { carriers: Peers(self.carriers.clone()), ext: self.ext.clone() })
    }

    /// From the body of a frame.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(body: &[u8]) -> Result<Self, CircuitFrameError> {
        let WireOpened { carriers: Peers(carriers), ext } = all_of(body)?;
        Ok(Opened { carriers, ext })
    }

    /// Whether it can be the answer to an OPEN with this path, sent to `next`.
    pub fn answers(&self, path: &[PeerId], target: PeerId, next: PeerId) -> bool {
        // The near end carries nothing.
        let ours = path.get(1..).unwrap_or_default();
        match self.carriers.strip_prefix(ours) {
            Some([]) => next == target,
            Some([first, ..]) => *first == next && next != target,
            None => false,
        }
    }
}

/// Why there is no circuit, or none any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Why {
    /// It knows no way to the end.
    NoWay,
    /// It carries as much as it may, all in all or for who asked.
    Full,
    /// It carries nothing for others.
    NotCarrying,
    /// One of those who take part is blocked there.
    Blocked,
    /// It would come by twice.
    Loop,
    /// There may be no further hop.
    HopLimit,
    /// It could not be called.
    Unreachable,
    /// Its connection is lost.
    Gone,
    /// It showed no sign of life.
    Silent,
    /// It did not answer in time.
    Slow,
    /// The bytes or the time that it allows a circuit are used up.
    Spent,
    /// It broke the protocol.
    Protocol,
    /// What the ends said was changed on the way. Found by the ends; no carrier says so.
    Altered,
    /// A reason of a later version.
    Later(u8),
}

impl Why {
    const ALL: [Why; 13] = [
        Why::NoWay,
        Why::Full,
        Why::NotCarrying,
        Why::Blocked,
        Why::Loop,
        Why::HopLimit,
        Why::Unreachable,
        Why::Gone,
        Why::Silent,
        Why::Slow,
        Why::Spent,
        Why::Protocol,
        Why::Altered,
    ];

    /// Its number on the wire, from 1.
    pub fn code(self) -> u8 {
        match self {
            Why::Later(code) => code,
            why => {
                Self::ALL.iter().zip(1..).find_map(|(one, code)| (*one == why).then_some(code)).unwrap_or(0)
            }
        }
    }

    /// From its number.
    pub fn from_code(code: u8) -> Self {
        let known = usize::from(code).checked_sub(1).and_then(|at| Self::ALL.get(at));
        known.copied().unwrap_or(Why::Later(code))
    }
}

/// REFUSED and BROKEN: who, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Who is meant: who refused, or was lost.
    pub who: PeerId,
    /// Why.
    pub why: Why,
}

#[derive(Serialize, Deserialize)]
struct WireBroken {
    who: PeerId,
    why: u8,
    ext: Ext,
}

impl Broken {
    fn wire(&self) -> WireBroken {
        WireBroken { who: self.who, why: self.why.code(), ext: Ext::new() }
    }

    /// As a whole frame REFUSED.
    pub fn encode_refused(&self) -> Vec<u8> {
        frame(Type::Refused, &self.wire())
    }

    /// As a whole frame BROKEN.
    pub fn encode(&self) -> Vec<u8> {
        frame(Type::Broken, &self.wire())
    }

    /// From the body of either frame.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(body: &[u8]) -> Result<Self, CircuitFrameError> {
        let WireBroken { who, why, ext: _ } = all_of(body)?;
        Ok(Broken { who, why: Why::from_code(why) })
    }
}

/// The answer to an OPEN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is open.
    Opened(Opened),
    /// It is not.
    Refused(Broken),
}

impl Answer {
    /// From a head and its body.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(what: Type, body: &[u8]) -> Result<Self, CircuitFrameError> {
        match what {
            Type::Opened => Opened::decode(body).map(Answer::Opened),
            Type::Refused => Broken::decode(body).map(Answer::Refused),
            _ => Err(CircuitFrameError),
        }
    }
}
