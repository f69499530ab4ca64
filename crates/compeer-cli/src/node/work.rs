//! Work for others: kinds that a command answers, as `compeer on` does, for as long as it runs.
//!
//! The command lends this node a handler: a [`Desk`] for one kind, at which so many jobs are done at a time. Requests of
//! peers come to the desk, wait there for one of the command's idle workers (`control/on.rs`), and get what it answers.
//! A desk has [`MAX_WAITING`] places to wait, of which one [`Caller`] has [`MAX_WAITING_EACH`], and
//! [`MAX_WAITING_PAIRED`] are for paired peers alone; whoever finds them taken is told *busy*, and nothing ran. The bodies that wait are of 1 MiB at most, so a desk holds 64 MiB of others at most, beside
//! what the workers have. A worker that goes away gives up the job it has: the caller is told *cancelled*.
//!
//! [`ANSWERS`] is how others learn of it: asked for a kind, this node says how many jobs of it the asker may have done
//! here at once, and how many now (`docs/protocol.md`). It tells nobody of a kind that he may not ask for.

use super::answers::{self, ECHO, NAME};
use super::classic::KIND_LEN;
use super::state::{State, lock};
use super::{Node, Role};
use crate::exit::{CommandError, Outcome};
use crate::limits::{MAX_JOBS, MAX_WAITING, MAX_WAITING_EACH, MAX_WAITING_PAIRED};
use bytes::Bytes;
use compeer::{Addr, Connection, Failure, Kind, PeerId, Request, classic};
use compeer_share::classic::KINDS;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::{Semaphore, TryAcquireError, oneshot, watch};

/// "How many jobs of this kind may I have done here?"; the body is the kind, the reply an [`Answering`].
pub(crate) const ANSWERS: Kind = Kind::from_static("compeer/answers");

/// The reply to [`ANSWERS`]. Nothing of a kind that nobody answers, or not for the asker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answering {
    /// Jobs at once.
    pub(crate) jobs: u64,
    /// How many of them nobody uses now.
    pub(crate) free: u64,
}

/// The desks of a node, by kind.
#[derive(Default)]
pub(crate) struct Work {
    desks: Mutex<BTreeMap<Kind, Arc<Desk>>>,
    next: AtomicU64,
}

/// On which terms a command answers a kind: for paired peers, and whom it says beside them.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Terms {
    /// Jobs at a time.
    pub(crate) jobs: usize,
    /// For whoever proved a key.
    pub(crate) anyone: bool,
    /// For old programs.
    pub(crate) classic: bool,
    /// In place of a command that answers it already.
    pub(crate) replace: bool,
}

/// Where requests of one kind meet the workers of one command.
pub(crate) struct Desk {
    id: u64,
    kind: Kind,
    terms: Terms,
    /// As many permits as there are slots, those of workers that are gone included.
    idle: Semaphore,
    waiting: Waiting,
    /// Idle workers; `None` when the desk is closed.
    slots: Mutex<Option<VecDeque<oneshot::Sender<Job>>>>,
    closed: watch::Sender<bool>,
}

/// Who asks: a peer that proved its id, or an old program, of which nothing is known but where its connection came from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Asker {
    /// `None`: an old program.
    pub(crate) peer: Option<PeerId>,
    /// Of an old program.
    pub(crate) addr: Option<SocketAddr>,
    /// Ready for the screen.
    pub(crate) name: String,
    /// What the user calls the peer, if it is paired.
    pub(crate) petname: Option<String>,
}

/// Who is counted as one: a paired peer, or a household of others. Keys cost nothing, so theirs count for nothing; but on
/// this machine each is apart, as everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Caller {
    /// Paired, or this node itself.
    Ours(PeerId),
    Household(IpAddr),
    /// A key that is not paired, on this machine or where there is no address.
    Key(Option<PeerId>),
}

fn caller(from: &Asker, ours: bool, household: Option<IpAddr>) -> Caller {
    match (from.peer, household) {
        (Some(peer), _) if ours => Caller::Ours(peer),
        (peer, Some(ip)) if peer.is_none() || !ip.is_loopback() => Caller::Household(ip),
        (peer, _) => Caller::Key(peer),
    }
}

/// Of whom nothing is known that comes over others is one household with all the like.
fn household(connection: &Connection) -> Option<IpAddr> {
    let unknown = IpAddr::from([0, 0, 0, 0]);
    connection.household().or_else(|| (!connection.over().is_empty()).then_some(unknown))
}

/// A request at a worker.
pub(crate) struct Job {
    pub(crate) from: Asker,
    pub(crate) body: Bytes,
    answer: oneshot::Sender<Answer>,
}

