//! The command line of an application, tried on the examples.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;

use support::{Ended, Running, path, program, run};

const STOCKS: &str = env!("CARGO_BIN_EXE_stocks");
const LIMITER: &str = env!("CARGO_BIN_EXE_rate_limiter");
const FAULTY: &str = env!("CARGO_BIN_EXE_faulty");
const UNKEYED: &str = env!("CARGO_BIN_EXE_unkeyed");

const REQUEST: &str = "{\"user\":\"ann\",\"time\":1.0,\"path\":\"/\"}\n";
const DECISION: &str = "{\"user\":\"ann\",\"time\":1.0,\"path\":\"/\",\"allowed\":true}\n";

/// Runs the rate limiter in a directory that has `requests.jsonl` with one request.
fn limiter(change: impl FnOnce(&mut Command)) -> (Ended, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    fs::write(directory.path().join("requests.jsonl"), REQUEST).expect("it can be written");
    let mut command = program(LIMITER);
    change(command.current_dir(directory.path()));
    (run(&mut command), directory)
}

/// Runs `faulty` on `lines`.
fn faulty(lines: &str) -> Ended {
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    fs::write(directory.path().join("lines.txt"), lines).expect("it can be written");
    run(program(FAULTY).current_dir(directory.path()))
}

#[test]
fn help_lists_options_sources_and_sinks() {
    let ended = run(program(STOCKS).arg("--help"));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let expected = fs::read_to_string(path("tests/help.txt")).expect("the file is there");
    // The program knows where its own input is; that place differs from machine to machine.
    let data = path("data").display().to_string();
    assert_eq!(ended.stdout.replace(&data, "EXAMPLES/data"), expected);
}

#[test]
fn version_is_that_of_wallaroo() {
    let ended = run(program(STOCKS).arg("--version"));
    let version = env!("CARGO_PKG_VERSION"); // one version for the workspace
    assert_eq!(ended.stdout, format!("stocks (wallaroo {version})\n"));
    assert_eq!(ended.code, Some(0));
}

#[test]
fn a_source_reads_from_another_file_and_a_sink_writes_to_another() {
    let (ended, directory) = limiter(|command| {
        command.args([
            "--in",
            "requests=./requests.jsonl",
            "--out=decisions=./decisions.jsonl",
        ]);
    });
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
    let written = fs::read_to_string(directory.path().join("decisions.jsonl"));
    assert_eq!(written.expect("the file is there"), DECISION);
}

#[test]
fn options_may_stand_in_the_environment() {
    let (ended, _directory) = limiter(|command| {
        command
            .env("WALLAROO_IN", "requests=requests.jsonl")
            .env("WALLAROO_WORKERS", "2");
    });
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), DECISION));
    assert!(
        ended
            .stderr
            .starts_with("rate_limiter: starting on 2 workers\n"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_sink_may_be_redirected_by_the_environment() {
    let (ended, directory) = limiter(|command| {
        command
            .env("WALLAROO_IN", "requests=requests.jsonl")
            .env("WALLAROO_OUT", "decisions=decisions.jsonl");
    });
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
    let written = fs::read_to_string(directory.path().join("decisions.jsonl"));
    assert_eq!(written.expect("the file is there"), DECISION);
}

#[test]
fn with_the_log_off_the_standard_error_is_empty() {
    let (ended, _directory) = limiter(|command| {
        command.args(["--in", "requests=requests.jsonl", "--log", "off"]);
    });
    assert_eq!(
        (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
        (Some(0), DECISION, "")
    );
}

/// The warning was said while the pipeline was built, before there was a log, and so nobody ever saw it.
#[test]
fn a_state_without_a_key_is_warned_of_once() {
    let ended = run(&mut program(UNKEYED));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "1\n3\n6\n"));
    let is_warning = |line: &&str| line.contains(" WARN ");
    let warnings: Vec<&str> = ended.stderr.lines().filter(is_warning).collect();
    let [warning] = warnings.as_slice() else {
        panic!("{}", ended.stderr);
    };
    for part in [
        "a stage with state has no key_by before it: all messages share one state object",
        "stage=\"add\"",
        "state=\"sums\"",
        "location=examples/tests/programs/unkeyed.rs:14",
    ] {
        assert!(warning.contains(part), "{warning}");
    }
}

#[test]
fn a_state_without_a_key_is_not_warned_of_when_only_errors_are_wanted() {
    let ended = run(program(UNKEYED).args(["--log", "error"]));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_wrong_command_line_ends_with_code_2_before_anything_runs() {
    let cases = [
        (
            &["--in", "tick=a.csv"],
            "WAL-0202: --in names \"tick\", but the application \"stocks\" has no source of that name; did you mean \"ticks\"? its only source is \"ticks\"",
        ),
        (
            &["--in", "alerts=a.csv"],
            "WAL-0202: --in names \"alerts\", but the application \"stocks\" has no source of that name; \"alerts\" is a sink: use --out",
        ),
        (
            &["--out", "x=a.txt"],
            "WAL-0202: --out names \"x\", but the application \"stocks\" has no sink of that name; its sinks are \"alerts\", \"table\"",
        ),
        (
            &["--in", "ticks"],
            "WAL-0203: --in is \"ticks\": expected NAME=ADDRESS, where NAME is a source of the application; for example ticks=tcp://127.0.0.1:7010 or ticks=./ticks.csv",
        ),
        (
            &["--in", "ticks=tcp://here"],
            "WAL-0203: --in for source \"ticks\": cannot use the TCP address \"here\": expected HOST:PORT; write it like 127.0.0.1:7010, or 0.0.0.0:7010 for all interfaces",
        ),
        (
            &["--in", "ticks=http://here"],
            "WAL-0204: --in for source \"ticks\": cannot use \"http://here\": expected a path, file://PATH or tcp://HOST:PORT",
        ),
        (
            &["--workers", "none"],
            "WAL-0201: --workers is \"none\": expected a number from 1 to 1024, or \"auto\" for one per core",
        ),
        (
            &["--worker", "2"],
            "WAL-0201: \"--worker\" is not an option; did you mean --workers? --help lists all options",
        ),
    ];
    for (arguments, text) in cases {
        let ended = run(program(STOCKS).args(arguments));
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(2), ""),
            "{arguments:?}"
        );
        assert_eq!(ended.stderr, format!("error: {text}\n"));
    }
}

