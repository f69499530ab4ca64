//! Who gets which line: the machine behind `call --spread`, without side effects.
//!
//! Lines come in, peers come and go, answers come back; out come lines to be asked of a peer, and answers in the order of
//! the input, or as they come. A peer has as many lines at a time as it said it has room for, and has earned (`deal/seat.rs`),
//! so a fast one gets more of them. A line that a peer did not begin (busy, or nobody answers it there any more) is dealt
//! again, to anybody. One whose peer was lost half-way, or gave it up, may have run there: it is dealt again, but not to that
//! peer. One that is overdue (`deal/pace.rs`) is asked of another peer too that has nothing better to do; the first answer
//! counts, and no other is told. A peer that again and again holds lines for long and then says that it did not begin
//! them is left out ([`SPREAD_REFUSALS`](crate::limits::SPREAD_REFUSALS)): else it could keep a spread going for ever.
//!
//! Memory is bounded: [`SPREAD_LINES`] lines that were read and not handed over, [`SPREAD_READ`] bytes of them and of their answers,
//! and [`SPREAD_HELD`] with the answers to come: a line that is being asked counts for as much as the largest of the last
//! [`SPREAD_REMEMBERED`] answers, and [`SPREAD_LEAST_ANSWER`] at least. Beyond that no line is dealt but the oldest, for which all others wait.
//!
//! Time is what has passed since the spread began.

mod pace;
mod seat;
#[cfg(test)]
mod tests;

use crate::limits::{
    SPREAD_HELD, SPREAD_LEAST_ANSWER, SPREAD_LINES, SPREAD_READ, SPREAD_REMEMBERED, SPREAD_SEATS,
};
use bytes::Bytes;
use compeer::PeerId;
pub(super) use pace::Pace;
use seat::Seat;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Within this time a peer says that it does not begin a line; later it is at work. A guess.
const BEGUN_AFTER: Duration = Duration::from_secs(5);

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
    /// It was lost half-way, or gave it up.
    Lost,
}

/// See the file.
pub(super) struct Deal {
    ordered: bool,
    pace: Pace,
    /// From `first` on; an answer that was handed over out of order leaves its place.
    lines: VecDeque<Line>,
    first: u64,
    /// Lines that wait for a peer.
    waiting: BTreeSet<u64>,
    /// Lines that are being asked, and of whom; most of one peer.
    asked: BTreeMap<u64, Vec<Asked>>,
    /// Lines whose answers can be handed over, as they came.
    ready: VecDeque<u64>,
    seats: BTreeMap<PeerId, Seat>,
    /// Those that were left out lately.
    left_out: Vec<PeerId>,
    /// How many peers are being asked, for all lines.
    running: usize,
    held: usize,
    /// Of the last answers, and what the next is expected to have.
    sizes: VecDeque<usize>,
    largest: usize,
    /// When an answer came last, when somebody was at work last who did not finish, or when there began to be lines.
    heard: Duration,
}

enum Line {
    /// With those who may have run it and will not answer.
    Open {
        body: Bytes,
        tried: Vec<PeerId>,
    },
    Done(Answer),
    HandedOver,
}

/// A peer that is asked for a line.
struct Asked {
    peer: PeerId,
    since: Duration,
}

impl Deal {
    pub(super) fn new(ordered: bool, pace: Pace) -> Deal {
        Deal {
            ordered,
            pace,
            lines: VecDeque::new(),
            first: 0,
            waiting: BTreeSet::new(),
            asked: BTreeMap::new(),
            ready: VecDeque::new(),
            seats: BTreeMap::new(),
            left_out: Vec::new(),
            running: 0,
            held: 0,
            sizes: VecDeque::new(),
            largest: SPREAD_LEAST_ANSWER,
            heard: Duration::ZERO,
        }
    }

    /// Whether another line may be taken in.
    pub(super) fn has_room(&self) -> bool {
        self.lines.len() < SPREAD_LINES && self.held < SPREAD_READ
    }

    /// Takes a line in.
    pub(super) fn take(&mut self, body: Bytes, now: Duration) {
        if self.waiting.is_empty() && self.asked.is_empty() {
            self.heard = now;
        }
        self.held += body.len();
        self.waiting.insert(self.first + self.lines.len() as u64);
        self.lines.push_back(Line::Open { body, tried: Vec::new() });
    }

    /// Takes in a line that nobody can be asked.
    pub(super) fn refuse(&mut self, why: String) {
        let line = self.first + self.lines.len() as u64;
        self.lines.push_back(Line::Open { body: Bytes::new(), tried: Vec::new() });
        self.done(line, Answer { peer: None, reply: Err(why) });
    }

    /// Whether all lines taken in are handed over.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// A peer says how many lines it takes at a time, and how many more it would take now; 0: it does not answer.
    pub(super) fn seat(&mut self, peer: PeerId, jobs: u64, free: u64) {
        self.seats.entry(peer).or_default().says(jobs, free);
        self.clear(peer);
    }

