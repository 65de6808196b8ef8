//! Sinks, used as the engine uses them.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use crossbeam_channel::Receiver;
use serde::Serialize;
use wallaroo_core::{Code, ConnectorError, Waker, Write, Writer};

use super::*;
use crate::connectors::testing::{PATIENCE, refusal, waker};
use crate::connectors::{BoxError, FrameHeader};

#[derive(Clone, Serialize)]
struct Alert {
    symbol: String,
    close: f64,
}

fn alert(symbol: &str, close: f64) -> Alert {
    Alert {
        symbol: symbol.into(),
        close,
    }
}

/// Encodes and writes as the engine does.
struct Output<T> {
    encoder: Arc<dyn Encoder<T>>,
    writer: Box<dyn Writer<Rows>>,
    woken: Receiver<()>,
}

impl<T: 'static> Output<T> {
    fn open(sink: impl IntoSink<T>) -> Result<Self, ConnectorError> {
        let SinkParts::Rows(encoder, mut sink) = sink.into_sink() else {
            panic!("not a sink of rows")
        };
        let (waker, woken) = waker();
        Ok(Output {
            encoder,
            writer: sink.open(&waker)?,
            woken,
        })
    }

    fn encode(&self, messages: &[T]) -> Rows {
        let mut rows = Rows::default();
        messages.iter().for_each(|message| {
            rows.push_with(|row| self.encoder.encode(message, row))
                .unwrap()
        });
        rows
    }

    fn write(&mut self, messages: &[T]) {
        let mut rows = self.encode(messages);
        while self.writer.write(&mut rows).unwrap() == Write::Blocked {
            self.woken.recv_timeout(PATIENCE).unwrap();
        }
    }

    fn flush(&mut self) {
        while self.writer.flush().unwrap() == Write::Blocked {
            self.woken.recv_timeout(PATIENCE).unwrap();
        }
    }
}

/// What a sink makes of messages in a new file.
fn in_file<T: 'static>(
    messages: &[T],
    sink: impl FnOnce(ByteSink<FileOutput>) -> Encoded<ByteSink<FileOutput>, T>,
) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let mut output = Output::open(sink(file_sink(&path))).unwrap();
    output.write(messages);
    output.flush();
    fs::read(&path).unwrap()
}

fn text<T: 'static>(
    messages: &[T],
    sink: impl FnOnce(ByteSink<FileOutput>) -> Encoded<ByteSink<FileOutput>, T>,
) -> String {
    String::from_utf8(in_file(messages, sink)).unwrap()
}

#[test]
fn every_encoder_writes_its_rows() {
    let alerts = [alert("A", 1.5), alert("B,\"\n", 2.0)];
    assert_eq!(
        text(&alerts, ByteSink::json),
        "{\"symbol\":\"A\",\"close\":1.5}\n{\"symbol\":\"B,\\\"\\n\",\"close\":2.0}\n"
    );
    assert_eq!(
        text(&alerts, ByteSink::csv),
        "symbol,close\nA,1.5\n\"B,\"\"\n\",2.0\n"
    );
    assert_eq!(text(&[(1, "x")], ByteSink::csv), "1,x\n");
    assert_eq!(text(&[7, 8], ByteSink::lines), "7\n8\n");
    let encode = |number: &u8, row: &mut Vec<u8>| -> Result<(), BoxError> {
        row.push(*number);
        Ok(())
    };
    assert_eq!(in_file(&[7, 8], |sink| sink.encode(encode)), [7, 8]);
}

#[test]
fn framed_rows_have_their_length_in_front() {
    assert_eq!(
        in_file(&["a", ""], |sink| sink.framed(FrameHeader::u16()).lines()),
        b"\0\x01a\0\0"
    );
    assert_eq!(
        in_file(&[7], |sink| sink
            .framed(FrameHeader::u16().little_endian())
            .json()),
        b"\x01\x007"
    );
    assert_eq!(
        in_file(&[alert("A", 1.0)], |sink| sink
            .framed(FrameHeader::u8())
            .csv()),
        b"\x0csymbol,close\x05A,1.0"
    );
    let encoder = |number: &u8, row: &mut Vec<u8>| {
        row.push(*number);
        Ok::<_, ConnectorError>(())
    };
    assert_eq!(
        in_file(&[7], |sink| sink.framed_with(encoder)),
        b"\0\0\0\x01\x07"
    );
}

