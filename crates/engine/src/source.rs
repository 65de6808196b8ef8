//! The operator of a region of level 0: reads source partitions and runs the stages behind them.
//!
//! Each time it is called it reads one portion from one partition and works it off, so that the operators
//! behind it run while the messages are warm.
//!
//! **Invariants.** Nothing is read while the worker's credit is used up, while the region must wait, or in an
//! epoch in which nothing may be read yet. The
//! epoch changes only between two portions, when everything read has been sent; then the position of
//! every partition is reported. A partition that has ended is not read again.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, Stream};
use timely::scheduling::Activator;
use wallaroo_core::source::{Read, Stop};
use wallaroo_core::{Messages, NodeId, PartitionId, Provenance, Timestamp};

use crate::alarm::Alarm;
use crate::batch::Batch;
use crate::baton::Random;
use crate::control::{Control, Epoch, Time, epoch_of};
use crate::epochs::Epochs;
use crate::executor::{BATCH_MESSAGES, Executor, Progress};
use crate::failure::{Connector, Failure};
use crate::host::{ErasedReader, Room, SourceBatch};
use crate::layout::EdgeIndex;
use crate::ledger::Ledger;
use crate::listener::SourcePosition;
use crate::region::{Links, Reached};
use crate::status::{Counts, PartitionLag};
use crate::wake::WakeSlot;

/// Bytes read in one go, roughly.
// Fits into a core's L2 cache together with what the stages make of it.
const PORTION_BYTES: usize = 256 << 10;

/// How long a tick lasts at most, while something is under way.
// Short enough that credit comes back in time at any rate (a tick also ends when it has used its share of
// the credit), long enough that its cost (a few microseconds per worker) stays below a percent.
const TICK: Duration = Duration::from_millis(2);

/// What a record that cannot be decoded costs beside its bytes: a dead letter with its texts.
const REJECTED_BYTES: usize = 512;

/// The part of the credit that one tick may use.
const TICKS_PER_CREDIT: usize = 8;

/// A source partition that is open.
pub(crate) struct OpenPartition {
    pub(crate) id: PartitionId,
    pub(crate) source: NodeId,
    pub(crate) reader: Box<dyn ErasedReader>,
    pub(crate) next_number: u64,
    pub(crate) wake: Arc<WakeSlot>,
    pub(crate) state: PartitionState,
}

/// Whether a partition has news.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum PartitionState {
    /// There may be something to read.
    Ready,
    /// The reader wakes the worker when there is.
    Idle,
    /// Look again at this time, or when woken.
    IdleUntil(Timestamp),
    /// There is nothing any more.
    Ended,
}

/// What all source regions of a worker share.
pub(crate) struct SourceShared {
    pub(crate) control: Arc<Control>,
    pub(crate) ledger: RefCell<Ledger>,
    pub(crate) credit_bytes: usize,
    pub(crate) epochs: Option<Arc<Epochs>>,
    /// In simulation: decides how much is read and when time moves on.
    pub(crate) random: Option<RefCell<Random>>,
    pub(crate) epoch_every: Option<usize>,
    /// The time at which the generation starts.
    pub(crate) start: Time,
    pub(crate) counts: Arc<Counts>,
}

/// The partitions of a region, as its operator and its worker share them.
pub(crate) type SharedPartitions = Rc<RefCell<Vec<OpenPartition>>>;

struct SourceRegion {
    links: Links,
    executor: Rc<RefCell<Option<Executor>>>,
    partitions: SharedPartitions,
    /// For each partition.
    lags: Vec<PartitionLag>,
    shared: Rc<SourceShared>,
    reached: Reached,
    /// Under which it reports epochs.
    operator: usize,
    activator: Activator,
    alarm: Alarm,
    /// For each output a capability for the present time; empty once all partitions have ended.
    capabilities: Vec<Capability<Time>>,
    open: bool,
    time: Time,
    tick_began: Timestamp,
    next_partition: usize,
    /// What has been read last, and where; empty once it has been begun.
    batch: Option<(NodeId, PartitionId, SourceBatch)>,
    empties: Vec<(NodeId, Box<dyn Messages>)>,
    asked_to_stop: bool,
}

/// What a call of the operator ended with.
#[derive(PartialEq)]
enum Next {
    /// Call again at once.
    Again,
    /// Wait to be woken.
    Rest,
}

