//! Who stands where, as only somebody who sees all can know it: all keys in order.
//!
//! Peers whose keys share their first bits stand in a row, so both questions are binary searches: who shares
//! exactly so many bits with a key, and who is closest to it.

use compeer_proto::overlay::Key;

use super::queue::Number;

/// Peers in the order of their keys.
#[derive(Debug, Default)]
pub(super) struct Places(Vec<(Key, Number)>);

impl Places {
    pub(super) fn new(all: impl IntoIterator<Item = (Key, Number)>) -> Self {
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_unstable();
        Places(all)
    }

    pub(super) fn insert(&mut self, key: Key, number: Number) {
        let place = self.0.partition_point(|(other, _)| *other < key);
        self.0.insert(place, (key, number));
    }

    pub(super) fn remove(&mut self, key: Key) {
        if let Ok(place) = self.0.binary_search_by_key(&key, |(key, _)| *key) {
            self.0.remove(place);
        }
    }

    /// Those that share exactly `bits` bits with a key. At most 255.
    pub(super) fn sharing(&self, key: &Key, bits: usize) -> &[(Key, Number)] {
        self.between(key.at(bits, [0; 32]), key.at(bits, [255; 32]))
    }

    /// The `n` closest to a key, the closest first.
    pub(super) fn closest(&self, key: &Key, n: usize) -> Vec<Number> {
        // The longest beginning that enough of them have in common with the key holds the closest.
        let mut around = &self.0[..];
        for bits in 1..=256 {
            let closer = self.between(begins_as(key, bits, 0), begins_as(key, bits, 255));
            if closer.len() < n {
                break;
            }
            around = closer;
        }
        let mut around = around.to_vec();
        around.sort_by_cached_key(|(other, _)| other.distance(key));
        around.into_iter().take(n).map(|(_, number)| number).collect()
    }

    fn between(&self, first: Key, last: Key) -> &[(Key, Number)] {
        let from = self.0.partition_point(|(other, _)| *other < first);
        let to = self.0.partition_point(|(other, _)| *other <= last);
        &self.0[from..to]
    }
}

/// The first `bits` bits of a key, and then only zeros or ones.
fn begins_as(key: &Key, bits: usize, fill: u8) -> Key {
    let (whole, part) = (bits / 8, bits % 8);
    let mut bytes = [fill; 32];
    bytes[..whole].copy_from_slice(&key.as_bytes()[..whole]);
    if part > 0 {
        let ours = !(0xff >> part);
        bytes[whole] = (key.as_bytes()[whole] & ours) | (fill & !ours);
    }
    Key::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_are_those_that_sorting_all_by_distance_gives() {
        let mut keys: Vec<(Key, Number)> = (0..500).map(|n| (Key::of_name(&n.to_string()), n)).collect();
        let places = Places::new(keys.clone());
        for n in 0..50 {
            let key = Key::of_name(&format!("target {n}"));
            keys.sort_by_key(|(other, _)| other.distance(&key));
            let closest: Vec<Number> = keys.iter().map(|(_, number)| *number).take(20).collect();
            assert_eq!(places.closest(&key, 20), closest);
            for bits in 0..12 {
                let sharing = keys.iter().filter(|(other, _)| other.shared_bits(&key) == bits).count();
                assert_eq!(places.sharing(&key, bits).len(), sharing);
            }
        }
        assert_eq!(places.closest(&Key::of_name("all"), 1000).len(), 500);
    }
}
