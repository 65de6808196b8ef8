//! What happens to a message for which user code fails.
//!
//! **Invariants.** A failing call leaves no output. Under `Skip` and `DeadLetter` the message counts as
//! handled; under `Fail` the run ends and nothing more is called.

use wallaroo_core::source::Rejected;
use wallaroo_core::{
    Code, ConnectorError, DeadLetter, KeyError, NodeId, NodeKind, OnError, PartitionId, Provenance,
    StoredKey,
};

use super::{Executor, Frame, Head, Instance};
use crate::failure::{Act, Failure, Origin, Owner, error_text};
use crate::host::{Cause, Failed};
use crate::panics::caught;

/// A dead letter on its way to the frame of its output.
pub(super) struct Letter {
    letter: DeadLetter,
    head_index: u32,
}

impl Letter {
    pub(super) fn into_frame(self, port: usize) -> Frame {
        Frame::new(
            port,
            Box::new(vec![self.letter]),
            Some(vec![self.head_index]),
        )
    }
}

/// A failure in words.
struct Described {
    origin: Origin,
    key: Option<StoredKey>,
    message: Vec<u8>,
    error: String,
    code: Code,
}

impl Executor {
    /// Drops what a stage has put out for the message `index`.
    pub(super) fn drop_outputs_of(&mut self, node: usize, index: usize) -> Result<(), Failure> {
        let id = self.nodes[node].id;
        let owner = || Owner::node(&self.program.plan, id);
        for output in &mut self.nodes[node].outputs.ports {
            while output
                .origin
                .last()
                .is_some_and(|origin| *origin as usize >= index)
            {
                output.origin.pop();
            }
            if let Some(messages) = &mut output.messages {
                Act::Dropped.on(owner, || messages.truncate(output.origin.len()))?;
            }
        }
        Ok(())
    }

    /// Applies the policy of a node to a message of frame `depth`. Under `DeadLetter` the letter and its port
    /// come back.
    pub(super) fn handle(
        &mut self,
        node: usize,
        depth: usize,
        failed: Failed,
    ) -> Result<Option<(usize, Letter)>, Failure> {
        let index = failed.index;
        let is_exit = matches!(failed.cause, Cause::Exit(_));
        let described = self.describe(node, depth, failed);
        let id = self.nodes[node].id;
        let plan_node = self.program.plan.node(id);
        let on_error = if is_exit {
            OnError::Fail
        } else {
            self.nodes[node].on_error
        };
        match on_error {
            OnError::Fail
                if plan_node.kind == NodeKind::Encode && described.code == Code::UserError =>
            {
                Err(Failure::Encode {
                    sink: of_sink(&plan_node.name).to_owned(),
                    location: plan_node.location.clone(),
                    origin: described.origin,
                    message: described.message,
                    error: described.error,
                    is_exit,
                })
            }
            OnError::Fail
                if decodes_for(&plan_node.name).is_some() && described.code == Code::UserError =>
            {
                let error = ConnectorError::new(described.error);
                Err(Failure::Decode {
                    origin: described.origin,
                    message: described.message,
                    error: if is_exit { error.as_exit() } else { error },
                })
            }
            OnError::Fail => Err(Failure::User {
                stage: plan_node.name.clone(),
                location: plan_node.location.clone(),
                key: described.key.map(|key| key.to_string()),
                origin: described.origin,
                message: described.message,
                error: described.error,
                code: described.code,
                is_exit,
            }),
            OnError::Skip => {
                self.counts.nodes[id.index()].add_dropped(1);
                tracing::debug!(
                    stage = plan_node.name,
                    error = described.error,
                    "message skipped"
                );
                Ok(None)
            }
            OnError::DeadLetter => {
                self.counts.nodes[id.index()].add_dropped(1);
                let letter = DeadLetter {
                    stage: decodes_for(&plan_node.name)
                        .unwrap_or_else(|| of_sink(&plan_node.name))
                        .to_owned(),
                    source: described.origin.source,
                    partition: described.origin.partition,
                    position: described.origin.position,
                    key: described.key.map(|key| plain(&key)),
                    message: described.message,
                    error: described.error,
                };
                let head_index = u32::try_from(self.stack[depth].head_index(index))
                    .expect("a batch holds fewer than 2^32 messages");
                Ok(self.nodes[node]
                    .dead_letters
                    .map(|port| (port, Letter { letter, head_index })))
            }
        }
    }

