//! State objects at rest: which slot belongs to which key, which slots changed, which worker owns which key group.
//!
//! **It is** the in-memory home of one state on one worker: [`KeyIndex`] gives each key a slot, a small dense number;
//! [`Objects`] holds the objects by slot; [`Assignment`] says which worker holds which key groups. Hosts in other
//! languages keep their own arrays by slot instead of [`Objects`].
//!
//! **It is not** an engine, a store or a cache: no threads, no I/O, no time, no eviction. It knows neither messages nor
//! checkpoints; it tells which objects a checkpoint must contain.
//!
//! **Limits**: 2^32 slots per index; keys up to 64 KiB; 1 to 32,768 key groups. An index costs 32 bytes per slot, 26 to
//! 51 bytes per key in its tables, 24 bytes per key group, and the heap part of keys above 16 canonical bytes.
//!
//! **Example**
//! ```
//! use wallaroo_core::key::{Key, KeyGroupCount};
//! use wallaroo_state::{KeyIndex, Objects};
//!
//! let mut index = KeyIndex::new(KeyGroupCount::default());
//! let mut counts = Objects::<u64>::default();
//! for symbol in ["AAPL", "MSFT", "AAPL"] {
//!     let slot = index.resolve(Key::hash(symbol), symbol)?.slot;
//!     index.touch(slot);
//!     *counts.get_mut(slot) += 1;
//! }
//! let changed: Vec<String> = index
//!     .take_dirty()
//!     .touched
//!     .into_iter()
//!     .map(|slot| format!("{} {}", index.key(slot), counts.get(slot).expect("was touched")))
//!     .collect();
//! assert_eq!(changed, ["\"AAPL\" 2", "\"MSFT\" 1"]);
//! # Ok::<(), wallaroo_core::key::KeyError>(())
//! ```

mod assignment;
mod changes;
mod index;
mod objects;
mod raw;
mod slot;
pub mod stamp;

pub use assignment::{Assignment, Move, WorkerIndex};
pub use changes::{Change, ChangeEntry, StateChanges};
pub use index::{Dirty, KeyIndex, Resolved, TakenGroup};
pub use objects::Objects;
pub use slot::{CHUNK_SLOTS, ChunkIndex, Slot};
