//! Messages on their way out of a region.
//!
//! For each edge the outbox finds the worker each message goes to, gathers messages for the same worker until
//! a batch is full or the region rests, and puts batches into `ready`, from where the operator sends them.
//!
//! **Invariants.** Messages for one worker along one edge keep their order. A batch counts as queued from the moment it is
//! in `ready`.

use std::sync::Arc;

use wallaroo_core::{KeyGroupCount, KeyHash, Messages, Provenance};
use wallaroo_state::Assignment;

use super::{BATCH_MESSAGES, Executor};
use crate::batch::{Batch, Contents, Pool};
use crate::control::Control;
use crate::failure::Failure;
use crate::layout::{EdgeIndex, Layout, RegionIndex, Route, SinkNumbers};
use crate::program::{Program, Sizer};

/// Who owns what.
#[derive(Clone, Debug)]
pub(crate) struct Owners {
    pub(crate) groups: KeyGroupCount,
    pub(crate) assignment: Arc<Assignment>,
    pub(crate) workers: usize,
    pub(crate) me: usize,
}

impl Owners {
    /// The worker that owns a sink: sinks are spread over the workers in the order of their nodes.
    pub(crate) fn of_sink(&self, sink: usize) -> usize {
        sink % self.workers
    }
}

/// One way out.
struct Way {
    route: Route,
    /// Level of the region it leads to.
    level: usize,
    /// Estimates the bytes of the messages, where their type does not say it.
    sizer: Option<Sizer>,
    is_sink: bool,
    sink_owner: usize,
    /// Whether stages beyond it need the keys written out.
    wants_keys: bool,
    pool: Pool,
    /// For each worker what is being gathered for it.
    gathered: Vec<Option<Box<Contents>>>,
}

/// The ways out of one region on one worker.
pub(crate) struct Outbox {
    owners: Owners,
    control: Arc<Control>,
    /// By edge; only those of the region are there.
    ways: Vec<Option<Way>>,
    /// Batches to send, with their edge.
    pub(crate) ready: Vec<(EdgeIndex, Batch)>,
    pub(super) spent_head: Option<Box<dyn Messages>>,
    /// Whether messages are gathered also where all go to one worker: the region makes small frames.
    pub(super) gathers_always: bool,
    /// Contents whose messages are in use elsewhere.
    #[expect(
        clippy::vec_box,
        reason = "they come and go in boxes; unboxing would copy them twice"
    )]
    shells: Vec<Box<Contents>>,
    destinations: Vec<u16>,
    /// By worker: the messages that go there.
    chosen: Vec<Vec<u32>>,
}

impl Outbox {
    pub(crate) fn new(
        program: &Program,
        layout: &Layout,
        region: RegionIndex,
        sinks: &SinkNumbers,
        pools: &[Pool],
        owners: &Owners,
        control: &Arc<Control>,
    ) -> Self {
        let way = |index: EdgeIndex| {
            let edge = &layout.edges[index];
            (edge.source == region).then(|| Way {
                route: edge.route,
                level: layout.regions[edge.target].level,
                sizer: program.sizers.get(&edge.from).copied(),
                is_sink: sinks.is_sink(edge.consumers[0]),
                sink_owner: match edge.route {
                    Route::Sink(sink) => owners.of_sink(sinks.number(sink)),
                    Route::Local | Route::Keyed(_) => 0,
                },
                wants_keys: edge.route == Route::Local && !sinks.is_sink(edge.consumers[0]),
                pool: pools[index].clone(),
                gathered: (0..owners.workers).map(|_| None).collect(),
            })
        };
        Outbox {
            owners: owners.clone(),
            control: Arc::clone(control),
            ways: (0..layout.edges.len()).map(way).collect(),
            ready: Vec::new(),
            spent_head: None,
            gathers_always: false,
            shells: Vec::new(),
            destinations: Vec::new(),
            chosen: (0..owners.workers).map(|_| Vec::new()).collect(),
        }
    }

    /// The worker whose outbox it is.
    pub(super) fn me(&self) -> usize {
        self.owners.me
    }

    pub(super) fn workers(&self) -> usize {
        self.owners.workers
    }

    pub(super) fn groups(&self) -> KeyGroupCount {
        self.owners.groups
    }

    /// A buffer that came back along an edge.
    pub(super) fn fresh(&mut self, edge: EdgeIndex) -> Option<Box<dyn Messages>> {
        let mut contents = self.way(edge).pool.take()?;
        let messages = std::mem::replace(&mut contents.messages, Box::new(Vec::<()>::new()));
        self.shells.push(contents);
        Some(messages)
    }

