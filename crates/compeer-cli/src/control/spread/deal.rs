//! Who gets which line: the machine behind `call --spread`, without side effects.
//!
//! Lines come in, peers come and go, answers come back; out come lines to be asked of a peer, and answers in the order of
//! the input, or as they come. A peer has as many lines at a time as it said it has room for, so a fast one gets more of
//! them. A line that a peer did not begin (busy, or nobody answers it there any more) is dealt again, to anybody. One
//! whose peer was lost half-way may have run there: it is dealt again, but not to that peer.
//!
//! Memory is bounded: [`MAX_LINES`] lines that were read and not handed over, and [`MAX_HELD`] bytes of them and of their
//! answers. Beyond that no line is taken in, and none dealt but the oldest, for which all others wait.

use bytes::Bytes;
use compeer::PeerId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Lines read and not handed over. A guess: enough to keep the largest peers busy beside a slow one.
pub(super) const MAX_LINES: usize = 4096;

/// Bytes of lines and answers that are held. Unit: bytes. What is being asked adds its answers, of 1 MiB at most each.
pub(super) const MAX_HELD: usize = 32 * 1024 * 1024;

/// The most that one peer is given at a time, whatever it says. Unit: lines.
pub(super) const MAX_WINDOW: usize = 512;

/// What came of a line: the reply and who gave it, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The last who had it.
    pub(super) peer: Option<PeerId>,
    pub(super) reply: Result<Bytes, String>,
}

/// A line to be asked of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dealt {
    pub(super) line: u64,
    pub(super) peer: PeerId,
    pub(super) body: Bytes,
}

/// How asking a peer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It answered, well or with an error.
    Answered(Result<Bytes, String>),
    /// It did not begin.
    NotBegun,
    /// It was lost half-way.
    Lost,
}

/// See the file.
pub(super) struct Deal {
    ordered: bool,
    /// From `first` on; an answer that was handed over out of order leaves its place.
    lines: VecDeque<Line>,
    first: u64,
    /// Lines that wait for a peer.
    waiting: BTreeSet<u64>,
    /// Lines whose answers can be handed over, as they came.
    ready: VecDeque<u64>,
    seats: BTreeMap<PeerId, Seat>,
    running: usize,
    held: usize,
}

enum Line {
    Open { body: Bytes, tried: Vec<PeerId> },
    Done(Answer),
    HandedOver,
}

/// A peer that answers.
#[derive(Default)]
struct Seat {
    window: usize,
    running: usize,
}

impl Deal {
    pub(super) fn new(ordered: bool) -> Deal {
        Deal {
            ordered,
            lines: VecDeque::new(),
            first: 0,
            waiting: BTreeSet::new(),
            ready: VecDeque::new(),
            seats: BTreeMap::new(),
            running: 0,
            held: 0,
        }
    }

    /// Whether another line may be taken in.
    pub(super) fn has_room(&self) -> bool {
        self.lines.len() < MAX_LINES && self.held < MAX_HELD
    }

    /// Takes a line in.
    pub(super) fn take(&mut self, body: Bytes) {
        self.held += body.len();
        self.waiting.insert(self.first + self.lines.len() as u64);
        self.lines.push_back(Line::Open { body, tried: Vec::new() });
    }

    /// Whether all lines taken in are handed over.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// A peer says how many lines it takes at a time, and how many more it would take now; 0: it does not answer.
    pub(super) fn seat(&mut self, peer: PeerId, jobs: u64, free: u64) {
        let number = |number: u64| usize::try_from(number).unwrap_or(MAX_WINDOW).min(MAX_WINDOW);
        let seat = self.seats.entry(peer).or_default();
        // One at least: who has nothing free now lets it wait, or says that it is busy.
        seat.window = (seat.running + number(free)).max(1).min(number(jobs));
        if seat.window == 0 && seat.running == 0 {
            self.seats.remove(&peer);
        }
    }

    /// Whether there is somebody to ask.
    pub(super) fn somebody_answers(&self) -> bool {
        self.seats.values().any(|seat| seat.window > 0)
    }

    /// Whether lines wait and none is being asked.
    pub(super) fn stands_still(&self) -> bool {
        self.running == 0 && !self.waiting.is_empty()
    }

    /// The next line to ask somebody, and whom.
    pub(super) fn next(&mut self) -> Option<Dealt> {
        if !self.seats.values().any(Seat::has_room) {
            return None;
        }
        let full = self.held >= MAX_HELD;
        let candidates = self.waiting.iter().copied();
        let (line, peer) = candidates
            .take_while(|line| !full || *line == self.first)
            .find_map(|line| Some((line, self.best(line)?)))?;
        let Some(Line::Open { body, .. }) = self.line(line) else { return None };
        let dealt = Dealt { line, peer, body: body.clone() };
        self.waiting.remove(&line);
        self.running += 1;
        self.seats.entry(peer).or_default().running += 1;
        Some(dealt)
    }

