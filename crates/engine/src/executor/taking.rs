//! Nodes that take messages away instead of looking at them: `split`, `key_by` and `collect`.
//!
//! Where the ways of a split's halves meet again, each run of messages that go the same way becomes a frame of
//! its own, and the frames are worked off in the order of the messages. Where the ways of several consumers of
//! one output meet again and one of them takes messages away, each message becomes a frame.
//!
//! **Invariants.** Messages keep their order on each output. A message for which the user's code fails is on no
//! output, and its place in every column is gone too.

use std::cell::Cell;
use std::ops::Range;

use wallaroo_core::{KeyHash, Messages};

use super::{Executor, Frame, Instance, NodeState, guarded};
use crate::failure::Failure;
use crate::host::{Failed, Input, Keyed};

/// A frame with more messages than this is divided before it is divided further, so that parts can be numbered.
// Twice a full batch: only a stage that makes thousands of messages of one gets there.
const MAX_PARTS: usize = 4096;

/// The choice that stands for a message whose call has failed.
const DROPPED: u16 = u16::MAX;

/// Messages with their columns.
struct Part {
    messages: Box<dyn Messages>,
    /// As in [`Frame`].
    origin: Option<Vec<u32>>,
    hashes: Vec<KeyHash>,
}

impl Part {
    /// Divides messages into `count` parts, each with the messages of one destination in their order.
    fn divide(mut self, destinations: &[u16], count: usize) -> Vec<Part> {
        let mut targets: Vec<_> = (0..count).map(|_| self.messages.empty()).collect();
        self.messages.scatter(destinations, &mut targets);
        let part = |messages| Part {
            messages,
            origin: Some(Vec::new()),
            hashes: Vec::new(),
        };
        let mut parts: Vec<Part> = targets.into_iter().map(part).collect();
        for (index, destination) in destinations.iter().enumerate() {
            let part = &mut parts[usize::from(*destination)];
            let from = self
                .origin
                .as_ref()
                .map_or_else(|| index_of(index), |origin| origin[index]);
            part.origin.get_or_insert_default().push(from);
            part.hashes.extend(self.hashes.get(index));
        }
        parts
    }

    fn into_frame(self, port: usize) -> Frame {
        Frame {
            hashes: self.hashes,
            ..Frame::new(port, self.messages, self.origin)
        }
    }
}

impl Executor {
    /// Lets a `split`, `key_by` or `collect` take the messages of frame `depth`.
    pub(super) fn take(&mut self, node: usize, depth: usize) -> Result<(), Failure> {
        let len = self.stack[depth].len();
        if let Instance::Split { meet, .. } = self.nodes[node].code {
            if meet && len > MAX_PARTS {
                return self.break_up(depth, MAX_PARTS);
            }
            if depth == 0 {
                self.store_keys_of_head();
            }
        }
        let mut choices = Vec::new();
        let mut hashes = self.outbox.spare_hashes();
        let mut dead = Vec::new();
        let mut dropped = Vec::new();
        loop {
            let start = choices.len().max(hashes.len());
            if start < len {
                self.enter(node, depth, start, len - start);
            }
            let called = self.choose(node, depth, start..len, &mut choices, &mut hashes);
            if start < len {
                self.control.watch.leave(self.outbox.me());
            }
            let Err(failed) = called else { break };
            dropped.push(failed.index);
            choices.truncate(failed.index);
            hashes.truncate(failed.index);
            choices.push(DROPPED);
            hashes.push(KeyHash(0));
            dead.extend(self.handle(node, depth, failed)?);
        }
        let mut part = Part {
            messages: self.take_messages(depth)?,
            origin: self.stack[depth].origin.clone(),
            hashes: Vec::new(),
        };
        self.stack[depth].consumer += 1;
        self.counts.nodes[self.nodes[node].id.index()].add_in(len);
        self.counts.nodes[self.nodes[node].id.index()].add_out(len - dropped.len());
        if matches!(self.nodes[node].code, Instance::Split { .. }) {
            self.push_halves(node, part, choices)?;
        } else if let Some(port) = self.nodes[node].ports[0] {
            part.hashes = hashes;
            if !dropped.is_empty() {
                let mut destinations = vec![0; len];
                dropped.iter().for_each(|index| destinations[*index] = 1);
                let mut parts = part.divide(&destinations, 2);
                part = parts.swap_remove(0);
                self.drop_of(self.ports[self.stack[depth].port].node, || drop(parts))?;
            }
            self.stack.push(part.into_frame(port));
        }
        // The last frame is the first to be worked on.
        for (port, letter) in dead.into_iter().rev() {
            self.stack.push(letter.into_frame(port));
        }
        Ok(())
    }