    /// An empty list of hashes, in memory that has been used before if there is any.
    pub(super) fn spare_hashes(&mut self) -> Vec<KeyHash> {
        let shell = self.shells.last_mut();
        shell
            .map(|contents| std::mem::take(&mut contents.hashes))
            .unwrap_or_default()
    }

    /// Contents around messages, in memory that has been used before if there is any.
    fn wrap(&mut self, messages: Box<dyn Messages>) -> Box<Contents> {
        match self.shells.pop() {
            Some(mut contents) => {
                contents.messages = messages;
                contents
            }
            None => Box::new(Contents::new(messages)),
        }
    }

    fn way(&self, edge: EdgeIndex) -> &Way {
        self.ways[edge]
            .as_ref()
            .expect("the edge begins in this region")
    }

    fn way_mut(&mut self, edge: EdgeIndex) -> &mut Way {
        self.ways[edge]
            .as_mut()
            .expect("the edge begins in this region")
    }

    /// Sends all messages to one worker, without gathering.
    fn send_whole(&mut self, edge: EdgeIndex, destination: usize, mut contents: Box<Contents>) {
        let way = self.way(edge);
        let messages = contents.messages.as_ref();
        let sized = way.sizer.map_or(0, |sizer| sizer(messages));
        contents.bytes = sized.max(messages.memory_bytes());
        self.control.queue(way.level, contents.bytes);
        self.ready.push((
            edge,
            Batch {
                contents: Some(contents),
                destination,
            },
        ));
    }

    /// The worker all messages of an edge go to.
    fn destination(&self, edge: EdgeIndex) -> usize {
        let way = self.way(edge);
        match way.route {
            Route::Sink(_) => way.sink_owner,
            Route::Local | Route::Keyed(_) => self.owners.me,
        }
    }

    /// Spreads messages over the owners of their keys.
    fn send_by_key(
        &mut self,
        edge: EdgeIndex,
        mut messages: Box<dyn Messages>,
        hashes: &[KeyHash],
        provenance: &Provenance,
        origin: Option<&[u32]>,
    ) {
        let Outbox {
            owners,
            ways,
            destinations,
            chosen,
            shells,
            ..
        } = self;
        let owner = |hash: &KeyHash| owners.assignment.owner(owners.groups.group_of(*hash)).0;
        destinations.clear();
        destinations.extend(hashes.iter().map(|hash| owner(hash) as u16));
        choose(destinations, chosen);
        let way = ways[edge].as_mut().expect("the edge begins in this region");
        let mut targets: Vec<Box<dyn Messages>> = Vec::with_capacity(owners.workers);
        for (gathered, chosen) in way.gathered.iter_mut().zip(chosen.iter_mut()) {
            let contents = gathered.get_or_insert_with(|| {
                way.pool
                    .take()
                    .unwrap_or_else(|| Box::new(Contents::new(messages.empty())))
            });
            contents
                .hashes
                .extend(chosen.iter().map(|index| hashes[*index as usize]));
            if let Some(origin) = origin {
                chosen
                    .iter_mut()
                    .for_each(|index| *index = origin[*index as usize]);
            }
            contents.provenance.extend_selected(provenance, chosen);
            targets.push(std::mem::replace(
                &mut contents.messages,
                Box::new(Vec::<()>::new()),
            ));
        }
        let bytes = messages.memory_bytes();
        messages.scatter(destinations, &mut targets);
        for (gathered, target) in way.gathered.iter_mut().zip(targets) {
            if let Some(contents) = gathered {
                contents.messages = target;
            }
        }
        let mut spent = shells
            .pop()
            .unwrap_or_else(|| Box::new(Contents::new(Box::new(Vec::<()>::new()))));
        spent.messages = messages;
        spent.bytes = bytes;
        way.pool.give(spent);
        for worker in 0..self.owners.workers {
            let full = self.way(edge).gathered[worker]
                .as_ref()
                .is_some_and(|contents| contents.messages.len() >= BATCH_MESSAGES);
            if full {
                self.release(edge, worker);
            }
        }
    }

