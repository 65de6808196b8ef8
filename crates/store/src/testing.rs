//! Storages for tests and simulations, in this crate and in others: without a disk, and with every kind of failure.
//!
//! **Invariants.** Nothing here is part of a program that keeps real data: the module is behind the feature `testing`.

pub use crate::storage::faulty::{BeforeCall, Faults, Faulty};
