//! What is remembered of programs of the classic protocol: who is in the roster, which searches came by, who has what.
//!
//! Pure machines, bounded. The roster is apart from the peer table: its members proved nothing, and no command that
//! names a peer finds them. A member that joined by itself is searched only once it has answered to its name: anybody
//! can say that somebody else would like our searches. It is called where it may be called on its word, decided once, when
//! it joins: never a host that would have to be looked up, nor one that is nearer to us than it is.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use compeer::{Addr, Time};
use tokio::sync::watch;

use super::words::{Member, Query, household, plausible};
use crate::limits::{
    CLASSIC_HOUSEHOLD, CLASSIC_MISSES, CLASSIC_PROVIDERS, CLASSIC_SEEN, CLASSIC_SEEN_FOR, MAX_CLASSIC,
};

/// Why somebody is not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// There are too many, or too many of that household.
    Full,
    /// It is there, or it is us.
    Known,
}

/// One that is in.
#[derive(Clone, Debug)]
struct Entry {
    member: Member,
    /// Who had it taken in: only he may have it removed. `None`: we.
    by: Option<IpAddr>,
    /// Where it is called.
    at: Option<Addr>,
    /// It has answered to its name.
    answers: bool,
    /// We have joined it, whoever had it taken in.
    joined: bool,
    misses: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Roster {
    own: String,
    most: usize,
    all: Vec<Entry>,
    /// How many of them we have joined.
    joined: watch::Sender<usize>,
}

impl Roster {
    /// For at most `most` (0: [`MAX_CLASSIC`]).
    pub(super) fn new(own: String, most: usize) -> Self {
        let most = if most == 0 { MAX_CLASSIC } else { most.min(MAX_CLASSIC) };
        Roster { own, most, all: Vec::new(), joined: watch::Sender::new(0) }
    }

    /// Takes somebody in; never changes one that is there. `own`: the addresses of this machine.
    pub(super) fn add(&mut self, member: Member, by: Option<IpAddr>, own: &[IpAddr]) -> Result<(), Refused> {
        if self.is_full() || by.is_some_and(|from| self.has_too_many_of(from)) {
            return Err(Refused::Full);
        }
        if self.knows(&member.id) {
            return Err(Refused::Known);
        }
        let at = match by {
            None => member.addr(),
            // Himself, when what he says is not to be called.
            Some(from) => {
                let named = plausible(&format!("{}:{}", member.host, member.port), from, own);
                Some(named.unwrap_or(SocketAddr::new(from, member.port)).into())
            }
        };
        self.all.push(Entry { member, by, at, answers: by.is_none(), joined: by.is_none(), misses: 0 });
        self.count();
        Ok(())
    }

    /// We have joined one, who may have joined us before.
    pub(super) fn join(&mut self, member: Member) -> Result<(), Refused> {
        match self.all.iter_mut().find(|entry| entry.member.id == member.id) {
            Some(entry) => entry.joined = true,
            None => self.add(member, None, &[])?,
        }
        self.count();
        Ok(())
    }

    /// How many there are whom we have joined, as it changes.
    pub(super) fn joined(&self) -> watch::Receiver<usize> {
        self.joined.subscribe()
    }

    fn count(&self) {
        self.joined.send_replace(self.all.iter().filter(|entry| entry.joined).count());
    }

    pub(super) fn is_full(&self) -> bool {
        self.all.len() >= self.most
    }

    /// Whether one household has all that it may. This machine is apart, as are all who are bounded so.
    fn has_too_many_of(&self, from: IpAddr) -> bool {
        let of = household(from);
        let same = |entry: &&Entry| entry.by.is_some_and(|by| household(by) == of);
        !of.is_loopback() && self.all.iter().filter(same).count() >= CLASSIC_HOUSEHOLD
    }

    /// Whether it is there, or is ourselves.
    pub(super) fn knows(&self, id: &str) -> bool {
        id == self.own || self.all.iter().any(|entry| entry.member.id == id)
    }

    /// Whether there is one of this id that may be removed by somebody at `by`, and it was.
    pub(super) fn quit(&mut self, id: &str, by: IpAddr) -> bool {
        let by = by.to_canonical();
        let may = |entry: &Entry| match entry.by {
            Some(own) => own.to_canonical() == by,
            // A name of a host says nothing about addresses.
            None => entry.member.host.parse::<IpAddr>().is_ok_and(|host| host.to_canonical() == by),
        };
        let before = self.all.len();
        self.all.retain(|entry| entry.member.id != id || !may(entry));
        self.count();
        self.all.len() < before
    }

    /// It answered to its name there, if it is still the one that was asked.
    pub(super) fn met(&mut self, member: &Member, at: &Addr) {
        let same = |entry: &&mut Entry| entry.member == *member && entry.at.as_ref() == Some(at);
        self.all.iter_mut().filter(same).for_each(|entry| entry.answers = true);
    }

