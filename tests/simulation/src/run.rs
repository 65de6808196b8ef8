//! Runs a case on the engine.
//!
//! **Invariants.** A simulated run is a function of the case: requests of sources are answered before anything
//! else goes on.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::panic;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use wallaroo::{DeadLetter, KeyGroupCount, Limits, testing};
use wallaroo_core::{Clock, SimulatedClock, SystemClock};
use wallaroo_engine::{EpochListener, Options, Outcome, Run, Simulation};

use crate::build::{Built, Shared, build};
use crate::case::{Case, Mode};
use crate::input::{Asked, Item, Request};
use crate::observe::{Call, Heard, Listener};

/// No case takes longer, unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a run has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// What each sink got, in its order.
    pub sinks: BTreeMap<usize, Vec<Item>>,
    /// The dead letters of each node.
    pub dead: BTreeMap<usize, Vec<DeadLetter>>,
    /// All calls with state.
    pub calls: Vec<Call>,
    /// What the listener has heard.
    pub heard: Heard,
}

/// Runs a case.
///
/// # Errors
/// The text of its failure.
///
/// # Panics
/// When the run does not end.
pub fn run(case: &Case, mode: Mode) -> Result<Observed, String> {
    without_expected_panics();
    let (requests, asked) = channel();
    let requests = Arc::new(Mutex::new(Some(requests)));
    let Built {
        app,
        sinks,
        dead,
        notes,
    } = build(case, Arc::clone(&requests));
    let listener = Listener {
        sinks: sinks.clone(),
        notes: notes.clone(),
        ..Listener::default()
    };
    let clock: Arc<dyn Clock> = match mode {
        Mode::Simulated => Arc::new(SimulatedClock::starting_at(testing::START)),
        Mode::Threads => Arc::new(SystemClock::new()),
    };
    let options = Options {
        workers: NonZeroUsize::new(case.workers).expect("a case has workers"),
        groups: KeyGroupCount::new(case.key_groups).expect("a case has key groups"),
        limits: Limits {
            credit_bytes: case.limit_bytes,
            queued_bytes: case.limit_bytes,
            ..Limits::default()
        },
        clock,
        listener: Some(Arc::new(listener.clone()) as Arc<dyn EpochListener>),
        simulation: (mode == Mode::Simulated).then_some(Simulation {
            seed: case.seed,
            epoch_every: case.epoch_every,
        }),
        ..Options::default()
    };
    let run = Run::start(testing::program(&app), options).map_err(|error| error.to_string())?;
    // The readers have their own; without this one the channel ends with them.
    requests.lock().expect("nobody panics with it").take();
    answer(&run, &asked);
    match run.wait_timeout(PATIENCE) {
        Some(Outcome::Completed) => {}
        Some(Outcome::Failed(failure)) => return Err(failure.to_string()),
        None => {
            // Its threads cannot be ended, only left behind.
            std::mem::forget(run);
            panic!("the run does not end");
        }
    }
    drop(run);
    if let Some(met) = notes.met() {
        return Err(met.to_owned());
    }
    let calls = std::mem::take(&mut *notes.calls.lock().expect("nobody panics with it"));
    let heard = std::mem::take(&mut *listener.heard.lock().expect("nobody panics with it"));
    Ok(Observed {
        sinks: taken(&sinks),
        dead: taken(&dead),
        calls,
        heard,
    })
}

pub(crate) fn answer(run: &Run, asked: &Receiver<Asked>) {
    while let Ok(Asked { request, done }) = asked.recv_timeout(PATIENCE) {
        match request {
            Request::Rescale(workers) => {
                run.rescale(NonZeroUsize::new(workers).expect("there is at least one"));
            }
            Request::Epochs(count) => {
                for _ in 0..count {
                    run.next_epoch();
                }
            }
        }
        // An error means that the reader is gone, with its worker.
        let _ = done.send(());
    }
}

fn taken<M>(shared: &Shared<M>) -> BTreeMap<usize, Vec<M>> {
    let take = |kept: &Arc<Mutex<Vec<M>>>| {
        std::mem::take(&mut *kept.lock().expect("nobody panics with it"))
    };
    shared
        .iter()
        .map(|(node, kept)| (*node, take(kept)))
        .collect()
}

/// Keeps the panics that the stages of a case make on purpose out of the output.
pub(crate) fn without_expected_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            if panicked
                .payload_as_str()
                .is_none_or(|text| !text.starts_with("expected"))
            {
                report(panicked);
            }
        }));
    });
}
