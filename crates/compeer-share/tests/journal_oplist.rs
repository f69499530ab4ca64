//! Any list of calls and crashes leaves a journal as a simple model is. What the fuzz target `journal` runs, by chance
//! and quickly.
//!
//! A list that was found to fail is kept beside this file and run first.

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

#[path = "support/journal_oplist.rs"]
mod journal_oplist;

fn config() -> ProptestConfig {
    let kept = FileFailurePersistence::Direct("tests/journal_oplist.regressions");
    ProptestConfig { cases: 300, failure_persistence: Some(Box::new(kept)), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_journal_is_what_its_model_is(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        journal_oplist::run(&bytes);
    }
}
