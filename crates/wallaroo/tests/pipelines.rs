//! Shapes of applications that once did not work, one test each.

use std::time::Duration;

use wallaroo::{
    App, ConnectorError, MemorySink, Options, Sink, Write, Writer, iter, memory, source,
};
use wallaroo_core::Waker;

/// A worker whose operator had neither inputs nor outputs called it once and then never again.
#[test]
fn a_pipeline_without_sink_and_key_runs_to_its_end() {
    for workers in [1, 2] {
        let running = App::new("no sink")
            .add(
                source("numbers", iter(0..100_000u64))
                    .to(|n: &u64| Some(*n))
                    .end(),
            )
            .start(Options::with_workers(workers))
            .unwrap();
        let ended = running.wait_timeout(Duration::from_secs(10));
        assert!(
            matches!(ended, Some(Ok(()))),
            "{ended:?} with {workers} workers"
        );
    }
}

/// A writer that takes one message at a time and asks to be called again.
struct Slow(Vec<u64>, Waker, MemorySink<u64>);

impl Sink<Vec<u64>> for MemorySinkBehindSlow {
    fn open(&mut self, waker: &Waker) -> Result<Box<dyn Writer<Vec<u64>>>, ConnectorError> {
        Ok(Box::new(Slow(Vec::new(), waker.clone(), self.0.clone())))
    }
}

/// A sink that is slower than its source.
struct MemorySinkBehindSlow(MemorySink<u64>);

impl Writer<Vec<u64>> for Slow {
    fn write(&mut self, messages: &mut Vec<u64>) -> Result<Write, ConnectorError> {
        self.0.push(messages.remove(0));
        self.2.open(&self.1)?.write(&mut self.0)?;
        if messages.is_empty() {
            return Ok(Write::Done);
        }
        self.1.wake();
        Ok(Write::Blocked)
    }
}

/// When all sources had ended, the operator of a sink with a full writer was taken down with what it still had.
#[test]
fn a_sink_that_is_full_at_the_end_gets_everything() {
    for workers in [1, 2] {
        let kept = memory::<u64>();
        let running = App::new("slow sink")
            .add(
                source("numbers", iter(0..500u64))
                    .to_sink("slow", MemorySinkBehindSlow(kept.clone())),
            )
            .start(Options::with_workers(workers))
            .unwrap();
        let ended = running.wait_timeout(Duration::from_secs(10));
        assert!(
            matches!(ended, Some(Ok(()))),
            "{ended:?} with {workers} workers"
        );
        assert_eq!(kept.take(), (0..500).collect::<Vec<_>>());
    }
}
