//! Epochs from outside: held sources, sources that are idle or have ended, and what waits for the end of an epoch.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wallaroo::{
    App, ConnectorError, Intake, KeyGroupCount, Limits, Position, Read, Reader, Source,
};
use wallaroo::{State, discard, iter, source, testing};
use wallaroo_core::Waker;
use wallaroo_engine::{Epoch, EpochListener, Options, Outcome, Run, SourcePosition};
use wallaroo_state::StateChanges;

const PATIENCE: Duration = Duration::from_secs(60);

/// Sends the end of each epoch on.
struct Ends(Mutex<Sender<(Epoch, Vec<SourcePosition>)>>);

impl EpochListener for Ends {
    fn states_changed(&self, _: Epoch, _: usize, _: Vec<StateChanges>) {}

    fn epoch_ended(&self, epoch: Epoch, positions: Vec<SourcePosition>) {
        let ends = self.0.lock().expect("nobody panics with it");
        // The test may have seen enough.
        let _ = ends.send((epoch, positions));
    }
}

/// The number of the next record of a source at the end of this epoch, which is the next to end.
fn end_of(ends: &Receiver<(Epoch, Vec<SourcePosition>)>, epoch: Epoch, source: &str) -> u64 {
    let (ended, positions) = ends.recv_timeout(PATIENCE).expect("an epoch ends");
    assert_eq!(ended, epoch);
    let position = positions.iter().find(|position| position.source == source);
    position.expect("all partitions are listed").next_number
}

/// A source that never has anything.
struct Silent;

impl Source<u64> for Silent {
    fn partitions(&mut self, _: usize) -> Result<Vec<String>, ConnectorError> {
        Ok(vec!["silence".to_owned()])
    }

    fn open(
        &mut self,
        _: &str,
        _: Option<&Position>,
        _: &Waker,
    ) -> Result<Box<dyn Reader<u64>>, ConnectorError> {
        Ok(Box::new(Silent))
    }
}

impl Reader<u64> for Silent {
    fn read(&mut self, _: &mut Intake<u64>) -> Result<Read, ConnectorError> {
        Ok(Read::Idle)
    }

