//! The life of an application: one process after another, until all input is committed.
//!
//! **Invariants.** Everything is drawn from the seed of the life. After a bounded number of processes nothing fails any more, so
//! that every life ends.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wallaroo::testing::durable::{self, Place, Ready};
use wallaroo::{App, ErrorKind, KeyGroupCount, Limits, StoreOptions, iter, source, testing};
use wallaroo_core::SimulatedClock;
use wallaroo_engine::{
    Epoch, EpochListener, Options, Outcome, Random, Recovery, Resume, Run, Simulation, SinkOutput,
    SourcePosition, Unresumed,
};
use wallaroo_state::StateChanges;
use wallaroo_store::Memory;
use wallaroo_store::Storage as _;
use wallaroo_store::inspect::Inspector;
use wallaroo_store::testing::{Faults, Faulty};

use super::disk::Disk;
use super::judge::{Files, Judge, newest};
use super::log_disk::LogDisk;
use super::mortal::Mortal;
pub use super::process::Moments;
use super::process::{Fate, Moment, Process, Sleep};
use super::senders::World;
use crate::build::{Built, Outside, build_in};
use crate::case::Case;
use crate::input::{Death, Failure};
use crate::observe::Call;
use crate::run::{PATIENCE, answer, without_expected_panics};

/// After so many processes nothing fails any more.
const FAILING: u64 = 10;

/// No life has more processes, unless something is wrong.
const MOST: u64 = 100;

/// How long it takes to read once, or to try again.
pub(super) const MOMENT: Duration = Duration::from_millis(1);

/// The calls of a process.
type Calls = Arc<Mutex<Vec<Call>>>;

/// A life.
pub struct Life {
    case: Case,
    memory: Memory,
    faulty: Arc<Faulty>,
    disk: Disk,
    /// The input logs.
    logs: LogDisk,
    senders: World,
    judge: Mutex<Judge>,
    /// The calls of the process that has last tried to append a commit.
    appender: Mutex<Calls>,
    random: Mutex<Random>,
    processes: AtomicU64,
    met: Arc<Mutex<Moments>>,
    /// What processes take their time from, and the store its latency.
    clock: SimulatedClock,
    /// Made processes have these fates, the first one first, instead of drawn ones.
    fates: Mutex<Vec<Fate>>,
}