    fn choose(
        &mut self,
        node: usize,
        depth: usize,
        range: Range<usize>,
        choices: &mut Vec<u16>,
        hashes: &mut Vec<KeyHash>,
    ) -> Result<(), Failed> {
        let Some(messages) = self.stack[depth].messages.as_deref() else {
            return Ok(());
        };
        let progress = Cell::new(range.start);
        let now = self.head.as_ref().map(|head| head.now).unwrap_or_default();
        match &mut self.nodes[node].code {
            Instance::Split { code, .. } => guarded(&progress, || {
                code.choose(
                    Input {
                        messages,
                        range,
                        now,
                        progress: &progress,
                    },
                    choices,
                )
            }),
            // Hashes are found again where they are missing.
            Instance::Key(code) if code.is_costly() && self.outbox.workers() == 1 => Ok(()),
            Instance::Key(code) => guarded(&progress, || {
                code.hash(
                    Keyed {
                        messages,
                        origin: None,
                        range,
                        hashes: None,
                        progress: &progress,
                    },
                    hashes,
                );
                Ok(())
            }),
            Instance::Source | Instance::Stage(_) | Instance::State { .. } => {
                unreachable!("only splits and key_by take messages")
            }
        }
    }

    /// Makes frames of the halves of a split: two, or one of each run of equal choices.
    fn push_halves(
        &mut self,
        node: usize,
        part: Part,
        mut choices: Vec<u16>,
    ) -> Result<(), Failure> {
        let NodeState {
            id,
            code: Instance::Split { meet, .. },
            ports,
            ..
        } = &self.nodes[node]
        else {
            unreachable!("only splits have halves")
        };
        // By part: the half it belongs to. Dropped messages go to a last part that nobody reads.
        let mut halves = vec![0, 1];
        if *meet {
            halves.clear();
            for choice in choices.iter_mut().filter(|choice| **choice != DROPPED) {
                if halves.last() != Some(choice) {
                    halves.push(*choice);
                }
                *choice = number_of(halves.len() - 1);
            }
        }
        let last = number_of(halves.len());
        choices
            .iter_mut()
            .for_each(|choice| *choice = (*choice).min(last));
        let parts = part.divide(&choices, halves.len() + 1);
        let mut halves = halves.into_iter();
        let (mut frames, mut unread) = (Vec::new(), Vec::new());
        for part in parts {
            match halves.next().and_then(|half| ports[usize::from(half)]) {
                Some(port) => frames.push(part.into_frame(port)),
                None => unread.push(part),
            }
        }
        let id = *id;
        self.stack.extend(frames.into_iter().rev());
        self.drop_of(id, || drop(unread))
    }

    /// Makes frames of up to `len` messages of frame `depth`, which is empty then. Each goes to the consumers
    /// that are still to come.
    pub(super) fn break_up(&mut self, depth: usize, len: usize) -> Result<(), Failure> {
        if depth == 0 {
            self.store_keys_of_head();
        }
        let Frame {
            messages,
            origin,
            hashes,
            port,
            consumer,
            ..
        } = &mut self.stack[depth];
        let Some(messages) = messages.take() else {
            return Ok(());
        };
        let (port, consumer) = (*port, *consumer);
        let len = len.max(messages.len() / MAX_PARTS);
        let destinations: Vec<u16> = (0..messages.len())
            .map(|index| number_of(index / len))
            .collect();
        let count = messages.len().div_ceil(len);
        let part = Part {
            messages,
            origin: origin.take(),
            hashes: std::mem::take(hashes),
        };
        let frame = |part: Part| Frame {
            consumer,
            ..part.into_frame(port)
        };
        let parts = part.divide(&destinations, count);
        self.stack.extend(parts.into_iter().rev().map(frame));
        Ok(())
    }
}

fn index_of(index: usize) -> u32 {
    u32::try_from(index).expect("a batch holds fewer than 2^32 messages")
}

fn number_of(part: usize) -> u16 {
    u16::try_from(part).expect("there are not many more than MAX_PARTS parts")
}
