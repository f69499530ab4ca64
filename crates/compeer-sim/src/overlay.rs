//! The overlay by the hundred thousand: one machine for each peer, one queue for all.
//!
//! A [`World`] is made of a [`Scenario`] and runs it in virtual time: it takes the next event, gives it to the
//! machine it is for, and plans what comes of it. The machines are those of
//! [`compeer_proto::overlay`], as they run in a peer; what is left out is all beneath: a message is a value
//! that arrives after its latency or not at all, and a peer that left says nothing, so that who asks it waits in vain.
//!
//! What hostile peers do is in [`Act`]. They keep to the protocol otherwise: they can be reached, and look
//! after their tables as others do, so that they stand in the tables of others.

use std::collections::BTreeMap;
use std::time::Duration;

use compeer::PeerId;
use compeer_proto::Time;
use compeer_proto::limits::BUCKET;
use compeer_proto::overlay::{Answer, Effect, Goal, Outcome, Overlay, Subject};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::trace::Trace;
use crate::{Act, Scenario, ScenarioError, Start};

mod measure;
mod member;
mod net;
mod people;
mod places;
mod queue;

use measure::Measure;
pub use measure::{Part, Spread, Summary};
use member::Member;
use net::{Net, below};
use places::Places;
use queue::{Message, Number, Queue, What};

/// Wall time when a run begins. Unit: seconds since 1970.
const DAWN: u64 = 1_700_000_000;

/// How long the last look-ups may take.
const LAST_LOOKUPS: Duration = Duration::from_secs(120);

/// How often two peers are drawn for a look-up before none is made.
const DRAWS: usize = 200;

/// A network of overlay machines in virtual time.
#[derive(Debug)]
pub struct World {
    scenario: Scenario,
    now: Time,
    /// When look-ups begin.
    begin: Time,
    queue: Queue,
    rng: ChaCha8Rng,
    net: Net,
    members: Vec<Member>,
    ids: BTreeMap<PeerId, Number>,
    live: Vec<Number>,
    /// Hostile peers that live.
    hostile: Places,
    /// Whose key the ground ids are next to.
    victim: Option<Number>,
    apart: bool,
    /// Look-ups to come.
    lookups: u32,
    measure: Measure,
    trace: Trace,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Virtual time gone by. Unit: seconds.
    pub seconds: f64,
    /// Virtual time when it is over, at the latest but for the last look-ups. Unit: seconds.
    pub of: f64,
    /// Peers that live.
    pub live: u32,
    /// Look-ups that have ended.
    pub lookups: u32,
    /// Of these, those that found.
    pub found: u32,
}

impl World {
    /// A network as the scenario says, before anything happens in it.
    ///
    /// # Errors
    /// [`ScenarioError::Value`]: a number of the scenario makes no sense.
    pub fn new(scenario: &Scenario) -> Result<Self, ScenarioError> {
        scenario.check()?;
        let grows = if scenario.start == Start::Join { scenario.join_seconds } else { 0 };
        let mut world = World {
            scenario: scenario.clone(),
            now: Time::ZERO,
            begin: Time::ZERO + seconds(grows) + seconds(scenario.settle),
            queue: Queue::default(),
            rng: ChaCha8Rng::seed_from_u64(scenario.seed),
            net: Net::new(scenario),
            members: Vec::new(),
            ids: BTreeMap::new(),
            live: Vec::new(),
            hostile: Places::default(),
            victim: None,
            apart: false,
            lookups: scenario.lookups,
            measure: Measure::default(),
            trace: Trace::default(),
        };
        match scenario.start {
            Start::Warm => world.warm(),
            Start::Join => {
                for n in 0..scenario.peers {
                    let after = seconds(grows) * n / scenario.peers;
                    world.queue.push(Time::ZERO + after, What::Join);
                }
            }
        }
        if scenario.churn_per_minute > 0.0 {
            world.queue.push(Time::ZERO + seconds(grows), What::Churn);
        }
        if scenario.ground.is_some() {
            world.queue.push(Time::ZERO + seconds(grows), What::Grind);
        }
        world.queue.push(world.begin, What::Begin);
        Ok(world)
    }