impl std::fmt::Debug for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Life")
            .field("case", &self.case)
            .finish_non_exhaustive()
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    AtTheEnd,
    Early,
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Life {
    /// A life of an application; its random numbers begin with those of the case's seed.
    #[must_use]
    pub fn new(case: Case) -> Arc<Self> {
        let memory = Memory::new();
        let seed = case.seed;
        let nobody = Arc::new(Process::nobody());
        let faults = Faults {
            seed,
            ..Faults::default()
        };
        let clock = SimulatedClock::starting_at(testing::START);
        let faulty = Faulty::new(Arc::new(memory.clone()), faults).with_clock(clock.clone());
        Arc::new(Life {
            clock,
            judge: Mutex::new(Judge::new(case.clone())),
            disk: Disk::new(memory.clone(), Arc::clone(&nobody)),
            logs: LogDisk::new(Arc::clone(&nobody)),
            senders: World::new(nobody),
            faulty: Arc::new(faulty),
            memory,
            case,
            appender: Mutex::default(),
            random: Mutex::new(Random::new(seed ^ 0x0d15_ea5e)),
            processes: AtomicU64::new(0),
            met: Arc::default(),
            fates: Mutex::default(),
        })
    }

    /// Gives the first processes these fates.
    #[must_use]
    pub fn with_fates(self: Arc<Self>, fates: impl IntoIterator<Item = Fate>) -> Arc<Self> {
        lock(&self.fates).extend(fates);
        self
    }

    /// Lives it to its end; returns what was met.
    ///
    /// # Panics
    /// When what is stored or published is not what the model says, or a process fails without a reason.
    pub fn live(self: &Arc<Self>) -> Moments {
        without_expected_panics();
        while self.process(0) == Ended::Early {
            self.between(0);
            let processes = self.processes.load(Ordering::SeqCst);
            assert!(processes < MOST, "no process comes to the end of the input");
        }
        self.between(0);
        assert!(
            lock(&self.judge).is_at_the_end(),
            "the last process ended before its input"
        );
        // Nothing happens to an application whose input has ended.
        self.processes.fetch_add(FAILING, Ordering::SeqCst);
        let number = lock(&self.judge).number();
        while self.process(0) == Ended::Early {
            let processes = self.processes.load(Ordering::SeqCst);
            assert!(processes < 2 * MOST, "it does not end again");
        }
        self.observe();
        assert_eq!(
            lock(&self.judge).number(),
            number,
            "there was nothing to commit"
        );
        self.check_files(Files::Exact);
        lock(&self.met).clone()
    }

    fn draw(&self) -> u64 {
        lock(&self.random).draw()
    }

    fn below(&self, bound: usize) -> usize {
        lock(&self.random).below(bound)
    }

    fn one_in(&self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn fate(&self, number: u64, depth: usize) -> Option<Fate> {
        let mut fates = lock(&self.fates);
        if !fates.is_empty() {
            return Some(fates.remove(0));
        }
        drop(fates);
        let fails = number < FAILING && !self.one_in(20);
        let has_logs = !self.case.logged.is_empty();
        fails.then(|| Fate::random(&mut lock(&self.random), depth == 0, has_logs))
    }

    /// A process has ended: power may fail, commits are looked at, others may try to start.
    fn between(&self, depth: usize) {
        if depth == 0 && self.one_in(2) {
            self.faulty.power_loss();
            self.disk.power_loss(&mut lock(&self.random));
            let is_torn = self.logs.power_loss(&mut lock(&self.random));
            let mut met = lock(&self.met);
            *met.entry(Moment::PowerLoss).or_default() += 1;
            *met.entry(Moment::Torn).or_default() += u64::from(is_torn);
        }
        // What is looked at here is settled, as it is for everybody who looks.
        self.faulty.set_faults(Faults::default());
        let _ = self.faulty.list("log/");
        self.observe();
        if self.one_in(4) {
            self.misfit();
        }
    }

    /// Looks for a commit that was made by a process that never knew.
    fn observe(&self) {
        let calls = Arc::clone(&lock(&self.appender));
        let calls = lock(&calls).clone();
        self.judged(|judge| judge.acknowledged(&self.logs, &self.senders.acknowledged()));
        self.judged(|judge| judge.observe(&self.memory, &self.logs, &calls));
        let inspector = Inspector::open(Arc::new(self.memory.clone()));
        let Ok(inspector) = inspector else { return };
        for verified in inspector.verify().unwrap_or_else(|error| panic!("{error}")) {
            if let Err(error) = verified.result {
                panic!("{error}");
            }
        }
    }

    fn judged(&self, judge: impl FnOnce(&mut Judge) -> Result<(), String>) {
        let result = judge(&mut lock(&self.judge));
        if let Err(error) = result {
            panic!("{error}");
        }
    }

    fn check_files(&self, which: Files) {
        self.judged(|judge| judge.files(&self.disk, &self.logs, which));
    }

    /// An application that does not fit the store cannot be started, and changes nothing.
    fn misfit(&self) {
        let Ok(Some(_)) = newest(&self.memory) else {
            return;
        };
        let before = self.memory.objects();
        let other = source("other", iter([1u64])).to(|_: &u64| {});
        let app = App::new("case").add(other.end());
        let place = Place {
            storage: Arc::new(self.memory.clone()),
            input: None,
            clock: Box::new(|| 0),
            nonces: Box::new(|| 1 << 100),
            committed: Box::new(|_| {}),
            tries_again: Box::new(|_| false),
            merge_steps: Box::new(|| 0),
        };
        let options = self.options(1);
        let with = StoreOptions::new("memory");
        let error = durable::open(&app, &options, &with, place).expect_err("it does not fit");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert_eq!(
            before,
            self.memory.objects(),
            "a start that was refused changed the store"
        );
        *lock(&self.met).entry(Moment::Misfit).or_default() += 1;
    }

    fn options(&self, workers: usize) -> wallaroo::Options {
        wallaroo::Options {
            key_groups: KeyGroupCount::new(self.case.key_groups).expect("a case has key groups"),
            ..wallaroo::Options::with_workers(workers)
        }
    }

    /// Runs one process.
    fn process(self: &Arc<Self>, depth: usize) -> Ended {
        let number = self.processes.fetch_add(1, Ordering::SeqCst);
        let fate = self.fate(number, depth);
        let random = Random::new(self.draw());
        let life = Arc::clone(self);
        let sleep: Option<Sleep> =
            (depth == 0).then(|| Box::new(move || life.take_over()) as Sleep);
        let is_weak = number < FAILING && self.one_in(3);
        let met = Arc::clone(&self.met);
        let process = Process::new(number, fate, random, is_weak, sleep, met);
        let process = Arc::new(process);
        let weather = Arc::new(Mutex::new(self.weather(number)));
        self.faulty.set_faults(lock(&weather).clone());
        let (dying, clock) = (Arc::clone(&process), self.clock.clone());
        let failing = Arc::clone(&process);
        let outside = Outside {
            failure: Failure(Arc::new(move || failing.loses(Moment::SourceFails))),
            disk: self.disk.seen_by(Arc::clone(&process)),
            senders: self.senders.seen_by(Arc::clone(&process), &self.clock),
            death: Death(Arc::new(move || {
                clock.advance(MOMENT);
                if dying.meets(Moment::Reading) {
                    dying.die();
                }
                dying.is_dead()
            })),
        };
        let (requests, asked) = channel();
        let requests = Arc::new(Mutex::new(Some(requests)));
        let Built { app, notes, .. } = build_in(&self.case, Arc::clone(&requests), Some(&outside));
        let opening = Arc::new(AtomicBool::new(true));
        let workers = 1 + self.below(4);
        let place = self.place(&process, &weather, &opening, &notes.calls);
        let with = StoreOptions::new("memory").retain(1 + self.below(3));
        let opened = durable::open(&app, &self.options(workers), &with, place);
        let Ready {
            program,
            resume,
            commits,
        } = match opened {
            Ok(ready) => ready,
            Err(_) if process.is_dead() => return Ended::Early,
            Err(error) if error.kind() == ErrorKind::Unavailable => return Ended::Early,
            Err(error) => panic!("{error}"),
        };
        opening.store(false, Ordering::SeqCst);
        if !process.has_slept() {
            self.check_recovered(u64::from(resume.epoch.0));
        }
        let listener = Reporter {
            listener: commits.listener(),
            faulty: Arc::clone(&self.faulty),
            process: Arc::clone(&process),
        };
        let tries = 1 + self.below(4) as u32;
        let recovery = commits.recovery(&program, tries).map(|recovery| {
            Arc::new(Reborn {
                recovery,
                process: Arc::clone(&process),
                calls: Arc::clone(&notes.calls),
            }) as Arc<dyn Recovery>
        });
        let options = Options {
            recovery,
            workers: NonZeroUsize::new(workers).expect("a process has workers"),
            groups: KeyGroupCount::new(self.case.key_groups).expect("a case has key groups"),
            limits: Limits {
                credit_bytes: self.case.limit_bytes,
                queued_bytes: self.case.limit_bytes,
                ..Limits::default()
            },
            clock: Arc::new(self.clock.clone()),
            listener: Some(Arc::new(listener)),
            resume: Some(resume),
            simulation: Some(Simulation {
                seed: self.draw(),
                epoch_every: Some(1 + self.below(self.case.epoch_every.unwrap_or(5))),
            }),
            ..Options::default()
        };
        let run = Run::start(program, options).unwrap_or_else(|error| panic!("{error}"));
        lock(&requests).take();
        answer(&run, &asked);
        let Some(outcome) = run.wait_timeout(PATIENCE) else {
            // Its threads cannot be ended, only left behind.
            std::mem::forget(run);
            panic!("the run does not end");
        };
        drop(run);
        self.ended(&outcome, commits.failure().as_deref(), &process)
    }

    /// How a process ended whose run ended so, and whose commits failed, if they did.
    fn ended(&self, outcome: &Outcome, failure: Option<&str>, process: &Process) -> Ended {
        match outcome {
            // What a process that was taken over has not read, it has not left undone.
            Outcome::Completed if process.has_slept() => Ended::Early,
            Outcome::Completed if failure.is_none() && !process.is_dead() => {
                self.observe();
                self.check_files(Files::Exact);
                Ended::AtTheEnd
            }
            _ if process.is_dead() || process.has_slept() => Ended::Early,
            Outcome::Failed(failure) if failure.to_string().contains("injected") => Ended::Early,
            Outcome::Completed if process.has_rival() && is_fenced(failure) => Ended::Early,
            Outcome::Completed => panic!("commits ended: {failure:?}"),
            Outcome::Failed(failure) => panic!("{failure}"),
        }
    }

    /// What fails in passing.
    fn weather(&self, number: u64) -> Faults {
        let seed = self.draw();
        if number >= FAILING || self.one_in(3) {
            return Faults {
                seed,
                ..Faults::default()
            };
        }
        Faults {
            seed,
            before_per_mille: self.below(60) as u32,
            after_per_mille: self.below(60) as u32,
            slow_per_mille: if self.one_in(2) {
                self.below(300) as u32
            } else {
                0
            },
            latency: Duration::from_millis(1 + self.below(60) as u64),
            space_bytes: self.one_in(3).then(|| 1000 + self.below(10_000) as u64),
            dies_at_call: None,
        }
    }

    fn place(
        self: &Arc<Self>,
        process: &Arc<Process>,
        weather: &Arc<Mutex<Faults>>,
        opening: &Arc<AtomicBool>,
        calls: &Calls,
    ) -> Place {
        let (life, calls_of_process) = (Arc::clone(self), Arc::clone(calls));
        let mortal = Mortal {
            faulty: Arc::clone(&self.faulty),
            memory: self.memory.clone(),
            process: Arc::clone(process),
            weather: Arc::clone(weather),
            opening: Arc::clone(opening),
            appending: Box::new(move || *lock(&life.appender) = Arc::clone(&calls_of_process)),
        };
        let mut drawn = u128::from(process.number) << 64;
        let life = Arc::clone(self);
        let (calls, owner, after) = (Arc::clone(calls), Arc::clone(process), Arc::clone(weather));
        let committed = move |_| {
            if owner.has_slept() {
                // What it had committed before it slept was looked at by who took over.
                let found = newest(&life.memory).unwrap_or_else(|error| panic!("{error}"));
                let known = lock(&life.judge).number();
                assert_eq!(
                    found.map(|(number, _)| number),
                    Some(known),
                    "a process that was taken over commits"
                );
                return;
            }
            let calls = lock(&calls).clone();
            life.judged(|judge| judge.observe(&life.memory, &life.logs, &calls));
            life.check_files(Files::Published);
            // The store goes away for a while.
            if owner.one_in(15) && owner.number < FAILING {
                owner.note(Moment::Unreachable);
                life.faulty.set_faults(Faults {
                    before_per_mille: 1000,
                    ..lock(&after).clone()
                });
            }
        };
        let merging = Arc::clone(process);
        // All that there is to do, or a merge that others overtake.
        let merge_steps = move || match merging.one_in(3) {
            true => 10,
            false => merging.below(3),
        };
        let (life, owner, weather) = (Arc::clone(self), Arc::clone(process), Arc::clone(weather));
        let tries_again = move |cause: &str| {
            if cause.contains("no space left") && owner.one_in(3) {
                owner.note(Moment::Full);
                lock(&weather).space_bytes = None;
            }
            life.clock.advance(MOMENT);
            if owner.one_in(4) {
                life.faulty.set_faults(lock(&weather).clone());
            }
            owner.one_in(2)
        };
        Place {
            storage: Arc::new(mortal),
            input: Some(Arc::new(self.logs.seen_by(Arc::clone(process)))),
            clock: Box::new(|| 0),
            nonces: Box::new(move || {
                drawn += 1;
                drawn
            }),
            committed: Box::new(committed),
            tries_again: Box::new(tries_again),
            merge_steps: Box::new(merge_steps),
        }
    }

    /// Everything committed is published, and the run begins behind it.
    fn check_recovered(&self, epoch: u64) {
        self.observe();
        let newest = newest(&self.memory).unwrap_or_else(|error| panic!("{error}"));
        let (_, commit) = newest.expect("the first commit is made when a store is opened");
        assert_eq!(commit.epoch, epoch, "it goes on from the newest commit");
        self.check_files(Files::Published);
    }

    /// Another process runs while one sleeps: true when it has taken over.
    fn take_over(self: &Arc<Self>) -> bool {
        let before = self.last_record();
        self.process(1);
        self.between(1);
        self.last_record() != before
    }

    fn last_record(&self) -> Option<String> {
        let objects = self.memory.objects();
        objects
            .keys()
            .rfind(|name| name.starts_with("log/"))
            .cloned()
    }
}

/// Whether nothing is committed any more because another has taken over.
fn is_fenced(failure: Option<&str>) -> bool {
    failure.is_some_and(|failure| failure.contains("another process has taken over"))
}

/// Lets a process die between the reports of workers.
struct Reporter {
    listener: Arc<dyn EpochListener>,
    faulty: Arc<Faulty>,
    process: Arc<Process>,
}

impl Reporter {
    fn reports(&self) -> bool {
        if self.process.meets(Moment::Reporting) {
            self.process.die();
        }
        !self.process.is_dead()
    }
}

impl EpochListener for Reporter {
    fn states_changed(&self, epoch: Epoch, worker: usize, changes: Vec<StateChanges>) {
        assert!(
            !self.process.loses(Moment::WorkerPanics),
            "expected, injected"
        );
        if self.reports() {
            self.listener.states_changed(epoch, worker, changes);
        }
    }

    fn sink_reached(&self, epoch: Epoch, output: SinkOutput) {
        if self.reports() {
            self.listener.sink_reached(epoch, output);
        }
    }

    fn epoch_ended(&self, epoch: Epoch, positions: Vec<SourcePosition>) {
        if !self.process.is_dead() {
            if self.faulty.is_waited_for() {
                self.process.note(Moment::Slow);
            }
            self.listener.epoch_ended(epoch, positions);
        }
    }

    fn generation_ended(&self) {
        if !self.process.is_dead() {
            self.listener.generation_ended();
        }
    }
}

/// Goes on from the last commit when workers are lost, unless the process is dead.
struct Reborn {
    recovery: Arc<dyn Recovery>,
    process: Arc<Process>,
    calls: Calls,
}

impl Recovery for Reborn {
    fn pause(&self, failure: &wallaroo_engine::Failure) -> Option<Duration> {
        let pause = || self.recovery.pause(failure);
        (!self.process.is_dead()).then(pause).flatten()
    }

    fn resume(&self) -> Result<Resume, Unresumed> {
        let resume = self.recovery.resume()?;
        // Those of the lost workers that no commit has have not happened.
        lock(&self.calls).clear();
        Ok(resume)
    }
}
