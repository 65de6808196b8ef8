//! The command `wallaroo`: looks into stores. docs/command.md has what it says, with examples.
//!
//! **It is** a reader: it takes no lock and no fence, changes nothing, and works while an application runs.
//! **It is not** what runs applications: each of them is a program of its own.
//!
//! **Invariants.** Answers go to the standard output, errors with their code to the standard error. The exit code is 0 when all
//! is well, 1 when something is damaged, missing or out of reach, 2 when the command line was not understood.

mod answer;
mod arguments;
mod checkpoint;
mod key;
mod look;
mod object;
mod state;
mod table;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use wallaroo_core::Code;

use answer::{Answer, Failure};
use arguments::{Arguments, Checkpoint, Command, State};

/// Something is damaged, missing or out of reach.
const FAILED: u8 = 1;
/// The command line was not understood.
const MISUSED: u8 = 2;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let (store, answer) = match &arguments.command {
        Command::Checkpoint(command) => (command.store(), of_checkpoint(command)),
        Command::State(command) => (command.store(), of_state(command)),
    };
    match answer {
        Ok(answer) => {
            write(
                &mut std::io::stdout(),
                if store.json {
                    &answer.json
                } else {
                    &answer.text
                },
            );
            match answer.has_damage {
                false => ExitCode::SUCCESS,
                true => ExitCode::from(FAILED),
            }
        }
        Err(failure) => {
            write(&mut std::io::stderr(), &format!("error: {failure}\n"));
            ExitCode::from(match failure {
                Failure::Store(_) => FAILED,
                Failure::Key(_) => MISUSED,
            })
        }
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
fn refuse(error: &clap::Error) -> ExitCode {
    let text = error.to_string();
    if !error.use_stderr() {
        write(&mut std::io::stdout(), &text);
        return ExitCode::SUCCESS;
    }
    let text = match text.strip_prefix("error: ") {
        Some(text) => format!("error: {}: {text}", Code::Option),
        None => text,
    };
    write(&mut std::io::stderr(), &text);
    ExitCode::from(MISUSED)
}

/// Nobody is there to be told when it cannot be written: whoever reads it has gone.
fn write(to: &mut dyn Write, text: &str) {
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}