    /// Applies the policy of a source to records that it could not decode. Under `DeadLetter` it begins with
    /// their letters.
    pub(crate) fn begin_rejected(
        &mut self,
        source: NodeId,
        partition: PartitionId,
        rejected: Vec<Rejected>,
    ) -> Result<(), Failure> {
        let node = self.node_index(source);
        let mut letters = Vec::new();
        let mut provenance = Provenance::default();
        for record in rejected {
            let origin = self.control.origin(partition, record.number);
            if !matches!(self.nodes[node].on_error, OnError::Fail) {
                self.counts.nodes[source.index()].add_dropped(1);
            }
            match self.nodes[node].on_error {
                OnError::Fail => {
                    return Err(Failure::Decode {
                        origin,
                        message: record.bytes,
                        error: record.error,
                    });
                }
                OnError::Skip => tracing::debug!(
                    source = origin.source,
                    position = record.number,
                    "record skipped"
                ),
                OnError::DeadLetter => {
                    provenance.push(partition, record.number);
                    letters.push(DeadLetter {
                        stage: origin.source.clone(),
                        source: origin.source,
                        partition: origin.partition,
                        position: record.number,
                        key: None,
                        message: record.bytes,
                        error: record.error.full_text(),
                    });
                }
            }
        }
        if let Some(port) = self.nodes[node].dead_letters
            && !letters.is_empty()
        {
            let head = Head::unkeyed(provenance, self.control.clock.now(), None);
            self.start(port, Box::new(letters), head);
        }
        Ok(())
    }

    fn describe(&mut self, node: usize, depth: usize, failed: Failed) -> Described {
        let frame = &self.stack[depth];
        let head_index = frame.head_index(failed.index);
        let key = self.key_of_head(head_index);
        let code = &self.nodes[node].code;
        let index = failed.index;
        let message = self.stack[depth].messages.as_deref().map(|messages| {
            // Serialize is the user's as well.
            caught(|| match code {
                Instance::Stage(code) => code.describe(messages, index),
                Instance::State { code, .. } => code.describe(messages, index),
                Instance::Key(code) => code.describe(messages, index),
                Instance::Split { code, .. } => code.describe(messages, index),
                Instance::Source => Vec::new(),
            })
            .unwrap_or_else(|_| b"(no JSON form: its Serialize panicked)".to_vec())
        });
        let (partition, position) = self
            .head
            .as_ref()
            .map(|head| head.provenance.get(head_index))
            .unwrap_or_default();
        let (error, code) = match failed.cause {
            Cause::Error(error) | Cause::Exit(error) => {
                (error_text(error.as_ref()), Code::UserError)
            }
            Cause::Panic(text) => (text, Code::UserPanic),
            Cause::Key(error @ KeyError::TooLong { .. }) => (error.to_string(), Code::KeyTooLong),
            Cause::Key(error) => (error.to_string(), Code::UserError),
        };
        Described {
            origin: self.control.origin(partition, position),
            key,
            message: message.unwrap_or_default(),
            error,
            code,
        }
    }
}

/// The sink that a node encodes for; other names as they are.
fn of_sink(name: &str) -> &str {
    name.strip_suffix(" (encode)").unwrap_or(name)
}

/// The source that a node decodes for.
fn decodes_for(name: &str) -> Option<&str> {
    let (source, number) = name.rsplit_once(" (decode")?;
    number.ends_with(')').then_some(source)
}

/// A key for programs: text as it is, without the quotes that tell people what is text.
fn plain(key: &StoredKey) -> String {
    let view = key.view();
    view.as_str()
        .map_or_else(|| view.to_string(), str::to_owned)
}
