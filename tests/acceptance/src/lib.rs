//! Tools of the acceptance tests, which see Wallaroo as its users do: through its public API, its files and
//! sockets, and its processes.
//!
//! It is: sinks that block on command, bounded waits, measurements of the own process, and the report of a
//! child process. It is not: a part of what users get; they have the crate's test kit.
//!
//! **Invariants.** Every wait has a limit, and what it waited for stands in the panic text.

pub mod child;
pub mod ending;
pub mod gate;
pub mod process;
pub mod tally;
pub mod waiting;
