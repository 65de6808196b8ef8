use wallaroo_acceptance::tally::Arrived;

use crate::scenario;

/// Records that cannot be decoded once cost no credit: a source of nothing else was read to its end into
/// memory while the sink of its dead letters was blocked.
#[test]
fn a_blocked_sink_of_dead_letters_holds_back_a_source_of_undecodable_records() {
    for workers in [1, 2] {
        let report = scenario("rejected", workers);
        assert_eq!(report.arrived["letters"], Arrived::all(400_000));
        assert!(report.fact("read while blocked") < 400_000);
    }
}
