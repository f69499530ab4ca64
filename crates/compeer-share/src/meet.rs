//! Meeting: two people who share a spoken code, and their two peers, who then share a ticket.
//!
//! A [`Meeting`] answers for all the codes that one peer offers, on streams of kind `compeer/meet`; [`meet`] is the
//! other side. The rules are in [`code`](crate::code); here are the connection, its time limits, and who is told. What
//! is offered is released only to who has proven that he knows the code, over the connection on which he proved it.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use compeer::{
    BoxFuture, ConnectError, Kind, Peer, PeerId, RequestError, Stream, StreamHandler, Target, Time,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::code::guess::Guess;
use crate::code::message::{self, Message};
use crate::code::offer::{Answer, Offer};
use crate::code::{Code, NoCode};
use crate::limits;

pub use crate::code::guess::MeetFailure;
pub use crate::code::offer::OfferEvent;

#[cfg(test)]
mod tests;

/// All the codes that one peer offers. Clones are the same.
///
/// ```
/// use compeer::Peer;
/// use compeer_share::meet::{Meeting, OfferEvent, meet};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let alice = Peer::builder().listen("127.0.0.1:0").spawn().await?;
/// let bob = Peer::builder().spawn().await?;
/// let meeting = Meeting::attach(&alice);
/// let mut offering = meeting.offer(meeting.new_code(&[])?, "a ticket", false)?;
///
/// let code = *offering.code(); // alice reads it out to bob
/// let (who, ticket) = meet(&bob, alice.addr(), &code).await?;
/// assert_eq!((who, &ticket[..]), (alice.id(), &b"a ticket"[..]));
/// assert_eq!(offering.next().await, Some(OfferEvent::Met { peer: bob.id() }));
/// # alice.shutdown().await;
/// # bob.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Meeting(Arc<Shared>);

struct Shared {
    peer: Peer,
    offers: Mutex<BTreeMap<u16, Entry>>,
    attempts: AtomicU64,
    places: tokio::sync::Semaphore,
}

struct Entry {
    offer: Offer,
    events: mpsc::UnboundedSender<OfferEvent>,
}

/// Why a code cannot be offered.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CannotOffer {
    /// This peer offers that number already.
    #[error("a code with the number {0} is offered already")]
    Taken(u16),
    /// Too many at once, or all numbers are taken.
    #[error("too many codes are offered at once (at most {}); wait until one is used", limits::MAX_CODES)]
    TooMany,
    /// What is offered is longer than a ticket.
    #[error("what is offered is too long")]
    TooLong,
    /// No code could be made.
    #[error(transparent)]
    NoCode(#[from] NoCode),
}

/// Why two did not meet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MeetError {
    /// The other side was not reached.
    #[error(transparent)]
    Connect(ConnectError),
    /// It was, and the connection broke, or it was too slow.
    #[error("the connection was lost before the code was checked: {0}")]
    Broken(String),
    /// It does not know of meetings.
    #[error("nobody offers a code there")]
    NotOffering,
    /// The code led to nothing.
    #[error(transparent)]
    Failed(#[from] MeetFailure),
}

impl Meeting {
    /// Answers on this peer from now on.
    pub fn attach(peer: &Peer) -> Meeting {
        let shared = Arc::new(Shared {
            peer: peer.clone(),
            offers: Mutex::default(),
            attempts: AtomicU64::new(0),
            places: tokio::sync::Semaphore::new(limits::MAX_MEETINGS),
        });
        // The peer outlives its handlers, and they are not to hold it.
        let handler = Handler(Arc::downgrade(&shared));
        // The kind is a constant of the right length.
        let _ = peer.handle_stream(kind(), handler);
        Meeting(shared)
    }

    /// A new code whose number neither this peer nor anybody of `taken` uses; small, so that it is short to say.
    ///
    /// # Errors
    /// All numbers are taken, or the system gives no randomness.
    pub fn new_code(&self, taken: &[u16]) -> Result<Code, CannotOffer> {
        let free = |numbers: std::ops::RangeInclusive<u16>| {
            let offers = lock(&self.0.offers);
            let free: Vec<u16> =
                numbers.filter(|number| !taken.contains(number) && !offers.contains_key(number)).collect();
            free
        };
        let mut numbers = free(1..=SHORT_NUMBERS);
        if numbers.is_empty() {
            numbers = free(1..=limits::MAX_CODE_NUMBER);
        }
        // Any of them: two that begin at once should not choose the same.
        Ok(Code::random_of(&numbers)?)
    }

