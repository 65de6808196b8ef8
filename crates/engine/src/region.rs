//! The operator of a region that takes messages from other regions.
//!
//! Batches wait in the order in which they came. A batch of a later epoch than the open one is stashed until
//! all inputs have seen the end of the open epoch, on all workers: so the states hold exactly the effects
//! of whole epochs when an epoch ends.
//!
//! **Invariants.** A batch counts as consumed (its capability is dropped) only when all it leads to has been
//! sent on. What has been gathered for other workers is sent before the epoch changes and before the
//! operator rests. Stashed bytes, and pending ones while work on the open epoch is held, are not counted as queued:
//! they wait for lower levels, or for other workers.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use timely::dataflow::channels::pact::{DistributorPact, Pipeline};
use timely::dataflow::channels::pushers;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{CapabilityTrait, InputCapability};
use timely::dataflow::{Scope, Stream};
use timely::progress::frontier::MutableAntichain;
use timely::scheduling::Activator;
use wallaroo_core::Timestamp;

use crate::alarm::Alarm;
use crate::batch::{Batch, ByDestination, Contents, Pool};
use crate::control::{Control, Epoch, Time, epoch_of};
use crate::epochs::Epochs;
use crate::executor::{Executor, Pace, Portion, Progress};
use crate::failure::Failure;
use crate::layout::{Edge, EdgeIndex, Route};
use crate::listener::EpochListener;

/// How many state objects are looked at in one go to see whether they have expired.
// Well below a millisecond.
const EXPIRED_AT_ONCE: usize = 1024;

/// Where an operator tells how far it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reached {
    /// The earliest time that can still come in; none when nothing can.
    frontier: Rc<Cell<Option<Time>>>,
    done: Rc<Cell<bool>>,
}

impl Reached {
    pub(crate) fn new() -> Self {
        Reached {
            frontier: Rc::new(Cell::new(Some(0))),
            done: Rc::default(),
        }
    }

    pub(crate) fn set(&self, frontier: Option<Time>) {
        self.frontier.set(frontier);
    }

    pub(crate) fn finish(&self) {
        self.frontier.set(None);
        self.done.set(true);
    }

    pub(crate) fn has_passed(&self, time: Time) -> bool {
        self.frontier.get().is_none_or(|frontier| frontier > time)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done.get()
    }
}

/// Pulls what has come in along one edge.
pub(crate) type Puller = Box<dyn FnMut(&mut Vec<(InputCapability<Time>, Batch)>)>;

/// Connects an edge to an operator.
pub(crate) fn connect<'scope>(
    builder: &mut OperatorBuilder<'scope, Time>,
    edge: &Edge,
    stream: Stream<'scope, Time, Batch>,
) -> Puller {
    macro_rules! puller {
        ($pact:expr) => {{
            let mut handle = builder.new_input(stream, $pact);
            Box::new(move |into: &mut Vec<_>| {
                handle.for_each(|capability, batch| into.push((capability, std::mem::take(batch))))
            })
        }};
    }
    match edge.route {
        Route::Local => puller!(Pipeline),
        Route::Keyed(_) | Route::Sink(_) => puller!(DistributorPact(|_| ByDestination)),
    }
}

/// The outputs of an operator.
pub(crate) struct Links {
    outputs: Vec<(EdgeIndex, pushers::Output<Time, Batch>)>,
}

impl Links {
    /// Adds an output for each edge; their streams come back in the same order.
    pub(crate) fn add<'scope>(
        builder: &mut OperatorBuilder<'scope, Time>,
        edges: &[EdgeIndex],
    ) -> (Links, Vec<Stream<'scope, Time, Batch>>) {
        let (outputs, streams) = edges
            .iter()
            .map(|edge| {
                let (output, stream) = builder.new_output::<Batch>();
                ((*edge, output), stream)
            })
            .unzip();
        (Links { outputs }, streams)
    }

    /// Sends batches, each with the capability for its output.
    pub(crate) fn send<'c, C: CapabilityTrait<Time> + 'c>(
        &mut self,
        ready: &mut Vec<(EdgeIndex, Batch)>,
        capability: impl Fn(usize) -> &'c C,
    ) {
        if ready.is_empty() {
            return;
        }
        for (index, (edge, output)) in self.outputs.iter_mut().enumerate() {
            if ready.iter().any(|(to, _)| to == edge) {
                let mut session = output.activate::<Batch>();
                for (_, batch) in ready.iter_mut().filter(|(to, _)| to == edge) {
                    session.give(capability(index), batch);
                }
            }
        }
        ready.clear();
    }
}