#[test]
fn a_row_that_cannot_be_encoded_leaves_nothing_behind() {
    let check = |result: Result<(), ConnectorError>, row: &[u8], text: &str| {
        assert_eq!(refusal(result), (Code::Encode, text.to_owned()));
        assert_eq!(row, b"before");
    };
    let mut row = b"before".to_vec();
    let framed = Output::open(
        file_sink(tempfile::NamedTempFile::new().unwrap().path())
            .framed(FrameHeader::u8())
            .lines(),
    )
    .unwrap();
    let result = framed.encoder.encode(&"x".repeat(256), &mut row);
    check(
        result,
        &row,
        "cannot write a record of 256 bytes behind a length of 1 bytes; choose a longer header in framed",
    );
    let lists =
        Output::open(file_sink(tempfile::NamedTempFile::new().unwrap().path()).json()).unwrap();
    let result = lists
        .encoder
        .encode(&std::collections::BTreeMap::from([((1, 2), 3)]), &mut row);
    check(
        result,
        &row,
        "cannot encode the message as JSON: key must be a string",
    );
    let nested =
        Output::open(file_sink(tempfile::NamedTempFile::new().unwrap().path()).csv()).unwrap();
    let result = nested
        .encoder
        .encode(&std::collections::BTreeMap::from([("a", 1)]), &mut row);
    check(
        result,
        &row,
        "cannot encode the message as CSV: serializing maps is not supported; a row has plain values only; use json for messages with lists or maps",
    );
}

#[test]
fn large_batches_and_small_ones_keep_their_order() {
    let numbers: Vec<u32> = (0..60_000).collect();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let mut output = Output::open(file_sink(&path).lines()).unwrap();
    output.write(&numbers[..3]);
    output.write(&numbers[3..50_000]);
    numbers[50_000..]
        .chunks(7)
        .for_each(|chunk| output.write(chunk));
    output.flush();
    let expected: String = numbers.iter().map(|number| format!("{number}\n")).collect();
    assert!(fs::read_to_string(&path).unwrap() == expected);
}

#[test]
fn a_file_is_emptied_or_appended_to_and_has_one_header() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let write = |append: bool| {
        let mut output = Output::open(file_sink(&path).append(append).csv()).unwrap();
        output.write(&[]);
        output.write(&[alert("A", 1.0)]);
        output.flush();
        fs::read_to_string(&path).unwrap()
    };
    assert_eq!(write(true), "symbol,close\nA,1.0\n");
    assert_eq!(write(true), "symbol,close\nA,1.0\nA,1.0\n");
    assert_eq!(write(false), "symbol,close\nA,1.0\n");
}

#[test]
fn redirect_keeps_the_encoder() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let SinkParts::Rows(encoder, mut sink) = IntoSink::<u8>::into_sink(stdout().lines()) else {
        panic!()
    };
    sink.redirect(path.to_str().unwrap()).unwrap();
    let mut writer = sink.open(&Waker::disconnected()).unwrap();
    let mut rows = Rows::default();
    rows.push_with(|row| encoder.encode(&7, row)).unwrap();
    writer.write(&mut rows).unwrap();
    writer.flush().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "7\n");
    sink.redirect("discard:").unwrap();
    sink.open(&Waker::disconnected()).unwrap();
}

#[test]
fn a_device_that_fails_is_told_to_the_worker() {
    let mut output = Output::open(file_sink("/dev/full").lines()).unwrap();
    let mut rows = output.encode(&[7]);
    output.writer.write(&mut rows).unwrap();
    let error = loop {
        match output.writer.flush() {
            Ok(_) => output.woken.recv_timeout(PATIENCE).unwrap(),
            Err(error) => break error,
        }
    };
    let text = "cannot write to \"/dev/full\": no space left on the device; correct the cause and start again, or write to a file";
    assert_eq!(
        refusal::<()>(Err(error)),
        (Code::SinkWrite, text.to_owned())
    );
}

#[test]
fn a_stream_that_nobody_reads_blocks_the_worker_and_then_fails_in_clear_words() {
    let (reader, pipe) = std::io::pipe().unwrap();
    let (waker, woken) = waker();
    let name = "the standard output".to_owned();
    let mut writer =
        stream::through_thread(Box::new(pipe), name, csv::Preamble::default(), &waker).unwrap();
    let mut taken = 0;
    let mut rows = Rows::default();
    loop {
        rows.push(&[b'x'; 65536]);
        if writer.write(&mut rows).unwrap() == Write::Blocked {
            // Blocked for good only once the thread holds one full buffer itself.
            if woken.recv_timeout(Duration::from_millis(200)).is_err() {
                break;
            }
        } else {
            taken += 65536;
        }
        assert!(
            taken <= 3 * outbox::LIMIT_BYTES,
            "{taken} bytes were taken and nothing read"
        );
    }
    drop(reader);
    let error = loop {
        match writer.flush() {
            Ok(_) => woken.recv_timeout(PATIENCE).unwrap(),
            Err(error) => break error,
        }
    };
    let text = "cannot write to the standard output: the reader has gone; the program that reads it has ended; keep it \
                running, or write to a file";
    assert_eq!(
        refusal::<()>(Err(error)),
        (Code::SinkWrite, text.to_owned())
    );
}

