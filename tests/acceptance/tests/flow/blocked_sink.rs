use wallaroo_acceptance::tally::Arrived;

use crate::{in_any_order, scenario};

fn check(workers: usize) {
    let report = scenario("blocked-sink", workers);
    assert_eq!(in_any_order(&report, "gate"), Arrived::all(800_000));
    // 400,000 lines of 101 bytes: what the client could not send shows that the socket was not read.
    assert!(report.fact("sent while blocked") < 400_000 * 101);
    assert!(report.fact("read while blocked") < 400_000);
}

#[test]
fn a_blocked_sink_holds_back_a_generator_and_a_socket_with_one_worker() {
    check(1);
}

#[test]
fn a_blocked_sink_holds_back_a_generator_and_a_socket_with_two_workers() {
    check(2);
}

#[test]
fn a_blocked_sink_holds_back_a_generator_and_a_socket_with_four_workers() {
    check(4);
}
