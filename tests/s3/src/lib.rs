//! Stores in S3, tested with a server that speaks it: VersityGW, built by `.ci/s3-test` from `server/go.mod`.
//!
//! **Invariants.** Everything listens on 127.0.0.1 only. What a test starts ends with it.

pub mod child;
pub mod proxy;
pub mod server;

use std::time::Duration;

/// How long a test waits for anything before it fails.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How long it waits between two looks.
const STEP: Duration = Duration::from_millis(10);

/// Waits until `done` gives something.
///
/// # Panics
/// When it takes longer than [`PATIENCE`].
pub fn wait_for<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let mut waited = Duration::ZERO;
    loop {
        if let Some(found) = done() {
            return found;
        }
        assert!(waited < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::park_timeout(STEP);
        waited += STEP;
    }
}

/// An address in the bucket that nobody else uses.
///
/// # Panics
/// When the system has no random name to give.
#[must_use]
pub fn fresh_address() -> String {
    let unique = tempfile::Builder::new().prefix("t").tempdir();
    let unique = unique.expect("a directory");
    let name = unique.path().file_name().unwrap_or_default();
    format!("s3://{}/{}/store", server::BUCKET, name.to_string_lossy())
}