/// Builds the operator. Returns its address, for waking, and the streams of its outgoing edges.
#[allow(
    clippy::too_many_arguments,
    reason = "called once, by the builder of the dataflow"
)]
pub(crate) fn build<'scope>(
    scope: Scope<'scope, Time>,
    name: &str,
    outputs: &[EdgeIndex],
    executor: Rc<RefCell<Option<Executor>>>,
    partitions: SharedPartitions,
    empties: Vec<(NodeId, Box<dyn Messages>)>,
    shared: Rc<SourceShared>,
    reached: Reached,
    operator: usize,
) -> (Vec<usize>, Vec<Stream<'scope, Time, Batch>>) {
    let mut builder = OperatorBuilder::new(name.to_owned(), scope);
    let (links, streams) = Links::add(&mut builder, outputs);
    let address = builder.operator_info().address;
    let activator = scope.activator_for(Rc::clone(&address));
    builder.build_reschedule(move |mut capabilities| {
        let time = shared.start;
        if let Some(executor) = executor.borrow_mut().as_mut() {
            executor.epoch = epoch_of(time);
        }
        for capability in &mut capabilities {
            capability.downgrade(&time);
        }
        let lag = |partition: &OpenPartition| {
            shared.counts.nodes[partition.source.index()].partition_lag()
        };
        let lags = partitions.borrow().iter().map(lag).collect();
        let mut region = SourceRegion {
            links,
            executor,
            partitions,
            lags,
            shared,
            reached,
            operator,
            activator,
            alarm: Alarm::default(),
            capabilities,
            open: true,
            time,
            tick_began: Timestamp(0),
            next_partition: 0,
            batch: None,
            empties,
            asked_to_stop: false,
        };
        let control = Arc::clone(&region.shared.control);
        // An operator without edges holds no capability; timely would drop it before its input has ended.
        move |_: &[_]| {
            control.within_host(|| region.schedule());
            region.open
        }
    });
    (address.to_vec(), streams)
}

impl SourceRegion {
    fn schedule(&mut self) {
        if self.shared.control.has_failed() {
            self.capabilities.clear();
            return;
        }
        if !self.open {
            return;
        }
        let executor = Rc::clone(&self.executor);
        let mut executor = executor.borrow_mut();
        let Some(executor) = executor.as_mut() else {
            return;
        };
        match self.advance(executor) {
            Ok(Next::Again) => self.activator.activate(),
            Ok(Next::Rest) => {}
            Err(failure) => self.shared.control.fail(failure),
        }
    }

    fn advance(&mut self, executor: &mut Executor) -> Result<Next, Failure> {
        // First: a reader that takes from outside must hear of it also while the region waits.
        self.stop_if_asked()?;
        if self.work_off(executor)? == Progress::Waiting {
            return Ok(Next::Rest);
        }
        self.follow_time(executor)?;
        if self.all_ended() {
            self.finish(executor)?;
            return Ok(Next::Rest);
        }
        if !self.shared.control.may_read(epoch_of(self.time)) {
            self.flush(executor);
            return Ok(Next::Rest);
        }
        if self.shared.ledger.borrow().outstanding() >= self.shared.credit_bytes {
            (0..self.lags.len()).try_for_each(|index| self.show_lag(index))?;
            self.flush(executor);
            self.move_time(true);
            return Ok(Next::Rest);
        }
        let Some(partition) = self.next_ready() else {
            self.flush(executor);
            return Ok(self.rest());
        };
        self.read(partition, executor)?;
        self.move_time(false);
        Ok(Next::Again)
    }

    /// Runs the executor and sends what it makes.
    fn run(&mut self, executor: &mut Executor) -> Result<Progress, Failure> {
        let progress = executor.run()?;
        let capabilities = &self.capabilities;
        self.links
            .send(&mut executor.outbox.ready, |output| &capabilities[output]);
        Ok(progress)
    }

    fn flush(&mut self, executor: &mut Executor) {
        executor.outbox.flush();
        let capabilities = &self.capabilities;
        self.links
            .send(&mut executor.outbox.ready, |output| &capabilities[output]);
    }

