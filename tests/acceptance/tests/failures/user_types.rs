//! What the engine does with the types of users beside calling their functions: it copies and drops messages, shows
//! errors, asks readers for their position. All of that can panic.

use std::fmt;

use serde::{Deserialize, Serialize};
use wallaroo::{
    App, Code, ConnectorError, Error, ErrorKind, Intake, OnError, Options, Position, Read, Reader,
    Source, State, Stop, Waker, discard, iter, source,
};
use wallaroo_acceptance::ending;

/// A message whose traits panic, each for its own value.
#[derive(Debug, Serialize, Deserialize)]
struct Fragile(u64);

const SOUND: u64 = 0;
const CLONE: u64 = 1;
const DROP: u64 = 2;

impl Clone for Fragile {
    fn clone(&self) -> Self {
        assert!(self.0 != CLONE, "cannot be copied");
        Fragile(self.0)
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        // A second panic while the first is on its way would end the process.
        if !std::thread::panicking() {
            assert!(self.0 != DROP, "cannot be dropped");
        }
    }
}

#[track_caller]
fn check_panic(error: &Error, names: &str, text: &str) {
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::User, Code::UserPanic),
        "{error}"
    );
    let told = error.to_string();
    assert!(told.contains(names) && told.contains(text), "{told}");
}

#[test]
fn a_panic_of_clone_tells_the_stage_whose_messages_are_copied() {
    for workers in [1, 2] {
        let fragile = source("numbers", iter([SOUND, CLONE]))
            .to(|number: &u64| Some(Fragile(*number)))
            .named("fragile");
        let first = fragile.clone().to_sink("first", discard());
        let second = fragile.to_sink("second", discard());
        let app = App::new("copies").add(first).add(second);
        let error = ending::failure(app, Options::with_workers(workers));
        check_panic(&error, "the stage \"fragile\"", "cannot be copied");
    }
}

#[test]
fn a_panic_of_drop_tells_the_stage_whose_messages_are_dropped() {
    for workers in [1, 2] {
        let fragile = source("numbers", iter([SOUND, DROP]))
            .to(|number: &u64| Some(Fragile(*number)))
            .named("fragile");
        let app = App::new("drops").add(fragile.to(|_: &Fragile| ()).end());
        let error = ending::failure(app, Options::with_workers(workers));
        check_panic(&error, "the stage \"fragile\"", "cannot be dropped");
    }
}

#[test]
fn a_panic_of_drop_behind_a_failing_call_tells_the_stage() {
    let many = |number: &u64| -> Result<Vec<Fragile>, String> {
        if *number == DROP {
            return Ok(vec![Fragile(DROP), Fragile(SOUND)]);
        }
        Ok(Vec::new())
    };
    let app = || {
        let fragile = source("numbers", iter([SOUND, DROP]))
            .to(many)
            .named("fragile");
        App::new("drops").add(fragile.end())
    };
    let error = ending::failure(app(), Options::default());
    check_panic(&error, "the stage \"fragile\"", "cannot be dropped");
}

#[derive(Debug)]
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no words")
    }
}

impl std::error::Error for Unspeakable {}

#[test]
fn an_error_that_cannot_be_shown_is_told_without_its_text() {
    let refuse = |_: &u64| -> Result<(), Unspeakable> { Err(Unspeakable) };
    let app = || {
        App::new("words").add(
            source("numbers", iter([1u64]))
                .to(refuse)
                .named("refuse")
                .end(),
        )
    };
    let error = ending::failure(app(), Options::default());
    assert_eq!(error.code(), Code::UserError, "{error}");
    let text = error.to_string();
    assert!(text.contains("the stage \"refuse\""), "{text}");
    assert!(text.contains("(no text: its Display panicked)"), "{text}");
}

#[test]
fn an_error_that_cannot_be_shown_is_skipped_like_any_other() {
    let refuse = |_: &u64| -> Result<(), Unspeakable> { Err(Unspeakable) };
    let stage = source("numbers", iter([1u64]))
        .to(refuse)
        .on_error(OnError::Skip);
    ending::run(App::new("words").add(stage.end()), Options::default()).expect("it completes");
}

/// What a reader does when it is not reading.
#[derive(Clone, Copy, PartialEq)]
enum Bad {
    Stop,
    Position,
    Read,
    Open,
    Partitions,
    Cause,
    Drop,
}

struct BadSource(Bad);

impl Source<u64> for BadSource {
    fn partitions(&mut self, _: usize) -> Result<Vec<String>, ConnectorError> {
        assert!(self.0 != Bad::Partitions, "bad partitions");
        Ok(vec!["only".to_owned()])
    }

