//! Checkpoints at rest: what is kept of an application, and the log that decides what counts.
//!
//! **It is** a [`storage::Storage`] of write-once objects, the formats of what is in them, and the rules by which a commit becomes
//! valid and a process is fenced. docs/formats.md has the bytes, docs/design/0002-checkpoints.md the reasons.
//!
//! **It is not** an engine: it knows neither messages nor workers, and takes and gives encoded objects by key.

mod bytes;
pub mod compaction;
pub mod error;
pub mod input_log;
pub mod loader;
pub mod lock;
pub mod log;
pub mod outbox;
pub mod segment;
pub mod storage;

pub use error::StoreError;
pub use storage::Storage;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