    /// Forgets a peer that has gone, unless there is something against it, which goes on when it comes back.
    fn clear(&mut self, peer: PeerId) {
        let full = self.seats.len() > SPREAD_SEATS;
        if self.seats.get(&peer).is_some_and(|seat| seat.is_gone() && (full || seat.is_blameless())) {
            self.seats.remove(&peer);
        }
    }

    /// A peer that was left out and has not been told of.
    pub(super) fn left_out(&mut self) -> Option<PeerId> {
        self.left_out.pop()
    }

    /// Whether there is somebody to ask.
    pub(super) fn somebody_answers(&self) -> bool {
        self.seats.values().any(Seat::answers)
    }

    /// The next line to ask somebody, and whom.
    pub(super) fn next(&mut self, now: Duration) -> Option<Dealt> {
        let (rested, resting) = self.fit(now);
        let next = self.next_for(&rested, &[], now);
        let (line, peer) = next.or_else(|| self.next_for(&resting, &self.awake(now), now))?;
        let Some(Line::Open { body, .. }) = self.line(line) else { return None };
        let dealt = Dealt { line, peer, body: body.clone() };
        self.waiting.remove(&line);
        self.asked.entry(line).or_default().push(Asked { peer, since: now });
        self.running += 1;
        self.seats.entry(peer).or_default().running += 1;
        Some(dealt)
    }

    /// The first line that waits, or else is overdue, for one of these peers; none that one of `before` can still have.
    fn next_for(&self, fit: &[PeerId], before: &[PeerId], now: Duration) -> Option<(u64, PeerId)> {
        if fit.is_empty() {
            return None;
        }
        let waiting = self.waiting.iter().take_while(|line| self.may_deal(**line));
        let asked = self.asked.iter().take_while(|(line, _)| self.may_deal(**line));
        let overdue = asked.filter(|(_, asked)| self.due(asked) <= now).map(|(line, _)| line);
        waiting.chain(overdue).find_map(|line| Some((*line, self.best(*line, fit, before)?)))
    }

    /// Whether there is room for its answer. There always is for the oldest, for which the others wait.
    fn may_deal(&self, line: u64) -> bool {
        line == self.first || self.held + self.running * self.largest < SPREAD_HELD
    }

    /// When a line that is being asked is to be asked of one more peer: later each time, since it may be just long.
    fn due(&self, asked: &[Asked]) -> Duration {
        let since = asked.last().map_or(Duration::ZERO, |last| last.since);
        since.saturating_add(self.pace.overdue().saturating_mul(1 << (asked.len() - 1).min(16)))
    }

    /// The peers with room, most of it first: those that do not rest, and those that do.
    fn fit(&self, now: Duration) -> (Vec<PeerId>, Vec<PeerId>) {
        let seats = self.seats.iter().filter(|(_, seat)| seat.room() > 0);
        let mut fit: Vec<_> = seats.map(|(peer, seat)| (Reverse(seat.room()), *peer)).collect();
        fit.sort_unstable();
        fit.into_iter().map(|(_, peer)| peer).partition(|peer| self.seats[peer].rests_until() <= now)
    }

    /// The peers for whose room lines wait before they go to one that rests.
    fn awake(&self, now: Duration) -> Vec<PeerId> {
        self.seats.iter().filter(|(_, seat)| seat.is_awake(now)).map(|(peer, _)| *peer).collect()
    }

    /// The first of these that has not had this line; nobody if one of `before` has not.
    fn best(&self, line: u64, fit: &[PeerId], before: &[PeerId]) -> Option<PeerId> {
        let Some(Line::Open { tried, .. }) = self.line(line) else { return None };
        let asked = self.asked.get(&line).map(Vec::as_slice).unwrap_or_default();
        let had = |peer: &PeerId| tried.contains(peer) || asked.iter().any(|asked| asked.peer == *peer);
        if !before.iter().all(had) {
            return None;
        }
        fit.iter().find(|peer| !had(peer)).copied()
    }

    fn line(&self, line: u64) -> Option<&Line> {
        self.lines.get(usize::try_from(line.checked_sub(self.first)?).ok()?)
    }

