//! The command `wallaroo`: looks into stores. docs/command.md has what it says, with examples.
//!
//! **It is** a reader: it takes no lock and no fence, changes nothing, and works while an application runs.
//! **It is not** what runs applications: in Rust each of them is a program of its own, and in Python the command of the
//! package does it, which answers everything else with [`run`].
//!
//! **Invariants.** Answers are for the standard output, errors with their code for the standard error. The exit code is 0 when all
//! is well, 1 when something is damaged, missing or out of reach, 2 when the command line was not understood.

mod answer;
mod arguments;
mod checkpoint;
mod extension;
mod key;
mod look;
mod object;
mod state;
mod table;

use std::ffi::OsString;

use clap::Parser;
use wallaroo_core::Code;

use answer::{Answer, Failure};
use arguments::{Arguments, Checkpoint, Command, State};

/// Something is damaged, missing or out of reach.
const FAILED: u8 = 1;
/// The command line was not understood.
const MISUSED: u8 = 2;

/// What a call of the command says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Its exit code.
    pub code: u8,
    /// For the standard output.
    pub output: String,
    /// For the standard error.
    pub errors: String,
}

/// Does what the arguments ask for; the first of them is the name of the program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Said {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let (store, answer) = match &arguments.command {
        Command::Checkpoint(command) => (command.store(), of_checkpoint(command)),
        Command::State(command) => (command.store(), of_state(command)),
    };
    match answer {
        Ok(answer) => Said {
            code: if answer.has_damage { FAILED } else { 0 },
            output: if store.json { answer.json } else { answer.text },
            errors: String::new(),
        },
        Err(failure) => Said {
            code: match failure {
                Failure::Store(_) => FAILED,
                Failure::Key(_) => MISUSED,
            },
            output: String::new(),
            errors: format!("error: {failure}\n"),
        },
    }
}

fn of_checkpoint(command: &Checkpoint) -> Result<Answer, Failure> {
    match command {
        Checkpoint::List { store } => checkpoint::list(store),
        Checkpoint::Verify { store, number } => checkpoint::verify(store, *number),
        Checkpoint::Show { store, number } => checkpoint::show(store, *number),
        Checkpoint::Savepoints { store } => checkpoint::savepoints(store),
    }
}

fn of_state(command: &State) -> Result<Answer, Failure> {
    match command {
        State::List { store, checkpoint } => state::list(store, *checkpoint),
        State::Get {
            store,
            checkpoint,
            name,
            key,
        } => state::get(store, *checkpoint, name, key.as_deref().unwrap_or_default()),
    }
}

/// Help and version, or what was not understood.
fn refuse(error: &clap::Error) -> Said {
    let text = error.to_string();
    if !error.use_stderr() {
        return Said {
            code: 0,
            output: text,
            errors: String::new(),
        };
    }
    Said {
        code: MISUSED,
        output: String::new(),
        errors: match text.strip_prefix("error: ") {
            Some(text) => format!("error: {}: {text}", Code::Option),
            None => text,
        },
    }
}