#[test]
fn a_memory_sink_keeps_messages_for_its_handle() {
    let kept = memory::<u32>();
    let SinkParts::Messages(mut sink) = IntoSink::<u32>::into_sink(kept.clone()) else {
        panic!()
    };
    let mut writer = sink.open(&Waker::disconnected()).unwrap();
    assert!(!kept.wait_for(1, Duration::from_millis(1)));
    std::thread::scope(|scope| {
        scope.spawn(|| writer.write(&mut vec![1, 2]).unwrap());
        assert!(kept.wait_for(2, PATIENCE));
    });
    assert_eq!(
        (kept.snapshot(), kept.len(), kept.is_empty()),
        (vec![1, 2], 2, false)
    );
    assert_eq!((kept.take(), kept.len()), (vec![1, 2], 0));
}

#[test]
fn a_discarding_sink_takes_everything() {
    let SinkParts::Messages(mut sink) = IntoSink::<u32>::into_sink(discard()) else {
        panic!()
    };
    let mut messages = vec![1, 2];
    assert_eq!(
        sink.open(&Waker::disconnected())
            .unwrap()
            .write(&mut messages)
            .unwrap(),
        Write::Done
    );
    assert!(messages.is_empty());
}

mod tcp {
    use super::*;

    fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    }

    /// The next connection; fails when none comes.
    fn accept(listener: &TcpListener) -> TcpStream {
        let (_never, timer) = crossbeam_channel::bounded::<()>(0);
        listener.set_nonblocking(true).unwrap();
        for _ in 0..2000 {
            if let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(false).unwrap();
                return stream;
            }
            let _ = timer.recv_timeout(PATIENCE / 2000);
        }
        panic!("no connection came");
    }

    fn lines(stream: TcpStream) -> BufReader<TcpStream> {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        BufReader::new(stream)
    }

    fn line(reader: &mut BufReader<TcpStream>) -> String {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line
    }

    #[test]
    fn rows_arrive_and_the_end_is_orderly() {
        let (listener, address) = listener();
        let mut output = Output::open(tcp_sink(address).csv()).unwrap();
        output.write(&vec![alert("A", 1.0); 10_000]);
        let stream = accept(&listener);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let received = std::thread::scope(|scope| {
            let received = scope.spawn(move || {
                let mut received = String::new();
                (&stream).read_to_string(&mut received).map(|_| received)
            });
            output.flush();
            drop(output);
            received.join().unwrap()
        });
        assert!(received.unwrap() == format!("symbol,close\n{}", "A,1.0\n".repeat(10_000)));
    }

    #[test]
    fn a_lost_connection_is_made_again_and_gets_its_own_header() {
        let (listener, address) = listener();
        let mut output = Output::open(tcp_sink(address).csv()).unwrap();
        for close in 0..5 {
            output.write(&[alert("A", f64::from(close))]);
            let mut reader = lines(accept(&listener));
            assert_eq!(
                (line(&mut reader), line(&mut reader)),
                ("symbol,close\n".into(), format!("A,{close}.0\n"))
            );
            output.flush();
            // Closed while nothing is on its way: the next row must not be lost.
            drop(reader);
        }
    }

    #[test]
    fn rows_wait_for_a_server_that_comes_later() {
        let (gone, address) = listener();
        drop(gone);
        let mut output = Output::open(tcp_sink(address.clone()).lines()).unwrap();
        output.write(&[1, 2]);
        assert_eq!(output.writer.flush().unwrap(), Write::Blocked);
        let listener = TcpListener::bind(&address).unwrap();
        let mut reader = lines(accept(&listener));
        assert_eq!(
            (line(&mut reader), line(&mut reader)),
            ("1\n".into(), "2\n".into())
        );
        output.flush();
    }

    /// What a sink tells that gives up at the end, after it has taken as many of the rows as it could.
    fn given_up(output: &mut Output<String>, rows: &[String]) -> (Code, String) {
        let mut rows = output.encode(rows);
        let _ = output.writer.write(&mut rows).unwrap();
        output.writer.end();
        loop {
            match output.writer.flush() {
                Ok(Write::Blocked) => output.woken.recv_timeout(PATIENCE).unwrap(),
                ended => return refusal(ended),
            }
        }
    }

    /// It waited for ever.
    #[test]
    fn a_server_that_cannot_be_reached_at_the_end_is_given_up() {
        let (gone, address) = listener();
        drop(gone);
        let sink = tcp_sink(address.clone()).give_up_after(Duration::from_millis(1));
        let mut output = Output::open(sink.lines()).unwrap();
        let rows = ["one", "two", "three"].map(str::to_owned);
        let text = format!(
            "cannot deliver 3 rows to {address}: nothing listens there; gave up 1ms after the end; \
             check that the receiver runs and reads, or let the sink wait longer with give_up_after"
        );
        assert_eq!(given_up(&mut output, &rows), (Code::SinkLost, text));
    }

    #[test]
    fn a_server_that_reads_nothing_at_the_end_is_given_up() {
        let (listener, address) = listener();
        let sink = tcp_sink(address).give_up_after(Duration::from_millis(1));
        let mut output = Output::open(sink.lines()).unwrap();
        let _connection = accept(&listener);
        // More than the buffers of both sockets.
        let (code, text) = given_up(&mut output, &["x".repeat(32 << 20)]);
        assert_eq!(code, Code::SinkLost);
        assert!(
            text.contains("cannot deliver 1 row to") && text.contains("reads nothing"),
            "{text}"
        );
    }

    #[test]
    fn a_row_cut_by_a_loss_is_sent_again_whole() {
        let (listener, address) = listener();
        let mut output = Output::open(tcp_sink(address).lines()).unwrap();
        // More than the buffers of both sockets, so that the loss is in the middle.
        let rows: Vec<_> = (0..400).map(|number| format!("{number:0>50000}")).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                output.write(&rows);
                output.flush();
            });
            let mut first = lines(accept(&listener));
            assert_eq!(line(&mut first).trim_end(), rows[0]);
            drop(first);
            let mut second = lines(accept(&listener));
            let row = line(&mut second);
            let start = rows
                .iter()
                .position(|other| other == row.trim_end())
                .expect("a whole row first");
            assert!(start > 0);
            for row in &rows[start + 1..] {
                assert!(line(&mut second).trim_end() == row);
            }
        });
    }

    #[test]
    fn a_server_that_does_not_read_blocks_the_worker_within_the_bound() {
        let (listener, address) = listener();
        let mut output = Output::open(tcp_sink(address).lines()).unwrap();
        let stream = accept(&listener);
        let row = "x".repeat(65535);
        let mut taken = 0;
        loop {
            let mut rows = output.encode(std::slice::from_ref(&row));
            if output.writer.write(&mut rows).unwrap() == Write::Blocked {
                if output
                    .woken
                    .recv_timeout(Duration::from_millis(200))
                    .is_err()
                {
                    break;
                }
                continue;
            }
            taken += 65536;
            assert!(
                taken < 64 << 20,
                "{taken} bytes were taken and nothing read"
            );
        }
        // Dropping ends the write that waits.
        drop(output);
        let mut received = Vec::new();
        let _ = (&stream).read_to_end(&mut received);
        assert!(received.len() <= taken);
    }
}