/// A batch that waits for the executor.
struct Waiting {
    capability: InputCapability<Time>,
    input: usize,
    contents: Box<Contents>,
}

impl Waiting {
    fn epoch(&self) -> Epoch {
        epoch_of(time_of(&self.capability))
    }
}

/// What a region needs to know of its surroundings.
pub(crate) struct Surroundings {
    pub(crate) control: Arc<Control>,
    pub(crate) listener: Option<Arc<dyn EpochListener>>,
    pub(crate) epochs: Option<Arc<Epochs>>,
    /// Under which it reports epochs.
    pub(crate) operator: usize,
    pub(crate) worker: usize,
    pub(crate) level: usize,
    /// For each input the pool of its edge.
    pub(crate) pools: Vec<Pool>,
    pub(crate) start: Epoch,
    pub(crate) pace: Pace,
}

struct Region {
    pullers: Vec<Puller>,
    links: Links,
    executor: Rc<std::cell::RefCell<Option<Executor>>>,
    reached: Reached,
    activator: Activator,
    around: Surroundings,
    open: Epoch,
    /// The ended epoch whose changes are being saved.
    saving: Option<Epoch>,
    pulled: Vec<(InputCapability<Time>, Batch)>,
    pending: VecDeque<Waiting>,
    stash: VecDeque<Waiting>,
    /// Whether work on the open epoch is held: pending bytes are not counted as queued then, or earlier epochs could
    /// wait for them.
    held: bool,
    /// The batch that the executor works on, with its bytes.
    current: Option<(InputCapability<Time>, usize)>,
    /// The capability under which gathered messages will be sent.
    gathered: Option<InputCapability<Time>>,
    /// Rings when state objects expire.
    alarm: Alarm,
}

/// Builds the operator. Returns its address, for waking, and the streams of its outgoing edges.
pub(crate) fn build<'scope>(
    scope: Scope<'scope, Time>,
    name: &str,
    inputs: Vec<(&Edge, Stream<'scope, Time, Batch>)>,
    outputs: &[EdgeIndex],
    executor: Rc<std::cell::RefCell<Option<Executor>>>,
    reached: Reached,
    around: Surroundings,
) -> (Vec<usize>, Vec<Stream<'scope, Time, Batch>>) {
    let mut builder = OperatorBuilder::new(name.to_owned(), scope);
    let address = builder.operator_info().address;
    let activator = scope.activator_for(Rc::clone(&address));
    let address = address.to_vec();
    let pullers = inputs
        .into_iter()
        .map(|(edge, stream)| connect(&mut builder, edge, stream))
        .collect();
    let (links, streams) = Links::add(&mut builder, outputs);
    builder.build(move |capabilities| {
        drop(capabilities);
        let open = around.start;
        let mut region = Region {
            pullers,
            links,
            executor,
            reached,
            activator,
            around,
            open,
            saving: None,
            pulled: Vec::new(),
            pending: VecDeque::new(),
            stash: VecDeque::new(),
            held: false,
            current: None,
            gathered: None,
            alarm: Alarm::default(),
        };
        let control = Arc::clone(&region.around.control);
        move |frontiers: &[MutableAntichain<Time>]| {
            control.within_host(|| region.schedule(frontiers));
        }
    });
    (address, streams)
}

impl Region {
    fn schedule(&mut self, frontiers: &[MutableAntichain<Time>]) {
        if self.around.control.has_failed() {
            return;
        }
        let executor = Rc::clone(&self.executor);
        let mut executor = executor.borrow_mut();
        // The executor is gone when the generation is being taken down.
        let Some(executor) = executor.as_mut() else {
            return;
        };
        let frontier = frontier_of(frontiers);
        self.reached.set(frontier);
        let began = self.saving.map(|_| self.around.control.clock.now());
        executor.epoch = self.open;
        self.pull();
        self.follow_hold();
        if let Err(failure) = self
            .work(executor, frontier)
            .and_then(|()| self.load(executor))
            .and_then(|()| self.expire(executor))
            .and_then(|()| self.save_between(executor, began))
        {
            self.around.control.fail(failure);
        }
    }

