//! What is told of an application with a store while it starts, and between two checkpoints.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel as answers;
use std::time::Duration;

use wallaroo::{
    App, Options, State, StoreOptions, channel, discard, iter, memory, source, testing,
};
use wallaroo_store::Memory;

use crate::gated::Gated;

const NEVER: Duration = Duration::from_secs(3_600);

fn get(address: SocketAddr, path: &str) -> String {
    let mut connection = TcpStream::connect(address).expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    connection
        .write_all(request.as_bytes())
        .expect("it takes the request");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("it answers");
    answer
}

/// The pages were served only when everything was open: nobody could tell an application that starts from one that does not.
#[test]
fn an_application_that_reads_its_store_says_that_it_starts() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.expect("a port is free");
    let storage = Gated::new(Arc::new(Memory::new()));
    let start = |last: u64| {
        let counts = State::<u64>::new("counts");
        let numbers = source("numbers", iter(1..=last)).collect();
        let counted = numbers.to_state(&counts, |count: &mut u64, _: &u64| {
            *count += 1;
            Some(*count)
        });
        let options = Options {
            status: Some(address),
            store: Some(StoreOptions::new("elsewhere").every(NEVER)),
            ..Options::default()
        };
        let app = App::new("numbers").add(counted.to_sink("rows", discard()));
        testing::durable::start(app, options, Arc::new(storage.clone())).expect("it starts")
    };
    start(10).wait().expect("it comes to its end");
    let (told, tells) = answers();
    storage.before_segments(move || {
        let answers = ["/health", "/status", "/metrics"].map(|path| get(address, path));
        told.send(answers).expect("somebody waits");
    });
    let running = start(20);
    let [health, status, metrics] = tells.recv().expect("the store was read");
    assert!(health.starts_with("HTTP/1.1 503"), "{health}");
    assert!(health.contains(r#""phase":"starting""#), "{health}");
    for part in [
        r#""phase":"starting""#,
        r#""name":"rows""#,
        r#""checkpoint":null"#,
    ] {
        assert!(status.contains(part), "{status}");
    }
    assert!(metrics.contains("wallaroo_messages_in_total"), "{metrics}");
    running.wait().expect("it comes to its end");
}

#[test]
fn the_input_log_is_told_as_it_grows() {
    let store = tempfile::tempdir().expect("a directory can be made");
    let (_, numbers) = channel::<u64>(10);
    let seen = memory::<u64>();
    let options = Options {
        store: Some(StoreOptions::new(store.path().to_string_lossy()).every(NEVER)),
        ..Options::default()
    };
    let pipeline = source("numbers", numbers).to_sink("seen", seen.clone());
    let running = App::new("seen")
        .add(pipeline)
        .start(options)
        .expect("it starts");
    let logged = || {
        running
            .checkpoints()
            .expect("it has a store")
            .input_log_bytes
    };
    assert_eq!(logged(), 0);
    let mut before = 0;
    for number in 1..=3_u64 {
        running.send("numbers", number).expect("it runs");
        assert!(seen.wait_for(number as usize, Duration::from_secs(60)));
        assert!(
            logged() > before,
            "{before} bytes before message {number}, {} behind it",
            logged()
        );
        before = logged();
    }
    assert_eq!(running.checkpoints().expect("it has a store").commits, 0);
    running.stop();
    running.wait().expect("it comes to its end");
}
