//! Runs one batch at a time through the stages of a region.
//!
//! The batch that comes in is the head. Every output of a stage becomes a frame on a stack; the top frame is
//! handed to its consumers one after another, and what they make goes on top of it. So outputs keep their
//! order, a stage that makes many messages of one is taken in portions, and the work can stop between any
//! two steps and go on later.
//!
//! Keys, origins and time belong to the head. Messages made from it carry only the index of the head message
//! they come from; whoever needs a key goes back to the head.
//!
//! **Invariants.** The executor knows nothing of timely: what leaves the region is put into
//! [`Outbox::ready`]. User code is called only through [`guarded`]. A state object is touched only here, on
//! the thread that owns the executor.

mod expiry;
mod failing;
mod keys;
mod loading;
mod outbox;
mod saving;
mod state;
mod taking;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use wallaroo_core::{KeyHash, Messages, NodeId, OnError, Plan, Port, Provenance, Timestamp};

use crate::batch::{Contents, Pool};
use crate::control::{Control, Epoch};
use crate::failure::{Act, Failure, Owner};
use crate::host::{
    Cause, Failed, Input, KeyExtractor, Output, Outputs, SourceBatch, Splitter, Stage, StateStage,
};
use crate::layout::{Consumer, Layout, RegionIndex, Route, consumer};
use crate::panics::caught;
use crate::program::{Copier, NodeCode, Program};
use crate::status::Counts;

pub use expiry::is_expired;
pub(crate) use keys::FoundKey;
pub(crate) use outbox::{Outbox, Owners};
pub(crate) use saving::{Pace, Portion};
pub(crate) use state::Table;
use state::TableSize;

/// Messages per output after which a stage is asked to return.
// 1,024, 2,048 and 4,096 were the same within the noise of benches engine/one-worker (2026-11); with more, a batch
// and what is made of it leave the L2 cache.
pub(crate) const BATCH_MESSAGES: usize = 2048;

/// How far [`Executor::run`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The head is done with.
    Done,
    /// Too much is queued on higher levels; call again later.
    Waiting,
    /// More of the checkpoint has to be loaded; let others have their turn, and call again.
    Loading,
}

/// An output in the region that has consumers, or an edge that leads into it.
struct PortState {
    /// Whose output it is.
    node: NodeId,
    consumers: Vec<Consumer>,
    turns: Turns,
    copier: Option<Copier>,
    /// Buffers to use again.
    free: Vec<Box<dyn Messages>>,
}

/// How the consumers of one output take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turns {
    /// Each gets all messages of a frame before the next gets any: their ways do not meet again.
    Batches,
    /// All look at one message before any looks at the next, as in a loop: their ways meet again.
    Messages,
    /// The same, where some of them take messages away: each message becomes a frame.
    Frames,
}

impl Turns {
    fn of(layout: &Layout, plan: &Plan, consumers: &[Consumer]) -> Self {
        let looks = |consumer: &Consumer| matches!(consumer, Consumer::Look(_));
        if !layout.meet(plan, consumers.chunks(1)) {
            Turns::Batches
        } else if consumers.iter().all(looks) {
            Turns::Messages
        } else {
            Turns::Frames
        }
    }
}

/// The code of a node on this worker.
enum Instance {
    Source,
    Stage(Box<dyn Stage>),
    State {
        code: Box<dyn StateStage>,
        table: usize,
    },
    Key(Box<dyn KeyExtractor>),
    Split {
        code: Box<dyn Splitter>,
        /// Whether the ways of its halves meet again, so that they take turns as in a loop.
        meet: bool,
    },
}

struct NodeState {
    id: NodeId,
    on_error: OnError,
    code: Instance,
    /// Index into `ports` of each output.
    ports: Vec<Option<usize>>,
    dead_letters: Option<usize>,
    outputs: Outputs,
    /// How many messages to hand over in one call: shrinks for a stage that makes many of one.
    portion: usize,
}

/// Where the keys of the head's messages are.
enum HeadKeys {
    /// They have none.
    None,
    /// The extractor finds them in the head's messages.
    Extract(usize),
    /// They came along.
    Stored(Vec<FoundKey>),
}

