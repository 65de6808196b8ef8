//! Runs an application in a test: its messages in, what its sinks got and its states out.
//!
//! No network, no files, no waiting: every source is replaced by messages of the test, every sink is captured,
//! and time moves only when the test says so. It is the real engine that runs, with any number of workers,
//! in simulation: what happens when is drawn from a seed, and the same seed gives the same run, to the order
//! of every output.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use wallaroo::{App, State, discard, file, source, testing};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Tick { symbol: String, price: u64 }
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Stock { high: u64 }
//!
//! impl Stock {
//!     fn on_tick(&mut self, tick: &Tick) -> Option<String> {
//!         (tick.price > self.high).then(|| {
//!             self.high = tick.price;
//!             format!("{} {}", tick.symbol, tick.price)
//!         })
//!     }
//! }
//!
//! fn app() -> App {
//!     let stocks = State::<Stock>::new("stocks");
//!     let ticks = source("ticks", file("/data/ticks.csv").csv::<Tick>());
//!     App::new("stocks").add(ticks.key_by(|tick| &tick.symbol).to_state(&stocks, Stock::on_tick).to_sink("alerts", discard()))
//! }
//!
//! let tick = |symbol: &str, price| Tick { symbol: symbol.to_owned(), price };
//! let results = testing::run(app(), [testing::input("ticks", [tick("A", 3), tick("A", 2), tick("A", 5)])])?;
//! assert_eq!(results.sink::<String>("alerts"), ["A 3", "A 5"]);
//! assert_eq!(results.state_of::<Stock>("stocks", "A").map(|stock| stock.high), Some(5));
//! # Ok::<(), wallaroo::Error>(())
//! ```
//!
//! **Invariants.** A test depends on nothing but the application, the messages, the steps and the seed. This is
//! the one module of the library that reads the environment: `WALLAROO_SEED` and `WALLAROO_SEEDS`, in tests.

mod capture;
mod crashes;
#[doc(hidden)]
pub mod durable;
mod input;
mod results;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wallaroo_core::{Clock, Code, Messages, NodeKind, Plan, SimulatedClock, Timestamp};
use wallaroo_engine::host::HostRuntime;
use wallaroo_engine::{EpochListener, NodeCode, Outcome, Program, Run, Simulation};

use crate::app::App;
use crate::error::{Error, ErrorKind};
use crate::message::Message;
use capture::{Captured, Observer, TestSink, lock, taken};
use crashes::Crashes;
use input::{Between, Script, StepDone, Steps, TestSource};

pub use input::Input;
pub use results::Results;
pub use wallaroo_core::{Key, StoredKey};

/// The seed of a test that has not been given one.
const DEFAULT_SEED: u64 = 1;

/// What time it is when a test begins: 2026-01-01 00:00 UTC.
pub const START: Timestamp = Timestamp(1_767_225_600_000_000_000);

/// Messages for a source, for [`run`].
pub fn input<T: Message>(
    source: impl Into<String>,
    messages: impl IntoIterator<Item = T>,
) -> Input {
    Input::new(source, messages)
}

/// Runs an application on these messages, on one worker. The short form of [`Test`].
///
/// # Errors
/// As [`Test::run`].
///
/// # Example
/// ```
/// use wallaroo::{App, discard, iter, source, testing};
///
/// let numbers = source("numbers", iter(0u64..));
/// let app = App::new("squares").add(numbers.to(|n: &u64| Some(n * n)).to_sink("squares", discard()));
/// let results = testing::run(app, [testing::input("numbers", [1u64, 2, 3])])?;
/// assert_eq!(results.sink::<u64>("squares"), [1, 4, 9]);
/// # Ok::<(), wallaroo::Error>(())
/// ```
pub fn run(app: App, inputs: impl IntoIterator<Item = Input>) -> Result<Results, Error> {
    let test = Test::new(app);
    inputs.into_iter().fold(test, Test::with_input).run()
}

/// Seeds for a test that is to hold whatever happens when: `WALLAROO_SEED` alone if it is set, else the first
/// `count`, or as many as `WALLAROO_SEEDS` says.
///
/// # Panics
/// When one of the two variables is set and not a number.
///
/// # Example
/// ```
/// use wallaroo::testing::{self, Test};
/// use wallaroo::{App, iter, discard, source};
///
/// for seed in testing::seeds(20) {
///     let app = App::new("copy").add(source("in", iter([0u64])).to_sink("out", discard()));
///     let results = Test::new(app).send("in", 0..100u64).workers(3).seed(seed).run()?;
///     assert_eq!(results.sink::<u64>("out").len(), 100);
/// }
/// # Ok::<(), wallaroo::Error>(())
/// ```
pub fn seeds(count: u64) -> impl Iterator<Item = u64> {
    match number_of("WALLAROO_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number_of("WALLAROO_SEEDS").unwrap_or(count),
    }
}

