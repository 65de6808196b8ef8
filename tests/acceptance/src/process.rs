//! What the operating system says of this process.
//!
//! **Invariants.** Only `/proc` is asked, so the numbers are those that an operator sees.

use std::fs;
use std::path::Path;

/// Bytes of memory in use now.
#[must_use]
pub fn resident_bytes() -> u64 {
    status_kilobytes("VmRSS:") * 1024
}

/// The most bytes of memory that were ever in use.
#[must_use]
pub fn peak_resident_bytes() -> u64 {
    status_kilobytes("VmHWM:") * 1024
}

/// Number of threads.
#[must_use]
pub fn threads() -> usize {
    entries(Path::new("/proc/self/task"))
}

/// Number of open files and sockets.
#[must_use]
pub fn open_files() -> usize {
    entries(Path::new("/proc/self/fd"))
}

fn entries(directory: &Path) -> usize {
    fs::read_dir(directory)
        .expect("Linux shows this directory")
        .count()
}

fn status_kilobytes(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux shows this file");
    status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|number| number.trim().parse().ok())
        .expect("the file has this field")
}