/// The batch that is being worked on.
struct Head {
    keys: HeadKeys,
    hashes: Vec<KeyHash>,
    provenance: Provenance,
    now: Timestamp,
    /// Contents of the batch without its messages, to be used again.
    shell: Option<(Box<Contents>, Pool)>,
    /// The source whose messages it is, and which can use their buffer again.
    source: Option<NodeId>,
}

impl Head {
    /// Of messages that have no key yet; `source` is told if their buffer is to go back to one.
    fn unkeyed(provenance: Provenance, now: Timestamp, source: Option<NodeId>) -> Self {
        Head {
            keys: HeadKeys::None,
            hashes: Vec::new(),
            provenance,
            now,
            shell: None,
            source,
        }
    }
}

/// Messages that wait for their consumers.
struct Frame {
    /// Absent once a consumer has taken them.
    messages: Option<Box<dyn Messages>>,
    /// For each message the index of the head message it comes from; absent when it is the same.
    origin: Option<Vec<u32>>,
    /// For messages of a `key_by`, with several workers.
    hashes: Vec<KeyHash>,
    port: usize,
    consumer: usize,
    /// The first message that the consumers whose turn it is get.
    start: usize,
    cursor: usize,
}

impl Frame {
    fn new(port: usize, messages: Box<dyn Messages>, origin: Option<Vec<u32>>) -> Self {
        Frame {
            messages: Some(messages),
            origin,
            hashes: Vec::new(),
            port,
            consumer: 0,
            start: 0,
            cursor: 0,
        }
    }

    fn len(&self) -> usize {
        self.messages.as_ref().map_or(0, |messages| messages.len())
    }

    fn head_index(&self, index: usize) -> usize {
        self.origin
            .as_ref()
            .map_or(index, |origin| origin[index] as usize)
    }
}

/// Runs the stages of one region on one worker.
pub(crate) struct Executor {
    program: Arc<Program>,
    control: Arc<Control>,
    counts: Arc<Counts>,
    level: usize,
    /// The epoch of the head.
    pub(crate) epoch: Epoch,
    nodes: Vec<NodeState>,
    ports: Vec<PortState>,
    /// For each input edge of the region: its port, and the extractor of its keys.
    inputs: Vec<(usize, Option<usize>)>,
    /// Extractors of edges that come in, by their `key_by`.
    extractors: Vec<(NodeId, Box<dyn KeyExtractor>)>,
    tables: Vec<Table>,
    /// For each table.
    sizes: Vec<TableSize>,
    head: Option<Head>,
    stack: Vec<Frame>,
    /// Buffers to use again.
    spare_origins: Vec<Vec<u32>>,
    /// The buffer of a source's messages that have been worked off.
    spent_source: Option<(NodeId, Box<dyn Messages>)>,
    /// Key groups of a checkpoint that messages needed since [`Executor::run`] was called.
    loaded_in_turn: usize,
    /// Others are to have their turn before more is loaded.
    yields: bool,
    /// How long state objects have been saved for the epoch that ended last.
    encoding_time: Duration,
    pub(crate) outbox: Outbox,
    scratch: state::Scratch,
}

