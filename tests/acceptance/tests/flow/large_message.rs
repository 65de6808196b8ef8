use wallaroo_acceptance::child::report;

#[test]
fn a_message_of_64_mb_comes_through_when_the_limit_allows_it() {
    let report = report(env!("CARGO_BIN_EXE_scenario"), &["large-message", "2"]);
    assert_eq!(report.fact("received"), 1);
}