/// What came of a job: the reply if there is one, or why it failed.
pub(crate) type Answer = Result<Option<Bytes>, String>;

impl Job {
    /// Answers it. Nobody may want that any more.
    pub(crate) fn done(self, answer: Answer) {
        let _ = self.answer.send(answer);
    }

    /// Waits until nobody wants the answer.
    pub(crate) async fn unwanted(&mut self) {
        self.answer.closed().await;
    }
}

impl Work {
    /// An open desk.
    pub(crate) fn desk(&self, id: u64) -> Option<Arc<Desk>> {
        lock(&self.desks).values().find(|desk| desk.id == id).cloned()
    }

    /// What this peer may ask for of a kind.
    fn answering(&self, kind: &Kind, known: bool) -> Answering {
        let desks = lock(&self.desks);
        let desk = desks.get(kind).filter(|desk| desk.terms.anyone || known);
        desk.map(|desk| desk.answering()).unwrap_or_default()
    }
}

impl Desk {
    fn new(id: u64, kind: Kind, terms: Terms) -> Desk {
        Desk {
            id,
            kind,
            terms,
            idle: Semaphore::new(0),
            waiting: Waiting::default(),
            slots: Mutex::new(Some(VecDeque::new())),
            closed: watch::Sender::new(false),
        }
    }

    /// What a worker calls it.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    fn answering(&self) -> Answering {
        let free = self.idle.available_permits().min(self.terms.jobs);
        Answering { jobs: self.terms.jobs as u64, free: free as u64 }
    }

    /// The next job for an idle worker; `None` when the desk is closed.
    pub(crate) async fn next(&self) -> Option<Job> {
        loop {
            let (slot, job) = oneshot::channel();
            lock(&self.slots).as_mut()?.push_back(slot);
            self.idle.add_permits(1);
            // The desk drops the slots when it is closed.
            let job: Job = job.await.ok()?;
            if !job.answer.is_closed() {
                return Some(job);
            }
        }
    }

    /// Has a request done, or says that it was not.
    async fn serve(self: Arc<Self>, state: Arc<State>, request: Request) -> Result<Option<Bytes>, Failure> {
        let (peer, name) = answers::meet(&state, &request);
        let from = Asker { peer: Some(peer), addr: None, name, petname: state.petname(peer) };
        let ours = peer == state.id || from.petname.is_some();
        let caller = caller(&from, ours, household(&request.connection()));
        self.work(from, caller, request.body().clone()).await
    }

    /// The same for an old program, until that hangs up.
    async fn serve_old(self: Arc<Self>, request: classic::Request) -> Result<Option<Bytes>, Failure> {
        let addr = request.remote_addr();
        let name = format!("the old program at {addr}");
        let from = Asker { peer: None, addr: Some(addr), name, petname: None };
        let caller = caller(&from, false, Addr::from(addr).prefix());
        tokio::select! {
            biased;
            answer = self.work(from, caller, request.body().clone()) => answer,
            () = request.hung_up() => Err(Failure::cancelled()),
        }
    }

    async fn work(&self, from: Asker, caller: Caller, body: Bytes) -> Result<Option<Bytes>, Failure> {
        let (answer, answered) = oneshot::channel();
        let mut job = Job { from, body, answer };
        // What has not run is *busy* also when the desk is closed: another one may be open by the next try.
        loop {
            let idle = match self.idle.try_acquire() {
                Ok(idle) => idle,
                Err(TryAcquireError::Closed) => return Err(Failure::busy()),
                Err(TryAcquireError::NoPermits) => {
                    let _place = self.waiting.place(caller).ok_or_else(Failure::busy)?;
                    self.idle.acquire().await.map_err(|_| Failure::busy())?
                }
            };
            idle.forget();
            let slot = lock(&self.slots).as_mut().and_then(VecDeque::pop_front).ok_or_else(Failure::busy)?;
            match slot.send(job) {
                Ok(()) => break,
                // That worker has gone.
                Err(back) => job = back,
            }
        }
        match answered.await {
            Ok(answer) => answer.map_err(Failure::new),
            Err(_) => Err(Failure::cancelled()),
        }
    }

    fn close(&self) {
        *lock(&self.slots) = None;
        self.idle.close();
        self.closed.send_replace(true);
    }

    /// Waits until another command has this kind.
    pub(crate) async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        // The sender lives in here.
        let _ = closed.wait_for(|closed| *closed).await;
    }
}

/// Who waits at a desk, and how many requests of each.
#[derive(Default)]
struct Waiting(Mutex<BTreeMap<Caller, usize>>);

