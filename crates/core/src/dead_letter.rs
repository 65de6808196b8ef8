//! The record that a stage under the `dead_letter` policy writes for a message it could not handle.
//!
//! **Invariants.** A dead letter carries everything needed to find and repeat the failure; the state object
//! is as it was before the failing call, and the call left no output.

use serde::{Deserialize, Serialize};

/// A message that a stage could not handle, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Name of the stage that failed; for decoding errors the name of the source.
    pub stage: String,
    /// Name of the source the message came from.
    pub source: String,
    /// Source partition, as the connector names it (a file, a connection).
    pub partition: String,
    /// Record number in the source partition, counted from one.
    pub position: u64,
    /// The key: text as it is, other keys as error texts show them. Absent before the first `key_by`.
    pub key: Option<String>,
    /// The message: the raw bytes where decoding failed, else the message as JSON.
    #[serde(with = "bytes_as_text")]
    pub message: Vec<u8>,
    /// What went wrong: the error's text with its causes, or the panic message.
    pub error: String,
}

/// Messages are text nearly always; other bytes become the replacement character in JSON and stay as they
/// are in the value itself.
mod bytes_as_text {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        String::deserialize(deserializer).map(String::into_bytes)
    }
}
