//! The command line: what can be asked for.
//!
//! **Invariants.** Every command names its store, and every one can answer in JSON.

use clap::{Args, Parser, Subcommand};

/// Looks into the store of an application, also while it runs. Changes nothing.
#[derive(Debug, Parser)]
#[command(name = "wallaroo", version, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Looks at checkpoints
    #[command(subcommand)]
    Checkpoint(Checkpoint),
    /// Looks at state objects
    #[command(subcommand)]
    State(State),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Checkpoint {
    /// Lists all commits whose records are there, newest first
    List {
        #[command(flatten)]
        store: Store,
    },
    /// Reads everything that is kept, and compares all checksums
    Verify {
        #[command(flatten)]
        store: Store,
        /// Only the checkpoint of this commit
        number: Option<u64>,
    },
    /// Shows what a checkpoint consists of
    Show {
        #[command(flatten)]
        store: Store,
        /// The number of its commit; the newest if absent
        number: Option<u64>,
    },
    /// Lists savepoints by name
    Savepoints {
        #[command(flatten)]
        store: Store,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum State {
    /// Counts the objects of each state
    List {
        #[command(flatten)]
        store: Store,
        /// The number of a commit; the newest if absent
        #[arg(long, value_name = "NUMBER")]
        checkpoint: Option<u64>,
    },
    /// Shows the state object of a key
    Get {
        #[command(flatten)]
        store: Store,
        /// The number of a commit; the newest if absent
        #[arg(long, value_name = "NUMBER")]
        checkpoint: Option<u64>,
        /// The name of the state
        name: String,
        /// Text, a whole number, true, false, or JSON: '"1"' is the text 1, '["IBM",7]' a tuple,
        /// '{"uuid":"…"}' and '{"bytes":"00ff"}' are what they say. Absent for a state without keys
        #[arg(allow_negative_numbers = true)]
        key: Option<String>,
    },
}

/// Which store, and how to answer.
#[derive(Debug, Args)]
pub(crate) struct Store {
    /// The store's address: a path, file://PATH, or s3://BUCKET/PREFIX
    #[arg(long = "store", value_name = "ADDRESS")]
    pub(crate) address: String,
    /// Answers in JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Checkpoint {
    pub(crate) fn store(&self) -> &Store {
        match self {
            Checkpoint::List { store }
            | Checkpoint::Verify { store, .. }
            | Checkpoint::Show { store, .. }
            | Checkpoint::Savepoints { store } => store,
        }
    }
}

impl State {
    pub(crate) fn store(&self) -> &Store {
        match self {
            State::List { store, .. } | State::Get { store, .. } => store,
        }
    }
}