    /// Offers something to the first who knows the code; with `many`, to all who do. It is offered until the
    /// [`Offering`] is dropped; dead, used and expired codes say so until then.
    ///
    /// # Errors
    /// [`CannotOffer`].
    pub fn offer(&self, code: Code, payload: impl Into<Bytes>, many: bool) -> Result<Offering, CannotOffer> {
        let payload = payload.into();
        if payload.len() > compeer::limits::MAX_TICKET_TEXT_LEN {
            return Err(CannotOffer::TooLong);
        }
        let mut offers = lock(&self.0.offers);
        if offers.contains_key(&code.number()) {
            return Err(CannotOffer::Taken(code.number()));
        }
        if offers.len() >= limits::MAX_CODES {
            return Err(CannotOffer::TooMany);
        }
        let offer = Offer::new(code, self.0.peer.id(), payload, many, self.0.now());
        let until = offer.until();
        // At most three wrong guesses, an end, and one for each who is right: as many as the user lets come.
        let (events, heard) = mpsc::unbounded_channel();
        offers.insert(code.number(), Entry { offer, events });
        Ok(Offering { shared: self.0.clone(), code, heard, until, over: false })
    }

    /// The numbers of codes with which somebody new can come, for announcing.
    pub fn numbers(&self) -> Vec<u16> {
        let offers = lock(&self.0.offers);
        offers.iter().filter(|(_, entry)| !entry.offer.is_over()).map(|(number, _)| *number).collect()
    }
}

/// As long as these last, numbers are chosen from them.
const SHORT_NUMBERS: u16 = 99;

fn kind() -> Kind {
    Kind::from_static(message::KIND)
}

/// A code on offer: what happens to it, and its end when dropped.
pub struct Offering {
    shared: Arc<Shared>,
    code: Code,
    heard: mpsc::UnboundedReceiver<OfferEvent>,
    until: Time,
    over: bool,
}

impl Offering {
    /// The code, to be read out.
    pub fn code(&self) -> &Code {
        &self.code
    }

    /// What happens next. [`OfferEvent::Expired`] comes by itself; after it, nothing but a meeting that was under
    /// way. Never ends by itself: see [`is_over`](Self::is_over).
    pub async fn next(&mut self) -> Option<OfferEvent> {
        let left = self.until.since(self.shared.now());
        tokio::select! {
            biased;
            event = self.heard.recv() => event,
            () = tokio::time::sleep(left), if !self.over => {
                self.over = true;
                let now = self.until.max(self.shared.now());
                let expired = lock(&self.shared.offers).get_mut(&self.code.number()).and_then(|e| e.offer.expire(now));
                match expired {
                    Some(event) => Some(event),
                    None => self.heard.recv().await,
                }
            }
        }
    }

    /// Whether nobody new can come with it: it is dead, used or expired.
    pub fn is_over(&self) -> bool {
        lock(&self.shared.offers).get(&self.code.number()).is_none_or(|entry| entry.offer.is_over())
    }
}

impl Drop for Offering {
    fn drop(&mut self) {
        lock(&self.shared.offers).remove(&self.code.number());
    }
}

impl Shared {
    fn now(&self) -> Time {
        self.peer.clock().now()
    }

    /// Runs a step of an offer, if it is there.
    fn step(&self, number: u16, step: impl FnOnce(&mut Offer) -> Answer) -> Answer {
        match lock(&self.offers).get_mut(&number) {
            Some(entry) => step(&mut entry.offer),
            None => (Message::no(&MeetFailure::Unknown), None),
        }
    }

    /// Tells whoever made the offer.
    fn tell(&self, number: u16, event: Option<OfferEvent>) {
        if let (Some(event), Some(entry)) = (event, lock(&self.offers).get(&number)) {
            let _ = entry.events.send(event);
        }
    }

