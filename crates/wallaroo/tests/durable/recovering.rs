//! Workers that are lost while an application runs: it goes on from its last commit, in the same process.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wallaroo::{
    AckSender, App, Clock, Code, ConnectorError, Error, ErrorKind, Intake, Options, Position, Read,
    Reader, Running, Sink, Source, State, StoreOptions, Stream, Waker, Write, Writer, channel,
    discard, file_sink, iter, replay, source, tcp_listener,
};
use wallaroo_core::SystemClock;

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default, Serialize, Deserialize)]
struct Count(u64);

/// A sink that fails as often as it is told to, and else discards.
#[derive(Clone, Default)]
struct Fragile {
    failures: Arc<AtomicU32>,
}

impl Fragile {
    fn fail(&self, times: u32) {
        self.failures.store(times, Ordering::SeqCst);
    }

    fn has_failed(&self) -> bool {
        self.failures.load(Ordering::SeqCst) == 0
    }
}

impl<T: Send + 'static> Sink<Vec<T>> for Fragile {
    fn open(&mut self, _: &Waker) -> Result<Box<dyn Writer<Vec<T>>>, ConnectorError> {
        Ok(Box::new(self.clone()))
    }
}

impl<T> Writer<Vec<T>> for Fragile {
    fn write(&mut self, messages: &mut Vec<T>) -> Result<Write, ConnectorError> {
        let failures = &self.failures;
        let fails = failures.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        });
        if !messages.is_empty() && fails.is_ok() {
            return Err(ConnectorError::new("the disk is on fire"));
        }
        messages.clear();
        Ok(Write::Done)
    }
}

/// A source of the numbers from 1 on, that fails as often as it is told to.
struct Numbers {
    to: u64,
    failures: Arc<AtomicU32>,
}

struct NumberReader {
    next: u64,
    to: u64,
    failures: Arc<AtomicU32>,
}

impl Source<u64> for Numbers {
    fn partitions(&mut self, _: usize) -> Result<Vec<String>, ConnectorError> {
        Ok(vec!["numbers".to_owned()])
    }

    fn open(
        &mut self,
        _: &str,
        from: Option<&Position>,
        _: &Waker,
    ) -> Result<Box<dyn Reader<u64>>, ConnectorError> {
        Ok(Box::new(NumberReader {
            next: from.map(Position::get).transpose()?.unwrap_or(1),
            to: self.to,
            failures: Arc::clone(&self.failures),
        }))
    }

    fn replays(&self) -> bool {
        true
    }
}

impl Reader<u64> for NumberReader {
    fn read(&mut self, intake: &mut Intake<u64>) -> Result<Read, ConnectorError> {
        if self.next > self.to {
            return Ok(Read::End);
        }
        // Half way through, with records taken and not yet committed.
        if self.next > self.to / 2 {
            let failures = &self.failures;
            let fails = failures.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
            if fails.is_ok() {
                return Err(ConnectorError::new("the cable is cut"));
            }
        }
        intake.push(self.next);
        self.next += 1;
        Ok(Read::More)
    }

    fn position(&self) -> Position {
        Position::of(self.next)
    }
}

/// Counts each key. Rows are the key and its count.
fn counted<S: Source<u64>>(numbers: S) -> Stream<String> {
    let counts = State::<Count>::new("counts");
    let numbers = source("numbers", numbers).key_by_value(|number| *number % 7);
    numbers.to_state(&counts, |count: &mut Count, number: &u64| {
        count.0 += 1;
        Some(format!("{} {}", number % 7, count.0))
    })
}

/// To a file that is written after each commit, to one that is written at once, and to a fragile sink.
fn app(rows: Stream<String>, directory: &Path, fragile: &Fragile) -> App {
    let at_once = file_sink(directory.join("at-once.txt")).visible_at_once(true);
    App::new("counts")
        .add(
            rows.clone()
                .to_sink("rows", file_sink(directory.join("rows.txt")).lines()),
        )
        .add(rows.clone().to_sink("at once", at_once.lines()))
        .add(rows.to_sink("fragile", fragile.clone()))
}

