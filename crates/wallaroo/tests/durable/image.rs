//! What is on the disk at one moment, as a process that starts after a crash would find it.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

/// A copy of the committed part of a store: without the input log, which would bring more back than what is committed.
pub(crate) fn of_commits(store: &Path) -> TempDir {
    let image = tempfile::tempdir().expect("a directory can be made");
    // The log of commits first: what it names was there before.
    for part in ["application.json", "log", "data", "outbox"] {
        copy(&store.join(part), &image.path().join(part));
    }
    image
}

fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        // One that is being written may be gone.
        let _ = fs::copy(from, to);
        return;
    }
    let Ok(entries) = fs::read_dir(from) else {
        return;
    };
    fs::create_dir_all(to).expect("a directory can be made");
    for entry in entries.flatten() {
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}