    fn position(&self) -> Position {
        Position::of(0)
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Count(u64);

impl Count {
    fn add(&mut self, _: &u64) -> Option<u64> {
        self.0 += 1;
        Some(self.0)
    }
}

/// An endless source, one that has ended, and one that is idle; all feed one state.
fn endless() -> App {
    let counts = State::<Count>::new("counts");
    let counted = |name: &str, sink: &str, stream: wallaroo::Stream<u64>| {
        let keyed = stream.key_by_value(|number: &u64| number % 7);
        let counted = keyed.to_state(&counts, Count::add).named(name);
        counted.to_sink(sink, discard())
    };
    App::new("endless")
        .add(counted("a", "to a", source("endless", iter(0u64..))))
        .add(counted("b", "to b", source("ended", iter([1u64, 2]))))
        .add(counted("c", "to c", source("idle", Silent)))
}

fn started(app: &App, options: Options) -> (Run, Receiver<(Epoch, Vec<SourcePosition>)>) {
    let (send, ends) = channel();
    let options = Options {
        listener: Some(Arc::new(Ends(Mutex::new(send)))),
        ..options
    };
    let run = Run::start(testing::program(app), options).expect("it starts");
    (run, ends)
}

/// Begins an epoch, as soon as a generation runs.
fn next_epoch(run: &Run) -> Epoch {
    loop {
        if let Some(ended) = run.next_epoch() {
            return ended;
        }
        std::thread::yield_now();
    }
}

#[test]
fn sources_read_nothing_after_the_epoch_behind_which_they_are_held() {
    for workers in 1..=3 {
        let workers = NonZeroUsize::new(workers).expect("not zero");
        let options = Options {
            workers,
            ..Options::default()
        };
        let (run, ends) = started(&endless(), options);
        run.hold_after(Some(Epoch(2)));
        for epoch in 0..3 {
            assert_eq!(next_epoch(&run), Epoch(epoch));
        }
        end_of(&ends, Epoch(0), "endless");
        end_of(&ends, Epoch(1), "endless");
        let held_at = end_of(&ends, Epoch(2), "endless");
        // Nothing is read in these two: the sources are held in them.
        assert_eq!(next_epoch(&run), Epoch(3));
        assert_eq!(end_of(&ends, Epoch(3), "endless"), held_at);
        // What is held now goes on in another generation, and is held there too.
        run.rescale(NonZeroUsize::new(2).expect("not zero"));
        assert_eq!(end_of(&ends, Epoch(4), "endless"), held_at);
        run.hold_after(None);
        let mut epoch = 5;
        loop {
            next_epoch(&run);
            let at = end_of(&ends, Epoch(epoch), "endless");
            assert!(at >= held_at);
            if at > held_at {
                break;
            }
            epoch += 1;
        }
        run.stop();
        assert!(matches!(
            run.wait_timeout(PATIENCE),
            Some(Outcome::Completed)
        ));
    }
}

/// Many epochs at once: those that an idle or ended source has not seen begin are closed with the next.
#[test]
fn epochs_that_begin_in_quick_succession_end_one_by_one() {
    let options = Options {
        workers: NonZeroUsize::new(3).expect("not zero"),
        ..Options::default()
    };
    let (run, ends) = started(&endless(), options);
    let begun = (0..100).map(|_| next_epoch(&run)).collect::<Vec<_>>();
    assert_eq!(begun, (0..100).map(Epoch).collect::<Vec<_>>());
    let mut before = 0;
    for epoch in begun {
        let at = end_of(&ends, epoch, "endless");
        assert!(at >= before);
        before = at;
    }
    run.stop();
    assert!(matches!(
        run.wait_timeout(PATIENCE),
        Some(Outcome::Completed)
    ));
    let last = end_of(&ends, Epoch(100), "ended");
    assert_eq!(last, 3);
    assert!(ends.try_recv().is_err());
}

/// A worker that is held up in an epoch while another, in the next one, makes a thousand messages of each that
/// it reads: they wait at the state for the end of the first epoch, and used to do so without bound.
#[test]
fn what_waits_for_the_end_of_an_epoch_is_bounded() {
    const RECORDS: u64 = 5000;
    const EACH: u64 = 1000;
    let (entered, has_entered) = channel();
    let (open, gate) = channel::<()>();
    let gate = Mutex::new(gate);
    let (go, may_go) = channel::<()>();
    let arrived = Arc::new(AtomicU64::new(0));
    let made = Arc::new(AtomicU64::new(0));

    let counts = State::<Count>::new("counts");
    let slow = source("slow", iter([0u64]))
        .to(move |number: &u64| {
            entered.send(()).expect("the test waits for it");
            let gate = gate.lock().expect("nobody else takes it");
            gate.recv().expect("the test opens it");
            Some(*number)
        })
        .key_by_value(|_: &u64| 0u64)
        .to_state(&counts, Count::add)
        .named("slow count");
    // The first one is read in the first epoch, together with as many as are read in one go.
    let waiting = std::iter::once_with(move || {
        may_go.recv().expect("the test lets it go");
        0
    });
    let (counted, noted) = (Arc::clone(&made), Arc::clone(&arrived));
    let fast = source("fast", iter(waiting.chain(1..RECORDS)))
        .to(move |number: &u64| {
            if *number < 4096 {
                return Vec::new();
            }
            counted.fetch_add(EACH, Ordering::Relaxed);
            vec![*number; EACH as usize]
        })
        .key_by_value(|_: &u64| 0u64)
        .to_state(&counts, Count::add)
        .named("fast count")
        .to(move |_: &u64| {
            noted.fetch_add(1, Ordering::Relaxed);
        });
    let app = App::new("ahead").add(fast.end()).add(slow.end());
    let limits = Limits {
        credit_bytes: 1 << 20,
        queued_bytes: 64 << 10,
        ..Limits::default()
    };
    // The one key group belongs to the first worker, which has the fast source.
    let options = Options {
        workers: NonZeroUsize::new(2).expect("not zero"),
        groups: KeyGroupCount::new(1).expect("not zero"),
        limits,
        ..Options::default()
    };
    let (run, ends) = started(&app, options);
    has_entered
        .recv_timeout(PATIENCE)
        .expect("the slow stage is called");
    assert_eq!(next_epoch(&run), Epoch(0));
    go.send(()).expect("the fast source waits for it");

    // Until no more is made, or for a time that only decides how much this test can notice.
    let (mut before, mut same, mut most) = (0, 0, 0);
    while same < 50 {
        let ended = run.wait_timeout(Duration::from_millis(5));
        assert!(ended.is_none(), "the slow stage waits");
        let now = made.load(Ordering::Relaxed);
        same = if now == before && now > 0 {
            same + 1
        } else {
            0
        };
        before = now;
        most = most.max(run.status().queued_bytes);
    }
    open.send(()).expect("the slow stage waits for it");
    assert!(matches!(
        run.wait_timeout(PATIENCE),
        Some(Outcome::Completed)
    ));
    assert!(most < 1 << 20, "{most} bytes waited");
    assert_eq!(end_of(&ends, Epoch(0), "slow"), 2);
    assert_eq!(end_of(&ends, Epoch(1), "fast"), RECORDS + 1);
    assert_eq!(arrived.load(Ordering::Relaxed), (RECORDS - 4096) * EACH);
}
