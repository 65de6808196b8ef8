//! Listening, over real loopback sockets.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Weak;
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use wallaroo_core::{Read, Source};

use super::*;
use crate::connectors::source::ByteSource;
use crate::connectors::testing::{PATIENCE, Worker, refusal, waker};
use crate::connectors::{FrameHeader, file};

fn bytes() -> Bytes<TcpInput> {
    tcp_listener("127.0.0.1:0")
}

fn connect<T>(source: &ByteSource<T>) -> TcpStream {
    let stream = TcpStream::connect(source.listener().local_address().unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Waits until the other side has closed.
fn wait_for_close(mut stream: &TcpStream) {
    let mut rest = Vec::new();
    // A reset is as good as an end.
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty());
}

/// Sends and closes.
fn send<T>(source: &ByteSource<T>, bytes: &[u8]) {
    let mut stream = connect(source);
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    wait_for_close(&stream);
}

#[test]
fn lines_of_a_connection_are_read_in_order() {
    let mut source = bytes().lines();
    let mut worker = Worker::open(&mut source);
    let mut stream = connect(&source);
    stream.write_all(b"one\r\ntw").unwrap();
    worker.run_until(|worker| worker.messages.len() == 1);
    stream.write_all(b"o\n\nthree\n").unwrap();
    worker.run_until(|worker| worker.messages.len() == 4);
    assert_eq!(worker.messages, ["one", "two", "", "three"]);
    drop(stream);
    send(&source, b"again\n");
    worker.run_until(|worker| worker.messages.len() == 5);
    assert_eq!(
        (worker.numbers, worker.rejected),
        (vec![1, 2, 3, 4, 5], vec![])
    );
}

#[test]
fn an_unfinished_last_line_is_rejected() {
    let mut source = bytes().lines();
    let mut worker = Worker::open(&mut source);
    send(&source, b"one\ntwo");
    worker.run_until(|worker| !worker.rejected.is_empty());
    let text = "the input ends within a record, after 3 of its bytes; check that the sender completes its last record \
                before it closes";
    assert_eq!(worker.messages, ["one"]);
    assert_eq!(
        worker.rejected,
        [(2, b"two".to_vec(), Some(Code::Truncated), text.to_owned())]
    );
}

#[test]
fn frames_are_read_and_one_above_the_limit_ends_its_connection_only() {
    let mut source = bytes()
        .framed(FrameHeader::default())
        .max_frame_bytes(1000)
        .lines();
    let mut worker = Worker::open(&mut source);
    let mut good = connect(&source);
    send(&source, b"\0\0\0\x01a\0\0\0\0\0\0\x03\xe9bcd");
    worker.run_until(|worker| worker.rejected.len() == 1);
    let text = "a frame says it has 1001 bytes, the limit is 1000; check that the sender writes the length as this source \
                reads it, or raise max_frame_bytes";
    assert_eq!(worker.messages, ["a", ""]);
    assert_eq!(
        worker.rejected,
        [(
            3,
            b"\0\0\x03\xe9bcd".to_vec(),
            Some(Code::FrameTooLong),
            text.to_owned()
        )]
    );
    good.write_all(b"\0\0\0\x01z").unwrap();
    worker.run_until(|worker| worker.messages.len() == 3);
    assert_eq!((worker.messages[2].as_str(), worker.numbers[2]), ("z", 4));
}

#[test]
fn an_over_long_line_is_rejected_in_its_place() {
    let mut source = bytes().max_line_bytes(3).lines();
    let mut worker = Worker::open(&mut source);
    send(
        &source,
        format!("a\n{}\nb\n", "x".repeat(100_000)).as_bytes(),
    );
    worker.run_until(|worker| worker.messages.len() == 2);
    assert_eq!(
        (worker.messages, worker.numbers),
        (vec!["a".to_owned(), "b".to_owned()], vec![1, 3])
    );
    assert_eq!(
        (worker.rejected[0].0, worker.rejected[0].2),
        (2, Some(Code::LineTooLong))
    );
}

#[derive(Debug, PartialEq, Deserialize)]
struct Row {
    a: String,
    b: u32,
}

#[test]
fn each_connection_has_its_own_csv_header() {
    let mut source = bytes().csv::<Row>();
    let mut worker = Worker::open(&mut source);
    send(&source, b"a,b\n\"x\ny\",1\n");
    worker.run_until(|worker| worker.messages.len() == 1);
    send(&source, b"b,a\n2,z\n");
    worker.run_until(|worker| worker.messages.len() == 2);
    let mut wrong = connect(&source);
    wrong.write_all(b"a,c\nx,1\nx,2\n").unwrap();
    worker.run_until(|worker| !worker.rejected.is_empty());
    wait_for_close(&wrong);
    send(&source, b"b,a\n3,w\n");
    worker.run_until(|worker| worker.messages.len() == 3);
    let row = |a: &str, b| Row { a: a.into(), b };
    assert_eq!(worker.messages, [row("x\ny", 1), row("z", 2), row("w", 3)]);
    assert_eq!(
        (worker.rejected.len(), worker.rejected[0].2),
        (1, Some(Code::Column))
    );
}

#[test]
fn large_frames_and_many_connections_keep_their_order() {
    const CONNECTIONS: usize = 50;
    const RECORDS: usize = 200;
    let mut source = bytes().framed(FrameHeader::default()).lines();
    let names = source.partitions(2).unwrap();
    let mut workers: Vec<_> = names
        .iter()
        .map(|name| Worker::open_at(&mut source, name, None))
        .collect();
    let record = |connection: usize, number: usize| {
        let mut record = format!("{connection} {number} ");
        let len = if number == 7 { 70_000 } else { number % 300 };
        record.extend(std::iter::repeat_n('x', len));
        record
    };
    let read = thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let mut stream = connect(&source);
            scope.spawn(move || {
                for number in 0..RECORDS {
                    let record = record(connection, number);
                    stream
                        .write_all(&(record.len() as u32).to_be_bytes())
                        .unwrap();
                    stream.write_all(record.as_bytes()).unwrap();
                }
            });
        }
        let readers: Vec<_> = workers
            .drain(..)
            .map(|mut worker| {
                scope.spawn(move || {
                    worker.run_until(|worker| worker.messages.len() == CONNECTIONS * RECORDS / 2);
                    worker.messages
                })
            })
            .collect();
        readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .collect::<Vec<_>>()
    });
    for connection in 0..CONNECTIONS {
        let prefix = format!("{connection} ");
        let of_connection: Vec<_> = read[connection % 2]
            .iter()
            .filter(|record| record.starts_with(&prefix))
            .cloned()
            .collect();
        let expected: Vec<_> = (0..RECORDS)
            .map(|number| record(connection, number))
            .collect();
        assert!(of_connection == expected, "connection {connection}");
    }
}