    /// The peer with the most room that has not had this line.
    fn best(&self, line: u64) -> Option<PeerId> {
        let Some(Line::Open { tried, .. }) = self.line(line) else { return None };
        let room = |(_, seat): &(&PeerId, &Seat)| seat.window.saturating_sub(seat.running);
        let fit = self.seats.iter().filter(|(peer, seat)| seat.has_room() && !tried.contains(peer));
        fit.max_by_key(room).map(|(peer, _)| *peer)
    }

    fn line(&self, line: u64) -> Option<&Line> {
        self.lines.get(usize::try_from(line.checked_sub(self.first)?).ok()?)
    }

    /// Asking a peer for a line has ended.
    pub(super) fn ended(&mut self, line: u64, peer: PeerId, ending: Ending) {
        self.running -= 1;
        let seat = self.seats.entry(peer).or_default();
        seat.running -= 1;
        if !matches!(ending, Ending::Answered(_)) {
            // Nothing more for it until it says again that it answers.
            seat.window = 0;
        }
        if seat.window == 0 && seat.running == 0 {
            self.seats.remove(&peer);
        }
        match ending {
            Ending::Answered(reply) => self.done(line, Answer { peer: Some(peer), reply }),
            Ending::NotBegun => drop(self.waiting.insert(line)),
            Ending::Lost => {
                self.waiting.insert(line);
                if let Some(Line::Open { tried, .. }) = self.lines.get_mut((line - self.first) as usize) {
                    tried.push(peer);
                }
            }
        }
    }

    fn done(&mut self, line: u64, answer: Answer) {
        let Some(place) = self.lines.get_mut((line - self.first) as usize) else { return };
        if let Line::Open { body, .. } = place {
            self.held -= body.len();
        }
        self.held += size(&answer);
        *place = Line::Done(answer);
        self.ready.push_back(line);
    }

    /// Gives up on the lines that wait: `why` says it, given who may have run one.
    pub(super) fn give_up(&mut self, why: impl Fn(&[PeerId]) -> String) {
        for line in std::mem::take(&mut self.waiting) {
            let Some(Line::Open { tried, .. }) = self.line(line) else { continue };
            let answer = Answer { peer: tried.last().copied(), reply: Err(why(tried)) };
            self.done(line, answer);
        }
    }

    /// The next answer to hand over, with the number of its line, from 0.
    pub(super) fn hand_over(&mut self) -> Option<(u64, Answer)> {
        let line = if self.ordered { self.first } else { self.ready.pop_front()? };
        let place = self.lines.get_mut(usize::try_from(line.checked_sub(self.first)?).ok()?)?;
        if !matches!(place, Line::Done(_)) {
            return None;
        }
        let Line::Done(answer) = std::mem::replace(place, Line::HandedOver) else { return None };
        self.held -= size(&answer);
        if self.ordered {
            self.ready.clear();
        }
        while matches!(self.lines.front(), Some(Line::HandedOver)) {
            self.lines.pop_front();
            self.first += 1;
        }
        Some((line, answer))
    }
}

impl Seat {
    fn has_room(&self) -> bool {
        self.running < self.window
    }
}

