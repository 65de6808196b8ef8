use wallaroo_acceptance::child::report;

#[test]
fn a_hundred_starts_and_stops_leave_no_thread_and_no_file_open() {
    let report = report(env!("CARGO_BIN_EXE_scenario"), &["restarts", "3"]);
    assert!(report.fact("threads after") <= report.fact("threads before"));
    assert!(report.fact("files after") <= report.fact("files before"));
}
