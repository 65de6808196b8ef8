//! Stages with state: from keys to slots to state objects.
//!
//! **Invariants.** A slot handed to a stage is live and touched in the open epoch. An object forgotten in a
//! call is released after the call, unless a later message of the same call has used it again. A slot that was
//! created for messages that have not been handled, because one before them failed or the stage returned early, is
//! given back: a call that fails for a new key leaves no object.

use std::any::Any;
use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::Ordering;

#[expect(clippy::disallowed_types, reason = "what comes out of them is sorted")]
use hashbrown::{HashMap, HashSet};
use wallaroo_core::{
    Key, KeyError, KeyGroupCount, NodeId, NodeKind, OnError, StoredKey, Timestamp,
};
use wallaroo_state::{Assignment, ChunkIndex, KeyIndex, Slot, WorkerIndex};

use super::expiry::Expiry;
use super::loading::Loading;
use super::saving::Saving;
use super::{Executor, HeadKeys, Instance, guarded};
use crate::failure::{Act, Failure, Owner};
use crate::gauge::Part;
use crate::host::{Cause, Failed, Input, Keyed, StateObjects, StateView};
use crate::panics::caught;
use crate::status::StateCounts;

/// Changes that are collected before they are thrown away, when nobody wants them.
const MAX_UNWANTED_CHANGES: usize = 1 << 20;

/// The state objects of one state on one worker, with their keys.
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) index: KeyIndex,
    pub(crate) objects: Box<dyn StateObjects>,
    /// What is still in the checkpoint that the run goes on from.
    pub(crate) loading: Option<Loading>,
    /// For a state whose objects expire.
    pub(crate) expiry: Option<Expiry>,
    /// What the last ended epoch has changed, while it is being saved.
    pub(super) saving: Saving,
}

/// State objects that change workers.
pub(crate) struct Moved {
    pub(crate) state: String,
    pub(crate) keys: Vec<StoredKey>,
    pub(crate) objects: Box<dyn Any + Send>,
    /// When they were last touched, if they expire.
    pub(crate) touched: Vec<u64>,
}

/// Buffers of [`Executor::call_state`].
#[derive(Default)]
pub(super) struct Scratch {
    slots: Vec<Slot>,
    forgotten: Vec<(Slot, u32)>,
    /// Slots whose objects had expired, and are new.
    renewed: Vec<Slot>,
}

impl Table {
    pub(crate) fn new(name: &str, groups: KeyGroupCount, objects: Box<dyn StateObjects>) -> Self {
        Table {
            name: name.to_owned(),
            index: KeyIndex::new(groups),
            expiry: objects.expire_after().map(Expiry::new),
            objects,
            loading: None,
            saving: Saving::default(),
        }
    }

    /// Takes the objects out that belong to other workers, by their owner.
    pub(crate) fn take_moved(
        &mut self,
        assignment: &Assignment,
        me: WorkerIndex,
    ) -> Vec<(WorkerIndex, Moved)> {
        let leaving: Vec<_> = assignment
            .iter()
            .filter(|(_, owner)| *owner != me)
            .collect();
        let mut moved = Vec::new();
        for (group, owner) in leaving {
            let taken = self.index.take_group(group);
            if taken.entries.is_empty() {
                continue;
            }
            let (keys, slots): (Vec<StoredKey>, Vec<Slot>) = taken.entries.into_iter().unzip();
            let objects = self.objects.take(&slots);
            let touched = match &mut self.expiry {
                Some(expiry) => slots.iter().map(|slot| expiry.take(*slot)).collect(),
                None => Vec::new(),
            };
            for chunk in taken.released_chunks {
                self.release_chunk(chunk);
            }
            moved.push((
                owner,
                Moved {
                    state: self.name.clone(),
                    keys,
                    objects,
                    touched,
                },
            ));
        }
        moved
    }

    /// Puts objects in that another worker took out.
    pub(crate) fn put(&mut self, moved: Moved) -> Result<(), KeyError> {
        let resolve = |key: &StoredKey| {
            self.index
                .resolve(key.hash(), key)
                .map(|resolved| resolved.slot)
        };
        let slots: Vec<Slot> = moved.keys.iter().map(resolve).collect::<Result<_, _>>()?;
        self.objects.put(&slots, moved.objects);
        if let Some(expiry) = &mut self.expiry {
            for (slot, touched) in slots.into_iter().zip(moved.touched) {
                expiry.put(slot, touched);
            }
        }
        Ok(())
    }

