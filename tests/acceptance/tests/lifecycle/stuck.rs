//! Functions that do not return: what a person is told, and what the program can do about it.

use std::sync::mpsc::{Receiver, Sender, channel as pipe};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wallaroo::{
    App, Code, ErrorKind, Options, Running, State, StuckStage, channel, iter, memory, source,
};
use wallaroo_acceptance::ending;
use wallaroo_acceptance::gate::Gate;
use wallaroo_acceptance::waiting::until;

/// So short that a test need not wait; a function that returns at once is not seen in two looks.
const AT_ONCE: Duration = Duration::from_millis(4);

fn options(workers: usize) -> Options {
    Options {
        stuck_after: AT_ONCE,
        ..Options::with_workers(workers)
    }
}

/// A function that stays inside until it is told to leave.
fn blocking() -> (
    impl Fn(&mut u64, &String) -> Option<u64> + Send + Sync,
    Sender<()>,
) {
    let (leave, left): (Sender<()>, Receiver<()>) = pipe();
    let left = Arc::new(Mutex::new(left));
    let function = move |seen: &mut u64, _: &String| {
        *seen += 1;
        // It ends also when the test has failed and dropped the other side.
        let _ = left.lock().map(|left| left.recv());
        Some(*seen)
    };
    (function, leave)
}

fn stuck(running: &Running) -> StuckStage {
    until("the function is seen to be stuck", || {
        !running.status().stuck.is_empty()
    });
    running.status().stuck.swap_remove(0)
}

#[test]
fn a_function_that_does_not_return_is_told_with_stage_and_key() {
    for workers in [1, 2] {
        let (function, leave) = blocking();
        let counts = State::<u64>::new("counts");
        let (_sender, words) = channel::<String>(10);
        let stage = source("words", words)
            .key_by(|word| word)
            .to_state(&counts, function)
            .named("count");
        let running = App::new("words")
            .add(stage.end())
            .start(options(workers))
            .expect("it starts");
        assert_eq!(running.status().stuck, []);
        running.send("words", "ann".to_owned()).expect("it runs");
        let seen = stuck(&running);
        assert_eq!(
            (seen.stage.as_str(), seen.key.as_deref(), seen.messages),
            ("count", Some("\"ann\""), 1)
        );
        assert_eq!(
            (seen.first.source.as_str(), seen.first.position),
            ("words", 1)
        );
        leave.send(()).expect("it waits for that");
        until("the function is back", || running.status().stuck.is_empty());
        running.stop();
        ending::wait(&running).expect("it completes");
    }
}

#[test]
fn a_batch_that_does_not_come_back_is_told_with_its_first_record() {
    let (function, leave) = blocking();
    let counts = State::<u64>::new("counts");
    let words = ["ann", "ben", "cem"].map(str::to_owned);
    let stage = source("words", iter(words))
        .key_by(|word| word)
        .to_state(&counts, function)
        .named("count");
    let running = App::new("words")
        .add(stage.end())
        .start(options(1))
        .expect("it starts");
    let seen = stuck(&running);
    assert_eq!(
        (seen.stage.as_str(), seen.key.as_deref(), seen.messages),
        ("count", None, 3)
    );
    assert_eq!(
        seen.to_string(),
        "stage \"count\", source \"words\", iterator, record 1 or one of the 2 messages after it"
    );
    drop(leave);
    ending::wait(&running).expect("it completes");
}

#[test]
fn a_split_that_does_not_return_is_told() {
    let (leave, left): (Sender<()>, Receiver<()>) = pipe();
    let left = Mutex::new(left);
    let (yes, no) = source("numbers", iter([1u64])).split(move |_| {
        // It ends also when the test has failed and dropped the other side.
        let _ = left.lock().map(|left| left.recv());
        true
    });
    let app = App::new("split")
        .add(yes.named("choose").end())
        .add(no.end());
    let running = app.start(options(1)).expect("it starts");
    assert_eq!(stuck(&running).stage, "choose");
    drop(leave);
    ending::wait(&running).expect("it completes");
}

#[test]
fn an_application_that_ends_in_time_is_stopped_as_ever() {
    let (_sender, words) = channel::<String>(10);
    let copies = memory::<String>();
    let running = App::new("words")
        .add(source("words", words).to_sink("copies", copies.clone()))
        .start(Options::default())
        .expect("it starts");
    running.send("words", "ann".to_owned()).expect("it runs");
    running
        .stop_within(Duration::from_secs(60))
        .expect("it completes");
    assert_eq!(copies.take(), ["ann"]);
}

/// `stop()` waited for ever behind a sink that takes nothing.
#[test]
fn an_application_behind_a_blocked_sink_is_given_up_with_what_it_holds() {
    for workers in [1, 2] {
        let gate = Gate::closed(|_: u64| {});
        let running = App::new("blocked")
            .add(source("numbers", iter(0..5u64)).to_sink("gate", gate.clone()))
            .start(Options::with_workers(workers))
            .expect("it starts");
        until("the gate is blocked", || gate.has_refused());
        let error = running
            .stop_within(Duration::ZERO)
            .expect_err("it is given up");
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Unavailable, Code::Undrained),
            "{error}"
        );
        let text = error.to_string();
        assert!(
            text.contains("5 messages wait for the sink \"gate\""),
            "{text}"
        );
        assert_eq!(ending::wait(&running), Err(error));
    }
}

#[test]
fn an_application_with_a_function_that_never_returns_is_given_up() {
    let (function, leave) = blocking();
    let counts = State::<u64>::new("counts");
    let stage = source("words", iter(["ann".to_owned()]))
        .key_by(|word| word)
        .to_state(&counts, function)
        .named("count");
    let running = App::new("words")
        .add(stage.end())
        .start(options(2))
        .expect("it starts");
    stuck(&running);
    let error = running
        .stop_within(Duration::ZERO)
        .expect_err("it is given up");
    assert_eq!(error.code(), Code::Undrained);
    let text = error.to_string();
    assert!(
        text.contains("a function has not returned (stage \"count\", key \"ann\""),
        "{text}"
    );
    // Does not wait for the function.
    drop(running);
    drop(leave);
}
