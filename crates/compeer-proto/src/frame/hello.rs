//! HELLO: the first frame of either side of a connection.
//!
//! It says who speaks (agent, nickname), which start of the program this is
//! (`instance`, by which one connection per pair is kept, DESIGN §4.6), what it
//! takes ([`PeerLimits`]), and where it listens. Everything in it is the
//! sender's claim; the sender itself was proven by the transport. New facts go
//! into `ext`, whose unknown tags are skipped.

use serde::{Deserialize, Serialize};

use super::{Raw, cut_text};
use crate::ext::Ext;
use crate::{Addr, addr, limits};

/// Extension tag: the nickname its owner chose, UTF-8, at most
/// [`limits::MAX_NAME_LEN`] bytes.
pub const EXT_NAME: u32 = 1;

/// What a peer takes on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerLimits {
    /// Requests it serves at a time.
    pub max_requests: u32,
    /// Bytes of one body.
    pub max_body: u32,
    /// Bytes of cost it takes per request before it has handed any on.
    pub window: u32,
    /// Bytes of cost of one-way requests it takes before it has handled any.
    pub notify_window: u32,
}

impl PeerLimits {
    /// Whether a peer may name these: it takes at least a small body, a window
    /// that holds the first frame of any message, and one-way requests of the
    /// largest size.
    pub fn are_valid(&self) -> bool {
        self.max_requests >= 1
            && self.max_body >= limits::MIN_WINDOW
            && self.window >= limits::MIN_WINDOW
            && self.notify_window >= limits::MIN_NOTIFY_WINDOW
    }

    /// The nearest that are valid, with bodies no larger than the version has.
    pub(crate) fn made_valid(self) -> Self {
        PeerLimits {
            max_requests: self.max_requests.max(1),
            max_body: self.max_body.clamp(limits::MIN_WINDOW, limits::MAX_BODY),
            window: self.window.max(limits::MIN_WINDOW),
            notify_window: self.notify_window.max(limits::MIN_NOTIFY_WINDOW),
        }
    }
}

impl Default for PeerLimits {
    fn default() -> Self {
        PeerLimits {
            max_requests: limits::MAX_REQUESTS,
            max_body: limits::MAX_BODY,
            window: limits::WINDOW,
            notify_window: limits::NOTIFY_WINDOW,
        }
    }
}

/// The content of a HELLO frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// Program and version, such as `compeer/0.1.0`; for people, at most
    /// [`limits::MAX_AGENT`] bytes are sent.
    pub agent: String,
    /// Random at each start of the program.
    pub instance: [u8; 16],
    /// Feature bits; none are defined yet, unknown ones are ignored.
    pub features: u64,
    /// What the sender takes.
    pub limits: PeerLimits,
    /// Where the sender listens: its claim, to be dialled only when a person or
    /// program asks for this very peer.
    pub listen: Vec<Addr>,
    /// Extensions.
    pub ext: Ext,
}

/// Borrowed, so that no length prefix makes anybody allocate.
#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    agent: &'a str,
    instance: [u8; 16],
    features: u64,
    limits: PeerLimits,
    #[serde(borrow)]
    listen: Raw<'a>,
    #[serde(borrow)]
    ext: Raw<'a>,
}

impl Hello {
    /// The nickname its sender claims, if it is short valid UTF-8 and not empty.
    pub fn name(&self) -> Option<&str> {
        let name = std::str::from_utf8(self.ext.get(EXT_NAME)?).ok()?;
        (!name.is_empty() && name.len() <= limits::MAX_NAME_LEN).then_some(name)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let (listen, ext) = (addr::encode_list(&self.listen), self.ext.encode());
        let wire = Wire {
            agent: cut_text(&self.agent, limits::MAX_AGENT),
            instance: self.instance,
            features: self.features,
            limits: self.limits,
            listen: Raw(&listen),
            ext: Raw(&ext),
        };
        out.extend_from_slice(&postcard::to_allocvec(&wire).expect("strings and numbers always serialise"));
    }

    pub(super) fn take(bytes: &[u8]) -> Option<(Hello, &[u8])> {
        let (wire, left) = postcard::take_from_bytes::<Wire<'_>>(bytes).ok()?;
        if wire.agent.len() > limits::MAX_AGENT {
            return None;
        }
        let listen = addr::decode_list(wire.listen.0).ok()?;
        let ext = Ext::decode(wire.ext.0).ok()?;
        let Wire { agent, instance, features, limits, .. } = wire;
        Some((Hello { agent: agent.to_owned(), instance, features, limits, listen, ext }, left))
    }
}