/// The number in an environment variable.
fn number_of(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| {
        panic!(
            "the environment variable {variable} is {value:?}; it must be a number, or not be set"
        )
    }))
}

/// The program behind an application, to run it on the engine directly.
#[doc(hidden)]
#[must_use]
pub fn program(app: &App) -> Program {
    app.build().program
}

/// A test of an application: what is sent, when, and with how many workers.
///
/// Sources that are sent nothing are empty. Messages of different sources interleave as the seed wants, unless
/// there is a step ([`Test::advance`], [`Test::rescale`]) between them: what was sent before a step has gone
/// through the whole application when the step is taken.
///
/// # Example
/// ```
/// use std::time::Duration;
/// use serde::{Deserialize, Serialize};
/// use wallaroo::testing::{START, Test};
/// use wallaroo::{App, Context, State, discard, iter, source};
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Last(u64);
///
/// // For each login the seconds since the last one of the same user.
/// let last = State::<Last>::new("last");
/// let logins = source("logins", iter(Vec::<String>::new())).key_by(|user| user).to_state_with(
///     &last,
///     |last: &mut Last, _: &String, context: &mut Context<'_, u64>| {
///         let now = context.now().since(START).as_secs();
///         let since = now - std::mem::replace(&mut last.0, now);
///         Some(since)
///     },
/// );
/// let results = Test::new(App::new("logins").add(logins.to_sink("pauses", discard())))
///     .workers(3)
///     .send("logins", ["ann".to_owned(), "bob".to_owned()])
///     .advance(Duration::from_secs(60))
///     .send("logins", ["ann".to_owned()])
///     .run()?;
/// assert_eq!(results.sink::<u64>("pauses"), [0, 0, 60]);
/// # Ok::<(), wallaroo::Error>(())
/// ```
#[must_use = "a test does nothing before run"]
#[derive(Debug)]
pub struct Test {
    app: App,
    seed: u64,
    first_workers: NonZeroUsize,
    /// Each with the number of its step.
    inputs: Vec<(usize, Input)>,
    between: Vec<Between>,
    crashes: Vec<usize>,
    host: HostOfTest,
}

/// What the language of a host needs around the work of workers.
#[derive(Default)]
struct HostOfTest(Option<Arc<dyn HostRuntime>>);

impl fmt::Debug for HostOfTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "a host" } else { "none" })
    }
}

impl Test {
    /// A test without messages, on one worker, with the seed in `WALLAROO_SEED`, or a fixed one.
    ///
    /// # Panics
    /// When `WALLAROO_SEED` is not a number.
    pub fn new(app: App) -> Self {
        Test {
            app,
            seed: number_of("WALLAROO_SEED").unwrap_or(DEFAULT_SEED),
            first_workers: NonZeroUsize::MIN,
            inputs: Vec::new(),
            between: Vec::new(),
            crashes: Vec::new(),
            host: HostOfTest::default(),
        }
    }

    /// Sends messages to a source.
    pub fn send<T: Message>(
        self,
        source: impl Into<String>,
        messages: impl IntoIterator<Item = T>,
    ) -> Self {
        self.with_input(Input::new(source, messages))
    }

    fn with_input(mut self, input: Input) -> Self {
        self.inputs.push((self.between.len(), input));
        self
    }

    pub(crate) fn set_host(&mut self, host: Arc<dyn HostRuntime>) {
        self.host = HostOfTest(Some(host));
    }

    /// Lets time pass, after all that was sent before has gone through. A test begins at [`START`].
    pub fn advance(mut self, time: Duration) -> Self {
        self.between.push(Between {
            advance: time,
            workers: None,
        });
        self
    }

    /// Goes on with another number of workers, after all that was sent before has gone through.
    ///
    /// # Panics
    /// When `workers` is zero.
    pub fn rescale(mut self, workers: usize) -> Self {
        self.between.push(Between {
            advance: Duration::ZERO,
            workers: Some(NonZeroUsize::new(workers).expect("there is at least one worker")),
        });
        self
    }

