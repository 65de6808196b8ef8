//! The examples with a store: killed, started again, and taken over.

#![cfg(unix)]

mod support;

use std::fs;
use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::time::Duration;

use support::{Running, path, program, run};

const STOCKS: &str = env!("CARGO_BIN_EXE_stocks");

/// The blocks of shell commands on a page.
fn commands(page: &str) -> String {
    let text = fs::read_to_string(path("../docs").join(page)).expect("the page is there");
    let blocks = text.split("```sh\n").skip(1);
    let commands = blocks.map(|block| block.split("```").next().expect("a block has an end"));
    commands.collect()
}

#[test]
fn the_tutorial_about_kill_does_what_it_says() {
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    let binaries = Path::new(STOCKS).parent().expect("it is in a directory");
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(binaries.to_owned()).chain(std::env::split_paths(&paths));
    let paths = std::env::join_paths(paths).expect("paths have no colon");
    let ended = run(program("sh")
        .args(["-e", "-c", &commands("tutorial-kill.md")])
        .env("PATH", paths)
        .env("DATA", path("data/stocks.csv"))
        .current_dir(directory.path()));
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    for part in ["killed, with ", "the same, to the byte\n"] {
        assert!(
            ended.stdout.contains(part),
            "{}{}",
            ended.stdout,
            ended.stderr
        );
    }
    let starts = [
        "keeps its state in the new store ./data",
        "goes on from epoch ",
    ];
    for part in starts {
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
    let table = fs::read_to_string(directory.path().join("table.txt"));
    let table = table.expect("it was written");
    assert!(table.contains("IBM    327000 "), "{table}");
}

/// Stocks that listens for its ticks, and its address.
fn listening(directory: &Path, options: &[&str]) -> (Running, String) {
    let mut stocks = Running::start(
        program(STOCKS)
            .arg("--in=ticks@127.0.0.1:0")
            .args(["--store=./data", "--checkpoint-every=20ms"])
            .args(options)
            .current_dir(directory),
    );
    let address = loop {
        let line = stocks.line();
        assert_ne!(line, "", "it listens");
        if let Some((_, address)) = line.trim().split_once("address=") {
            break address.to_owned();
        }
    };
    (stocks, address)
}

/// Sends all rows of a symbol. What happens to them is for the test to find out.
fn send(address: &str, symbol: &str) {
    let data = fs::read_to_string(path("data/stocks.csv")).expect("the file is there");
    let (header, rows) = data.split_once('\n').expect("there is a header");
    let mut feed = format!("{header}\n");
    for row in rows.lines().filter(|row| row.starts_with(symbol)) {
        feed.push_str(row);
        feed.push('\n');
    }
    let mut socket = TcpStream::connect(address).expect("it listens");
    socket.write_all(feed.as_bytes()).expect("it reads");
    // It may be gone.
    let _ = socket.shutdown(Shutdown::Write);
}

#[test]
fn a_process_whose_store_is_taken_stops_and_publishes_nothing_more() {
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    let alerts = || fs::read_to_string(directory.path().join("alerts.txt")).unwrap_or_default();
    let (old, address) = listening(directory.path(), &["--out=alerts=./alerts.txt"]);
    send(&address, "AAPL");
    // The last alert of this symbol.
    let last = "2013-01-15  AAPL";
    // A minute, and then the comparison below fails.
    for _ in 0..6_000 {
        if alerts().contains(last) {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
    let published = alerts();
    assert!(published.contains(last), "{published}");

    let second = run(program(STOCKS)
        .args(["--in=ticks@127.0.0.1:0", "--store=./data"])
        .current_dir(directory.path()));
    assert_eq!(second.code, Some(1));
    let text = format!(
        "error: WAL-0705: the store ./data is in use by process {}, which opened it at ",
        old.child.id()
    );
    assert!(second.stderr.contains(&text), "{}", second.stderr);

    let (new, _) = listening(
        directory.path(),
        // What the old one has still accepted may be handled by the new one, and is in this file then.
        &[
            "--take-over",
            "--drop-sink=alerts",
            "--out=alerts=./new.txt",
        ],
    );
    send(&address, "IBM");
    let ended = old.end();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let text = "error: WAL-0704: another process has taken over the store ./data";
    assert!(ended.stderr.contains(text), "{}", ended.stderr);
    assert_eq!(alerts(), published);

    new.signal("-TERM");
    let ended = new.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(alerts(), published);
}
