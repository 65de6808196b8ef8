//! Nodes that take messages away instead of looking at them: `split`, `key_by` and `collect`.
//!
//! **Invariants.** Messages keep their order on each output. A message for which the user's code fails is on no
//! output, and its place in every column is gone too.

use std::cell::Cell;
use std::ops::Range;

use wallaroo_core::{KeyHash, Messages};

use super::{Executor, Frame, Instance, guarded};
use crate::failure::Failure;
use crate::host::{Failed, Input, Keyed};

impl Executor {
    /// Lets a `split`, `key_by` or `collect` take the messages of frame `depth`.
    pub(super) fn take(&mut self, node: usize, depth: usize) -> Result<(), Failure> {
        self.store_keys_of_head(node, depth)?;
        let mut choices = Vec::new();
        let mut hashes = self.outbox.spare_hashes();
        let mut dead = Vec::new();
        let mut dropped = Vec::new();
        let len = self.stack[depth]
            .messages
            .as_ref()
            .map_or(0, |messages| messages.len());
        loop {
            let start = choices.len().max(hashes.len());
            let called = self.choose(node, depth, start..len, &mut choices, &mut hashes);
            let Err(failed) = called else { break };
            dropped
                .push(u32::try_from(failed.index).expect("a batch holds fewer than 2^32 messages"));
            choices.truncate(failed.index);
            hashes.truncate(failed.index);
            choices.push(u16::MAX);
            hashes.push(KeyHash(0));
            dead.extend(self.handle(node, depth, failed)?);
        }
        let mut messages = self.take_messages(depth);
        let mut origin = self.stack[depth].origin.clone();
        self.stack[depth].consumer += 1;
        self.counts[self.nodes[node].id.index()].add_in(len);
        self.counts[self.nodes[node].id.index()].add_out(len - dropped.len());
        if matches!(self.nodes[node].code, Instance::Split(_)) {
            self.push_split(node, messages, origin, &choices);
        } else if let Some(port) = self.nodes[node].ports[0] {
            if !dropped.is_empty() {
                (messages, origin, hashes) = without(&dropped, messages, origin, hashes);
            }
            self.stack.push(Frame {
                messages: Some(messages),
                origin,
                hashes,
                port,
                consumer: 0,
                cursor: 0,
            });
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
            Instance::Split(code) => guarded(&progress, || {
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

    fn push_split(
        &mut self,
        node: usize,
        mut messages: Box<dyn Messages>,
        origin: Option<Vec<u32>>,
        choices: &[u16],
    ) {
        // Dropped messages go to a third place that nobody reads.
        let mut targets = [messages.empty(), messages.empty(), messages.empty()];
        let destinations: Vec<u16> = choices.iter().map(|choice| (*choice).min(2)).collect();
        messages.scatter(&destinations, &mut targets);
        for (output, target) in targets.into_iter().enumerate().take(2) {
            let Some(port) = self.nodes[node].ports[output] else {
                continue;
            };
            let chosen = destinations
                .iter()
                .enumerate()
                .filter(|(_, choice)| usize::from(**choice) == output);
            let origin = chosen
                .map(|(index, _)| origin.as_ref().map_or(index as u32, |origin| origin[index]))
                .collect();
            self.stack.push(Frame {
                messages: Some(target),
                origin: Some(origin),
                hashes: Vec::new(),
                port,
                consumer: 0,
                cursor: 0,
            });
        }
    }
}

/// The messages that were not dropped, with their columns.
fn without(
    dropped: &[u32],
    mut messages: Box<dyn Messages>,
    origin: Option<Vec<u32>>,
    hashes: Vec<KeyHash>,
) -> (Box<dyn Messages>, Option<Vec<u32>>, Vec<KeyHash>) {
    let len = u32::try_from(messages.len()).expect("a batch holds fewer than 2^32 messages");
    let destinations: Vec<u16> = (0..len)
        .map(|index| u16::from(dropped.binary_search(&index).is_ok()))
        .collect();
    let mut targets = [messages.empty(), messages.empty()];
    messages.scatter(&destinations, &mut targets);
    let kept = || (0..len).filter(|index| dropped.binary_search(index).is_err());
    let origin = kept()
        .map(|index| {
            origin
                .as_ref()
                .map_or(index, |origin| origin[index as usize])
        })
        .collect();
    let hashes = if hashes.is_empty() {
        hashes
    } else {
        kept().map(|index| hashes[index as usize]).collect()
    };
    let [kept, _] = targets;
    (kept, Some(origin), hashes)
}
