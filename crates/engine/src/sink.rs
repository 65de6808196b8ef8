//! The operator of a sink: hands messages to the writer on the worker that owns the sink.
//!
//! When somebody listens to epochs, messages of a later epoch wait until the open one has ended: what a writer tells at the
//! end of an epoch is about whole epochs.
//!
//! **Invariants.** Batches of an epoch are written in the order in which they came. A batch counts as consumed when the
//! writer has taken all of it; so a writer that is full holds back the sources. One writer, one worker.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use timely::dataflow::operators::InputCapability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, Stream};
use timely::progress::frontier::MutableAntichain;
use wallaroo_core::{ConnectorError, Messages, NodeId, Write};

use crate::batch::{Batch, Contents, Pool};
use crate::control::{Control, Epoch, Time, epoch_of};
use crate::epochs::Epochs;
use crate::failure::{Connector, Failure};
use crate::host::{Checkpointed, ErasedWriter};
use crate::layout::Edge;
use crate::listener::{EpochListener, SinkOutput};
use crate::region::{Puller, Reached, connect, frontier_of, time_of};
use crate::status::Counts;
use crate::wake::WakeSlot;

/// A sink that is open, with its way to be woken.
pub(crate) struct OpenSink {
    pub(crate) name: String,
    pub(crate) node: NodeId,
    pub(crate) writer: Box<dyn ErasedWriter>,
    /// Whether the writer has been told that the run ends.
    pub(crate) ends: bool,
    /// The epoch of which something has been written that has not been told yet.
    pub(crate) untold: Option<Epoch>,
    pub(crate) wake: Arc<WakeSlot>,
}

impl OpenSink {
    /// Tells the writer once that the run ends.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        if std::mem::replace(&mut self.ends, true) {
            return Ok(());
        }
        Connector::caught(|| Connector::Sink(self.name.clone()), || self.writer.end())
    }

    /// Tells what the sink was given in an epoch, all of which has been flushed.
    pub(crate) fn tell(&mut self, listener: &dyn EpochListener) -> Result<(), Failure> {
        let Some(epoch) = self.untold.take() else {
            return Ok(());
        };
        let name = || Connector::Sink(self.name.clone());
        let Checkpointed { rows, position } = Connector::call(name, || self.writer.checkpoint())?;
        let sink = self.name.clone();
        listener.sink_reached(
            epoch,
            SinkOutput {
                sink,
                rows,
                position,
            },
        );
        Ok(())
    }
}

/// The sink as its operator and its worker share it; empty on the workers that do not own it.
pub(crate) type SharedSink = Rc<RefCell<Option<OpenSink>>>;

type Pending = (InputCapability<Time>, usize, Box<Contents>);

struct SinkOperator {
    pullers: Vec<Puller>,
    pools: Vec<Pool>,
    sink: SharedSink,
    reached: Reached,
    control: Arc<Control>,
    counts: Arc<Counts>,
    level: usize,
    pulled: Vec<(InputCapability<Time>, Batch)>,
    pending: VecDeque<Pending>,
    /// What is of later epochs than the open one.
    stash: VecDeque<Pending>,
    /// Whether something has been written that has not been flushed.
    unflushed: bool,
    /// The first epoch of which something may still have to be delivered.
    open: Epoch,
    epochs: Option<Arc<Epochs>>,
    /// Under which it reports epochs.
    operator: usize,
}

/// Builds the operator; returns its address, for waking.
#[allow(
    clippy::too_many_arguments,
    reason = "called once, by the builder of the dataflow"
)]
pub(crate) fn build<'scope>(
    scope: Scope<'scope, Time>,
    name: &str,
    inputs: Vec<(&Edge, Stream<'scope, Time, Batch>)>,
    pools: Vec<Pool>,
    sink: SharedSink,
    reached: Reached,
    control: Arc<Control>,
    counts: Arc<Counts>,
    level: usize,
    start: Epoch,
    epochs: Option<Arc<Epochs>>,
    operator: usize,
) -> Vec<usize> {
    let mut builder = OperatorBuilder::new(name.to_owned(), scope);
    let pullers = inputs
        .into_iter()
        .map(|(edge, stream)| connect(&mut builder, edge, stream))
        .collect();
    let address = builder.operator_info().address.to_vec();
    builder.build(move |_| {
        let mut operator = SinkOperator {
            pullers,
            pools,
            sink,
            reached,
            control,
            counts,
            level,
            pulled: Vec::new(),
            pending: VecDeque::new(),
            stash: VecDeque::new(),
            unflushed: false,
            open: start,
            epochs,
            operator,
        };
        move |frontiers: &[MutableAntichain<Time>]| operator.schedule(frontiers)
    });
    address
}