fn options(directory: &Path, recoveries: u32) -> Options {
    let store = directory.join("store");
    let store = StoreOptions::new(store.to_str().expect("it is text"))
        .every(Duration::from_millis(5))
        .recoveries(recoveries);
    Options {
        store: Some(store),
        ..Options::with_workers(2)
    }
}

/// Each key's rows in order, each once; in both files.
fn check(directory: &Path, numbers: u64) {
    for name in ["rows.txt", "at-once.txt"] {
        let text = std::fs::read_to_string(directory.join(name)).expect("it was written");
        for key in 0..7 {
            let rows = text
                .lines()
                .filter(|row| row.starts_with(&format!("{key} ")));
            let rows: Vec<&str> = rows.collect();
            let of_key = (1..=numbers).filter(|number| number % 7 == key).count();
            let expected: Vec<String> =
                (1..=of_key).map(|count| format!("{key} {count}")).collect();
            assert_eq!(rows, expected, "key {key} in {name}");
        }
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let clock = SystemClock::new();
    let began = clock.now();
    while !is_so() {
        let waited = clock.now().since(began);
        assert!(waited < PATIENCE, "waited for: {what}");
        std::thread::yield_now();
    }
}

fn recoveries(running: &Running) -> u64 {
    running.checkpoints().expect("it has a store").recoveries
}

#[test]
fn a_sink_that_fails_loses_and_doubles_nothing_and_senders_go_on() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let fragile = Fragile::default();
    let (_, numbers) = channel::<u64>(50);
    let app = app(counted(numbers), directory.path(), &fragile);
    let running = app.start(options(directory.path(), 5)).expect("it starts");
    for number in 1..=3_000_u64 {
        if number % 1_000 == 500 {
            fragile.fail(1);
        }
        running.send("numbers", number).expect("it runs");
        if number % 500 == 0 {
            running.checkpoint().expect("it runs");
        }
    }
    let status = running.checkpoints().expect("it has a store");
    assert_eq!(status.recoveries, 3);
    let text = "the sink \"fragile\" failed: the disk is on fire";
    assert_eq!(status.last_failure.as_deref(), Some(text));
    assert_eq!(status.paused, None);
    running.stop();
    running.wait().expect("it ends well");
    drop(running);
    check(directory.path(), 3_000);
}

/// The position of a message in its channel counts from the start of the process, and while the log is read again it must not
/// say more than has had its effect.
#[test]
fn what_is_sent_durably_is_committed_also_while_the_log_is_read_again() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let fragile = Fragile::default();
    let start = || {
        let (_, numbers) = channel::<u64>(50);
        let app = app(counted(numbers), directory.path(), &fragile);
        app.start(options(directory.path(), 5)).expect("it starts")
    };
    // Positions of an earlier process, which say nothing of the next.
    let running = start();
    (1..=700_u64).for_each(|number| running.send("numbers", number).expect("it runs"));
    running.stop();
    running.wait().expect("it ends well");
    drop(running);
    let running = start();
    for number in 701..=1_400_u64 {
        if number % 100 == 50 {
            fragile.fail(1);
        }
        if number % 100 == 0 {
            running.send_durable("numbers", number).expect("it runs");
            let rows = std::fs::read_to_string(directory.path().join("rows.txt"));
            let rows = rows.expect("it was written").lines().count() as u64;
            assert_eq!(rows, number, "what is committed has been published");
        } else {
            running.send("numbers", number).expect("it runs");
        }
    }
    assert!(recoveries(&running) >= 5);
    running.stop();
    running.wait().expect("it ends well");
    drop(running);
    check(directory.path(), 1_400);
}

#[test]
fn a_source_that_fails_is_opened_again_at_the_last_commit() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let failures = Arc::new(AtomicU32::new(2));
    let numbers = Numbers {
        to: 5_000,
        failures: Arc::clone(&failures),
    };
    let app = app(counted(numbers), directory.path(), &Fragile::default());
    let running = app.start(options(directory.path(), 5)).expect("it starts");
    running.wait().expect("it ends well");
    assert_eq!(recoveries(&running), 2);
    drop(running);
    check(directory.path(), 5_000);
}