    /// It could be connected with.
    pub(super) fn there(&mut self, id: &str) {
        self.all.iter_mut().filter(|entry| entry.member.id == id).for_each(|entry| entry.misses = 0);
    }

    /// It could not; one that is missed too often goes.
    pub(super) fn missed(&mut self, id: &str) {
        self.all.iter_mut().filter(|entry| entry.member.id == id).for_each(|entry| entry.misses += 1);
        self.all.retain(|entry| entry.misses < CLASSIC_MISSES);
        self.count();
    }

    /// All, in the order in which they came.
    pub(super) fn list(&self) -> Vec<Member> {
        self.all.iter().map(|entry| entry.member.clone()).collect()
    }

    /// Those that can be called, where, and whether they have answered to their names.
    pub(super) fn callable(&self) -> Vec<(Member, Addr, bool)> {
        let call = |entry: &Entry| Some((entry.member.clone(), entry.at.clone()?, entry.answers));
        self.all.iter().filter_map(call).collect()
    }

    /// Those that have answered to their names.
    pub(super) fn searchable(&self) -> Vec<(Member, Addr)> {
        let all = self.callable().into_iter();
        all.filter_map(|(member, at, answers)| answers.then_some((member, at))).collect()
    }
}

/// What a search is that comes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// For the first time in a while.
    New,
    /// It was here, and now it may go further than it could then: a copy that came by a shorter way.
    Further,
    /// It was here.
    Old,
}

/// The searches that came by lately, and how far each could go at most.
#[derive(Debug, Default)]
pub(super) struct Seen {
    order: VecDeque<(Time, (String, String))>,
    all: BTreeMap<(String, String), i64>,
}

impl Seen {
    /// Notes a search.
    pub(super) fn note(&mut self, query: &Query, now: Time) -> Sight {
        let old = |seen: &Self| match seen.order.front() {
            Some((when, _)) => now.since(*when) >= CLASSIC_SEEN_FOR || seen.order.len() >= CLASSIC_SEEN,
            None => false,
        };
        while old(self)
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.all.remove(&oldest);
        }
        let search = (query.back.clone(), query.key.clone());
        match self.all.insert(search.clone(), query.ttl) {
            None => {
                self.order.push_back((now, search));
                Sight::New
            }
            Some(ttl) if ttl < query.ttl => Sight::Further,
            Some(ttl) => {
                self.all.insert(search, ttl);
                Sight::Old
            }
        }
    }
}

/// Names with what is known of each; the oldest goes when there are too many.
#[derive(Debug)]
pub(super) struct Names<V> {
    most: usize,
    order: VecDeque<String>,
    all: BTreeMap<String, V>,
}

impl<V> Names<V> {
    pub(super) fn new(most: usize) -> Self {
        Names { most, order: VecDeque::new(), all: BTreeMap::new() }
    }

    /// Adds a name, unless it is there: who names one first keeps it.
    pub(super) fn add(&mut self, name: String, value: V) {
        if self.all.contains_key(&name) {
            return;
        }
        self.insert(name, value);
    }

    fn insert(&mut self, name: String, value: V) {
        if self.order.len() >= self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.all.remove(&oldest);
        }
        self.order.push_back(name.clone());
        self.all.insert(name, value);
    }

    pub(super) fn remove(&mut self, name: &str) {
        if self.all.remove(name).is_some() {
            self.order.retain(|other| other != name);
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&V> {
        self.all.get(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &V)> {
        self.all.iter()
    }
}

/// Somebody who has something.
pub(super) trait Provider {
    /// Whether it is the same one, whatever it has.
    fn same(&self, other: &Self) -> bool;
}

impl<P: Provider + Clone> Names<Vec<P>> {
    /// Puts one before the others who have a file of that name, of whom a few stay: the first one may be gone, or lie.
    pub(super) fn put(&mut self, name: &str, provider: P) {
        match self.all.get_mut(name) {
            Some(few) => {
                few.retain(|other| !other.same(&provider));
                few.insert(0, provider);
                few.truncate(CLASSIC_PROVIDERS);
            }
            None => self.insert(name.into(), vec![provider]),
        }
    }

    /// Those who have a file of that name, the newest first.
    pub(super) fn providers(&self, name: &str) -> Vec<P> {
        self.get(name).cloned().unwrap_or_default()
    }

    /// It did not give the file now: the others are asked before it.
    pub(super) fn failed(&mut self, name: &str, provider: &P) {
        let Some(few) = self.all.get_mut(name) else { return };
        // Stable: nothing else changes.
        few.sort_by_key(|other| other.same(provider));
    }

    /// It does not have the file.
    pub(super) fn forget(&mut self, name: &str, provider: &P) {
        let Some(few) = self.all.get_mut(name) else { return };
        few.retain(|other| !other.same(provider));
        if few.is_empty() {
            self.remove(name);
        }
    }
}

#[cfg(test)]
mod tests;