impl SinkOperator {
    fn schedule(&mut self, frontiers: &[MutableAntichain<Time>]) {
        if self.control.has_failed() {
            return;
        }
        let frontier = frontier_of(frontiers);
        self.reached.set(frontier);
        for (input, puller) in self.pullers.iter_mut().enumerate() {
            puller(&mut self.pulled);
            for (capability, batch) in self.pulled.drain(..) {
                let Some(contents) = batch.contents else {
                    continue;
                };
                if let Some(sink) = self.sink.borrow().as_ref() {
                    self.counts.nodes[sink.node.index()].add_waiting(contents.messages.len());
                }
                let epoch = epoch_of(time_of(&capability));
                let waiting = (capability, input, contents);
                if self.epochs.is_some() && epoch > self.open {
                    self.control.dequeue(self.level, waiting.2.bytes);
                    self.control.stash(epoch, waiting.2.bytes);
                    self.stash.push_back(waiting);
                } else {
                    self.pending.push_back(waiting);
                }
            }
        }
        if let Err(failure) = self.tell_of_end().and_then(|()| self.work(frontier)) {
            self.control.fail(failure);
        }
        if frontier.is_none() && self.pending.is_empty() && self.stash.is_empty() {
            self.reached.finish();
        }
    }

    /// Writes what may be written, and ends epochs that have been written whole.
    fn work(&mut self, frontier: Option<Time>) -> Result<(), Failure> {
        loop {
            self.write()?;
            if !self.end_epoch(frontier)? {
                return Ok(());
            }
        }
    }

    /// Tells the writer when nothing more is to come.
    fn tell_of_end(&mut self) -> Result<(), Failure> {
        match self.sink.borrow_mut().as_mut() {
            Some(sink) if self.control.is_ending() => sink.end(),
            Some(_) | None => Ok(()),
        }
    }

    /// Ends the open epoch when everything of it has been delivered; true when there may be something to write then. What
    /// has not been flushed at the end of the input is flushed with the worker's end, and told then.
    fn end_epoch(&mut self, frontier: Option<Time>) -> Result<bool, Failure> {
        let Some(epochs) = &self.epochs else {
            return Ok(false);
        };
        let stashed = self.stash.iter().map(|(held, ..)| time_of(held));
        let next = frontier.into_iter().chain(stashed).min().map(epoch_of);
        if !self.pending.is_empty() || next.is_some_and(|next| next <= self.open) {
            return Ok(false);
        }
        let mut sink = self.sink.borrow_mut();
        if let Some(sink) = sink.as_mut() {
            let name = || Connector::Sink(sink.name.clone());
            if self.unflushed && Connector::call(name, || sink.writer.flush())? != Write::Done {
                return Ok(false);
            }
            self.unflushed = false;
            sink.tell(epochs.listener())?;
        }
        drop(sink);
        epochs.done_before(self.operator, next);
        let Some(next) = next else { return Ok(false) };
        self.open = next;
        self.unstash();
        Ok(true)
    }

    /// Moves stashed batches of the open epoch to the pending ones.
    fn unstash(&mut self) {
        let open = self.open;
        let (now, later): (VecDeque<_>, VecDeque<_>) = self
            .stash
            .drain(..)
            .partition(|(held, ..)| epoch_of(time_of(held)) <= open);
        self.stash = later;
        for (held, _, contents) in &now {
            self.control
                .unstash(epoch_of(time_of(held)), contents.bytes);
            self.control.queue(self.level, contents.bytes);
        }
        self.pending.extend(now);
    }

    fn write(&mut self) -> Result<(), Failure> {
        let SinkOperator {
            pools,
            sink,
            control,
            counts,
            level,
            pending,
            unflushed,
            open,
            epochs,
            ..
        } = self;
        let mut sink = sink.borrow_mut();
        let Some(OpenSink {
            name,
            node,
            writer,
            wake,
            untold,
            ..
        }) = sink.as_mut()
        else {
            assert!(
                pending.is_empty(),
                "messages for a sink come to the worker that owns it"
            );
            return Ok(());
        };
        wake.take();
        let name = || Connector::Sink(name.clone());
        while let Some((_, _, contents)) = pending.front_mut() {
            let before = contents.messages.len();
            let write = || write_to(writer.as_mut(), contents.messages.as_mut());
            let counts = &counts.nodes[node.index()];
            Connector::call(name, write).map_err(|failure| failure.with_waiting(counts))?;
            let left = contents.messages.len();
            counts.add_in(before - left);
            counts.sub_waiting(before - left);
            *unflushed = true;
            *untold = epochs.as_ref().map(|_| *open);
            if left > 0 {
                return Ok(());
            }
            if let Some((_, input, contents)) = pending.pop_front() {
                control.dequeue(*level, contents.bytes);
                pools[input].give(contents);
            }
        }
        let counts = &counts.nodes[node.index()];
        let mut flush = || {
            let flushed = Connector::call(name, || writer.flush());
            flushed.map_err(|failure| failure.with_waiting(counts))
        };
        if *unflushed && flush()? == Write::Done {
            *unflushed = false;
        }
        Ok(())
    }
}

/// Lets a writer take what it can; it must say so when it leaves something, or nobody would wake the sink.
fn write_to(
    writer: &mut dyn ErasedWriter,
    messages: &mut dyn Messages,
) -> Result<(), ConnectorError> {
    if writer.write(messages)? == Write::Done && !messages.is_empty() {
        return Err(ConnectorError::new(
            "the writer left messages behind and said that it was done",
        )
        .with_help("return Write::Blocked, and wake the worker when there is room"));
    }
    Ok(())
}
