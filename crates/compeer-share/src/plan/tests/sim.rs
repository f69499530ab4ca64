//! Whole fetches in virtual time: sources of given speed and distance, some of which die, lie, refuse or stall.
//!
//! A source answers what it was asked in order, segment by segment, each of which counts when all of it has
//! come. Two ranges are asked of each at a time.

use std::collections::BTreeMap;

use super::*;

/// Ranges asked of one source at a time.
const IN_FLIGHT: usize = 2;

#[derive(Clone, Copy, Debug)]
enum Fate {
    Honest,
    /// Vanishes at this time; unit: ms.
    Dies(u64),
    /// Is silent from then on, and stays.
    Stalls(u64),
    /// Sends bad bytes from then on; is dropped for it.
    Lies(u64),
    /// Has nothing any more from then on, and says so.
    Refuses(u64),
}

struct Peer {
    /// Groups a second.
    speed: u64,
    latency: Duration,
    fate: Fate,
    /// Now and then it pauses for up to so long; and what that is drawn from.
    hiccup: Duration,
    dice: u64,
    have: RangeSet,
    free_at: Time,
    /// Segments still to come of each range it was asked.
    asked: Vec<usize>,
}

fn peer(groups: u64, speed: u64, fate: Fate) -> Peer {
    let latency = Duration::from_millis(10);
    let (hiccup, dice) = (Duration::ZERO, speed);
    Peer { speed, latency, fate, hiccup, dice, have: all(groups), free_at: Time::ZERO, asked: Vec::new() }
}

impl Peer {
    /// A pause before one segment of eight.
    fn pauses(&mut self) -> Duration {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let drawn = (self.dice >> 33) % 8000;
        if drawn < 1000 { self.hiccup * drawn as u32 / 1000 } else { Duration::ZERO }
    }
}

enum Event {
    Segment(Source, Range<u64>),
    Gone(Source),
    Look,
}

#[derive(Debug)]
struct Outcome {
    took: Duration,
    /// Groups that came, those that came twice too; and most that were in flight.
    came: u64,
    window: u64,
    done: bool,
}

struct Sim {
    plan: Plan,
    peers: BTreeMap<Source, Peer>,
    events: BTreeMap<(Time, u64), Event>,
    number: u64,
    came: u64,
    window: u64,
}

/// Runs a fetch to its end, or for an hour.
fn run(plan: Plan, peers: Vec<Peer>) -> Outcome {
    let peers: BTreeMap<Source, Peer> = (0..).zip(peers).collect();
    let mut sim = Sim { plan, peers, events: BTreeMap::new(), number: 0, came: 0, window: 0 };
    for (source, peer) in &sim.peers {
        sim.plan.offer(*source, &peer.have);
    }
    let dying: Vec<_> = sim.peers.iter().map(|(source, peer)| (*source, peer.fate)).collect();
    for (source, fate) in dying {
        if let Fate::Dies(when) = fate {
            sim.push(at(when), Event::Gone(source));
        }
    }
    sim.push(at(0), Event::Look);
    let mut now = at(0);
    while let Some(((when, _), event)) = sim.events.pop_first() {
        now = when;
        if now > at(3_600_000) {
            break;
        }
        sim.happen(event, now);
        if sim.plan.is_done() {
            break;
        }
        sim.ask_all(now);
    }
    let done = sim.plan.is_done();
    Outcome { took: now.since(Time::ZERO), came: sim.came, window: sim.window, done }
}

impl Sim {
    fn push(&mut self, when: Time, event: Event) {
        self.number += 1;
        self.events.insert((when, self.number), event);
    }

    fn happen(&mut self, event: Event, now: Time) {
        match event {
            Event::Look => self.push(now + LOOK_AGAIN, Event::Look),
            Event::Gone(source) => self.drop(source),
            Event::Segment(source, range) => {
                let Some(peer) = self.peers.get_mut(&source) else { return };
                if let Some(first) = peer.asked.first_mut() {
                    *first -= 1;
                }
                peer.asked.retain(|left| *left > 0);
                match peer.fate {
                    Fate::Lies(from) if now >= at(from) => self.drop(source),
                    Fate::Refuses(from) if now >= at(from) => self.plan.refused(source, range),
                    _ => {
                        self.came += range.end - range.start;
                        self.plan.arrived(source, range, now);
                    }
                }
            }
        }
    }

    fn drop(&mut self, source: Source) {
        self.peers.remove(&source);
        self.plan.gone(source);
    }

    fn ask_all(&mut self, now: Time) {
        let sources: Vec<_> = self.peers.keys().copied().collect();
        for source in sources {
            while self.peers[&source].asked.len() < IN_FLIGHT
                && let Some(want) = self.plan.next(source, now)
            {
                self.ask(source, want, now);
            }
        }
        self.window = self.window.max(self.plan.in_flight());
    }

    fn ask(&mut self, source: Source, want: Range<u64>, now: Time) {
        let peer = self.peers.get_mut(&source).unwrap();
        let mut ready = peer.free_at.max(now + peer.latency);
        let mut arrivals = Vec::new();
        let mut start = want.start;
        while start < want.end {
            let end = (start / SEGMENT * SEGMENT + SEGMENT).min(want.end);
            ready = ready + Duration::from_micros((end - start) * 1_000_000 / peer.speed) + peer.pauses();
            if !matches!(peer.fate, Fate::Stalls(from) if ready >= at(from)) {
                arrivals.push((ready + peer.latency, start..end));
            }
            start = end;
        }
        peer.free_at = ready;
        peer.asked.push(want.end.div_ceil(SEGMENT) as usize - (want.start / SEGMENT) as usize);
        arrivals.into_iter().for_each(|(when, range)| self.push(when, Event::Segment(source, range)));
    }
}

