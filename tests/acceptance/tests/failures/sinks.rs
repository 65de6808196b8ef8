use wallaroo::{
    App, Code, ConnectorError, ErrorKind, Sink, Waker, Write, Writer, generator, iter, source,
};

use crate::{check, error};

/// A sink that fails when it is opened, when it has taken some messages, or when it is flushed.
struct Broken(Fails);

#[derive(Clone, Copy, PartialEq)]
enum Fails {
    Open,
    Write,
    Flush,
    Panic,
}

fn broken(what: &str) -> ConnectorError {
    let cause = std::io::Error::other("the cable is out");
    ConnectorError::new(what)
        .with_help("put it in again")
        .with_cause(cause)
}

impl Sink<Vec<u64>> for Broken {
    fn open(&mut self, _: &Waker) -> Result<Box<dyn Writer<Vec<u64>>>, ConnectorError> {
        if self.0 == Fails::Open {
            return Err(broken("cannot reach the printer"));
        }
        Ok(Box::new(Broken(self.0)))
    }
}

impl Writer<Vec<u64>> for Broken {
    fn write(&mut self, messages: &mut Vec<u64>) -> Result<Write, ConnectorError> {
        match self.0 {
            Fails::Write => Err(broken("cannot print")),
            Fails::Panic => panic!("no paper"),
            Fails::Open | Fails::Flush => {
                messages.clear();
                Ok(Write::Done)
            }
        }
    }

    fn flush(&mut self) -> Result<Write, ConnectorError> {
        if self.0 == Fails::Flush {
            return Err(broken("cannot cut the paper"));
        }
        Ok(Write::Done)
    }
}

fn app(fails: Fails) -> App {
    App::new("shop").add(source("numbers", iter(0..3u64)).to_sink("printer", Broken(fails)))
}

#[test]
fn a_sink_that_cannot_be_opened_is_found_before_anything_runs() {
    check(
        &error(|| app(Fails::Open)),
        ErrorKind::Unavailable,
        Code::SinkOpen,
        "cannot open the sink \"printer\": cannot reach the printer: the cable is out; put it in again",
    );
}

#[test]
fn a_sink_that_cannot_write_ends_the_run() {
    check(
        &error(|| app(Fails::Write)),
        ErrorKind::Unavailable,
        Code::SinkWrite,
        "the sink \"printer\" failed: cannot print: the cable is out; put it in again",
    );
}

#[test]
fn a_sink_that_cannot_write_ends_an_endless_run() {
    let app = || {
        let numbers = source("numbers", generator(0u64, |number| Some(number + 1)));
        App::new("shop").add(numbers.to_sink("printer", Broken(Fails::Write)))
    };
    assert_eq!(error(app).code(), Code::SinkWrite);
}

#[test]
fn a_sink_that_cannot_deliver_what_it_took_ends_the_run() {
    check(
        &error(|| app(Fails::Flush)),
        ErrorKind::Unavailable,
        Code::SinkWrite,
        "the sink \"printer\" failed: cannot cut the paper: the cable is out; put it in again",
    );
}

/// A panic of a user's connector once was reported as a bug of Wallaroo.
#[test]
fn a_sink_that_panics_is_told_as_such() {
    check(
        &error(|| app(Fails::Panic)),
        ErrorKind::User,
        Code::UserPanic,
        "the sink \"printer\" panicked: no paper; correct its code",
    );
}
