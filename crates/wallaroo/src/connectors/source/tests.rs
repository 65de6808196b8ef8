//! Files, read through the public builders.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;
use wallaroo_core::{Read, Source};

use super::*;
use crate::connectors::testing::{Worker, refusal};

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Row {
    a: String,
    b: u32,
}

fn row(a: &str, b: u32) -> Row {
    Row { a: a.into(), b }
}

/// A directory with one file.
fn written(bytes: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("input");
    fs::write(&path, bytes).unwrap();
    (directory, path)
}

fn append(path: &Path, bytes: &[u8]) {
    fs::OpenOptions::new()
        .append(true)
        .open(path)
        .unwrap()
        .write_all(bytes)
        .unwrap();
}

#[test]
fn lines_are_read_to_the_end() {
    let (_directory, path) = written("one\r\n\ntwo");
    let worker = Worker::open(&mut file(&path).lines()).run();
    assert_eq!(
        (worker.messages, worker.numbers),
        (
            vec!["one".to_owned(), String::new(), "two".to_owned()],
            vec![1, 2, 3]
        )
    );
    assert_eq!(
        worker.reader.position(),
        Position::of(json!({"offset": 9, "record": 3}))
    );
}

#[test]
fn csv_is_read_by_the_names_in_its_header() {
    let (_directory, path) = written("b,extra,a\n1,x,\"q\nr\"\n\nbad,x,y\n3,,z");
    let worker = Worker::open(&mut file(&path).csv::<Row>()).run();
    assert_eq!(
        (worker.messages, worker.numbers),
        (vec![row("q\nr", 1), row("z", 3)], vec![1, 4])
    );
    let text = "cannot decode column \"b\" at byte 1: expected a whole number, found \"bad\"";
    assert_eq!(
        worker.rejected,
        [(3, b"bad,x,y".to_vec(), Some(Code::Decode), text.to_owned())]
    );
}

#[test]
fn json_lines_are_read() {
    let (_directory, path) = written("{\"a\":\"x\",\"b\":1}\n{\"b\":2}\n\n");
    let worker = Worker::open(&mut file(&path).json::<Row>()).run();
    assert_eq!(worker.messages, [row("x", 1)]);
    let text = "cannot decode JSON at byte 7: missing field `a`";
    assert_eq!(
        worker.rejected,
        [(
            2,
            b"{\"b\":2}".to_vec(),
            Some(Code::Decode),
            text.to_owned()
        )]
    );
}

#[test]
fn framed_files_are_read_and_a_cut_end_is_rejected() {
    let (_directory, path) = written(b"\x01\0a\0\0\x05\0bc");
    let worker = Worker::open(
        &mut file(&path)
            .framed(FrameHeader::u16().little_endian())
            .lines(),
    )
    .run();
    assert_eq!(worker.messages, ["a", ""]);
    let text = "the input ends within a record, after 4 of its bytes; check that the sender completes its last record \
                before it closes";
    assert_eq!(
        worker.rejected,
        [(
            3,
            b"\x05\0bc".to_vec(),
            Some(Code::Truncated),
            text.to_owned()
        )]
    );
}

#[test]
fn a_function_decodes_and_filters() {
    let (_directory, path) = written("7\nskip\nx\n");
    let decode = |line: &[u8]| {
        let line = std::str::from_utf8(line)?;
        Ok(if line == "skip" {
            None
        } else {
            Some(line.parse::<u8>()?)
        })
    };
    let worker = Worker::open(&mut file(&path).decode(decode)).run();
    assert_eq!(worker.messages, [7]);
    let text = "cannot decode the record".to_owned();
    assert_eq!(
        worker.rejected,
        [(3, b"x".to_vec(), Some(Code::Decode), text)]
    );
}

#[test]
fn an_over_long_line_is_rejected_and_the_next_is_read() {
    let long = "x".repeat(600_000);
    let (_directory, path) = written(format!("a\n{long}\nb\n"));
    let worker = Worker::open(&mut file(&path).max_line_bytes(100_000).lines()).run();
    assert_eq!(
        (worker.messages, worker.numbers),
        (vec!["a".to_owned(), "b".to_owned()], vec![1, 3])
    );
    let text = "a line is longer than the limit of 100000 bytes; check that the input is made of lines and that its quotes \
                are closed, or raise max_line_bytes";
    assert_eq!(
        worker.rejected,
        [(
            2,
            vec![b'x'; 1024],
            Some(Code::LineTooLong),
            text.to_owned()
        )]
    );
}

