use wallaroo_acceptance::tally::Arrived;

use crate::{in_any_order, scenario};

#[test]
fn a_chain_of_three_expanding_states_does_not_lock_up_behind_a_slow_sink() {
    for workers in [1, 3] {
        let report = scenario("rekeys", workers);
        assert_eq!(in_any_order(&report, "sink"), Arrived::all(512_000));
    }
}
