//! Where a peer may be reached: [`Addr`], and [`PeerAddr`], which says who should be there.
//!
//! An address is an IP address or a host name, with a TCP port. It is a hint, never a proof: the
//! handshake shows who answers. As text it is what people type, `192.168.1.20`, `[::1]:5000` or
//! `attic.example:5000`, with [`DEFAULT_PORT`] where none is given.
//!
//! On the wire it is a type byte and length-prefixed bytes (`wire.rs`), so that a peer of today
//! can skip the address types of tomorrow.
//!
//! Names are checked here but never looked up: that is the caller's, who has a resolver. What is
//! nearly an IP address (`192.168.1.300`, `10.1`, `0x7f.1`) is refused rather than taken for a
//! name, since resolvers disagree on those. IPv4-mapped IPv6 addresses become IPv4, or one
//! address would have two forms.
//!
//! Follows RFC 1035 §2.3.1 and RFC 1123 §2.1 (names, with `_` allowed), RFC 5952 (IPv6 as text).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::PeerId;
use crate::limits::{DEFAULT_PORT, MAX_ADDRS, MAX_HOST_LABEL_LEN, MAX_HOST_LEN};

mod wire;

pub use wire::{decode_list, encode_list, list};

/// One place where a peer may be reached.
///
/// ```
/// use compeer_proto::Addr;
///
/// for (typed, shown) in [
///     ("192.168.1.20", "192.168.1.20:26673"),
///     ("::1", "[::1]:26673"),
///     ("[::1]:5", "[::1]:5"),
///     ("Attic.example:5000", "attic.example:5000"),
/// ] {
///     assert_eq!(typed.parse::<Addr>()?.to_string(), shown);
/// }
/// assert!("192.168.1.300".parse::<Addr>().is_err());
/// # Ok::<(), compeer_proto::AddrError>(())
/// ```
///
/// Serde writes the text in formats people read, elsewhere the wire form, which has no scope of
/// a link-local address: interface numbers mean nothing on another machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Addr {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A host name and a port; made by [`Addr::dns`], which checks the name.
    #[non_exhaustive]
    Dns {
        /// The name: lower-case ASCII, no dot at the end.
        host: String,
        /// The TCP port.
        port: u16,
    },
}

/// Why a text or bytes are not an [`Addr`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddrError {
    /// The text is empty.
    #[error("the address is empty: give a host or host:port, for example 192.168.1.20")]
    Empty,
    /// What follows the last colon is not a port.
    #[error("the port must be a number from 1 to 65535, for example :26673")]
    Port,
    /// Looks like an IP address and is none.
    #[error("this is not an IP address: write 192.168.1.20, or [fe80::1%2]:26673 for IPv6 with a port")]
    Ip,
    /// Not a host name.
    #[error(
        "this is not a host name: it may have letters, digits, hyphens and dots (write others in their xn-- form)"
    )]
    Host,
    /// A host name of more than [`MAX_HOST_LEN`] bytes, or a part of it of more than
    /// [`MAX_HOST_LABEL_LEN`].
    #[error("the host name is too long: at most {MAX_HOST_LEN} bytes, {MAX_HOST_LABEL_LEN} between dots")]
    HostTooLong,
    /// The bytes are not an address, or not a list of at most [`MAX_ADDRS`].
    #[error("the bytes are not a list of at most {MAX_ADDRS} addresses")]
    Malformed,
}

impl Addr {
    /// An address by host name.
    ///
    /// The name is made lower case and loses a dot at its end. An IP address as text gives
    /// [`Addr::Ip`].
    ///
    /// # Errors
    /// When the name is empty, too long, has a foreign character, or looks like a broken IP
    /// address.
    pub fn dns(host: &str, port: u16) -> Result<Self, AddrError> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(SocketAddr::new(ip, port).into());
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        check_host(&host)?;
        Ok(Self::Dns { host, port })
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        match self {
            Self::Ip(addr) => addr.port(),
            Self::Dns { port, .. } => *port,
        }
    }

    /// The host without the port: an IP address (IPv6 without brackets) or a name.
    pub fn host(&self) -> String {
        match self {
            Self::Ip(addr) => addr.ip().to_string(),
            Self::Dns { host, .. } => host.clone(),
        }
    }

    /// The socket address, unless a name has to be looked up first.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(addr) => Some(*addr),
            Self::Dns { .. } => None,
        }
    }

    /// True when it leads nowhere but to the same machine: 127.0.0.0/8, `::1`, `localhost`.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Ip(addr) => addr.ip().to_canonical().is_loopback(),
            // RFC 6761 §6.3: so is every name below localhost.
            Self::Dns { host, .. } => host == "localhost" || host.ends_with(".localhost"),
        }
    }

    /// What one household gets, by which callers are bounded: the whole address for IPv4 and for
    /// loopback, the /56 for IPv6 (RFC 6177 §2). `None` for a name. All link-local IPv6
    /// addresses are one household, as all of a network's other IPv6 addresses are: who is
    /// on the link can call from as many of them as he likes.
    ///
    /// ```
    /// use compeer_proto::Addr;
    ///
    /// let prefix = |text: &str| text.parse::<Addr>().unwrap().prefix();
    /// assert_eq!(prefix("[2001:db8:0:1::7]:5"), prefix("[2001:db8:0:ff::9]:6"));
    /// assert_ne!(prefix("203.0.113.7"), prefix("203.0.113.8"));
    /// ```
    pub fn prefix(&self) -> Option<IpAddr> {
        match self.socket_addr()?.ip().to_canonical() {
            IpAddr::V6(ip) if !ip.is_loopback() => {
                Some(Ipv6Addr::from_bits(ip.to_bits() & !(u128::MAX >> 56)).into())
            }
            whole => Some(whole),
        }
    }
}

