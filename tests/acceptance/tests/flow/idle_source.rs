use wallaroo_acceptance::tally::Arrived;

use crate::{in_any_order, scenario};

#[test]
fn an_idle_source_does_not_hold_back_a_busy_one() {
    for workers in [1, 3] {
        let report = scenario("idle-source", workers);
        assert_eq!(in_any_order(&report, "sink"), Arrived::all(600_000));
    }
}