#[test]
fn a_line_longer_than_the_buffer_is_read() {
    let long = "x".repeat(900_000);
    let (_directory, path) = written(format!("a\n{long}\nb\n"));
    assert_eq!(
        Worker::open(&mut file(&path).lines()).run().messages,
        ["a", &long, "b"]
    );
}

#[test]
fn a_followed_file_goes_on_when_it_grows() {
    let (_directory, path) = written("one\ntw");
    let mut worker = Worker::open(&mut file(&path).follow(true).lines());
    worker.run_until(|worker| worker.messages.len() == 1);
    assert!(matches!(worker.step().unwrap(), Read::IdleFor(_)));
    append(&path, b"o\nthree\n");
    worker.run_until(|worker| worker.messages.len() == 3);
    assert_eq!(worker.messages, ["one", "two", "three"]);
}

#[test]
fn a_followed_file_may_get_its_header_later() {
    let (_directory, path) = written("a");
    let mut worker = Worker::open(&mut file(&path).follow(true).csv::<Row>());
    assert!(matches!(worker.step().unwrap(), Read::IdleFor(_)));
    append(&path, b",b\nx,1\n");
    worker.run_until(|worker| worker.messages.len() == 1);
    assert_eq!(worker.messages, [row("x", 1)]);
}

#[test]
fn redirect_keeps_the_format() {
    let (_directory, path) = written("a,b\nx,1\n");
    let mut source = file("nowhere.csv").csv::<Row>();
    source
        .redirect(&format!("file://{}", path.display()))
        .unwrap();
    assert_eq!(Worker::open(&mut source).run().messages, [row("x", 1)]);
    assert!(source.replays());
    source.redirect("127.0.0.1:0").unwrap();
    assert!(!source.replays());
}

/// Files with everything that can make positions wrong.
fn any_file() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        4 => "[a-z]{0,5},[0-9]{1,3}",
        1 => "\"[a-z]{0,3}\n\"\"[a-z]{0,3}\",[0-9]",
        1 => "[a-z]{30}",
        1 => Just(String::new()),
        1 => "[a-z]{1,4}",
        1 => "\"[a-z]{1,4}",
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| format!("a,b\r\n{}", lines.join("\n")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_file_can_be_continued_at_every_position(text in any_file(), room in 1usize..4, kind in 0u8..2) {
        let (_directory, path) = written(text);
        let open = || {
            let bytes = file(&path).max_line_bytes(20);
            match kind {
                0 => bytes.csv::<Row>(),
                _ => bytes.decode(|line| Ok((line.len() != 2).then(|| row(std::str::from_utf8(line).unwrap(), 0)))),
            }
        };
        let whole = Worker::open(&mut open()).run();
        let mut worker = Worker::open(&mut open()).with_room(room);
        loop {
            let read = worker.step().unwrap();
            let (position, number) = (worker.reader.position(), worker.next_number());
            let name = path.display().to_string();
            let rest = Worker::open_at(&mut open(), &name, Some((&position, number))).run();
            let behind = |numbers: &[u64]| numbers.iter().filter(|at| **at < number).count();
            prop_assert_eq!(&rest.messages, &whole.messages[behind(&whole.numbers)..]);
            prop_assert_eq!(&rest.numbers, &whole.numbers[behind(&whole.numbers)..]);
            let rejected = whole.rejected.iter().filter(|(at, ..)| *at >= number).cloned().collect::<Vec<_>>();
            prop_assert_eq!(rest.rejected, rejected);
            if read == Read::End {
                break;
            }
        }
        prop_assert_eq!(worker.messages, whole.messages);
    }
}

#[test]
fn a_position_within_an_over_long_line_continues_behind_it() {
    let (_directory, path) = written(format!("{}\nb\n", "x".repeat(5_000_000)));
    let open = || file(&path).max_line_bytes(10).lines();
    let mut worker = Worker::open(&mut open());
    worker.step().unwrap();
    let position = worker.reader.position();
    assert!(position.get::<Place>().unwrap().skip, "{position:?}");
    let rest = Worker::open_at(
        &mut open(),
        "input",
        Some((&position, worker.next_number())),
    )
    .run();
    assert_eq!(
        (rest.messages, rest.numbers, rest.rejected),
        (vec!["b".to_owned()], vec![2], vec![])
    );
}