/// 256 MiB; a source of 800 groups a second is one of 100 Mbit/s.
const FILE: u64 = 16_384;

fn fetch(peers: Vec<Peer>) -> Outcome {
    let outcome = run(Plan::new(all(FILE)), peers);
    assert!(outcome.done, "{outcome:?}");
    outcome
}

fn honest(speeds: &[u64]) -> Vec<Peer> {
    speeds.iter().map(|speed| peer(FILE, *speed, Fate::Honest)).collect()
}

#[test]
fn four_equal_sources_are_nearly_four_times_one() {
    let one = fetch(honest(&[800]));
    let four = fetch(honest(&[800; 4]));
    let times = one.took.as_secs_f64() / four.took.as_secs_f64();
    assert!(times >= 3.6, "{times}");
    assert_eq!(one.came, FILE, "one source sends nothing twice");
    assert!(four.came - FILE <= SEGMENT, "{four:?}");
    // Two ranges of a quarter of a second of each.
    assert!(four.window <= 4 * 2 * 256, "{four:?}");
}

#[test]
fn unequal_sources_come_near_their_sum() {
    for speeds in [&[800, 80][..], &[800, 800, 80], &[3200, 800, 200, 50], &[6400, 100], &[800, 8]] {
        let outcome = fetch(honest(speeds));
        let best = FILE as f64 / speeds.iter().sum::<u64>() as f64;
        let ratio = outcome.took.as_secs_f64() / best;
        let waste = outcome.came - FILE;
        assert!(ratio <= 1.05, "{speeds:?}: {ratio}");
        assert!(waste <= SEGMENT, "{speeds:?}: {waste}");
    }
}

#[test]
fn the_dying_the_lying_and_the_stalled_do_not_keep_it_from_its_end() {
    use Fate::*;
    // With the part that it may take of the time that one honest source needs.
    let cases = [
        (vec![Honest, Dies(300), Dies(600), Dies(900)], 0.94),
        (vec![Honest, Honest, Lies(0), Lies(900)], 0.50),
        (vec![Honest, Stalls(500)], 1.0),
        (vec![Honest, Stalls(0), Stalls(400), Stalls(1200)], 0.95),
        (vec![Honest, Refuses(0), Refuses(700), Dies(650)], 0.95),
        (vec![Stalls(300), Lies(500), Refuses(200), Honest], 0.98),
    ];
    let alone = fetch(honest(&[800])).took;
    for (fates, part) in cases {
        let peers = fates.iter().map(|fate| peer(FILE, 800, *fate)).collect();
        let outcome = fetch(peers);
        assert!(outcome.took <= alone.mul_f64(part), "{fates:?}: {outcome:?} of {alone:?}");
        assert!(outcome.came - FILE <= SEGMENT, "{fates:?}: {outcome:?}");
    }
}

#[test]
fn fast_sources_that_pause_now_and_then_bring_little_twice() {
    // With the longest pause in ms, and the part of the file that may come twice: on average, and at most.
    for (pause, mean, most) in [(20, 0.0, 0.0), (60, 0.005, 0.03), (200, 0.02, 0.05)] {
        let twice = |seed: u64| {
            let mut peers = honest(&[16_000; 4]);
            for (n, peer) in (0..).zip(&mut peers) {
                peer.latency = Duration::from_micros(100);
                (peer.hiccup, peer.dice) = (Duration::from_millis(pause), seed * 4 + n);
            }
            (fetch(peers).came - FILE) as f64 / FILE as f64
        };
        let twice: Vec<f64> = (0..50).map(twice).collect();
        let found = (twice.iter().sum::<f64>() / 50.0, twice.iter().copied().fold(0.0, f64::max));
        assert!(found.0 <= mean && found.1 <= most, "pauses of {pause} ms: {found:?}");
    }
}

#[test]
fn partial_sources_share_the_work() {
    let mut peers = honest(&[800; 4]);
    // One has all, the others a third each.
    for (third, peer) in (0..3).zip(&mut peers[1..]) {
        peer.have = RangeSet::from_range(third * FILE / 3..(third + 1) * FILE / 3);
    }
    let outcome = fetch(peers);
    let best = FILE as f64 / 3200.0;
    assert!(outcome.took.as_secs_f64() <= best * 1.05, "{outcome:?}, best {best}");
}

#[test]
fn what_nobody_has_is_said_and_the_rest_comes() {
    let mut peers = honest(&[800; 2]);
    peers[0].have = RangeSet::from_range(0..1000);
    peers[1].have = RangeSet::from_range(500..2000);
    let outcome = run(Plan::new(all(2100)), peers);
    assert!(!outcome.done && outcome.came >= 2000, "{outcome:?}");
}

#[test]
fn in_order_a_slow_source_does_not_hold_up_the_reader() {
    for speeds in [&[800, 80][..], &[800, 8], &[800, 800]] {
        let outcome = run(Plan::in_order(all(FILE), 1024), honest(speeds));
        let best = FILE as f64 / speeds[0] as f64;
        assert!(outcome.done && outcome.took.as_secs_f64() <= best * 1.1, "{speeds:?}: {outcome:?}");
    }
}

#[test]
fn a_stalled_source_alone_goes_on_when_another_comes() {
    let mut plan = Plan::new(all(128));
    plan.offer(1, &all(128));
    while plan.next(1, at(0)).is_some() {}
    assert_eq!(plan.next(1, at(5000)), None);
    plan.offer(2, &all(128));
    let mut now = 5000;
    while !plan.is_done() {
        now += 100;
        assert!(now < 7000);
        if let Some(want) = plan.next(2, at(now)) {
            plan.arrived(2, want, at(now + 50));
        }
    }
}
