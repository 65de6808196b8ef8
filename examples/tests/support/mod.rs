//! Runs the examples as the programs they are.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What a program that has ended left behind.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A program, in an environment without options.
pub fn program(path: &str) -> Command {
    let mut command = Command::new(path);
    command.stdin(Stdio::null()).env_remove("RUST_BACKTRACE");
    for name in [
        "WALLAROO_WORKERS",
        "WALLAROO_IN",
        "WALLAROO_OUT",
        "WALLAROO_LOG",
    ] {
        command.env_remove(name);
    }
    command
}

pub fn run(command: &mut Command) -> Ended {
    let output = command.output().expect("the program starts");
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("the output is text"),
        stderr: String::from_utf8(output.stderr).expect("the log is text"),
    }
}

/// The path of a file of the examples.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}