#[test]
fn what_is_missing_outside_ends_with_code_1() {
    let ended = run(program(STOCKS).args(["--in", "ticks=./missing.csv"]));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!((lines.len(), lines[0]), (2, "stocks: starting on 1 worker"));
    let text = "error: WAL-0301: cannot open the source \"ticks\": the file \"./missing.csv\" does not exist";
    assert!(lines[1].starts_with(text), "{}", lines[1]);
}

#[test]
fn threads_that_cannot_be_had_are_told() {
    // No machine has room for a stack of this size.
    let ended = run(program(STOCKS).env("RUST_MIN_STACK", "1000000000000000"));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let text = "error: WAL-0603: cannot watch for signals: ";
    assert!(ended.stderr.starts_with(text), "{}", ended.stderr);
    assert!(
        ended.stderr.ends_with("; check the limit on threads\n"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_failing_computation_ends_with_code_1_and_one_line() {
    let ended = faulty("1\ntwo\n");
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!((ended.code, lines.len()), (Some(1), 2), "{}", ended.stderr);
    assert_eq!(lines[0], "faulty: starting on 1 worker");
    assert!(
        lines[1].starts_with(
            "error: WAL-0501: the stage \"number\" (examples/tests/programs/faulty.rs:"
        ),
        "{}",
        lines[1]
    );
    assert!(
        lines[1].contains(
            "invalid digit found in string; source \"lines\", lines.txt, record 2; message \"two\""
        ),
        "{}",
        lines[1]
    );
}

#[test]
fn a_panic_is_told_with_its_place_and_without_a_backtrace() {
    let ended = faulty("1\npanic\n");
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!((ended.code, lines.len()), (Some(1), 3), "{}", ended.stderr);
    assert!(
        lines[1].starts_with("faulty: panic at examples/tests/programs/faulty.rs:"),
        "{}",
        lines[1]
    );
    assert!(lines[1].ends_with(": the line says so"), "{}", lines[1]);
    assert!(
        lines[2].starts_with("error: WAL-0502: the stage \"number\" ("),
        "{}",
        lines[2]
    );
    assert!(
        lines[2].contains(" panicked: the line says so, at examples/tests/programs/faulty.rs:"),
        "{}",
        lines[2]
    );
}

fn send(address: &str, bytes: &[u8]) {
    let mut socket = TcpStream::connect(address).expect("it listens");
    socket.write_all(bytes).expect("it reads");
    socket.shutdown(Shutdown::Write).expect("it reads");
    // It closes the connection once it has read all.
    let rest = socket.read_to_end(&mut Vec::new());
    assert_eq!(rest.expect("it closes in order"), 0);
}

#[test]
fn stocks_follows_live_feeds_until_it_is_interrupted() {
    let data = fs::read_to_string(path("data/stocks.csv")).expect("the file is there");
    let (header, rows) = data.split_once('\n').expect("there is a header");
    let mut stocks =
        Running::start(program(STOCKS).args(["--workers=2", "--in=ticks@127.0.0.1:0"]));
    assert_eq!(stocks.line(), "stocks: starting on 2 workers\n");
    let listening = stocks.line();
    let address = listening
        .trim()
        .split("address=")
        .nth(1)
        .expect("the log tells the address");
    for symbols in [["AAPL", "FB", "-"], ["GOOG", "IBM", "MSFT"]] {
        let mut feed = format!("{header}\n");
        for row in rows
            .lines()
            .filter(|row| symbols.iter().any(|symbol| row.starts_with(symbol)))
        {
            feed.push_str(row);
            feed.push('\n');
        }
        send(address, feed.as_bytes());
    }
    stocks.signal("-INT");
    let ended = stocks.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("stocks: stopping: reading no more, finishing what was read; ctrl-c again aborts\nstocks: stopped, 12,154 messages"),
        "{}",
        ended.stderr
    );
    let expected = fs::read_to_string(path("stocks/expected.txt")).expect("the file is there");
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&ended.stdout), sorted(&expected));
}

#[test]
fn a_second_signal_aborts_at_once() {
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    fs::write(directory.path().join("lines.txt"), "hang\n").expect("it can be written");
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut faulty = Running::start(program(FAULTY).current_dir(directory.path()));
        assert_eq!(faulty.line(), "faulty: starting on 1 worker\n");
        let mut hanging = [0; 7];
        let stdout = faulty.child.stdout.as_mut().expect("it is piped");
        stdout
            .read_exact(&mut hanging)
            .expect("it says that it hangs");
        faulty.signal(name);
        assert!(faulty.line().starts_with("faulty: stopping: "));
        faulty.signal(name);
        let status = faulty.child.wait().expect("it ends");
        assert_eq!(status.code(), Some(code));
    }
}
