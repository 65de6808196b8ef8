use wallaroo::{
    App, Code, DeadLetter, ErrorKind, OnError, Options, discard, file_sink, iter, memory, source,
    stdout,
};
use wallaroo_acceptance::ending;

use crate::{check, error, place};

#[test]
fn a_message_that_cannot_be_encoded_is_told_with_the_sink() {
    let app = || {
        let encode = |number: &u64, _: &mut Vec<u8>| match number {
            7 => Err("seven is not printed".into()),
            _ => Ok(()),
        };
        let numbers = source("numbers", iter([1u64, 7]));
        App::new("shop").add(numbers.to_sink("rows", stdout().encode(encode)))
    };
    let line = line!() - 2;
    check(
        &error(app),
        ErrorKind::User,
        Code::Encode,
        format!(
            "the sink \"rows\" ({}) cannot encode a message: cannot encode the message: seven is not printed; \
             source \"numbers\", iterator, record 2; message 7; \
             choose another format, change the message in a stage before the sink, or let the sink skip such messages \
             with .on_error(OnError::Skip) or keep them with .dead_letter(name, sink) behind .to_sink",
            place!(line)
        ),
    );
}

/// Prints all numbers but 7, and panics for 13.
fn picky(number: &u64, row: &mut Vec<u8>) -> Result<(), wallaroo::BoxError> {
    // What is written before a failure must not stay.
    row.extend(format!("{number}").bytes());
    assert!(*number != 13, "unlucky");
    if *number == 7 {
        return Err("seven is not printed".into());
    }
    row.push(b'\n');
    Ok(())
}

#[test]
fn a_sink_can_skip_what_it_cannot_encode() {
    for workers in [1, 2] {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let path = directory.path().join("rows");
        let rows = file_sink(&path).encode(picky);
        let numbers = source("numbers", iter([1u64, 7, 2, 13, 7, 3]));
        let app = App::new("rows").add(numbers.to_sink("rows", rows).on_error(OnError::Skip));
        ending::run(app, Options::with_workers(workers)).expect("it completes");
        let rows = std::fs::read_to_string(&path).expect("it is text");
        assert_eq!(rows, "1\n2\n3\n");
    }
}

#[test]
fn a_sink_can_keep_what_it_cannot_encode_as_dead_letters() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("rows");
    let letters = memory::<DeadLetter>();
    let numbers = source("numbers", iter([1u64, 7, 2])).key_by_value(|number| number.to_string());
    let rows = numbers.to_sink("rows", file_sink(&path).encode(picky));
    let app = App::new("rows").add(rows.dead_letter("letters", letters.clone()));
    ending::run(app, Options::default()).expect("it completes");
    assert_eq!(
        std::fs::read_to_string(&path).expect("it is text"),
        "1\n2\n"
    );
    let letter = DeadLetter {
        stage: "rows".to_owned(),
        source: "numbers".to_owned(),
        partition: "iterator".to_owned(),
        position: 2,
        // Without the quotes of error texts: JSON has its own.
        key: Some("7".to_owned()),
        message: b"7".to_vec(),
        error: "cannot encode the message: seven is not printed".to_owned(),
    };
    assert_eq!(letters.take(), [letter]);
}

#[test]
fn a_policy_on_a_sink_without_encoder_changes_nothing() {
    let out = memory();
    let numbers = source("numbers", iter([1u64, 7]));
    let kept = numbers
        .clone()
        .to_sink("out", out.clone())
        .on_error(OnError::Skip);
    let app = App::new("out")
        .add(kept)
        .add(numbers.to_sink("none", discard()));
    ending::run(app, Options::default()).expect("it completes");
    assert_eq!(out.take(), [1, 7]);
}
