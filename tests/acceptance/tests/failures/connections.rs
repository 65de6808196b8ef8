use std::io::Write as _;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use wallaroo::{
    App, ByteSource, Code, Error, ErrorKind, FrameHeader, Options, iter, source, tcp_listener,
    tcp_sink,
};
use wallaroo_acceptance::ending;

use crate::check;

/// The error of an application to which a client sends these bytes, and then ends its half of the connection.
fn error(
    bytes: &[u8],
    format: impl FnOnce(wallaroo::Bytes<wallaroo::TcpInput>) -> ByteSource<String>,
) -> (Error, String) {
    let listener = tcp_listener("127.0.0.1:0").bind().expect("a port is free");
    let address = listener.local_address().expect("it is bound");
    let running = App::new("shop")
        .add(source("lines", format(listener)).end())
        .start(Options::default())
        .expect("it starts");
    let mut client = TcpStream::connect(address).expect("it listens");
    client.write_all(bytes).expect("it reads");
    client.shutdown(Shutdown::Write).expect("it is connected");
    let error = ending::wait(&running).expect_err("it fails");
    (error, address.to_string())
}

const POLICY: &str = "correct the input, or let the source skip such records with \
    .on_error(OnError::Skip) or keep them with .dead_letter(name, sink)";

#[test]
fn a_connection_that_ends_within_a_line_is_told_with_what_came() {
    let (error, address) = error(b"whole\nhal", |bytes| bytes.lines());
    check(
        &error,
        ErrorKind::Data,
        Code::Truncated,
        format!(
            "cannot decode a message: source \"lines\", tcp://{address} (partition 0), record 2: \
             the input ends within a record, after 3 of its bytes; \
             check that the sender completes its last record before it closes; message hal; {POLICY}"
        ),
    );
}

#[test]
fn a_connection_that_ends_within_a_frame_is_told_with_what_came() {
    let (error, address) = error(b"\0\0\0\x04full\0\0\0\x04ha", |bytes| {
        bytes.framed(FrameHeader::u32()).lines()
    });
    check(
        &error,
        ErrorKind::Data,
        Code::Truncated,
        format!(
            "cannot decode a message: source \"lines\", tcp://{address} (partition 0), record 2: \
             the input ends within a record, after 6 of its bytes; \
             check that the sender completes its last record before it closes; \
             message \0\0\0\x04ha; {POLICY}"
        ),
    );
}

#[test]
fn a_frame_of_64_mb_is_refused_by_the_default_limit() {
    let (error, address) = error(&(64u32 << 20).to_be_bytes(), |bytes| {
        bytes.framed(FrameHeader::u32()).lines()
    });
    check(
        &error,
        ErrorKind::Data,
        Code::FrameTooLong,
        format!(
            "cannot decode a message: source \"lines\", tcp://{address} (partition 0), record 1: \
             a frame says it has 67108864 bytes, the limit is 16777216; \
             check that the sender writes the length as this source reads it, or raise max_frame_bytes; \
             message \x04\0\0\0; {POLICY}"
        ),
    );
}

/// The application waited for the server for ever.
#[test]
fn a_server_that_is_gone_at_the_end_ends_the_application_with_what_was_not_delivered() {
    // Small rows fit into the sink; of large ones most wait in front of it, so that it cannot be flushed.
    for (bytes, workers) in [(10, 1), (10, 2), (1 << 20, 1), (1 << 20, 2)] {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = free.local_addr().expect("it is bound").to_string();
        drop(free);
        let rows = vec!["x".repeat(bytes); 12];
        let sink = tcp_sink(address)
            .give_up_after(Duration::from_millis(1))
            .lines();
        let app = App::new("gone").add(source("rows", iter(rows)).to_sink("server", sink));
        let error = ending::failure(app, Options::with_workers(workers));
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Unavailable, Code::SinkLost),
            "{error}"
        );
        let text = error.to_string();
        let number_before = |what: &str| -> u64 {
            let before = text
                .split(what)
                .next()
                .and_then(|text| text.split(' ').next_back());
            before.and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        let undelivered = number_before(" rows to") + number_before(" row to");
        let waited = number_before(" more message");
        assert_eq!(undelivered + waited, 12, "{text}");
    }
}
