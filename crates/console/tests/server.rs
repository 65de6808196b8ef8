//! The server, over real sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use wallaroo_console::{
    Checkpoint, Committed, Console, ConsoleError, Kind, Node, Options, Phase, Reach, Report,
    StateSize, Stuck, start,
};

/// For what has to come; nothing waits so long in a test that passes.
const PATIENCE: Duration = Duration::from_secs(30);

fn any_port() -> Options {
    Options::at("127.0.0.1:0".parse().expect("is an address"))
}

fn started(report: impl Fn() -> Report + Send + Sync + 'static) -> Console {
    start(any_port(), Arc::new(report)).expect("a port is free")
}

fn in_phase(phase: Phase) -> Console {
    started(move || Report {
        application: "stocks".to_owned(),
        phase: phase.clone(),
        ..Report::default()
    })
}

fn connected(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("is listened on");
    stream.set_read_timeout(Some(PATIENCE)).expect("is above 0");
    stream
}

/// Everything that comes until the server closes.
fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        // closed with something unread
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    String::from_utf8(bytes).expect("is UTF-8")
}

fn asked(address: SocketAddr, request: &str) -> String {
    let mut stream = connected(address);
    stream.write_all(request.as_bytes()).expect("is read");
    rest(stream)
}

fn request(path: &str, host: impl std::fmt::Display) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// Status line, headers and body.
fn parts(answer: &str) -> (&str, &str, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("there is a head");
    let (status, headers) = head.split_once("\r\n").expect("there are headers");
    (status, headers, body)
}

#[test]
fn the_status_is_the_report_as_json() {
    let console = started(|| Report {
        application: "stocks".to_owned(),
        phase: Phase::Paused {
            reason: "the disk is full".to_owned(),
        },
        workers: 2,
        uptime: Duration::from_millis(1500),
        queued_bytes: 7,
        nodes: vec![Node {
            kind: Kind::Source,
            name: "ticks".to_owned(),
            messages_in: 3,
            messages_out: 2,
            errors: 1,
            dropped: 1,
            lag_messages: None,
            lag_bytes: Some(9),
        }],
        stuck: vec![Stuck {
            stage: "slow".to_owned(),
            worker: 1,
            running_for: Duration::from_secs(6),
        }],
        states: vec![StateSize {
            name: "stocks".to_owned(),
            keys: 5,
            bytes: None,
        }],
        checkpoint: Some(Checkpoint {
            last: Some(Committed {
                epoch: 41,
                age: Duration::from_secs(1),
                duration: Duration::from_millis(4),
                bytes: 1234,
            }),
            uncommitted_epochs: 3,
            input_log_bytes: 0,
            recoveries: 0,
            last_failure: None,
        }),
    });
    let answer = asked(console.address(), &request("/status", console.address()));
    let (status, headers, body) = parts(&answer);
    assert_eq!(status, "HTTP/1.1 200 OK");
    for header in [
        "content-type: application/json",
        "connection: close",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
    ] {
        assert!(headers.contains(header), "{headers}");
    }
    assert!(!headers.contains("access-control"), "{headers}");
    let body: serde_json::Value = serde_json::from_str(body).expect("is JSON");
    let expected = serde_json::json!({
        "application": "stocks", "phase": "paused", "reason": "the disk is full", "workers": 2, "uptime_seconds": 1.5, "queued_bytes": 7,
        "nodes": [{
            "kind": "source", "name": "ticks", "messages_in": 3, "messages_out": 2, "errors": 1, "dropped": 1,
            "lag_messages": null, "lag_bytes": 9,
        }],
        "stuck": [{"stage": "slow", "worker": 1, "running_for_seconds": 6.0}],
        "states": [{"name": "stocks", "keys": 5, "bytes": null}],
        "checkpoint": {
            "last": {"epoch": 41, "age_seconds": 1.0, "duration_seconds": 0.004, "bytes": 1234},
            "uncommitted_epochs": 3, "input_log_bytes": 0, "recoveries": 0, "last_failure": null,
        },
    });
    assert_eq!(body, expected);
}

#[test]
fn every_request_gets_a_report_of_its_moment() {
    let count = AtomicU64::new(0);
    let console = started(move || Report {
        workers: usize::try_from(count.fetch_add(1, Ordering::Relaxed)).expect("is small"),
        ..Report::default()
    });
    for expected in 0..3 {
        let answer = asked(console.address(), &request("/metrics", console.address()));
        let (status, headers, body) = parts(&answer);
        assert_eq!(status, "HTTP/1.1 200 OK");
        assert!(headers.contains("content-type: text/plain; version=0.0.4; charset=utf-8"));
        assert!(
            body.contains(&format!("\nwallaroo_workers {expected}\n")),
            "{body}"
        );
    }
}

