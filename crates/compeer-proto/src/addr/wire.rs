//! Addresses as bytes: a type, a length, a body.
//!
//! ```text
//! type 0  IPv4   port u16 BE, 4 bytes
//! type 1  IPv6   port u16 BE, 16 bytes
//! type 2  name   port u16 BE, the name (ASCII, lower case, no final dot)
//! ```
//!
//! In postcard an address is the type (one byte), a varint length and the body; a list is a
//! varint count and the addresses. Whoever reads a list skips what it cannot use: types it does
//! not know, and addresses with port 0. A body of a known type that is not as above makes the
//! whole list malformed, and so do more than [`MAX_ADDRS`] entries.

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use super::{Addr, AddrError, from_ipv6};
use crate::bounded::{self, Blob};
use crate::limits::{MAX_ADDR_BYTES, MAX_ADDRS};

const IPV4: u8 = 0;
const IPV6: u8 = 1;
const NAME: u8 = 2;

/// An address as it travels.
type Raw = (u8, Blob<MAX_ADDR_BYTES>);

/// A list of addresses as bytes, the first [`MAX_ADDRS`] of them.
///
/// ```
/// use compeer_proto::{Addr, addr};
/// let here: Addr = "10.0.0.1:5".parse()?;
/// let bytes = addr::encode_list(std::slice::from_ref(&here));
/// assert_eq!(bytes, [1, 0, 6, 0, 5, 10, 0, 0, 1]); // one; IPv4, six bytes: port, address
/// assert_eq!(addr::decode_list(&bytes)?, [here]);
/// # Ok::<(), compeer_proto::AddrError>(())
/// ```
pub fn encode_list(addrs: &[Addr]) -> Vec<u8> {
    let raw: Vec<Raw> = addrs.iter().take(MAX_ADDRS).map(to_raw).collect();
    // Neither step of writing bytes and numbers to a Vec can fail.
    postcard::to_allocvec(&raw).unwrap_or_default()
}

/// Reads what [`encode_list`] wrote; entries we cannot use are left out.
///
/// # Errors
/// [`AddrError::Malformed`] when the bytes are not exactly such a list.
pub fn decode_list(bytes: &[u8]) -> Result<Vec<Addr>, AddrError> {
    let mut reader = postcard::Deserializer::from_bytes(bytes);
    let addrs = list::deserialize(&mut reader).map_err(|_| AddrError::Malformed)?;
    match reader.finalize() {
        Ok([]) => Ok(addrs),
        _ => Err(AddrError::Malformed),
    }
}

/// For `#[serde(with = "compeer_proto::addr::list")]` on a `Vec<Addr>`: bounded, and skipping
/// what it does not know in formats that people do not read.
pub mod list {
    use super::*;

    /// Writes the first [`MAX_ADDRS`] addresses.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(addrs: &[Addr], serializer: S) -> Result<S::Ok, S::Error> {
        let addrs = &addrs[..addrs.len().min(MAX_ADDRS)];
        serializer.collect_seq(addrs)
    }

    /// Reads at most [`MAX_ADDRS`] addresses.
    ///
    /// # Errors
    /// When there are more, or one is malformed.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Addr>, D::Error> {
        if deserializer.is_human_readable() {
            return bounded::list(deserializer, MAX_ADDRS);
        }
        let mut addrs = Vec::new();
        for raw in bounded::list::<Raw, D>(deserializer, MAX_ADDRS)? {
            addrs.extend(from_raw(&raw).map_err(de::Error::custom)?);
        }
        Ok(addrs)
    }
}

fn to_raw(addr: &Addr) -> Raw {
    let mut body = addr.port().to_be_bytes().to_vec();
    let kind = match addr {
        Addr::Ip(std::net::SocketAddr::V4(v4)) => {
            body.extend_from_slice(&v4.ip().octets());
            IPV4
        }
        Addr::Ip(std::net::SocketAddr::V6(v6)) => {
            body.extend_from_slice(&v6.ip().octets());
            IPV6
        }
        Addr::Dns { host, .. } => {
            body.extend_from_slice(host.as_bytes());
            NAME
        }
    };
    (kind, Blob(body))
}

/// The address; `None` for one that we cannot use.
fn from_raw((kind, Blob(body)): &Raw) -> Result<Option<Addr>, AddrError> {
    if *kind > NAME {
        return Ok(None);
    }
    let (port, rest) = body.split_first_chunk().ok_or(AddrError::Malformed)?;
    let port = u16::from_be_bytes(*port);
    let addr = match *kind {
        IPV4 => {
            let octets: [u8; 4] = rest.try_into().map_err(|_| AddrError::Malformed)?;
            Addr::Ip((octets, port).into())
        }
        IPV6 => {
            let octets: [u8; 16] = rest.try_into().map_err(|_| AddrError::Malformed)?;
            from_ipv6(octets.into(), port)
        }
        _ => {
            let name = std::str::from_utf8(rest).map_err(|_| AddrError::Malformed)?;
            match Addr::dns(name, port)? {
                Addr::Dns { host, port } if host == name => Addr::Dns { host, port },
                // Another spelling of something else: one address, one form on the wire.
                _ => return Err(AddrError::Malformed),
            }
        }
    };
    Ok((port != 0).then_some(addr))
}

impl Serialize for Addr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            to_raw(self).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Addr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            return text.parse().map_err(de::Error::custom);
        }
        let raw = Raw::deserialize(deserializer)?;
        match from_raw(&raw) {
            Ok(Some(addr)) => Ok(addr),
            Ok(None) => Err(de::Error::custom("an address of a type or port we cannot use")),
            Err(error) => Err(de::Error::custom(error)),
        }
    }
}
