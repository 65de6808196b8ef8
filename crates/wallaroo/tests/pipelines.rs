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

/// Runs the application on one worker and on three, and takes what came, in ascending order.
fn sorted_on_one_and_three(app: impl Fn(MemorySink<u64>) -> App) -> [Vec<u64>; 2] {
    [1, 3].map(|workers| {
        let kept = memory::<u64>();
        app(kept.clone())
            .run(Options::with_workers(workers))
            .expect("it runs");
        let mut kept = kept.take();
        kept.sort_unstable();
        kept
    })
}

/// The second consumer of a merged stream had nothing to copy messages with, and the worker failed.
#[test]
fn a_merged_stream_can_be_used_twice() {
    let kept = sorted_on_one_and_three(|kept| {
        let merged = source("low", iter(0..3u64)).merge(source("high", iter(10..13u64)));
        let other = memory::<u64>();
        App::new("merged")
            .add(merged.clone().to_sink("first", kept))
            .add(merged.to_sink("second", other))
    });
    assert_eq!(kept, [[0, 1, 2, 10, 11, 12]; 2]);
}

/// A stream merged with itself came once instead of twice.
#[test]
fn a_stream_merged_with_itself_comes_twice() {
    let kept = sorted_on_one_and_three(|kept| {
        let numbers = source("numbers", iter(0..3u64));
        let twice = numbers.clone().merge(numbers);
        App::new("twice").add(twice.clone().merge(twice).to_sink("kept", kept))
    });
    assert_eq!(kept, [[0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]; 2]);
}

/// A sink took the key hashes away from the stages that came after it, and the worker failed.
#[test]
fn a_keyed_stream_goes_to_a_sink_and_to_another_stage() {
    let kept = sorted_on_one_and_three(|kept| {
        let keyed = source("numbers", iter(0..9u64)).key_by_value(|n| n % 3);
        let raw = keyed.clone().to_sink("raw", memory::<u64>());
        App::new("keyed")
            .add(raw)
            .add(keyed.to(|n: &u64| Some(*n)).to_sink("kept", kept))
    });
    assert_eq!(kept, [[0, 1, 2, 3, 4, 5, 6, 7, 8]; 2]);
}