#[test]
fn health_is_good_only_while_messages_are_processed() {
    let reason = "no \"space\"".to_owned();
    let cases = [
        (
            Phase::Starting,
            "503 Service Unavailable",
            "{\"phase\":\"starting\"}\n",
        ),
        (Phase::Running, "200 OK", "{\"phase\":\"running\"}\n"),
        (
            Phase::Paused { reason },
            "503 Service Unavailable",
            "{\"phase\":\"paused\",\"reason\":\"no \\\"space\\\"\"}\n",
        ),
        (
            Phase::Ending,
            "503 Service Unavailable",
            "{\"phase\":\"ending\"}\n",
        ),
    ];
    for (phase, expected, expected_body) in cases {
        let console = in_phase(phase);
        let answer = asked(console.address(), &request("/health", console.address()));
        let (status, _, body) = parts(&answer);
        assert_eq!(
            (status, body),
            (format!("HTTP/1.1 {expected}").as_str(), expected_body)
        );
    }
}

#[test]
fn only_get_is_answered() {
    let console = in_phase(Phase::Running);
    for method in ["POST", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let text = format!(
            "{method} /status HTTP/1.1\r\nHost: {}\r\n\r\n",
            console.address()
        );
        let answer = asked(console.address(), &text);
        let (status, headers, _) = parts(&answer);
        assert_eq!(status, "HTTP/1.1 405 Method Not Allowed");
        assert!(headers.contains("allow: GET"), "{headers}");
    }
}

#[test]
fn other_pages_are_not_there() {
    let console = in_phase(Phase::Running);
    for path in ["/", "/metrics/", "/status/../../etc/passwd", "/Status"] {
        let answer = asked(console.address(), &request(path, console.address()));
        assert_eq!(parts(&answer).0, "HTTP/1.1 404 Not Found", "{path}");
    }
    let answer = asked(
        console.address(),
        &request("/health?verbose=1", console.address()),
    );
    assert_eq!(parts(&answer).0, "HTTP/1.1 200 OK");
}

/// A name of an attacker's that leads to 127.0.0.1 must not let a page on the web read the answers.
#[test]
fn requests_under_other_names_are_refused() {
    let console = started(|| panic!("no report is asked for"));
    let port = console.address().port();
    let refused = [
        "GET /status HTTP/1.1\r\n\r\n".to_owned(),
        "GET /status HTTP/1.0\r\n\r\n".to_owned(),
        request("/status", "evil.example"),
        request("/status", format_args!("evil.example:{port}")),
        request("/status", format_args!("localhost.evil.example:{port}")),
        request("/status", "localhost"),
        format!("GET /status HTTP/1.1\r\nHost: localhost:{port}\r\nHost: evil.example\r\n\r\n"),
        format!("GET http://evil.example/status HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"),
        format!("GET http://localhost:{port}/status HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
    ];
    for text in refused {
        let answer = asked(console.address(), &text);
        assert_eq!(
            parts(&answer).0.split_once(' ').expect("has a code").1,
            "403 Forbidden",
            "{text}"
        );
    }
    let console = in_phase(Phase::Running);
    let port = console.address().port();
    for host in ["localhost", "127.0.0.1", "[::1]", "LocalHost"] {
        let answer = asked(
            console.address(),
            &request("/health", format_args!("{host}:{port}")),
        );
        assert_eq!(parts(&answer).0, "HTTP/1.1 200 OK", "{host}");
    }
}

#[test]
fn addresses_of_the_network_need_a_word() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7100"] {
        let address = address.parse().expect("is an address");
        let error = start(Options::at(address), Arc::new(Report::default)).expect_err("is refused");
        assert!(matches!(error, ConsoleError::NotLoopback { .. }), "{error}");
        assert_eq!(error.number(), 205);
    }
    let options = Options {
        reach: Reach::Network,
        ..Options::at("0.0.0.0:0".parse().expect("is an address"))
    };
    let console = start(options, Arc::new(Report::default)).expect("it was said");
    let local = SocketAddr::from(([127, 0, 0, 1], console.address().port()));
    let answer = asked(local, &request("/status", "the-name-it-has.example"));
    assert_eq!(parts(&answer).0, "HTTP/1.1 200 OK");
}

#[test]
fn the_refusal_of_an_address_says_what_to_use() {
    let address = "0.0.0.0:7100".parse().expect("is an address");
    let error = start(Options::at(address), Arc::new(Report::default)).expect_err("is refused");
    assert_eq!(
        error.to_string(),
        "cannot show the status at 0.0.0.0:7100: it can be reached from other machines, and everybody there could read it without a password; use 127.0.0.1:7100, or say that it may be seen from the network"
    );
}