    /// Frees a slot whose object has been reset, and leaves a tombstone.
    pub(super) fn forget(&mut self, slot: Slot) {
        debug_assert!(!self.is_to_be_saved(slot), "what is dropped was saved");
        if let Some(expiry) = &mut self.expiry {
            expiry.take(slot);
        }
        if let Some(chunk) = self.index.release(slot) {
            self.release_chunk(chunk);
        }
    }

    fn release_chunk(&mut self, chunk: ChunkIndex) {
        self.objects.release_chunk(chunk);
        if let Some(expiry) = &mut self.expiry {
            expiry.release_chunk(chunk);
        }
    }

    /// Drops expired objects, looking at about `count`. Says how many there were, and whether there may be more.
    fn expire(&mut self, now: Timestamp, count: usize) -> Result<(usize, bool), Failure> {
        let Some(expiry) = &mut self.expiry else {
            return Ok((0, false));
        };
        let mut slots = Vec::new();
        let is_more = expiry.expired(expiry.tick_of(now), count, &mut slots);
        self.save_before_change(&slots)?;
        let expired = slots.len();
        for slot in slots {
            self.reset(slot)?;
            self.forget(slot);
        }
        Ok((expired, is_more))
    }

    fn reset(&mut self, slot: Slot) -> Result<(), Failure> {
        let owner = || Owner::State(self.name.clone());
        Act::Dropped.on(owner, || self.objects.reset(slot))
    }

    /// Notes that messages have come for these slots. Objects that had expired are new, and their slots appended to `renewed`.
    fn touch(
        &mut self,
        slots: &[Slot],
        now: Timestamp,
        renewed: &mut Vec<Slot>,
    ) -> Result<(), Failure> {
        let Some(expiry) = &mut self.expiry else {
            return Ok(());
        };
        let tick = expiry.tick_of(now);
        renewed.extend(slots.iter().filter(|slot| expiry.touch(**slot, tick)));
        renewed.iter().try_for_each(|slot| self.reset(*slot))
    }

    /// Gives back the slots that were created in a call and are not among the slots it has handled.
    #[expect(clippy::disallowed_types, reason = "what comes out of it is sorted")]
    fn undo_created(&mut self, handled: &[Slot]) {
        let mut created: HashSet<Slot> = self.index.created().iter().copied().collect();
        for slot in handled {
            if created.is_empty() {
                return;
            }
            created.remove(slot);
        }
        // In slot order, so that a run does not depend on the order of a hash table.
        let mut created: Vec<Slot> = created.into_iter().collect();
        created.sort_unstable();
        for slot in created {
            self.objects.reset(slot);
            if let Some(expiry) = &mut self.expiry {
                expiry.take(slot);
            }
            if let Some(chunk) = self.index.undo_created(slot) {
                self.release_chunk(chunk);
            }
        }
    }
}

/// What a table adds to the size of its state.
pub(super) struct TableSize {
    keys: Part,
    bytes: Part,
    shown: Option<usize>,
}

impl TableSize {
    fn of(counts: &StateCounts) -> Self {
        TableSize {
            keys: counts.keys.part(),
            bytes: counts.bytes.part(),
            shown: None,
        }
    }

    /// Looks further only if the number of keys has changed.
    fn show(&mut self, table: &Table) {
        let keys = table.index.len();
        if self.shown == Some(keys) {
            return;
        }
        self.shown = Some(keys);
        let objects = table.objects.memory_bytes();
        let bytes = objects.map(|objects| (objects + table.index.memory_bytes()) as u64);
        self.bytes.set(bytes);
        self.keys.set(Some(keys as u64));
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("name", &self.name)
            .field("keys", &self.index.len())
            .finish_non_exhaustive()
    }
}

/// A panic of the serde implementation of a state's type.
pub(super) fn panicked(text: String) -> Result<(), String> {
    Err(format!("it panicked: {text}"))
}