    /// Loads another key group of the checkpoint that the run goes on from, if any is left, and comes back for the next.
    fn load(&mut self, executor: &mut Executor) -> Result<(), Failure> {
        if executor.load_another()? {
            self.activator.activate();
        }
        Ok(())
    }

    /// Saves some of what the last epoch has changed, if any is left, and comes back for the rest.
    fn save_between(
        &mut self,
        executor: &mut Executor,
        began: Option<Timestamp>,
    ) -> Result<(), Failure> {
        // What has just been closed has had its first portion.
        let (Some(_), Some(began)) = (self.saving, began) else {
            return Ok(());
        };
        let clock = Arc::clone(&self.around.control.clock);
        let from = clock.now();
        let time = self.around.pace.time_after(from.since(began));
        while self.saving.is_some() {
            let portion = self.around.pace.between();
            self.save(executor, portion)?;
            if clock.now().since(from) >= time {
                break;
            }
        }
        if self.saving.is_some() {
            self.activator.activate();
        }
        Ok(())
    }

    /// Saves a portion of what the last ended epoch has changed, and reports the epoch when that was the last.
    fn save(&mut self, executor: &mut Executor, portion: Portion) -> Result<(), Failure> {
        if let Some(epoch) = self.saving
            && self.hand_over(executor, portion)?
        {
            self.report(Epoch(epoch.0 + 1));
        }
        Ok(())
    }

    /// Saves a portion of what the last ended epoch has changed. Hands all of it over when that was the last: true then.
    fn hand_over(&mut self, executor: &mut Executor, portion: Portion) -> Result<bool, Failure> {
        let (Some(epoch), Some(listener)) = (self.saving, &self.around.listener) else {
            return Ok(false);
        };
        let Some(changes) = executor.save(portion)? else {
            return Ok(false);
        };
        self.saving = None;
        listener.encoded(epoch, self.around.worker, executor.take_encoding_time());
        listener.states_changed(epoch, self.around.worker, changes);
        Ok(true)
    }

    /// Says that all before `open` has had its effect and has been reported.
    fn report(&self, open: Epoch) {
        if let Some(epochs) = &self.around.epochs {
            epochs.done_before(self.around.operator, Some(open));
        }
    }

    /// Drops state objects that have expired, a portion at a time, and sees to it that it is called for the next.
    fn expire(&mut self, executor: &mut Executor) -> Result<(), Failure> {
        if self.reached.is_done() {
            return Ok(());
        }
        if executor.expire(EXPIRED_AT_ONCE)? {
            self.activator.activate();
        } else if let Some(due) = executor.next_expiry()
            && !self.around.control.clock.is_simulated()
            && let Some(wait) = self.alarm.set(self.around.control.clock.now(), due)
        {
            self.activator.activate_after(wait);
        }
        Ok(())
    }

    /// Counts what is pending as queued, or not if work on the open epoch is held.
    fn follow_hold(&mut self) {
        let control = &self.around.control;
        let held = control.holds(self.open);
        if held == self.held {
            return;
        }
        self.held = held;
        let current = self.current.iter().map(|(_, bytes)| *bytes);
        let pending = self.pending.iter().map(|waiting| waiting.contents.bytes);
        let bytes = current.chain(pending).sum();
        if held {
            control.dequeue(self.around.level, bytes);
        } else {
            control.queue(self.around.level, bytes);
        }
    }

    fn pull(&mut self) {
        let (control, level) = (&self.around.control, self.around.level);
        for (input, puller) in self.pullers.iter_mut().enumerate() {
            puller(&mut self.pulled);
            for (capability, batch) in self.pulled.drain(..) {
                let Some(contents) = batch.contents else {
                    continue;
                };
                let waiting = Waiting {
                    capability,
                    input,
                    contents,
                };
                let bytes = waiting.contents.bytes;
                if waiting.epoch() > self.open {
                    control.dequeue(level, bytes);
                    control.stash(waiting.epoch(), bytes);
                    self.stash.push_back(waiting);
                } else {
                    if self.held {
                        control.dequeue(level, bytes);
                    }
                    self.pending.push_back(waiting);
                }
            }
        }
    }