    /// Lets virtual time go by; gives whether anything is left of the scenario.
    pub fn advance(&mut self, by: Duration) -> bool {
        let until = self.now + by;
        while !self.is_over()
            && let Some((at, what)) = self.queue.pop(until)
        {
            self.now = at;
            self.happen(what);
        }
        if self.is_over() {
            return false;
        }
        self.now = until;
        true
    }

    /// Runs the scenario to its end.
    pub fn run(mut self) -> Summary {
        while self.advance(Duration::from_secs(60)) {}
        self.summary()
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let (lookups, found) = self.measure.so_far();
        Progress {
            seconds: self.now.since(Time::ZERO).as_secs_f64(),
            of: (self.begin + seconds(self.scenario.duration)).since(Time::ZERO).as_secs_f64(),
            live: self.live.len() as u32,
            lookups,
            found,
        }
    }

    /// What came out up to now.
    pub fn summary(&self) -> Summary {
        let (lookups, found) = self.measure.so_far();
        let machines = || self.members.iter().filter_map(|member| member.overlay.as_ref());
        let mean = |of: fn(&Overlay) -> usize| {
            machines().map(of).sum::<usize>() as f64 / machines().count().max(1) as f64
        };
        Summary {
            peers: self.scenario.peers,
            live: self.live.len() as u32,
            seed: self.scenario.seed,
            seconds: self.now.since(Time::ZERO).as_secs_f64(),
            lookups,
            found,
            left_out: self.measure.left_out,
            hops: self.measure.hops(),
            queries: self.measure.queries(),
            time: self.measure.time(),
            hop_counts: self.measure.hop_counts(),
            parts: self.measure.parts(self.begin, self.scenario.duration),
            messages: self.measure.messages,
            undelivered: self.measure.undelivered,
            table: mean(|overlay| overlay.table().len()),
            records: mean(|overlay| overlay.store().len()),
            trace_hash: self.trace.hash(),
        }
    }

    fn is_over(&self) -> bool {
        let last = self.begin + seconds(self.scenario.duration) + LAST_LOOKUPS;
        self.now >= last || (self.now > self.begin && self.lookups == 0 && self.measure.is_idle())
    }

    /// One of those who live; there is always one when this is called.
    fn draw_live(&mut self) -> Number {
        self.live[below(&mut self.rng, self.live.len() as u64) as usize]
    }

    fn are_apart(&self, a: Number, b: Number) -> bool {
        self.apart && self.members[a as usize].aside != self.members[b as usize].aside
    }

    fn happen(&mut self, what: What) {
        let now = self.now;
        match what {
            What::Message { from, to, message } => self.arrive(from, to, message),
            What::Tick(n) => self.tick(n),
            What::Join => {
                let number = self.draw_member();
                self.come(number);
            }
            What::CheckJoined(n) => {
                let overlay = self.members[n as usize].overlay.as_ref();
                if overlay.is_some_and(|overlay| overlay.table().is_empty()) && self.live.len() > 1 {
                    self.join(n);
                }
            }
            What::Announce(n) => self.announce(n),
            What::Churn => self.churn(),
            What::Grind => self.grind(),
            What::Begin => self.begin(),
            What::Heal => self.apart = false,
            What::LookUp => {
                self.lookups -= 1;
                match self.draw_pair() {
                    Some((from, target)) => self.look_up(from, target),
                    None => self.measure.left_out += 1,
                }
                if self.lookups > 0 {
                    let begun = self.scenario.lookups - self.lookups;
                    let after = seconds(self.scenario.duration) * begun / self.scenario.lookups;
                    self.queue.push((self.begin + after).max(now), What::LookUp);
                }
            }
        }
    }

