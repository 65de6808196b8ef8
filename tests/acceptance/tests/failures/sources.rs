use wallaroo::{
    App, Code, ConnectorError, ErrorKind, Intake, Position, Read, Reader, Source, Waker, source,
};

use crate::{check, error};

/// A source that gives three messages and then fails.
struct Broken;

impl Source<u64> for Broken {
    fn partitions(&mut self, _: usize) -> Result<Vec<String>, ConnectorError> {
        Ok(vec!["tape".to_owned()])
    }

    fn open(
        &mut self,
        _: &str,
        _: Option<&Position>,
        _: &Waker,
    ) -> Result<Box<dyn Reader<u64>>, ConnectorError> {
        Ok(Box::new(Broken))
    }
}

impl Reader<u64> for Broken {
    fn read(&mut self, intake: &mut Intake<u64>) -> Result<Read, ConnectorError> {
        if intake.next_number() < 3 {
            intake.push(7);
            return Ok(Read::More);
        }
        Err(ConnectorError::new("cannot read on")
            .with_cause(std::io::Error::other("the tape tore")))
    }

    fn position(&self) -> Position {
        Position::of(0)
    }
}

#[test]
fn a_source_that_cannot_be_read_any_further_ends_the_run() {
    check(
        &error(|| App::new("shop").add(source("numbers", Broken).end())),
        ErrorKind::Unavailable,
        Code::SourceUnreadable,
        "the source \"numbers\" failed: cannot read on: the tape tore",
    );
}

#[test]
fn a_panic_of_an_iterator_is_told_as_such() {
    let numbers = || (0..3u64).map(|number| 10 / (2 - number));
    check(
        &error(|| App::new("shop").add(source("numbers", wallaroo::iter(numbers())).end())),
        ErrorKind::User,
        Code::UserPanic,
        "the source \"numbers\" panicked: attempt to divide by zero; \
         correct its code, which may be a decoder or an iterator of yours",
    );
}

/// Buffers of one source once went to another of the same region, whose messages had another type.
#[test]
fn sources_of_different_types_can_be_merged() {
    for workers in [1, 2] {
        let out = wallaroo::memory();
        let numbers = source("numbers", wallaroo::iter(0..20_000u64));
        let texts = source(
            "texts",
            wallaroo::iter((20_000..40_000).map(|number| number.to_string())),
        );
        let app = App::new("shop").add(
            numbers
                .to(|number: &u64| Some(number.to_string()))
                .merge(texts)
                .to_sink("out", out.clone()),
        );
        wallaroo_acceptance::ending::run(app, wallaroo::Options::with_workers(workers))
            .expect("it completes");
        let mut found: Vec<u64> = out
            .take()
            .iter()
            .map(|text| text.parse().expect("a number"))
            .collect();
        found.sort_unstable();
        assert!(found.into_iter().eq(0..40_000));
    }
}
