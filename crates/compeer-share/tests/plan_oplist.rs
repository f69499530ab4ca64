//! Any list of calls leaves a plan as a simple model is. What the fuzz target `plan` runs, by chance and quickly.
//!
//! A list that was found to fail is kept beside this file and run first.

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

#[path = "support/plan_oplist.rs"]
mod plan_oplist;

fn config() -> ProptestConfig {
    let kept = FileFailurePersistence::Direct("tests/plan_oplist.regressions");
    ProptestConfig { cases: 100, failure_persistence: Some(Box::new(kept)), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_plan_is_what_its_model_is(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        plan_oplist::run(&bytes);
    }
}
