use std::collections::BTreeMap;
use std::process::Command;

use wallaroo_acceptance::child::Report;

/// Options that an application with a command line would obey or refuse.
const ARGUMENTS: [&str; 5] = [
    "--workers=9",
    "--in",
    "numbers=/missing",
    "--store=/missing/store",
    "--no-such-option",
];
const ENVIRONMENT: [(&str, &str); 12] = [
    ("WALLAROO_WORKERS", "7"),
    ("WALLAROO_IN", "numbers=/missing"),
    ("WALLAROO_OUT", "sums=/missing/sums"),
    ("WALLAROO_LOG", "trace"),
    ("WALLAROO_STATUS", "127.0.0.1:0"),
    ("WALLAROO_MEMORY_LIMIT", "1KiB"),
    ("WALLAROO_STORE", "/missing/store"),
    ("WALLAROO_CHECKPOINT_EVERY", "never"),
    ("WALLAROO_LOG_INPUT_EVERY", "never"),
    ("WALLAROO_RETAIN", "none"),
    ("WALLAROO_RECOVERIES", "none"),
    ("WALLAROO_SEED", "none"),
];

#[test]
fn a_library_call_reads_no_options_and_leaves_the_process_as_it_is() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let ended = Command::new(env!("CARGO_BIN_EXE_scenario"))
        .args(ARGUMENTS)
        .envs(ENVIRONMENT)
        .env("SCENARIO_EMBEDDED_DIRECTORY", directory.path())
        .output()
        .expect("the program of this package is there");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it is text");
    let (output, log) = (text(ended.stdout), text(ended.stderr));
    assert_eq!(
        (ended.status.code(), log.as_str()),
        (Some(0), ""),
        "{output}"
    );
    let report: Report = serde_json::from_str(&output).expect("it prints its report only");
    let expected = [
        ("workers", 2), // one in each run
        ("status addresses", 0),
        ("runs with the same signals", 2),
        ("panics seen by the hook", 2), // one in each run
        ("the hook is the same", 1),
        ("a log is set up", 0),
        ("the signals are the same", 1),
        ("sums", 4),
        ("sum of sums", 8), // 1 and 3, in each run
    ];
    let expected = expected.map(|(fact, number)| (fact.to_owned(), number));
    assert_eq!(report.facts, BTreeMap::from(expected));
}