impl Executor {
    /// The executor of a region on worker `worker`. `tables` holds the state objects that the worker owns
    /// already; those of this region's states are taken out.
    pub(crate) fn new(
        program: &Arc<Program>,
        layout: &Layout,
        region: RegionIndex,
        control: &Arc<Control>,
        counts: &Arc<Counts>,
        outbox: Outbox,
        tables: &mut Vec<Table>,
    ) -> Self {
        let mut executor = Executor {
            program: Arc::clone(program),
            control: Arc::clone(control),
            counts: Arc::clone(counts),
            level: layout.regions[region].level,
            epoch: Epoch::default(),
            nodes: Vec::new(),
            ports: Vec::new(),
            inputs: Vec::new(),
            extractors: Vec::new(),
            tables: Vec::new(),
            sizes: Vec::new(),
            head: None,
            stack: Vec::new(),
            spare_origins: Vec::new(),
            spent_source: None,
            loaded_in_turn: 0,
            yields: false,
            encoding_time: Duration::ZERO,
            outbox,
            scratch: state::Scratch::default(),
        };
        for id in &layout.regions[region].nodes {
            executor.add_node(layout, *id, tables);
        }
        for edge in &layout.regions[region].inputs {
            let edge = &layout.edges[*edge];
            let extractor = match edge.route {
                Route::Keyed(key_by) => Some(executor.extractor(key_by)),
                Route::Local | Route::Sink(_) => None,
            };
            let consumers = edge
                .consumers
                .iter()
                .map(|node| consumer(&program.plan, *node))
                .collect();
            let port = executor.add_port(layout, edge.from, sorted(consumers));
            executor.inputs.push((port, extractor));
        }
        let takes_turns = |port: &PortState| port.turns != Turns::Batches;
        let meets = |node: &NodeState| matches!(node.code, Instance::Split { meet: true, .. });
        executor.outbox.gathers_always =
            executor.ports.iter().any(takes_turns) || executor.nodes.iter().any(meets);
        executor
    }

    fn add_node(&mut self, layout: &Layout, id: NodeId, tables: &mut Vec<Table>) {
        let program = Arc::clone(&self.program);
        let code = match program.code(id) {
            NodeCode::Source(_) => Instance::Source,
            NodeCode::Stage(make) => Instance::Stage(make()),
            NodeCode::Key(make) => Instance::Key(make()),
            NodeCode::Split(make) => {
                let behind = |output| layout.consumers.get(&Port { node: id, output });
                let halves = (0..2).filter_map(behind).map(Vec::as_slice);
                Instance::Split {
                    code: make(),
                    meet: layout.meet(&program.plan, halves),
                }
            }
            NodeCode::State(make) => {
                let code = make();
                Instance::State {
                    code,
                    table: self.table_of(id, tables),
                }
            }
            NodeCode::Sink(_) | NodeCode::None => unreachable!("sinks and merges have no executor"),
        };
        let on_error = program.plan.node(id).on_error;
        let outputs = if matches!(code, Instance::Split { .. }) {
            2
        } else {
            1
        };
        let mut port = |output: u16| {
            let port = Port { node: id, output };
            layout
                .consumers
                .get(&port)
                .map(|consumers| self.add_port(layout, port, consumers.clone()))
        };
        let ports: Vec<Option<usize>> = (0..outputs).map(&mut port).collect();
        let dead_letters = port(outputs);
        let outputs = Outputs {
            ports: ports.iter().map(|_| Output::default()).collect(),
            soft_limit: BATCH_MESSAGES,
        };
        self.nodes.push(NodeState {
            id,
            on_error,
            code,
            ports,
            dead_letters,
            outputs,
            portion: BATCH_MESSAGES,
        });
    }

    fn add_port(&mut self, layout: &Layout, port: Port, consumers: Vec<Consumer>) -> usize {
        let turns = Turns::of(layout, &self.program.plan, &consumers);
        let copier = self.program.copiers.get(&port).copied();
        self.ports.push(PortState {
            node: port.node,
            consumers,
            turns,
            copier,
            free: Vec::new(),
        });
        self.ports.len() - 1
    }

    fn extractor(&mut self, key_by: NodeId) -> usize {
        if let Some(known) = self.extractors.iter().position(|(id, _)| *id == key_by) {
            return known;
        }
        let NodeCode::Key(make) = self.program.code(key_by) else {
            unreachable!("an edge is keyed by a key_by")
        };
        self.extractors.push((key_by, make()));
        self.extractors.len() - 1
    }

