//! Makes checkpoints of epochs: segment, outbox, commit record, publication; then clears up.
//!
//! **Invariants.** Epochs are committed in order. Nothing of an epoch is published before its commit. After a failed write the
//! object's name is not used again. What failed in passing is tried again by calling [`Committer::advance`] again, which goes
//! on where it stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use wallaroo_core::{Code, ConnectorError, Messages, Publisher, Rows};
use wallaroo_engine::{Failure, SourcePosition};
use wallaroo_state::StateChanges;
use wallaroo_store::checkpointer::{CommitError, KEPT_RECORDS};
use wallaroo_store::commit::{self, Commit, PlanIdentity, SinkState};
use wallaroo_store::compaction;
use wallaroo_store::lock::Lock;
use wallaroo_store::object_name::ObjectKind;
use wallaroo_store::outbox::{OutboxMeta, SinkRows, write_outbox};
use wallaroo_store::segment::{SegmentMeta, write_segment};
use wallaroo_store::storage::ErrorKind;
use wallaroo_store::{Storage, Store, StoreError};

use super::collector::EpochData;
use super::input::InputLogs;
use super::merges::{Merge, Merged, Merges};
use super::recovery::Point;
use super::stored::Stored;

/// After so many commits what nobody needs is looked for and deleted. With three kept commits what a merge has replaced is gone
/// after seven at the latest; before, it is up to half of what is stored.
const COLLECT_EVERY: u64 = 4;

/// Why an epoch is not yet committed and published.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// It may work later, without anybody changing the program.
    ForNow(String),
    /// It never will.
    ForGood(Failure),
}

impl Stopped {
    pub(crate) fn into_error(self) -> crate::Error {
        match self {
            Stopped::ForNow(text) => {
                crate::Error::new(crate::ErrorKind::Unavailable, Code::StoreAccess, text)
            }
            Stopped::ForGood(failure) => crate::Error::from(&failure),
        }
    }
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        if error.is_passing() {
            Stopped::ForNow(error.to_string())
        } else {
            Stopped::ForGood(Failure::Store {
                code: super::code_of(&error),
                error: error.to_string(),
            })
        }
    }
}

/// An epoch on its way.
struct UnderWay {
    data: EpochData,
    segment: Option<SegmentMeta>,
    rows: Vec<SinkRows>,
    outbox: Option<OutboxMeta>,
    commit: Option<Commit>,
    step: Step,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Write,
    Commit,
    Publish,
}

/// What a committed epoch took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// Whether there was anything to commit.
    pub(crate) committed: bool,
    /// Bytes of segment and outbox.
    pub(crate) bytes: u64,
}

/// Makes checkpoints.
pub(crate) struct Committer {
    store: Store,
    storage: Arc<dyn Storage>,
    plan: PlanIdentity,
    /// Oldest first.
    segments: Vec<SegmentMeta>,
    /// Not yet known to be published by the next commit.
    outboxes: Vec<OutboxMeta>,
    positions: Vec<commit::SourcePosition>,
    sinks: BTreeMap<String, SinkState>,
    publishers: BTreeMap<String, Box<dyn Publisher>>,
    logs: Option<Arc<InputLogs>>,
    epoch: u64,
    /// The last epoch that needs no commit any more.
    settled: u64,
    /// What is being loaded from an earlier commit.
    reading: Option<Arc<Stored>>,
    commits: u64,
    is_new: bool,
    /// The plan is not the one of the last commit: what the user allowed for this start is to hold for the next.
    has_new_plan: bool,
    under_way: Option<UnderWay>,
    /// Changes that are in a segment.
    written: Vec<StateChanges>,
    /// Before the lock: a merge has ended when that is given back.
    merges: Merges,
    /// How many steps merges take after each commit, where they have no thread; see [`Committer::merge_in_steps`].
    merge_steps: Option<usize>,
    /// CPU time of merges that have been taken up since the last call of [`Committer::take_merge_cost`].
    merge_cost: Duration,
    _lock: Option<Lock>,
}

