use serde::{Deserialize, Serialize};
use wallaroo::{
    App, Code, DeadLetter, Error, ErrorKind, OnError, Options, file, file_sink, memory, source,
};
use wallaroo_acceptance::ending;

use crate::{Order, check};

/// A file with this content, and its path.
fn written(content: &[u8]) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("orders.txt");
    std::fs::write(&path, content).expect("a file can be written");
    let path = path.to_str().expect("it is text").to_owned();
    (directory, path)
}

fn failure(app: App) -> Error {
    ending::failure(app, Options::default())
}

const POLICY: &str = "correct the input, or let the source skip such records with \
    .on_error(OnError::Skip) or keep them with .dead_letter(name, sink)";

#[test]
fn a_csv_value_of_another_type_is_told_with_record_and_column() {
    let (_directory, path) = written(b"customer,amount\nann,1\nben,many\n");
    let error = failure(App::new("shop").add(source("orders", file(&path).csv::<Order>()).end()));
    check(
        &error,
        ErrorKind::Data,
        Code::Decode,
        format!(
            "cannot decode a message: source \"orders\", {path}, record 2: \
             cannot decode column \"amount\" at byte 5: expected a whole number, found \"many\"; \
             message ben,many; {POLICY}"
        ),
    );
}

#[test]
fn a_csv_row_with_too_few_columns_is_told_with_record() {
    let (_directory, path) = written(b"customer,amount\nann\n");
    let error = failure(App::new("shop").add(source("orders", file(&path).csv::<Order>()).end()));
    check(
        &error,
        ErrorKind::Data,
        Code::Decode,
        format!(
            "cannot decode a message: source \"orders\", {path}, record 1: \
             the row has 1 columns, the header has 2; quote columns that contain the delimiter or a line end; \
             message ann; {POLICY}"
        ),
    );
}

#[test]
fn a_missing_csv_column_is_told_at_the_start() {
    let (_directory, path) = written(b"client,amount\nann,1\n");
    let app = App::new("shop").add(source("orders", file(&path).csv::<Order>()).end());
    let error = app.start(Options::default()).expect_err("it cannot start");
    check(
        &error,
        ErrorKind::Unavailable,
        Code::Column,
        format!(
            "cannot open the source \"orders\": cannot read the file \"{path}\": \
             the header has no column \"customer\", it has \"client\", \"amount\"; correct the header, \
             rename the field with #[serde(rename)], or give it #[serde(default)]"
        ),
    );
}

#[test]
fn json_that_does_not_fit_is_told_with_record_and_byte() {
    let (_directory, path) = written(b"{\"customer\":\"ann\"}\n");
    let error = failure(App::new("shop").add(source("orders", file(&path).json::<Order>()).end()));
    check(
        &error,
        ErrorKind::Data,
        Code::Decode,
        format!(
            "cannot decode a message: source \"orders\", {path}, record 1: \
             cannot decode JSON at byte 18: missing field `amount`; \
             message {{\"customer\":\"ann\"}}; {POLICY}"
        ),
    );
}

#[test]
fn bytes_that_are_not_utf8_are_told_with_record_and_byte() {
    let (_directory, path) = written(b"good\nb\xffd\n");
    let error = failure(App::new("shop").add(source("lines", file(&path).lines()).end()));
    check(
        &error,
        ErrorKind::Data,
        Code::Utf8,
        format!(
            "cannot decode a message: source \"lines\", {path}, record 2: \
             expected UTF-8 text, found another byte at byte 2; \
             convert the input to UTF-8, or read the bytes yourself with decode; \
             message b\u{fffd}d; {POLICY}"
        ),
    );
}

#[test]
fn a_line_above_the_limit_is_told_with_record_and_limit() {
    let (_directory, path) = written(format!("short\n{}\n", "x".repeat(300)).as_bytes());
    let lines = file(&path).max_line_bytes(100).lines();
    let error = failure(App::new("shop").add(source("lines", lines).end()));
    check(
        &error,
        ErrorKind::Data,
        Code::LineTooLong,
        format!(
            "cannot decode a message: source \"lines\", {path}, record 2: \
             a line is longer than the limit of 100 bytes; check that the input is made of lines \
             and that its quotes are closed, or raise max_line_bytes; message {}; {POLICY}",
            "x".repeat(100)
        ),
    );
}