fn size(answer: &Answer) -> usize {
    match &answer.reply {
        Ok(reply) => reply.len(),
        Err(why) => why.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(seed: u8) -> PeerId {
        compeer::Identity::from_seed(&[seed; 32]).peer_id()
    }

    fn deal(ordered: bool, lines: usize) -> Deal {
        let mut deal = Deal::new(ordered);
        (0..lines).for_each(|line| deal.take(Bytes::from(line.to_string())));
        deal
    }

    fn all(deal: &mut Deal) -> Vec<Dealt> {
        std::iter::from_fn(|| deal.next()).collect()
    }

    fn answered(deal: &mut Deal, dealt: &Dealt) {
        deal.ended(dealt.line, dealt.peer, Ending::Answered(Ok(dealt.body.clone())));
    }

    fn handed_over(deal: &mut Deal) -> Vec<u64> {
        std::iter::from_fn(|| deal.hand_over()).map(|(line, _)| line).collect()
    }

    #[test]
    fn each_has_as_many_as_it_has_room_for() {
        let mut deal = deal(true, 20);
        assert!(deal.next().is_none(), "nobody answers");
        deal.seat(id(1), 4, 4);
        deal.seat(id(2), 2, 1);
        deal.seat(id(3), 0, 0);
        let first = all(&mut deal);
        let had = |peer| first.iter().filter(|dealt| dealt.peer == id(peer)).count();
        assert_eq!((had(1), had(2), had(3)), (4, 1, 0));
        assert_eq!(first.iter().map(|dealt| dealt.line).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        let fast = first.iter().find(|dealt| dealt.peer == id(1)).unwrap();
        answered(&mut deal, fast);
        assert_eq!(all(&mut deal).iter().map(|dealt| dealt.peer).collect::<Vec<_>>(), [id(1)]);
        // Somebody else's work there has ended.
        deal.seat(id(2), 2, 1);
        assert_eq!(all(&mut deal).len(), 1);
        deal.seat(id(2), u64::MAX, u64::MAX);
        assert_eq!(all(&mut deal).len(), 20 - 5 - 2);
    }

    #[test]
    fn answers_come_in_order_or_as_they_come() {
        for ordered in [true, false] {
            let mut deal = deal(ordered, 4);
            deal.seat(id(1), 4, 4);
            let dealt = all(&mut deal);
            answered(&mut deal, &dealt[2]);
            answered(&mut deal, &dealt[1]);
            assert_eq!(handed_over(&mut deal), if ordered { vec![] } else { vec![2, 1] });
            answered(&mut deal, &dealt[0]);
            assert_eq!(handed_over(&mut deal), if ordered { vec![0, 1, 2] } else { vec![0] });
            answered(&mut deal, &dealt[3]);
            assert_eq!(handed_over(&mut deal), [3]);
            assert!(deal.is_empty() && deal.held == 0 && deal.ready.is_empty());
        }
    }

    #[test]
    fn a_lost_peers_lines_go_to_others_and_never_to_it_again() {
        let mut deal = deal(true, 3);
        deal.seat(id(1), 2, 2);
        let dealt = all(&mut deal);
        deal.ended(dealt[0].line, id(1), Ending::Lost);
        deal.ended(dealt[1].line, id(1), Ending::Lost);
        assert!(all(&mut deal).is_empty() && deal.stands_still() && !deal.somebody_answers());
        deal.seat(id(1), 2, 2);
        let again = all(&mut deal);
        assert_eq!(again.iter().map(|dealt| dealt.line).collect::<Vec<_>>(), [2], "which it has not had");
        deal.seat(id(2), 1, 1);
        let other = all(&mut deal);
        assert_eq!((other[0].line, other[0].peer), (0, id(2)));
        answered(&mut deal, &other[0]);
        answered(&mut deal, &again[0]);
        let last = deal.next().unwrap();
        deal.ended(last.line, last.peer, Ending::Lost);
        deal.seat(id(1), 2, 2);
        assert!(deal.stands_still() && deal.next().is_none() && deal.somebody_answers());
        deal.give_up(|tried| format!("{} may have run it", tried.len()));
        let (_, answers): (Vec<_>, Vec<_>) = std::iter::from_fn(|| deal.hand_over()).unzip();
        assert_eq!(answers[1], Answer { peer: Some(id(2)), reply: Err("2 may have run it".into()) });
        assert!(answers[0].reply.is_ok() && answers[2].reply.is_ok() && deal.is_empty());
    }

    #[test]
    fn what_was_not_begun_is_dealt_again_once_there_is_room() {
        let mut deal = deal(true, 1);
        deal.seat(id(1), 1, 1);
        let dealt = deal.next().unwrap();
        deal.ended(dealt.line, id(1), Ending::NotBegun);
        assert!(deal.next().is_none());
        deal.seat(id(1), 1, 0);
        assert_eq!(deal.next().unwrap(), dealt);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut lines = Deal::new(true);
        (0..MAX_LINES).for_each(|_| lines.take(Bytes::new()));
        assert!(!lines.has_room());

        let mut deal = deal(true, 40);
        deal.seat(id(1), 1, 1);
        deal.seat(id(2), 1, 1);
        let (oldest, mut other) = (deal.next().unwrap(), deal.next().unwrap());
        let large = Bytes::from(vec![0; 1 << 20]);
        for answers in 1.. {
            deal.ended(other.line, other.peer, Ending::Answered(Ok(large.clone())));
            assert!(answers <= 32);
            match deal.next() {
                Some(dealt) => other = dealt,
                None => break,
            }
        }
        assert!(!deal.has_room() && deal.hand_over().is_none());
        answered(&mut deal, &oldest);
        while deal.hand_over().is_some() {}
        assert!(deal.has_room() && deal.next().is_some());
    }
}