/// Opened again after a failure of its own, after one of a sink, and by the next process.
#[test]
fn a_source_made_by_replay_goes_on_behind_its_position() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let opened = Arc::new(AtomicU32::new(0));
    let run = |to: u64, failures: u32, sink_failures: u32| {
        let (failures, opened) = (AtomicU32::new(failures), Arc::clone(&opened));
        let failures = Arc::new(failures);
        let numbers = replay(move |behind: Option<u64>| {
            opened.fetch_add(1, Ordering::SeqCst);
            let failures = Arc::clone(&failures);
            let numbers = behind.unwrap_or(0) + 1..=to;
            Ok(numbers.map(move |number| {
                // Half way through, with records taken and not yet committed.
                let fails = number > to / 2
                    && (failures.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                        left.checked_sub(1)
                    }))
                    .is_ok();
                if fails {
                    return Err(ConnectorError::new("the cable is cut"));
                }
                Ok((number, number))
            }))
        });
        let fragile = Fragile::default();
        fragile.fail(sink_failures);
        let app = app(counted(numbers), directory.path(), &fragile);
        let running = app.start(options(directory.path(), 5)).expect("it starts");
        running.wait().expect("it ends well");
        recoveries(&running)
    };
    assert_eq!(run(4_000, 2, 0), 2);
    assert_eq!(opened.swap(0, Ordering::SeqCst), 3);
    assert_eq!(run(6_000, 0, 1), 1);
    assert_eq!(opened.load(Ordering::SeqCst), 2);
    check(directory.path(), 6_000);
}

#[test]
fn one_that_fails_again_and_again_ends_the_run_and_the_next_start_goes_on() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let fragile = Fragile::default();
    let start = |failures: u32| {
        let numbers = Numbers {
            to: 2_000,
            failures: Arc::default(),
        };
        fragile.fail(failures);
        let app = app(counted(numbers), directory.path(), &fragile);
        app.start(options(directory.path(), 2)).expect("it starts")
    };
    let running = start(u32::MAX);
    let error = running.wait().expect_err("the sink fails");
    assert_eq!(error.code(), Code::SinkWrite);
    assert!(error.to_string().contains("the disk is on fire"), "{error}");
    assert_eq!(recoveries(&running), 2);
    drop(running);
    let running = start(0);
    running.wait().expect("it ends well");
    drop(running);
    check(directory.path(), 2_000);
}

/// What the application ends with, and how often it had gone back by then.
fn ends(app: App, options: Options) -> (Error, u64) {
    let running = app.start(options).expect("it starts");
    let error = running.wait().expect_err("it fails");
    let recoveries = running.checkpoints().map_or(0, |status| status.recoveries);
    (error, recoveries)
}

#[test]
fn code_of_the_user_that_fails_ends_the_run_at_once() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let numbers = Numbers {
        to: 100,
        failures: Arc::default(),
    };
    let picky = source("numbers", numbers).to(|number: &u64| {
        if *number == 50 {
            return Err("50 is not liked".to_owned());
        }
        Ok(Some(*number))
    });
    let app = App::new("picky").add(picky.to_sink("none", discard()));
    let (error, recoveries) = ends(app, options(directory.path(), 5));
    assert_eq!((error.kind(), recoveries), (ErrorKind::User, 0));
}

#[test]
fn without_recoveries_or_without_a_store_the_first_failure_ends_the_run() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let failing = || {
        let numbers = Numbers {
            to: 100,
            failures: Arc::new(AtomicU32::new(1)),
        };
        App::new("failing").add(source("numbers", numbers).to_sink("none", discard()))
    };
    let (error, recoveries) = ends(failing(), options(directory.path(), 0));
    assert_eq!((error.code(), recoveries), (Code::SourceUnreadable, 0));
    let (error, _) = ends(failing(), Options::with_workers(2));
    assert_eq!(error.code(), Code::SourceUnreadable);
}

