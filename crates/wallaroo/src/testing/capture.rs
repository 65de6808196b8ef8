//! Sinks of a test, and the states at its end.
//!
//! **Invariants.** Messages are kept in the order in which the sink took them. States are what all reported
//! changes of epochs that have ended add up to, in the order in which they were reported.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wallaroo_core::{ConnectorError, Messages, Position, Rows, StoredKey, Timestamp, Waker, Write};
use wallaroo_engine::host::{Checkpointed, ErasedSink, ErasedWriter};
use wallaroo_engine::{Epoch, EpochListener, Program, SinkOutput, SourcePosition, is_expired};
use wallaroo_state::{StateChanges, stamp};

use super::input::Script;
use crate::durable::Inline;

/// What one sink has taken; nothing before the first message.
pub(super) type Captured = Arc<Mutex<Option<Box<dyn Messages>>>>;

/// Stands in for a sink of the application.
pub(super) struct TestSink {
    pub(super) captured: Captured,
}

impl ErasedSink for TestSink {
    fn address(&self) -> Option<String> {
        None
    }

    fn open(&mut self, _: &Waker) -> Result<Box<dyn ErasedWriter>, ConnectorError> {
        Ok(Box::new(TestWriter {
            captured: Arc::clone(&self.captured),
        }))
    }

    /// Cuts what has been taken to what the checkpoint says.
    fn resume(&mut self, from: Option<&Position>) -> Result<Option<Position>, ConnectorError> {
        let len = from.map_or(Ok(0), Position::get::<usize>)?;
        if let Some(messages) = lock(&self.captured).as_mut() {
            messages.truncate(len);
        }
        Ok(Some(Position::of(len)))
    }

    fn per_worker(&self) -> bool {
        false
    }

    fn redirect(&mut self, _: &str) -> Result<(), ConnectorError> {
        Ok(())
    }
}

struct TestWriter {
    captured: Captured,
}

impl ErasedWriter for TestWriter {
    fn write(&mut self, messages: &mut dyn Messages) -> Result<Write, ConnectorError> {
        let mut captured = lock(&self.captured);
        let kept = captured.take().unwrap_or_else(|| messages.empty());
        let mut targets = [kept];
        messages.scatter(&vec![0; messages.len()], &mut targets);
        let [kept] = targets;
        *captured = Some(kept);
        Ok(Write::Done)
    }

    fn flush(&mut self) -> Result<Write, ConnectorError> {
        Ok(Write::Done)
    }

    fn checkpoint(&mut self) -> Result<Checkpointed, ConnectorError> {
        let captured = lock(&self.captured);
        let len = captured.as_ref().map_or(0, |messages| messages.len());
        Ok(Checkpointed {
            position: Some(Position::of(len)),
            ..Checkpointed::default()
        })
    }

    fn end(&mut self) {}
}

/// What a sink has taken, rows as text without their line ends.
pub(super) fn taken(captured: &Captured) -> Option<Box<dyn Messages>> {
    let messages = lock(captured).take()?;
    let Some(rows) = messages.as_any().downcast_ref::<Rows>() else {
        return Some(messages);
    };
    let text = |row: &[u8]| {
        let text = String::from_utf8_lossy(row);
        text.trim_end_matches(['\r', '\n']).to_owned()
    };
    Some(Box::new(rows.iter().map(text).collect::<Vec<String>>()))
}

/// Snapshots by state and key.
pub(super) type Snapshots = BTreeMap<String, BTreeMap<StoredKey, Vec<u8>>>;

/// A change of an object: its state, its key, and its snapshot if it is not gone.
type Change = (String, StoredKey, Option<Vec<u8>>);

/// Adds up the changes of states, and leads from step to step.
pub(super) struct Observer {
    script: Arc<Script>,
    seen: Mutex<Seen>,
    /// For a test with crashes: commits the epochs.
    commits: Option<Arc<Inline>>,
}

#[derive(Default)]
struct Seen {
    snapshots: Snapshots,
    /// Of epochs that have not ended.
    open: Vec<(Epoch, Change)>,
}

impl Observer {
    pub(super) fn new(script: &Arc<Script>, commits: Option<Arc<Inline>>) -> Self {
        Observer {
            script: Arc::clone(script),
            seen: Mutex::default(),
            commits,
        }
    }

    /// What has not ended is lost, and will be told again.
    pub(super) fn forget_open(&self) {
        lock(&self.seen).open.clear();
    }

    /// The snapshots of all objects that are there at `now`. After a crash, objects that have expired may not have been loaded
    /// again, and so not dropped.
    pub(super) fn take_snapshots(&self, program: &Program, now: Timestamp) -> Snapshots {
        let mut snapshots = std::mem::take(&mut lock(&self.seen).snapshots);
        for (state, objects) in &mut snapshots {
            let after = program.states[state]().expire_after();
            objects.retain(|_, value| {
                let (touched, snapshot) = stamp::split(value);
                let is_gone = after
                    .zip(touched)
                    .is_some_and(|(after, touched)| is_expired(after, touched, now));
                *value = snapshot.to_vec();
                !is_gone
            });
        }
        snapshots
    }
}

impl EpochListener for Observer {
    fn states_changed(&self, epoch: Epoch, worker: usize, changes: Vec<StateChanges>) {
        let mut seen = lock(&self.seen);
        for changes in &changes {
            for change in changes.changes() {
                let key = StoredKey::from_canonical(change.key).expect("the engine has checked it");
                let value = change.value.map(<[u8]>::to_vec);
                seen.open
                    .push((epoch, (changes.state().to_owned(), key, value)));
            }
        }
        drop(seen);
        if let Some(commits) = &self.commits {
            commits.states_changed(epoch, worker, changes);
        }
    }

    fn sink_reached(&self, epoch: Epoch, output: SinkOutput) {
        if let Some(commits) = &self.commits {
            commits.sink_reached(epoch, output);
        }
    }

    fn epoch_ended(&self, epoch: Epoch, positions: Vec<SourcePosition>) {
        let mut seen = lock(&self.seen);
        let Seen { snapshots, open } = &mut *seen;
        for (_, (state, key, value)) in open.extract_if(.., |(of, _)| *of <= epoch) {
            let snapshots = snapshots.entry(state).or_default();
            match value {
                Some(bytes) => snapshots.insert(key, bytes),
                None => snapshots.remove(&key),
            };
        }
        drop(seen);
        if let Some(commits) = &self.commits {
            commits.epoch_ended(epoch, positions);
        }
    }

    fn generation_ended(&self) {
        if let Some(commits) = &self.commits {
            commits.generation_ended();
        }
        self.script.next_step();
    }
}

pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