mod errors {
    use super::*;

    #[test]
    fn a_missing_file() {
        let text = "the file \"nowhere.csv\" does not exist; check the path; a relative path starts at the working directory";
        assert_eq!(
            refusal(file("nowhere.csv").lines().partitions(1)),
            (Code::SourceMissing, text.to_owned())
        );
    }

    #[test]
    fn a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let text = format!(
            "cannot read the file {:?}: it is a directory; give the path of a file; streams can be sent to a TCP source",
            directory.path()
        );
        assert_eq!(
            refusal(file(directory.path()).lines().partitions(1)),
            (Code::SourceUnreadable, text)
        );
    }

    #[test]
    fn a_device() {
        let text = "cannot read the file \"/dev/null\": it is no regular file; give the path of a file; streams can be sent \
                    to a TCP source";
        assert_eq!(
            refusal(file("/dev/null").lines().partitions(1)),
            (Code::SourceUnreadable, text.to_owned())
        );
    }

    #[test]
    fn a_missing_column_before_any_record() {
        let (_directory, path) = written("a,c\nx,1\n");
        let text = format!(
            "cannot read the file {path:?}: the header has no column \"b\", it has \"a\", \"c\"; correct the header, rename \
             the field with #[serde(rename)], or give it #[serde(default)]"
        );
        let mut source = file(&path).csv::<Row>();
        let partition = source.partitions(1).unwrap().remove(0);
        let opened = source.open(&partition, None, &Waker::disconnected());
        assert_eq!(refusal(opened), (Code::Column, text.clone()));
        // A file that is followed may get its header later.
        let mut worker = Worker::open(&mut file(&path).follow(true).csv::<Row>());
        assert_eq!(refusal(worker.step()), (Code::Column, text));
        assert!(worker.messages.is_empty() && worker.rejected.is_empty());
    }

    #[test]
    fn a_frame_above_the_limit() {
        let (_directory, path) = written(b"\x01a\xffb");
        let text = format!(
            "cannot read the file {path:?} behind byte 2: a frame says it has 255 bytes, the limit is 9; check that the \
             sender writes the length as this source reads it, or raise max_frame_bytes"
        );
        let mut worker = Worker::open(
            &mut file(&path)
                .framed(FrameHeader::u8())
                .max_frame_bytes(9)
                .lines(),
        );
        assert_eq!(refusal(worker.step()), (Code::FrameTooLong, text));
        assert_eq!(worker.messages, ["a"]);
    }

    #[test]
    fn a_followed_file_that_shrinks() {
        let (_directory, path) = written("one\ntwo\n");
        let mut worker = Worker::open(&mut file(&path).follow(true).lines());
        worker.run_until(|worker| worker.messages.len() == 2);
        fs::write(&path, "one\n").unwrap();
        let text = format!(
            "the file {path:?} got shorter while it was read: 4 bytes, 8 had been read; only append to a file that is \
             followed; to start anew, write a new file and restart"
        );
        assert_eq!(refusal(worker.step()), (Code::SourceUnreadable, text));
    }

    #[test]
    fn a_position_behind_the_end() {
        let (_directory, path) = written("one\n");
        let text = format!(
            "cannot continue the file {path:?} at byte 9: it has only 4 bytes; bring back the file that was read before, or \
             start from the beginning under another source name"
        );
        let position = Position::of(Place {
            offset: 9,
            record: 2,
            skip: false,
        });
        let opened = file(&path)
            .lines()
            .open("input", Some(&position), &Waker::disconnected());
        assert_eq!(refusal(opened.map(drop)), (Code::SourceUnreadable, text));
    }

    #[test]
    fn a_position_of_another_source() {
        let (_directory, path) = written("one\n");
        let opened =
            file(&path)
                .lines()
                .open("input", Some(&Position::of("x")), &Waker::disconnected());
        let text = "cannot use the stored position \"x\"; it belongs to another kind of source; start under another source name";
        assert_eq!(opened.err().unwrap().to_string(), text);
    }
}