    /// Lets the application crash when its sources have read this many messages together, and go on from its last checkpoint; the
    /// seed draws where that is. Called several times, it crashes several times.
    ///
    /// Sinks and states are the same as without the crash, if the application keeps what it knows in state objects, and these
    /// store all of it. So a test with a crash finds a field that serde skips, or a function that counts for itself. What
    /// functions keep outside of state objects stays as it was, where a real crash would lose it.
    ///
    /// Messages are given again as copies, made through their serialized form.
    ///
    /// # Example
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use wallaroo::testing::{self, Test};
    /// use wallaroo::{App, State, discard, iter, source};
    ///
    /// #[derive(Default, Serialize, Deserialize)]
    /// struct Visits(u64);
    ///
    /// fn app() -> App {
    ///     let visits = State::<Visits>::new("visits");
    ///     let count = |visits: &mut Visits, _: &String| {
    ///         visits.0 += 1;
    ///         Some(visits.0)
    ///     };
    ///     let users = source("users", iter(Vec::<String>::new()));
    ///     App::new("visits").add(users.key_by(|user| user).to_state(&visits, count).to_sink("counts", discard()))
    /// }
    ///
    /// for seed in testing::seeds(10) {
    ///     let users = (0..50).map(|number| format!("user {}", number % 2));
    ///     let results = Test::new(app()).send("users", users).crash_after(30).seed(seed).run()?;
    ///     assert_eq!(results.sink::<u64>("counts").len(), 50);
    ///     assert_eq!(results.state_of::<Visits>("visits", "user 1").map(|visits| visits.0), Some(25));
    /// }
    /// # Ok::<(), wallaroo::Error>(())
    /// ```
    pub fn crash_after(mut self, messages: usize) -> Self {
        self.crashes.push(messages);
        self
    }

    /// Begins with this many workers. Default: 1.
    ///
    /// # Panics
    /// When `workers` is zero.
    pub fn workers(mut self, workers: usize) -> Self {
        self.first_workers = NonZeroUsize::new(workers).expect("there is at least one worker");
        self
    }

    /// Draws everything that is open from this seed, whatever the environment says.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Runs the application until all messages have gone through.
    ///
    /// # Errors
    /// When the application cannot start or fails on the way, as in production; when messages were sent to a
    /// source that does not exist, or are of another type than the source's; when fewer messages were sent than a crash was to
    /// come after. The text ends with the seed.
    pub fn run(self) -> Result<Results, Error> {
        let seed = self.seed;
        self.run_with_seed()
            .map_err(|error| error.with_note(&format!("in a test with WALLAROO_SEED={seed}")))
    }

    fn run_with_seed(mut self) -> Result<Results, Error> {
        let mut program = program(&self.app);
        program.plan.check()?;
        let steps = self.between.len() + 1;
        let mut unread = vec![0; steps];
        for (step, input) in &self.inputs {
            unread[*step] += input.messages.len();
        }
        let clock = SimulatedClock::starting_at(START);
        self.crashes.sort_unstable();
        let has_crashes = !self.crashes.is_empty();
        let script = Arc::new(Script::new(
            clock.clone(),
            self.first_workers,
            unread,
            self.between,
            self.crashes.into(),
        ));
        let (done, steps_done) = channel();
        replace_sources(&mut program, self.inputs, &script, &done)?;
        drop(done);
        let captured = replace_sinks(&mut program);
        let plan = program.plan.clone();
        let crashes = has_crashes
            .then(|| Crashes::prepare(&program))
            .transpose()?;
        let commits = crashes.as_ref().map(|crashes| Arc::clone(&crashes.commits));
        let observer = Arc::new(Observer::new(&script, commits));
        let (resume, recovery) = match crashes {
            Some(crashes) => {
                let (resume, recovery) = crashes.into_recovery(&script, &observer);
                (Some(resume), Some(recovery))
            }
            None => (None, None),
        };
        let options = wallaroo_engine::Options {
            workers: self.first_workers,
            clock: Arc::new(clock.clone()),
            host: self.host.0.clone(),
            listener: Some(Arc::clone(&observer) as Arc<dyn EpochListener>),
            simulation: Some(Simulation {
                seed: self.seed,
                epoch_every: has_crashes.then_some(crashes::PORTIONS_PER_EPOCH),
            }),
            resume,
            recovery,
            ..wallaroo_engine::Options::default()
        };
        let kinds = program.clone();
        let run = Run::start(program, options)?;
        follow(&run, &steps_done);
        if let Outcome::Failed(failure) = run.wait() {
            return Err(Error::from(failure.as_ref()));
        }
        drop(run);
        if let Some(messages) = script.next_crash() {
            return Err(too_few(messages, script.read()));
        }
        let sinks = captured
            .iter()
            .map(|(name, captured)| (name.clone(), taken(captured)))
            .collect();
        Ok(Results {
            seed: self.seed,
            plan,
            sinks,
            snapshots: observer.take_snapshots(&kinds, clock.now()),
        })
    }
}

