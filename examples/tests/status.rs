//! The status server of a program, as its command line asks for it.

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use support::{Running, program, run};

fn rate_limiter() -> std::process::Command {
    let mut command = program(env!("CARGO_BIN_EXE_rate_limiter"));
    command.args(["--in", "requests=tcp://127.0.0.1:0"]);
    command
}

#[test]
fn it_is_served_where_the_command_line_says() {
    let mut running = Running::start(rate_limiter().args(["--status", "127.0.0.1:0"]));
    let address = loop {
        let line = running.line();
        assert_ne!(line, "", "the log ended");
        if let Some((_, rest)) = line.split_once("status at http://") {
            let address = rest.trim_end().trim_end_matches("/status");
            break address.to_owned();
        }
    };
    for (page, expected) in [
        ("/health", "\"phase\":\"running\""),
        ("/status", "\"application\":\"rate_limiter\""),
        ("/metrics", "wallaroo_workers 1"),
    ] {
        let mut stream = TcpStream::connect(&address).expect("it listens");
        write!(stream, "GET {page} HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let compact = answer.replace("\": ", "\":");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(compact.contains(expected), "{answer}");
    }
    running.signal("-TERM");
    assert_eq!(running.end().code, Some(0));
}

#[test]
fn an_address_that_others_can_reach_is_refused() {
    let ended = run(rate_limiter().args(["--status", "0.0.0.0:0"]));
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("error: WAL-0205: "),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_port_in_use_is_told_in_words() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let address = other.local_addr().expect("it listens").to_string();
    let ended = run(rate_limiter().args(["--status", &address]));
    assert_eq!(ended.code, Some(1));
    let expected = format!(
        "error: WAL-0205: cannot show the status at {address}: port in use; choose another port, or 0 for any that is free"
    );
    assert!(ended.stderr.contains(&expected), "{}", ended.stderr);
}