    fn open(
        &mut self,
        _: &str,
        _: Option<&Position>,
        _: &Waker,
    ) -> Result<Box<dyn Reader<u64>>, ConnectorError> {
        assert!(self.0 != Bad::Open, "bad open");
        Ok(Box::new(BadReader(self.0)))
    }
}

struct BadReader(Bad);

impl Reader<u64> for BadReader {
    fn read(&mut self, intake: &mut Intake<u64>) -> Result<Read, ConnectorError> {
        assert!(self.0 != Bad::Read, "bad read");
        match self.0 {
            Bad::Drop => return Ok(Read::End),
            Bad::Cause => return Err(ConnectorError::new("no more").with_cause(Unspeakable)),
            _ => intake.push(1),
        }
        Ok(Read::Idle)
    }

    fn position(&self) -> Position {
        assert!(self.0 != Bad::Position, "bad position");
        Position::of(0)
    }

    fn stop(&mut self) -> Stop {
        assert!(self.0 != Bad::Stop, "bad stop");
        Stop::Now
    }
}

impl Drop for BadReader {
    fn drop(&mut self) {
        assert!(self.0 != Bad::Drop || std::thread::panicking(), "bad drop");
    }
}

fn bad(what: Bad) -> App {
    App::new("bad").add(source("bad", BadSource(what)).to_sink("out", discard()))
}

#[test]
fn a_panic_of_a_reader_that_is_stopped_tells_the_source() {
    for workers in [1, 2] {
        let running = bad(Bad::Stop)
            .start(Options::with_workers(workers))
            .expect("it starts");
        running.stop();
        let error = ending::wait(&running).expect_err("it fails");
        check_panic(&error, "the source \"bad\"", "bad stop");
    }
}

#[test]
fn a_panic_of_a_reader_that_reads_tells_the_source() {
    check_panic(
        &ending::failure(bad(Bad::Read), Options::default()),
        "the source \"bad\"",
        "bad read",
    );
}

#[test]
fn a_panic_of_a_source_that_is_opened_tells_the_source() {
    for (what, text) in [(Bad::Open, "bad open"), (Bad::Partitions, "bad partitions")] {
        let error = bad(what)
            .start(Options::default())
            .expect_err("it cannot start");
        check_panic(&error, "the source \"bad\"", text);
    }
}

#[test]
fn a_panic_of_a_reader_that_is_dropped_at_the_end_tells_the_source() {
    check_panic(
        &ending::failure(bad(Bad::Drop), Options::default()),
        "the source \"bad\"",
        "bad drop",
    );
}

#[test]
fn a_cause_that_cannot_be_shown_is_told_without_its_text() {
    let error = ending::failure(bad(Bad::Cause), Options::default());
    assert_eq!(error.code(), Code::SourceUnreadable, "{error}");
    assert!(
        error
            .to_string()
            .contains("no more: (no text: its Display panicked)"),
        "{error}"
    );
}

/// Asked for its position only where somebody wants to know: in the test kit.
#[test]
fn a_panic_of_position_is_never_a_bug_of_wallaroo() {
    let running = bad(Bad::Position)
        .start(Options::default())
        .expect("it starts");
    running.stop();
    let ended = ending::wait(&running);
    assert!(ended.is_ok(), "nobody asked for the position: {ended:?}");
}

/// A state object whose serde panics.
#[derive(Default)]
struct Sealed;

impl Serialize for Sealed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("cannot be read")
    }
}

#[test]
fn a_panic_of_deserialize_when_an_object_is_put_back_tells_state_and_key() {
    let sealed = State::<Sealed>::new("sealed");
    let fail = |_: &mut Sealed, _: &u64| -> Result<(), &str> { Err("refused") };
    let stage = source("numbers", iter([7u64]))
        .key_by(|number| number)
        .to_state(&sealed, fail)
        .on_error(OnError::Skip);
    let error = ending::failure(App::new("sealed").add(stage.end()), Options::default());
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::User, Code::StateCodec),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.contains("the state \"sealed\"") && text.contains("key 7"),
        "{text}"
    );
    assert!(text.contains("cannot be read"), "{text}");
}

/// A state object that panics when it is dropped.
#[derive(Serialize, Deserialize, Default)]
struct Clingy {
    used: bool,
}

impl Drop for Clingy {
    fn drop(&mut self) {
        assert!(!self.used || std::thread::panicking(), "not yet");
    }
}

#[test]
fn a_panic_of_drop_of_a_state_object_at_the_end_tells_the_state() {
    let clingy = State::<Clingy>::new("clingy");
    let stage = source("numbers", iter([7u64]))
        .key_by(|number| number)
        .to_state(&clingy, |object: &mut Clingy, _: &u64| object.used = true);
    let error = ending::failure(App::new("clingy").add(stage.end()), Options::default());
    check_panic(&error, "the state \"clingy\"", "not yet");
}