    /// Asking a peer for a line has ended. Gives those who need not answer it any more.
    pub(super) fn ended(&mut self, line: u64, peer: PeerId, ending: Ending, now: Duration) -> Vec<PeerId> {
        let asked = self.asked.get_mut(&line);
        let place = asked.as_ref().and_then(|asked| asked.iter().position(|asked| asked.peer == peer));
        // Another one was faster.
        let (Some(asked), Some(place)) = (asked, place) else { return Vec::new() };
        let since = asked.remove(place).since;
        let others = std::mem::take(asked);
        self.running -= 1;
        let at_work = since + self.begun_after() <= now;
        if at_work {
            // While it was at work nothing was given up; now there is time to ask somebody else.
            self.heard = now;
        }
        let seat = self.seats.entry(peer).or_default();
        seat.running -= 1;
        match ending {
            Ending::Answered(reply) => {
                seat.answered();
                self.clear(peer);
                self.asked.remove(&line);
                self.heard = now;
                self.pace.took(now.saturating_sub(since));
                self.done(line, Answer { peer: Some(peer), reply });
                return others.into_iter().map(|other| self.spared(&other, since, now)).collect();
            }
            Ending::NotBegun => {
                seat.gave_back();
                if at_work && seat.refused(since, now) {
                    self.left_out.push(peer);
                }
            }
            Ending::Lost => {
                seat.lost();
                if let Some(Line::Open { tried, .. }) = self.lines.get_mut((line - self.first) as usize) {
                    tried.push(peer);
                }
            }
        }
        self.clear(peer);
        match others.is_empty() {
            true => {
                self.asked.remove(&line);
                self.waiting.insert(line);
            }
            false => drop(self.asked.insert(line, others)),
        }
        Vec::new()
    }

    /// Another peer, asked at `since`, has answered what this one was asked.
    fn spared(&mut self, asked: &Asked, since: Duration, now: Duration) -> PeerId {
        self.running -= 1;
        let overdue = self.pace.overdue();
        let seat = self.seats.entry(asked.peer).or_default();
        seat.running -= 1;
        if asked.since < since && asked.since.saturating_add(overdue) <= now {
            seat.overtaken(overdue, now);
        }
        self.clear(asked.peer);
        asked.peer
    }

    fn done(&mut self, line: u64, answer: Answer) {
        let Some(place) = self.lines.get_mut((line - self.first) as usize) else { return };
        if let Line::Open { body, .. } = place {
            self.held -= body.len();
        }
        self.held += size(&answer);
        self.sizes.push_back(size(&answer));
        if self.sizes.len() > SPREAD_REMEMBERED {
            self.sizes.pop_front();
        }
        self.largest = self.sizes.iter().copied().fold(SPREAD_LEAST_ANSWER, usize::max);
        *place = Line::Done(answer);
        self.ready.push_back(line);
    }

    /// After how long a peer that is asked is at work.
    fn begun_after(&self) -> Duration {
        BEGUN_AFTER.min(self.pace.patience() / 2)
    }

    /// When to give up on lines that wait, if nothing happens before: nobody has answered, or was at work, for as long as the
    /// user waits. Who is asked by then is given the time to begin. Lines that are given back meanwhile are no answer.
    fn gives_up(&self, now: Duration) -> Option<Duration> {
        let begun_after = self.begun_after();
        let begins = if self.running > 0 { begun_after } else { Duration::ZERO };
        let at = self.heard.saturating_add(self.pace.patience()).saturating_add(begins);
        let mut asked = self.asked.values().flatten();
        let at_work = asked.any(|asked| asked.since + begun_after <= at.max(now));
        (!self.waiting.is_empty() && !at_work).then_some(at)
    }

    /// Whether it is time to give up on lines that wait.
    pub(super) fn is_in_vain(&self, now: Duration) -> bool {
        self.gives_up(now).is_some_and(|at| at <= now)
    }

    /// When there is something to do, if nothing happens before: to ask one more peer, or to give up.
    pub(super) fn wakes(&self, now: Duration) -> Option<Duration> {
        let overdue = self.asked.values().map(|asked| self.due(asked));
        let rested = self.seats.values().map(Seat::rests_until);
        // What was due before waits for somebody who has room.
        let later = overdue.chain(rested).filter(|at| *at > now);
        later.chain(self.gives_up(now)).min()
    }

    /// Gives up on the lines that wait and that all who answer have tried, so on all if nobody answers: `why` says it, given
    /// who may have run one. The others may wait just for those, which hold the memory.
    pub(super) fn give_up(&mut self, now: Duration, why: impl Fn(&[PeerId]) -> String) {
        self.heard = now;
        let answering = self.seats.iter().filter(|(_, seat)| seat.answers());
        let answering: Vec<_> = answering.map(|(peer, _)| *peer).collect();
        for line in std::mem::take(&mut self.waiting) {
            let Some(Line::Open { tried, .. }) = self.line(line) else { continue };
            if answering.iter().all(|peer| tried.contains(peer)) {
                let answer = Answer { peer: tried.last().copied(), reply: Err(why(tried)) };
                self.done(line, answer);
            } else {
                self.waiting.insert(line);
            }
        }
    }

    /// Nobody took the answers meanwhile, which is no fault of those who answer.
    pub(super) fn was_held_up(&mut self, now: Duration) {
        self.heard = now;
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

fn size(answer: &Answer) -> usize {
    match &answer.reply {
        Ok(reply) => reply.len(),
        Err(why) => why.len(),
    }
}
