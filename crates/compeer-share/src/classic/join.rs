//! Being one of theirs: joining by way of one of them, staying in touch, searching, leaving.
//!
//! Joining goes depth first, as in the original: NAME, JOIN, LIST, and the same with each of those listed. Other than
//! the original it goes on when somebody is full, does not answer, or says that we are in already (after a restart we
//! are): the list of such a one is as good as another's.

use std::collections::BTreeSet;
use std::net::IpAddr;

use compeer::{Addr, Message, classic};
use futures_util::future::join_all;

use super::words::{Member, Query, plausible};
use super::{Classic, Inner};
use crate::limits;

/// Why a program of the classic protocol could not be joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// It could not be asked.
    #[error(transparent)]
    Call(#[from] classic::Error),
    /// It is not the file-sharing program.
    #[error("it does not say its name: it is not the file-sharing program")]
    NoName,
    /// It answers, and neither it nor anybody it names has room for us.
    #[error("it answers, but has no room for one more, and knows nobody who has")]
    NoRoom,
    /// There is no room for it in our own roster.
    #[error("it answers, but there is no room for it here: as many old programs as may have joined already")]
    Full,
}

impl Classic {
    /// Joins the program at `at` and those it knows, and so on `hops` times in all (1: it alone), until the roster is full.
    /// Gives how many have taken us in, or had done so before.
    ///
    /// # Errors
    /// [`JoinError`], when nobody has; who is in the roster already stays there.
    pub async fn join(&self, at: impl Into<Addr>, hops: u8) -> Result<usize, JoinError> {
        let inner = &self.inner;
        let at = at.into();
        let (mut visited, mut visits) = (BTreeSet::new(), 1);
        let own = inner.peer.own_ips();
        // Who is asked next is at the end.
        let (taken_in, listed) = inner.visit(None, at.clone(), &mut visited).await?;
        let mut joined = usize::from(taken_in);
        let mut next: Vec<_> =
            listed.into_iter().rev().map(|member| (member, hops.saturating_sub(1))).collect();
        while let Some((member, hops)) = next.pop() {
            let full = inner.roster().is_full();
            if full || visits >= limits::CLASSIC_VISITS {
                break;
            }
            if hops == 0 || visited.contains(&member.id) || member.id == inner.own.id {
                continue;
            }
            // Nobody has us call what is nearer to us than the one who was named by the user.
            let from = at.socket_addr().map(|addr| addr.ip());
            let Some(there) = reachable(&member, from, &own) else { continue };
            visits += 1;
            if let Ok((taken_in, listed)) = inner.visit(Some(member.id), there, &mut visited).await {
                joined += usize::from(taken_in);
                next.extend(listed.into_iter().rev().map(|member| (member, hops - 1)));
            }
        }
        match joined {
            0 if inner.roster().is_full() => Err(JoinError::Full),
            0 => Err(JoinError::NoRoom),
            joined => Ok(joined),
        }
    }

    /// Waits until nobody is in the roster whom this side joined; those that joined it by themselves do not count.
    pub async fn alone(&self) {
        let mut joined = self.inner.roster().joined();
        // The sender lives as long as the roster.
        let _ = joined.wait_for(|joined| *joined == 0).await;
    }

    /// Says QUIT to all in the roster.
    pub async fn leave(&self) {
        let inner = &self.inner;
        let members = inner.roster().callable();
        let goodbyes = members.into_iter().map(|(_, at, _)| inner.ask(at, "QUIT", inner.own.id.clone()));
        join_all(goodbyes).await;
    }
}

/// Where somebody who was listed may be called.
fn reachable(member: &Member, from: Option<IpAddr>, own: &[IpAddr]) -> Option<Addr> {
    match from {
        Some(from) => plausible(&format!("{}:{}", member.host, member.port), from, own).map(Into::into),
        // The user named a host.
        None => member.addr(),
    }
}

impl Inner {
    /// Asks one for its name, to be taken in, and for those it knows. Whether it has taken us in, and we it.
    pub(super) async fn visit(
        &self,
        id: Option<String>,
        at: Addr,
        visited: &mut BTreeSet<String>,
    ) -> Result<(bool, Vec<Member>), JoinError> {
        visited.extend(id);
        let name = self.ask(at.clone(), "NAME", String::new()).await?;
        let name =
            name.first().filter(|reply| reply.kind == "REPL").map(Message::text).ok_or(JoinError::NoName)?;
        let member = Member::read(&format!("{name} {} {}", at.host(), at.port())).ok_or(JoinError::NoName)?;
        visited.insert(member.id.clone());
        let joined = self.ask(at.clone(), "JOIN", self.own.to_string()).await?;
        let knows_us =
            |reply: &Message| reply.kind == "REPL" || reply.text().starts_with("Join: peer already inserted");
        let taken_in = joined.first().is_some_and(knows_us) && self.roster().join(member).is_ok();
        let listed = self.ask(at, "LIST", String::new()).await.unwrap_or_default();
        // No roster has more, and all of them are remembered until they are visited.
        let listed = listed.iter().skip(1).take(limits::MAX_CLASSIC);
        let listed = listed.filter_map(|reply| Member::read(&reply.text()));
        Ok((taken_in, listed.collect()))
    }

    /// Sees whether somebody answers to his name. He may be called, and there is a place for the call.
    pub(super) async fn meet(&self, member: &Member, at: Addr) {
        if let Ok(replies) = self.ask(at.clone(), "NAME", String::new()).await {
            let named =
                replies.first().is_some_and(|reply| reply.kind == "REPL" && reply.text() == member.id);
            if named {
                self.roster().met(member, &at);
            }
        }
    }

    /// Sees who is still there, as `checklivepeers` did: by whether a connection comes about. Who has not answered to his
    /// name yet is asked again.
    pub(super) async fn check(&self) {
        let members = self.roster().callable();
        let checks = members.into_iter().map(|(member, at, met)| async move {
            // The semaphore is never closed.
            let _place = self.checks.acquire().await;
            let pinged = self.ask(at.clone(), "PING", String::new()).await;
            let there = !matches!(pinged, Err(classic::Error::Unreachable(..) | classic::Error::TimedOut));
            match there {
                false => self.roster().missed(&member.id),
                true => self.roster().there(&member.id),
            }
            if there && !met && self.may_be_called(&at) {
                self.meet(&member, at).await;
            }
        });
        join_all(checks).await;
    }

    /// Hands a search to everybody who is searched.
    pub(super) async fn spread(&self, query: &Query) {
        let members = self.roster().searchable();
        let to = members.into_iter().filter(|(member, _)| member.id != query.back);
        join_all(to.map(|(_, at)| self.call(at, "QUER", query.to_string()))).await;
    }
}