/// A crash that has not come.
fn too_few(messages: usize, read: usize) -> Error {
    let text = format!(
        "the test was to crash after {messages} messages, but its sources read only {read}; send more, or let it crash earlier"
    );
    Error::new(ErrorKind::Invalid, Code::SendTarget, text)
}

/// Ends each step when its readers say so; returns when they are gone.
fn follow(run: &Run, steps_done: &Receiver<StepDone>) {
    while let Ok(StepDone { workers, told }) = steps_done.recv() {
        run.rescale(workers);
        // An error means that the reader is gone, with its worker.
        let _ = told.send(());
    }
}

/// Lets every source read what the test has sent it.
fn replace_sources(
    program: &mut Program,
    inputs: Vec<(usize, Input)>,
    script: &Arc<Script>,
    done: &Sender<StepDone>,
) -> Result<(), Error> {
    let mut by_source: BTreeMap<String, Vec<(usize, Input)>> = BTreeMap::new();
    for (step, input) in inputs {
        by_source
            .entry(input.source.clone())
            .or_default()
            .push((step, input));
    }
    let Program { plan, code, .. } = program;
    for (node, code) in plan.nodes.iter().zip(code) {
        let NodeCode::Source(source) = code else {
            continue;
        };
        let empty = lock(source).empty();
        let inputs = by_source.remove(&node.name).unwrap_or_default();
        let steps = steps_of(&node.name, inputs, empty.as_ref())?;
        let stand_in = TestSource::new(empty, steps, Arc::clone(script), done.clone());
        *code = NodeCode::Source(Arc::new(Mutex::new(stand_in)));
    }
    match by_source.keys().next() {
        None => Ok(()),
        Some(unknown) => Err(Error::new(
            ErrorKind::Invalid,
            Code::SendTarget,
            format!(
                "cannot send to the source {unknown:?}: {}",
                known(plan, |kind| *kind == NodeKind::Source)
            ),
        )),
    }
}

fn steps_of(
    source: &str,
    inputs: Vec<(usize, Input)>,
    empty: &dyn Messages,
) -> Result<Steps, Error> {
    let mut steps = VecDeque::new();
    for (step, input) in inputs {
        let messages = input.messages;
        if !messages.fits(empty) {
            let expected = empty.type_name();
            let expected = expected
                .strip_prefix("alloc::vec::Vec<")
                .and_then(|inner| inner.strip_suffix('>'))
                .unwrap_or(expected);
            return Err(Error::new(
                ErrorKind::Invalid,
                Code::SendType,
                format!(
                    "cannot send messages of type {} to the source {source:?}: its messages are of type {expected}; send that type",
                    messages.type_name()
                ),
            ));
        }
        if messages.len() > 0 {
            steps.push_back((step, messages));
        }
    }
    Ok(steps)
}

/// Keeps what comes to the sinks; by name.
fn replace_sinks(program: &mut Program) -> BTreeMap<String, Captured> {
    let mut captured = BTreeMap::new();
    for (node, code) in program.plan.nodes.iter().zip(&mut program.code) {
        if matches!(code, NodeCode::Sink(_)) {
            let kept = Captured::default();
            captured.insert(node.name.clone(), Arc::clone(&kept));
            *code = NodeCode::Sink(Arc::new(Mutex::new(TestSink { captured: kept })));
        }
    }
    captured
}

/// The names there are, for an error about one that is not.
fn known(plan: &Plan, is_meant: impl Fn(&NodeKind) -> bool) -> String {
    let names: Vec<String> = plan
        .nodes
        .iter()
        .filter(|node| is_meant(&node.kind))
        .map(|node| format!("{:?}", node.name))
        .collect();
    if names.is_empty() {
        "there is none".to_owned()
    } else {
        format!("there is {}", names.join(", "))
    }
}