    /// Look-ups begin, and what the scenario has for that time.
    fn begin(&mut self) {
        let dies = (self.scenario.kill * self.live.len() as f64) as usize;
        let mut dead = 0;
        while dead < dies {
            let drawn = self.draw_live();
            if Some(drawn) != self.victim {
                self.leave(drawn);
                dead += 1;
            } else if self.live.len() == 1 {
                break;
            }
        }
        if let Some(partition) = self.scenario.partition {
            self.apart = true;
            self.queue.push(self.now + seconds(partition.lasts), What::Heal);
        }
        if self.lookups > 0 {
            self.queue.push(self.now, What::LookUp);
        }
    }

    /// An honest peer has its record kept by others from now on.
    fn announce(&mut self, number: Number) {
        let member = &mut self.members[number as usize];
        let subject = Subject::Peer(member.id());
        if let Some(overlay) = &mut member.overlay
            && self.scenario.publish
            && member.act.is_none()
        {
            // One record each: there is room for it.
            let _ = overlay.announce(subject, self.now);
            self.drain(number);
        }
    }

    fn publish(&mut self, number: Number) {
        let wall = DAWN + self.now.since(Time::ZERO).as_secs();
        let member = &mut self.members[number as usize];
        let record = member::record(self.scenario.seed, number, &member.contact, wall);
        if let Some(overlay) = &mut member.overlay {
            overlay.publish(record, self.now);
        }
    }

    /// Two honest peers that are in for long enough and could reach each other.
    fn draw_pair(&mut self) -> Option<(Number, Number)> {
        for _ in 0..DRAWS {
            let from = self.draw_live();
            let target = self.victim.unwrap_or_else(|| self.draw_live());
            let is_in = |n: Number| {
                let member = &self.members[n as usize];
                let settled =
                    member.since.is_none_or(|since| self.now.since(since) >= seconds(self.scenario.in_for));
                member.act.is_none() && member.overlay.is_some() && settled
            };
            if from != target && is_in(from) && is_in(target) && !self.are_apart(from, target) {
                return Some((from, target));
            }
        }
        None
    }

    fn look_up(&mut self, from: Number, target: Number) {
        let (now, key) = (self.now, self.members[target as usize].contact.key());
        let Some(overlay) = &mut self.members[from as usize].overlay else { return };
        match overlay.look_up(key, Goal::Quick, now) {
            Ok(lookup) => self.measure.begin(from, lookup, target, now),
            Err(_) => self.measure.left_out += 1,
        }
        self.drain(from);
    }

    fn tick(&mut self, number: Number) {
        let now = self.now;
        let member = &mut self.members[number as usize];
        let Some(overlay) = &mut member.overlay else { return };
        // Planned before something earlier came up.
        if member.tick != now {
            return;
        }
        member.tick = Time::from_micros(u64::MAX);
        if overlay.wake() <= now {
            overlay.tick(now);
            self.trace.note(now.as_micros(), number, number, 22, [0; 2]);
        }
        self.drain(number);
    }

    /// Does what a machine wants done, and plans its next tick.
    fn drain(&mut self, number: Number) {
        loop {
            let overlay = self.members[number as usize].overlay.as_mut();
            let Some(effect) = overlay.and_then(Overlay::poll) else { break };
            self.act(number, effect);
        }
        let member = &mut self.members[number as usize];
        if let Some(overlay) = &member.overlay {
            let wake = overlay.wake().max(self.now);
            if wake < member.tick {
                member.tick = wake;
                self.queue.push(wake, What::Tick(number));
            }
        }
    }

    fn act(&mut self, from: Number, effect: Effect) {
        match effect {
            Effect::Ask { query, to, find, .. } => self.send_to(from, to.id(), Message::Find { query, find }),
            Effect::Keep { to, record } => self.send_to(from, to.id(), Message::Keep(record)),
            Effect::Test { contact } => self.send_to(from, contact.id(), Message::Ping),
            Effect::Sign { .. } => self.publish(from),
            Effect::Done { lookup, outcome } => self.done(from, lookup, &outcome),
        }
    }