#[test]
fn a_worker_that_does_not_read_makes_the_sender_wait() {
    let mut source = bytes().lines();
    let mut worker = Worker::open(&mut source);
    let mut stream = connect(&source);
    // Longer than any pause of a sender that may go on, and how this test notices that it may not.
    stream
        .set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let line = [&[b'x'; 1023][..], b"\n"].concat().repeat(64);
    let mut sent = 0;
    let error = loop {
        match stream.write(&line[sent % line.len()..]) {
            Ok(count) => sent += count,
            Err(error) => break error,
        }
        // Inbox and chunk of this source, and the buffers of both sockets, which Linux lets grow to 10 MiB.
        assert!(sent < 24 << 20, "{sent} bytes were sent and none was read");
    };
    assert!(
        matches!(
            error.kind(),
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
        ),
        "{error}"
    );
    worker.run_until(|worker| worker.messages.len() == sent / 1024);
    assert!(worker.messages.iter().all(|line| line.len() == 1023));
}

#[test]
fn what_was_read_before_a_stop_is_delivered_and_the_end_comes() {
    let mut source = bytes().lines();
    let mut worker = Worker::open(&mut source);
    let mut streams: Vec<_> = (0..3).map(|_| connect(&source)).collect();
    for stream in &mut streams {
        stream.write_all(b"one\ntwo\nhal").unwrap();
    }
    worker.run_until(|worker| worker.messages.len() == 6);
    let worker = worker.stop();
    assert_eq!((worker.messages.len(), worker.rejected), (6, vec![]));
    streams.iter().for_each(wait_for_close);
}

#[test]
fn a_stop_ends_senders_that_never_pause() {
    let mut source = bytes().lines();
    let mut worker = Worker::open(&mut source);
    let mut stream = connect(&source);
    let sender = thread::Builder::new()
        .spawn(move || while stream.write_all(b"a line\n").is_ok() {})
        .unwrap();
    worker.run_until(|worker| worker.messages.len() > 10_000);
    let worker = worker.stop();
    assert!(worker.messages.iter().all(|line| line == "a line"));
    drop(worker);
    sender.join().unwrap();
}

/// Waits until all threads of the source have ended: they share what `hub` points to.
fn wait_for_end(hub: &Weak<Hub>) {
    let (_never, timer) = crossbeam_channel::bounded::<()>(0);
    for _ in 0..1000 {
        if hub.strong_count() == 0 {
            return;
        }
        let _ = timer.recv_timeout(PATIENCE / 1000);
    }
    panic!("{} threads are left", hub.strong_count());
}

