//! The status server of a running application, over a real socket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde::{Deserialize, Serialize};
use wallaroo::{App, Options, State, StoreOptions, channel, discard, file, source};

#[derive(Default, Serialize, Deserialize)]
struct Total(u64);

fn get(address: SocketAddr, path: &str) -> String {
    let mut connection = TcpStream::connect(address).expect("it listens");
    write!(
        connection,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .expect("it takes the request");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("it answers");
    answer
}

#[test]
fn a_running_application_tells_its_health_status_and_metrics() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_sender, numbers) = channel::<u64>(10);
    let options = Options {
        status: Some("127.0.0.1:0".parse().expect("an address")),
        store: Some(StoreOptions::new(directory.path().display().to_string())),
        ..Options::default()
    };
    let running = App::new("watched")
        .add(
            source("numbers", numbers)
                .key_by_value(|number: &u64| *number)
                .to_state(
                    &State::<Total>::new("totals"),
                    |total: &mut Total, number: &u64| {
                        total.0 += number;
                        None::<u64>
                    },
                )
                .to_sink("nowhere", discard()),
        )
        .start(options)
        .expect("it starts");
    let address = running.status_address().expect("it was asked for");
    running.send("numbers", 1_u64).expect("it runs");
    running.checkpoint().expect("the directory can be written");
    assert!(get(address, "/health").starts_with("HTTP/1.1 200"));
    let status = get(address, "/status");
    assert!(status.contains(r#""application":"watched""#), "{status}");
    assert!(status.contains(r#""phase":"running""#), "{status}");
    assert!(status.contains(r#""epoch":1"#), "{status}");
    let metrics = get(address, "/metrics");
    assert!(metrics.contains("wallaroo_messages_in_total"), "{metrics}");
    for line in [
        "wallaroo_state_keys{state=\"totals\"} 1",
        "wallaroo_lag_messages{source=\"numbers\"} 0",
        "wallaroo_recoveries_total 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{metrics}");
    }
    let bytes = "wallaroo_state_bytes{state=\"totals\"} ";
    assert!(
        metrics.lines().any(|found| found.starts_with(bytes)),
        "{metrics}"
    );
    running.stop();
    running.wait().expect("it has not failed");
    drop(running);
    assert!(TcpStream::connect(address).is_err());
}

/// It was counted as passed over, and ended the run.
#[test]
fn a_record_that_ends_the_run_is_not_counted_as_dropped() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("numbers.jsonl");
    std::fs::write(&path, "1\nx\n").expect("it can be written");
    let numbers = source("numbers", file(&path).json::<u64>());
    let app = App::new("watched").add(numbers.to_sink("nowhere", discard()));
    let running = app.start(Options::default()).expect("it starts");
    running.wait().expect_err("a record is no number");
    let status = running.status();
    let numbers = status.nodes.iter().find(|node| node.name == "numbers");
    assert_eq!(numbers.map(|node| node.dropped), Some(0), "{status:?}");
}
