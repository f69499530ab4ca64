//! A connection as the table of connections sees it, without a wire: what stands in for
//! `compeer`'s own `link` where that table is driven by a list of operations.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};

use compeer_proto::{PeerId, Time};
use tokio::sync::watch;

use crate::strangers::Look;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decided {
    Stays,
    Drains,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct State {
    pub(crate) over: bool,
    pub(crate) closing: bool,
    pub(crate) draining: bool,
    pub(crate) busy: bool,
    /// It was busy at some time.
    pub(crate) was_busy: bool,
    pub(crate) used: Time,
}

pub(crate) struct Link {
    pub(crate) number: u64,
    pub(crate) peer: PeerId,
    pub(crate) session_id: [u8; 16],
    pub(crate) dialled: bool,
    pub(crate) carried: bool,
    pub(crate) since: Time,
    pub(crate) decided: watch::Sender<Option<Decided>>,
    pub(crate) instance: [u8; 16],
    pub(crate) prefix: Option<IpAddr>,
    pub(crate) state: Mutex<State>,
}

impl Link {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(crate) fn over(&self) -> Option<()> {
        self.state().over.then_some(())
    }

    pub(crate) fn is_closing(&self) -> bool {
        let state = self.state();
        state.over || state.closing
    }

    pub(crate) fn is_usable(&self) -> bool {
        let state = self.state();
        !state.over && !state.closing && !state.draining
    }

    pub(crate) fn instance(&self) -> Option<[u8; 16]> {
        Some(self.instance)
    }

    pub(crate) fn is_carried(&self) -> bool {
        self.carried
    }

    pub(crate) fn prefix(&self) -> Option<IpAddr> {
        self.prefix
    }

    pub(crate) fn look(&self) -> Look {
        let state = *self.state();
        match () {
            () if state.over || state.closing => Look::Ends,
            () if state.draining => Look::Drains,
            () if state.busy => Look::Busy(state.used),
            () => Look::Idle(state.used),
        }
    }
}

pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}
