//! Sources of a test: messages that were given beforehand, released step by step.
//!
//! **Invariants.** Messages of a step are read only after all of the steps before have gone through the
//! application. A reader never waits for anything but the thread of the test, which answers at once. A crash comes when
//! exactly so many messages have been read as the test says; what a reader gave in the step of a crash it can give again.

use std::any::Any;
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wallaroo_core::messages::downcast_mut;
use wallaroo_core::source::{Position, Read, Stop};
use wallaroo_core::{ConnectorError, Messages, SimulatedClock, Waker};
use wallaroo_engine::host::{ErasedReader, ErasedSource, Room, SourceBatch};

use crate::message::Message;

/// Messages for a source; see [`input`](crate::testing::input).
pub struct Input {
    pub(super) source: String,
    pub(super) messages: Box<dyn Queue>,
}

impl Input {
    pub(super) fn new<T: Message>(
        source: impl Into<String>,
        messages: impl IntoIterator<Item = T>,
    ) -> Self {
        Input {
            source: source.into(),
            messages: Box::new(messages.into_iter().collect::<VecDeque<T>>()),
        }
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input")
            .field("source", &self.source)
            .field("messages", &self.messages.len())
            .finish()
    }
}

/// Messages of a type that only the test knows.
pub(super) trait Queue: Any + Send {
    fn len(&self) -> usize;

    /// Moves the first `count` messages into `batch`, which is of the same type.
    fn take(&mut self, count: usize, batch: &mut dyn Messages);

    /// Copies of the first `count` messages, made through their serialized form.
    ///
    /// # Errors
    /// When a message cannot be written, or not be read back.
    fn copied(&self, count: usize) -> Result<Box<dyn Queue>, String>;

    /// Drops the first `count` messages.
    fn skip(&mut self, count: usize);

    /// Puts the messages of another queue of the same type behind its own.
    fn append(&mut self, other: Box<dyn Queue>);

    fn into_any(self: Box<Self>) -> Box<dyn Any>;

    /// Whether the messages are of the type of `batch`.
    fn fits(&self, batch: &dyn Messages) -> bool;

    /// The type of the messages.
    fn type_name(&self) -> &'static str;
}

impl<T: Message> Queue for VecDeque<T> {
    fn len(&self) -> usize {
        VecDeque::len(self)
    }

    fn take(&mut self, count: usize, batch: &mut dyn Messages) {
        downcast_mut::<Vec<T>>(batch).extend(self.drain(..count));
    }

    fn copied(&self, count: usize) -> Result<Box<dyn Queue>, String> {
        let copied = |message: &T| {
            let bytes = rmp_serde::to_vec_named(message).map_err(|error| error.to_string())?;
            rmp_serde::from_slice(&bytes).map_err(|error| error.to_string())
        };
        let copies: Result<VecDeque<T>, String> = self.range(..count).map(copied).collect();
        Ok(Box::new(copies?))
    }

    fn skip(&mut self, count: usize) {
        self.drain(..count);
    }

    fn append(&mut self, other: Box<dyn Queue>) {
        let other = other.into_any().downcast::<VecDeque<T>>();
        self.append(&mut other.expect("the messages of one source are of one type"));
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn fits(&self, batch: &dyn Messages) -> bool {
        batch.as_any().is::<Vec<T>>()
    }

    fn type_name(&self) -> &'static str {
        std::any::type_name::<T>()
    }
}

/// What happens between two steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Between {
    pub(super) advance: Duration,
    /// Another number of workers, if it changes.
    pub(super) workers: Option<NonZeroUsize>,
}

/// Asks the thread of the test to end the step; the answer says that it has told the engine.
pub(super) struct StepDone {
    pub(super) workers: NonZeroUsize,
    pub(super) told: Sender<()>,
}

/// How far a test is.
pub(super) struct Script {
    clock: SimulatedClock,
    progress: Mutex<Progress>,
}

struct Progress {
    /// Number of the step whose messages are being read.
    step: usize,
    /// By step: messages not read.
    unread: Vec<usize>,
    /// What comes behind each step but the last.
    between: Vec<Between>,
    workers: NonZeroUsize,
    /// Whether the end of the step has been asked for.
    asked: bool,
    /// Messages read by all sources and not given again.
    read: usize,
    /// After how many messages the next crashes come, in ascending order.
    crashes: VecDeque<usize>,
    /// Whether a crash has come and has not been recovered from.
    has_crashed: bool,
}

