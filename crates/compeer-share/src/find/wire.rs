//! The messages of a search, and of browsing.
//!
//! All are postcard. `compeer/share/find` takes a [`Query`]; each reply is a [`Reply`], the last one a summary.
//! `compeer/share/browse` takes a number and replies with one [`Page`]. Sizes are checked before
//! anything is decoded. Later versions add to the `ext` of each, which is ignored here.

use compeer::PeerAddr;
use compeer::ext::Ext;
use serde::{Deserialize, Serialize};

use super::Summary;
use crate::ContentId;
use crate::classic::Beyond;
use crate::limits::{BROWSE_PAGE, MAX_CLASSIC_WORD, MAX_HOPS, MAX_LISTED_NAME, MAX_LISTING, MAX_QUERY};

/// The kind of a search.
pub(super) const FIND: &str = "compeer/share/find";

/// The kind of a list of one peer's shares.
pub(super) const BROWSE: &str = "compeer/share/browse";

/// What is searched for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Query {
    /// The same wherever this search comes by.
    pub(super) id: [u8; 16],
    pub(super) words: String,
    /// How often it may still be handed on.
    pub(super) hops: u8,
    pub(super) ext: Vec<u8>,
}

/// A public share, as the peer that has it tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listing {
    /// Its content.
    pub(super) content: ContentId,
    /// Its name; at most [`MAX_LISTED_NAME`] bytes.
    pub(super) name: String,
    /// Bytes of all its files.
    pub(super) bytes: u64,
    /// How many files it has.
    pub(super) files: u32,
    /// How many other providers of it are known.
    pub(super) others: u32,
    /// Who has it, and where.
    pub(super) at: PeerAddr,
    /// Its secret, which of a public share is none.
    pub(super) secret: [u8; 16],
    /// An [`Ext`] list, or empty: see [`EXT_CLASSIC`].
    pub(super) ext: Vec<u8>,
}

/// Entry of a listing's `ext`: the file is at an old program, of this address. The content is only a name then, by which
/// the provider is asked to bring it.
const EXT_CLASSIC: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reply {
    Found(Listing),
    Done(Summary),
}

/// Part of a list of shares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Page {
    pub(super) listings: Vec<Listing>,
    /// Ask for what is after this; `None`: that was all.
    pub(super) next: Option<u64>,
    pub(super) ext: Vec<u8>,
}

impl Query {
    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let query: Query = decode(body).filter(|_| body.len() <= MAX_LISTING)?;
        (query.words.len() <= MAX_QUERY && query.hops <= MAX_HOPS).then_some(query)
    }
}

impl Reply {
    pub(super) fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let reply: Reply = decode(body).filter(|_| body.len() <= MAX_LISTING)?;
        match &reply {
            Reply::Found(listing) if !listing.is_sane() => None,
            _ => Some(reply),
        }
    }
}

impl Page {
    pub(super) fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let page: Page = decode(body).filter(|_| body.len() <= BROWSE_PAGE * MAX_LISTING)?;
        let sane = page.listings.len() <= BROWSE_PAGE && page.listings.iter().all(Listing::is_sane);
        sane.then_some(page)
    }
}

impl Listing {
    /// What an old program has, told of by the peer at `at`.
    pub(super) fn beyond(beyond: Beyond, at: PeerAddr) -> Listing {
        let Beyond { promise, name, owner } = beyond;
        let mut ext = Ext::new();
        // It fits: names of programs are short.
        let _ = ext.push(EXT_CLASSIC, owner.as_bytes());
        let (secret, ext) = ([0; 16], ext.encode());
        Listing { content: promise, name, bytes: 0, files: 1, others: 0, at, secret, ext }
    }

    /// Which old program has it, if one has.
    pub(super) fn classic(&self) -> Option<String> {
        let ext = Ext::decode(&self.ext).ok()?;
        let owner = std::str::from_utf8(ext.get(EXT_CLASSIC)?).ok()?;
        (owner.len() <= MAX_CLASSIC_WORD).then(|| owner.to_owned())
    }

    fn is_sane(&self) -> bool {
        self.name.len() <= MAX_LISTED_NAME
    }

    /// Made to fit the bounds: the name is cut, addresses that are too many go.
    pub(super) fn fitted(mut self) -> Self {
        self.name.truncate(clip(&self.name, MAX_LISTED_NAME).len());
        while encode(&Reply::Found(self.clone())).len() > MAX_LISTING && self.at.addrs.pop().is_some() {}
        self
    }
}

/// The first `most` bytes of a text, or a few less, so that no letter is cut in two.
pub(super) fn clip(text: &str, most: usize) -> &str {
    let fits = |end: &usize| text.is_char_boundary(*end);
    let end = (0..=most.min(text.len())).rev().find(fits).unwrap_or(0);
    &text[..end]
}

pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    // Numbers and bytes can always be written to memory.
    postcard::to_allocvec(value).unwrap_or_default()
}

/// A value that is all of `body`. What a list may take is bounded by the body, so check its length.
pub(super) fn decode<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Option<T> {
    postcard::take_from_bytes(body).ok().filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value)
}
