//! How an application ended.
//!
//! **Invariants.** A test of an application that hangs ends after a bounded time.

use wallaroo::{App, Error, Options, Running};

use crate::waiting::LIMIT;

/// Runs an application to its end.
///
/// # Errors
/// As [`App::run`].
///
/// When it takes too long, the process ends.
pub fn run(app: App, options: Options) -> Result<(), Error> {
    wait(&app.start(options)?)
}

/// Waits for the end of an application.
///
/// # Errors
/// As [`Running::wait`].
///
/// When it takes too long, the process ends, with the last status on standard error: a panic would drop the
/// application, which waits for its end.
#[allow(clippy::print_stderr, reason = "people read it")]
pub fn wait(running: &Running) -> Result<(), Error> {
    running.wait_timeout(LIMIT).unwrap_or_else(|| {
        let status = running.status();
        eprintln!("the application has not ended after {LIMIT:?}: {status:#?}");
        std::process::exit(101)
    })
}

/// Runs an application that must fail, and returns its error.
///
/// # Panics
/// When it completes.
#[must_use]
pub fn failure(app: App, options: Options) -> Error {
    run(app, options).expect_err("the application fails")
}
