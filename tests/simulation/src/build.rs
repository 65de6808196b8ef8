//! Builds the application behind a topology.
//!
//! **Invariants.** Stages are named by their node, so that dead letters and errors can be attributed.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use wallaroo::{App, Context, DeadLetter, Encoded, OnError, Pipeline, State, Stream, source};

use crate::case::Case;
use crate::durable::disk::Disk;
use crate::durable::senders::World;
use crate::input::{Asked, Death, Failure, Item, Records};
use crate::model::{extractor_panics, fails, forgets, is_yes, key_of, keyed, made, panics};
use crate::observe::{Call, History, Json, Kept, KeptRows, Notes};
use crate::topology::{Failing, KeyKind, Makes, Node};

/// Messages by node, as sinks fill them.
pub type Shared<M> = BTreeMap<usize, Arc<Mutex<Vec<M>>>>;

/// An application, and where to look at it.
#[derive(Debug)]
pub struct Built {
    /// The application.
    pub app: App,
    /// What the sinks got.
    pub sinks: Shared<Item>,
    /// What the dead-letter sinks got.
    pub dead: Shared<DeadLetter>,
    /// What the stages with state were called for.
    pub notes: Notes,
}

/// The name of a state.
#[must_use]
pub fn state_name(state: usize) -> String {
    format!("state{state}")
}

/// The name of a node.
#[must_use]
pub fn node_name(node: usize) -> String {
    format!("n{node}")
}

/// The name of the dead-letter sink of a node.
#[must_use]
pub fn dead_name(node: usize) -> String {
    format!("{} (dead)", node_name(node))
}

struct Builder<'a> {
    case: &'a Case,
    /// What each node's consumers have still to take.
    streams: Vec<Option<Stream<Item>>>,
    left: Vec<usize>,
    built: Built,
    requests: Arc<Mutex<Option<Sender<Asked>>>>,
    outside: Option<&'a Outside>,
}

/// Builds the application of a case. Sources send their requests to `requests`.
///
/// # Panics
/// When the topology is not valid.
#[must_use]
pub fn build(case: &Case, requests: Arc<Mutex<Option<Sender<Asked>>>>) -> Built {
    build_in(case, requests, None)
}

/// As [`build`], with sinks and sources in an outside world, if there is one.
///
/// # Panics
/// When the topology is not valid.
#[must_use]
pub fn build_in(
    case: &Case,
    requests: Arc<Mutex<Option<Sender<Asked>>>>,
    outside: Option<&Outside>,
) -> Built {
    let nodes = &case.topology.nodes;
    let mut left = vec![0; nodes.len()];
    for input in nodes.iter().flat_map(Node::inputs) {
        left[input] += 1;
    }
    let mut builder = Builder {
        case,
        streams: (0..nodes.len()).map(|_| None).collect(),
        left,
        built: Built {
            app: App::new("case"),
            sinks: Shared::new(),
            dead: Shared::new(),
            notes: Notes::default(),
        },
        requests,
        outside,
    };
    let mut pipelines = Vec::new();
    for node in 0..nodes.len() {
        builder.add(node, &mut pipelines);
    }
    let mut built = builder.built;
    for pipeline in pipelines {
        built.app = built.app.add(pipeline);
    }
    built
}

/// What lies outside of a process that can die.
#[derive(Clone, Debug)]
pub struct Outside {
    /// Where sinks write to.
    pub disk: Disk,
    /// Who sends to sources with an input log.
    pub senders: World,
    /// Whether the process is dead.
    pub death: Death,
    /// Whether a source fails.
    pub failure: Failure,
}