impl Executor {
    /// The table of a stage's state: the worker's, or an empty one.
    pub(super) fn table_of(&mut self, id: NodeId, tables: &mut Vec<Table>) -> usize {
        let NodeKind::State { state, .. } = &self.program.plan.node(id).kind else {
            unreachable!("a state stage has a state")
        };
        if let Some(known) = self.tables.iter().position(|table| table.name == *state) {
            return known;
        }
        let table = match tables.iter().position(|table| table.name == *state) {
            Some(owned) => tables.swap_remove(owned),
            None => Table::new(state, self.outbox.groups(), self.program.states[state]()),
        };
        self.tables.push(table);
        self.sizes.push(TableSize::of(&self.counts.states[state]));
        self.tables.len() - 1
    }

    /// Tells how large the states are.
    pub(crate) fn show_sizes(&mut self) {
        for (table, shown) in self.tables.iter().zip(&mut self.sizes) {
            shown.show(table);
        }
    }

    /// Gives the state objects back, at the end of a generation.
    pub(crate) fn into_tables(self) -> Vec<Table> {
        self.tables
    }

    /// Whether the region has state.
    pub(crate) fn has_state(&self) -> bool {
        !self.tables.is_empty()
    }

    /// Drops the record of changes when it has grown and nobody asks for it.
    pub(crate) fn drop_unwanted_changes(&mut self) {
        for table in &mut self.tables {
            if table.index.change_count() > MAX_UNWANTED_CHANGES {
                table.index.discard_dirty();
            }
        }
    }

    /// Drops expired objects, looking at about `count` of each state, so that the next checkpoint is made without them. Says
    /// whether there may be more.
    pub(crate) fn expire(&mut self, count: usize) -> Result<bool, Failure> {
        let (expired, is_more) = self.drop_expired(count)?;
        if expired > 0 {
            self.counts
                .expired
                .fetch_add(expired as u64, Ordering::Relaxed);
        }
        Ok(is_more)
    }

    /// Drops all expired objects: those of the checkpoint that is being made.
    pub(crate) fn expire_for_checkpoint(&mut self) -> Result<(), Failure> {
        self.drop_expired(usize::MAX).map(|_| ())
    }

    fn drop_expired(&mut self, count: usize) -> Result<(usize, bool), Failure> {
        if !self.expires() {
            return Ok((0, false));
        }
        let now = self.control.clock.now();
        let (mut expired, mut is_more) = (0, false);
        for table in &mut self.tables {
            let (dropped, may_be_more) = table.expire(now, count)?;
            expired += dropped;
            is_more |= may_be_more;
        }
        self.show_sizes();
        Ok((expired, is_more))
    }

    fn expires(&self) -> bool {
        self.tables.iter().any(|table| table.expiry.is_some())
    }

    /// When an object may expire next.
    pub(crate) fn next_expiry(&self) -> Option<Timestamp> {
        let expiries = self.tables.iter().filter_map(|table| table.expiry.as_ref());
        expiries.filter_map(Expiry::next).min()
    }

    /// Calls a stage with state for a range of frame `depth`.
    pub(super) fn call_state(
        &mut self,
        node: usize,
        depth: usize,
        range: Range<usize>,
    ) -> Result<Result<usize, Failed>, Failure> {
        let end = self.load_for(node, depth, range.clone())?;
        if end == range.start && !range.is_empty() {
            // What has been made until now goes first.
            self.yields = true;
            return Ok(Ok(end));
        }
        let range = range.start..end;
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.slots.clear();
        let resolved = self.resolve(node, depth, range.clone(), &mut scratch.slots);
        let range = range.start
            ..resolved
                .as_ref()
                .map_or_else(|failed| failed.index, |()| range.end);
        scratch.slots.truncate(range.len());
        let now = self.head.as_ref().map(|head| head.now).unwrap_or_default();
        let Instance::State { table, .. } = &self.nodes[node].code else {
            unreachable!("called for stages with state")
        };
        scratch.renewed.clear();
        let table = *table;
        self.save_before_call(table, &scratch.slots)?;
        self.tables[table].touch(&scratch.slots, now, &mut scratch.renewed)?;

        let frame = &self.stack[depth];
        let messages = frame
            .messages
            .as_deref()
            .expect("looking consumers come before taking ones");
        let progress = Cell::new(range.start);
        let state = &mut self.nodes[node];
        let Instance::State { code, table } = &mut state.code else {
            unreachable!("called for stages with state")
        };
        let Table { index, objects, .. } = &mut self.tables[*table];
        if let [slot] = scratch.slots.as_slice() {
            self.control
                .watch
                .with_key(self.outbox.me(), index.key(*slot));
        }
        let mut view = StateView {
            objects: objects.as_mut(),
            slots: &scratch.slots,
            keys: index,
            forgotten: &mut scratch.forgotten,
            preserve: state.on_error != OnError::Fail,
        };
        let input = Input {
            messages,
            range: range.clone(),
            now,
            progress: &progress,
        };
        let called = guarded(&progress, || {
            code.data(input, &mut view, &mut state.outputs)
        });
        let table = *table;
        if let Err(failed) = &called
            && state.on_error != OnError::Fail
        {
            let slot = scratch.slots[failed.index - range.start];
            self.roll_back(table, slot)?;
        }
        let handled = called
            .as_ref()
            .map_or_else(|failed| failed.index, |reached| *reached);
        let handled = &scratch.slots[..handled - range.start];
        self.release_forgotten(table, handled, range.start, &mut scratch.forgotten);
        if handled.len() < scratch.slots.len() {
            self.tables[table].undo_created(handled);
            // The objects that had expired are gone, and no new one has come in their place.
            for slot in &scratch.renewed {
                if !handled.contains(slot) {
                    self.tables[table].forget(*slot);
                }
            }
        }
        self.scratch = scratch;
        Ok(match (called, resolved) {
            (Ok(reached), Err(failed)) if reached == failed.index => Err(failed),
            (called, _) => called,
        })
    }

