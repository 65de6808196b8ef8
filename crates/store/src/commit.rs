//! [`Commit`]: what a commit record says, and so what a checkpoint is.
//!
//! **Invariants.** A commit is complete in itself: whoever has it needs no other record to read the checkpoint back. Fields that
//! a later release adds have a default, so that old commits load for ever.

use serde::{Deserialize, Serialize};

use crate::outbox::OutboxMeta;
use crate::segment::SegmentMeta;

/// The body of a commit record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The epoch that ends with it.
    pub epoch: u64,
    /// The number of the commit that it follows; none for the first. The [`Store`](crate::Store) fills it in.
    #[serde(default)]
    pub parent: Option<u64>,
    /// Numbers of earlier commits of the path that are kept beside it, newest first. The [`Store`](crate::Store) fills it in.
    #[serde(default)]
    pub keeps: Vec<u64>,
    /// When it was made, in milliseconds since the Unix epoch. The [`Store`](crate::Store) fills it in.
    pub time_ms: u64,
    /// The generation that made it. The [`Store`](crate::Store) fills it in.
    pub generation: u64,
    /// The segments that together hold all state objects, oldest first.
    pub segments: Vec<SegmentMeta>,
    /// Output that may not have been published yet, oldest first.
    #[serde(default)]
    pub outboxes: Vec<OutboxMeta>,
    /// Where the source partitions go on.
    #[serde(default)]
    pub positions: Vec<SourcePosition>,
    /// How far the sinks had published.
    #[serde(default)]
    pub sinks: Vec<SinkState>,
    /// What the application looked like.
    #[serde(default)]
    pub plan: PlanIdentity,
}

impl Commit {
    /// The names of all objects that the checkpoint consists of.
    pub fn objects(&self) -> impl Iterator<Item = &str> {
        let segments = self.segments.iter().map(|segment| segment.name.as_str());
        segments.chain(self.outboxes.iter().map(|outbox| outbox.name.as_str()))
    }

    /// The size of all objects that the checkpoint consists of.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let segments: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        let outboxes: u64 = self.outboxes.iter().map(|outbox| outbox.bytes).sum();
        segments + outboxes
    }
}

/// Where a source partition goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcePosition {
    /// The name of the source.
    pub source: String,
    /// The name of the partition.
    pub partition: String,
    /// The position, as the source wrote it.
    pub position: serde_json::Value,
    /// The number of the next record.
    pub next_number: u64,
    /// Whether the partition has been read to its end.
    #[serde(default)]
    pub ended: bool,
}

/// How far a sink had published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkState {
    /// The name of the sink.
    pub sink: String,
    /// The last epoch whose output is published.
    pub published_epoch: u64,
    /// What the sink's publisher recorded.
    pub state: serde_json::Value,
}

/// What of an application has to fit a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanIdentity {
    /// Names of its sources.
    pub sources: Vec<String>,
    /// Its states.
    pub states: Vec<StateIdentity>,
    /// Its sinks.
    pub sinks: Vec<SinkIdentity>,
}

/// What of a state has to fit a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateIdentity {
    /// Its name.
    pub name: String,
    /// Its name in segments, if that is another: it was renamed, or there was another state of its name, which was dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_as: Option<String>,
    /// The type of its objects, for people: whether they can be read is for their codec to say.
    pub object_type: String,
    /// The type of its keys; none if all objects have one key.
    pub key_type: Option<String>,
    /// The number of key groups.
    pub key_groups: u16,
}

impl StateIdentity {
    /// Its name in segments.
    #[must_use]
    pub fn stored_name(&self) -> &str {
        self.stored_as.as_deref().unwrap_or(&self.name)
    }
}

/// What of a sink has to fit a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkIdentity {
    /// Its name.
    pub name: String,
    /// Whether it publishes exactly once.
    pub exactly_once: bool,
}