    /// Adds the messages of `contents` to those that are being gathered for one worker.
    fn gather(&mut self, edge: EdgeIndex, destination: usize, mut contents: Box<Contents>) {
        let Outbox {
            ways, destinations, ..
        } = self;
        let way = ways[edge].as_mut().expect("the edge begins in this region");
        let added = contents.messages.len();
        let Some(gathered) = &mut way.gathered[destination] else {
            way.gathered[destination] = Some(contents);
            if added >= BATCH_MESSAGES {
                self.release(edge, destination);
            }
            return;
        };
        let known = gathered.messages.len();
        // Hashes that are missing are found again.
        if gathered.hashes.len() == known && contents.hashes.len() == added {
            gathered.hashes.append(&mut contents.hashes);
        } else {
            gathered.hashes.clear();
        }
        gathered.keys.append(&mut contents.keys);
        let indices: Vec<u32> = (0u32..).take(contents.provenance.len()).collect();
        gathered
            .provenance
            .extend_selected(&contents.provenance, &indices);
        destinations.clear();
        destinations.resize(added, 0);
        let empty: Box<dyn Messages> = Box::new(Vec::<()>::new());
        let mut target = [std::mem::replace(&mut gathered.messages, empty)];
        contents.bytes = contents.messages.memory_bytes();
        contents.messages.scatter(destinations, &mut target);
        let [target] = target;
        gathered.messages = target;
        way.pool.give(contents);
        if known + added >= BATCH_MESSAGES {
            self.release(edge, destination);
        }
    }

    fn release(&mut self, edge: EdgeIndex, worker: usize) {
        if let Some(contents) = self.way_mut(edge).gathered[worker].take() {
            if contents.messages.is_empty() {
                self.way_mut(edge).gathered[worker] = Some(contents);
            } else {
                self.send_whole(edge, worker, contents);
            }
        }
    }

    /// Sends what has been gathered: the region is about to rest, or time to move on.
    pub(crate) fn flush(&mut self) {
        if self.owners.workers == 1 && !self.gathers_always {
            return;
        }
        for edge in 0..self.ways.len() {
            if self.ways[edge].is_some() {
                (0..self.owners.workers).for_each(|worker| self.release(edge, worker));
            }
        }
    }
}

/// Up to how many workers it is faster to go through all messages once for each of them than to take turns.
// A turn waits for the length that the last one has written: 5 cycles; a message passed over takes about one.
const PASSES: usize = 4;

/// The messages of each worker, in ascending order.
fn choose(destinations: &[u16], chosen: &mut [Vec<u32>]) {
    if chosen.len() > PASSES {
        chosen.iter_mut().for_each(Vec::clear);
        for (index, destination) in (0u32..).zip(destinations) {
            chosen[usize::from(*destination)].push(index);
        }
        return;
    }
    for (worker, chosen) in (0u16..).zip(chosen) {
        chosen.resize(destinations.len(), 0);
        let mut count = 0;
        for (index, destination) in (0u32..).zip(destinations) {
            // Written in any case and counted if it was right: there is nothing to guess for the processor.
            chosen[count] = index;
            count += usize::from(*destination == worker);
        }
        chosen.truncate(count);
    }
}

impl Executor {
    /// Puts the messages of frame `depth`, taken out of it, on an edge.
    pub(super) fn send(
        &mut self,
        edge: EdgeIndex,
        depth: usize,
        messages: Box<dyn Messages>,
    ) -> Result<(), Failure> {
        let keys = if self.outbox.way(edge).wants_keys {
            self.keys_of_frame(depth, messages.as_ref())
        } else {
            Vec::new()
        };
        // With one worker a second edge of the same `key_by` goes without: hashes are found again where they
        // are missing.
        let is_keyed = matches!(self.outbox.way(edge).route, Route::Keyed(_));
        let hashes = if is_keyed {
            std::mem::take(&mut self.stack[depth].hashes)
        } else {
            Vec::new()
        };
        let frame = &self.stack[depth];
        let origin = frame.origin.as_deref();
        let head = self.head.as_ref().expect("a frame has a head");
        if is_keyed && self.outbox.workers() > 1 {
            self.outbox
                .send_by_key(edge, messages, &hashes, &head.provenance, origin);
            self.stack[depth].hashes = hashes;
            return Ok(());
        }
        let is_sink = self.outbox.way(edge).is_sink;
        let mut contents = self.outbox.wrap(messages);
        contents.keys = keys;
        contents.hashes = hashes;
        // Encoding is behind the messages of a sink; nothing there refers to single messages.
        if !is_sink {
            match origin {
                None => contents.provenance.clone_from(&head.provenance),
                Some(origin) => contents
                    .provenance
                    .extend_selected(&head.provenance, origin),
            }
        }
        let destination = self.outbox.destination(edge);
        if self.outbox.gathers_always {
            self.outbox.gather(edge, destination, contents);
        } else {
            self.outbox.send_whole(edge, destination, contents);
        }
        Ok(())
    }
}