    /// Begins with a batch that came along an input of the region.
    pub(crate) fn begin(&mut self, input: usize, mut contents: Box<Contents>, pool: &Pool) {
        let (port, extractor) = self.inputs[input];
        let keys = std::mem::take(&mut contents.keys);
        let keys = match extractor {
            Some(extractor) => HeadKeys::Extract(extractor),
            None if keys.is_empty() => HeadKeys::None,
            None => HeadKeys::Stored(keys),
        };
        let messages = std::mem::replace(&mut contents.messages, Box::new(Vec::<()>::new()));
        let hashes = std::mem::take(&mut contents.hashes);
        let provenance = std::mem::take(&mut contents.provenance);
        self.start(
            port,
            messages,
            Head {
                keys,
                hashes,
                provenance,
                now: self.control.clock.now(),
                shell: Some((contents, pool.clone())),
                source: None,
            },
        );
    }

    /// Begins with what a source of the region has read.
    pub(crate) fn begin_source(
        &mut self,
        source: NodeId,
        batch: &mut SourceBatch,
        empty: Box<dyn Messages>,
    ) {
        let messages = std::mem::replace(&mut batch.messages, empty);
        let provenance = std::mem::take(&mut batch.provenance);
        let node = self.node_index(source);
        self.counts.nodes[source.index()].add_in(messages.len());
        self.counts.nodes[source.index()].add_out(messages.len());
        let head = Head::unkeyed(provenance, self.control.clock.now(), Some(source));
        if let Some(port) = self.nodes[node].ports[0] {
            self.start(port, messages, head);
        }
    }

    fn start(&mut self, port: usize, messages: Box<dyn Messages>, head: Head) {
        debug_assert!(self.stack.is_empty(), "one head at a time");
        self.head = Some(head);
        self.stack.push(Frame::new(port, messages, None));
    }

    /// The bytes that what a source has read counts for: what its reader says, or an estimate.
    pub(crate) fn bytes_read(&self, source: NodeId, batch: &SourceBatch) -> usize {
        let messages = batch.messages.as_ref();
        let known = messages.memory_bytes();
        if batch.bytes > known {
            return batch.bytes;
        }
        let port = Port {
            node: source,
            output: 0,
        };
        let sizer = self.program.sizers.get(&port);
        sizer.map_or(known, |sizer| sizer(messages).max(known))
    }

    /// A used buffer for messages of a source: its last one, or one that came back along the edge on which its
    /// messages leave.
    pub(crate) fn recycled(&mut self, source: NodeId) -> Option<Box<dyn Messages>> {
        if let Some((_, messages)) = self.spent_source.take_if(|(of, _)| *of == source) {
            return Some(messages);
        }
        let port = self.nodes[self.node_index(source)].ports[0]?;
        self.fresh(port)
    }

    /// A used buffer for messages of an output, where some have come back.
    fn fresh(&mut self, port: usize) -> Option<Box<dyn Messages>> {
        if let Some(messages) = self.ports[port].free.pop() {
            return Some(messages);
        }
        match *self.ports[port].consumers.last()? {
            Consumer::Edge(edge) => self.outbox.fresh(edge),
            Consumer::Take(node) => {
                let node = self.node_index(node);
                let port = match self.nodes[node].code {
                    Instance::Key(_) => self.nodes[node].ports[0]?,
                    _ => return None,
                };
                self.fresh(port)
            }
            Consumer::Look(_) => None,
        }
    }

    /// Whether a head is being worked on.
    pub(crate) fn is_busy(&self) -> bool {
        !self.stack.is_empty()
    }

    /// Works on the head until it is done or the region must wait.
    ///
    /// # Errors
    /// When user code fails under the policy `Fail`, or a state object cannot be brought back.
    pub(crate) fn run(&mut self) -> Result<Progress, Failure> {
        self.loaded_in_turn = 0;
        while !self.stack.is_empty() {
            if self.control.must_wait(self.level, self.epoch) {
                return Ok(Progress::Waiting);
            }
            self.step()?;
            if std::mem::take(&mut self.yields) {
                self.outbox.flush();
                return Ok(Progress::Loading);
            }
        }
        if let Some(mut head) = self.head.take() {
            let spent = self.outbox.spent_head.take();
            match (head.shell.take(), head.source) {
                (Some((mut shell, pool)), _) => {
                    shell.hashes = head.hashes;
                    shell.provenance = head.provenance;
                    if let Some(messages) = spent {
                        shell.messages = messages;
                        pool.give(shell);
                    }
                }
                // Sources of one region may have messages of different types.
                (None, Some(source)) => {
                    self.spent_source = spent.map(|messages| (source, messages));
                }
                (None, None) => {}
            }
        }
        self.show_sizes();
        Ok(Progress::Done)
    }