    /// Takes over the time that all workers share.
    fn follow_time(&mut self, executor: &mut Executor) -> Result<(), Failure> {
        let now = self.shared.control.time();
        if now == self.time {
            return Ok(());
        }
        self.flush(executor);
        let (ended, open) = (epoch_of(self.time), epoch_of(now));
        if open != ended {
            self.report(ended, Some(open))?;
            executor.epoch = open;
        }
        for capability in &mut self.capabilities {
            capability.downgrade(&now);
        }
        self.time = now;
        self.tick_began = self.shared.control.clock.now();
        self.reached.set(Some(now));
        Ok(())
    }

    /// Reports where the partitions stand at the end of an epoch, and of those up to the open one.
    fn report(&self, ended: Epoch, open: Option<Epoch>) -> Result<(), Failure> {
        let Some(epochs) = &self.shared.epochs else {
            return Ok(());
        };
        for partition in self.partitions.borrow().iter() {
            let name = &self.shared.control.partitions[partition.id.0 as usize];
            let source = || Connector::Source(name.source.clone());
            let position = Connector::caught(source, || partition.reader.position())?;
            let position = SourcePosition {
                source: name.source.clone(),
                partition: name.partition.clone(),
                position,
                next_number: partition.next_number,
            };
            epochs.stands_at(ended, partition.id.0 as usize, position);
        }
        epochs.done_before(self.operator, open);
        Ok(())
    }

    /// Begins the next tick if something is under way in this one and it has lasted or used enough.
    fn move_time(&mut self, out_of_credit: bool) {
        let control = &self.shared.control;
        let sent = self.shared.ledger.borrow().sent_at(self.time);
        if let Some(random) = &self.shared.random {
            let mut random = random.borrow_mut();
            if self
                .shared
                .epoch_every
                .is_some_and(|every| random.one_in(every))
            {
                control.next_epoch();
            } else if sent > 0 && (out_of_credit || random.one_in(2)) {
                control.next_tick(self.time);
            }
            return;
        }
        let used_share = sent >= self.shared.credit_bytes / TICKS_PER_CREDIT;
        if sent > 0
            && (used_share || out_of_credit || control.clock.now().since(self.tick_began) >= TICK)
        {
            control.next_tick(self.time);
        }
    }

    /// Nothing to read: looks after the tick, and when to look again.
    fn rest(&mut self) -> Next {
        let control = Arc::clone(&self.shared.control);
        let simulated = control.clock.is_simulated();
        let now = control.clock.now();
        let mut tick_ends = None;
        if self.shared.ledger.borrow().sent_at(self.time) > 0 {
            let age = now.since(self.tick_began);
            if simulated || age >= TICK {
                control.next_tick(self.time);
            } else {
                tick_ends = Some(after(now, TICK - age));
            }
        }
        let due = self
            .partitions
            .borrow()
            .iter()
            .filter_map(|partition| match partition.state {
                PartitionState::IdleUntil(due) => Some(due),
                _ => None,
            })
            .min();
        if due.is_some() && simulated {
            return Next::Again;
        }
        if let Some(due) = due.into_iter().chain(tick_ends).min()
            && let Some(wait) = self.alarm.set(now, due)
        {
            self.activator.activate_after(wait);
        }
        Next::Rest
    }

    fn stop_if_asked(&mut self) -> Result<(), Failure> {
        if self.asked_to_stop || !self.shared.control.is_stopping() {
            return Ok(());
        }
        self.asked_to_stop = true;
        if self.shared.control.is_pausing() {
            return Ok(());
        }
        for partition in self
            .partitions
            .borrow_mut()
            .iter_mut()
            .filter(|partition| partition.state != PartitionState::Ended)
        {
            let names = &self.shared.control.partitions;
            let source = || Connector::Source(names[partition.id.0 as usize].source.clone());
            partition.state = match Connector::caught(source, || partition.reader.stop())? {
                Stop::Now => PartitionState::Ended,
                // It still gives what it has, and is read like any other until it ends.
                Stop::AfterEnd => PartitionState::Ready,
            };
        }
        Ok(())
    }

    /// Whether there is nothing more to read in this generation.
    fn all_ended(&self) -> bool {
        let pausing = self.asked_to_stop && self.shared.control.is_pausing();
        pausing
            || self
                .partitions
                .borrow()
                .iter()
                .all(|partition| partition.state == PartitionState::Ended)
    }

    fn finish(&mut self, executor: &mut Executor) -> Result<(), Failure> {
        self.flush(executor);
        self.report(epoch_of(self.time), None)?;
        self.capabilities.clear();
        self.open = false;
        self.reached.finish();
        self.shared.control.source_ended();
        Ok(())
    }

