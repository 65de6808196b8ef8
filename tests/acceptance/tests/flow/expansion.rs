use wallaroo_acceptance::tally::Arrived;

use crate::{in_any_order, scenario};

#[test]
fn a_thousandfold_expansion_stays_bounded_in_front_of_a_blocked_sink() {
    for workers in [1, 3] {
        let report = scenario("expansion", workers);
        assert_eq!(in_any_order(&report, "gate"), Arrived::all(600_000));
        assert!(report.fact("read while blocked") < 600);
    }
}
