//! A process with a store in S3.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use crate::server::Server;
use crate::wait_for;

/// A program of this build, beside the running test.
///
/// # Panics
/// When the test cannot tell where it is.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test knows where it is");
    let deps = test.parent().expect("it is in a directory");
    deps.with_file_name(name)
}

/// A call of a program with the credentials of the server at `endpoint`.
#[must_use]
pub fn call(name: &str, endpoint: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = Command::new(program(name));
    command.args(arguments).envs(Server::environment(endpoint));
    command
}

/// `s3-app` at work.
#[derive(Debug)]
pub struct Application(Child);

impl Application {
    /// Starts it: `count` messages per partition, to files in `directory`, with the store at `address`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(
        directory: &Path,
        count: u64,
        seed: u64,
        endpoint: SocketAddr,
        arguments: &[&str],
    ) -> Self {
        let child = call("s3-app", endpoint, arguments)
            .env("S3_APP_DIRECTORY", directory)
            .env("S3_APP_COUNT", count.to_string())
            .env("S3_APP_SEED", seed.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        Application(child.expect("s3-app is built; run .ci/s3-test"))
    }

    /// kill -9. False if it had ended before.
    pub fn kill(mut self) -> bool {
        let is_alive = matches!(self.0.try_wait(), Ok(None));
        let _ = self.0.kill();
        let _ = self.0.wait();
        is_alive
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }

    /// Waits for its end; what it said on the standard error.
    ///
    /// # Panics
    /// When it does not end.
    pub fn end(mut self) -> (ExitStatus, String) {
        // what it says fits into the pipe
        let status = wait_for("the application", || self.0.try_wait().ok().flatten());
        let mut text = String::new();
        if let Some(mut errors) = self.0.stderr.take() {
            let _ = std::io::Read::read_to_string(&mut errors, &mut text);
        }
        (status, text)
    }
}

/// The command `wallaroo`.
///
/// # Panics
/// When it is not built.
#[must_use]
pub fn wallaroo(endpoint: SocketAddr, arguments: &[&str]) -> Output {
    let output = call("wallaroo", endpoint, arguments).output();
    output.expect("wallaroo is built; run .ci/s3-test")
}
