//! What the options mean, and what the errors say.

use super::*;

fn request(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Request, Error> {
    let program = Program {
        name: "stocks".to_owned(),
        binary: None,
        sources: vec![("ticks".to_owned(), Some("ticks.csv".to_owned()))],
        sinks: vec![("alerts".to_owned(), None)],
    };
    let arguments = ["stocks"].iter().chain(arguments).map(OsString::from);
    let variable = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| OsString::from(value))
    };
    parse(&program, arguments, variable)
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Arguments {
    match request(arguments, variables) {
        Ok(Request::Run(arguments)) => arguments,
        other => panic!("expected a run, found {other:?}"),
    }
}

fn error(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    match request(arguments, variables) {
        Err(error) => error.to_string(),
        other => panic!("expected an error, found {other:?}"),
    }
}

#[test]
fn without_options_one_worker_runs() {
    let arguments = run(&[], &[("WALLAROO_WORKERS", ""), ("WALLAROO_IN", "")]);
    assert_eq!(arguments.workers.get(), 1);
    assert_eq!(arguments.redirections, []);
    assert_eq!(arguments.log.to_string(), "info");
}

#[test]
fn the_command_line_wins_over_the_environment() {
    let variables = [
        ("WALLAROO_WORKERS", "3"),
        ("WALLAROO_LOG", "warn"),
        ("WALLAROO_IN", "ticks=a.csv, more=b.csv"),
    ];
    let arguments = run(
        &["--workers", "2", "--in", "ticks@localhost:7010"],
        &variables,
    );
    assert_eq!(arguments.workers.get(), 2);
    assert_eq!(arguments.log.to_string(), "warn");
    let redirections: Vec<_> = arguments
        .redirections
        .iter()
        .map(|one| (one.given_by, one.name.as_str(), one.address.as_str()))
        .collect();
    assert_eq!(
        redirections,
        [
            ("WALLAROO_IN", "more", "b.csv"),
            ("--in", "ticks", "localhost:7010")
        ]
    );
}

#[test]
fn an_address_may_have_the_signs_that_end_a_name() {
    let arguments = run(&["--in", "ticks=./a=b@c,d.csv"], &[]);
    assert_eq!(arguments.redirections[0].address, "./a=b@c,d.csv");
}

#[test]
fn errors_name_the_option_and_what_was_expected() {
    let workers = "expected a number from 1 to 1024, or \"auto\" for one per core";
    for text in ["0", "-1", "two", "1025", ""] {
        assert_eq!(
            error(&[&format!("--workers={text}")], &[]),
            format!("WAL-0201: --workers is {text:?}: {workers}")
        );
    }
    assert_eq!(
        error(&[], &[("WALLAROO_WORKERS", "many")]),
        format!("WAL-0201: WALLAROO_WORKERS is \"many\": {workers}")
    );
    assert_eq!(
        error(&["--in", "ticks"], &[]),
        "WAL-0203: --in is \"ticks\": expected NAME=ADDRESS, where NAME is a source of the application; for example ticks=tcp://127.0.0.1:7010 or ticks=./ticks.csv"
    );
    assert_eq!(
        error(&["--out", "a=x", "--out", "a=y"], &[]),
        "WAL-0201: --out gives sink \"a\" two addresses; give it one"
    );
    for text in ["loud", "info,loud", "wallaroo=loud", "info,"] {
        assert_eq!(
            error(&["--log", text], &[]),
            format!(
                "WAL-0201: --log is {text:?}: expected a level (off, error, warn, info, debug, trace), or several by module like \"info,wallaroo=debug\""
            )
        );
    }
}

#[test]
fn an_unknown_option_is_answered_with_the_right_one() {
    assert_eq!(
        error(&["--worker", "2"], &[]),
        "WAL-0201: \"--worker\" is not an option; did you mean --workers? --help lists all options"
    );
    assert_eq!(
        error(&["fast"], &[]),
        "WAL-0201: \"fast\" is not an option; --help lists all options"
    );
    assert_eq!(
        error(&["--in"], &[]),
        "WAL-0201: a value is required for '--in <NAME=ADDRESS>' but none was supplied; --help lists all options"
    );
}
