//! What goes beside the messages of a link: bulk streams and circuits, counted each by itself.
//!
//! A link that drains ends when the last of them has ended. Circuits have places of their own,
//! so that who carries for a neighbour does not use up what the two have for each other.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use compeer_proto::circuit::Why;
use compeer_proto::session::Outcome;

use super::{Link, Over, State};
use crate::circuit::{self, CircuitError};
use crate::peer::IN_PASSING;
use crate::peer::connect::Begun;
use crate::transport::tls;
use crate::{RequestError, limits, lock};

/// What a place is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Streams,
    /// Hops of circuits.
    Circuits,
}

#[derive(Default)]
pub(super) struct Places {
    streams: AtomicUsize,
    circuits: AtomicUsize,
}

impl Places {
    pub(super) fn are_free(&self) -> bool {
        [&self.streams, &self.circuits].iter().all(|taken| taken.load(Ordering::Relaxed) == 0)
    }

    fn taken(&self, of: Of) -> (&AtomicUsize, usize) {
        match of {
            Of::Streams => (&self.streams, limits::MAX_STREAMS_PER_PEER),
            Of::Circuits => (&self.circuits, limits::MAX_CIRCUITS_PER_PEER),
        }
    }
}

impl Link {
    /// A place for one more stream. Places are counted under the lock, so that
    /// none is taken while the link closes for want of any.
    pub(crate) fn take_place(&self, of: Of) -> Result<(), Outcome> {
        let state = lock(&self.state);
        if state.is_closing() {
            return Err(Outcome::Cancelled);
        }
        let (taken, most) = self.places.taken(of);
        if taken.load(Ordering::Relaxed) >= most {
            self.tally.limit_streams.one();
            return Err(Outcome::Busy);
        }
        taken.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Gives a place back.
    pub(crate) fn leave_place(&self, of: Of) {
        self.touch(self.clock.now());
        let mut state = lock(&self.state);
        self.places.taken(of).0.fetch_sub(1, Ordering::Relaxed);
        self.farewell(&mut state);
    }

    /// Says goodbye if all has come to its end and this side is to say it.
    pub(super) fn farewell(&self, state: &mut State) {
        let farewell = *lock(&self.farewell);
        if let Some(reason) = farewell.filter(|_| state.drained && self.places.are_free()) {
            state.goodbye(reason, "", self.clock.now());
        }
    }

    /// Others carry it.
    pub(crate) fn is_carried(&self) -> bool {
        !self.over.is_empty()
    }

    /// It counts for this household, the one of the neighbour that carries it.
    pub(crate) fn of_household(mut self, household: Option<IpAddr>) -> Self {
        self.household = self.household.or(household);
        self
    }

    /// It was begun like this.
    pub(crate) fn begun(mut self, begun: Begun) -> Self {
        self.passing = begun == Begun::InPassing;
        self
    }

    /// Whether whoever called did it to look something up or to carry for others.
    pub(crate) fn in_passing(&self) -> bool {
        let said = || lock(&self.hello).as_ref().is_some_and(|hello| hello.features & IN_PASSING != 0);
        self.passing || (!self.dialled && said())
    }

    /// What an error of its byte stream means.
    pub(super) fn broke(&self, error: &io::Error) -> Over {
        match circuit::broken(error, &self.over) {
            Some(broke) => Over::Circuit(broke),
            None => Over::Broken(tls::broken(error)),
        }
    }

    /// Silence over others says who they are.
    pub(super) fn ended(&self, over: Over) -> Over {
        match over {
            Over::Dead if self.is_carried() => {
                Over::Circuit(CircuitError::ends(self.over.clone(), Why::Silent))
            }
            over => over,
        }
    }

    /// What a request is told when the link broke half-way.
    pub(crate) fn lost(&self) -> RequestError {
        match self.over() {
            Some(Over::Circuit(broke)) => RequestError::CircuitBroke(broke),
            _ => RequestError::Disconnected,
        }
    }
}
