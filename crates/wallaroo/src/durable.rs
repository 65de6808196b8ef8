//! Applications with a store: checkpoints, recovery, and output that is there exactly once.

mod input;

pub(crate) use input::{SourceDurability, SourceLog};
