//! The file-sharing program of 2007 on a peer of today: old programs join it, search, and fetch what is public.
//!
//! It answers NAME, LIST, JOIN, QUIT, PING, QUER, RESP and FGET as the original did, from a roster of its own; what the
//! original should not have done is left out: no name that a stranger sends is ever a path, an answer to a search goes only
//! where it plausibly came from, and each search is worked on once. Only public shares are to be had, under the last parts
//! of their names.
//!
//! It is also the bridge between the two networks. For old programs, a peer with this answers in its own name for what its
//! native neighbours have: their shares are searched, and fetched, verified, when somebody asks for a file
//! (`classic/files.rs`). For native peers, what old programs have is found with the rest, and brought over when somebody
//! fetches it (`classic/bring.rs`). Other parts: `words` (messages), `roster` (what is remembered), `answer` (the
//! handlers), `join` (being one of theirs), `index` (names of our own files), `fetching` and `cache` (files of others on
//! their way, and here), `allowance` (how much of that strangers may have).

mod allowance;
mod answer;
mod bring;
mod cache;
mod fetching;
mod files;
mod index;
mod join;
mod roster;
mod words;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use compeer::{Addr, Failure, Peer, PeerId, RequestError, Time, classic};
use tokio::sync::Semaphore;

use crate::limits;
use crate::rates::Rates;
use crate::shares::Shares;
use allowance::Allowance;
pub use answer::KINDS;
pub use bring::Beyond;
pub(crate) use bring::bring;
use cache::Cache;
use fetching::{Fetching, Places};
use files::Elsewhere;
use index::Index;
pub use join::JoinError;
use roster::{Names, Roster, Seen};
pub use words::Member;

/// How often it is looked whether those in the roster are still there.
const CHECK: Duration = Duration::from_secs(30);

/// What may be chosen.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The most programs in the roster; 0: [`MAX_CLASSIC`](limits::MAX_CLASSIC), which is also the most there can be.
    pub max_peers: usize,
    /// Where others may call, which is also this program's id among them. Default: where the peer listens for classic
    /// callers; on every interface, that is the host of the peer's first address.
    pub at: Option<Addr>,
}

/// The file-sharing program of 2007, on a peer that listens for classic callers
/// ([`Builder::classic`](compeer::Builder::classic)). Clones are the same. When the last one is dropped, it answers
/// no more.
///
/// ```
/// use compeer::{Identity, Peer};
/// use compeer_share::classic::{Classic, Settings};
/// use compeer_share::{Shares, Store};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # let dir = std::env::temp_dir().join("compeer-share-doc-classic");
/// let identity = Identity::generate();
/// let peer = Peer::builder().identity(identity.clone()).classic("127.0.0.1:0").spawn().await?;
/// let shares = Shares::attach(&peer, identity, Store::at(&dir));
/// let classic = Classic::attach(&shares, Settings::default())?;
///
/// let name = peer.classic_request(peer.classic_addrs()[0], "NAME", "").one().await?;
/// assert_eq!(name.text(), classic.id());
/// assert!(classic.members().is_empty());
/// # peer.shutdown().await;
/// # std::fs::remove_dir_all(dir).ok();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Classic {
    inner: Arc<Inner>,
}

/// What the handlers share.
pub(crate) struct Inner {
    peer: Peer,
    shares: Shares,
    /// Our id, and where we are.
    own: Member,
    roster: Mutex<Roster>,
    seen: Mutex<Seen>,
    /// Keys of our own searches, the latest last.
    asked: Mutex<Vec<(Time, String)>>,
    /// Names of files that others told of, whatever for.
    heard: Mutex<Names<()>>,
    /// Those that answer searches of ours. Apart from the others, so that nobody takes a name before it is asked for.
    told: Mutex<Names<Told>>,
    /// Files of native peers that were told to old programs.
    elsewhere: Mutex<Names<Vec<Elsewhere>>>,
    /// Our own public files.
    index: tokio::sync::Mutex<Arc<Index>>,
    cache: Arc<Cache>,
    fetching: Fetching,
    allowance: Mutex<Allowance>,
    /// What one household may ask for, what others may have us call there, and what native peers have brought.
    askers: Mutex<Rates<IpAddr>>,
    called: Mutex<Rates<IpAddr>>,
    bringers: Mutex<Rates<PeerId>>,
    calls: Arc<Semaphore>,
    checks: Semaphore,
    searches: Arc<Semaphore>,
    looks: Places,
    fetches: Places,
}

/// Who has a file, as somebody says; one who may be called.
#[derive(Clone, Debug)]
struct Told {
    owner: String,
    /// Where that is called.
    at: Addr,
    when: Time,
}

