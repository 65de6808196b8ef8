use wallaroo_acceptance::waiting::until;

use crate::program::{Program, interrupt, signal};

#[test]
fn the_first_interrupt_lets_everything_accepted_through() {
    let mut program = Program::start();
    program.send("one\ntwo\n");
    until("both lines come through", || {
        program.text("output") == "1 one\n2 two\n"
    });
    interrupt(&program.child);
    assert_eq!(program.end(), Some(0), "{}", program.text("log"));
    assert_eq!(program.text("output"), "1 one\n2 two\n");
}

#[test]
fn the_second_interrupt_ends_a_process_that_cannot_stop() {
    let mut program = Program::start();
    program.send("one\n");
    until("the line comes through", || {
        program.text("output") == "1 one\n"
    });
    program.send("for ever\n");
    interrupt(&program.child);
    until("the application stops", || {
        program.text("log").contains("stopping")
    });
    assert!(program.is_running());
    interrupt(&program.child);
    assert_eq!(program.end(), Some(130), "{}", program.text("log"));
}

/// The number of messages that the application says it has read, in its last line.
fn stopped_after(log: &str) -> u64 {
    let (_, summary) = log
        .split_once("signals: stopped, ")
        .unwrap_or_else(|| panic!("{log}"));
    let (number, _) = summary.split_once(" message").expect("a summary says it");
    number.replace(',', "").parse().expect("it is a number")
}

/// The source goes on, and the sink has taken nothing, when the signal comes: all that was read is on its way.
fn check_drained(name: &str, workers: &str) {
    let mut program = Program::start_closed(workers);
    let client = program.send_on();
    until("the sink is full", || {
        program.text("log").contains("full\n")
    });
    signal(&program.child, name);
    until("the application stops", || {
        program.text("log").contains("stopping")
    });
    assert!(program.is_running());
    assert_eq!(program.text("output"), "");
    program.open();
    let code = program.end();
    let log = program.text("log");
    assert_eq!(code, Some(0), "{log}");
    let accepted = stopped_after(&log);
    let sent = client.join().expect("the client just stops");
    assert!((1..=sent).contains(&accepted), "{accepted} of {sent}");
    let expected: String = (1..=accepted)
        .map(|number| format!("{number} {number}\n"))
        .collect();
    assert!(
        program.text("output") == expected,
        "{accepted} lines were read, and {} came out",
        program.text("output").lines().count()
    );
}

#[test]
fn an_interrupt_lets_what_is_on_its_way_through() {
    check_drained("-INT", "1");
}

#[test]
fn a_termination_lets_what_is_on_its_way_through_with_two_workers() {
    check_drained("-TERM", "2");
}

#[test]
fn the_second_signal_ends_a_process_whose_sink_takes_nothing() {
    let mut program = Program::start_closed("1");
    let client = program.send_on();
    until("the sink is full", || {
        program.text("log").contains("full\n")
    });
    signal(&program.child, "-TERM");
    until("the application stops", || {
        program.text("log").contains("stopping")
    });
    assert!(program.is_running());
    signal(&program.child, "-TERM");
    assert_eq!(program.end(), Some(143), "{}", program.text("log"));
    assert_eq!(program.text("output"), "");
    client.join().expect("the client just stops");
}