impl Script {
    /// A script of one step more than `between`; `unread` is by step, `crashes` in ascending order.
    pub(super) fn new(
        clock: SimulatedClock,
        workers: NonZeroUsize,
        unread: Vec<usize>,
        between: Vec<Between>,
        crashes: VecDeque<usize>,
    ) -> Self {
        Script {
            clock,
            progress: Mutex::new(Progress {
                step: 0,
                unread,
                between,
                workers,
                asked: false,
                read: 0,
                crashes,
                has_crashed: false,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on to the next step: all that was read has gone through.
    pub(super) fn next_step(&self) {
        let mut progress = self.lock();
        if let Some(between) = progress.between.get(progress.step) {
            self.clock.advance(between.advance);
        }
        progress.step += 1;
        progress.asked = false;
    }

    /// Whether a crash has come that has not been asked for before.
    pub(super) fn has_crashed(&self) -> bool {
        std::mem::take(&mut self.lock().has_crashed)
    }

    /// How many messages all sources have read, each counted once.
    pub(super) fn read(&self) -> usize {
        self.lock().read
    }

    /// The first crash that has not come.
    pub(super) fn next_crash(&self) -> Option<usize> {
        self.lock().crashes.front().copied()
    }
}

/// The messages of a source, by step.
pub(super) type Steps = VecDeque<(usize, Box<dyn Queue>)>;

/// Stands in for a source of the application.
pub(super) struct TestSource {
    /// An empty buffer of the source's type.
    empty: Box<dyn Messages>,
    steps: Option<Steps>,
    script: Arc<Script>,
    /// Given to the reader: when all readers are gone, the thread of the test knows that the run is over.
    done: Option<Sender<StepDone>>,
}

impl TestSource {
    pub(super) fn new(
        empty: Box<dyn Messages>,
        steps: Steps,
        script: Arc<Script>,
        done: Sender<StepDone>,
    ) -> Self {
        TestSource {
            empty,
            steps: Some(steps),
            script,
            done: Some(done),
        }
    }
}

impl ErasedSource for TestSource {
    fn address(&self) -> Option<String> {
        None
    }

    fn partitions(&mut self, _: usize) -> Result<Vec<String>, ConnectorError> {
        Ok(vec!["test".to_owned()])
    }

    fn open(
        &mut self,
        _: &str,
        _: Option<&Position>,
        _: &Waker,
    ) -> Result<Box<dyn ErasedReader>, ConnectorError> {
        Ok(Box::new(TestReader {
            steps: self.steps.take().unwrap_or_default(),
            script: Arc::clone(&self.script),
            done: self.done.take(),
            records: 0,
            given: VecDeque::new(),
        }))
    }

    fn redirect(&mut self, _: &str) -> Result<(), ConnectorError> {
        Ok(())
    }

    fn empty(&self) -> Box<dyn Messages> {
        self.empty.empty()
    }
}

struct TestReader {
    steps: Steps,
    script: Arc<Script>,
    done: Option<Sender<StepDone>>,
    records: u64,
    /// While crashes are to come: copies of what was given last, by step.
    given: Steps,
}

impl TestReader {
    /// Takes from the front of the step's messages.
    fn take(
        &mut self,
        progress: &mut Progress,
        most: usize,
        batch: &mut dyn Messages,
    ) -> Result<usize, ConnectorError> {
        let step = progress.step;
        let Some((_, messages)) = self.steps.front_mut().filter(|(of, _)| *of == step) else {
            return Ok(0);
        };
        let mut taken = most.min(messages.len());
        if let Some(crash) = progress.crashes.front() {
            taken = taken.min(crash - progress.read);
            let copies = messages.copied(taken).map_err(|error| {
                let text =
                    format!("a message cannot be given again after a crash of the test: {error}");
                ConnectorError::new(text)
                    .with_help("crash_after takes messages that can be stored and read back")
            })?;
            // Those of earlier steps are in a checkpoint.
            self.given.retain(|(of, _)| *of == step);
            match self.given.back_mut() {
                Some((_, given)) => given.append(copies),
                None => self.given.push_back((step, copies)),
            }
        }
        messages.take(taken, batch);
        if messages.len() == 0 {
            self.steps.pop_front();
        }
        progress.unread[step] -= taken;
        progress.read += taken;
        Ok(taken)
    }
}

impl ErasedReader for TestReader {
    fn read(&mut self, room: Room, batch: &mut SourceBatch) -> Result<(Read, u64), ConnectorError> {
        let script = Arc::clone(&self.script);
        let mut progress = script.lock();
        let step = progress.step;
        batch.provenance.clear();
        if progress.crashes.front() == Some(&progress.read) {
            progress.crashes.pop_front();
            progress.has_crashed = true;
            return Err(ConnectorError::new("the test lets the application crash"));
        }
        let taken = self.take(&mut progress, room.messages, batch.messages.as_mut())?;
        batch
            .provenance
            .push_range(room.partition, room.next_number, taken);
        batch.bytes = batch.messages.memory_bytes();
        self.records += taken as u64;
        let next_number = room.next_number + taken as u64;
        if progress.crashes.front() == Some(&progress.read) {
            // Nothing ends before.
            return Ok((Read::More, next_number));
        }
        let Some(between) = progress.between.get(step).copied() else {
            let read = if self.steps.is_empty() {
                Read::End
            } else {
                Read::More
            };
            return Ok((read, next_number));
        };
        let ends = progress.unread[step] == 0 && !progress.asked;
        progress.asked |= ends;
        progress.workers = between.workers.unwrap_or(progress.workers);
        let workers = progress.workers;
        drop(progress);
        if ends && let Some(done) = &self.done {
            ask(done, workers);
        }
        // Looked at again soon: time does not pass by itself in a simulation.
        Ok((Read::IdleFor(Duration::ZERO), next_number))
    }

    fn position(&self) -> Position {
        Position::of(self.records)
    }

    fn rewind(&mut self, from: Option<&Position>) -> Result<bool, ConnectorError> {
        let from = from.map_or(Ok(0), Position::get::<u64>)?;
        let again = usize::try_from(self.records - from).expect("it was in memory");
        self.records = from;
        let Some((step, mut given)) = self.given.pop_front().filter(|_| again > 0) else {
            return Ok(true);
        };
        given.skip(given.len() - again);
        let mut progress = self.script.lock();
        progress.unread[step] += again;
        progress.read -= again;
        if let Some((_, left)) = self.steps.pop_front_if(|(of, _)| *of == step) {
            given.append(left);
        }
        self.steps.push_front((step, given));
        Ok(true)
    }

    fn stop(&mut self) -> Stop {
        Stop::Now
    }
}

/// Asks for the end of a step and waits until the engine knows, so that nothing depends on when it gets to know.
fn ask(done: &Sender<StepDone>, workers: NonZeroUsize) {
    let (told, answer): (Sender<()>, Receiver<()>) = channel();
    if done.send(StepDone { workers, told }).is_ok() {
        // An error means that the test is over.
        let _ = answer.recv();
    }
}
