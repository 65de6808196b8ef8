//! State objects of a checkpoint, loaded one key group at a time.
//!
//! Messages that need many key groups are handled in portions: what the first of them made leaves the region before the groups
//! of the next are loaded, so that the first output does not wait for all objects.
//!
//! **Invariants.** No message is handled before the key group of its key is loaded. A region with nothing else to do
//! loads what is left.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use wallaroo_core::{Key, KeyGroup, KeyHash, StoredKey, Timestamp};
use wallaroo_state::{Assignment, WorkerIndex, stamp};

use super::state::Table;
use super::{Executor, HeadKeys, Instance, guarded};
use crate::failure::Failure;
use crate::host::{Failed, Keyed};
use crate::panics::caught;
use crate::restore::Restore;

/// So many key groups are loaded before other operators get their turn.
// Of a million objects in 1,024 groups they have 16,000, which takes about 10 ms.
const GROUPS_IN_A_TURN: usize = 16;

/// The key groups of a table that are still in the checkpoint only.
pub(crate) struct Loading {
    restore: Arc<Restore>,
    /// In descending order: the next one is at the end.
    left: Vec<KeyGroup>,
}

impl Table {
    /// Leaves the groups that the worker owns to be loaded when they are needed.
    pub(crate) fn load_lazily(
        &mut self,
        restore: &Arc<Restore>,
        assignment: &Assignment,
        me: WorkerIndex,
    ) {
        let mut left: Vec<KeyGroup> = assignment
            .iter()
            .filter(|(group, owner)| *owner == me && restore.is_unloaded(&self.name, *group))
            .map(|(group, _)| group)
            .collect();
        left.reverse();
        self.loading = (!left.is_empty()).then(|| Loading {
            restore: Arc::clone(restore),
            left,
        });
    }

    fn is_unloaded(&self, group: KeyGroup) -> bool {
        let left = self.loading.as_ref().map(|loading| &loading.left);
        left.is_some_and(|left| left.binary_search_by(|other| group.cmp(other)).is_ok())
    }

    fn load(&mut self, group: KeyGroup, now: Timestamp) -> Result<(), Failure> {
        let Some(Loading { restore, left }) = &mut self.loading else {
            return Ok(());
        };
        let Ok(place) = left.binary_search_by(|other| group.cmp(other)) else {
            return Ok(());
        };
        let (index, objects, expiry) = (&mut self.index, &mut self.objects, &mut self.expiry);
        let mut expired = Vec::new();
        let mut each = |key: &[u8], value: &[u8]| {
            let (touched_ms, snapshot) = stamp::split(value);
            let key = StoredKey::from_canonical(key).map_err(|error| error.to_string())?;
            let resolved = index
                .resolve(key.hash(), &key)
                .map_err(|error| error.to_string())?;
            if let Some(expiry) = expiry {
                let tick = expiry.tick_of(now);
                // One that was stored before its state expired begins to count, and is stored again.
                let last = touched_ms.map_or(tick, |touched| expiry.tick_of_stamp(touched));
                if touched_ms.is_none() {
                    index.touch(resolved.slot);
                }
                if expiry.is_expired(last, tick) {
                    expired.push(resolved.slot);
                    return Ok(());
                }
                expiry.put(resolved.slot, last);
            }
            caught(|| objects.restore(resolved.slot, snapshot))
                .unwrap_or_else(|text| Err(format!("its Deserialize panicked: {text}")))
                .map_err(|error| format!("the object of the key {key} cannot be read: {error}"))
        };
        restore
            .stored
            .load(&self.name, group, &mut each)
            .map_err(|error| Failure::Load {
                state: self.name.clone(),
                group,
                code: error.code,
                error: error.text,
                is_passing: error.is_passing,
            })?;
        restore.set_loaded(&self.name, group);
        left.remove(place);
        if left.is_empty() {
            self.loading = None;
        }
        // Their tombstones are in the next checkpoint.
        expired.into_iter().for_each(|slot| self.forget(slot));
        Ok(())
    }
}

impl Executor {
    /// Leaves the state objects of a checkpoint to be loaded when they are needed.
    pub(crate) fn load_lazily(
        &mut self,
        restore: &Arc<Restore>,
        assignment: &Assignment,
        me: WorkerIndex,
    ) {
        for table in &mut self.tables {
            table.load_lazily(restore, assignment, me);
        }
    }

    /// Loads one key group that nobody has asked for yet; false when all are loaded.
    pub(crate) fn load_another(&mut self) -> Result<bool, Failure> {
        let now = self.control.clock.now();
        for table in &mut self.tables {
            if let Some(group) = table
                .loading
                .as_ref()
                .and_then(|loading| loading.left.last())
            {
                let group = *group;
                table.load(group, now)?;
                self.show_sizes();
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Loads the key groups that a range of frame `depth` needs, or the first of its messages. Returns the end of those that
    /// can be handled.
    pub(super) fn load_for(
        &mut self,
        node: usize,
        depth: usize,
        range: Range<usize>,
    ) -> Result<usize, Failure> {
        let Instance::State { table, .. } = &self.nodes[node].code else {
            return Ok(range.end);
        };
        let table = *table;
        if self.tables[table].loading.is_none() {
            return Ok(range.end);
        }
        let groups = self.tables[table].index.group_count();
        let now = self.head.as_ref().map(|head| head.now).unwrap_or_default();
        let most = if self.control.clock.is_simulated() {
            1
        } else {
            GROUPS_IN_A_TURN
        };
        for (position, hash) in self.hashes_of(depth, range.clone()) {
            let group = groups.group_of(hash);
            if !self.tables[table].is_unloaded(group) {
                continue;
            }
            if self.loaded_in_turn >= most {
                return Ok(position);
            }
            self.tables[table].load(group, now)?;
            self.loaded_in_turn += 1;
        }
        Ok(range.end)
    }

    /// The positions of a range of frame `depth` and their key hashes. A message whose key cannot be had is left out: its stage
    /// will fail.
    fn hashes_of(&mut self, depth: usize, range: Range<usize>) -> Vec<(usize, KeyHash)> {
        let frame = &self.stack[depth];
        let Some(head) = self.head.as_ref() else {
            return Vec::new();
        };
        match &head.keys {
            HeadKeys::None => Vec::new(),
            HeadKeys::Stored(keys) => range
                .filter_map(|position| {
                    let key = keys[frame.head_index(position)].as_ref().ok()?;
                    Some((position, key.hash()))
                })
                .collect(),
            HeadKeys::Extract(_) if !head.hashes.is_empty() => range
                .map(|position| (position, head.hashes[frame.head_index(position)]))
                .collect(),
            HeadKeys::Extract(extractor) => {
                let Some(messages) = self.stack[0].messages.as_deref() else {
                    return Vec::new();
                };
                let mut hashes = Vec::with_capacity(range.len());
                let start = range.start;
                let progress = Cell::new(range.start);
                let keyed = Keyed {
                    messages,
                    origin: frame.origin.as_deref(),
                    range,
                    hashes: None,
                    progress: &progress,
                };
                let code = &mut self.extractors[*extractor].1;
                // A panic comes again when the slots are looked for, and is told then.
                let _ = guarded(&progress, || {
                    code.hash(keyed, &mut hashes);
                    Ok::<(), Failed>(())
                });
                (start..).zip(hashes).collect()
            }
        }
    }
}
