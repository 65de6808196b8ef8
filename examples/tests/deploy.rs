//! The files in `deploy`: they run the example with options that it has, as a user without rights, and stop it in good order.

mod support;

use std::fs;
use std::process::Command;

use support::{path, program, run};

fn read(name: &str) -> String {
    fs::read_to_string(path("../deploy").join(name)).expect("the file is there")
}

/// All options and environment variables in a text are ones that the program has.
fn assert_known(text: &str) {
    let help = run(program(env!("CARGO_BIN_EXE_stocks")).arg("--help")).stdout;
    let is_sign = |c: char| !(c.is_ascii_alphabetic() || c == '-' || c == '_');
    for word in text.split(is_sign) {
        if word.starts_with("--") || word.starts_with("WALLAROO_") {
            let found = help.split(is_sign).any(|known| known == word);
            assert!(found, "{word} is not in the help");
        }
    }
}

#[test]
fn the_unit_runs_without_rights_and_stops_in_good_order() {
    let unit = read("stocks.service");
    let value = |key: &str| {
        let mut lines = unit.lines().filter_map(|line| line.split_once('='));
        lines
            .find(|(found, _)| *found == key)
            .map(|(_, value)| value)
    };
    let expected = [
        ("DynamicUser", "yes"),
        ("ProtectSystem", "strict"),
        ("StateDirectory", "stocks"),
        ("NoNewPrivileges", "yes"),
        ("KillSignal", "SIGTERM"),
        ("Restart", "always"),
        ("RestartPreventExitStatus", "2"),
    ];
    for (key, expected) in expected {
        assert_eq!(value(key), Some(expected), "{key}");
    }
    assert_known(value("ExecStart").expect("it starts something"));
    assert_known(value("Environment").expect("it has a store"));

    // Where systemd is at hand it says whether it understands the unit; the program need not be installed.
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    let copy = directory.path().join("stocks.service");
    let installed = unit.replace("/usr/local/bin/stocks", env!("CARGO_BIN_EXE_stocks"));
    fs::write(&copy, installed).expect("it can be written");
    if let Ok(verified) = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&copy)
        .output()
    {
        let text = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(!text.contains("stocks.service"), "{text}");
    }
}

#[test]
fn the_image_runs_without_rights_and_stops_in_good_order() {
    let file = read("Dockerfile");
    let lines: Vec<&str> = file.lines().filter(|line| !line.starts_with('#')).collect();
    let of = |word: &str| {
        let found = lines.iter().rposition(|line| line.starts_with(word));
        found.unwrap_or_else(|| panic!("there is no {word}"))
    };
    assert!(of("USER ") > of("FROM ") && of("USER ") < of("ENTRYPOINT "));
    assert_ne!(lines[of("USER ")], "USER 0");
    assert_eq!(lines[of("STOPSIGNAL ")], "STOPSIGNAL SIGTERM");
    assert!(lines[of("ENTRYPOINT ")].starts_with("ENTRYPOINT [\""));
    assert_known(lines[of("CMD ")]);
    assert_known(lines[of("ENV ")]);
    assert_eq!(lines[of("VOLUME ")], "VOLUME /var/lib/stocks");
}