/// A place to wait, given back when dropped.
struct Place<'a> {
    waiting: &'a Waiting,
    of: Caller,
}

impl Waiting {
    /// A place for a request of this caller, if there is one left for it.
    fn place(&self, of: Caller) -> Option<Place<'_>> {
        let mut waiting = lock(&self.0);
        let own = waiting.get(&of).copied().unwrap_or_default();
        let (mut all, mut others) = (0, 0);
        for (caller, count) in &*waiting {
            all += count;
            others += if matches!(caller, Caller::Ours(_)) { 0 } else { *count };
        }
        let left =
            all < MAX_WAITING && (matches!(of, Caller::Ours(_)) || others < MAX_WAITING - MAX_WAITING_PAIRED);
        (left && own < MAX_WAITING_EACH).then(|| {
            waiting.insert(of, own + 1);
            Place { waiting: self, of }
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = lock(&self.waiting.0);
        match waiting.remove(&self.of) {
            Some(own) if own > 1 => drop(waiting.insert(self.of, own - 1)),
            _ => {}
        }
    }
}

/// A desk that is closed when this is dropped.
pub(crate) struct Open {
    node: Node,
    pub(crate) desk: Arc<Desk>,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut desks = lock(&self.node.state.work.desks);
        if desks.get(&self.desk.kind).is_some_and(|desk| desk.id == self.desk.id) {
            desks.remove(&self.desk.kind);
            self.node.peer.remove_handler(self.desk.kind);
            if self.desk.terms.classic {
                self.node.peer.remove_classic_handler(self.desk.kind);
            }
        }
        self.desk.close();
    }
}

impl Node {
    /// Opens a desk for a kind.
    ///
    /// # Errors
    ///
    /// The kind is the program's own, or another command has it and is not to be replaced; old programs cannot ask for it, or
    /// cannot call this peer.
    pub(crate) fn open_desk(&self, kind: Kind, terms: Terms) -> Outcome<Open> {
        if kind == ECHO || kind == NAME || kind.as_bytes().starts_with(b"compeer/") {
            return Err(CommandError::usage(format!("{kind} is a kind of the program's own"))
                .hint("choose another; ECHO, NAME and what begins with compeer/ are taken"));
        }
        if terms.classic {
            self.can_answer_old(kind)?;
        }
        let work = &self.state.work;
        let mut desks = lock(&work.desks);
        if desks.contains_key(&kind) && !terms.replace {
            return Err(CommandError::failed(format!("another `compeer on` answers {kind} already"))
                .hint("to take its place, add --replace"));
        }
        let id = work.next.fetch_add(1, Ordering::Relaxed);
        let desk = Arc::new(Desk::new(id, kind, terms));
        let (serving, state) = (desk.clone(), self.state.clone());
        let handler = move |request| serving.clone().serve(state.clone(), request);
        let registered = match terms.anyone {
            true => self.peer.handle(kind, handler),
            false => self.peer.handle_known(kind, handler),
        };
        let serving = desk.clone();
        let registered = registered.and_then(|()| match terms.classic {
            true => {
                let handler = move |request: classic::Request| serving.clone().serve_old(request);
                self.peer.handle_classic(kind, handler)
            }
            false => Ok(()),
        });
        registered.map_err(|error| CommandError::failed(error.to_string()))?;
        if let Some(before) = desks.insert(kind, desk.clone()) {
            if before.terms.classic && !terms.classic {
                self.peer.remove_classic_handler(kind);
            }
            before.close();
        }
        Ok(Open { node: self.clone(), desk })
    }

    /// Checks that old programs can have an answer of a command to this kind.
    ///
    /// # Errors
    ///
    /// They cannot ask for it, have another answer to it, or cannot call this peer.
    fn can_answer_old(&self, kind: Kind) -> Outcome {
        let four = kind.as_bytes().len() == KIND_LEN && !kind.as_bytes().iter().any(u8::is_ascii_lowercase);
        if !four {
            return Err(CommandError::usage(format!("{kind}: old programs cannot ask for it"))
                .hint("for --classic, a kind has four letters in upper case"));
        }
        if KINDS.iter().any(|taken| kind == *taken) {
            return Err(CommandError::usage(format!(
                "{kind} is what old programs ask the file-sharing program"
            ))
            .hint(format!("choose another; {} are taken", KINDS.join(", "))));
        }
        if self.peer.classic_addrs().is_empty() {
            return Err(CommandError::usage("old programs cannot call this peer")
                .hint("serve them first, on a port of their own:  compeer up --classic 4444"));
        }
        Ok(())
    }

