use wallaroo_acceptance::tally::Arrived;

use crate::{in_any_order, scenario};

#[test]
fn a_blocked_sink_of_dead_letters_holds_back_the_source_of_a_stage_that_always_fails() {
    for workers in [1, 3] {
        let report = scenario("letters", workers);
        assert_eq!(in_any_order(&report, "letters"), Arrived::all(400_000));
        assert!(report.fact("read while blocked") < 400_000);
    }
}
