//! Checkpoints at rest: what is kept of an application, and the log that decides what counts.
//!
//! **It is** a [`storage::Storage`] of write-once objects, the formats of what is in them, and the rules by which a commit becomes
//! valid and a process is fenced. docs/formats.md has the bytes, docs/design/0002-checkpoints.md the reasons.
//!
//! **It is not** an engine: it knows neither messages nor workers, and takes and gives encoded objects by key.

pub mod application;
mod bytes;
pub mod checkpointer;
pub mod commit;
pub mod compaction;
pub mod error;
pub mod input_log;
pub mod inspect;
mod json_format;
pub mod loader;
pub mod lock;
pub mod log;
pub mod object_name;
pub mod outbox;
pub mod plan_check;
pub mod savepoint;
pub mod segment;
pub mod storage;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use checkpointer::{OpenOptions, Store};
pub use commit::Commit;
pub use error::StoreError;
pub use storage::Storage;
pub use storage::memory::Memory;