#[test]
fn all_threads_end_when_the_readers_are_dropped() {
    let mut input = TcpInput::new("127.0.0.1:0");
    let names = input.partitions(2).unwrap();
    let framing = Framing {
        unit: crate::connectors::framing::Unit::Lines,
        max_line_bytes: 9,
        max_frame_bytes: 0,
    };
    let open: Vec<_> = names
        .iter()
        .map(|name| input.open(name, framing, &waker().0).unwrap())
        .collect();
    let address = input.handle().local_address().unwrap();
    let mut streams: Vec<_> = (0..4)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    streams[0].write_all(b"a\nb").unwrap();
    let hub = Arc::downgrade(&open[0].hub);
    drop((open, input));
    wait_for_end(&hub);
    TcpListener::bind(address).expect("the port is free again");
}

#[test]
fn connections_above_the_limit_are_closed_until_one_ends() {
    let mut source = bytes().max_connections(1).lines();
    let mut worker = Worker::open(&mut source);
    let mut first = connect(&source);
    first.write_all(b"first\n").unwrap();
    worker.run_until(|worker| worker.messages.len() == 1);
    wait_for_close(&connect(&source));
    drop(first);
    // The first has ended once its thread has noticed; until then connections are closed.
    let mut again = connect(&source);
    for _ in 0..1000 {
        let _ = again.write_all(b"again\n");
        again
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        match again.read(&mut [0]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
            Ok(_) | Err(_) => again = connect(&source),
        }
    }
    worker.run_until(|worker| worker.messages.len() == 2);
    assert_eq!(worker.messages, ["first", "again"]);
}

#[test]
fn the_port_is_taken_by_bind_or_at_the_start() {
    let bound = bytes().bind().unwrap();
    let address = bound.local_address().unwrap();
    let mut source = bound.lines();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"early\n").unwrap();
    assert_eq!(
        source.partitions(2).unwrap(),
        [
            format!("tcp://{address} (partition 0)"),
            format!("tcp://{address} (partition 1)")
        ]
    );
    let lazy = bytes().lines();
    assert_eq!(lazy.listener().local_address(), None);
    let mut redirected = file("input").lines();
    let handle = redirected.listener();
    redirected.redirect("127.0.0.1:0").unwrap();
    let mut worker = Worker::open(&mut redirected);
    let mut stream = TcpStream::connect(handle.local_address().unwrap()).unwrap();
    stream.write_all(b"hello\n").unwrap();
    worker.run_until(|worker| worker.messages.len() == 1);
}

#[test]
fn nothing_to_read_is_idle() {
    let mut worker = Worker::open(&mut bytes().lines());
    assert_eq!(worker.step().unwrap(), Read::Idle);
}

mod errors {
    use super::*;

    #[test]
    fn a_port_in_use() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let text = format!(
            "cannot listen on {address}: port in use; stop the program that uses it, or choose another port (0 lets the \
             system choose)"
        );
        assert_eq!(
            refusal(tcp_listener(&address).lines().partitions(1)),
            (Code::Listen, text.clone())
        );
        assert_eq!(refusal(tcp_listener(&address).bind()), (Code::Listen, text));
    }

    #[test]
    fn an_address_of_another_machine() {
        let text = "cannot listen on 192.0.2.1:0: this machine does not have the address; use 127.0.0.1 for this machine \
                    only, or 0.0.0.0 for all its interfaces";
        assert_eq!(
            refusal(tcp_listener("192.0.2.1:0").bind()),
            (Code::Listen, text.to_owned())
        );
    }

    #[test]
    fn an_address_without_port() {
        let text = "cannot use the TCP address \"localhost\": expected HOST:PORT; write it like 127.0.0.1:7010, or \
                    0.0.0.0:7010 for all interfaces";
        assert_eq!(
            refusal(tcp_listener("localhost").bind()),
            (Code::Address, text.to_owned())
        );
    }

    #[test]
    fn a_partition_that_is_open_already() {
        let mut source = tcp_listener("127.0.0.1:0").lines();
        let name = source.partitions(1).unwrap().remove(0);
        let _worker = Worker::open_at(&mut source, &name, None);
        let text = format!(
            "cannot read the partition {name:?}: this source has none of that name; it listens on another address, or was \
             opened before"
        );
        assert_eq!(
            refusal(source.open(&name, None, &waker().0).map(drop)),
            (Code::SourceUnreadable, text)
        );
    }
}
