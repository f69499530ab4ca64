//! What old programs are answered: one handler for each message of the file-sharing program.
//!
//! A message that is malformed, or comes more often than one household may send such, closes its connection without a
//! reply. A search is acknowledged and worked on afterwards, as the original does it.

use std::net::IpAddr;
use std::sync::Arc;

use compeer::{Failure, RequestError, classic};

use super::roster::{Refused, Sight};
use super::words::{self, Member, Query, household, plausible};
use super::{Inner, Told, files, lock};
use crate::limits;

/// The kinds that the program answers.
pub const KINDS: [&str; 8] = ["NAME", "LIST", "JOIN", "QUIT", "PING", "QUER", "RESP", "FGET"];

pub(super) fn register(inner: &Arc<Inner>) -> Result<(), RequestError> {
    on(inner, "NAME", name)?;
    on(inner, "LIST", list)?;
    on(inner, "JOIN", join)?;
    on(inner, "QUIT", quit)?;
    on(inner, "PING", ping)?;
    on(inner, "QUER", query)?;
    on(inner, "RESP", response)?;
    on(inner, "FGET", files::get)
}

/// Registers a handler that holds on to nothing.
fn on<F, Fut>(inner: &Arc<Inner>, kind: &'static str, answer: F) -> Result<(), RequestError>
where
    F: Fn(Arc<Inner>, classic::Request) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let weak = Arc::downgrade(inner);
    inner.peer.handle_classic(kind, move |request: classic::Request| {
        let inner = weak.upgrade();
        async move {
            let inner = inner.ok_or_else(|| Failure::new("sharing with old programs has ended"))?;
            answer(inner, request).await
        }
    })
}

impl Inner {
    /// Counts a message that makes us do, remember or tell others something, which nobody may do too often.
    pub(super) fn count(&self, request: &classic::Request) -> Result<(), Failure> {
        let may = self.may_ask(request.remote_addr().ip());
        if may { Ok(()) } else { Err(Failure::busy()) }
    }

    pub(super) fn may_ask(&self, from: IpAddr) -> bool {
        lock(&self.askers).may(household(from), self.now())
    }

    /// The text of such a message.
    fn counted(&self, request: &classic::Request) -> Result<String, Failure> {
        self.count(request)?;
        Ok(std::str::from_utf8(request.body())?.to_owned())
    }
}

fn malformed() -> Failure {
    Failure::new("malformed")
}

async fn name(inner: Arc<Inner>, request: classic::Request) -> Result<(), Failure> {
    Ok(request.reply(&inner.own.id).await?)
}

async fn list(inner: Arc<Inner>, request: classic::Request) -> Result<(), Failure> {
    let members = inner.roster().list();
    request.reply(members.len().to_string()).await?;
    for member in members {
        request.reply(member.to_string()).await?;
    }
    Ok(())
}

async fn join(inner: Arc<Inner>, request: classic::Request) -> Result<(), Failure> {
    let member = Member::read(&inner.counted(&request)?).ok_or_else(malformed)?;
    let from = request.remote_addr().ip();
    let added = inner.roster().add(member.clone(), Some(from), &inner.peer.own_ips());
    match added {
        Ok(()) => {
            request.reply(format!("Join: peer added: {}", member.id)).await?;
            // Searches go to whoever answers to the name that was given here.
            let called = inner.roster().callable().into_iter().find(|(other, _, _)| *other == member);
            if let Some((_, at, _)) = called {
                inner.greet(member, at);
            }
            Ok(())
        }
        Err(Refused::Full) => Ok(request.reply_kind("ERRO", "Join: too many peers").await?),
        Err(Refused::Known) => {
            let known = format!("Join: peer already inserted {}", member.id);
            Ok(request.reply_kind("ERRO", known).await?)
        }
    }
}

async fn quit(inner: Arc<Inner>, request: classic::Request) -> Result<(), Failure> {
    let text = inner.counted(&request)?;
    let id = text.trim();
    if id.len() > limits::MAX_CLASSIC_WORD {
        return Err(malformed());
    }
    let removed = inner.roster().quit(id, request.remote_addr().ip());
    let (kind, said) = if removed { ("REPL", "removed") } else { ("ERRO", "not found") };
    Ok(request.reply_kind(kind, format!("Quit: peer {said}: {id}")).await?)
}

