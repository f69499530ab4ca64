//! HELLO: the first frame of either side of a connection.
//!
//! It says who speaks (agent, nickname), which start of the program this is
//! (`instance`, by which one connection per pair is kept, DESIGN §4.6), what it
//! takes ([`PeerLimits`]), and where it listens. Everything in it is the
//! sender's claim; the sender itself was proven by the transport. New facts go
//! into `ext`, whose unknown tags are skipped.

use serde::{Deserialize, Serialize};

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
    /// [`limits::MAX_AGENT`] bytes.
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

#[derive(Serialize, Deserialize)]
struct Wire {
    agent: String,
    instance: [u8; 16],
    features: u64,
    limits: PeerLimits,
    listen: Vec<u8>,
    ext: Vec<u8>,
}

impl Hello {
    /// The nickname its sender claims, if it is short valid UTF-8 and not empty.
    pub fn name(&self) -> Option<&str> {
        let name = std::str::from_utf8(self.ext.get(EXT_NAME)?).ok()?;
        (!name.is_empty() && name.len() <= limits::MAX_NAME_LEN).then_some(name)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let wire = Wire {
            agent: self.agent.clone(),
            instance: self.instance,
            features: self.features,
            limits: self.limits,
            listen: addr::encode_list(&self.listen),
            ext: self.ext.encode(),
        };
        out.extend_from_slice(&postcard::to_allocvec(&wire).expect("strings and numbers always serialise"));
    }

    pub(super) fn take(bytes: &[u8]) -> Option<(Hello, &[u8])> {
        let (wire, left) = postcard::take_from_bytes::<Wire>(bytes).ok()?;
        if wire.agent.len() > limits::MAX_AGENT {
            return None;
        }
        let listen = addr::decode_list(&wire.listen).ok()?;
        let ext = Ext::decode(&wire.ext).ok()?;
        let Wire { agent, instance, features, limits, .. } = wire;
        Some((Hello { agent, instance, features, limits, listen, ext }, left))
    }
}
