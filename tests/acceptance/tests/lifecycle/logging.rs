use std::io::Read as _;

use wallaroo_acceptance::waiting::until;

use crate::program::Program;

#[test]
fn a_connection_above_the_limit_is_closed_and_told() {
    let mut program = Program::start();
    let mut refused = program.connect();
    let read = refused.read(&mut [0]).expect("it is closed in order");
    assert_eq!(read, 0);
    until("the log tells", || program.text("log").contains("WAL-0310"));
    let log = program.text("log");
    let line = log.lines().find(|line| line.contains("WAL-0310"));
    let line = line.expect("waited until it is there");
    for part in [
        " WARN ",
        "connection refused; raise max_connections",
        "limit=1",
    ] {
        assert!(line.contains(part), "{line}");
    }
    // The one that was there goes on.
    program.send("one\n");
    until("its line comes through", || {
        program.text("output") == "1 one\n"
    });
}

#[test]
fn a_function_that_does_not_return_is_told() {
    let mut program = Program::start();
    program.send("for ever\n");
    until("the log tells", || program.text("log").contains("WAL-0503"));
    let log = program.text("log");
    let line = log.lines().find(|line| line.contains("WAL-0503"));
    let line = line.expect("waited until it is there");
    assert!(
        line.contains(" WARN ") && line.contains("Lines::count"),
        "{line}"
    );
}