#[test]
fn an_error_of_a_decoder_of_the_user_is_told_with_its_text() {
    let (_directory, path) = written(b"1\ntwo\n");
    let numbers = file(&path).decode(|line| Ok(Some(std::str::from_utf8(line)?.parse::<u64>()?)));
    let error = failure(App::new("shop").add(source("numbers", numbers).end()));
    check(
        &error,
        ErrorKind::Data,
        Code::Decode,
        format!(
            "cannot decode a message: source \"numbers\", {path}, record 2: \
             cannot decode the record: invalid digit found in string; message two; {POLICY}"
        ),
    );
}

/// A panic of a user's decoder once was reported as a bug of Wallaroo.
#[test]
fn a_panic_of_a_decoder_of_the_user_is_told_as_such() {
    let (_directory, path) = written(b"1\ntwo\n");
    let decode = |line: &[u8]| {
        Ok(Some(
            std::str::from_utf8(line)?.parse::<u64>().expect("a number"),
        ))
    };
    let error = failure(App::new("shop").add(source("numbers", file(&path).decode(decode)).end()));
    check(
        &error,
        ErrorKind::User,
        Code::UserPanic,
        "the source \"numbers\" panicked: a number: ParseIntError { kind: InvalidDigit }; \
         correct its code, which may be a decoder or an iterator of yours",
    );
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Number(u64);

const MIXED: &[u8] = b"1\nx\n2\ny\nz\n3\n";

#[test]
fn skip_goes_on_behind_records_that_cannot_be_decoded() {
    let (_directory, path) = written(MIXED);
    let numbers = memory::<Number>();
    let app = App::new("shop").add(
        source("numbers", file(&path).json::<Number>())
            .on_error(OnError::Skip)
            .to_sink("numbers out", numbers.clone()),
    );
    ending::run(app, Options::default()).expect("it completes");
    assert_eq!(numbers.take(), [Number(1), Number(2), Number(3)]);
}

fn letter(path: &str, position: u64, message: &str) -> DeadLetter {
    DeadLetter {
        stage: "numbers".to_owned(),
        source: "numbers".to_owned(),
        partition: path.to_owned(),
        position,
        key: None,
        message: message.as_bytes().to_vec(),
        error: "cannot decode the record: invalid digit found in string".to_owned(),
    }
}

fn decoded(line: &[u8]) -> Result<Option<Number>, wallaroo::BoxError> {
    Ok(Some(Number(std::str::from_utf8(line)?.parse()?)))
}

#[test]
fn records_that_cannot_be_decoded_become_dead_letters() {
    for workers in [1, 2, 4] {
        let (_directory, path) = written(MIXED);
        let (numbers, letters) = (memory::<Number>(), memory::<DeadLetter>());
        let app = App::new("shop").add(
            source("numbers", file(&path).decode(decoded))
                .dead_letter("letters", letters.clone())
                .to_sink("numbers out", numbers.clone()),
        );
        ending::run(app, Options::with_workers(workers)).expect("it completes");
        assert_eq!(numbers.take(), [Number(1), Number(2), Number(3)]);
        let expected = [(2, "x"), (4, "y"), (5, "z")];
        assert_eq!(
            letters.take(),
            expected.map(|(at, text)| letter(&path, at, text))
        );
    }
}

/// Dead letters of a source once did not reach a sink of bytes.
#[test]
fn dead_letters_of_a_source_reach_a_sink_of_bytes() {
    for workers in [1, 2] {
        let (directory, path) = written(MIXED);
        let out = directory.path().join("letters.jsonl");
        let app = App::new("shop").add(
            source("numbers", file(&path).decode(decoded))
                .dead_letter("letters", file_sink(&out).json())
                .end(),
        );
        ending::run(app, Options::with_workers(workers)).expect("it completes");
        let lines = std::fs::read_to_string(&out).expect("the sink has made it");
        let letters: Vec<DeadLetter> = lines
            .lines()
            .map(|line| serde_json::from_str(line).expect("a dead letter is a line"))
            .collect();
        let expected = [(2, "x"), (4, "y"), (5, "z")];
        assert_eq!(letters, expected.map(|(at, text)| letter(&path, at, text)));
    }
}
