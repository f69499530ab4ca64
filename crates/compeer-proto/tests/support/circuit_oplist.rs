//! Lists of operations on a circuit: two ends and their carriers, hop by hop, and the book of one.
//!
//! Hops are queues of bytes that are cut anywhere. Whatever comes in whatever portions: an end
//! hears a beginning of what the other said, all of it before FIN, and when a hop is lost each
//! end hears who stands behind it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use compeer_proto::circuit::carrier::{Carrier, Key, Quota, Taken};
use compeer_proto::circuit::flow::{Heard, Lane, Reader, Want, each_data};
use compeer_proto::circuit::{Answer, Broken, FIN, HEAD, Head, Open, Opened, Type, Why, put_data};
use compeer_proto::ext::Ext;
use compeer_proto::{PeerId, Time};

/// So many ids, made of what happens to be a point of the curve.
fn ids(n: usize) -> Vec<PeerId> {
    let found = (0..=u8::MAX).filter_map(|n| {
        let mut bytes = [0; 32];
        bytes[0] = n;
        PeerId::from_bytes(&bytes).ok()
    });
    found.take(n).collect()
}

/// One end: what it says, and what it has heard.
#[derive(Default)]
struct End {
    said: Vec<u8>,
    said_fin: bool,
    reader: Reader,
    heard: Vec<u8>,
    heard_fin: bool,
    broken: Option<PeerId>,
}

/// One direction at a carrier.
#[derive(Default)]
struct Passing {
    lane: Lane,
    have: Vec<u8>,
    /// It has said BROKEN, or passed it on, and says no more.
    done: bool,
}

/// Ends 0 and n, carriers between. Direction 0 goes up, 1 comes back.
struct Line {
    ids: Vec<PeerId>,
    ends: [End; 2],
    /// By direction and hop: what is on its way between node h and node h + 1.
    hops: [Vec<VecDeque<u8>>; 2],
    /// By direction and carrier, the first one at 0.
    carriers: [Vec<Passing>; 2],
    lost: Option<usize>,
}

impl Line {
    fn new(carriers: usize) -> Self {
        let fresh = || (0..carriers).map(|_| Passing::default()).collect();
        Line {
            ids: ids(carriers + 2),
            ends: [End::default(), End::default()],
            hops: [(); 2].map(|()| vec![VecDeque::new(); carriers + 1]),
            carriers: [fresh(), fresh()],
            lost: None,
        }
    }

    fn last(&self) -> usize {
        self.ids.len() - 1
    }

    /// The hop on which an end speaks in this direction; the other end hears on the other one.
    fn first_hop(&self, direction: usize) -> usize {
        if direction == 0 { 0 } else { self.last() - 1 }
    }

    fn last_hop(&self, direction: usize) -> usize {
        self.first_hop(1 - direction)
    }

    fn put(&mut self, direction: usize, hop: usize, bytes: &[u8]) {
        if self.lost != Some(hop) {
            self.hops[direction][hop].extend(bytes);
        }
    }

    fn say(&mut self, direction: usize, n: usize) {
        let end = &mut self.ends[direction];
        if end.said_fin {
            return;
        }
        let bytes: Vec<u8> = (0..n).map(|at| (end.said.len() + at) as u8).collect();
        let mut frame = Vec::new();
        let taken = put_data(&mut frame, &bytes);
        end.said.extend(&bytes[..taken]);
        self.put(direction, self.first_hop(direction), &frame);
    }

    fn finish(&mut self, direction: usize) {
        if !std::mem::replace(&mut self.ends[direction].said_fin, true) {
            self.put(direction, self.first_hop(direction), &FIN);
        }
    }