    /// What this node answers of a kind when it asks itself.
    pub(crate) fn own_answering(&self, kind: &Kind) -> Answering {
        answering(&self.state, kind, true)
    }
}

/// Jobs done at a time where nobody says how many: one per core.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MAX_JOBS)
}

fn answering(state: &State, kind: &Kind, known: bool) -> Answering {
    if (*kind == ECHO || *kind == NAME) && state.role == Role::Up {
        let jobs = cores() as u64;
        return Answering { jobs, free: jobs };
    }
    state.work.answering(kind, known)
}

/// Answers [`ANSWERS`].
pub(super) async fn on_answers(state: Arc<State>, request: Request) -> Result<Vec<u8>, Failure> {
    let kind = Kind::new(request.body())?;
    let sender = request.sender();
    let known = sender == state.id || request.peer().is_known(sender);
    Ok(serde_json::to_vec(&answering(&state, &kind, known))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use compeer::Identity;

    fn desk(jobs: usize) -> Arc<Desk> {
        let terms = Terms { jobs, anyone: false, classic: false, replace: false };
        Arc::new(Desk::new(0, Kind::from_static("SUM"), terms))
    }

    #[tokio::test]
    async fn a_desk_says_what_is_free_and_wakes_idle_workers_when_it_closes() {
        let desk = desk(2);
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let desk = desk.clone();
                tokio::spawn(async move { desk.next().await.is_none() })
            })
            .collect();
        while desk.answering().free < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(desk.answering(), Answering { jobs: 2, free: 2 });
        desk.close();
        for worker in workers {
            assert!(worker.await.unwrap());
        }
        assert!(desk.next().await.is_none(), "closed for good");
        desk.closed().await;
    }

    #[test]
    fn keys_of_one_household_are_one_caller_and_paired_peers_are_apart() {
        let asker = |n: u8, petname: Option<&str>| Asker {
            peer: (n > 0).then(|| Identity::from_seed(&[n; 32]).peer_id()),
            addr: None,
            name: String::new(),
            petname: petname.map(Into::into),
        };
        let at = |text: &str| Some(text.parse::<Addr>().unwrap());
        let of = |n, petname: Option<&str>, at: &Option<Addr>| {
            caller(&asker(n, petname), petname.is_some(), at.as_ref().and_then(Addr::prefix))
        };
        let (home, flat) = (at("192.0.2.1:5"), [at("[2001:db8::1]:5"), at("[2001:db8:0:1::2]:6")]);
        // Four keys, and an old program, in one household.
        let waiting = Waiting::default();
        let places: Vec<_> =
            (0..4 * MAX_WAITING_EACH).filter_map(|i| waiting.place(of((i % 5) as u8, None, &home))).collect();
        assert_eq!(places.len(), MAX_WAITING_EACH);
        assert!(waiting.place(of(1, Some("bob"), &home)).is_some(), "a paired peer is counted by itself");
        assert!(waiting.place(of(2, None, &at("192.0.2.2:5"))).is_some(), "another household");
        assert_eq!(of(1, None, &flat[0]), of(2, None, &flat[1]));
        // On this machine, and where there is no address, each key is one; old programs have none.
        for here in [at("127.0.0.1:5"), at("[::1]:5"), None] {
            assert_ne!(of(1, None, &here), of(2, None, &here), "{here:?}");
        }
        assert_eq!(of(0, None, &at("127.0.0.1:5")), of(0, None, &at("127.0.0.1:6")));
    }

    #[test]
    fn however_many_households_there_are_paired_peers_find_places() {
        let waiting = Waiting::default();
        let house = |n: usize| Caller::Household([192, 0, 2, n as u8].into());
        let friend = |n: u8| Caller::Ours(Identity::from_seed(&[n; 32]).peer_id());
        let fill = |of: &dyn Fn(usize) -> Caller| -> Vec<_> {
            (0..2 * MAX_WAITING).filter_map(|n| waiting.place(of(n))).collect()
        };
        let strangers = fill(&house);
        assert_eq!(strangers.len(), MAX_WAITING - MAX_WAITING_PAIRED);
        assert!(waiting.place(Caller::Key(None)).is_none(), "nor is there one for a key on this machine");
        let paired = fill(&|n| friend((n % 7) as u8));
        assert_eq!(paired.len(), MAX_WAITING_PAIRED);
        drop(strangers);
        // They may have all the others too.
        let more = fill(&|n| friend((n % 7) as u8));
        assert_eq!(paired.len() + more.len(), MAX_WAITING);
        assert!(waiting.place(house(0)).is_none());
        drop((paired, more));
        assert!(waiting.place(house(0)).is_some());
    }
}
