//! Decoding with limits: byte strings and lists that are refused before they are allocated.
//!
//! Serde's own `Vec` believes a length prefix up to a megabyte. Here a length beyond the bound
//! is an error at once, and a list grows only as its elements really arrive.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// At most `MAX` bytes, written as serde bytes (postcard: a varint length, then the bytes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blob<const MAX: usize>(pub(crate) Vec<u8>);

impl<const MAX: usize> Serialize for Blob<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Blob<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(BlobVisitor)
    }
}

struct BlobVisitor<const MAX: usize>;

impl<'de, const MAX: usize> Visitor<'de> for BlobVisitor<MAX> {
    type Value = Blob<MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX} bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        if bytes.len() > MAX {
            return Err(E::invalid_length(bytes.len(), &self));
        }
        Ok(Blob(bytes.to_vec()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        collect(seq, MAX).map(Blob)
    }
}

/// Reads a list of at most `max` elements.
pub(crate) fn list<'de, T, D>(deserializer: D, max: usize) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_seq(ListVisitor { max, element: PhantomData })
}

struct ListVisitor<T> {
    max: usize,
    element: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {} elements", self.max)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        collect(seq, self.max)
    }
}

fn collect<'de, T, A>(mut seq: A, max: usize) -> Result<Vec<T>, A::Error>
where
    T: Deserialize<'de>,
    A: SeqAccess<'de>,
{
    let too_long = |len: usize| {
        let bound = format!("at most {max} elements");
        de::Error::invalid_length(len, &bound.as_str())
    };
    if let Some(claimed) = seq.size_hint().filter(|&claimed| claimed > max) {
        return Err(too_long(claimed));
    }
    let mut elements = Vec::new();
    while let Some(element) = seq.next_element()? {
        if elements.len() == max {
            return Err(too_long(max + 1));
        }
        elements.push(element);
    }
    Ok(elements)
}
