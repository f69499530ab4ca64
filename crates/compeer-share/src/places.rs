//! Who is served at a time, and who gives way when there is no room.
//!
//! There are [`MAX_SERVED`](limits::MAX_SERVED) places. When all are taken, one who comes gets a place of the
//! household with the most if that has more than his would then have; else one of the peer with the most in his own
//! household, by the same rule; else none. So nobody can hold all places while another waits, whoever keeps asking with
//! however many keys; and who loses a place may come again, when it is his turn by the same rule.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use compeer::PeerId;
use tokio::sync::oneshot;

use crate::limits;

#[cfg(test)]
mod tests;

/// Places of all who are served.
#[derive(Default)]
pub(crate) struct Places(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// By number, so the oldest is first.
    held: BTreeMap<u64, Held>,
    next: u64,
}

struct Held {
    who: PeerId,
    household: Option<IpAddr>,
    /// Dropped when the place is given to another.
    _lost: oneshot::Sender<()>,
}

/// One place; given back when dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
}

impl Places {
    /// A place for this peer, and what becomes ready when it is given to another; `None` when there is none that it may
    /// have.
    pub(crate) fn take(
        self: &Arc<Self>,
        who: PeerId,
        household: Option<IpAddr>,
    ) -> Option<(Place, oneshot::Receiver<()>)> {
        let mut table = self.table();
        if table.held.len() >= limits::MAX_SERVED {
            let loses = table.who_loses(who, household)?;
            table.held.remove(&loses);
        }
        table.next += 1;
        let number = table.next;
        let (sender, lost) = oneshot::channel();
        table.held.insert(number, Held { who, household, _lost: sender });
        drop(table);
        Some((Place { places: self.clone(), number }, lost))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Whose place is given to this peer.
    fn who_loses(&self, who: PeerId, household: Option<IpAddr>) -> Option<u64> {
        let all = || self.held.iter();
        let of_house = |house| all().filter(move |(_, held)| held.household == house);
        let own = of_house(household).count();
        let crowded = most(all(), |held| held.household).filter(|most| most.places > own + 1);
        let hog = match crowded {
            Some(crowded) => most(of_house(crowded.of), |held| held.who),
            None => {
                let own = of_house(household).filter(|(_, held)| held.who == who).count();
                most(of_house(household), |held| held.who).filter(|most| most.places > own + 1)
            }
        };
        Some(hog?.oldest)
    }
}

/// Who has the most places.
struct Most<K> {
    of: K,
    places: usize,
    oldest: u64,
}

/// Of those with equally many, it is the one who has had them longest.
fn most<'a, K: Ord + Copy>(
    held: impl Iterator<Item = (&'a u64, &'a Held)>,
    of: impl Fn(&Held) -> K,
) -> Option<Most<K>> {
    let mut counts = BTreeMap::new();
    for (number, held) in held {
        let of = of(held);
        counts.entry(of).or_insert(Most { of, places: 0, oldest: *number }).places += 1;
    }
    counts.into_values().max_by_key(|most| (most.places, Reverse(most.oldest)))
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.table().held.remove(&self.number);
    }
}
