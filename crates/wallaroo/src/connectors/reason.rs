//! Words for what the operating system says.
//!
//! **Invariants.** A reason reads the same on every system, for the failures that people meet often.

use std::io;

/// Why an operation of the system failed, in a few words.
pub(super) fn reason(error: &io::Error) -> String {
    let words = match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory",
        io::ErrorKind::PermissionDenied => "permission denied",
        io::ErrorKind::IsADirectory => "it is a directory",
        io::ErrorKind::NotADirectory => "a part of the path is not a directory",
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only",
        io::ErrorKind::StorageFull => "no space left on the device",
        io::ErrorKind::QuotaExceeded => "the quota of this user is used up",
        io::ErrorKind::FileTooLarge => "the file would be larger than the system allows",
        io::ErrorKind::AddrInUse => "port in use",
        io::ErrorKind::AddrNotAvailable => "this machine does not have the address",
        io::ErrorKind::ConnectionRefused => "nothing listens there",
        io::ErrorKind::ConnectionReset => "the other side reset the connection",
        io::ErrorKind::BrokenPipe => "the reader has gone",
        io::ErrorKind::TimedOut => "no answer in time",
        // The system's own words: the kinds above are the ones that have a clear cause for users.
        _ => return error.to_string(),
    };
    words.to_owned()
}