    /// A carrier takes so much from one hop, and passes on what is whole.
    fn pass(&mut self, direction: usize, carrier: usize, most: usize) {
        let (from, to) = if direction == 0 { (carrier, carrier + 1) } else { (carrier + 1, carrier) };
        let queue = &mut self.hops[direction][from];
        let n = most.min(queue.len());
        let came: Vec<u8> = queue.drain(..n).collect();
        let passing = &mut self.carriers[direction][carrier];
        if passing.done {
            return;
        }
        passing.have.extend(came);
        let passed = passing.lane.pass(&passing.have).expect("the ends keep the rules");
        let mut frames: Vec<u8> = passing.have.drain(..passed.len).collect();
        let mut seen = 0;
        each_data(&mut frames, |data| seen += data.len() as u64);
        assert_eq!(seen, passed.data);
        passing.done = passing.lane.is_broken();
        // A hop that is lost: it says so once all that came over it is passed on.
        let over = self.lost == Some(from) && self.hops[direction][from].is_empty() && !passing.done;
        let who = if direction == 0 { from } else { from + 1 };
        if over {
            passing.done = true;
            frames.extend(Broken { who: self.ids[who], why: Why::Gone }.encode());
        }
        self.put(direction, to, &frames);
    }

    /// The end of a direction reads so much.
    fn hear(&mut self, direction: usize, most: usize) {
        let hop = self.last_hop(direction);
        let lost = self.lost == Some(hop);
        let queue = &mut self.hops[direction][hop];
        let end = &mut self.ends[1 - direction];
        let mut left = most;
        while left > 0 && !queue.is_empty() {
            let most = match end.reader.want() {
                Want::Nothing => return,
                Want::Data(most) | Want::Frame(most) => most.min(left).min(queue.len()),
            };
            assert!(most > 0, "it always wants something");
            let bytes: Vec<u8> = queue.drain(..most).collect();
            left -= most;
            if let Want::Data(_) = end.reader.want() {
                assert!(!end.heard_fin);
                end.heard.extend(&bytes);
                end.reader.took(most);
                continue;
            }
            match end.reader.feed(&bytes).expect("carriers keep the rules") {
                Some(Heard::Fin) => end.heard_fin = true,
                Some(Heard::Broken(broken)) => end.broken = Some(broken.who),
                None => {}
            }
        }
        if lost && self.hops[direction][hop].is_empty() {
            let neighbour = if direction == 0 { hop } else { hop + 1 };
            self.ends[1 - direction].broken.get_or_insert(self.ids[neighbour]);
        }
    }

    /// A hop is lost, and of what was on its way all but so much.
    fn lose(&mut self, hop: usize, kept: usize) {
        if self.lost.is_none() {
            self.lost = Some(hop);
            for direction in 0..2 {
                self.hops[direction][hop].truncate(kept);
            }
        }
    }

    fn check(&self) {
        for direction in 0..2 {
            let (from, to) = (&self.ends[direction], &self.ends[1 - direction]);
            assert!(from.said.starts_with(&to.heard));
            if to.heard_fin {
                assert!(from.said_fin && from.said == to.heard);
            }
            if let Some(who) = to.broken {
                let lost = self.lost.expect("nothing is told that did not happen");
                assert_eq!(who, self.ids[if direction == 0 { lost } else { lost + 1 }]);
            }
        }
    }

    /// All that is on its way comes.
    fn settle(&mut self) {
        for _ in 0..self.ids.len() {
            for direction in 0..2 {
                for at in 0..self.carriers[direction].len() {
                    self.pass(direction, at, usize::MAX);
                }
                self.hear(direction, usize::MAX);
            }
        }
        self.check();
        for direction in 0..2 {
            let (from, to) = (&self.ends[direction], &self.ends[1 - direction]);
            match self.lost {
                None => assert!(from.said == to.heard && from.said_fin == to.heard_fin),
                Some(_) => assert!(to.broken.is_some(), "both hear of it"),
            }
        }
    }
}

/// Runs a list of operations on a line of peers.
pub(crate) fn line(bytes: &[u8]) {
    let mut bytes = bytes.iter().copied();
    let carriers = usize::from(bytes.next().unwrap_or(0) % 7) + 1;
    let mut line = Line::new(carriers);
    while let (Some(op), Some(arg)) = (bytes.next(), bytes.next()) {
        let (direction, which) = (usize::from(op / 128), usize::from(op % 128 / 16));
        let n = usize::from(arg);
        match op % 16 {
            0..=2 => line.say(direction, n * n),
            3 if arg < 32 => line.finish(direction),
            3..=9 => line.pass(direction, which % carriers, n * n),
            10 => {
                let later = [&Head { what: Type::Later(200), len: n }.encode()[..], &vec![7; n]].concat();
                // Of a later version, said by an end between two of its own frames.
                let hop = line.first_hop(direction);
                line.put(direction, hop, &later);
            }
            11 if arg < 16 => line.lose(which % (carriers + 1), n * 8),
            _ => line.hear(direction, n * n),
        }
        line.check();
    }
    line.settle();
}