impl Builder<'_> {
    /// The stream of a node, for one of its consumers.
    fn stream(&mut self, node: usize) -> Stream<Item> {
        self.left[node] -= 1;
        let slot = &mut self.streams[node];
        let stream = if self.left[node] == 0 {
            slot.take()
        } else {
            slot.clone()
        };
        stream.expect("nodes stand after their inputs")
    }

    fn kept<M>(
        into: &mut Shared<M>,
        outside: Option<&Outside>,
        name: &str,
        node: usize,
        slow: bool,
    ) -> Kept<M> {
        let kept = Arc::default();
        into.insert(node, Arc::clone(&kept));
        let file = outside.map(|outside| outside.disk.file(name));
        Kept { kept, slow, file }
    }

    fn with_policy(&mut self, node: usize, failing: Failing, stream: Stream<Item>) -> Stream<Item> {
        match failing {
            Failing::Never => stream,
            Failing::Skip => stream.on_error(OnError::Skip),
            Failing::DeadLetter { encoded } => {
                let name = dead_name(node);
                let kept = Self::kept(&mut self.built.dead, self.outside, &name, node, false);
                if encoded {
                    stream.dead_letter(name, Encoded::new(KeptRows(kept), Json))
                } else {
                    stream.dead_letter(name, kept)
                }
            }
        }
    }

    fn add(&mut self, node: usize, pipelines: &mut Vec<Pipeline>) {
        let stream = match self.case.topology.nodes[node].clone() {
            Node::Source { failing, .. } => {
                let logged = self.outside.filter(|_| self.case.logged.contains(&node));
                if let Some(outside) = logged {
                    let (records, requests) = (&self.case.records[&node], &self.requests);
                    let senders = &outside.senders;
                    let senders = senders.source(node, records.clone(), Arc::clone(requests));
                    let stream = source(node_name(node), senders);
                    self.streams[node] = Some(self.with_policy(node, failing, stream));
                    return;
                }
                let records = Records {
                    death: self.outside.map(|outside| outside.death.clone()),
                    failure: self.outside.map(|outside| outside.failure.clone()),
                    partitions: self.case.records[&node].clone(),
                    requests: Arc::clone(&self.requests),
                };
                let stream = source(node_name(node), records);
                self.with_policy(node, failing, stream)
            }
            Node::Stage {
                input,
                makes,
                failing,
            } => {
                let stream = self.stream(input).to(move |item: &Item| {
                    if fails(node, failing, item) {
                        return fail(node, item);
                    }
                    Ok(made(node, makes, item))
                });
                self.with_policy(node, failing, stream.named(node_name(node)))
            }
            Node::KeyBy {
                input,
                kind,
                keys,
                failing,
            } => {
                let stream = self
                    .stream(input)
                    .to(move |item: &Item| Some(keyed(node, kind, keys, item)));
                let stream = key_by(node, kind, failing, stream);
                if failing {
                    stream.on_error(OnError::Skip)
                } else {
                    stream
                }
            }
            Node::State { input, .. } => {
                let stream = self.stream(input);
                self.add_state(node, stream)
            }
            Node::Merge {
                inputs: [one, other],
            } => {
                let (one, other) = (self.stream(one), self.stream(other));
                one.merge(other)
            }
            // Both halves come from one split, made with the first.
            Node::Half { yes: false, .. } => return,
            Node::Half { input, yes: true } => {
                self.left[input] -= 1;
                let (yes, no) = self.stream(input).split(move |item| is_yes(input, item));
                self.streams[node + 1] = Some(no);
                yes
            }
            Node::Sink {
                input,
                encoded,
                slow,
            } => {
                let stream = self.stream(input);
                let name = node_name(node);
                let kept = Self::kept(&mut self.built.sinks, self.outside, &name, node, slow);
                pipelines.push(if encoded {
                    stream.to_sink(name, Encoded::new(KeptRows(kept), Json))
                } else {
                    stream.to_sink(name, kept)
                });
                return;
            }
            Node::End { input } => {
                pipelines.push(self.stream(input).end());
                return;
            }
        };
        self.streams[node] = Some(stream);
    }

    fn add_state(&mut self, node: usize, stream: Stream<Item>) -> Stream<Item> {
        let Node::State {
            state,
            makes,
            failing,
            forgets: may_forget,
            kind,
            ..
        } = self.case.topology.nodes[node].clone()
        else {
            unreachable!("called for stages with state")
        };
        let notes = self.built.notes.clone();
        let mut objects = State::<History>::new(state_name(state));
        if self.case.seed.is_multiple_of(2) {
            objects = objects.restore_by_clone();
        }
        let call = move |history: &mut History, item: &Item| {
            let call = Call {
                state,
                node,
                key: kind.unwrap_or(KeyKind::One).text(key_of(item)),
                item: item.clone(),
                before: *history,
            };
            // An unkeyed stream has one object, whatever scopes its messages had noted.
            let key = if kind.is_some() { key_of(item) } else { 0 };
            notes.during(call, key, || history.add(item));
            history.count
        };
        let stream = if may_forget || makes == Makes::Two {
            stream.to_state_with(
                &objects,
                move |history: &mut History, item: &Item, context: &mut Context<'_, Item>| {
                    let expected = kind.unwrap_or(KeyKind::One).text(key_of(item));
                    assert_eq!(context.key().to_string(), expected);
                    let count = call(history, item);
                    let mut items = counted(made(node, makes, item), count);
                    // Of two messages the first is emitted, also when the call fails after that.
                    if items.len() == 2 {
                        context.emit(items.remove(0));
                    }
                    if may_forget && forgets(node, item) {
                        context.forget();
                    }
                    if fails(node, failing, item) {
                        return fail(node, item);
                    }
                    Ok(items)
                },
            )
        } else {
            stream.to_state(&objects, move |history: &mut History, item: &Item| {
                let count = call(history, item);
                if fails(node, failing, item) {
                    return fail(node, item);
                }
                Ok(counted(made(node, makes, item), count))
            })
        };
        self.with_policy(node, failing, stream.named(node_name(node)))
    }
}

fn counted(mut items: Vec<Item>, count: u64) -> Vec<Item> {
    items.iter_mut().for_each(|item| item.counts.push(count));
    items
}

/// What a call fails with: an error or a panic.
fn fail(node: usize, item: &Item) -> Result<Vec<Item>, String> {
    assert!(!panics(node, item), "expected");
    Err("expected".to_owned())
}

fn key_by(node: usize, kind: KeyKind, failing: bool, stream: Stream<Item>) -> Stream<Item> {
    let key = move |item: &Item| {
        assert!(!(failing && extractor_panics(node, item)), "expected");
        key_of(item)
    };
    match kind {
        KeyKind::Integer => stream.key_by_value(key),
        KeyKind::Text => stream.key_by_value(move |item| format!("k{}", key(item))),
        KeyKind::Tuple => stream.key_by_value(move |item| (key(item), "t".to_owned())),
        KeyKind::One => stream.collect(),
    }
}