    async fn serve(&self, mut stream: Stream) {
        let Ok(_place) = self.places.try_acquire() else {
            return finish(stream, &Message::no(&MeetFailure::Busy)).await;
        };
        let Ok(Message::Begin { version, number, share }) = receive(&mut stream).await else { return };
        if version != message::VERSION {
            return finish(stream, &Message::no(&MeetFailure::Version)).await;
        }
        let (from, binding, now) = (stream.peer_id(), stream.channel_binding(), self.now());
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
        // However this ends, also when the peer shuts down or the stream is dropped.
        let _gone = Gone { shared: self, number, attempt };
        let (answer, event) = self.step(number, |offer| offer.begin(attempt, from, binding, &share, now));
        self.tell(number, event);
        if !matches!(answer, Message::Share(_)) {
            return finish(stream, &answer).await;
        }
        if send(&mut stream, &answer).await.is_err() {
            return;
        }
        if let Ok(Message::Confirm(mac)) = receive(&mut stream).await {
            let (answer, event) = self.step(number, |offer| offer.confirm(attempt, &mac));
            // Told when the other side has it: a program may end as soon as somebody has come.
            finish(stream, &answer).await;
            self.tell(number, event);
        }
    }
}

/// An attempt that is through, or has gone away.
struct Gone<'a> {
    shared: &'a Shared,
    number: u16,
    attempt: u64,
}

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let mut offers = lock(&self.shared.offers);
        if let Some(entry) = offers.get_mut(&self.number)
            && let Some(event) = entry.offer.gone(self.attempt)
        {
            let _ = entry.events.send(event);
        }
    }
}

struct Handler(std::sync::Weak<Shared>);

impl StreamHandler for Handler {
    fn call(&self, stream: Stream) -> BoxFuture<'static, ()> {
        let shared = self.0.upgrade();
        Box::pin(async move {
            if let Some(shared) = shared {
                shared.serve(stream).await;
            }
        })
    }
}

/// Meets whoever offers this code at `to`: gives who it is, proven, and what was offered.
///
/// One guess, and a wrong one may kill the code: nothing is tried twice, but for [`MeetFailure::Busy`], which the
/// caller may.
///
/// # Errors
/// [`MeetError`].
pub async fn meet(peer: &Peer, to: impl Into<Target>, code: &Code) -> Result<(PeerId, Bytes), MeetError> {
    let connection = peer.connect(to).await.map_err(MeetError::Connect)?;
    let offerer = connection.peer_id();
    let opened = peer.open_stream(offerer, kind()).await;
    let mut stream = opened.map_err(|error| match error {
        RequestError::Unreachable(error) => MeetError::Connect(error),
        RequestError::NoHandler | RequestError::Denied => MeetError::NotOffering,
        RequestError::Busy => MeetFailure::Busy.into(),
        other => MeetError::Broken(other.to_string()),
    })?;
    let broken = |error: io::Error| MeetError::Broken(error.to_string());
    let (guess, begin) = Guess::begin(code, peer.id(), stream.peer_id(), stream.channel_binding());
    send(&mut stream, &begin).await.map_err(broken)?;
    let (proven, confirm) = guess.answered(receive(&mut stream).await.map_err(broken)?)?;
    send(&mut stream, &confirm).await.map_err(broken)?;
    let payload = proven.answered(receive(&mut stream).await.map_err(broken)?)?;
    Ok((offerer, payload))
}

async fn in_time<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let timed = tokio::time::timeout(limits::MEET_STEP, step).await;
    timed.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")))
}

async fn receive(stream: &mut Stream) -> io::Result<Message> {
    in_time(async {
        let len = usize::from(stream.read_u16().await?);
        if len > limits::MAX_MEET_MESSAGE {
            return Err(io::Error::other(message::Malformed));
        }
        let mut bytes = vec![0; len];
        stream.read_exact(&mut bytes).await?;
        Message::decode(&bytes).map_err(io::Error::other)
    })
    .await
}

async fn send(stream: &mut Stream, message: &Message) -> io::Result<()> {
    in_time(async {
        let bytes = message.encode();
        let len = u16::try_from(bytes.len()).map_err(io::Error::other)?;
        stream.write_all(&[&len.to_be_bytes()[..], &bytes].concat()).await?;
        stream.flush().await
    })
    .await
}

/// The last message: it is to arrive, so the other side closes first.
async fn finish(mut stream: Stream, message: &Message) {
    if send(&mut stream, message).await.is_ok() {
        let closed = async {
            stream.shutdown().await?;
            let mut rest = [0; 64];
            while stream.read(&mut rest).await? > 0 {}
            Ok(())
        };
        let _ = in_time(closed).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