impl Committer {
    #[allow(
        clippy::too_many_arguments,
        reason = "called once, by what opens the store"
    )]
    pub(super) fn new(
        store: Store,
        storage: Arc<dyn Storage>,
        commit: Commit,
        plan: PlanIdentity,
        sinks: BTreeMap<String, SinkState>,
        publishers: BTreeMap<String, Box<dyn Publisher>>,
        logs: Option<Arc<InputLogs>>,
        lock: Option<Lock>,
    ) -> Self {
        Committer {
            is_new: store.newest().is_none(),
            has_new_plan: commit.plan != plan,
            store,
            storage,
            plan,
            segments: commit.segments,
            outboxes: Vec::new(),
            positions: commit.positions,
            sinks,
            publishers,
            logs,
            epoch: commit.epoch,
            settled: commit.epoch,
            reading: None,
            commits: 0,
            under_way: None,
            written: Vec::new(),
            merges: Merges::None,
            merge_steps: None,
            merge_cost: Duration::ZERO,
            _lock: lock,
        }
    }

    /// Commits the state of a new store: where its sinks begin.
    pub(super) fn begin(&mut self) -> Result<(), Stopped> {
        if !self.is_new {
            return Ok(());
        }
        let commit = self.commit_of(0);
        self.settle(&commit)?;
        (self.is_new, self.has_new_plan) = (false, false);
        Ok(())
    }

    /// Takes the next epoch on.
    pub(crate) fn take(&mut self, mut data: EpochData) {
        debug_assert!(self.under_way.is_none(), "one epoch after the other");
        // Once, not with each try: the stored name of one state may be the name of another.
        self.rename(&mut data.changes);
        self.under_way = Some(UnderWay {
            data,
            segment: None,
            rows: Vec::new(),
            outbox: None,
            commit: None,
            step: Step::Write,
        });
    }

    /// Goes on with the epoch that was taken on until it is committed and published.
    pub(crate) fn advance(&mut self) -> Result<Done, Stopped> {
        let Some(mut way) = self.under_way.take() else {
            return Ok(Done::default());
        };
        let result = self.go(&mut way);
        match &result {
            Ok(_) => self.settled = way.data.epoch,
            Err(_) => self.under_way = Some(way),
        }
        result
    }

    fn go(&mut self, way: &mut UnderWay) -> Result<Done, Stopped> {
        if way.step == Step::Write {
            if !self.has_news(&way.data) {
                return Ok(Done::default());
            }
            self.write(way)?;
            way.step = Step::Commit;
        }
        if way.step == Step::Commit {
            self.commit(way)?;
            way.step = Step::Publish;
        }
        self.publish(way)?;
        self.clear_up();
        let sizes = [
            way.segment.as_ref().map(|segment| segment.bytes),
            way.outbox.as_ref().map(|outbox| outbox.bytes),
        ];
        Ok(Done {
            committed: true,
            bytes: sizes.into_iter().flatten().sum(),
        })
    }

    fn has_news(&self, data: &EpochData) -> bool {
        self.has_new_plan
            || !data.changes.is_empty()
            || !data.outputs.is_empty()
            || self.stored(&data.positions) != self.positions
    }

    /// Positions as they stand in a commit. Those of partitions that are not there at present are kept.
    fn stored(&self, positions: &[SourcePosition]) -> Vec<commit::SourcePosition> {
        let is_open = |known: &commit::SourcePosition| {
            let mut open = positions.iter();
            open.any(|stood| stood.source == known.source && stood.partition == known.partition)
        };
        let absent = self
            .positions
            .iter()
            .filter(|known| self.plan.sources.contains(&known.source) && !is_open(known));
        let open = positions.iter().map(|stood| commit::SourcePosition {
            source: stood.source.clone(),
            partition: stood.partition.clone(),
            position: super::to_json(&stood.position),
            next_number: stood.next_number,
            ended: false,
        });
        let mut stored: Vec<_> = open.chain(absent.cloned()).collect();
        stored.sort_by(|one, other| {
            (&one.source, &one.partition).cmp(&(&other.source, &other.partition))
        });
        stored
    }

    /// Makes everything durable that the commit will name.
    fn write(&mut self, way: &mut UnderWay) -> Result<(), Stopped> {
        if let Some(logs) = &self.logs {
            logs.sync().map_err(|error| {
                // What the failed sync has lost is not known, so it cannot be tried again.
                Stopped::ForGood(Failure::Store {
                    code: super::code_of(&error),
                    error: format!("the input log cannot be made durable: {error}"),
                })
            })?;
        }
        let epoch = way.data.epoch;
        if way.segment.is_none() && !way.data.changes.is_empty() {
            let name = self.store.object_name(ObjectKind::Segment, epoch);
            let generation = self.store.generation();
            let (storage, changes) = (&*self.storage, &way.data.changes);
            way.segment = Some(write_segment(
                storage,
                &name,
                generation,
                epoch..=epoch,
                changes,
            )?);
            self.written = std::mem::take(&mut way.data.changes);
        }
        for mut output in std::mem::take(&mut way.data.outputs) {
            if let Some(position) = output.position {
                let state = SinkState {
                    sink: output.sink.clone(),
                    published_epoch: epoch,
                    state: super::to_json(&position),
                };
                self.sinks.insert(output.sink, state);
            } else if !output.rows.is_empty() {
                if let Some(publisher) = self.publishers.get_mut(&output.sink) {
                    publisher.prepare(&mut output.rows);
                }
                way.rows.push(SinkRows {
                    sink: output.sink,
                    rows: output.rows,
                });
            }
        }
        if way.outbox.is_none() && !way.rows.is_empty() {
            let name = self.store.object_name(ObjectKind::Outbox, epoch);
            let generation = self.store.generation();
            way.outbox = Some(write_outbox(
                &*self.storage,
                &name,
                generation,
                epoch,
                &way.rows,
            )?);
        }
        Ok(())
    }

    /// Gives changes the names that their states have in segments.
    fn rename(&self, changes: &mut [StateChanges]) {
        for changes in changes {
            let state = self
                .plan
                .states
                .iter()
                .find(|state| state.name == changes.state());
            if let Some(stored) = state.and_then(|state| state.stored_as.clone()) {
                changes.rename(stored);
            }
        }
    }

    fn commit(&mut self, way: &mut UnderWay) -> Result<(), Stopped> {
        let commit = match &way.commit {
            Some(commit) => commit.clone(),
            None => {
                self.segments.extend(way.segment.clone());
                self.outboxes.extend(way.outbox.clone());
                self.positions = self.stored(&way.data.positions);
                let commit = self.commit_of(way.data.epoch);
                way.commit = Some(commit.clone());
                commit
            }
        };
        self.settle(&commit)?;
        self.epoch = way.data.epoch;
        self.has_new_plan = false;
        self.commits += 1;
        // The commit says what was published before it; what it names is still to be published.
        self.outboxes
            .retain(|outbox| Some(outbox) == way.outbox.as_ref());
        Ok(())
    }

    fn commit_of(&self, epoch: u64) -> Commit {
        Commit {
            epoch,
            segments: self.segments.clone(),
            outboxes: self.outboxes.clone(),
            positions: self.positions.clone(),
            sinks: self.sinks.values().cloned().collect(),
            plan: self.plan.clone(),
            ..Commit::default()
        }
    }

    fn settle(&mut self, commit: &Commit) -> Result<(), Stopped> {
        match self.store.commit(commit.clone()) {
            Ok(_) => Ok(()),
            Err(CommitError::Fenced(error)) => Err(Stopped::ForGood(Failure::Store {
                code: super::code_of(&error),
                error: error.to_string(),
            })),
            Err(CommitError::Store(error)) => Err(error.into()),
            // Whether it is committed, the next start finds out.
            Err(CommitError::Unsettled {
                cause: Some(cause), ..
            }) if cause.kind == ErrorKind::Broken => Err(StoreError::Storage(cause).into()),
            Err(error @ CommitError::Unsettled { .. }) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                let text = format!("{error}{}", cause.unwrap_or_default());
                Err(Stopped::ForNow(text))
            }
        }
    }

    fn publish(&mut self, way: &mut UnderWay) -> Result<(), Stopped> {
        let epoch = way.data.epoch;
        while let Some(SinkRows { sink, rows }) = way.rows.first() {
            let position = match self.publishers.get_mut(sink) {
                Some(publisher) => publish(publisher.as_mut(), epoch, rows).map_err(|error| {
                    Stopped::ForNow(format!("the sink {sink:?} failed: {}", error.full_text()))
                })?,
                None => serde_json::Value::Null,
            };
            let state = SinkState {
                sink: sink.clone(),
                published_epoch: epoch,
                state: position,
            };
            self.sinks.insert(sink.clone(), state);
            way.rows.remove(0);
        }
        // Published: the next commit need not name it.
        self.outboxes.clear();
        Ok(())
    }

    /// Trims, merges and deletes. What fails is tried again after a later commit.
    fn clear_up(&mut self) {
        if let Some(logs) = &self.logs {
            for stood in &self.positions {
                if let Err(error) = logs.trim(&stood.source, &stood.partition, stood.next_number) {
                    tracing::warn!("the input log is not trimmed for now: {error}");
                }
            }
        }
        self.merge();
        if self.commits.is_multiple_of(COLLECT_EVERY)
            && let Err(error) = self.collect()
        {
            tracing::warn!("the store is not cleared up for now: {error}");
        }
    }

    /// Takes up what a merge has made, for the next commit to name, and begins another if there is reason to.
    fn merge(&mut self) {
        let mut steps = self.merge_steps;
        while steps != Some(0) {
            steps = steps.map(|steps| steps - 1);
            if let Some(merged) = self.merges.take() {
                self.take_up(merged);
            } else if self.merges.is_none() {
                if !self.begin_merge() {
                    return;
                }
            } else if steps.is_some() {
                self.merges.step(&*self.storage);
            } else {
                // It goes on.
                return;
            }
        }
    }

    fn take_up(&mut self, merged: Merged) {
        self.merge_cost += merged.cost;
        let made = match merged.result {
            Ok(made) => made,
            Err(error) => {
                tracing::warn!("segments are not merged for now: {error}");
                return;
            }
        };
        let first = merged.inputs.first();
        let place = self.segments.iter().position(|one| Some(one) == first);
        let range = place.map(|start| start..start + merged.inputs.len());
        // Commits only append, so they are neighbours still.
        if let Some(range) = range
            && self.segments.get(range.clone()) == Some(&merged.inputs[..])
        {
            self.segments.splice(range, [made]);
        } else {
            debug_assert!(false, "segments that are being merged are gone");
        }
    }

    /// False when there is nothing to merge, or it cannot be begun.
    fn begin_merge(&mut self) -> bool {
        let Some(range) = compaction::plan(&self.segments) else {
            return false;
        };
        let inputs = self.segments[range.clone()].to_vec();
        let last = inputs.last().map_or(0, |segment| segment.last_epoch);
        let states = self.plan.states.iter();
        let merge = Merge {
            inputs,
            has_oldest: range.start == 0,
            states: states.map(|state| state.stored_name().to_owned()).collect(),
            name: self.store.object_name(ObjectKind::Segment, last),
            generation: self.store.generation(),
        };
        if self.merge_steps.is_some() {
            self.merges = Merges::Waiting(merge);
            return true;
        }
        match Merges::run(&self.storage, merge) {
            Ok(running) => self.merges = running,
            Err(error) => tracing::warn!("segments are not merged for now: {error}"),
        }
        !self.merges.is_none()
    }

    /// Lets merges have no thread, and take so many steps after each commit from now on: a merge is begun, done, and taken up.
    pub(super) fn merge_in_steps(&mut self, steps: usize) {
        self.merge_steps = Some(steps);
    }

    /// Changes that are in a segment, whose memory can be used again.
    pub(super) fn take_written(&mut self) -> Vec<StateChanges> {
        std::mem::take(&mut self.written)
    }

    /// The CPU time that merges have taken, once.
    pub(super) fn take_merge_cost(&mut self) -> Duration {
        std::mem::take(&mut self.merge_cost)
    }

    fn collect(&mut self) -> Result<(), StoreError> {
        let read = self.reading.iter().flat_map(|stored| stored.objects());
        let written = self.segments.iter().map(|segment| segment.name.clone());
        let merged = self.merges.protected();
        let protected: BTreeSet<String> = written.chain(read).chain(merged).collect();
        self.store.collect_garbage(&protected)?;
        self.store.trim(KEPT_RECORDS)?;
        Ok(())
    }

    /// State objects are loaded from there: its segments are kept meanwhile.
    pub(super) fn reads(&mut self, stored: Arc<Stored>) {
        self.reading = Some(stored);
    }

    /// Where a run goes back to; no epoch is under way.
    ///
    /// # Errors
    /// When another process has taken over, or it cannot be told: outputs are cut back then, which may be the other's.
    pub(super) fn point(&mut self) -> Result<Point, StoreError> {
        self.store.check_not_fenced()?;
        debug_assert!(
            self.under_way.is_none(),
            "what has ended is committed first"
        );
        let is_publishing = |name: &str| self.publishers.contains_key(name);
        let sinks = self.sinks.iter();
        Ok(Point {
            epoch: self.settled,
            segments: self.segments.clone(),
            positions: self.positions.clone(),
            sinks: sinks
                .filter(|(name, _)| !is_publishing(name))
                .map(|(name, state)| (name.clone(), state.clone()))
                .collect(),
            publishing: self.publishers.keys().cloned().collect(),
            plan: self.plan.clone(),
        })
    }

    /// Where it writes.
    pub(crate) fn storage(&self) -> Arc<dyn Storage> {
        Arc::clone(&self.storage)
    }

    /// Commits since the start.
    pub(super) fn commits(&self) -> u64 {
        self.commits
    }

    /// Keeps the newest commit under a name.
    pub(crate) fn savepoint(&mut self, name: &str) -> Result<(), StoreError> {
        self.store.savepoint(name).map(|_| ())
    }

    /// Deletes a savepoint. Its commit is kept no longer for it.
    pub(crate) fn delete_savepoint(&mut self, name: &str) -> Result<(), StoreError> {
        self.store.delete_savepoint(name)
    }

    /// Has a function called whenever messages that waited for the input log are handed on.
    pub(crate) fn when_released(&self, call: Arc<dyn Fn() + Send + Sync>) {
        if let Some(logs) = &self.logs {
            logs.when_released(call);
        }
    }

    /// The input logs.
    pub(crate) fn logs(&self) -> Weak<InputLogs> {
        self.logs.as_ref().map(Arc::downgrade).unwrap_or_default()
    }

    /// The last committed epoch.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Where the sources stood at the last commit.
    pub(crate) fn positions(&self) -> &[commit::SourcePosition] {
        &self.positions
    }
}

fn publish(
    publisher: &mut dyn Publisher,
    epoch: u64,
    rows: &Rows,
) -> Result<serde_json::Value, ConnectorError> {
    let position = publisher.publish(epoch, rows)?;
    Ok(super::to_json(&position))
}