    /// Lets the next consumer of the top frame work.
    fn step(&mut self) -> Result<(), Failure> {
        let depth = self.stack.len() - 1;
        let frame = &mut self.stack[depth];
        let PortState {
            consumers, turns, ..
        } = &self.ports[frame.port];
        let len = frame.len();
        if frame.consumer == consumers.len() && *turns == Turns::Messages && frame.start + 1 < len {
            frame.start += 1;
            frame.cursor = frame.start;
            frame.consumer = 0;
        }
        if len == 0 || frame.consumer == consumers.len() {
            return self.retire_top();
        }
        if *turns == Turns::Frames && len > 1 {
            return self.break_up(depth, 1);
        }
        match consumers[frame.consumer] {
            Consumer::Look(node) => self.look(self.node_index(node), depth),
            Consumer::Take(node) => self.take(self.node_index(node), depth),
            Consumer::Edge(edge) => {
                let messages = self.take_messages(depth)?;
                self.stack[depth].consumer += 1;
                self.send(edge, depth, messages)
            }
        }
    }

    fn retire_top(&mut self) -> Result<(), Failure> {
        let Some(frame) = self.stack.pop() else {
            return Ok(());
        };
        if let Some(mut origin) = frame.origin
            && self.spare_origins.len() < 4
        {
            origin.clear();
            self.spare_origins.push(origin);
        }
        if let Some(mut messages) = frame.messages {
            self.drop_of(self.ports[frame.port].node, || messages.clear())?;
            if self.stack.is_empty() {
                self.outbox.spent_head = Some(messages);
            } else if self.ports[frame.port].free.len() < 4 {
                self.ports[frame.port].free.push(messages);
            }
        }
        Ok(())
    }

    /// Drops messages of a node; their types are the user's.
    fn drop_of(&self, node: NodeId, drop: impl FnOnce()) -> Result<(), Failure> {
        Act::Dropped.on(|| Owner::node(&self.program.plan, node), drop)
    }

    /// Calls a stage that looks at the messages of frame `depth`.
    fn look(&mut self, node: usize, depth: usize) -> Result<(), Failure> {
        let frame = &self.stack[depth];
        let end = match self.ports[frame.port].turns {
            Turns::Batches | Turns::Frames => frame.len(),
            Turns::Messages => frame.start + 1,
        };
        let range = frame.cursor..end.min(frame.cursor + self.nodes[node].portion);
        self.enter(node, depth, range.start, range.len());
        let called = match self.nodes[node].code {
            Instance::State { .. } => self.call_state(node, depth, range.clone()),
            _ => Ok(self.call_stage(node, depth, range.clone())),
        };
        self.control.watch.leave(self.outbox.me());
        let called = called?;
        let state = &mut self.nodes[node];
        let reached = match &called {
            Ok(reached) => *reached,
            Err(failed) => failed.index + 1,
        };
        let used = reached - range.start;
        state.portion = if reached < range.end {
            used.max(1)
        } else {
            (state.portion * 2).min(BATCH_MESSAGES)
        };
        self.counts.nodes[state.id.index()].add_in(used);
        let frame = &mut self.stack[depth];
        frame.cursor = reached;
        if reached >= end {
            frame.consumer += 1;
            frame.cursor = frame.start;
        }
        let failed = called.err();
        if let Some(failed) = &failed {
            self.drop_outputs_of(node, failed.index)?;
        }
        let dead_letter = failed
            .map(|failed| self.handle(node, depth, failed))
            .transpose()?;
        self.push_outputs(node, depth)?;
        if let Some(Some((port, letter))) = dead_letter {
            self.stack.push(letter.into_frame(port));
        }
        Ok(())
    }

