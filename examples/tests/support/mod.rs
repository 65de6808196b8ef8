//! Runs the examples as the programs they are.

#![allow(dead_code, reason = "no test needs all of it")]

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};

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
        "WALLAROO_STORE",
        "WALLAROO_CHECKPOINT_EVERY",
        "WALLAROO_RETAIN",
        "WALLAROO_RECOVERIES",
        "WALLAROO_STATUS",
        "WALLAROO_MEMORY_LIMIT",
        "WALLAROO_LOG_INPUT_EVERY",
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

/// A program that runs beside the test.
pub struct Running {
    pub child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    pub fn start(command: &mut Command) -> Running {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        Running { child, stderr }
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).expect("the log is text");
        line
    }

    pub fn signal(&self, name: &str) {
        let kill = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status();
        assert!(kill.expect("there is kill").success());
    }

    pub fn end(mut self) -> Ended {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let pipe = self.child.stdout.as_mut().expect("it is piped");
        pipe.read_to_string(&mut stdout)
            .expect("the output is text");
        self.stderr
            .read_to_string(&mut stderr)
            .expect("the log is text");
        let code = self.child.wait().expect("it ends").code();
        Ended {
            code,
            stdout,
            stderr,
        }
    }
}

/// Nothing is left running when a test fails.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