/// That the connection came about is the answer.
async fn ping(_: Arc<Inner>, _: classic::Request) -> Result<(), Failure> {
    Ok(())
}

async fn query(inner: Arc<Inner>, request: classic::Request) -> Result<(), Failure> {
    let query = Query::read(&inner.counted(&request)?).ok_or_else(malformed)?;
    request.reply(format!("Query ACK: {}", query.key)).await?;
    let from = request.remote_addr().ip();
    // One that there is no place for may come again. One whose answers go nowhere is not remembered: it might be in the
    // name of somebody else, or of ourselves.
    if let Some(back) = inner.may_call(&query.back, from)
        && let Ok(place) = inner.searches.clone().try_acquire_owned()
    {
        let sight = lock(&inner.seen).note(&query, inner.now());
        if sight != Sight::Old {
            tokio::spawn(async move {
                inner.search_for(query, sight, back, from).await;
                drop(place);
            });
        }
    }
    Ok(())
}

async fn response(inner: Arc<Inner>, request: classic::Request) -> Result<(), Failure> {
    let Some((file, owner)) = words::response(&inner.counted(&request)?) else { return Ok(()) };
    inner.hear(file, owner, request.remote_addr().ip());
    Ok(())
}

impl Inner {
    /// Calls somebody who has joined, if there is a place for a call now. If there is none, he is asked at the next check.
    pub(super) fn greet(self: &Arc<Self>, member: Member, at: compeer::Addr) {
        if self.may_be_called(&at)
            && let Ok(place) = self.calls.clone().try_acquire_owned()
        {
            let inner = self.clone();
            tokio::spawn(async move {
                inner.meet(&member, at).await;
                drop(place);
            });
        }
    }

    /// Somebody at `from` says that `owner` has a file.
    pub(super) fn hear(&self, file: String, owner: String, from: IpAddr) {
        // Nothing is looked up or opened for it: it is a name that somebody said.
        lock(&self.heard).add(file.clone(), ());
        if self.is_wanted(&file)
            && let Some(at) = self.may_call(&owner, from)
        {
            let when = self.now();
            let mut told = lock(&self.told);
            // The first one keeps the name, while it is fresh.
            if told.get(&file).is_some_and(|told| when.since(told.when) >= limits::CLASSIC_TOLD_FOR) {
                told.remove(&file);
            }
            told.add(file, Told { owner, at, when });
        }
    }

    /// Where an id may be called that somebody at `from` has named: a plausible address, or that of somebody we searched
    /// already.
    pub(super) fn may_call(&self, id: &str, from: IpAddr) -> Option<compeer::Addr> {
        let known = || {
            let searchable = self.roster().searchable();
            searchable.into_iter().find(|(member, _)| member.id == id).map(|(_, at)| at)
        };
        plausible(id, from, &self.peer.own_ips()).map(Into::into).or_else(known).filter(|_| id != self.own.id)
    }

    /// Works on a search of somebody else: the first file that fits is told to him, else others are asked as well. One that
    /// was answered already is only handed on.
    async fn search_for(&self, query: Query, sight: Sight, back: compeer::Addr, from: IpAddr) {
        let new = sight == Sight::New;
        if let Ok(Some(file)) = self.public_fitting(&query.key).await {
            if new {
                self.tell(back, &file.name).await;
            }
            return;
        }
        let forwarded = async {
            if query.ttl > 0 {
                self.spread(&Query { ttl: query.ttl - 1, ..query.clone() }).await;
            }
        };
        let found = async {
            match new {
                true => self.find_elsewhere(&query.key, from).await,
                false => None,
            }
        };
        let (_, file) = tokio::join!(forwarded, found);
        if let Some(file) = file {
            self.tell(back, &file).await;
        }
    }

    async fn tell(&self, back: compeer::Addr, file: &str) {
        self.call(back, "RESP", format!("{file} {}", self.own.id)).await;
    }
}
