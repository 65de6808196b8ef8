//! Sinks of a test, and the states at its end.
//!
//! **Invariants.** Messages are kept in the order in which the sink took them. States are what all reported
//! changes add up to, in the order in which they were reported.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wallaroo_core::{ConnectorError, Messages, Rows, StoredKey, Waker, Write};
use wallaroo_engine::host::{ErasedSink, ErasedWriter};
use wallaroo_engine::{Epoch, EpochListener, SourcePosition};
use wallaroo_state::{StateChanges, stamp};

use super::input::Script;

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

/// Adds up the changes of states, and leads from step to step.
pub(super) struct Observer {
    pub(super) script: Arc<Script>,
    pub(super) snapshots: Mutex<Snapshots>,
}

impl EpochListener for Observer {
    fn states_changed(&self, _: Epoch, _: usize, changes: Vec<StateChanges>) {
        let mut snapshots = lock(&self.snapshots);
        for changes in changes {
            let objects = snapshots.entry(changes.state().to_owned()).or_default();
            for change in changes.changes() {
                let key = StoredKey::from_canonical(change.key).expect("the engine has checked it");
                match change.value {
                    Some(bytes) => objects.insert(key, stamp::split(bytes).1.to_vec()),
                    None => objects.remove(&key),
                };
            }
        }
    }

    fn epoch_ended(&self, _: Epoch, _: Vec<SourcePosition>) {}

    fn generation_ended(&self) {
        self.script.next_step();
    }
}

pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
