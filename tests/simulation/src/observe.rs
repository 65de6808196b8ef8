//! What a run shows: calls, outputs, snapshots, positions.
//!
//! **Invariants.** Calls for one state object are noted while it is being worked on, so their order is the order in
//! which they happened.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use serde::{Deserialize, Serialize};
use wallaroo::{ConnectorError, Encoder, Position, Rows, Sink, Write, Writer};
use wallaroo_core::{Publisher, StoredKey, Waker};
use wallaroo_engine::{Epoch, EpochListener, SourcePosition};
use wallaroo_state::StateChanges;

use crate::build::Shared;
use crate::durable::disk::File;
use crate::input::{Item, mix};

/// A state object: it remembers enough to tell in which order it was called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The message of the last call.
    pub last: u64,
    /// Number of calls.
    pub count: u64,
    /// Depends on all messages and their order.
    pub digest: u64,
}

impl History {
    /// The effect of a message.
    pub fn add(&mut self, item: &Item) {
        self.last = item.id();
        self.count += 1;
        self.digest = mix(self.digest ^ self.last);
    }
}

/// One call of a state computation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Number of the state.
    pub state: usize,
    /// The node.
    pub node: usize,
    /// The key, as people read it.
    pub key: String,
    /// The message.
    pub item: Item,
    /// The object before the call.
    pub before: History,
}

/// Notes of one run, shared by all stages.
#[derive(Clone, Debug)]
pub struct Notes {
    /// All calls.
    pub calls: Arc<Mutex<Vec<Call>>>,
    /// By state and number of the key: whether a call is under way.
    busy: Arc<Vec<AtomicBool>>,
    /// Who met another in one object, first; its stage may pass over the panic.
    met: Arc<OnceLock<String>>,
}

/// No case has more different numbers of keys per state, or more states.
const KEYS: usize = 64;

impl Default for Notes {
    fn default() -> Self {
        Notes {
            calls: Arc::default(),
            met: Arc::default(),
            busy: Arc::new((0..KEYS * KEYS).map(|_| AtomicBool::new(false)).collect()),
        }
    }
}

impl Notes {
    /// Who has met another in one object.
    #[must_use]
    pub fn met(&self) -> Option<&str> {
        self.met.get().map(String::as_str)
    }

    /// Notes a call, and that nobody else works on this key at the same time; `key` is its number.
    ///
    /// # Panics
    /// When somebody does.
    pub fn during<R>(&self, call: Call, key: u64, work: impl FnOnce() -> R) -> R {
        let busy = &self.busy[call.state % KEYS * KEYS + key as usize % KEYS];
        if busy.swap(true, Ordering::SeqCst) {
            let met = format!("two threads in state {} for key {}", call.state, call.key);
            panic!("{}", self.met.get_or_init(|| met));
        }
        self.calls.lock().expect("nobody panics with it").push(call);
        let result = work();
        // Whoever comes in between is seen.
        std::thread::yield_now();
        busy.store(false, Ordering::SeqCst);
        result
    }
}

/// The end of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// By source and partition the number of the next record.
    pub positions: BTreeMap<(String, String), u64>,
    /// How much each sink had got by then.
    pub sinks: BTreeMap<usize, usize>,
    /// How many calls had been made.
    pub calls: usize,
}

/// What the listener has heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// By epoch its end.
    pub ends: Vec<End>,
    /// By epoch what has changed, in the order in which it was told.
    pub changes: BTreeMap<usize, Vec<StateChanges>>,
    /// How many epochs had ended at the end of each generation.
    pub generations: Vec<usize>,
}

/// Listens.
#[derive(Clone, Debug, Default)]
pub struct Listener {
    /// What has been heard.
    pub heard: Arc<Mutex<Heard>>,
    /// What the sinks get.
    pub sinks: Shared<Item>,
    /// The calls.
    pub notes: Notes,
}

impl Listener {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().expect("nobody panics with it")
    }
}

impl EpochListener for Listener {
    fn states_changed(&self, epoch: Epoch, _: usize, changes: Vec<StateChanges>) {
        let mut heard = self.heard();
        let epoch = epoch.0 as usize;
        assert!(
            heard.ends.len() <= epoch,
            "an epoch has ended before its changes"
        );
        heard.changes.entry(epoch).or_default().extend(changes);
    }

    fn epoch_ended(&self, epoch: Epoch, positions: Vec<SourcePosition>) {
        let len = |kept: &Arc<Mutex<Vec<Item>>>| kept.lock().expect("nobody panics with it").len();
        let place = |at: SourcePosition| ((at.source, at.partition), at.next_number);
        let end = End {
            positions: positions.into_iter().map(place).collect(),
            sinks: self
                .sinks
                .iter()
                .map(|(node, kept)| (*node, len(kept)))
                .collect(),
            calls: self
                .notes
                .calls
                .lock()
                .expect("nobody panics with it")
                .len(),
        };
        let mut heard = self.heard();
        assert_eq!(heard.ends.len(), epoch.0 as usize, "epochs end one by one");
        heard.ends.push(end);
    }

