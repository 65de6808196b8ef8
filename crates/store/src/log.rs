//! The log that decides which commits count: write-once records with dense numbers.
//!
//! [`record`] is their bytes, [`entry`] what the decisions know of them, [`protocol`] the decisions, [`trimming`] what may be
//! deleted, and [`access`] carries the decisions out on a [`Storage`](crate::Storage).
//!
//! **Invariants.** Whether a commit counts is decided by which record was made first under its number, and by nothing else: no
//! clock, no lock and no record that is ever changed. `tests/log_model.rs` explores the decisions exhaustively.

pub mod access;
pub mod entry;
pub mod protocol;
pub mod record;
pub mod trimming;
