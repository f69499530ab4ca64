//! Range sets against a set that holds each number by itself, and what of bytes is refused.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn set(ranges: &[Range<u64>]) -> RangeSet {
    ranges.iter().cloned().collect()
}

#[test]
fn ranges_that_touch_become_one() {
    let mut ranges = set(&[0..3, 5..8]);
    assert_eq!(ranges.runs(), 2);
    ranges.insert(3..5);
    assert_eq!(ranges, RangeSet::from_range(0..8));
    ranges.insert(9..9);
    ranges.remove(4..4);
    assert_eq!((ranges.runs(), ranges.len(), ranges.end()), (1, 8, 8));
    assert_eq!(ranges.first(), Some(0..8));
    assert_eq!(RangeSet::new().first(), None);
}

#[test]
fn iteration_may_begin_in_the_middle_of_a_range() {
    let ranges = set(&[0..4, 6..8, 10..12]);
    assert_eq!(ranges.iter_from(7).collect::<Vec<_>>(), [7..8, 10..12]);
    assert_eq!(ranges.iter_from(4).collect::<Vec<_>>(), [6..8, 10..12]);
    assert_eq!(ranges.iter_from(6).collect::<Vec<_>>(), [6..8, 10..12]);
    assert_eq!(ranges.iter_from(12).count(), 0);
    assert_eq!(ranges.within(3..11).collect::<Vec<_>>(), [3..4, 6..8, 10..11]);
}

/// The bytes that `docs/protocol.md` shows.
#[test]
fn the_encoding_is_gaps_and_lengths() {
    let ranges = set(&[0..4, 6..8, 300..428]);
    let bytes = [3, 0, 4, 2, 2, 0xa4, 2, 0x80, 1];
    assert_eq!(ranges.encode(), bytes);
    assert_eq!(RangeSet::decode(&bytes, 428, 3), Ok(ranges));
    assert_eq!(RangeSet::new().encode(), [0]);
    assert_eq!(RangeSet::decode(&[0], 0, 0), Ok(RangeSet::new()));
}

#[test]
fn bytes_are_refused_at_each_bound() {
    use RangesError::*;
    let bytes = set(&[1..4, 6..8]).encode();
    assert_eq!(RangeSet::decode(&bytes, 7, 2), Err(BeyondEnd));
    assert_eq!(RangeSet::decode(&bytes, 8, 1), Err(TooMany(2)));
    for cut in 0..bytes.len() {
        assert_eq!(RangeSet::decode(&bytes[..cut], 8, 2), Err(Malformed), "cut at {cut}");
    }
    let longer = [&bytes[..], &[0]].concat();
    let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let overflow = [&[1, 5][..], &most].concat();
    let cases: [(&[u8], RangesError); 7] = [
        (&longer, Malformed),
        (&[1, 0, 0], Malformed),
        (&[2, 0, 1, 0, 1], Malformed),
        (&[0x80, 0], Malformed),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], Malformed),
        (&overflow, BeyondEnd),
        (&most, TooMany(u64::MAX)),
    ];
    for (bytes, error) in cases {
        assert_eq!(RangeSet::decode(bytes, u64::MAX, 9), Err(error), "{bytes:?}");
    }
    assert_eq!(RangeSet::decode(&[&[1, 0][..], &most].concat(), u64::MAX, 1).unwrap().len(), u64::MAX);
}

/// Every number by itself.
type Plain = BTreeSet<u64>;

fn plain(set: &RangeSet) -> Plain {
    set.iter().flatten().collect()
}

fn range() -> impl Strategy<Value = Range<u64>> {
    (0..60u64, 0..12u64).prop_map(|(start, len)| start..start + len)
}

/// A set and its model, made by the same insertions and removals.
fn both() -> impl Strategy<Value = (RangeSet, Plain)> {
    proptest::collection::vec((any::<bool>(), range()), 0..20).prop_map(|ops| {
        let (mut set, mut model) = (RangeSet::new(), Plain::new());
        for (insert, range) in ops {
            if insert {
                set.insert(range.clone());
                model.extend(range);
            } else {
                set.remove(range.clone());
                model.retain(|n| !range.contains(n));
            }
        }
        (set, model)
    })
}

proptest! {
    #[test]
    fn a_set_is_what_its_model_is((a, plain_a) in both(), (b, plain_b) in both(), r in range()) {
        prop_assert_eq!(&plain(&a), &plain_a);
        prop_assert_eq!(a.len(), plain_a.len() as u64);
        let ranges: Vec<_> = a.iter().collect();
        prop_assert!(ranges.iter().all(|range| range.start < range.end));
        prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start), "they touch: {:?}", ranges);
        prop_assert_eq!(plain(&a.union(&b)), &plain_a | &plain_b);
        prop_assert_eq!(plain(&a.intersection(&b)), &plain_a & &plain_b);
        prop_assert_eq!(a.common_len(&b), (&plain_a & &plain_b).len() as u64);
        prop_assert_eq!(plain(&a.difference(&b)), &plain_a - &plain_b);
        prop_assert_eq!(plain(&a.clip(&r)), &plain_a & &r.clone().collect());
        prop_assert_eq!(a.contains_range(&r), r.clone().all(|n| plain_a.contains(&n)));
        for n in 0..80 {
            prop_assert_eq!(a.contains(n), plain_a.contains(&n));
        }
        prop_assert_eq!(RangeSet::decode(&a.encode(), a.end(), a.runs()), Ok(a));
    }

    #[test]
    fn bytes_that_are_a_set_are_its_only_encoding(bytes in proptest::collection::vec(0..6u8, 0..12)) {
        if let Ok(set) = RangeSet::decode(&bytes, 40, 4) {
            prop_assert_eq!(set.encode(), bytes);
            prop_assert!(set.end() <= 40 && set.runs() <= 4);
        }
    }
}
