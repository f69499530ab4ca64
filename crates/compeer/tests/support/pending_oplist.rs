//! Arbitrary callers of a table of handshakes, against a model that is a plain list.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::pending::{Budget, Pending, Place};

/// Handshakes served at a time from one prefix.
const TURNS: usize = 2;
/// Prefixes from which they come.
const PREFIXES: u8 = 5;

struct Caller {
    place: Place,
    strange: bool,
    prefix: IpAddr,
    task: Option<usize>,
    /// It has its place still; else it was pushed out and has not gone yet.
    within: bool,
    turns: Arc<Semaphore>,
    turn: Option<OwnedSemaphorePermit>,
}

struct Model {
    pending: Pending<usize>,
    most: [usize; 2],
    /// In the order in which they came.
    callers: Vec<Caller>,
    tasks: usize,
}

/// Runs a list of operations and checks the table after each.
pub(crate) fn run(bytes: &[u8]) {
    let mut bytes = bytes.iter().copied();
    let mut byte = || bytes.next();
    let (Some(strangers), Some(connected)) = (byte(), byte()) else { return };
    let most = [1 + usize::from(strangers % 16), 1 + usize::from(connected % 16)];
    let pending = Pending::new(most[0], most[1]);
    let mut model = Model { pending, most, callers: Vec::new(), tasks: 0 };
    while let (Some(op), Some(arg)) = (byte(), byte()) {
        match op % 6 {
            0 | 1 => model.take(arg % 2 == 0, arg / 2 % PREFIXES),
            2 => model.set_task(arg),
            3 => model.give_back(arg),
            4 => model.push_out(),
            _ => model.serve(arg),
        }
        model.check_turns();
    }
    model.empty();
}

impl Model {
    fn take(&mut self, strange: bool, prefix: u8) {
        let prefix = IpAddr::from([10, 0, 0, prefix]);
        let taken = self.callers.iter().filter(|caller| caller.strange == strange).count();
        let expected = if taken >= self.most[usize::from(!strange)] { self.oldest(strange) } else { None };
        let budget = if strange { Budget::Strangers } else { Budget::Connected };
        let (place, turns, pushed_out) = self.pending.take(budget, prefix, TURNS);
        assert_eq!(pushed_out, expected.and_then(|at| self.callers[at].task));
        self.lost(expected);
        let (task, turn) = (None, None);
        self.callers.push(Caller { place, strange, prefix, task, within: true, turns, turn });
    }

    /// Who goes next of one budget.
    fn oldest(&self, strange: bool) -> Option<usize> {
        let within = |caller: &&Caller| caller.within && caller.strange == strange;
        let mut prefixes = BTreeMap::<IpAddr, Vec<usize>>::new();
        for (at, caller) in self.callers.iter().enumerate().filter(|(_, caller)| within(caller)) {
            prefixes.entry(caller.prefix).or_default().push(at);
        }
        let fullest = prefixes.values().max_by_key(|callers| (callers.len(), std::cmp::Reverse(callers[0])));
        Some(fullest?[0])
    }

    fn lost(&mut self, at: Option<usize>) {
        if let Some(at) = at {
            self.callers[at].within = false;
        }
    }

    fn pick(&self, arg: u8) -> Option<usize> {
        usize::from(arg).checked_rem(self.callers.len())
    }

    fn set_task(&mut self, arg: u8) {
        let Some(at) = self.pick(arg) else { return };
        let caller = &mut self.callers[at];
        if caller.task.is_none() {
            self.tasks += 1;
            caller.task = Some(self.tasks);
            let refused = self.pending.set_task(caller.place, self.tasks);
            assert_eq!(refused.is_none(), caller.within, "who has no place is to end");
        }
    }

    fn give_back(&mut self, arg: u8) {
        let Some(at) = self.pick(arg) else { return };
        self.pending.give_back(self.callers.remove(at).place);
    }

    fn push_out(&mut self) {
        let expected = self.oldest(true).or_else(|| self.oldest(false));
        assert_eq!(self.pending.push_out(), expected.map(|at| self.callers[at].task));
        self.lost(expected);
    }

    fn serve(&mut self, arg: u8) {
        let Some(at) = self.pick(arg) else { return };
        let caller = &mut self.callers[at];
        if caller.turn.is_none() {
            caller.turn = caller.turns.clone().try_acquire_owned().ok();
        }
    }

    /// Those of one prefix share its turns for as long as one of them has a place.
    fn check_turns(&self) {
        for caller in self.callers.iter().filter(|caller| caller.within) {
            let beside = |other: &&Caller| {
                other.within && (other.strange, other.prefix) == (caller.strange, caller.prefix)
            };
            let served = self.callers.iter().filter(beside).filter(|other| other.turn.is_some()).count();
            assert!(served <= TURNS);
            assert!(self.callers.iter().filter(beside).all(|other| Arc::ptr_eq(&other.turns, &caller.turns)));
        }
    }

    /// Nothing is left behind: all places are free again.
    fn empty(mut self) {
        while !self.callers.is_empty() {
            self.give_back(0);
        }
        assert_eq!(self.pending.push_out(), None);
        for (strange, most) in [(true, self.most[0]), (false, self.most[1])] {
            for _ in 0..most {
                self.take(strange, 0);
            }
            assert!(self.callers.iter().all(|caller| caller.within));
        }
    }
}