    fn done(&mut self, from: Number, lookup: u64, outcome: &Outcome) {
        let Some(target) = self.measure.target(from, lookup) else { return };
        let sought = Subject::Peer(self.members[target as usize].id());
        let found = self.measure.end((from, lookup), outcome, sought, self.now);
        let numbers = [u64::from(found), outcome.steps.len() as u64];
        self.trace.note(self.now.as_micros(), from, target, 23, numbers);
    }

    fn send_to(&mut self, from: Number, to: PeerId, message: Message) {
        if let Some(to) = self.ids.get(&to) {
            self.send(from, *to, message);
        }
    }

    fn send(&mut self, from: Number, to: Number, message: Message) {
        self.measure.messages += 1;
        let spots = (self.members[from as usize].spot, self.members[to as usize].spot);
        match self.net.latency(spots.0, spots.1, &mut self.rng) {
            Some(latency) => self.queue.push(self.now + latency, What::Message { from, to, message }),
            None => self.measure.undelivered += 1,
        }
    }

    fn arrive(&mut self, from: Number, to: Number, message: Message) {
        let (now, apart, from_id) = (self.now, self.are_apart(from, to), self.members[from as usize].id());
        let (what, numbers) = message.traits();
        let overlay = self.members[to as usize].overlay.as_mut().filter(|_| !apart);
        self.trace.note(now.as_micros(), from, to, what + if overlay.is_some() { 0 } else { 10 }, numbers);
        let Some(overlay) = overlay else {
            self.measure.undelivered += 1;
            return;
        };
        match message {
            Message::Find { query, find } => {
                let honest = overlay.answer(from_id, &find, now);
                let caller = self.members[from as usize].contact.clone();
                let asked = &mut self.members[to as usize];
                if let Some(overlay) = &mut asked.overlay {
                    overlay.called(caller, now);
                }
                let answer = match asked.act {
                    None => Some(honest),
                    Some(Act::Silent) => None,
                    Some(Act::Drop) => Some(Answer { records: Vec::new(), ..honest }),
                    Some(Act::Lie) => {
                        let kind = self.hostile.closest(&find.key, BUCKET);
                        let closer =
                            kind.iter().map(|n| self.members[*n as usize].contact.to_peer_addr()).collect();
                        Some(Answer { closer, records: Vec::new() })
                    }
                };
                if let Some(answer) = answer {
                    self.send(to, from, Message::Answer { query, answer });
                }
            }
            Message::Answer { query, answer } => overlay.answered(query, answer, now),
            Message::Keep(record) => {
                let wall = DAWN + now.since(Time::ZERO).as_secs();
                if self.members[to as usize].act.is_none()
                    && let Some(overlay) = &mut self.members[to as usize].overlay
                {
                    // Whether it is kept, nobody is told.
                    let _ = overlay.keep(from_id, (*record).clone(), wall, now);
                }
            }
            Message::Ping => self.send(to, from, Message::Pong),
            Message::Pong => overlay.tested(from_id, true, now),
        }
        self.drain(to);
    }
}

impl Message {
    /// For the trace: which it is, and how much is in it.
    fn traits(&self) -> (u8, [u64; 2]) {
        match self {
            Message::Find { query, find } => (0, [*query, u64::from(find.records)]),
            Message::Answer { answer, .. } => (1, [answer.closer.len() as u64, answer.records.len() as u64]),
            Message::Keep(record) => (2, [record.bytes().len() as u64, record.seq()]),
            Message::Ping => (3, [0; 2]),
            Message::Pong => (4, [0; 2]),
        }
    }
}

fn seconds(n: u32) -> Duration {
    Duration::from_secs(n.into())
}
