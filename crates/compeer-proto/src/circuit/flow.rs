//! What goes over an open circuit, read frame by frame where it passes.
//!
//! A carrier passes on whole frames only ([`Lane`]), so that it can say BROKEN in the right place
//! when a hop is lost. An end takes DATA as it comes and needs the other frames whole
//! ([`Reader`]). Both read the same rule: DATA, at most one FIN, at most one BROKEN, in this
//! order; frames of later versions anywhere before BROKEN.

use super::{Broken, CircuitFrameError, HEAD, Head, Type};

/// How far a direction has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Flows,
    Finished,
    Broken,
}

impl Order {
    /// Whether this frame may come now, and what may come then.
    fn next(self, what: Type) -> Result<Order, CircuitFrameError> {
        match (self, what) {
            (Order::Flows, Type::Data) => Ok(Order::Flows),
            (Order::Flows, Type::Fin) => Ok(Order::Finished),
            (Order::Flows | Order::Finished, Type::Broken) => Ok(Order::Broken),
            (Order::Flows | Order::Finished, Type::Later(_)) => Ok(self),
            _ => Err(CircuitFrameError),
        }
    }
}

/// One direction of a circuit at a carrier.
#[derive(Clone, Debug, Default)]
pub struct Lane {
    order: Order,
}

/// What of some bytes goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The whole frames at their beginning. Unit: bytes.
    pub len: usize,
    /// What of it was said by the ends. Unit: bytes.
    pub data: u64,
}

impl Lane {
    /// Looks at what has come and was not passed on yet, beginning with a frame.
    ///
    /// # Errors
    /// It is no frame, or may not come now.
    pub fn pass(&mut self, bytes: &[u8]) -> Result<Passed, CircuitFrameError> {
        let mut passed = Passed { len: 0, data: 0 };
        while let Some(head) = bytes[passed.len..].first_chunk() {
            let head = Head::decode(*head)?;
            let end = passed.len + HEAD + head.len;
            if end > bytes.len() {
                break;
            }
            self.order = self.order.next(head.what)?;
            if head.what == Type::Data {
                passed.data += head.len as u64;
            }
            passed.len = end;
        }
        Ok(passed)
    }

    /// Nothing more has to come: FIN or BROKEN has passed.
    pub fn is_over(&self) -> bool {
        self.order != Order::Flows
    }

    /// BROKEN has passed: both directions are over.
    pub fn is_broken(&self) -> bool {
        self.order == Order::Broken
    }
}

/// Shows what is in the DATA of whole frames, each by itself.
pub fn each_data(mut frames: &mut [u8], mut show: impl FnMut(&mut [u8])) {
    while let Some((head, rest)) = frames.split_first_chunk_mut() {
        let Ok(Head { what, len }) = Head::decode(*head) else { return };
        if len > rest.len() {
            return;
        }
        let (body, rest) = rest.split_at_mut(len);
        if what == Type::Data {
            show(body);
        }
        frames = rest;
    }
}

/// What an end reads next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Up to so many bytes of what the other end said; [`Reader::took`] tells how many it were.
    Data(usize),
    /// Up to so many bytes for [`Reader::feed`].
    Frame(usize),
    /// No more comes.
    Nothing,
}

/// What an end has heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The other end says no more.
    Fin,
    /// A hop was lost.
    Broken(Broken),
}

/// One direction of a circuit at its end.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    order: Order,
    head: Option<Head>,
    /// What has come of a head, or of a body that is needed whole.
    have: Vec<u8>,
    /// What is left of DATA.
    left: usize,
}

impl Reader {
    /// What is to be read next.
    pub fn want(&self) -> Want {
        match self.head {
            None if self.order == Order::Broken => Want::Nothing,
            None => Want::Frame(HEAD - self.have.len()),
            Some(Head { what: Type::Data, .. }) => Want::Data(self.left),
            Some(head) => Want::Frame(head.len - self.have.len()),
        }
    }

    /// So much of DATA was read.
    pub fn took(&mut self, n: usize) {
        self.left -= n;
        if self.left == 0 {
            self.head = None;
        }
    }

    /// Takes bytes of a frame, at most as many as were wanted.
    ///
    /// # Errors
    /// They are no frame, or not one that may come now.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<Heard>, CircuitFrameError> {
        self.have.extend_from_slice(bytes);
        if self.head.is_none() {
            let Some(head) = self.have.first_chunk() else { return Ok(None) };
            let head = Head::decode(*head)?;
            self.order = self.order.next(head.what)?;
            self.have.clear();
            self.left = head.len;
            self.head = (head.what != Type::Data || head.len > 0).then_some(head);
        }
        match self.head {
            Some(head) if head.what != Type::Data && self.have.len() == head.len => self.whole(head.what),
            _ => Ok(None),
        }
    }

    fn whole(&mut self, what: Type) -> Result<Option<Heard>, CircuitFrameError> {
        self.head = None;
        let body = std::mem::take(&mut self.have);
        Ok(match what {
            Type::Fin => Some(Heard::Fin),
            Type::Broken => Some(Heard::Broken(Broken::decode(&body)?)),
            _ => None,
        })
    }
}