#[test]
fn a_port_in_use_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("one is free");
    let address = taken.local_addr().expect("is bound");
    let error = start(Options::at(address), Arc::new(Report::default)).expect_err("is taken");
    assert!(matches!(error, ConsoleError::Listen { .. }), "{error}");
    assert_eq!(error.number(), 205);
}

#[test]
fn dropping_it_stops_the_server_and_its_connections() {
    let console = in_phase(Phase::Running);
    let address = console.address();
    let mut open = connected(address);
    open.write_all(b"GET /status HTT").expect("is read");
    // so that the open connection is accepted
    asked(address, &request("/health", address));
    drop(console);
    assert_eq!(rest(open), "");
    let again = TcpListener::bind(address);
    assert!(again.is_ok(), "the port is still in use: {again:?}");
}

#[test]
fn who_sends_nothing_loses_the_connection() {
    let options = Options {
        timeout: Duration::from_millis(20),
        ..any_port()
    };
    let console = start(options, Arc::new(Report::default)).expect("a port is free");
    assert_eq!(rest(connected(console.address())), "");
    let mut slow = connected(console.address());
    slow.write_all(b"GET /status HTTP/1.1\r\nHost: loc")
        .expect("is read");
    assert_eq!(rest(slow), "");
}

#[test]
fn connections_too_many_wait_for_their_turn() {
    let options = Options {
        connections: 1,
        timeout: PATIENCE,
        ..any_port()
    };
    let console = start(options, Arc::new(Report::default)).expect("a port is free");
    let whole = request("/status", console.address());
    let (begin, end) = whole.split_at(20);
    let mut first = connected(console.address());
    first.write_all(begin.as_bytes()).expect("is read");
    let mut second = connected(console.address());
    second
        .write_all(whole.as_bytes())
        .expect("is taken by the system");
    // nothing comes, however long one waits
    let short = Some(Duration::from_millis(50));
    second.set_read_timeout(short).expect("is above 0");
    let waiting = second.read(&mut [0]).expect_err("it has not been accepted");
    assert!(
        matches!(waiting.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{waiting}"
    );
    first.write_all(end.as_bytes()).expect("is read");
    assert_eq!(parts(&rest(first)).0, "HTTP/1.1 200 OK");
    second.set_read_timeout(Some(PATIENCE)).expect("is above 0");
    assert_eq!(parts(&rest(second)).0, "HTTP/1.1 200 OK");
}

#[test]
fn one_connection_has_one_answer() {
    let console = in_phase(Phase::Running);
    let twice = request("/health", console.address()).repeat(2);
    let answer = asked(console.address(), &twice);
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
}

#[test]
fn heads_that_are_no_http_or_too_long_are_refused() {
    let console = in_phase(Phase::Running);
    let answer = asked(console.address(), "what?\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let mut stream = connected(console.address());
    let begin = format!(
        "GET /status HTTP/1.1\r\nHost: {}\r\nLong: ",
        console.address()
    );
    stream.write_all(begin.as_bytes()).expect("is read");
    let chunk = [b'a'; 64 << 10];
    // 64 MiB, of which the server takes little before it closes
    let is_refused = (0..1024).any(|_| stream.write_all(&chunk).is_err());
    assert!(is_refused, "the server has read a head of 64 MiB");
}

#[test]
fn a_report_that_panics_is_an_answer_and_the_server_goes_on() {
    let is_first = Mutex::new(true);
    let console = started(move || {
        let was_first =
            std::mem::replace(&mut *is_first.lock().expect("nobody panics with it"), false);
        assert!(!was_first, "the report is broken");
        Report::default()
    });
    let answer = asked(console.address(), &request("/status", console.address()));
    assert_eq!(parts(&answer).0, "HTTP/1.1 500 Internal Server Error");
    let answer = asked(console.address(), &request("/status", console.address()));
    assert_eq!(parts(&answer).0, "HTTP/1.1 200 OK");
}

#[test]
fn a_report_that_never_comes_back_does_not_hold_up_the_end() {
    let (asked_for, asks) = mpsc::channel();
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let console = started(move || {
        asked_for.send(()).expect("the test waits for it");
        let _ = held.lock().expect("nobody panics with it").recv();
        Report::default()
    });
    let mut stream = connected(console.address());
    let text = request("/status", console.address());
    stream.write_all(text.as_bytes()).expect("is read");
    asks.recv_timeout(PATIENCE)
        .expect("the report is asked for");
    drop(console);
    drop(release);
}