/// A socket address, IPv4-mapped IPv6 turned into IPv4 and the flow label dropped.
impl From<SocketAddr> for Addr {
    fn from(addr: SocketAddr) -> Self {
        Self::Ip(match addr {
            SocketAddr::V4(_) => addr,
            SocketAddr::V6(v6) => match v6.ip().to_canonical() {
                IpAddr::V4(v4) => SocketAddr::new(v4.into(), v6.port()),
                IpAddr::V6(ip) => SocketAddrV6::new(ip, v6.port(), 0, v6.scope_id()).into(),
            },
        })
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(addr) => addr.fmt(f),
            Self::Dns { host, port } => f.pad(&format!("{host}:{port}")),
        }
    }
}

impl FromStr for Addr {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        if text.is_empty() {
            return Err(AddrError::Empty);
        }
        // IPv6 first, whose colons are not those before a port.
        if let Some(bracketed) = text.strip_prefix('[') {
            let (host, port) = bracketed.split_once(']').ok_or(AddrError::Ip)?;
            return ipv6(host, port_after(port)?);
        }
        if text.matches(':').count() > 1 {
            return ipv6(text, DEFAULT_PORT);
        }
        let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        let port = port_after(port)?;
        match host.parse::<Ipv4Addr>() {
            Ok(ip) => Ok(Self::Ip(SocketAddr::new(ip.into(), port))),
            Err(_) => Self::dns(host, port),
        }
    }
}

/// An IPv6 address, with a scope such as `%2` or without.
fn ipv6(host: &str, port: u16) -> Result<Addr, AddrError> {
    let bracketed = format!("[{host}]:{port}");
    let addr: SocketAddrV6 = bracketed.parse().map_err(|_| AddrError::Ip)?;
    Ok(SocketAddr::V6(addr).into())
}

/// The port of `:5000`; of nothing, the default. Port 0 means "any" to who listens, nothing to
/// who dials.
fn port_after(text: &str) -> Result<u16, AddrError> {
    if text.is_empty() {
        return Ok(DEFAULT_PORT);
    }
    let digits = text.strip_prefix(':').ok_or(AddrError::Port)?;
    // Rust's own parser would take `+5`.
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AddrError::Port);
    }
    match digits.parse() {
        Ok(0) | Err(_) => Err(AddrError::Port),
        Ok(port) => Ok(port),
    }
}

/// Whether a lower-case name without a final dot is one we would hand to a resolver.
fn check_host(host: &str) -> Result<(), AddrError> {
    if host.is_empty() {
        return Err(AddrError::Host);
    }
    if host.len() > MAX_HOST_LEN {
        return Err(AddrError::HostTooLong);
    }
    let mut last = "";
    for label in host.split('.') {
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if label.is_empty() || label.starts_with('-') || label.ends_with('-') || !label.bytes().all(known) {
            return Err(AddrError::Host);
        }
        if label.len() > MAX_HOST_LABEL_LEN {
            return Err(AddrError::HostTooLong);
        }
        last = label;
    }
    // The rule of the WHATWG URL standard ("ends in a number"): inet_aton would read these as
    // IPv4 in forms that people do not expect, and no top-level domain is a number.
    let hex = last.strip_prefix("0x").is_some_and(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
    if hex || last.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AddrError::Ip);
    }
    Ok(())
}

/// A peer and where it may be reached.
///
/// ```
/// use compeer_proto::PeerAddr;
///
/// let id = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkena".parse()?;
/// let bob = PeerAddr::new(id, ["192.168.1.20".parse()?, "attic.example".parse()?]);
/// assert_eq!(bob.addrs.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PeerAddr {
    /// Who should answer.
    pub id: PeerId,
    /// Where, best first. May be empty (a peer known only by id). Only the first [`MAX_ADDRS`]
    /// are written anywhere; more are refused when read.
    #[serde(with = "list", default)]
    pub addrs: Vec<Addr>,
}

impl PeerAddr {
    /// This peer at these addresses, in this order, each once, the first [`MAX_ADDRS`] of them.
    pub fn new(id: PeerId, addrs: impl IntoIterator<Item = Addr>) -> Self {
        let addrs = addrs.into_iter();
        // Most have one or two, and many are held.
        let mut kept: Vec<Addr> = Vec::with_capacity(addrs.size_hint().0.min(MAX_ADDRS));
        for addr in addrs {
            if kept.len() == MAX_ADDRS {
                break;
            }
            if !kept.contains(&addr) {
                kept.push(addr);
            }
        }
        Self { id, addrs: kept }
    }
}

/// A peer known only by its id.
impl From<PeerId> for PeerAddr {
    fn from(id: PeerId) -> Self {
        Self { id, addrs: Vec::new() }
    }
}

/// An IPv6 address as the wire has it: no scope, no flow label, no disguised IPv4.
fn from_ipv6(ip: Ipv6Addr, port: u16) -> Addr {
    SocketAddr::new(ip.into(), port).into()
}

#[cfg(test)]
pub(crate) mod tests;
