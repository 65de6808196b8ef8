use wallaroo_acceptance::tally::Arrived;

use crate::{in_any_order, scenario};

#[test]
fn a_stream_used_twice_and_merged_again_does_not_lock_up() {
    for workers in [1, 3] {
        let report = scenario("diamond", workers);
        assert_eq!(in_any_order(&report, "gate"), Arrived::all(300_000));
        assert!(report.fact("read while blocked") < 300_000);
    }
}