    /// Finds the slots of a range of frame `depth` in the state of a stage.
    fn resolve(
        &mut self,
        node: usize,
        depth: usize,
        range: Range<usize>,
        slots: &mut Vec<Slot>,
    ) -> Result<(), Failed> {
        let Instance::State { table, .. } = &self.nodes[node].code else {
            unreachable!("called for stages with state")
        };
        let index = &mut self.tables[*table].index;
        index.keep_created();
        let frame = &self.stack[depth];
        let head = self.head.as_ref().expect("a frame has a head");
        let progress = Cell::new(range.start);
        match &head.keys {
            HeadKeys::Extract(extractor) => {
                let messages = self.stack[0]
                    .messages
                    .as_deref()
                    .expect("keys are stored before the head is taken");
                let hashes = (!head.hashes.is_empty()).then_some(head.hashes.as_slice());
                let keyed = Keyed {
                    messages,
                    origin: frame.origin.as_deref(),
                    range,
                    hashes,
                    progress: &progress,
                };
                guarded(&progress, || {
                    self.extractors[*extractor].1.resolve(keyed, index, slots)
                })
            }
            HeadKeys::Stored(keys) => {
                for position in range {
                    let key = keys[frame.head_index(position)].as_ref();
                    let key = key.map_err(|none| Failed {
                        index: position,
                        cause: none.cause(),
                    })?;
                    let resolved = index.resolve_touched(key.hash(), key);
                    slots.push(resolved.map_err(|error| Failed {
                        index: position,
                        cause: Cause::Key(error),
                    })?);
                }
                Ok(())
            }
            HeadKeys::None => unreachable!("a stage with state has a key"),
        }
    }

    fn roll_back(&mut self, table: usize, slot: Slot) -> Result<(), Failure> {
        let table = &mut self.tables[table];
        caught(|| table.objects.rollback(slot))
            .unwrap_or_else(panicked)
            .map_err(|error| Failure::State {
                state: table.name.clone(),
                key: table.index.key(slot).view().to_string(),
                error,
            })
    }

    /// Releases forgotten slots, except those that a later message of the call has used again.
    #[expect(clippy::disallowed_types, reason = "what comes out of it is sorted")]
    fn release_forgotten(
        &mut self,
        table: usize,
        slots: &[Slot],
        start: usize,
        forgotten: &mut Vec<(Slot, u32)>,
    ) {
        if forgotten.is_empty() {
            return;
        }
        let mut last: HashMap<Slot, u32> = HashMap::with_capacity(forgotten.len());
        for (slot, index) in forgotten.drain(..) {
            last.insert(slot, index);
        }
        for (slot, index) in slots.iter().zip(start as u32..) {
            if last
                .get(slot)
                .is_some_and(|forgotten_at| *forgotten_at < index)
            {
                last.remove(slot);
            }
        }
        // In slot order, so that a run does not depend on the order of a hash table.
        let mut released: Vec<Slot> = last.into_keys().collect();
        released.sort_unstable();
        released
            .into_iter()
            .for_each(|slot| self.tables[table].forget(slot));
    }
}