mod errors {
    use super::*;

    fn opening(path: &Path) -> (Code, String) {
        refusal(Output::open(file_sink(path).lines::<u8>()))
    }

    #[test]
    fn a_directory_that_does_not_exist() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("none/out");
        let text = format!(
            "cannot write the file {path:?}: no such file or directory; the directory {:?} does not exist: create it, or \
             correct the path",
            path.parent().unwrap()
        );
        assert_eq!(opening(&path), (Code::SinkOpen, text));
    }

    #[test]
    fn a_directory_in_place_of_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let text = format!(
            "cannot write the file {:?}: it is a directory; give the path of a file in it",
            directory.path()
        );
        assert_eq!(opening(directory.path()), (Code::SinkOpen, text));
    }

    #[test]
    fn a_file_in_place_of_a_directory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().join("out");
        let text = format!(
            "cannot write the file {path:?}: a part of the path is not a directory; check the path and the disk"
        );
        assert_eq!(opening(&path), (Code::SinkOpen, text));
    }

    #[test]
    fn an_address_without_port() {
        let text = "cannot use the TCP address \"127.0.0.1\": expected HOST:PORT; write it like 127.0.0.1:7010, or \
                    0.0.0.0:7010 for all interfaces";
        assert_eq!(
            refusal(Output::open(tcp_sink("127.0.0.1").lines::<u8>())),
            (Code::Address, text.to_owned())
        );
    }
}
