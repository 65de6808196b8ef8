//! Messages whose effects are committed when the call returns.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wallaroo::{
    App, Code, Error, ErrorKind, Options, Running, State, StoreOptions, channel, memory, source,
};

use crate::image;

#[derive(Default, Serialize, Deserialize)]
struct Count(u64);

const PATIENCE: Duration = Duration::from_secs(60);

fn options(store: &Path) -> Options {
    // Checkpoints are made when they are asked for only.
    let store = StoreOptions::new(store.to_str().expect("it is text")).every(PATIENCE * 60);
    Options {
        store: Some(store),
        ..Options::with_workers(2)
    }
}

/// Counts the messages of each key; a message of the key 13 is an error.
fn counting(capacity: usize) -> (App, wallaroo::connectors::MemorySink<u64>) {
    let counts = memory::<u64>();
    let state = State::<Count>::new("counts");
    let (_, numbers) = channel::<u64>(capacity);
    let counted = source("numbers", numbers).key_by(|key| key).to_state(
        &state,
        |count: &mut Count, key: &u64| {
            if *key == 13 {
                return Err("13 is not counted".to_owned());
            }
            count.0 += 1;
            Ok(Some(count.0))
        },
    );
    let app = App::new("counts").add(counted.to_sink("counts", counts.clone()));
    (app, counts)
}

/// How many messages of a key are committed in a store.
fn committed(store: &Path, key: u64) -> u64 {
    let image = image::of_commits(store);
    let (app, counts) = counting(1);
    let running = app.start(options(image.path())).expect("it starts");
    running.send("numbers", key).expect("it runs");
    assert!(counts.wait_for(1, PATIENCE));
    counts.take()[0] - 1
}

fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn what_was_sent_durably_is_there_after_a_crash() {
    let store = tempfile::tempdir().expect("a directory can be made");
    let (app, _counts) = counting(10);
    let running = app.start(options(store.path())).expect("it starts");
    for sent in 1..=3 {
        running.send_durable("numbers", 1u64).expect("it runs");
        assert_eq!(committed(store.path(), 1), sent);
    }
    block_on(running.send_durable_async("numbers", 1u64)).expect("it runs");
    assert_eq!(committed(store.path(), 1), 4);
}

#[test]
fn many_senders_to_a_channel_for_one_message_share_commits_and_end() {
    const THREADS: u64 = 8;
    const EACH: u64 = 20;
    let store = tempfile::tempdir().expect("a directory can be made");
    let (app, _counts) = counting(1);
    let running = app.start(options(store.path())).expect("it starts");
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let running = &running;
            scope.spawn(move || {
                for _ in 0..EACH {
                    let sent = if thread % 2 == 0 {
                        running.send_durable("numbers", 1u64)
                    } else {
                        block_on(running.send_durable_async("numbers", 1u64))
                    };
                    sent.expect("it runs");
                }
            });
        }
    });
    assert_eq!(committed(store.path(), 1), THREADS * EACH);
    let commits = running.checkpoints().expect("it has a store").commits;
    assert!(commits <= THREADS * EACH, "{commits} commits");
}

/// The positions of channels count from the start of a process: those of the run before once stood for more messages than
/// this run had been sent.
#[test]
fn the_positions_of_the_run_before_do_not_count() {
    let store = tempfile::tempdir().expect("a directory can be made");
    let (app, _counts) = counting(10);
    let running = app.start(options(store.path())).expect("it starts");
    for _ in 0..5 {
        running.send_durable("numbers", 1u64).expect("it runs");
    }
    drop(running);
    let (app, _counts) = counting(10);
    let running = app.start(options(store.path())).expect("it starts");
    running.send_durable("numbers", 1u64).expect("it runs");
    assert_eq!(committed(store.path(), 1), 6);
}

#[test]
fn a_rescale_does_not_lose_who_waits() {
    let store = tempfile::tempdir().expect("a directory can be made");
    let (app, _counts) = counting(1);
    let running = app.start(options(store.path())).expect("it starts");
    thread::scope(|scope| {
        let senders: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| (0..30).try_for_each(|_| running.send_durable("numbers", 1u64)))
            })
            .collect();
        for workers in [1, 3, 2, 1, 2] {
            running.rescale(workers.try_into().expect("it is not zero"));
            running.send_durable("numbers", 2u64).expect("it runs");
        }
        for sender in senders {
            sender.join().expect("no panic").expect("it runs");
        }
    });
    assert_eq!(committed(store.path(), 1), 90);
}

#[test]
fn what_was_sent_before_a_stop_is_committed() {
    let store = tempfile::tempdir().expect("a directory can be made");
    let (app, _counts) = counting(10);
    let running = app.start(options(store.path())).expect("it starts");
    let mut sent = pin!(running.send_durable_async("numbers", 1u64));
    let mut context = Context::from_waker(Waker::noop());
    assert!(sent.as_mut().poll(&mut context).is_pending());
    running.stop();
    running.wait().expect("it ends");
    block_on(sent).expect("it was committed");
    assert_eq!(committed(store.path(), 1), 1);
    let refused = running.send_durable("numbers", 1u64);
    assert_eq!(what(refused), Some((ErrorKind::Closed, Code::SendClosed)));
}

#[test]
fn who_waits_is_told_of_the_end_of_the_application() {
    let store = tempfile::tempdir().expect("a directory can be made");
    let start = || {
        let (app, _counts) = counting(10);
        app.start(options(store.path())).expect("it starts")
    };
    let expected = Some((ErrorKind::Closed, Code::SendClosed));
    assert_eq!(what(start().send_durable("numbers", 13u64)), expected);
    // The message is in the input log, and fails again. In another store:
    let store = tempfile::tempdir().expect("a directory can be made");
    let (app, _counts) = counting(10);
    let running = app.start(options(store.path())).expect("it starts");
    let failed = block_on(running.send_durable_async("numbers", 13u64));
    assert_eq!(what(failed), expected);
}

#[test]
fn without_a_store_nothing_is_sent_durably() {
    let (app, counts) = counting(10);
    let running: Running = app.start(Options::default()).expect("it starts");
    let expected = Some((ErrorKind::Invalid, Code::StoreNotFound));
    assert_eq!(what(running.send_durable("numbers", 1u64)), expected);
    assert_eq!(
        what(block_on(running.send_durable_async("numbers", 1u64))),
        expected
    );
    running.stop();
    running.wait().expect("it ends");
    assert_eq!(counts.take(), [] as [u64; 0]);
}

fn what(result: Result<(), Error>) -> Option<(ErrorKind, Code)> {
    result.err().map(|error| (error.kind(), error.code()))
}
