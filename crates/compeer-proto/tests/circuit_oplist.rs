//! Random lists of operations on circuits and on the book of a carrier (`support/circuit_oplist.rs`).
//!
//! A list that once failed is kept beside this file.

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

#[path = "support/circuit_oplist.rs"]
mod oplist;

fn config() -> ProptestConfig {
    let kept = FileFailurePersistence::Direct("tests/circuit_oplist.regressions");
    ProptestConfig { cases: 300, failure_persistence: Some(Box::new(kept)), ..ProptestConfig::default() }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..800)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_said_is_heard_and_what_is_lost_is_named(bytes in bytes()) {
        oplist::line(&bytes);
    }

    #[test]
    fn the_book_holds_its_quotas(bytes in bytes()) {
        oplist::book(&bytes);
    }

    #[test]
    fn any_bytes_are_frames_or_an_error(bytes in bytes()) {
        oplist::frames(&bytes);
    }
}