impl Classic {
    /// Begins to answer old programs. Of a peer there can be one.
    ///
    /// # Errors
    /// None that can happen: the kinds are such.
    pub fn attach(shares: &Shares, settings: Settings) -> Result<Classic, RequestError> {
        let peer = shares.peer().clone();
        let own = own(&peer, settings.at);
        let inner = Arc::new(Inner {
            roster: Mutex::new(Roster::new(own.id.clone(), settings.max_peers)),
            own,
            seen: Mutex::default(),
            asked: Mutex::default(),
            heard: Mutex::new(Names::new(limits::CLASSIC_NAMES)),
            told: Mutex::new(Names::new(limits::CLASSIC_NAMES)),
            elsewhere: Mutex::new(Names::new(limits::CLASSIC_NAMES)),
            index: tokio::sync::Mutex::default(),
            cache: Arc::new(Cache::new(shares.scratch("classic"))),
            fetching: Fetching::default(),
            allowance: Mutex::default(),
            askers: rates(limits::CLASSIC_BURST, limits::CLASSIC_A_SECOND),
            called: rates(limits::CLASSIC_CALLS_BURST, limits::CLASSIC_CALLS_A_SECOND),
            bringers: rates(limits::CLASSIC_CALLS_BURST, limits::CLASSIC_CALLS_A_SECOND),
            calls: Arc::new(Semaphore::new(limits::CLASSIC_CALLS)),
            checks: Semaphore::new(limits::CLASSIC_CHECKS),
            searches: Arc::new(Semaphore::new(limits::CLASSIC_SEARCHES)),
            looks: Places::new(limits::CLASSIC_LOOKS_AT_ONCE),
            fetches: Places::new(limits::CLASSIC_FETCHES),
            shares: shares.clone(),
            peer,
        });
        answer::register(&inner)?;
        bring::register(&inner)?;
        shares.set_beyond(Arc::downgrade(&inner));
        let checked = Arc::downgrade(&inner);
        inner.peer.stabilize(CHECK, move |_: Peer| {
            let checked = checked.clone();
            async move {
                if let Some(inner) = checked.upgrade() {
                    inner.check().await;
                }
                Ok::<(), Failure>(())
            }
        });
        Ok(Classic { inner })
    }

    /// What it is called among old programs: its host and port.
    pub fn id(&self) -> &str {
        &self.inner.own.id
    }

    /// The programs in the roster, in the order in which they came. They proved nothing.
    pub fn members(&self) -> Vec<Member> {
        self.inner.roster().list()
    }

    /// How many wait now for a file of the other network: old programs for one of a native peer, native peers for one of an
    /// old program. What two wait for is fetched once.
    pub fn waiting(&self) -> usize {
        self.inner.fetching.waiting()
    }
}

/// Who we are among old programs.
fn own(peer: &Peer, at: Option<Addr>) -> Member {
    let listening = peer.classic_addrs().first().copied();
    let at = at.or_else(|| {
        let listening = listening?;
        if !listening.ip().is_unspecified() {
            return Some(listening.into());
        }
        let first = peer.addr().addrs.into_iter().next();
        let host = first.map_or_else(|| "127.0.0.1".into(), |addr| addr.host());
        Addr::dns(&host, listening.port()).ok()
    });
    let (host, port) = at.map_or_else(|| ("127.0.0.1".into(), 0), |at| (at.host(), at.port()));
    Member { id: format!("{host}:{port}"), host, port }
}

fn rates<K: Ord>(burst: f64, a_second: f64) -> Mutex<Rates<K>> {
    Mutex::new(Rates::new(burst, a_second, limits::CLASSIC_COUNTED))
}

impl Inner {
    fn roster(&self) -> MutexGuard<'_, Roster> {
        lock(&self.roster)
    }

    fn now(&self) -> Time {
        self.peer.clock().now()
    }

    /// Calls an old program because somebody else would have us do so: not too often, not too many at a time, and what
    /// it answers is bounded.
    async fn call(&self, at: Addr, kind: &str, body: String) -> Option<Vec<compeer::Message>> {
        if !self.may_be_called(&at) {
            return None;
        }
        let _place = self.calls.acquire().await.ok()?;
        self.ask(at, kind, body).await.ok()
    }

    /// Whether others may have us call there once more.
    fn may_be_called(&self, at: &Addr) -> bool {
        // Names of hosts are those that the user gave.
        at.prefix().is_none_or(|household| lock(&self.called).may(household, self.now()))
    }

    /// Asks an old program for something short.
    async fn ask(&self, at: Addr, kind: &str, body: String) -> Result<Vec<compeer::Message>, classic::Error> {
        let call = self.peer.classic_request(at, kind, body);
        call.timeout(limits::CLASSIC_CALL_TIME).max_bytes(limits::CLASSIC_LIST).all().await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