    fn work(&mut self, executor: &mut Executor, frontier: Option<Time>) -> Result<(), Failure> {
        loop {
            if !self.run_pending(executor)? {
                return Ok(());
            }
            self.flush(executor);
            if !self.end_epoch(executor, frontier)? {
                break;
            }
        }
        if frontier.is_none() && !self.reached.is_done() {
            debug_assert!(
                self.stash.is_empty(),
                "the last epoch ends with the last stashed batch"
            );
            self.reached.finish();
            if let Some(epochs) = &self.around.epochs {
                epochs.done_before(self.around.operator, None);
            }
        }
        Ok(())
    }

    /// Works off what is pending; false when the region must wait.
    fn run_pending(&mut self, executor: &mut Executor) -> Result<bool, Failure> {
        loop {
            self.follow_hold();
            // With nothing to do there is nothing to hold; and this may be the last call, at the end of the input.
            if self.current.is_none() && self.pending.is_empty() {
                return Ok(true);
            }
            if self.held {
                return Ok(false);
            }
            if self.current.is_none() {
                let Some(next) = self.pending.pop_front() else {
                    continue;
                };
                if self
                    .gathered
                    .as_ref()
                    .is_some_and(|gathered| epoch_of(time_of(gathered)) != next.epoch())
                {
                    self.flush(executor);
                }
                let bytes = next.contents.bytes;
                executor.begin(next.input, next.contents, &self.around.pools[next.input]);
                self.current = Some((next.capability, bytes));
            }
            let progress = executor.run()?;
            let Some((capability, bytes)) = &self.current else {
                continue;
            };
            self.links.send(&mut executor.outbox.ready, |_| capability);
            match progress {
                Progress::Done => {}
                Progress::Waiting => {
                    self.follow_hold();
                    return Ok(false);
                }
                Progress::Loading => {
                    self.activator.activate();
                    return Ok(false);
                }
            }
            self.around.control.dequeue(self.around.level, *bytes);
            self.gathered = self.current.take().map(|(capability, _)| capability);
        }
    }

    fn flush(&mut self, executor: &mut Executor) {
        let Some(capability) = self.gathered.take() else {
            return;
        };
        executor.outbox.flush();
        self.links.send(&mut executor.outbox.ready, |_| &capability);
    }

    /// Ends the open epoch when nothing of it can come in any more; true when the next one is open then.
    fn end_epoch(
        &mut self,
        executor: &mut Executor,
        frontier: Option<Time>,
    ) -> Result<bool, Failure> {
        if self.around.listener.is_none() {
            executor.drop_unwanted_changes();
        }
        if self.reached.is_done() || frontier.is_some_and(|time| epoch_of(time) <= self.open) {
            return Ok(false);
        }
        if let Some(listener) = self.around.listener.clone()
            && executor.has_state()
        {
            self.save(executor, Portion::ALL)?;
            executor.expire_for_checkpoint()?;
            executor.close_epoch(&*listener);
            self.saving = Some(self.open);
        }
        // With the end of all input the last epoch ends: the one of the last stashed batch.
        // The end of the generation reports it, when the sinks have delivered.
        if frontier.is_none() && self.stash.is_empty() {
            self.hand_over(executor, Portion::ALL)?;
            return Ok(false);
        }
        self.open = Epoch(self.open.0 + 1);
        executor.epoch = self.open;
        self.unstash(self.open);
        if self.saving.is_none() {
            self.report(self.open);
            return Ok(true);
        }
        let portion = self.around.pace.at_once();
        self.save(executor, portion)?;
        if self.saving.is_some() {
            self.activator.activate();
        }
        Ok(true)
    }

    /// Moves stashed batches of epochs up to `epoch` to the pending ones.
    fn unstash(&mut self, epoch: Epoch) {
        let (now, later): (VecDeque<_>, VecDeque<_>) = self
            .stash
            .drain(..)
            .partition(|waiting| waiting.epoch() <= epoch);
        self.stash = later;
        let control = &self.around.control;
        let bytes = now.iter().map(|waiting| waiting.contents.bytes).sum();
        if !self.held {
            control.queue(self.around.level, bytes);
        }
        if !now.is_empty() {
            control.unstash(epoch, bytes);
        }
        self.pending.extend(now);
    }
}

/// The earliest time that can still come in along any input.
pub(crate) fn frontier_of(frontiers: &[MutableAntichain<Time>]) -> Option<Time> {
    frontiers
        .iter()
        .filter_map(|frontier| frontier.frontier().iter().copied().min())
        .min()
}

pub(crate) fn time_of(capability: &InputCapability<Time>) -> Time {
    *capability.least().expect("our messages have one time")
}
