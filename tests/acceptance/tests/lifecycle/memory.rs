//! State that outgrows the memory: the application says so and ends with what it had handled, before the system ends it.

use std::path::Path;
use std::process::{Command, Stdio};

use wallaroo_acceptance::child::wait;

const LIMIT_MIB: u64 = 96;
/// More than fit into the limit, as each has an object of 1,000 bytes.
const COUNT: u64 = 90_000;

/// Runs the application to its end: its exit code, and what it said.
fn run(directory: &Path, limit_mib: u64) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_scenario"))
        .env("SCENARIO_MEMORY_DIRECTORY", directory)
        .env("SCENARIO_MEMORY_MIB", limit_mib.to_string())
        .env("SCENARIO_MEMORY_COUNT", COUNT.to_string())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program of this package is there");
    let status = wait(&mut child, "the application ends");
    let mut text = String::new();
    let errors = child.stderr.as_mut().expect("it is piped");
    std::io::Read::read_to_string(errors, &mut text).expect("it is text");
    (status.code(), text)
}

/// The numbers in the output: 0, 1, 2 and so on without a gap. How many there are.
fn rows(directory: &Path) -> u64 {
    let text = std::fs::read_to_string(directory.join("rows.txt")).expect("it has begun");
    let rows: Vec<u64> = text
        .lines()
        .map(|row| row.parse().expect("a row is a number"))
        .collect();
    assert!(
        rows.iter().copied().eq(0..rows.len() as u64),
        "each once, in order"
    );
    rows.len() as u64
}

#[test]
fn state_that_outgrows_the_limit_ends_the_application_with_what_it_had_handled() {
    let directory = tempfile::tempdir().expect("a directory");
    let (code, errors) = run(directory.path(), LIMIT_MIB);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("sources wait until"), "{errors}");
    assert!(
        errors.contains("error: WAL-0605: the process occupies"),
        "{errors}"
    );
    let handled = rows(directory.path());
    assert!((1..COUNT).contains(&handled), "{handled}");
    let (code, errors) = run(directory.path(), 0);
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(rows(directory.path()), COUNT);
}
