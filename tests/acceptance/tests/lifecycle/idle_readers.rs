//! Readers that have nothing for the moment are left alone until they wake the worker.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use wallaroo::{
    App, ConnectorError, Intake, Options, Position, Read, Reader, Source, Stop, Waker, memory,
    source,
};
use wallaroo_acceptance::ending;
use wallaroo_acceptance::waiting::until;

/// Reads that the busy partition needs to end.
const BUSY_READS: usize = 1_000;

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    may_end: AtomicBool,
    reads_before: AtomicUsize,
    reads_after: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

/// A source of two partitions, which both end some time after they have been asked to: the busy one after many more
/// reads, the quiet one when the busy one has ended.
struct Two(Arc<Shared>);

struct Busy(Arc<Shared>, usize);

struct Quiet(Arc<Shared>);

impl Source<u64> for Two {
    fn partitions(&mut self, _: usize) -> Result<Vec<String>, ConnectorError> {
        Ok(vec!["busy".to_owned(), "quiet".to_owned()])
    }

    fn open(
        &mut self,
        partition: &str,
        _: Option<&Position>,
        waker: &Waker,
    ) -> Result<Box<dyn Reader<u64>>, ConnectorError> {
        let shared = Arc::clone(&self.0);
        if partition == "busy" {
            return Ok(Box::new(Busy(shared, 0)));
        }
        *shared.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
        Ok(Box::new(Quiet(shared)))
    }
}

impl Reader<u64> for Busy {
    fn read(&mut self, _: &mut Intake<u64>) -> Result<Read, ConnectorError> {
        if !self.0.stopped.load(Ordering::SeqCst) {
            return Ok(Read::Idle);
        }
        self.1 += 1;
        if self.1 < BUSY_READS {
            return Ok(Read::More);
        }
        self.0.may_end.store(true, Ordering::SeqCst);
        let waker = self.0.waker.lock().unwrap_or_else(PoisonError::into_inner);
        waker.iter().for_each(Waker::wake);
        Ok(Read::End)
    }

    fn position(&self) -> Position {
        Position::of(0)
    }

    fn stop(&mut self) -> Stop {
        Stop::AfterEnd
    }
}

impl Reader<u64> for Quiet {
    fn read(&mut self, intake: &mut Intake<u64>) -> Result<Read, ConnectorError> {
        if self.0.may_end.load(Ordering::SeqCst) {
            intake.push(7);
            return Ok(Read::End);
        }
        let stopped = self.0.stopped.load(Ordering::SeqCst);
        let reads = if stopped {
            &self.0.reads_after
        } else {
            &self.0.reads_before
        };
        reads.fetch_add(1, Ordering::SeqCst);
        Ok(Read::Idle)
    }

    fn position(&self) -> Position {
        Position::of(0)
    }

    fn stop(&mut self) -> Stop {
        self.0.stopped.store(true, Ordering::SeqCst);
        Stop::AfterEnd
    }
}

/// A reader that had been asked to end was read again and again until it had ended.
#[test]
fn a_reader_that_is_to_end_and_has_nothing_is_not_read_again_until_it_wakes_the_worker() {
    let shared = Arc::new(Shared::default());
    let out = memory();
    let running = App::new("idle")
        .add(source("two", Two(Arc::clone(&shared))).to_sink("out", out.clone()))
        .start(Options::default())
        .expect("it starts");
    until("it is read", || {
        shared.reads_before.load(Ordering::SeqCst) > 0
    });
    running.stop();
    ending::wait(&running).expect("it completes");
    assert_eq!(out.take(), [7]);
    let reads = shared.reads_after.load(Ordering::SeqCst);
    assert!(reads <= 2, "{reads} reads without a reason");
}
