//! What the options mean, and what the errors say.

use std::time::Duration;

use super::*;
use crate::durable::StoreOptions;

fn program() -> Program {
    Program {
        name: "stocks".to_owned(),
        binary: None,
        sources: vec![("ticks".to_owned(), Some("ticks.csv".to_owned()))],
        sinks: vec![("alerts".to_owned(), None)],
        workers: NonZeroUsize::MIN,
    }
}

fn request(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Request, Error> {
    let arguments = ["stocks"].iter().chain(arguments).map(OsString::from);
    let variable = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| OsString::from(value))
    };
    parse(&program(), arguments, &variable)
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Arguments {
    match request(arguments, variables) {
        Ok(Request::Run(arguments)) => *arguments,
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
            ("--in", "ticks", "tcp://localhost:7010")
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

/// The store that a program with `default` in code runs with.
fn store(
    arguments: &[&str],
    variables: &[(&str, &str)],
    default: Option<StoreOptions>,
) -> Result<Option<StoreOptions>, String> {
    let defaults = Options {
        store: default,
        ..Options::default()
    };
    let options = run(arguments, variables).over(defaults);
    options
        .map(|options| options.store)
        .map_err(|error| error.to_string())
}

#[test]
fn every_option_of_the_store_reaches_it() {
    let expected = StoreOptions::new("./data")
        .every(Duration::from_millis(200))
        .retain(5)
        .recoveries(8)
        .take_over(true)
        .from("monday")
        .savepoint("tuesday")
        .drop_savepoint("sunday")
        .drop_state("a")
        .drop_state("b")
        .rename_state("old", "new=er")
        .drop_source("ticks")
        .drop_sink("alerts")
        .reset_sink("rows");
    let line = "--store ./data --checkpoint-every 200ms --retain 5 --recoveries 8 --take-over --from monday --savepoint tuesday \
                --drop-savepoint sunday --drop-state a --drop-state b --rename-state old=new=er --drop-source ticks --drop-sink alerts --reset-sink rows";
    let line: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(store(&line, &[], None), Ok(Some(expected)));
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_program() {
    let default = || Some(StoreOptions::new("./own").retain(7));
    let variables = [
        ("WALLAROO_STORE", "./variable"),
        ("WALLAROO_CHECKPOINT_EVERY", "2m"),
        ("WALLAROO_RETAIN", "2"),
    ];
    assert_eq!(store(&[], &[], None), Ok(None));
    assert_eq!(store(&[], &[], default()), Ok(default()));
    let every = Duration::from_secs(120);
    assert_eq!(
        store(&[], &variables, default()),
        Ok(Some(StoreOptions::new("./variable").every(every).retain(2)))
    );
    assert_eq!(
        store(&["--store=./given", "--retain=4"], &variables, default()),
        Ok(Some(StoreOptions::new("./given").every(every).retain(4)))
    );
    assert_eq!(store(&["--store=none"], &variables, default()), Ok(None));
}

#[test]
fn options_of_the_store_say_what_they_expect() {
    let time =
        "expected a time of at least 1ms, as a whole number with ms, s, m or h, like 200ms or 5s";
    for text in [
        "0s",
        "1",
        "s",
        "1.5s",
        "1 s",
        "5 seconds",
        "4294967296s",
        "",
    ] {
        assert_eq!(
            error(&[&format!("--checkpoint-every={text}")], &[]),
            format!("WAL-0201: --checkpoint-every is {text:?}: {time}")
        );
    }
    assert_eq!(
        error(&[], &[("WALLAROO_RETAIN", "0")]),
        "WAL-0201: WALLAROO_RETAIN is \"0\": expected a number from 1 to 1000"
    );
    for text in ["a", "=a", "a="] {
        assert_eq!(
            error(&["--rename-state", text], &[]),
            format!(
                "WAL-0201: --rename-state is {text:?}: expected OLD=NEW, the name in the store and the name in the application"
            )
        );
    }
    for line in [
        ["--from=1"].as_slice(),
        &["--take-over"],
        &["--reset-sink=a", "--store=none"],
    ] {
        let option = line[0].split('=').next().unwrap_or_default();
        assert_eq!(
            store(line, &[], None),
            Err(format!(
                "WAL-0201: {option} needs a store, and the application has none; give its address with --store"
            ))
        );
    }
    // These say how to keep what is kept, if anything is.
    assert_eq!(
        store(&["--retain=2", "--checkpoint-every=1s"], &[], None),
        Ok(None)
    );
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

#[test]
fn status_and_memory_limit_stand_over_those_of_the_program() {
    let options = |arguments: &[&str], variables: &[(&str, &str)]| {
        let defaults = Options {
            memory_limit: Some(7),
            ..Options::default()
        };
        let options = run(arguments, variables).over(defaults);
        let options = options.expect("they are right");
        let status = options.status.map(|address| address.to_string());
        (status, options.memory_limit)
    };
    assert_eq!(options(&[], &[]), (None, Some(7)));
    let given = ["--status", "127.0.0.1:7080", "--memory-limit", "2GiB"];
    let expected = (Some("127.0.0.1:7080".to_owned()), Some(2 << 30));
    assert_eq!(options(&given, &[("WALLAROO_STATUS", "x")]), expected);
    let variables = [
        ("WALLAROO_STATUS", "[::1]:0"),
        ("WALLAROO_MEMORY_LIMIT", "512MiB"),
    ];
    let expected = (Some("[::1]:0".to_owned()), Some(512 << 20));
    assert_eq!(options(&[], &variables), expected);
    #[cfg(target_os = "linux")]
    assert!(options(&["--memory-limit", "auto"], &[]).1 > Some(1 << 20));
}

#[test]
fn what_is_no_status_address_or_size_is_told() {
    for text in ["7080", "localhost", "localhost:7080", "127.0.0.1"] {
        let expected = format!(
            "WAL-0201: --status is {text:?}: expected an address of this machine and a port, like 127.0.0.1:7080 or [::1]:7080"
        );
        assert_eq!(error(&["--status", text], &[]), expected);
    }
    for text in ["2", "0GiB", "2GB", "2 GiB", "x", "99999999999GiB"] {
        let expected = format!(
            "WAL-0201: --memory-limit is {text:?}: expected a whole number with KiB, MiB or GiB, like 2GiB, or \"auto\""
        );
        assert_eq!(error(&["--memory-limit", text], &[]), expected);
    }
}

/// Every option of the command line by its variable, with a value that is not its default.
const VARIABLES: [(&str, &str, &str); 11] = [
    ("workers", "WALLAROO_WORKERS", "3"),
    ("in", "WALLAROO_IN", "ticks=a.csv"),
    ("out", "WALLAROO_OUT", "alerts=b.txt"),
    ("status", "WALLAROO_STATUS", "127.0.0.1:7080"),
    ("memory-limit", "WALLAROO_MEMORY_LIMIT", "2GiB"),
    ("log", "WALLAROO_LOG", "warn"),
    ("store", "WALLAROO_STORE", "./data"),
    ("checkpoint-every", "WALLAROO_CHECKPOINT_EVERY", "7s"),
    ("log-input-every", "WALLAROO_LOG_INPUT_EVERY", "7s"),
    ("retain", "WALLAROO_RETAIN", "7"),
    ("recoveries", "WALLAROO_RECOVERIES", "7"),
];
/// Options that are meant for one start; variables outlive it.
const WITHOUT_VARIABLE: [&str; 10] = [
    "savepoint",
    "drop-savepoint",
    "from",
    "take-over",
    "drop-state",
    "rename-state",
    "drop-source",
    "drop-sink",
    "reset-sink",
    "version",
];

#[test]
fn every_option_has_a_variable_or_is_meant_for_one_start() {
    let program = program();
    let command = command(&program);
    let mut options: Vec<_> = command
        .get_arguments()
        .map(|arg| arg.get_id().as_str())
        .collect();
    let with_variable = VARIABLES.iter().map(|(option, ..)| *option);
    let mut expected: Vec<_> = with_variable.chain(WITHOUT_VARIABLE).collect();
    options.sort_unstable();
    expected.sort_unstable();
    assert_eq!(options, expected);
}

#[test]
fn a_variable_does_what_its_option_does() {
    let unset = format!("{:?}", run(&[], &[]));
    for (option, variable, value) in VARIABLES {
        let argument = format!("--{option}={value}");
        let by_option = format!("{:?}", run(&[&argument], &[]));
        let by_variable = format!("{:?}", run(&[], &[(variable, value)]));
        // A source or sink with another address knows what has given it.
        let by_variable = by_variable.replace(variable, &format!("--{option}"));
        assert_eq!(by_variable, by_option, "{variable}");
        assert_ne!(by_variable, unset, "{variable}");
        let help = after_help(&program(), "stocks");
        assert!(help.contains(variable), "{variable} is in the help");
    }
}

#[test]
fn options_for_one_start_are_not_read_from_the_environment() {
    let unset = format!("{:?}", run(&[], &[]));
    for option in WITHOUT_VARIABLE {
        let variable = format!("WALLAROO_{}", option.to_uppercase().replace('-', "_"));
        assert_eq!(format!("{:?}", run(&[], &[(&variable, "7")])), unset);
    }
}

#[test]
fn what_is_behind_an_at_sign_is_a_port_and_never_a_file() {
    for (text, address) in [
        ("alerts@localhost", "tcp://localhost"),
        ("alerts@127.0.0.1:7002", "tcp://127.0.0.1:7002"),
        ("alerts@tcp://127.0.0.1:7002", "tcp://127.0.0.1:7002"),
    ] {
        let arguments = run(&["--out", text], &[]);
        assert_eq!(arguments.redirections[0].address, address);
    }
}
