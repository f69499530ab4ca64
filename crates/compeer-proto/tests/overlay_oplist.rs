//! Random lists of operations on several machines of the overlay (`support/overlay_oplist.rs`).
//!
//! A list that once failed is kept: by proptest beside this file, by the fuzzer in its corpus, which
//! is committed.

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

#[path = "support/overlay_oplist.rs"]
mod overlay_oplist;

fn config() -> ProptestConfig {
    let kept = FileFailurePersistence::Direct("tests/overlay_oplist.regressions");
    ProptestConfig { cases: 100, failure_persistence: Some(Box::new(kept)), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_the_overlay_keeps_its_promises(bytes in proptest::collection::vec(any::<u8>(), 0..1_200)) {
        overlay_oplist::run(&bytes);
    }
}
