//! Any bytes are a set of ranges in its one encoding, or an error; the bounds hold.
#![no_main]
use compeer_share::RangeSet;

libfuzzer_sys::fuzz_target!(|data: &[u8]| if let Ok(set) = RangeSet::decode(data, 1 << 40, 100) {
    assert!(set.end() <= 1 << 40 && set.runs() <= 100);
    assert_eq!(set.encode(), data);
});
