use wallaroo_acceptance::tally::Arrived;

use crate::scenario;

#[test]
fn a_blocked_sink_beside_an_open_one_holds_back_the_source() {
    for workers in [1, 2] {
        let report = scenario("two-sinks", workers);
        assert_eq!(report.arrived["gate"], Arrived::all(600_000));
        assert_eq!(report.arrived["open"], Arrived::all(600_000));
        assert!(report.fact("read while blocked") < 600_000);
    }
}