/// Runs a list of operations on the book of a carrier.
pub(crate) fn book(bytes: &[u8]) {
    let ids = ids(5);
    let quota = Quota { circuits: 4, per_peer: 2, bytes: 100, time: Duration::from_secs(5) };
    let mut book = Carrier::new(ids[4], Some(quota));
    let mut carried: BTreeMap<Key, u64> = BTreeMap::new();
    let mut ends: BTreeSet<Key> = BTreeSet::new();
    let mut bytes = bytes.iter().copied();
    while let (Some(op), Some(arg)) = (bytes.next(), bytes.next()) {
        let id = |n: u8| ids[usize::from(n) % ids.len()];
        let key = (id(arg % 3), [arg / 3 % 4; 16]);
        match op % 4 {
            0 | 1 => {
                let path = vec![id(op / 4 % 5), key.0];
                let target = id(op / 20);
                let open = Open {
                    circuit: key.1,
                    target,
                    stream: false,
                    hops: arg / 64,
                    tries: 0,
                    within: 0,
                    path,
                    ext: Ext::new(),
                };
                let of_peer = carried.keys().filter(|(from, _)| *from == key.0).count();
                match book.take(key.0, &open, &BTreeSet::from([id(3)]), Time::ZERO) {
                    Ok(Taken::Ends) => assert!(target == ids[4] && ends.insert(key)),
                    Ok(Taken::Carried(_)) => assert!(carried.insert(key, 0).is_none()),
                    Err(Why::Full) => assert!(of_peer == quota.per_peer || carried.len() == quota.circuits),
                    Err(Why::HopLimit) => assert_eq!(open.hops, 0),
                    Err(Why::Blocked) => assert!(open.path.contains(&id(3)) || target == id(3)),
                    Err(Why::Protocol) => assert!(carried.contains_key(&key) || ends.contains(&key)),
                    Err(why) => assert_eq!(why, Why::Loop),
                }
            }
            2 => match (book.spend(&key, u64::from(op / 4)), carried.get_mut(&key)) {
                (Ok(()), Some(spent)) => *spent += u64::from(op / 4),
                (Ok(()), None) => assert!(ends.contains(&key)),
                (Err(Why::Spent), Some(spent)) => assert!(*spent + u64::from(op / 4) > quota.bytes),
                (Err(_), there) => assert!(there.is_none() && !ends.contains(&key)),
            },
            _ => assert_eq!(book.end(&key), carried.remove(&key).is_some() | ends.remove(&key)),
        }
        assert!(carried.len() <= quota.circuits && carried.values().all(|spent| *spent <= quota.bytes));
        assert_eq!((book.carried(), book.len()), (carried.len(), carried.len() + ends.len()));
    }
}

/// Any bytes are frames or an error, and read the same when they are written again.
pub(crate) fn frames(bytes: &[u8]) {
    let again = |frame: Vec<u8>| frame[HEAD..].to_vec();
    if let Ok(open) = Open::decode(bytes) {
        assert_eq!(Open::decode(&again(open.encode())), Ok(open));
    }
    if let Ok(opened) = Opened::decode(bytes) {
        assert_eq!(Answer::decode(Type::Opened, &again(opened.encode())), Ok(Answer::Opened(opened)));
    }
    if let Ok(broken) = Broken::decode(bytes) {
        assert_eq!(Broken::decode(&again(broken.encode())), Ok(broken));
    }
    // What an end takes, in whatever portions, a carrier passes on.
    let passed = Lane::default().pass(bytes);
    let (mut reader, mut rest) = (Reader::default(), bytes);
    while !rest.is_empty() {
        match reader.want() {
            Want::Nothing => return,
            Want::Data(n) => {
                let n = n.min(rest.len());
                reader.took(n);
                rest = &rest[n..];
            }
            Want::Frame(n) => {
                let (now, later) = rest.split_at(rest.len().min(n.div_ceil(2)));
                rest = later;
                if reader.feed(now).is_err() {
                    return;
                }
            }
        }
    }
    assert!(passed.is_ok());
}
