//! [`ConsoleError`]: why the status cannot be shown.
//!
//! **Invariants.** [`ConsoleError::number`] never changes its meaning.

use std::io;
use std::net::SocketAddr;

/// Why the status cannot be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsoleError {
    /// The address can be reached from other machines, and nobody has allowed that.
    #[error(
        "cannot show the status at {address}: it can be reached from other machines, and everybody there could read it without a password; use 127.0.0.1:{port}, or say that it may be seen from the network", port = address.port()
    )]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error(
        "cannot show the status at {address}: {reason}; choose another port, or 0 for any that is free", reason = reason(source)
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The system refused a thread or something else that the server needs.
    #[error(
        "cannot show the status at {address}: the system refused what its thread needs: {source}"
    )]
    Resources {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

impl ConsoleError {
    /// The stable number of the error, to be shown behind `WAL-`.
    #[must_use]
    pub const fn number(&self) -> u16 {
        match self {
            ConsoleError::NotLoopback { .. } | ConsoleError::Listen { .. } => 205,
            ConsoleError::Resources { .. } => 603,
        }
    }
}

/// Why an address cannot be listened on, in words that are the same on every system.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "port in use".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have the address".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}
