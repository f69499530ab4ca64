//! Random lists of operations on two sessions, and of frames against one (`support/oplist.rs`).
//!
//! A list that once failed is kept: by proptest beside this file, by the fuzzer below.

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

#[path = "support/oplist.rs"]
mod oplist;

fn config() -> ProptestConfig {
    let kept = FileFailurePersistence::Direct("tests/session_oplist.regressions");
    ProptestConfig { cases: 200, failure_persistence: Some(Box::new(kept)), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn two_honest_sessions_keep_every_promise(bytes in proptest::collection::vec(any::<u8>(), 0..1_500)) {
        oplist::honest(&bytes);
    }

    #[test]
    fn a_hostile_peer_breaks_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..1_500)) {
        oplist::hostile(&bytes);
    }
}