    fn generation_ended(&self) {
        let mut heard = self.heard();
        let ended = heard.ends.len();
        assert!(
            heard.generations.last() < Some(&ended),
            "each generation ends an epoch"
        );
        heard.generations.push(ended);
    }
}

/// The objects of all states, by name of the state and key.
pub type Objects = BTreeMap<(String, StoredKey), History>;

impl Heard {
    /// Applies the changes of an epoch to the objects.
    ///
    /// # Panics
    /// When a snapshot cannot be read.
    pub fn apply(&self, epoch: usize, objects: &mut Objects) {
        for changes in self.changes.get(&epoch).into_iter().flatten() {
            for change in changes.changes() {
                let key = StoredKey::from_canonical(change.key).expect("the engine has checked it");
                let place = (change.state.to_owned(), key);
                let Some(bytes) = change.value else {
                    objects.remove(&place);
                    continue;
                };
                let object = rmp_serde::from_slice(bytes).expect("what was written can be read");
                objects.insert(place, object);
            }
        }
    }
}

/// A sink that keeps what it gets, all at once or, if it is slow, a few at a time.
#[derive(Debug)]
pub struct Kept<M> {
    /// What it got.
    pub kept: Arc<Mutex<Vec<M>>>,
    /// Whether it is often full.
    pub slow: bool,
    /// Where it writes to instead, if processes can die.
    pub file: Option<File>,
}

struct Keeper<M> {
    file: Option<File>,
    kept: Arc<Mutex<Vec<M>>>,
    slow: bool,
    calls: usize,
    waker: Waker,
}

impl<M> Keeper<M> {
    /// How many of `len` messages to take now.
    fn portion(&mut self, len: usize) -> usize {
        self.calls += 1;
        if self.slow {
            len.min(self.calls % 4)
        } else {
            len
        }
    }

    fn answer(&self, left: usize) -> Write {
        if left == 0 {
            return Write::Done;
        }
        self.waker.wake();
        Write::Blocked
    }
}

impl<M: Serialize + Send + 'static> Sink<Vec<M>> for Kept<M> {
    fn resume(&mut self, from: Option<&Position>) -> Result<Option<Position>, ConnectorError> {
        match &self.file {
            Some(file) => file.resume_writing(from),
            None => Ok(None),
        }
    }

    fn open(&mut self, waker: &Waker) -> Result<Box<dyn Writer<Vec<M>>>, ConnectorError> {
        Ok(Box::new(Keeper {
            file: self.file.clone(),
            kept: Arc::clone(&self.kept),
            slow: self.slow,
            calls: 0,
            waker: waker.clone(),
        }))
    }
}

impl<M: Serialize + Send> Writer<Vec<M>> for Keeper<M> {
    fn write(&mut self, messages: &mut Vec<M>) -> Result<Write, ConnectorError> {
        let count = self.portion(messages.len());
        if let Some(file) = &self.file {
            if file.fails() {
                return Err(ConnectorError::new("injected: it fails in passing"));
            }
            for message in messages.drain(..count) {
                file.write(&serde_json::to_vec(&message).expect("messages have a JSON form"));
            }
            return Ok(self.answer(messages.len()));
        }
        self.kept
            .lock()
            .expect("nobody panics with it")
            .extend(messages.drain(..count));
        Ok(self.answer(messages.len()))
    }

    fn checkpoint(&mut self) -> Result<Option<Position>, ConnectorError> {
        Ok(self.file.as_ref().and_then(File::synced))
    }
}

/// A sink of rows of JSON.
#[derive(Debug)]
pub struct KeptRows<M>(pub Kept<M>);

impl<M: serde::de::DeserializeOwned + Send + 'static> Sink<Rows> for KeptRows<M> {
    fn publisher(&mut self) -> Result<Option<Box<dyn Publisher>>, ConnectorError> {
        let file = self.0.file.as_ref();
        Ok(file.map(|file| Box::new(file.publisher()) as Box<dyn Publisher>))
    }

    fn open(&mut self, waker: &Waker) -> Result<Box<dyn Writer<Rows>>, ConnectorError> {
        Ok(Box::new(Keeper::<M> {
            file: None,
            kept: Arc::clone(&self.0.kept),
            slow: self.0.slow,
            calls: 0,
            waker: waker.clone(),
        }))
    }
}

impl<M: serde::de::DeserializeOwned + Send> Writer<Rows> for Keeper<M> {
    fn write(&mut self, rows: &mut Rows) -> Result<Write, ConnectorError> {
        let count = self.portion(rows.iter().count());
        let messages: Vec<M> = rows
            .iter()
            .take(count)
            .map(|row| serde_json::from_slice(row).expect("rows are JSON"))
            .collect();
        rows.consume(count);
        self.kept
            .lock()
            .expect("nobody panics with it")
            .extend(messages);
        Ok(self.answer(rows.iter().count()))
    }
}

/// Encodes JSON.
#[derive(Debug)]
pub struct Json;

impl<M: Serialize> Encoder<M> for Json {
    fn encode(&self, message: &M, row: &mut Vec<u8>) -> Result<(), ConnectorError> {
        serde_json::to_writer(row, message)
            .map_err(|error| ConnectorError::new("cannot encode it").with_cause(error))
    }
}