    /// The next partition in turn that may have something.
    fn next_ready(&mut self) -> Option<usize> {
        let mut partitions = self.partitions.borrow_mut();
        let count = partitions.len();
        let now = self.shared.control.clock.now();
        for offset in 0..count {
            let index = (self.next_partition + offset) % count;
            let partition = &mut partitions[index];
            let woken = partition.wake.take();
            let ready = match partition.state {
                PartitionState::Ready => true,
                PartitionState::Idle => woken,
                PartitionState::IdleUntil(due) => {
                    woken || due <= now || self.shared.random.is_some()
                }
                PartitionState::Ended => false,
            };
            if ready {
                self.next_partition = index + 1;
                return Some(index);
            }
        }
        None
    }

    fn read(&mut self, index: usize, executor: &mut Executor) -> Result<(), Failure> {
        let mut partitions = self.partitions.borrow_mut();
        let partition = &mut partitions[index];
        let mut batch = match self.batch.take() {
            Some((source, _, batch)) if source == partition.source => batch,
            _ => SourceBatch {
                messages: self.empty_for(partition.source),
                provenance: Provenance::default(),
                rejected: Vec::new(),
                bytes: 0,
            },
        };
        let messages = self
            .shared
            .random
            .as_ref()
            .map_or(BATCH_MESSAGES, |random| 1 + random.borrow_mut().below(16));
        let room = Room {
            partition: partition.id,
            next_number: partition.next_number,
            messages,
            bytes: PORTION_BYTES,
        };
        let number = partition.id.0 as usize;
        let name = || Connector::Source(self.shared.control.partitions[number].source.clone());
        let (read, next_number) =
            Connector::call(name, || partition.reader.read(room, &mut batch))?;
        partition.next_number = next_number;
        partition.state = match read {
            Read::End => PartitionState::Ended,
            Read::More => PartitionState::Ready,
            Read::Idle => PartitionState::Idle,
            Read::IdleFor(time) => {
                let now = self.shared.control.clock.now();
                PartitionState::IdleUntil(after(now, time))
            }
        };
        let (id, source) = (partition.id, partition.source);
        drop(partitions);
        self.show_lag(index)?;
        let rejected: usize = batch
            .rejected
            .iter()
            .map(|record| record.bytes.len() + REJECTED_BYTES)
            .sum();
        let bytes = rejected + executor.bytes_read(source, &batch);
        if bytes > 0 {
            self.shared.ledger.borrow_mut().spend(self.time, bytes);
        }
        batch.bytes = 0;
        self.batch = Some((source, id, batch));
        self.work_off(executor).map(|_| ())
    }

    /// Shows how far a partition is behind.
    fn show_lag(&mut self, index: usize) -> Result<(), Failure> {
        let partition = &self.partitions.borrow()[index];
        let number = partition.id.0 as usize;
        let name = || Connector::Source(self.shared.control.partitions[number].source.clone());
        let lag = Connector::caught(name, || partition.reader.lag())?;
        self.lags[index].set(lag);
        Ok(())
    }

    /// Works off what has been read: first the rejected records, then the messages.
    fn work_off(&mut self, executor: &mut Executor) -> Result<Progress, Failure> {
        loop {
            if executor.is_busy() && self.run(executor)? == Progress::Waiting {
                return Ok(Progress::Waiting);
            }
            let Some((source, partition, batch)) = &mut self.batch else {
                return Ok(Progress::Done);
            };
            let source = *source;
            if !batch.rejected.is_empty() {
                let rejected = std::mem::take(&mut batch.rejected);
                executor.begin_rejected(source, *partition, rejected)?;
            } else if !batch.messages.is_empty() {
                let empty = executor.recycled(source);
                let empty = empty.unwrap_or_else(|| batch.messages.empty());
                executor.begin_source(source, batch, empty);
            } else {
                return Ok(Progress::Done);
            }
        }
    }

    fn empty_for(&self, source: NodeId) -> Box<dyn Messages> {
        let known = self.empties.iter().find(|(id, _)| *id == source);
        known
            .expect("every source of the region has an empty buffer")
            .1
            .empty()
    }
}

/// The moment when a time has passed.
fn after(now: Timestamp, time: Duration) -> Timestamp {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Timestamp(now.0.saturating_add(nanos))
}
