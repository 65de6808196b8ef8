use wallaroo_acceptance::tally::Arrived;

use crate::scenario;

#[test]
fn one_key_holds_back_its_source() {
    for workers in [1, 3] {
        let report = scenario("hot-key", workers);
        assert_eq!(report.arrived["gate"], Arrived::all(600_000));
        assert!(report.fact("read while blocked") < 600_000);
    }
}