/// What an iterator has given cannot be had again in the same process; the next start makes it again.
#[test]
fn an_iterator_cannot_go_back_and_the_run_ends_with_the_failure() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let fragile = Fragile::default();
    let start = |failures| {
        fragile.fail(failures);
        let numbers = counted(iter(1..=2_000u64));
        app(numbers, directory.path(), &fragile)
    };
    let (error, _) = ends(start(1), options(directory.path(), 5));
    assert_eq!(error.code(), Code::SinkWrite);
    start(0)
        .run(options(directory.path(), 5))
        .expect("it ends well");
    check(directory.path(), 2_000);
}

#[test]
fn connections_stay_and_nothing_that_came_through_them_is_lost() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let fragile = Fragile::default();
    let numbers = tcp_listener("127.0.0.1:0")
        .decode(|line| Ok(Some(std::str::from_utf8(line)?.parse::<u64>()?)));
    let listener = numbers.listener();
    let app = app(counted(numbers), directory.path(), &fragile);
    let running = app.start(options(directory.path(), 5)).expect("it starts");
    let address = listener.local_address().expect("it listens");
    let mut connection = TcpStream::connect(address).expect("it listens");
    for number in 1..=3_000 {
        if number % 1_000 == 500 {
            fragile.fail(1);
        }
        writeln!(connection, "{number}").expect("it is connected");
        if number % 1_000 == 600 {
            until("the sink has failed", || fragile.has_failed());
        }
    }
    drop(connection);
    let all = || std::fs::read_to_string(directory.path().join("rows.txt"));
    until("all rows are there", || {
        all().is_ok_and(|text| text.lines().count() == 3_000)
    });
    assert_eq!(recoveries(&running), 3);
    running.stop();
    running.wait().expect("it ends well");
    drop(running);
    check(directory.path(), 3_000);
}

#[test]
fn acknowledged_senders_notice_nothing() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let fragile = Fragile::default();
    let numbers = tcp_listener("127.0.0.1:0")
        .acknowledged()
        .decode(|line| Ok(Some(std::str::from_utf8(line)?.parse::<u64>()?)));
    let listener = numbers.listener();
    let app = app(counted(numbers), directory.path(), &fragile);
    let running = app.start(options(directory.path(), 5)).expect("it starts");
    let address = listener.local_address().expect("it listens").to_string();
    let mut sender = AckSender::connect(&address, "sender").expect("it listens");
    for number in 1..=3_000_u64 {
        if number % 1_000 == 500 {
            fragile.fail(1);
        }
        sender
            .send(number.to_string().as_bytes())
            .expect("it is connected");
        if number % 200 == 0 {
            sender.wait().expect("it is connected");
        }
        if number % 1_000 == 600 {
            until("the sink has failed", || fragile.has_failed());
        }
    }
    sender.wait().expect("it is connected");
    running.checkpoint().expect("it runs");
    assert_eq!(recoveries(&running), 3);
    running.stop();
    running.wait().expect("it ends well");
    drop(running);
    check(directory.path(), 3_000);
}

#[test]
fn a_run_that_is_stopped_while_it_waits_to_go_on_ends() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let fragile = Fragile::default();
    fragile.fail(u32::MAX);
    let (_, numbers) = channel::<u64>(50);
    let app = app(counted(numbers), directory.path(), &fragile);
    // It would go on for minutes.
    let running = app
        .start(options(directory.path(), 1_000))
        .expect("it starts");
    running.send("numbers", 1u64).expect("it runs");
    until("it has gone back", || recoveries(&running) >= 2);
    let paused = || running.checkpoints().expect("it has a store").paused;
    until("it says why", || {
        paused().is_some_and(|why| why.starts_with("going back to the last commit: the sink"))
    });
    running.stop();
    let error = running.wait().expect_err("the sink fails");
    assert_eq!(error.code(), Code::SinkWrite);
}