    /// Says that a function is going to be called, for messages of frame `depth` from `first` on.
    fn enter(&self, node: usize, depth: usize, first: usize, messages: usize) {
        let head = self.head.as_ref();
        let index = self.stack[depth].head_index(first);
        let origin = head.map(|head| head.provenance.get(index));
        let (me, id) = (self.outbox.me(), self.nodes[node].id);
        self.control
            .watch
            .enter(me, id, origin.unwrap_or_default(), messages);
    }

    fn call_stage(
        &mut self,
        node: usize,
        depth: usize,
        range: std::ops::Range<usize>,
    ) -> Result<usize, Failed> {
        let frame = &self.stack[depth];
        let Some(messages) = frame.messages.as_deref() else {
            return Ok(range.end);
        };
        let now = self.head.as_ref().map(|head| head.now).unwrap_or_default();
        let progress = Cell::new(range.start);
        let NodeState {
            code: Instance::Stage(code),
            outputs,
            ..
        } = &mut self.nodes[node]
        else {
            unreachable!("only stages look at messages")
        };
        guarded(&progress, || {
            code.data(
                Input {
                    messages,
                    range,
                    now,
                    progress: &progress,
                },
                outputs,
            )
        })
    }

    /// Makes a frame of each output that has messages, and an empty output again.
    fn push_outputs(&mut self, node: usize, depth: usize) -> Result<(), Failure> {
        let mut made = 0;
        for index in 0..self.nodes[node].ports.len() {
            let output = &mut self.nodes[node].outputs.ports[index];
            let Some(mut messages) = output.messages.take_if(|messages| !messages.is_empty())
            else {
                continue;
            };
            let spare = self.spare_origins.pop().unwrap_or_default();
            let mut origin = std::mem::replace(&mut output.origin, spare);
            made += messages.len();
            let Some(port) = self.nodes[node].ports[index] else {
                self.drop_of(self.nodes[node].id, || messages.clear())?;
                origin.clear();
                self.nodes[node].outputs.ports[index] = Output {
                    messages: Some(messages),
                    origin,
                };
                continue;
            };
            let fresh = self.fresh(port).unwrap_or_else(|| messages.empty());
            self.nodes[node].outputs.ports[index].messages = Some(fresh);
            if let Some(parent) = &self.stack[depth].origin {
                origin
                    .iter_mut()
                    .for_each(|index| *index = parent[*index as usize]);
            }
            self.stack.push(Frame::new(port, messages, Some(origin)));
        }
        self.counts.nodes[self.nodes[node].id.index()].add_out(made);
        Ok(())
    }

    /// The messages of frame `depth`: a copy when another consumer comes after this one.
    fn take_messages(&mut self, depth: usize) -> Result<Box<dyn Messages>, Failure> {
        let frame = &mut self.stack[depth];
        let port = &self.ports[frame.port];
        let is_last = frame.consumer + 1 == port.consumers.len();
        let messages = if is_last {
            frame.messages.take()
        } else {
            let copier = port
                .copier
                .expect("an output with several takers can be copied");
            let owner = || Owner::node(&self.program.plan, port.node);
            let copy = |messages| Act::Copied.on(owner, || copier(messages));
            frame.messages.as_deref().map(copy).transpose()?
        };
        Ok(messages.expect("a frame keeps its messages until its last consumer"))
    }

    fn node_index(&self, id: NodeId) -> usize {
        self.nodes
            .iter()
            .position(|node| node.id == id)
            .expect("the node is in this region")
    }
}

/// Lets user code run; a panic becomes a failure of the message that was being handled.
fn guarded<R>(
    progress: &Cell<usize>,
    call: impl FnOnce() -> Result<R, Failed>,
) -> Result<R, Failed> {
    caught(call).unwrap_or_else(|text| {
        Err(Failed {
            index: progress.get(),
            cause: Cause::Panic(text),
        })
    })
}

fn sorted(mut consumers: Vec<Consumer>) -> Vec<Consumer> {
    consumers.sort_by_key(|consumer| matches!(consumer, Consumer::Take(_)));
    consumers
}
