//! A scenario in a process of its own, for what belongs to a whole process: memory, threads, open files,
//! signals.
//!
//! **Invariants.** A child that takes too long is ended, with what it has written in the panic text.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::tally::Arrived;
use crate::waiting::until;

/// What a scenario found out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Memory before anything happened.
    pub idle_bytes: u64,
    /// The most memory that was in use.
    pub peak_bytes: u64,
    /// What arrived, by sink.
    pub arrived: BTreeMap<String, Arrived>,
    /// Other numbers.
    pub facts: BTreeMap<String, u64>,
}

impl Report {
    /// How many bytes of memory were in use beyond those of the idle process.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.peak_bytes.saturating_sub(self.idle_bytes)
    }

    /// A fact by name.
    ///
    /// # Panics
    /// When the scenario has not reported it.
    #[must_use]
    pub fn fact(&self, name: &str) -> u64 {
        *self
            .facts
            .get(name)
            .unwrap_or_else(|| panic!("the scenario reports {name:?}: {self:#?}"))
    }
}

/// Runs a scenario in a child process, and returns what it reports.
///
/// # Panics
/// When the child fails or takes too long.
#[must_use]
#[allow(clippy::print_stderr, reason = "people read the numbers")]
pub fn report(program: &str, arguments: &[&str]) -> Report {
    let mut child = Command::new(program)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program of this package is there");
    let status = wait(&mut child, &format!("the scenario {arguments:?} ends"));
    let mut text = String::new();
    child
        .stdout
        .take()
        .expect("it is piped")
        .read_to_string(&mut text)
        .expect("the report is text");
    assert!(
        status.success(),
        "the scenario {arguments:?} failed with {status}; it printed {text:?}"
    );
    let report = serde_json::from_str(&text).expect("a scenario prints its report");
    eprintln!("{arguments:?}: {}", text.trim_end());
    report
}

/// Waits for the end of a child process.
///
/// # Panics
/// When it takes too long; the child is ended then.
pub fn wait(child: &mut Child, what: &str) -> std::process::ExitStatus {
    struct EndOnPanic<'a>(&'a mut Child);
    impl Drop for EndOnPanic<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                // It may have ended meanwhile.
                let _ = self.0.kill();
                let _ = self.0.wait();
            }
        }
    }
    let guard = EndOnPanic(child);
    let mut status = None;
    until(what, || {
        status = guard.0.try_wait().expect("the child is ours");
        status.is_some()
    });
    status.expect("waited until it is there")
}
